"""Stage 1: the key-frame tower on cached cell statistics, with dense losses.

Type and severity of every cell, before and after the encoder, and the place of a local degradation teach the tower
what to look at; the quality of the frame teaches it how much that matters. The heads are dropped afterwards: the
shipped network answers through the language model.
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
from torch import nn

from .dataset import Part
from .losses import level_score, quality_loss, rank_loss
from .precision import halved
from .recipes import TYPES
from .views import GRID

CELLS = GRID * GRID
PLACES = GRID // 2 + 1
# Versions of one content in a batch, so that ranks compare what was done and not what is shown.
VERSIONS = 8
# Most of what is watched is clean, and most of what is trained on is not.
KIND_WEIGHTS = torch.tensor([2.5, 1, 1, 1, 1, 1])
# Weight of the scored photos' quality.
PEOPLE = 0.5
# Of the running average of the weights, which is what is measured and kept: as good in the middle of training as at the
# end of a shorter one.
DECAY = 0.997
# One false alarm a minute, with a key frame a second.
FALSE_ALARMS = 1 / 60


class VisionHeads(nn.Module):
    """Readouts for training only: per cell (type logits, severity) before and after the encoder, and per frame
    (levels, type logits, severity, levels as people see them). What synthetic degradations teach about quality says
    next to nothing about photos that people scored, and the other way round: two readouts, one tower."""

    def __init__(self, width: int):
        super().__init__()
        self.early = nn.Linear(width, len(TYPES) + 1)
        self.late = nn.Linear(width, len(TYPES) + 1)
        self.frame = nn.Sequential(nn.Linear(3 * width, width), nn.GELU(), nn.Linear(width, 5 + len(TYPES) + 1))
        self.people = nn.Sequential(nn.Linear(3 * width, width), nn.GELU(), nn.Linear(width, 5))
        self.dropout = nn.Dropout(0.1)

    def forward(self, early: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Tokens [b,144,d] before and after the encoder to [b,144,7], [b,144,7], [b,17]."""
        late = self.late(tokens)
        weight = 1 - late[..., : len(TYPES)].softmax(-1)[..., :1] + 1e-3
        pooled = [tokens.mean(1), tokens.std(1), (tokens * weight).sum(1) / weight.sum(1)]
        seen = self.dropout(torch.cat(pooled, 1))
        return self.early(early), late, torch.cat([self.frame(seen), self.people(seen)], 1)


@dataclass
class Batch:
    """`statistics` f32 [b,144,280] and the labels of each frame as in `Part`; `human` and `rated` bool [b]."""

    statistics: torch.Tensor
    target: torch.Tensor
    kind: torch.Tensor
    severity: torch.Tensor
    cells: torch.Tensor
    seen: torch.Tensor
    human: torch.Tensor
    rated: torch.Tensor


