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
from .processes import spread
from .recipes import draw_ladder
from .render import SMOOTH_CODECS
from .statistics import cell_statistics
from .stills import picture_of, planes_of, through_encoder
from .views import SIZE, centred_views, sampled_fragments

# A frame of the motion pathway is cut from a photo of this side: 86 % of it, as the crops that are seen beside it.
ROOM = 56
# Pixels of such a frame that the camera moves in a second at most.
FASTEST = 6.0

# Frames of a photo's clip that ladders encode, those of them that are looked at, and pixels that it moves a frame at most.
LADDER_FRAMES = 13
LADDER_SEEN = (0, 8)
LADDER_SPEED = 3.0
# Codecs of such ladders in turn: those whose losses are hardest to see take more turns.
LADDER_CODECS = (*SMOOTH_CODECS, *SMOOTH_CODECS, "x265", "x264")


def is_test_photo(name: str) -> bool:
    """A fifth of the photos, by a hash of the file name; never trained on."""
    return zlib.crc32(name.encode()) % 5 == 0


def _photo_views(file: Path, variants: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One photo's `statistics` [variants,2,144,140] and `small` picture."""
    with Image.open(file) as image:
        photo = np.asarray(image.convert("RGB"))
    values = np.empty((variants, 2, 144, 140), np.float16)
    for variant in range(variants):
        views = centred_views(photo)
        if variant:
            side = [max(min(SIZE, size), int(rng.uniform(0.85, 1) * size)) for size in photo.shape[:2]]
            y, x = (int(rng.integers(0, size - kept + 1)) for size, kept in zip(photo.shape, side))
            crop = np.ascontiguousarray(photo[y : y + side[0], x : x + side[1]])
            views = np.stack([centred_views(crop)[0], sampled_fragments(crop, rng)])
        values[variant] = cell_statistics()(torch.from_numpy(views)).half().numpy()
    return values, cv2.resize(photo, (ROOM, ROOM), interpolation=cv2.INTER_AREA)


def write_photos(folder: Path, target: Path, variants: int, seed: int, workers: int) -> None:
    """Writes `statistics` f16 [n,variants,2,144,140], `small` u8 [n,56,56,3], `mos` [n] and `held_out` [n] of the photos
    in `folder/labels.json`. The first variant is what inference sees; the others are crops of at least 85 % of each side
    with fragments at random places."""
    items = json.loads((folder / "labels.json").read_text())
    jobs = [(folder / item["file"], variants, np.random.default_rng([seed, zlib.crc32(item["file"].encode())])) for item in items]
    values, small = map(np.stack, zip(*spread(_photo_views, jobs, workers)))
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


def photo_ladder(photo: np.ndarray, rungs: int, number: int, rng: np.random.Generator) -> np.ndarray:
    """Views u8 [rungs,frames,2,384,384,3] of one ladder of a photo u8 [h,w,3], still or panned over, from good to bad. Which
    of two rungs is better needs no pristine picture: any photo will do, noisy, soft or dark."""
    height, width = photo.shape[:2]
    side = np.array([max(SIZE, int(0.9 * size)) // 2 * 2 for size in (width, height)])
    room = np.array([width, height]) - side
    start, angle = rng.uniform(0, 1, 2) * room, rng.uniform(0, 2 * np.pi)
    step = rng.uniform(0, LADDER_SPEED) * np.array([np.cos(angle), np.sin(angle)]) * (rng.random() < 0.75)
    frames = []
    for n in range(LADDER_FRAMES):
        x, y = np.clip(start + n * step, 0, room).astype(int)
        frames.append(planes_of(np.ascontiguousarray(photo[y : y + side[1], x : x + side[0]])))
    seen = rng.integers(2**31)
    views = []
    for recipe in draw_ladder(LADDER_CODECS[number % len(LADDER_CODECS)], rungs, rng):
        out = through_encoder(frames, recipe.kind, recipe.codec)
        # Fragments of all rungs are cut at the same places.
        places = np.random.default_rng(seen)
        pictures = [picture_of(out[n]) for n in LADDER_SEEN]
        views.append([[centred_views(picture)[0], sampled_fragments(picture, places)] for picture in pictures])
    return np.array(views)


def _ladder_statistics(file: Path, rungs: int, number: int, rng: np.random.Generator) -> np.ndarray:
    with Image.open(file) as image:
        views = photo_ladder(np.asarray(image.convert("RGB")), rungs, number, rng)
    values = cell_statistics()(torch.from_numpy(views).flatten(0, 2))
    return values.unflatten(0, views.shape[:3]).half().numpy()


def write_photo_ladders(folder: Path, target: Path, count: int, rungs: int, seed: int, workers: int) -> None:
    """Writes `statistics` f16 [count,rungs,frames,2,144,140] of ladders of the first `count` photos that are trained on."""
    items = json.loads((folder / "labels.json").read_text())
    names = [item["file"] for item in items if not is_test_photo(Path(item["file"]).name)][:count]
    jobs = [(folder / name, rungs, number, np.random.default_rng([seed, zlib.crc32(name.encode()), 1]))
            for number, name in enumerate(names)]  # fmt: skip
    values = list(spread(_ladder_statistics, jobs, workers))
    part = target.with_name(f".{os.getpid()}.{target.name}")
    np.savez(part, statistics=np.stack(values))
    os.replace(part, target)


def load_photo_ladders(file: Path) -> torch.Tensor:
    """What `write_photo_ladders` left, f16."""
    with np.load(file) as data:
        return torch.from_numpy(data["statistics"])
