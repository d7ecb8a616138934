"""Photos with people's scores (LIVE In the Wild Image Quality Challenge): statistics, what a still or gently moving clip
of them shows the motion pathway, and a split by file name."""

import json
import os
import zlib
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from .motion import RATES, SIDE, motion_features
from .views import SIZE, centred_views, sampled_fragments

# A frame of the motion pathway is cut from a photo of this side: 86 % of it, as the crops that are seen beside it.
ROOM = 56
# Pixels of such a frame that the camera moves in a second at most.
FASTEST = 6.0


def is_test_photo(name: str) -> bool:
    """A fifth of the photos, by a hash of the file name; never trained on."""
    return zlib.crc32(name.encode()) % 5 == 0


def write_photos(folder: Path, target: Path, variants: int, seed: int, statistics) -> None:
    """Writes `statistics` f16 [n,variants,2,144,140], `small` u8 [n,56,56,3], `mos` [n] and `held_out` [n] of the photos
    in `folder/labels.json`. The first variant is what inference sees; the others are crops of at least 85 % of each side
    with fragments at random places."""
    items = json.loads((folder / "labels.json").read_text())
    values = np.empty((len(items), variants, 2, 144, 140), np.float16)
    small = np.empty((len(items), ROOM, ROOM, 3), np.uint8)
    for i, item in enumerate(items):
        rng = np.random.default_rng([seed, zlib.crc32(item["file"].encode())])
        with Image.open(folder / item["file"]) as image:
            photo = np.asarray(image.convert("RGB"))
        small[i] = cv2.resize(photo, (ROOM, ROOM), interpolation=cv2.INTER_AREA)
        for variant in range(variants):
            views = centred_views(photo)
            if variant:
                side = [max(min(SIZE, size), int(rng.uniform(0.85, 1) * size)) for size in photo.shape[:2]]
                y, x = (int(rng.integers(0, size - kept + 1)) for size, kept in zip(photo.shape, side))
                crop = np.ascontiguousarray(photo[y : y + side[0], x : x + side[1]])
                views = np.stack([centred_views(crop)[0], sampled_fragments(crop, rng)])
            values[i, variant] = statistics(torch.from_numpy(views)).half().numpy()
    part = target.with_name(f".{os.getpid()}.{target.name}")
    np.savez(part, statistics=values, small=small, mos=np.array([item["mos"] for item in items]),
             held_out=np.array([is_test_photo(Path(item["file"]).name) for item in items]))  # fmt: skip
    os.replace(part, target)


def glided(small: np.ndarray, frames: int, moving: bool, rng: np.random.Generator) -> np.ndarray:
    """A clip u8 [frames,48,48,3] of a small photo u8 [56,56,3]: still, or gently moving along a line inside it."""
    room = ROOM - SIDE
    start, angle = rng.uniform(0, room, 2), rng.uniform(0, 2 * np.pi)
    step = rng.uniform(0.5, FASTEST) / max(RATES) * np.array([np.cos(angle), np.sin(angle)])
    places = np.clip(start + np.arange(frames)[:, None] * step * moving, 0, room)
    return np.stack([cv2.warpAffine(small, np.array([[1, 0, -x], [0, 1, -y]]), (SIDE, SIDE)) for x, y in places])


@torch.inference_mode()
def photo_motion(pathway, file: Path, held_out: bool, seed: int) -> torch.Tensor:
    """Motion features f32 [n,2,30,width] of one side of the photos that `write_photos` left: as a still clip, then as a
    gently moving one, of a second at the highest frame rate."""
    pathway.eval()
    with np.load(file) as data:
        small = data["small"][data["held_out"] == held_out]
    rng = np.random.default_rng([seed, 48])
    clips = (np.stack([glided(photo, max(RATES), moving, rng) for moving in (False, True)]) for photo in small)
    return torch.stack([motion_features(pathway, torch.from_numpy(clip)) for clip in clips]).clone()