def dense_labels(kind: torch.Tensor, cells: torch.Tensor, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Type i64 [b,144] of every cell (-100: unknown, or not visible enough to tell) and a mask [b,144] of the cells
    that a visible degradation touches."""
    row, column = torch.arange(CELLS) // GRID, torch.arange(CELLS) % GRID
    x, y, w, h = (cells[:, i, None] for i in range(4))
    inside = (column >= x) & (column < x + w) & (row >= y) & (row < y + h)
    label = torch.where(seen, kind, torch.full_like(kind, -100))[:, None].expand(-1, CELLS)
    return torch.where(inside, label, torch.zeros_like(label)), inside & (label > 0)


def place_logits(late: torch.Tensor) -> torch.Tensor:
    """Readouts [b,144,7] to logits [b,49] (row * 7 + column) of the quarter frames: the mean log-odds of their cells."""
    odds = torch.logsumexp(late[..., 1 : len(TYPES)], -1) - late[..., 0]
    return F.avg_pool2d(odds.view(-1, 1, GRID, GRID), GRID // 2, 1).flatten(1) * 4


def vision_loss(outputs, batch: Batch) -> torch.Tensor:
    """The sum of the dense, place and quality losses of a batch of whole groups of VERSIONS frames."""
    early, late, frame = (output.float() for output in outputs)
    types = len(TYPES)
    labels, touched = dense_labels(batch.kind, batch.cells, batch.seen)
    frame_kind = torch.where(batch.seen, batch.kind, torch.full_like(batch.kind, -100))
    known = ~batch.human
    loss = torch.zeros(())
    for levels, asked in ((frame[:, :5], known), (frame[:, -5:], batch.human)):
        if not asked.any():
            continue
        levels, target = levels[asked], batch.target[asked]
        groups = zip(level_score(levels).view(-1, VERSIONS), target.view(-1, VERSIONS))
        ranks = torch.stack([rank_loss(score, wanted) for score, wanted in groups]).mean()
        loss = loss + (quality_loss(levels, target) + ranks) * (1 if asked is known else PEOPLE)
    loss = loss + F.cross_entropy(frame[:, 5 : 5 + types], frame_kind, KIND_WEIGHTS, ignore_index=-100)
    loss = loss + 0.5 * F.smooth_l1_loss(frame[known, 5 + types], batch.severity[known])
    loss = loss + 1.5 * F.cross_entropy(late[..., :types].flatten(0, 1), labels.flatten(), ignore_index=-100)
    loss = loss + 0.5 * F.cross_entropy(early[..., :types].flatten(0, 1), labels.flatten(), ignore_index=-100)
    mask = touched.float()
    distance = F.smooth_l1_loss(late[..., -1], batch.severity[:, None].expand(-1, CELLS), reduction="none")
    loss = loss + 0.8 * (distance * mask).sum() / mask.sum().clamp(min=1)
    local = (batch.cells[:, 2] < GRID) & batch.seen
    if local.any():
        loss = loss + 0.4 * F.cross_entropy(place_logits(late[local]), batch.cells[local, 1] * PLACES + batch.cells[local, 0])
    return loss


def vision_tokens(tower, statistics: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cached statistics [b,144,280] to the tokens before and after the encoder, both [b,144,d]."""
    early = tower.embeddings.embed_statistics(statistics)
    return early, tower.encode(early)


class Batches:
    """Draws batches of whole groups: `shares` groups of each part. A mirrored frame is its columns in reverse, as the
    statistics do not change when a cell is mirrored. Half of the whole-frame versions of a part whose groups begin with
    the pristine frame (`stills`) are pasted into it at a random quarter: cells have statistics of their own, so that
    makes a local degradation at no cost."""

    def __init__(self, parts: list[Part], shares: list[int], rng: np.random.Generator):
        self.parts, self.shares, self.rng = parts, shares, rng
        self.groups = [[torch.nonzero(part.group == group)[:, 0] for group in part.group.unique()] for part in parts]
        self.turns = [[] for _ in parts]

    def _rows(self, which: int) -> torch.Tensor:
        part, groups = self.parts[which], self.groups[which]
        if part.human:
            return torch.from_numpy(self.rng.integers(0, len(part.target), VERSIONS))
        if not self.turns[which]:
            self.turns[which] = list(self.rng.permutation(len(groups)))
        rows = groups[self.turns[which].pop()]
        if len(rows) == VERSIONS:
            return rows
        return rows[torch.from_numpy(self.rng.choice(len(rows), VERSIONS, replace=len(rows) < VERSIONS))]

    def _drawn(self, which: int) -> Batch:
        part, rows = self.parts[which], self._rows(which)
        fragments = part.fragments[rows, torch.from_numpy(self.rng.integers(0, part.fragments.shape[1], VERSIONS))]
        statistics = torch.cat([part.squash[rows], fragments], -1).float()
        target, cells = part.target[rows].clone(), part.cells[rows].clone()
        pristine = (part.kind[rows] == 0).nonzero()[:, 0]
        if not part.clips and not part.human and len(pristine):
            base, clean = statistics[pristine[0]].clone(), target[pristine[0]]
            for i in range(VERSIONS):
                if part.kind[rows[i]] == 0 or cells[i, 2] < GRID or self.rng.random() < 0.5:
                    continue
                x, y = (int(v) for v in self.rng.integers(0, PLACES, 2))
                place = torch.tensor([x, y, GRID // 2, GRID // 2])
                inside = dense_labels(part.kind[rows[i]][None], place[None], torch.ones(1, dtype=torch.bool))[1][0]
                statistics[i] = torch.where(inside[:, None], statistics[i], base)
                target[i], cells[i] = clean - (clean - target[i]) / 4, place
        flip = torch.from_numpy(self.rng.random(VERSIONS) < 0.5)
        statistics[flip] = statistics[flip].unflatten(1, (GRID, GRID)).flip(2).flatten(1, 2)
        cells[flip, 0] = GRID - cells[flip, 0] - cells[flip, 2]
        return Batch(statistics, target, part.kind[rows], part.severity[rows], cells, part.seen[rows],
                     torch.full((VERSIONS,), part.human), part.rated[rows])  # fmt: skip

    def draw(self) -> Batch:
        """The next batch."""
        drawn = [self._drawn(which) for which, share in enumerate(self.shares) for _ in range(share)]
        return Batch(*(torch.cat([getattr(one, name) for one in drawn]) for name in Batch.__dataclass_fields__))


@dataclass
class Readings:
    """What the training heads read from a part: `score` [F], `opinion` [F] (what people would say), `none` [F] (probability), `kind` [F] (best degradation),
    `severity` [F], `place` [F,2] (column, row) and `kind_there` [F], the degradation that the cells of that place show."""

    score: np.ndarray
    opinion: np.ndarray
    none: np.ndarray
    kind: np.ndarray
    severity: np.ndarray
    place: np.ndarray
    kind_there: np.ndarray


@torch.inference_mode()
def read_frames(tower, heads: VisionHeads, part: Part) -> Readings:
    """Reads every frame of a part, from its first fragments."""
    tower.eval(), heads.eval()
    out = []
    for i in range(0, len(part.target), 64):
        statistics = torch.cat([part.squash[i : i + 64], part.fragments[i : i + 64, 0]], -1).float()
        with halved():
            _, late, frame = heads(*vision_tokens(tower, statistics))
        frame, late = frame.float(), late.float()
        place = place_logits(late).argmax(-1)
        shown = F.avg_pool2d(late[..., 1:-1].transpose(1, 2).unflatten(2, (GRID, GRID)), GRID // 2, 1).flatten(2)
        there = shown.gather(2, place[:, None, None].expand(-1, shown.shape[1], 1))[..., 0].argmax(1) + 1
        kinds = frame[:, 5 : 5 + len(TYPES)].softmax(-1)
        out.append([level_score(frame[:, :5]), level_score(frame[:, -5:]), kinds[:, 0], kinds[:, 1:].argmax(-1) + 1,
                    frame[:, 5 + len(TYPES)],
                    torch.stack([place % PLACES, place // PLACES], 1), there])  # fmt: skip
    return Readings(*(torch.cat(column).numpy() for column in zip(*out)))


def rectangle_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Overlap [n] of quarter frames at (column, row) a and b, [n,2] each."""
    half = GRID // 2
    shared = np.clip(half - np.abs(a - b), 0, None).prod(1)
    return shared / (2 * half * half - shared)


def measure(readings: Readings, part: Part) -> dict:
    """Figures of one part: types and places where they can be seen, false alarms on pristine frames, and quality."""
    target, kind, severity = part.target.numpy(), part.kind.numpy(), part.severity.numpy()
    score = readings.opinion if part.human else readings.score
    note = {"srcc": spearmanr(score, target)[0], "plcc": pearsonr(score, target)[0]}
    if not part.human:
        visible, local = part.seen.numpy() & (kind > 0), part.cells[:, 2].numpy() < GRID
        guess = np.where(readings.none > 0.5, 0, readings.kind)
        right = guess == kind
        threshold = np.quantile(readings.none[kind == 0], FALSE_ALARMS) if (kind == 0).any() else 0.5
        level, wanted = (np.clip(np.rint(value), 1, 3) for value in (readings.severity, severity))
        inside = visible & local
        note |= {"type_global": right[visible & ~local].mean(), "type_local": right[inside].mean(),
                 "named": (readings.kind == kind)[visible].mean(),
                 "named_by_cells": (readings.kind_there == kind)[inside].mean(), "none_recall": right[kind == 0].mean(),
                 "found_at_1_alarm_a_minute": (readings.none[visible] < threshold).mean(),
                 "severity": (level == wanted)[visible].mean(), "within_one": (np.abs(level - wanted) <= 1)[visible].mean(),
                 "iou": rectangle_iou(readings.place, part.cells[:, :2].numpy())[inside].mean()}  # fmt: skip
        for i, name in enumerate(TYPES[1:], 1):
            of = inside & (kind == i)
            note[name] = [
                round(float(x), 3)
                for x in (right[of].mean(), rectangle_iou(readings.place, part.cells[:, :2].numpy())[of].mean())
            ]
    return {key: value if isinstance(value, list) else round(float(value), 3) for key, value in note.items()}


def fit_scale(targets: np.ndarray, opinions: np.ndarray) -> dict:
    """The least-squares line from synthetic targets to what the readout of people's opinions says of the same frames."""
    slope, offset = np.polyfit(targets, opinions, 1)
    return {"slope": float(slope), "offset": float(offset)}


def train_vision(tower, parts: list[Part], shares: list[int], held_out: dict[str, Part], samples: int, config: dict, seed: int,
                 out: Path, start: Path | None = None) -> VisionHeads:  # fmt: skip
    """Trains the tower on `shares` groups of each part a batch, writes `out` (state dicts of tower and heads) and returns
    the heads; `start` is an earlier `out` to go on from."""
    torch.manual_seed(seed)
    settings = config["vision"]
    heads = VisionHeads(settings["hidden"])
    if start is not None:
        state = torch.load(start)
        tower.load_state_dict(state["tower"])
        heads.load_state_dict(state["heads"], strict=False)
    else:
        with torch.no_grad():
            # A ninth of the frames gives the norm its statistics for good: those of a batch of six contents are their own.
            some = torch.cat(
                [torch.cat([part.squash[::9], part.fragments[::9, 0]], -1).float().flatten(0, 1) for part in parts]
            )
            tower.embeddings.norm.running_mean.copy_(some.mean(0))
            tower.embeddings.norm.running_var.copy_(some.var(0))
    parameters = [p for p in [*tower.parameters(), *heads.parameters()] if p.requires_grad]
    rate = settings["learning_rate"] * (0.6 if start else 1)
    optimizer = torch.optim.AdamW(parameters, rate, (0.9, 0.98), weight_decay=settings["weight_decay"])
    batches = Batches(parts, shares, np.random.default_rng(seed))
    steps, begin = samples // (VERSIONS * sum(shares)), time.time()
    average = [p.detach().clone() for p in parameters]
    # Only the norm behaves otherwise while training.
    tower.eval()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 40) * (0.5 * (1 + math.cos(math.pi * step / steps)) + 0.01)
        batch = batches.draw()
        with halved():
            outputs = heads(*vision_tokens(tower, batch.statistics))
        loss = vision_loss(outputs, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 2.0)
        optimizer.step()
        torch._foreach_lerp_(average, [p.detach() for p in parameters], 1 - min(DECAY, step / (step + 10)))
        if (step + 1) % max(1, steps // 4) == 0 or step + 1 == steps:
            note = {
                "samples": (step + 1) * len(batch.target),
                "seconds": round(time.time() - begin),
                "loss": round(loss.item(), 3),
            }
            print("vision", json.dumps(note), flush=True)
            current = [p.detach().clone() for p in parameters]
            with torch.no_grad():
                torch._foreach_copy_(parameters, average)
                for name, part in held_out.items():
                    print(f"vision {name}", json.dumps(measure(read_frames(tower, heads, part), part)), flush=True)
                torch.save({"tower": tower.state_dict(), "heads": heads.state_dict()}, out)
                if step + 1 < steps:
                    torch._foreach_copy_(parameters, current)
            heads.train()
    return heads
