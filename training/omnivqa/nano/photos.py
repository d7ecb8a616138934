"""Photos with people's scores (LIVE In the Wild Image Quality Challenge): statistics, and a split by file name."""

import json
import os
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .views import SIZE, centred_views, sampled_fragments


def is_test_photo(name: str) -> bool:
    """A fifth of the photos, by a hash of the file name; never trained on."""
    return zlib.crc32(name.encode()) % 5 == 0


def write_photos(folder: Path, target: Path, variants: int, seed: int, statistics) -> None:
    """Writes `statistics` f16 [n,variants,2,144,140], `mos` [n] and `held_out` [n] of the photos in
    `folder/labels.json`. The first variant is what inference sees; the others are crops of at least 85 % of each side
    with fragments at random places."""
    items = json.loads((folder / "labels.json").read_text())
    values = np.empty((len(items), variants, 2, 144, 140), np.float16)
    for i, item in enumerate(items):
        rng = np.random.default_rng([seed, zlib.crc32(item["file"].encode())])
        with Image.open(folder / item["file"]) as image:
            photo = np.asarray(image.convert("RGB"))
        for variant in range(variants):
            views = centred_views(photo)
            if variant:
                side = [max(min(SIZE, size), int(rng.uniform(0.85, 1) * size)) for size in photo.shape[:2]]
                y, x = (int(rng.integers(0, size - kept + 1)) for size, kept in zip(photo.shape, side))
                crop = np.ascontiguousarray(photo[y : y + side[0], x : x + side[1]])
                views = np.stack([centred_views(crop)[0], sampled_fragments(crop, rng)])
            values[i, variant] = statistics(torch.from_numpy(views)).half().numpy()
    part = target.with_name(f".{os.getpid()}.{target.name}")
    np.savez(part, statistics=values, mos=np.array([item["mos"] for item in items]),
             held_out=np.array([is_test_photo(Path(item["file"]).name) for item in items]))  # fmt: skip
    os.replace(part, target)
