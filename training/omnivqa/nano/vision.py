"""Stage 1: the key-frame tower on cached cell statistics, with dense losses.

Type and severity of every cell, before and after the encoder, and the place of a local degradation teach the tower
what to look at; the quality of the frame teaches it how much that matters. The heads are dropped afterwards: the
shipped network answers through the language model.
"""

import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import pearsonr, spearmanr
from torch import nn

from .dataset import Part
from .losses import level_score, quality_loss
from .recipes import TYPES
from .views import GRID

CELLS = GRID * GRID
# A frame this close to pristine (in steps of strength) has no visible type: its dense type is not trained.
VISIBLE = 0.25


class VisionHeads(nn.Module):
    """Readouts for training only: per cell (type logits, severity) before and after the encoder, and per frame
    (levels, type logits, severity)."""

    def __init__(self, width: int):
        super().__init__()
        self.early = nn.Linear(width, len(TYPES) + 1)
        self.late = nn.Linear(width, len(TYPES) + 1)
        self.frame = nn.Sequential(nn.Linear(3 * width, width), nn.GELU(), nn.Linear(width, 5 + len(TYPES) + 1))
        self.dropout = nn.Dropout(0.1)

    def forward(self, early: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Tokens [b,144,d] before and after the encoder to [b,144,7], [b,144,7], [b,12]."""
        late = self.late(tokens)
        weight = 1 - late[..., : len(TYPES)].softmax(-1)[..., :1] + 1e-3
        pooled = [tokens.mean(1), tokens.std(1), (tokens * weight).sum(1) / weight.sum(1)]
        return self.early(early), late, self.frame(self.dropout(torch.cat(pooled, 1)))


def dense_labels(kind: torch.Tensor, severity: torch.Tensor, cells: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Type i64 [b,144] of every cell (-100: not visible enough to tell) and a mask [b,144] of the touched cells."""
    row, column = torch.arange(CELLS) // GRID, torch.arange(CELLS) % GRID
    x, y, w, h = (cells[:, i, None] for i in range(4))
    inside = (column >= x) & (column < x + w) & (row >= y) & (row < y + h)
    label = torch.where(severity < VISIBLE, torch.full_like(kind, -100), kind)
    label = torch.where(kind == 0, kind, label)[:, None].expand(-1, CELLS)
    return torch.where(inside, label, torch.zeros_like(label)), inside & (label > 0)


def vision_loss(outputs, target, kind, severity, cells) -> torch.Tensor:
    """The sum of the dense, place and quality losses of a batch."""
    early, late, frame = (output.float() for output in outputs)
    types = len(TYPES)
    labels, touched = dense_labels(kind, severity, cells)
    frame_kind = torch.where((severity < VISIBLE) & (kind > 0), torch.full_like(kind, -100), kind)
    loss = quality_loss(frame[:, :5], target)
    loss = loss + 0.6 * F.cross_entropy(frame[:, 5 : 5 + types], frame_kind, ignore_index=-100)
    loss = loss + 0.5 * F.smooth_l1_loss(frame[:, -1], severity)
    loss = loss + 1.5 * F.cross_entropy(late[..., :types].flatten(0, 1), labels.flatten(), ignore_index=-100)
    loss = loss + 0.5 * F.cross_entropy(early[..., :types].flatten(0, 1), labels.flatten(), ignore_index=-100)
    mask = touched.float()
    distance = F.smooth_l1_loss(late[..., -1], severity[:, None].expand(-1, CELLS), reduction="none")
    loss = loss + 0.8 * (distance * mask).sum() / mask.sum().clamp(min=1)
    local = (cells[:, 2] < GRID) & (severity >= VISIBLE)
    if local.any():
        # The place is read as the best of the 7x7 windows of a quarter frame over the cells' log-odds.
        odds = torch.logsumexp(late[local][..., 1:types], -1) - late[local][..., 0]
        windows = F.avg_pool2d(odds.view(-1, 1, GRID, GRID), GRID // 2, 1).flatten(1) * 4
        loss = loss + 0.4 * F.cross_entropy(windows, cells[local, 1] * 7 + cells[local, 0])
    return loss


def vision_tokens(tower, statistics: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cached statistics [b,144,280] to the tokens before and after the encoder, both [b,144,d]."""
    early = tower.embeddings.embed_statistics(statistics)
    return early, tower.encode(early)


@torch.inference_mode()
def frame_scores(tower, heads: VisionHeads, part: Part) -> tuple[np.ndarray, np.ndarray]:
    """Scores [F] and type numbers [F] read by the training heads, from the first fragments of each frame."""
    tower.eval(), heads.eval()
    scores, kinds = [], []
    for i in range(0, len(part.target), 64):
        statistics = torch.cat([part.squash[i : i + 64], part.fragments[i : i + 64, 0]], -1).float()
        frame = heads(*vision_tokens(tower, statistics))[2].float()
        scores.append(level_score(frame[:, :5]))
        kinds.append(frame[:, 5:-1].argmax(-1))
    tower.train(), heads.train()
    return torch.cat(scores).numpy(), torch.cat(kinds).numpy()


def train_vision(tower, train: Part, held_out: Part | None, config: dict, seed: int, out: Path) -> None:
    """Trains the tower and writes `out` (state dicts of tower and heads)."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    settings = config["vision"]
    heads = VisionHeads(settings["hidden"])
    with torch.no_grad():
        # Every jitter of a third of the frames gives the norm its statistics; it is refined while training.
        some = torch.cat([train.squash[::3], train.fragments[::3, 0]], -1).float().flatten(0, 1)
        tower.embeddings.norm.running_mean.copy_(some.mean(0))
        tower.embeddings.norm.running_var.copy_(some.var(0))
    parameters = [p for p in [*tower.parameters(), *heads.parameters()] if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, settings["learning_rate"], (0.9, 0.98), weight_decay=settings["weight_decay"])
    batch, total = settings["batch"], settings["samples"]
    steps, order, start = total // batch, [], time.time()
    jitters = train.fragments.shape[1]
    tower.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            rate = min(1, (step + 1) / 40) * (0.5 * (1 + math.cos(math.pi * step / steps)) + 0.01)
            group["lr"] = settings["learning_rate"] * rate
        if len(order) < batch:
            order = list(rng.permutation(len(train.target)))
        rows = torch.tensor([order.pop() for _ in range(batch)])
        fragments = train.fragments[rows, torch.from_numpy(rng.integers(0, jitters, batch))]
        statistics = torch.cat([train.squash[rows], fragments], -1).float()
        cells = train.cells[rows].clone()
        flip = torch.from_numpy(rng.random(batch) < 0.5)
        # The statistics do not change when a cell is mirrored: a mirrored frame is its columns in reverse.
        statistics[flip] = statistics[flip].unflatten(1, (GRID, GRID)).flip(2).flatten(1, 2)
        cells[flip, 0] = GRID - cells[flip, 0] - cells[flip, 2]
        with torch.autocast("cpu", torch.bfloat16):
            outputs = heads(*vision_tokens(tower, statistics))
        loss = vision_loss(outputs, train.target[rows], train.kind[rows], train.severity[rows], cells)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 2.0)
        optimizer.step()
        if (step + 1) % max(1, steps // 8) == 0:
            note = {"samples": (step + 1) * batch, "seconds": round(time.time() - start), "loss": round(loss.item(), 3)}
            if held_out is not None:
                scores, kinds = frame_scores(tower, heads, held_out)
                target = held_out.target.numpy()
                visible = (held_out.severity.numpy() >= VISIBLE) | (held_out.kind.numpy() == 0)
                note |= {
                    "srcc": round(float(spearmanr(scores, target)[0]), 3),
                    "plcc": round(float(pearsonr(scores, target)[0]), 3),
                    "type": round(float((kinds == held_out.kind.numpy())[visible].mean()), 3),
                }
            print("vision", json.dumps(note), flush=True)
    torch.save({"tower": tower.state_dict(), "heads": heads.state_dict()}, out)
