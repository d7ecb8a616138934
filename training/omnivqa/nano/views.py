"""The two views of a frame that Nano sees; training places the fragments at random, inference centres them."""

import numpy as np
from PIL import Image

from ..preprocess import fragments, squash

GRID = 12
CELL = 32
SIZE = GRID * CELL
AREA = 518_400


def centred_views(frame: np.ndarray) -> np.ndarray:
    """u8 [h,w,3] to u8 [2,384,384,3]: squash and fragments as at inference."""
    return np.stack([squash(frame, SIZE), fragments(frame, GRID, CELL, AREA)])


def enlarged(frame: np.ndarray) -> np.ndarray:
    """The same picture on twice as many lines and columns, as it is often delivered: judged, it should stay the same."""
    height, width = frame.shape[:2]
    return np.asarray(Image.fromarray(frame).resize((2 * width, 2 * height), Image.Resampling.LANCZOS))


def sampled_fragments(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """u8 [h,w,3] to u8 [384,384,3]: as `fragments`, each patch at a random place of its cell."""
    height, width = frame.shape[:2]
    scale = min(1.0, (AREA / (width * height)) ** 0.5)
    size = tuple(max(SIZE, int(side * scale + 0.5)) for side in (width, height))
    canvas = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC))
    width, height = size
    out = np.empty((SIZE, SIZE, 3), np.uint8)
    for row in range(GRID):
        top, bottom = row * height // GRID, (row + 1) * height // GRID
        for column in range(GRID):
            left, right = column * width // GRID, (column + 1) * width // GRID
            y, x = int(rng.integers(top, bottom - CELL + 1)), int(rng.integers(left, right - CELL + 1))
            target = out[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
            target[:] = canvas[y : y + CELL, x : x + CELL]
    return out
