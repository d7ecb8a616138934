"""Source clips and photos: the manifest, the split by source, and photos turned into clips.

A sources folder holds `manifest.json` with an `items` list; each item names a `file` (relative), a `content`, a
`kind` (`video` or `photo`), its `source_repo`, `licence`, `width`, `height` and, for videos, `fps` and `frames`. It may say
`held_out` (true or false): on which side it is, where the split is not to decide.
"""

import json
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .ffmpeg import run_ffmpeg

# A repository with more files of one kind than this is a collection of unrelated contents: it is split by content.
COLLECTION_SIZE = 15


@dataclass(frozen=True)
class Source:
    """One pristine clip; `rate` is the number of frames per key frame, r = round(average fps)."""

    content: str
    kind: str
    repository: str
    licence: str
    path: Path
    width: int
    height: int
    rate: int
    frames: int
    held_out: bool


def is_held_out(item: dict, counts: Counter) -> bool:
    """What the manifest says, else a third of the sources, chosen by a hash of the repository's name, so that no two files of
    one repository fall on different sides; only collections of unrelated contents are split by the content's name."""
    if "held_out" in item:
        return item["held_out"]
    repository = item["source_repo"]
    key = item["content"] if counts[item["kind"], repository] > COLLECTION_SIZE else repository
    return zlib.crc32(key.encode()) % 3 == 2


def photo_clip(photo: Path, target: Path, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Renders a photo as a lossless clip of 2.5 s, still (1 in 4) or panning; returns width, height, rate, frames.

    The window is at most the 518,400 pixels of the analysis canvas, cut 1:1 from the photo scaled by a random
    factor, and moves along a straight line in whole pixels.
    """
    from PIL import Image

    with Image.open(photo) as image:
        width, height = image.size
    # Half of the photos keep their pixels, the others are shrunk: sharper than a camera's own pixels.
    scale = 1.0 if rng.random() < 0.5 else float(rng.uniform(0.55, 1.0))
    scale = max(scale, 432 / min(width, height))
    width, height = (int(round(side * scale / 2)) * 2 for side in (width, height))
    aspect = width / height
    window_width = min(width, int(np.sqrt(518_400 * aspect)))
    window_height = min(height, 518_400 // window_width)
    shrink = 1.0 if min(width - window_width, height - window_height) > 40 else 0.9
    window_width, window_height = (int(side * shrink) // 2 * 2 for side in (window_width, window_height))
    rate = int(rng.choice([24, 25, 30]))
    frames = int(rate * 2.5)
    room = np.array([width - window_width, height - window_height])
    start = rng.uniform(0, 1, 2) * room
    speed = 0.0 if rng.random() < 0.25 else float(rng.uniform(0.2, 3.0))
    angle = rng.uniform(0, 2 * np.pi)
    end = np.clip(start + speed * frames * np.array([np.cos(angle), np.sin(angle)]), 0, room)
    x, y = (f"trunc({a:.2f}+({b - a:.3f})*n/{frames})" for a, b in zip(start, end))
    run_ffmpeg(
        ["-loop", "1", "-framerate", str(rate), "-t", f"{frames / rate:.4f}", "-i", f"file:{photo}", "-vf",
         f"scale={width}:{height}:flags=lanczos,crop={window_width}:{window_height}:'{x}':'{y}',format=yuv420p",
         "-frames:v", str(frames), "-c:v", "libx264", "-preset", "ultrafast", "-qp", "0", "-threads", "1"],
        target,
    )  # fmt: skip
    return window_width, window_height, rate, frames


def load_sources(folder: Path, work: Path, seed: int) -> list[Source]:
    """Every source of the folder's manifest as a clip, in the manifest's order; photos are rendered once to `work`."""
    items = json.loads((folder / "manifest.json").read_text())["items"]
    counts = Counter((item["kind"], item["source_repo"]) for item in items)
    clips = work / "photos"
    clips.mkdir(parents=True, exist_ok=True)
    sources = []
    for item in items:
        if item["kind"] == "video":
            path, rate = folder / item["file"], max(1, int(item["fps"] + 0.5))
            shape = (item["width"], item["height"], rate, item["frames"])
        else:
            path, note = clips / f"{item['content']}.mkv", clips / f"{item['content']}.json"
            if not note.exists():
                rng = np.random.default_rng([seed, zlib.crc32(item["content"].encode())])
                note.write_text(json.dumps(photo_clip(folder / item["file"], path, rng)))
            shape = tuple(json.loads(note.read_text()))
        sources.append(
            Source(item["content"], item["kind"], item["source_repo"], item["licence"], path, *shape,
                   held_out=is_held_out(item, counts))
        )  # fmt: skip
    return sources
