"""Stage 2: the motion pathway on 48x48 frames, taught to see stutter, freezes and what only looks like them.

Stutter as in Jia et al. (arXiv 2505.22543): the frames of a second are shown again in the next one, whose own are
dropped. A token sees a few frames to each side, so it cannot see the repetition itself: it sees the jump back where the
repeated second begins and the jump ahead where it ends; the tokens of that second together tell it. Everything is made
on the fly from undegraded videos and from pans over photos.
"""

import json
import math
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import rankdata
from torch import nn

from .precision import halved
from .sources import Source

SIDE = 48
STILL_SIDE = 192
# What is at a frame: nothing, a repeated frame, a jump in time, a cut to something else.
LABELS = ["none", "held", "jump", "cut"]
# Mean absolute difference (0..255) over a second's motion below which nobody can tell a repetition.
MOVING = 2.0
RATES = [24, 25, 30]
# Of the samples, where there are both kinds of source.
VIDEO_SHARE = 0.67
# Seconds of a hold inside a second from which on the second is affected.
SHORTEST = 0.25


@dataclass
class Run:
    """Undegraded frames u8 [N,48,48,3] at `rate` frames a second, or with `photo` u8 [h,w,3] a picture to pan over."""

    rate: int
    frames: np.ndarray | None = None
    photo: np.ndarray | None = None


@dataclass
class Sample:
    """`frames` u8 [T,48,48,3], `label` i64 [T] (LABELS), `inside` f32 [T] (1 in an affected second or hold) and
    `seconds` f32 [S] (1: affected); T = S * rate, before it is filled up to a batch's length."""

    frames: np.ndarray
    rate: int
    label: np.ndarray
    inside: np.ndarray
    seconds: np.ndarray


def load_runs(sources: list[Source], photos: dict[str, Path], cache: Path) -> list[Run]:
    """The motion frames of videos, kept in `cache`, and small photos for those in `photos` (by content)."""
    cache.mkdir(parents=True, exist_ok=True)
    runs = []
    for source in sources:
        file = cache / f"{source.content}.npy"
        if not file.exists():
            if source.content in photos:
                picture = cv2.cvtColor(cv2.imread(str(photos[source.content])), cv2.COLOR_BGR2RGB)
                scale = STILL_SIDE / min(picture.shape[:2])
                values = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            else:
                command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-threads", "1", "-i", f"file:{source.path}", "-vf",
                           f"scale={SIDE}:{SIDE}:flags=bicubic+accurate_rnd,format=rgb24", "-f", "rawvideo", "-"]  # fmt: skip
                values = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.uint8)
                values = values.reshape(-1, SIDE, SIDE, 3)
            part = file.with_name(f".{os.getpid()}.{file.name}")
            np.save(part, values)
            os.replace(part, file)
        values = np.load(file)
        runs.append(Run(source.rate, values) if values.ndim == 4 else Run(source.rate, photo=values))
    return runs


def _pan(photo: np.ndarray, rate: int, frames: int, rng: np.random.Generator) -> np.ndarray:
    """A camera over a photo: still, slow, fast, shaken, zooming; f32 [frames,48,48,3]."""
    height, width = photo.shape[:2]
    n = np.arange(frames) / rate
    room = np.array([width, height], float)
    speed = 0.0 if rng.random() < 0.15 else float(np.exp(rng.uniform(np.log(4), np.log(160))))
    angle, period = rng.uniform(0, 2 * np.pi), rng.uniform(1, 6, 2)
    drift = (
        speed * n[:, None] * np.array([np.cos(angle), np.sin(angle)]) * (1 + 0.5 * np.sin(2 * np.pi * n / period[0]))[:, None]
    )
    if rng.random() < 0.4:
        shake = np.cumsum(rng.normal(0, rng.uniform(0.2, 1.5), (frames, 2)), 0)
        drift = drift + shake - cv2.blur(shake, (1, max(3, rate)))
    side = float(rng.uniform(0.35, 0.8)) * min(width, height)
    sides = (
        side * (1 + rng.uniform(-0.25, 0.25) * np.sin(2 * np.pi * n / period[1]))
        if rng.random() < 0.5
        else np.full(frames, side)
    )
    low, high = sides.max() / 2, room - sides.max() / 2
    centre = rng.uniform(low, high) + drift
    span = np.maximum(high - low, 1)
    # The camera turns back at the edges of the photo.
    centre = low + span - np.abs((centre - low) % (2 * span) - span)
    out = np.empty((frames, SIDE, SIDE, 3), np.float32)
    for i in range(frames):
        k = sides[i] / SIDE
        matrix = np.array([[k, 0, centre[i, 0] - sides[i] / 2], [0, k, centre[i, 1] - sides[i] / 2]])
        out[i] = cv2.warpAffine(
            photo, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
        )
    return out


