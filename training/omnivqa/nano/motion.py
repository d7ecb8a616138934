"""Stage 2: the motion pathway on 48x48 frames, with a label for every frame.

Held frames and sudden exposure changes are made on the fly; a token that can tell them apart carries what moves, how
fast and how bright it is, which is what the language model needs beside the key frames.
"""

import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .dataset import Clip

LABELS = ["none", "held", "overexposure", "underexposure"]
# Mean absolute difference of consecutive frames (0..255): below it nobody can tell a held frame from a still scene.
MOVING = 0.7


def motion_sample(clips: list[Clip], frames: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A run of frames u8 [frames,48,48,3] with at most one event, and the label of each frame i64 [frames]."""
    wanted = int(rng.choice([0, 1, 1, 2, 3]))
    for _ in range(20):
        clip = clips[int(rng.integers(len(clips)))]
        if len(clip.motion) < frames:
            continue
        start = int(rng.integers(0, len(clip.motion) - frames + 1))
        run = clip.motion[start : start + frames].astype(np.float32)
        if wanted != 1 or np.abs(run[1:] - run[:-1]).mean((1, 2, 3)).min() > MOVING:
            break
    else:
        wanted = 0
    if rng.random() < 0.5:
        run = run[:, :, ::-1]
    if rng.random() < 0.5:
        run = run[::-1]
    run = run.copy()
    label = np.zeros(frames, np.int64)
    length = int(rng.integers(8, frames - 8))
    first = int(rng.integers(1, frames - length))
    span = slice(first, first + length)
    if wanted == 1:
        # One long freeze, or a picture that steps every few frames.
        hold = length if rng.random() < 0.5 else int(rng.integers(4, 11))
        for n in range(first, first + length):
            run[n] = run[first + (n - first) // hold * hold]
            label[n] = int((n - first) % hold > 0)
    elif wanted > 1:
        step = rng.uniform(0.8, 3.2)
        gain = 1 + 0.16 * 2**step if wanted == 2 else 1 / (1 + 0.3 * 2**step)
        x, y = (0, 0) if rng.random() < 0.5 else (int(v) for v in rng.integers(0, 25, 2))
        size = 24 if x or y else 48
        run[span, y : y + size, x : x + size] *= gain
        label[span] = wanted
    # Coding noise, so that a repeated frame is not the same to the bit.
    run += rng.standard_normal(run.shape, dtype=np.float32) * float(rng.uniform(0, 1.2))
    return np.clip(run, 0, 255).astype(np.uint8), label


def motion_features(pathway, frames: torch.Tensor) -> torch.Tensor:
    """u8 [b,T,48,48,3] to what the pathway saw, [b,T,width], before its position embedding: cached and trained so
    that a run of frames can be read at any position."""
    return pathway(frames) - pathway.position_embedding.weight[: frames.shape[1]]


@torch.inference_mode()
def _evaluate(pathway, head: nn.Linear, samples: list[tuple[np.ndarray, np.ndarray]]) -> dict:
    pathway.eval()
    guesses = [head(motion_features(pathway, torch.from_numpy(np.stack([run])))).argmax(-1)[0].numpy() for run, _ in samples]
    pathway.train()
    guess, label = np.concatenate(guesses), np.concatenate([label for _, label in samples])
    recall = {name: round(float((guess[label == i] == i).mean()), 3) for i, name in enumerate(LABELS) if (label == i).any()}
    return {"accuracy": round(float((guess == label).mean()), 3), "recall": recall}


def train_motion(pathway, train: list[Clip], held_out: list[Clip], config: dict, seed: int, out: Path) -> None:
    """Trains the pathway and writes its state dict to `out`."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    settings = config["motion"]
    head = nn.Linear(pathway.config.widths[-1], len(LABELS))
    parameters = [*pathway.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, settings["learning_rate"], weight_decay=settings["weight_decay"])
    batch, frames = settings["batch"], settings["frames"]
    steps, start = settings["samples"] // batch, time.time()
    check = np.random.default_rng(99)
    samples = [motion_sample(held_out, frames, check) for _ in range(160)] if held_out else []
    pathway.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            rate = min(1, (step + 1) / 15) * (0.5 * (1 + math.cos(math.pi * step / steps)) + 0.01)
            group["lr"] = settings["learning_rate"] * rate
        runs, labels = zip(*(motion_sample(train, frames, rng) for _ in range(batch)))
        logits = head(motion_features(pathway, torch.from_numpy(np.stack(runs))))
        loss = F.cross_entropy(logits.flatten(0, 1), torch.from_numpy(np.stack(labels)).flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 2.0)
        optimizer.step()
        if (step + 1) % max(1, steps // 5) == 0:
            note = {"samples": (step + 1) * batch, "seconds": round(time.time() - start), "loss": round(loss.item(), 3)}
            print("motion", json.dumps(note | (_evaluate(pathway, head, samples) if samples else {})), flush=True)
    torch.save(pathway.state_dict(), out)
