"""Degraded clips with labels: encode, decode, measure VMAF, keep the two views and the motion frames.

One item is an `.npz` without compression:
`squash` u8 [n,384,384,3] and `fragments` u8 [n,j,384,384,3] of n frames (every key frame and the frame half a second
later), `positions` i64 [n] their frame numbers, `motion` u8 [N,48,48,3] of all N frames, `vmaf` f32 and `vmaf_frames`
i64 of the measured frames, `meta` JSON.
"""

import json
import os
import shutil
import tempfile
import time
import zlib
from dataclasses import asdict
from pathlib import Path

import numpy as np

from .dataset import statistics_file, write_statistics
from .ffmpeg import run_ffmpeg
from .processes import spread
from .recipes import Recipe, draw_ladder, draw_recipe, ladder_recipe, strength_target
from .sources import Source
from .views import GRID, centred_views, enlarged, sampled_fragments

MOTION_SIZE = 48
LADDERS = {
    "pristine": [0],
    "x264": [20, 24, 28, 32, 36, 40, 44],
    "x265": [22, 28, 34, 40, 46],
    "vp9": [20, 32, 42, 52, 60],
    "av1": [26, 36, 46, 54, 62],
    "scaling": [1.5, 2, 3, 4],
    "blur": [0.5, 1.5, 2.5],
    "noise": [0.5, 1.5, 2.5],
    "overexposure": [0.5, 1.5, 2.5],
    "underexposure": [0.5, 1.5, 2.5],
}
PHOTO_LADDERS = {kind: LADDERS[kind] for kind in ("pristine", "scaling", "blur", "noise", "overexposure", "underexposure")} | {
    "x264": [24, 32, 40], "mjpeg": [4, 12, 28],
}  # fmt: skip

# How many of the fragments that are trained on come from the frame at twice its size.
ENLARGED = 0.3
# Encoders whose settings show least, as they smooth evenly: photos have ladders of these, and those of videos are longer.
SMOOTH_CODECS = ("av1", "vp9")


def vmaf_step(rate: int) -> int:
    """Every how many frames VMAF is measured: a divisor of the rate, so that every key frame is."""
    return next(step for step in (5, 6, 4, 3, 2, 1) if rate % step == 0)


