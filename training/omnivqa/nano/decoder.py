"""Stages 3 and 4: the language model on cached tokens, then a short joint fine-tune with the key-frame tower.

A training item looks like what the engine feeds: K key frames one second apart, the motion tokens of all frames of
those seconds, the rating prompt of config.json, and the level token to predict.
"""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import pearsonr, spearmanr

from .dataset import Clip, Part
from .losses import level_score, quality_loss, soft_levels
from .motion import motion_features
from .vision import vision_tokens

# How often a batch has windows of K seconds: single seconds make the timeline, ten seconds are a full window.
WINDOW_SHARES = {1: 0.35, 2: 0.25, 3: 0.18, 4: 0.1, 6: 0.06, 10: 0.06}


@dataclass(frozen=True)
class Prompt:
    """The rating prompt as token ids: before the key frames, between key frames and motion, after the motion; then
    the five level tokens and what follows a level token in the full answer."""

    before: list[int]
    between: list[int]
    after: list[int]
    levels: list[int]
    closing: list[int]


@dataclass(frozen=True)
class Window:
    """K seconds of one clip: rows of its key frames, motion frames in order, and the target quality."""

    rows: list[int]
    frames: np.ndarray
    target: float


def window(clip: Clip, phase: int, first: int, seconds: int) -> Window:
    """`seconds` seconds from second `first`, half a second later with phase 1; a clip that is too short is repeated."""
    rate = clip.meta["rate"]
    offset = int(clip.positions[1]) if phase else 0
    available = (clip.meta["frames"] - offset) // rate
    key, frames, scores = [], [], []
    for n in range(seconds):
        second = (first + n) % available
        start = offset + second * rate
        key.append(int(clip.rows[2 * second + phase]))
        frames.append(np.arange(start, start + rate))
        scores.append(clip.target(start, start + rate))
    joined = np.concatenate(frames)
    return Window(key, joined[: len(joined) // 4 * 4], float(np.mean(scores)))


def draw_windows(clips: list[Clip], count: int, rng: np.random.Generator) -> list[tuple[Clip, Window]]:
    """A batch of windows of equal length: one number of seconds and one frame rate, drawn by their shares."""
    seconds = int(rng.choice(list(WINDOW_SHARES), p=list(WINDOW_SHARES.values())))
    rate = clips[int(rng.integers(len(clips)))].meta["rate"]
    fitting = [clip for clip in clips if clip.meta["rate"] == rate]
    batch = []
    for clip in (fitting[int(i)] for i in rng.integers(0, len(fitting), count)):
        phase = int(rng.integers(0, 2)) if clip.meta["frames"] >= 2 * rate else 0
        available = (clip.meta["frames"] - (int(clip.positions[1]) if phase else 0)) // rate
        first = int(rng.integers(0, max(1, available - seconds + 1)))
        batch.append((clip, window(clip, phase, first, seconds)))
    return batch


@torch.inference_mode()
def cache_vision(tower, part: Part) -> torch.Tensor:
    """Tokens bf16 [F,j,144,d] of every frame and every sampling of its fragments."""
    tower.eval()
    out = []
    for i in range(0, len(part.target), 32):
        fragments = part.fragments[i : i + 32]
        squash = part.squash[i : i + 32, None].expand_as(fragments)
        statistics = torch.cat([squash, fragments], -1).flatten(0, 1).float()
        with torch.autocast("cpu", torch.bfloat16):
            tokens = vision_tokens(tower, statistics)[1]
        out.append(tokens.bfloat16().unflatten(0, fragments.shape[:2]))
    return torch.cat(out)


@torch.inference_mode()
def cache_motion(pathway, clips: list[Clip]) -> dict[str, torch.Tensor]:
    """Motion features f32 [N,width] of every clip, before positions."""
    pathway.eval()
    return {clip.name: motion_features(pathway, torch.from_numpy(clip.motion[None]))[0] for clip in clips}


def rating_logits(network, prompt: Prompt, vision: torch.Tensor, motion: torch.Tensor, positions: torch.Tensor, answer=None):
    """Logits after the rating prompt.

    `vision` [b,K,144,d] tokens, `motion` [b,T,width] features (T may be 0), `positions` i64 [T]. Without `answer`
    [b,V] logits for the level token; with `answer` i64 [b,n] appended, [b,n+1,V].
    """
    batch = len(vision)
    key = network.project_vision(vision.flatten(0, 1)).unflatten(0, vision.shape[:2]).flatten(1, 2)
    newline = network.model.image_newline.expand(batch, 1, -1)
    moving = network.model.slowfast_projector(motion + network.model.slowfast.position_embedding(positions))
    before, between, after = (
        network.embed(torch.tensor(ids)).expand(batch, -1, -1) for ids in (prompt.before, prompt.between, prompt.after)
    )
    pieces = [before, key, newline, between, moving, after]
    if answer is not None:
        pieces.append(network.embed(answer))
    sequence = torch.cat([piece.to(before.dtype) for piece in pieces], 1)
    logits = network.logits(sequence, last=1 if answer is None else 1 + answer.shape[1])
    return logits[:, 0] if answer is None else logits


@torch.inference_mode()
def clip_scores(network, prompt: Prompt, part: Part, tokens: torch.Tensor, motion: dict) -> tuple[np.ndarray, np.ndarray]:
    """Score and target of every clip of a part, each as one window, from cached tokens."""
    network.eval()
    scores, targets = [], []
    for clip in part.clips:
        item = window(clip, 0, 0, clip.meta["frames"] // clip.meta["rate"])
        features = motion[clip.name][item.frames][None]
        logits = rating_logits(network, prompt, tokens[item.rows, 0].float()[None], features, torch.arange(features.shape[1]))
        scores.append(level_score(logits[:, prompt.levels].float()).item())
        targets.append(item.target)
    network.train()
    return np.array(scores), np.array(targets)


def train_decoder(network, prompt: Prompt, train: Part, held_out: Part | None, config: dict, seed: int, out: Path, joint: bool) -> None:
    """Trains projectors and language model on cached tokens; with `joint` the key-frame tower too, at a tenth of the
    rate, from cached statistics. Writes the network's state dict to `out`."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    settings = config["joint" if joint else "decoder"]
    tower, pathway = network.tower, network.model.slowfast
    motion = cache_motion(pathway, train.clips)
    tokens = None if joint else cache_vision(tower, train)
    held = (cache_motion(pathway, held_out.clips), cache_vision(tower, held_out)) if held_out else None
    # The pathway's positions belong to the sequence: they are trained here, not with the pathway.
    frozen = {id(p) for module in (tower, pathway.feature_extraction) for p in module.parameters()}
    rest = [p for p in network.parameters() if p.requires_grad and id(p) not in frozen]
    groups = [{"params": rest, "base": settings["learning_rate"]}]
    if joint:
        moving = [p for p in tower.parameters() if p.requires_grad]
        groups.append({"params": moving, "base": settings["learning_rate"] * 0.1})
    parameters = [p for group in groups for p in group["params"]]
    optimizer = torch.optim.AdamW(groups, settings["learning_rate"], (0.9, 0.98), weight_decay=settings["weight_decay"])
    batch, steps, start = settings["batch"], settings["samples"] // settings["batch"], time.time()
    jitters = train.fragments.shape[1]
    network.train(), tower.eval(), pathway.eval()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * min(1, (step + 1) / 30) * (0.5 * (1 + math.cos(math.pi * step / steps)) + 0.01)
        drawn = draw_windows(train.clips, batch, rng)
        rows = torch.tensor([item.rows for _, item in drawn])
        jitter = torch.from_numpy(rng.integers(0, jitters, rows.shape))
        target = torch.tensor([item.target for _, item in drawn])
        features = torch.stack([motion[clip.name][item.frames] for clip, item in drawn])
        if rng.random() < 0.05:
            # A clip of fewer than four frames has no motion tokens.
            features = features[:, :0]
        offset = int(rng.integers(0, 300)) if rng.random() < 0.3 else 0
        positions = torch.arange(offset, offset + features.shape[1])
        level = soft_levels(target).argmax(1)
        answer = torch.tensor([[prompt.levels[i], *prompt.closing[:-1]] for i in level.tolist()])
        statistics = torch.cat([train.squash[rows], train.fragments[rows, jitter]], -1).float() if joint else None
        with torch.autocast("cpu", torch.bfloat16):
            if joint:
                vision = vision_tokens(tower, statistics.flatten(0, 1))[1].unflatten(0, rows.shape)
            else:
                vision = tokens[rows, jitter]
            logits = rating_logits(network, prompt, vision, features, positions, answer).float()
        first = logits[:, 0]
        wanted = torch.zeros_like(first).index_add(1, torch.tensor(prompt.levels), soft_levels(target))
        loss = quality_loss(first[:, prompt.levels], target) - 0.3 * (wanted * first.log_softmax(-1)).sum(1).mean()
        closing = torch.tensor(prompt.closing).expand(batch, -1)
        loss = loss + 0.1 * F.cross_entropy(logits[:, 1:].flatten(0, 1), closing.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if (step + 1) % max(1, steps // 6) == 0:
            note = {"samples": (step + 1) * batch, "seconds": round(time.time() - start), "loss": round(loss.item(), 3)}
            if held:
                if joint:
                    held = (held[0], cache_vision(tower, held_out))
                scores, targets = clip_scores(network, prompt, held_out, held[1], held[0])
                note |= {
                    "srcc": round(float(spearmanr(scores, targets)[0]), 3),
                    "plcc": round(float(pearsonr(scores, targets)[0]), 3),
                    "mae": round(float(np.abs(scores - targets).mean()), 2),
                }
                tower.eval(), pathway.eval()
            print("joint" if joint else "decoder", json.dumps(note), flush=True)
    torch.save(network.state_dict(), out)
