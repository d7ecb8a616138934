"""Stills with dense labels, made in numpy: many crops of few contents, each in a group of differently degraded versions.

The clips of `render.py` hold real codecs with measured VMAF but few distinct pictures; here every group has a new crop,
scale, colour and light, so that what is wrong is learned apart from what is shown. A shard holds `statistics` f16
[n,2,144,140] (squash, fragments) and its labels.
"""

import os
import subprocess
import time
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import torch
from PIL import Image

from .book import parameters
from .dataset import PRISTINE
from .drawn import drawn_picture, flattened
from .processes import spread
from .recipes import BLUR_VMAF, LOCAL_CODECS, TYPES, codec_arguments, jpeg_quality, strength_target
from .sources import Source
from .statistics import cell_statistics
from .views import AREA, GRID, SIZE, centred_views, sampled_fragments

# Mean absolute change of luma inside a degraded area below which nobody sees what the label says.
SEEN = {"blur": 0.7, "noise": 2.0, "overexposure": 5.0, "underexposure": 4.0, "compression": 0.9}
SIDES = [(960, 540), (960, 540), (960, 540), (848, 480), (768, 432), (640, 480), (720, 720), (540, 960), (640, 360),
         (1280, 720), (512, 512), (1024, 576)]  # fmt: skip

Planes = list[np.ndarray]


def planes_of(picture: np.ndarray) -> Planes:
    """RGB u8 [h,w,3] with even sides to Y, Cb, Cr of yuv420p, limited range (BT.601)."""
    full = cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb)
    size = (picture.shape[1] // 2, picture.shape[0] // 2)
    luma = cv2.convertScaleAbs(full[..., 0], alpha=219 / 255, beta=16)
    chroma = [cv2.resize(full[..., i], size, interpolation=cv2.INTER_AREA) for i in (2, 1)]
    return [luma, *(cv2.convertScaleAbs(plane, alpha=224 / 255, beta=128 * 31 / 255) for plane in chroma)]


def picture_of(planes: Planes) -> np.ndarray:
    """The inverse of `planes_of`."""
    height, width = planes[0].shape
    luma = cv2.LUT(planes[0], np.clip((np.arange(256) - 16) * 255 / 219 + 0.5, 0, 255).astype(np.uint8))
    table = np.clip((np.arange(256) - 128) * 255 / 224 + 128.5, 0, 255).astype(np.uint8)
    blue, red = (cv2.resize(cv2.LUT(p, table), (width, height), interpolation=cv2.INTER_CUBIC) for p in planes[1:])
    return cv2.cvtColor(cv2.merge([luma, red, blue]), cv2.COLOR_YCrCb2RGB)


# The presets of the recipe book, and those that training draws for files that were coded well.
BOOK_PRESETS = {"x264": ["veryfast"], "x265": ["ultrafast"]}
# What an intra frame is coded worse by, in CRF, to look like a frame of a moving clip: PSNR on pans over photos, and VMAF of
# the rendered clips against that of the stills.
INTRA = {"x264": 6, "x265": 4}
PRESETS = {"x264": ["ultrafast", "veryfast", "medium"], "x265": ["ultrafast", "superfast"]}


def coded(planes: Planes, kind: str, quality: float, rng: np.random.Generator, presets: dict = PRESETS) -> Planes:
    """The planes after one intra frame of an encoder: `jpeg` (quality 1..100), `x264` or `x265` (CRF)."""
    return all_coded([planes], kind, quality, rng, presets)[0]


def all_coded(pictures: list[Planes], kind: str, quality: float, rng: np.random.Generator, presets: dict = PRESETS) -> list[Planes]:
    """Pictures of one size, each coded as an intra frame of its own."""
    if kind == "jpeg":
        out = []
        for planes in pictures:
            bgr = cv2.cvtColor(picture_of(planes), cv2.COLOR_RGB2BGR)
            done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
            if not done:
                raise RuntimeError("the JPEG encoder failed")
            out.append(planes_of(cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)))
        return out
    return through_encoder(pictures, kind, codec_arguments(kind, quality, str(rng.choice(presets[kind])), 1))