def render_item(
    source: Source, recipe: Recipe, start: int, frames: int, target: Path, jitters: int, seed: list[int], ladder: str | None = None
) -> None:
    """Renders one degraded clip of `frames` frames from `start` and writes the item's file.

    With jitters = 0 the fragments are the centred ones of inference, otherwise that many random samplings. `ladder` names
    the clips that differ in nothing but one encoder's quality.
    """
    rng = np.random.default_rng(seed)
    rate, step = source.rate, vmaf_step(source.rate)
    half = max(step, round(rate / 2 / step) * step)
    width, height = source.width, source.height
    cells = [0, 0, GRID, GRID]
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        folder = Path(name)
        trim = f"trim=start_frame={start}:end_frame={start + frames},settb=1/{rate},setpts=N,format=yuv420p"
        inputs = ["-threads", "1", "-i", f"file:{source.path}"]
        graph = f"[0:v]{trim},split[r][x];"
        if recipe.codec is None:
            chain = ",".join(part for part in (recipe.before, recipe.after) if part) or "null"
            graph += f"[x]split[w][z];[w]{chain},format=yuv420p[y];"
        else:
            coded = folder / "coded.mkv"
            before = f"{trim},{recipe.before}" if recipe.before else trim
            run_ffmpeg([*inputs, "-vf", before, "-an", "-threads", "1", "-fps_mode", "passthrough",
                        *recipe.codec, "-threads", "1"], coded)  # fmt: skip
            inputs += ["-threads", "1", "-i", f"file:{coded}"]
            after = f",{recipe.after}" if recipe.after else ""
            # mjpeg decodes to full-range pixels: brought back to the reference's range before anything is compared.
            graph += f"[x]copy[z];[1:v]settb=1/{rate},setpts=N{after},scale=in_range=auto:out_range=tv,format=yuv420p[y];"
        if recipe.local:
            column, row = (int(value) for value in rng.integers(0, GRID // 2 + 1, 2))
            cells = [column, row, GRID // 2, GRID // 2]
            x, y = (int(position * side / GRID / 2) * 2 for position, side in ((column, width), (row, height)))
            w, h = (int(side / 4) * 2 for side in (width, height))
            graph += f"[y]crop={w}:{h}:{x}:{y}[p];[z][p]overlay={x}:{y}:format=yuv420,format=yuv420p[d];"
        else:
            graph += "[z]nullsink;[y]copy[d];"
        flags = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp:param0=0:param1=0.5"
        log, keys, motion = folder / "vmaf.json", folder / "keys", folder / "motion"
        graph += (
            f"[d]split=3[a][b][c];[a][r]libvmaf=n_threads=1:n_subsample={step}:log_fmt=json:log_path={log}[v];"
            f"[b]select='not(mod(n,{rate}))+not(mod(n-{half},{rate}))',scale={flags},format=rgb24[k];"
            f"[c]scale={MOTION_SIZE}:{MOTION_SIZE}:{flags},format=rgb24[m]"
        )
        run_ffmpeg([*inputs, "-filter_complex_threads", "1", "-filter_complex", graph, "-map", "[v]", "-f", "null", "-",
                    "-map", "[k]", "-fps_mode", "passthrough", "-f", "rawvideo", f"file:{keys}",
                    "-map", "[m]", "-fps_mode", "passthrough", "-f", "rawvideo", f"file:{motion}"])  # fmt: skip
        pictures = np.fromfile(keys, np.uint8).reshape(-1, height, width, 3)
        moving = np.fromfile(motion, np.uint8).reshape(-1, MOTION_SIZE, MOTION_SIZE, 3)
        if len(moving) != frames:
            raise RuntimeError(f"{source.content}: {len(moving)} frames instead of {frames} after {recipe}")
        measured = json.loads(log.read_text())["frames"]
    positions = np.array([n for n in range(frames) if n % rate == 0 or n % rate == half], np.int64)
    meta = {
        "content": source.content, "source_kind": source.kind, "rate": rate, "start": start, "frames": frames,
        "recipe": asdict(recipe), "cells": cells, "strength_target": strength_target(recipe.kind, recipe.strength),
        "ladder": ladder,
    }  # fmt: skip
    views = np.stack([centred_views(picture) for picture in pictures])
    sampled = views[:, 1:]
    if jitters:
        large = rng.random((len(pictures), jitters)) < ENLARGED
        sampled = np.stack([[sampled_fragments(enlarged(picture) if twice else picture, rng) for twice in row]
                            for picture, row in zip(pictures, large)])  # fmt: skip
    part = target.with_name(f".{os.getpid()}.{target.name}")
    np.savez(
        part,
        squash=views[:, 0],
        fragments=sampled,
        positions=positions,
        motion=moving,
        vmaf=np.array([frame["metrics"]["vmaf"] for frame in measured], np.float32),
        vmaf_frames=np.array([frame["frameNum"] for frame in measured], np.int64),
        meta=json.dumps(meta),
    )
    os.replace(part, target)


def _render_job(*job) -> None:
    if not job[4].exists():
        render_item(*job)
    write_statistics(job[4])


def _plan_random(sources: list[Source], count: int, data: dict, seed: int, jitters: int, folder: Path, share: float) -> list[tuple]:
    """`count` random items; every content takes its turn, in an order shuffled round by round."""
    jobs = []
    pools = {kind: [source for source in sources if source.kind == kind] for kind in ("video", "photo")}
    turns = {"video": [], "photo": []}
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        kind = "video" if rng.random() < share else "photo"
        if not pools[kind]:
            kind = "photo" if kind == "video" else "video"
        if not turns[kind]:
            turns[kind] = [pools[kind][i] for i in rng.permutation(len(pools[kind]))]
        source = turns[kind].pop()
        recipe = draw_recipe(data["kinds"], data["local"], source.width, source.height, rng)
        seconds = int(rng.integers(data["seconds"][0], data["seconds"][1] + 1))
        frames = min(seconds * source.rate, source.frames // source.rate * source.rate)
        start = int(rng.integers(0, source.frames - frames + 1))
        jobs.append((source, recipe, start, frames, folder / f"{index:05d}.npz", jitters, [seed, index, 1], None))
    return jobs


def _plan_codecs(sources: list[Source], drawn: list[Source], data: dict, seed: int, folder: Path) -> list[tuple]:
    """Ladders of codecs of what is trained on, VERSIONS rungs each: of every video `video_ladders` of each codec, of every
    photo one of SMOOTH_CODECS, of every made-up picture one of any; two seconds of a video with SMOOTH_CODECS, else one."""
    jobs, kinds = [], data["video_ladders"]
    plan = [(source, kind, n) for source in sources if source.kind == "video" for kind, count in kinds.items() for n in range(count)]
    photos = [source for source in sources if source.kind == "photo"]
    for pictures, codecs in ((photos, SMOOTH_CODECS), (drawn, tuple(kinds))):
        plan += [(source, codecs[n % len(codecs)], 0) for n, source in enumerate(pictures)]
    for source, kind, number in plan:
        seconds = 2 if source.kind == "video" and kind in SMOOTH_CODECS else 1
        ladder = f"{source.content}-{kind}-{number}"
        rng = np.random.default_rng([seed, zlib.crc32(ladder.encode())])
        frames = min(seconds, source.frames // source.rate) * source.rate
        start = int(rng.integers(0, source.frames - frames + 1))
        for rung, recipe in enumerate(draw_ladder(kind, data["rungs"], rng)):
            # One seed for all rungs: their fragments are cut at the same places.
            target, drawn_by = folder / f"ladder-{ladder}-{rung}.npz", [seed, zlib.crc32(ladder.encode()), 1]
            jobs.append((source, recipe, start, frames, target, data["jitters"], drawn_by, ladder))
    return jobs


def _plan_ladders(sources: list[Source], folder: Path) -> list[tuple]:
    """Every rung of every ladder for each held-out content: three seconds of a video, two of a photo."""
    jobs = []
    for source in sources:
        frames = min(3 if source.kind == "video" else 2, source.frames // source.rate) * source.rate
        for kind, values in (LADDERS if source.kind == "video" else PHOTO_LADDERS).items():
            for value in values:
                recipe = ladder_recipe(kind, value, source.width, source.height)
                name = f"{source.content}-{kind}-{value:g}.npz"
                jobs.append((source, recipe, 0, frames, folder / name, 0, [zlib.crc32(name.encode())], None))
    return jobs


def render(sources: list[Source], config: dict, work: Path, part: str, workers: int, drawn: list[Source] = ()) -> None:
    """Renders the items of one part, and their statistics: `train` (with ladders of `drawn` clips, too), `random` (held-out
    contents, drawn like training) or `ladders`; what is there already is kept. Raises ValueError where the split leaves the
    part without sources."""
    folder, data, seed = work / part, config["data"], config["seed"]
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [source for source in sources if source.held_out == (part != "train")]
    if not chosen:
        side = "training" if part == "train" else "held-out"
        raise ValueError(f"the split leaves no {side} source: add sources from more repositories")
    if part == "train":
        jobs = _plan_random(chosen, data["train_clips"], data, seed, data["jitters"], folder, data["video_share"])
        jobs += _plan_codecs(chosen, drawn, data, seed, folder)
    elif part == "random":
        jobs = _plan_random(chosen, data["held_out_clips"], data, seed + 1, 0, folder, data["video_share"])
    else:
        jobs = _plan_ladders(chosen, folder)
    for left in folder.glob("tmp*"):
        shutil.rmtree(left, ignore_errors=True)
    jobs = [job for job in jobs if not statistics_file(job[4]).exists()]
    start = time.time()
    for done, _ in enumerate(spread(_render_job, jobs, workers), 1):
        if done % 20 == 0 or done == len(jobs):
            print(f"{part}: {done}/{len(jobs)} clips, {(time.time() - start) / done:.2f} s each", flush=True)
