"""Clean pictures that look damaged to what learned from a camera alone: made-up screens, cartoons and flattened photos."""

import json
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from .sources import Source, photo_clip


def _gradient(first: np.ndarray, last: np.ndarray, rows: int, height: int, width: int) -> np.ndarray:
    """From one colour to another over `rows`, one or all, RGB u8 [height,width,3]."""
    ramp = np.linspace(0, 1, rows)[:, None, None]
    return np.ascontiguousarray(np.broadcast_to(first * (1 - ramp) + last * ramp, (height, width, 3)).astype(np.uint8))


def _colour(rng: np.random.Generator, low: int = 0, high: int = 256) -> tuple[int, ...]:
    return tuple(int(v) for v in rng.integers(low, high, 3))


def drawn_picture(rng: np.random.Generator) -> np.ndarray:
    """A made-up screen, RGB u8 [540,960,3]: flat areas, gradients, hard edges and text. Clean, however empty it is."""
    top, bottom = rng.integers(0, 256, (2, 3)) if rng.random() < 0.6 else np.repeat(rng.integers(0, 256, (2, 1)), 3, 1)
    picture = _gradient(top, bottom, 540 if rng.random() < 0.5 else 1, 540, 960)
    fonts = [cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_PLAIN]
    for _ in range(int(rng.integers(2, 14))):
        colour = _colour(rng)
        x, y = int(rng.integers(0, 960)), int(rng.integers(0, 540))
        w, h = (int(v) for v in rng.integers(10, 400, 2))
        shape = int(rng.integers(0, 5))
        if shape == 0:
            cv2.rectangle(picture, (x, y), (x + w, y + h), colour, -1)
        elif shape == 1:
            cv2.ellipse(picture, (x, y), (w // 2, h // 2), float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
        elif shape == 2:
            cv2.fillPoly(
                picture,
                [rng.integers(0, 540, (int(rng.integers(3, 7)), 2)).astype(np.int32) + [x // 2, 0]],
                colour,
                cv2.LINE_AA,
            )
        else:
            size, font = float(rng.uniform(0.4, 2)), fonts[int(rng.integers(4))]
            for line in range(int(rng.integers(1, 12))):
                text = "".join(
                    rng.choice(list("abcdefghijklmno pqrstu vwxyz ABCDE 0123456789 .,"))
                    for _ in range(int(rng.integers(4, 50)))
                )
                cv2.putText(
                    picture,
                    text,
                    (x // 2, y // 2 + int(line * 34 * size)),
                    font,
                    size,
                    colour,
                    int(rng.integers(1, 3)),
                    cv2.LINE_AA,
                )
    return picture


def _outline(rng: np.random.Generator, centre: np.ndarray, size: float) -> np.ndarray:
    """A closed smooth shape around a centre, i32 [96,2]: a circle with waves, stretched and turned."""
    turn = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    radius = 1 + sum(rng.uniform(0, 0.5 / k) * np.cos(k * turn + rng.uniform(0, 2 * np.pi)) for k in range(2, 6))
    shape = np.stack([np.cos(turn), np.sin(turn) * rng.uniform(0.4, 1)], 1) * (size * radius)[:, None]
    angle = rng.uniform(0, 2 * np.pi)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.rint(shape @ rotation.T + centre).astype(np.int32)


def cartoon_picture(rng: np.random.Generator) -> np.ndarray:
    """A made-up frame of an animated cartoon, RGB u8 [1080,1920,3]: a sky, hills behind each other, and figures of flat
    colours with a shadow, a light and, in most, an outline. Clean, however smooth it is."""
    height, width = 1080, 1920
    picture = _gradient(rng.uniform(40, 256, 3), rng.uniform(40, 256, 3), height, height, width)
    across = np.arange(width)
    for level in range(int(rng.integers(0, 4))):
        line = height * rng.uniform(0.3 + 0.15 * level, 0.6 + 0.15 * level)
        line = line + sum(rng.uniform(0, 90 / k) * np.sin(k * across / 300 + rng.uniform(0, 6)) for k in range(1, 4))
        ground = np.concatenate([np.stack([across, line], 1), [[width, height], [0, height]]]).astype(np.int32)
        cv2.fillPoly(picture, [ground], _colour(rng, 20), cv2.LINE_AA)
    if rng.random() < 0.5:
        # Painted backgrounds are softer than what moves before them.
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(1, 12)))
    ink = _colour(rng, 0, 60)
    stroke = int(rng.integers(2, 9)) if rng.random() < 0.7 else 0
    for _ in range(int(rng.integers(3, 16))):
        centre, size = rng.uniform(0, [width, height]), rng.uniform(30, 280)
        colour = _colour(rng, 20)
        shape = _outline(rng, centre, size)
        figure, inside = picture.copy(), np.zeros((height, width), np.uint8)
        cv2.fillPoly(inside, [shape], 255, cv2.LINE_AA)
        cv2.fillPoly(figure, [shape], colour, cv2.LINE_AA)
        for shade, share in ((0.7, 0.9), (1.25, 0.35)):
            if rng.random() < 0.6:
                part = _outline(rng, centre + rng.uniform(-0.7, 0.7, 2) * size, size * share)
                cv2.fillPoly(figure, [part], tuple(int(min(255, v * shade)) for v in colour), cv2.LINE_AA)
        if rng.random() < 0.3:
            figure = cv2.GaussianBlur(figure, (0, 0), float(rng.uniform(2, 10)))
        cover = inside[..., None] / 255
        picture = np.rint(figure * cover + picture * (1 - cover)).astype(np.uint8)
        if stroke:
            cv2.polylines(picture, [shape], True, ink, stroke, cv2.LINE_AA)
    return picture


def flattened(picture: np.ndarray, step: int) -> np.ndarray:
    """A photo, RGB u8 [h,w,3], as a cartoon of the same size: smooth areas in tones `step` apart with sharp edges."""
    height, width = picture.shape[:2]
    flat = cv2.bilateralFilter(cv2.pyrDown(picture), 9, 60, 9)
    flat = cv2.resize(flat // step * step + step // 2, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.addWeighted(flat, 1.6, cv2.GaussianBlur(flat, (0, 0), 1.5), -0.6, 0)


def drawn_sources(photos: list[Path], count: int, work: Path, seed: int) -> list[Source]:
    """`count` clips to train on, rendered once to `work`: made-up screens, flattened photos and cartoons in turn."""
    folder = work / "drawn"
    folder.mkdir(parents=True, exist_ok=True)
    sources = []
    for number in range(count):
        content = f"drawn-{number:03d}"
        rng = np.random.default_rng([seed, zlib.crc32(content.encode())])
        clip, note = folder / f"{content}.mkv", folder / f"{content}.json"
        if not note.exists():
            if number % 3 == 1 and photos:
                with Image.open(photos[number // 3 % len(photos)]) as image:
                    image.thumbnail((1600, 1600))
                    picture = flattened(np.asarray(image.convert("RGB")), int(rng.integers(12, 48)))
            elif number % 3 == 2:
                picture = cartoon_picture(rng)
            else:
                picture = drawn_picture(rng)
            still = folder / f"{content}.png"
            Image.fromarray(picture).save(still)
            note.write_text(json.dumps(photo_clip(still, clip, rng)))
            still.unlink()
        sources.append(Source(content, "photo", "made", "none", clip, *json.loads(note.read_text()), held_out=False))
    return sources