CONTAINERS = {"x264": "h264", "x265": "hevc", "av1": "ivf", "vp9": "ivf"}


def through_encoder(pictures: list[Planes], kind: str, arguments: list[str]) -> list[Planes]:
    """Pictures of one size as the frames of a clip, after an encoder with these arguments, on one thread."""
    height, width = pictures[0][0].shape
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostats", "-threads", "1"]
    raw, stream = ["-f", "rawvideo", "-pix_fmt", "yuv420p"], ["-f", CONTAINERS[kind]]
    encode = [*ffmpeg, *raw, "-s", f"{width}x{height}", "-i", "-", *arguments, "-threads", "1", *stream, "-"]
    pixels = b"".join(plane.tobytes() for planes in pictures for plane in planes)
    packets = subprocess.run(encode, input=pixels, capture_output=True, check=True).stdout
    decode = [*ffmpeg, *stream, "-i", "-", "-fps_mode", "passthrough", *raw, "-"]
    frames = np.frombuffer(subprocess.run(decode, input=packets, capture_output=True, check=True).stdout, np.uint8)
    shapes, sizes = [(height, width)] + [(height // 2, width // 2)] * 2, np.cumsum([width * height, width * height // 4])
    return [[part.reshape(shape) for part, shape in zip(np.split(frame, sizes), shapes)]
            for frame in frames.reshape(len(pictures), -1)]  # fmt: skip


def degraded(planes: Planes, kind: str, strength: float, rng: np.random.Generator) -> Planes:
    """The whole picture degraded as ffmpeg would with the recipe book's in-context recipe of this kind. Two things are
    not in the book: JPEG as one of the codecs, and noise in luma alone for half of the noisy pictures."""
    height, width = planes[0].shape
    if kind == "compression":
        codec = str(rng.choice(["jpeg", "jpeg", "x264", "x264", "x265"]))
        if codec == "jpeg":
            return coded(planes, codec, jpeg_quality(strength), rng)
        crf = parameters(LOCAL_CODECS[codec], strength, width, height)["crf"] + INTRA[codec]
        return coded(planes, codec, min(51, crf), rng, BOOK_PRESETS)
    values = parameters(kind, strength, width, height)
    if kind == "blur":
        return [cv2.GaussianBlur(plane, (0, 0), values["sigma"], borderType=cv2.BORDER_REPLICATE) for plane in planes]
    if kind == "noise":
        # ffmpeg's noise of an amount is that over sqrt(3) in standard deviation.
        deviation = values["amount"] / 3**0.5
        noisy = planes if rng.random() < 0.5 else planes[:1]
        out = [np.clip(p + rng.standard_normal(p.shape, np.float32) * deviation + 0.5, 0, 255).astype(np.uint8) for p in noisy]
        return out + planes[len(noisy) :]
    gain, lift = values["gain"], values.get("lift", 0)
    steps = np.arange(256)
    luma = np.clip(16 + (steps - 16) * gain + lift, 16, 235).astype(np.uint8)
    chroma = np.clip(128 + (steps - 128) * gain, 16, 240).astype(np.uint8)
    return [cv2.LUT(plane, chroma if i else luma) for i, plane in enumerate(planes)]


def pasted(planes: Planes, changed: Planes, cells: tuple[int, int, int, int]) -> tuple[Planes, tuple[slice, slice]]:
    """`changed` inside the cells (column, row, width, height), `planes` outside; and the luma area in pixels."""
    height, width = planes[0].shape
    column, row, across, down = cells
    x, y = int(column * width / GRID / 2) * 2, int(row * height / GRID / 2) * 2
    w, h = int(width * across / GRID / 2) * 2, int(height * down / GRID / 2) * 2
    out = [plane.copy() for plane in planes]
    for i in range(3):
        k = 2 if i else 1
        at = slice(y // k, (y + h) // k), slice(x // k, (x + w) // k)
        out[i][at] = changed[i][at]
    return out, (slice(y, y + h), slice(x, x + w))


def varied_picture(pictures: list[np.ndarray], rng: np.random.Generator, plain: bool) -> np.ndarray:
    """A new undegraded picture with even sides: crop, scale, mirror, light and colour of a source picture; now and then
    drawn, flattened like a cartoon, or out of focus outside a soft spot (never along a rectangle)."""
    picture = pictures[int(rng.integers(len(pictures)))]
    drawn = rng.random() < 0.07
    if drawn:
        picture = drawn_picture(rng)
    width, height = SIDES[int(rng.integers(len(SIDES)))]
    if plain or rng.random() < 0.25:
        # The whole picture, at most the analysis canvas.
        scale = min(1.0, (AREA / picture.shape[0] / picture.shape[1]) ** 0.5)
        width, height = (int(side * scale / 2 + 0.5) * 2 for side in picture.shape[1::-1])
        window = (picture.shape[1], picture.shape[0])
    else:
        fit = min(picture.shape[1] / width, picture.shape[0] / height)
        zoom = min(fit, float(rng.uniform(max(0.8, 0.5 * fit), max(1.0, fit))))
        window = int(width * zoom), int(height * zoom)
    x, y = (int(rng.integers(0, room + 1)) for room in (picture.shape[1] - window[0], picture.shape[0] - window[1]))
    picture = picture[y : y + window[1], x : x + window[0]]
    shrinks = window[0] > width
    picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    if plain:
        return np.ascontiguousarray(picture)
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    picture = np.ascontiguousarray(picture)
    draw = rng.random()
    if draw < 0.05 and not drawn:
        picture = flattened(picture, int(rng.integers(12, 48)))
    elif draw < 0.11:
        spot = np.zeros((height, width), np.float32)
        centre = int(rng.uniform(0.15, 0.85) * width), int(rng.uniform(0.15, 0.85) * height)
        axes = int(rng.uniform(0.12, 0.4) * width), int(rng.uniform(0.15, 0.5) * height)
        cv2.ellipse(spot, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
        spot = cv2.GaussianBlur(spot, (0, 0), float(rng.uniform(6, 40)))[..., None]
        away = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(2, 8)))
        picture = (picture * spot + away * (1 - spot)).astype(np.uint8)
    if rng.random() < 0.6:
        gamma = float(np.exp(rng.normal(0, 0.22))) * (1.5 if rng.random() < 0.1 else 1)
        tint = rng.uniform(0.93, 1.05, 3)
        table = 255 * (np.arange(256)[:, None] / 255) ** gamma * tint
        picture = cv2.LUT(picture, np.clip(table, 0, 255).astype(np.uint8)[None])
    if rng.random() < 0.2:
        light = cv2.resize(rng.uniform(0.45, 1.15, (3, 4)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
        picture = np.clip(picture * light[..., None], 0, 255).astype(np.uint8)
    return picture


def make_group(pictures: list[np.ndarray], rng: np.random.Generator, versions: int, jitter: bool, plain: bool) -> list[dict]:
    """Versions of one new picture: `views` u8 [2,384,384,3] and the labels of each. The first is pristine."""
    base = planes_of(varied_picture(pictures, rng, plain))
    if rng.random() < 0.4:
        # What reached the maker of the flaw had been coded well before.
        base = coded(
            base, *(("jpeg", float(rng.uniform(88, 98))) if rng.random() < 0.5 else ("x264", float(rng.uniform(10, 20)))), rng
        )
    group, made = [], []
    for version in range(versions):
        draw = 1.0 if version == 0 else rng.random()
        kind, strength, cells, seen, change = "none", 0.0, (0, 0, GRID, GRID), True, 1.0
        planes = base
        if draw < 0.93:
            kind = TYPES[1 + int(rng.integers(5))]
            strength = float(np.clip(rng.integers(1, 4) + rng.uniform(-0.2, 0.2), 0.8, 3.2))
            local = draw < 0.66
            if not local and rng.random() < 0.5:
                strength = float(rng.uniform(0.5, 3.4))
            planes, area = degraded(base, kind, strength, rng), (slice(None), slice(None))
            if local:
                cells = (*(int(v) for v in rng.integers(0, GRID // 2 + 1, 2)), GRID // 2, GRID // 2)
                planes, area = pasted(base, planes, cells)
            change = float(cv2.absdiff(planes[0][area], base[0][area]).mean()) / SEEN[kind]
            seen = change >= 1
        whole = float(np.interp(strength, *BLUR_VMAF)) if kind == "blur" else strength_target("noise", strength)
        share = cells[2] * cells[3] / GRID**2 * min(1.0, change)
        made.append(planes)
        group.append({"kind": TYPES.index(kind), "severity": strength, "cells": cells, "seen": seen,
                      "target": PRISTINE - share * (PRISTINE - whole)})  # fmt: skip
    if rng.random() < 0.5:
        # Half of the versions of half of the groups are coded well afterwards, as files are.
        codec, quality = ("x264", rng.uniform(12, 20)) if rng.random() < 0.7 else ("jpeg", rng.uniform(88, 97))
        chosen = [i for i in range(versions) if i == 0 or rng.random() < 0.5]
        for i, planes in zip(chosen, all_coded([made[i] for i in chosen], codec, float(quality), rng)):
            made[i] = planes
    for item, planes in zip(group, made):
        picture = picture_of(planes)
        item["views"] = centred_views(picture)
        if jitter:
            item["views"][1] = sampled_fragments(picture, rng)
    return group


def source_pictures(source: Source, photo: Path | None) -> list[np.ndarray]:
    """RGB pictures of a source: two a second of a video, or the photo itself, at least 384 px on every side."""
    if photo is not None:
        with Image.open(photo) as image:
            pictures = [np.asarray(image.convert("RGB"))]
    else:
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-threads", "1", "-i", f"file:{source.path}", "-vf",
                   f"select='not(mod(n,{max(1, source.rate // 2)}))',format=rgb24", "-fps_mode", "passthrough",
                   "-f", "rawvideo", "-"]  # fmt: skip
        data = subprocess.run(command, capture_output=True, check=True).stdout
        pictures = list(np.frombuffer(data, np.uint8).reshape(-1, source.height, source.width, 3))
    out = []
    for picture in pictures:
        scale = max(1.0, SIZE / min(picture.shape[:2]))
        if scale > 1:
            size = tuple(int(side * scale + 1) // 2 * 2 for side in picture.shape[1::-1])
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
        out.append(picture)
    return out


def write_stills(
    folder: Path,
    pictures: list[list[np.ndarray]],
    groups: int,
    versions: int,
    seed: int,
    workers: int,
    *,
    held_out: bool,
    per_shard: int = 40,
) -> None:
    """Writes the shards of `groups` groups that are not there yet; every source takes its turn. Held-out groups have
    the centred fragments of inference and every other one is the whole source picture."""
    folder.mkdir(parents=True, exist_ok=True)
    start, made = time.time(), 0
    jobs = [(folder / f"{shard:04d}.npz", range(first, min(groups, first + per_shard)), versions, seed, held_out)
            for shard, first in enumerate(range(0, groups, per_shard))]  # fmt: skip
    jobs = [job for job in jobs if not job[0].exists()]
    for (target, numbers, *_), _ in zip(jobs, spread(_write_shard, jobs, workers, (pictures,))):
        made += len(numbers) * versions
        print(f"{folder.name} stills: shard {target.stem}, {made / (time.time() - start):.1f} a second", flush=True)


def _write_shard(pictures: list[list[np.ndarray]], target: Path, groups: range, versions: int, seed: int, held_out: bool) -> None:
    cv2.setNumThreads(1)
    items, numbers = [], []
    for group in groups:
        rng = np.random.default_rng([seed, group, int(held_out)])
        source = np.random.default_rng([seed, group // len(pictures)]).permutation(len(pictures))[group % len(pictures)]
        items += make_group(pictures[source], rng, versions, not held_out, held_out and group % 2 == 0)
        numbers += [group] * versions
    views = torch.from_numpy(np.stack([item["views"] for item in items]))
    values = torch.cat([cell_statistics()(pair)[None] for pair in views])
    part = target.with_name(f".{os.getpid()}.{target.name}")
    np.savez(part, statistics=values.half().numpy(), group=np.array(numbers),
             **{key: np.array([item[key] for item in items]) for key in ("kind", "severity", "cells", "seen", "target")})  # fmt: skip
    os.replace(part, target)
