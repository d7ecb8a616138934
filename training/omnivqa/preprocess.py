"""Pixels: which frames are taken, and how Pillow makes the square pictures the network sees."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from .config import ModelConfig, View, VisionConfig


def key_frames(frames: int, fps: float) -> list[int]:
    """Indices 0, r, 2r, … of the key frames of a clip of `frames` frames; r = round(average fps), at least 1."""
    return list(range(0, frames, max(1, int(fps + 0.5))))


def squash(frame: np.ndarray, size: int) -> np.ndarray:
    """u8 [h,w,3] to u8 [size,size,3]: Pillow's bicubic (a = -0.5, antialiased where it shrinks), aspect not kept."""
    return np.asarray(Image.fromarray(frame).resize((size, size), Image.Resampling.BICUBIC))


def fragments(frame: np.ndarray, grid: int, cell: int, area: int) -> np.ndarray:
    """u8 [h,w,3] to u8 [grid*cell,grid*cell,3]: the centred cell x cell patch of each cell of a grid over the frame.

    The frame keeps its pixels where it can: it is shrunk only to at most `area` px, grown only where a side is too
    short for its patches. After Wu et al., "FAST-VQA" (ECCV 2022), with fixed instead of random places.
    """
    height, width = frame.shape[:2]
    scale = min(1.0, (area / (width * height)) ** 0.5)
    size = tuple(max(grid * cell, int(side * scale + 0.5)) for side in (width, height))
    canvas = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC))
    width, height = size
    out = np.empty((grid * cell, grid * cell, 3), np.uint8)
    for row in range(grid):
        top, bottom = row * height // grid, (row + 1) * height // grid
        y = top + (bottom - top - cell) // 2
        for column in range(grid):
            left, right = column * width // grid, (column + 1) * width // grid
            x = left + (right - left - cell) // 2
            target = out[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]
            target[:] = canvas[y : y + cell, x : x + cell]
    return out


def view_pixels(frame: np.ndarray, view: View, config: VisionConfig) -> np.ndarray:
    """u8 [h,w,3] to u8 [S,S,3]."""
    if view.kind == "squash":
        return squash(frame, config.image_size)
    return fragments(frame, config.grid, view.cell, view.area)


def clip_pixels(frames: Sequence[np.ndarray], fps: float, config: ModelConfig) -> tuple[np.ndarray, np.ndarray | None]:
    """All frames of a clip, u8 [h,w,3] each, to the pixels of its key frames u8 [K,V,S,S,3] and, where the network has
    a motion branch, of every frame that enters it, u8 [T,M,M,3]."""
    keys = key_frames(len(frames), fps)
    key = np.stack([[view_pixels(frames[i], view, config.vision) for view in config.vision.views] for i in keys])
    if config.motion is None:
        return key, None
    used, size = config.motion.frames_used(len(frames)), config.motion.image_size
    motion = np.empty((used, size, size, 3), np.uint8)
    for i in range(used):
        motion[i] = squash(frames[i], size)
    return key, motion