def _undegraded(run: Run, rate: int, frames: int, rng: np.random.Generator) -> np.ndarray | None:
    """A piece of a run f32 [frames,48,48,3], None where the run is too short: mirrored, reversed, slower or faster."""
    if run.photo is not None:
        return _pan(run.photo, rate, frames, rng)
    speed = float(rng.choice([1, 1, 1, 1, 0.5, 0.7, 1.5, 2]))
    length = int(np.ceil(frames * speed)) + 1
    if length > len(run.frames):
        length = min(length, len(run.frames))
        if (frames - 1) > (length - 1) / 0.4:
            return None
        speed = min(1.0, (length - 1) / frames)
    start = int(rng.integers(0, len(run.frames) - length + 1))
    piece = run.frames[start : start + length].astype(np.float32)
    at = np.arange(frames) * speed
    low, share = at.astype(int), (at % 1).astype(np.float32)[:, None, None, None]
    high = np.minimum(low + 1, length - 1)
    # Slow motion shows new pictures, never the same one twice.
    out = (
        piece[low] * (1 - share) + piece[high] * share if speed < 1 else piece[np.minimum(np.rint(at).astype(int), length - 1)]
    )
    if rng.random() < 0.5:
        out = out[:, :, ::-1]
    return out[::-1] if rng.random() < 0.5 else out


def _drawn_run(runs: list[Run], rng: np.random.Generator) -> Run:
    sides = [[run for run in runs if (run.photo is None) == video] for video in (True, False)]
    side = sides[int(rng.random() >= VIDEO_SHARE)] or sides[0] or sides[1]
    return side[int(rng.integers(len(side)))]


def _moves(frames: np.ndarray, first: int, end: int) -> bool:
    """Whether the frames [first, end) differ enough for a repetition to be seen."""
    return bool(np.abs(frames[min(end, len(frames)) - 1] - frames[first]).mean() > MOVING)


def motion_sample(
    runs: list[Run], seconds: int, rng: np.random.Generator, kind: str | None = None, rate: int | None = None
) -> Sample:
    """A few seconds with at most one kind of event: `none`, `cut`, `stutter`, `freeze` or `drops`. With a `rate`, runs
    are taken as if they had it."""
    kind = kind or str(rng.choice(["none", "cut", "stutter", "freeze", "drops"], p=[0.15, 0.15, 0.42, 0.16, 0.12]))
    wanted = rate
    while True:
        run = _drawn_run(runs, rng)
        rate = wanted or (run.rate if run.frames is not None else int(rng.choice(RATES)))
        total = seconds * rate
        frames = _undegraded(run, rate, total, rng)
        if frames is not None:
            break
    label, inside, affected = np.zeros(total, np.int64), np.zeros(total, np.float32), np.zeros(seconds, np.float32)
    if kind == "cut":
        other = None
        while other is None:
            other = _undegraded(run if rng.random() < 0.15 else _drawn_run(runs, rng), rate, total, rng)
        cuts = sorted(int(v) for v in rng.integers(2, total - 2, int(rng.integers(1, 4))))
        if rng.random() < 0.3:
            cuts = [max(2, round(cut / rate) * rate) for cut in cuts]
        for n, cut in enumerate(cuts):
            if cut >= total - 2:
                continue
            frames = np.concatenate([frames[:cut], (other if n % 2 == 0 else frames)[cut:]])
            label[cut - 1 : cut + 1] = LABELS.index("cut")
    elif kind == "stutter":
        order = np.arange(total)
        for second in range(1, seconds):
            # Never two in a row, so that every repeated second follows one of its own.
            if affected[second - 1] == 0 and rng.random() < 0.45 and _moves(frames, (second - 1) * rate, second * rate):
                first = second * rate
                order[first : first + rate] -= rate
                affected[second] = 1
                inside[first : first + rate] = 1
                for jump in (first, first + rate):
                    label[max(jump - 1, 0) : min(jump + 1, total)] = LABELS.index("jump")
        frames = frames[order]
    elif kind in ("freeze", "drops"):
        length = int(rng.uniform(0.3, 2) * rate) if kind == "freeze" else int(rng.uniform(0.6, 2) * rate)
        length = min(length, total - 3)
        first = int(rng.integers(2, total - length + 1))
        hold = length if kind == "freeze" else int(rng.integers(3, 9))
        if _moves(frames, first - 1, first + length):
            order = np.arange(total)
            for n in range(first, first + length):
                order[n] = first - 1 + (n - first + 1) // (hold + 1) * (hold + 1) if kind == "drops" else first - 1
            if kind == "freeze" and rng.random() < 0.4:
                # The picture goes on from where it stopped.
                order[first + length :] -= length
            held = np.concatenate([[False], order[1:] == order[:-1]])
            label[held] = LABELS.index("held")
            inside[first : first + length] = 1
            share = np.bincount(np.arange(total) // rate, inside, seconds) / rate
            affected = (share >= SHORTEST).astype(np.float32)
            frames = frames[order]
    elif rng.random() < 0.15:
        # Drawn on twos, as much animation is: nothing is wrong with it.
        frames = frames[np.arange(total) // 2 * 2]
    gain, lift = rng.uniform(0.7, 1.15), rng.uniform(-12, 12)
    # Coding noise, so that a repeated frame is not the same to the bit.
    frames = frames * gain + lift + rng.standard_normal(frames.shape, dtype=np.float32) * float(rng.uniform(0, 1.0) ** 2)
    return Sample(np.clip(frames, 0, 255).astype(np.uint8), rate, label, inside, affected)


def motion_features(pathway, frames: torch.Tensor) -> torch.Tensor:
    """u8 [b,T,48,48,3] to what the pathway saw, [b,T,width], before its position embedding: cached and trained so
    that a run of frames can be read at any position."""
    return pathway(frames) - pathway.position_embedding.weight[: frames.shape[1]]


class MotionHeads(nn.Module):
    """Readouts for training only: label and affectedness of each frame, and of each second from its own tokens."""

    def __init__(self, width: int):
        super().__init__()
        self.frame = nn.Linear(width, len(LABELS) + 1)
        self.second = nn.Sequential(nn.Linear(4 * width, 64), nn.GELU(), nn.Linear(64, 1))

    def seconds(self, tokens: torch.Tensor, rate: int) -> torch.Tensor:
        """Tokens [S*rate,width] of one clip to a logit [S] for every second."""
        own = tokens.unflatten(0, (-1, rate))
        return self.second(torch.cat([own.mean(1), own.amax(1), own[:, :3].mean(1), own[:, -3:].mean(1)], -1))[:, 0]


@torch.inference_mode()
def measure_motion(pathway, heads: MotionHeads, samples: list[Sample]) -> dict:
    """AUC of affected seconds against those of samples without any event, the share of them found at one false alarm a
    minute there, and how many seconds next to an event are then alarms too."""
    training = pathway.training
    pathway.eval()
    found, alarms, beside = [], [], []
    for sample in samples:
        logits = heads.seconds(motion_features(pathway, torch.from_numpy(sample.frames[None]))[0], sample.rate).numpy()
        found.append(logits[sample.seconds > 0])
        (beside if sample.seconds.any() else alarms).append(logits[sample.seconds == 0])
    pathway.train(training)
    positive, negative, near = (np.concatenate(logits) for logits in (found, alarms, beside))
    ranks = rankdata(np.concatenate([positive, negative]))[: len(positive)]
    auc = (ranks.sum() - len(positive) * (len(positive) + 1) / 2) / (len(positive) * len(negative))
    threshold = np.quantile(negative, 1 - 1 / 60)
    return {
        "auc": round(float(auc), 4),
        "found_at_1_alarm_a_minute": round(float((positive > threshold).mean()), 3),
        "beside": round(float((near > threshold).mean()), 3),
        "seconds": [len(positive), len(negative), len(near)],
    }


def train_motion(pathway, train: list[Run], held_out: list[Run], config: dict, seed: int, out: Path) -> MotionHeads:
    """Trains the pathway, writes its state dict to `out` and returns the heads."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    settings = config["motion"]
    heads = MotionHeads(pathway.config.widths[-1])
    parameters = [*pathway.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, settings["learning_rate"], weight_decay=settings["weight_decay"])
    batch, seconds = settings["batch"], settings["seconds"]
    steps, start = settings["samples"] // batch, time.time()
    check = np.random.default_rng(99)
    samples = {
        kind: [motion_sample(held_out, 4, check, kind) for _ in range(settings["held_out_samples"])]
        for kind in ("none", "cut", "stutter", "freeze", "drops")
    }
    # Rare labels count more.
    weights = torch.tensor([0.3, 1.0, 3.0, 3.0])
    for module in pathway.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = 0.03
    pathway.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            rate = min(1, (step + 1) / 15) * (0.5 * (1 + math.cos(math.pi * step / steps)) + 0.01)
            group["lr"] = settings["learning_rate"] * rate
        if step == steps * 6 // 10:
            # Seen and unseen clips pass the same network from here on.
            pathway.eval()
        fps = int(rng.choice(RATES))
        drawn = [motion_sample(train, seconds, rng, rate=fps) for _ in range(batch)]
        with halved():
            tokens = motion_features(pathway, torch.from_numpy(np.stack([sample.frames for sample in drawn])))
        tokens = tokens.float()
        frame, second = heads.frame(tokens), torch.stack([heads.seconds(one, fps) for one in tokens])
        label, inside, affected = (
            torch.from_numpy(np.stack([getattr(one, name) for one in drawn])) for name in ("label", "inside", "seconds")
        )
        loss = F.cross_entropy(frame[..., :-1].flatten(0, 1), label.flatten(), weights)
        loss = loss + 0.3 * F.binary_cross_entropy_with_logits(frame[..., -1], inside)
        loss = loss + 1.5 * F.binary_cross_entropy_with_logits(second, affected)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 2.0)
        optimizer.step()
        if (step + 1) % max(1, steps // 4) == 0 or step + 1 == steps:
            note = {"samples": (step + 1) * batch, "seconds": round(time.time() - start), "loss": round(loss.item(), 3)}
            if held_out:
                note |= measure_motion(pathway, heads, [sample for kind in samples.values() for sample in kind])
                for kind in ("stutter", "freeze", "drops"):
                    of = measure_motion(pathway, heads, samples[kind] + samples["none"])
                    cut = measure_motion(pathway, heads, samples[kind] + samples["cut"])
                    note[kind] = [of["auc"], of["found_at_1_alarm_a_minute"], cut["auc"], cut["found_at_1_alarm_a_minute"]]
            print("motion", json.dumps(note), flush=True)
            torch.save(pathway.state_dict(), out)
    return heads
