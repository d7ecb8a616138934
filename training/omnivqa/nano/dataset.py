"""Training data from the caches: rendered clips, stills and rated photos as cell statistics with targets and labels.

`load_part` reads clips (with motion frames), `load_stills` the shards of `stills.py`, `load_photos` the photos that
people rated; all three are a `Part`. `rescale` brings targets measured on VMAF's scale to the scale of people.
"""

import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .recipes import STRENGTH_KINDS, TYPE_OF_KIND, TYPES
from .statistics import cell_statistics
from .views import GRID

STATISTICS = 140
PRISTINE = 97.0
# Quality points per step of strength: puts VMAF-labelled and strength-labelled degradations on one severity scale.
POINTS_PER_STEP = 24.0
# A frame this close to pristine (in steps of strength) has no visible type: its dense type is not trained.
VISIBLE = 0.5


@dataclass
class Clip:
    """One rendered clip: its meta data, all motion frames u8 [N,48,48,3], `rows` of its frames in the part's arrays,
    their frame numbers, and the quality of the measured frames."""

    name: str
    meta: dict
    motion: np.ndarray
    rows: np.ndarray
    positions: np.ndarray
    quality: np.ndarray
    quality_frames: np.ndarray

    def target(self, first: int, end: int) -> float:
        """Mean quality 0..100 of the frames [first, end)."""
        inside = (self.quality_frames >= first) & (self.quality_frames < end)
        return float(self.quality[inside].mean())


@dataclass
class Part:
    """All frames of a part: `squash` f16 [F,144,140], `fragments` f16 [F,j,144,140], `target` f32 [F] (0..100),
    `kind` i64 [F] (dense type, 0 none), `severity` f32 [F], `cells` i64 [F,4] (column, row, width, height); `seen` bool
    [F] is false where the type and place are unknown or invisible and so no label, `group` i64 [F] numbers the contents,
    `human` says that the targets are people's; `rated` bool [F] (all, where it is left out) is false where the target is
    only a guess of what VMAF would be."""

    clips: list[Clip]
    squash: torch.Tensor
    fragments: torch.Tensor
    target: torch.Tensor
    kind: torch.Tensor
    severity: torch.Tensor
    cells: torch.Tensor
    seen: torch.Tensor
    group: torch.Tensor
    human: bool = False
    rated: torch.Tensor | None = None

    def __post_init__(self) -> None:
        if self.rated is None:
            self.rated = torch.ones(len(self.target), dtype=torch.bool)


def statistics_file(item: Path) -> Path:
    """Where the statistics of a clip's file are."""
    return item.with_suffix(".stats.npy")


def write_statistics(item: Path) -> None:
    """Writes a clip's `statistics_file` f16 [n, 1+j, 144, 140], squash first."""
    target = statistics_file(item)
    with np.load(item) as data:
        views = np.concatenate([data["squash"][:, None], data["fragments"]], 1)
    count, kinds = views.shape[:2]
    flat = torch.from_numpy(views.reshape(-1, *views.shape[2:]))
    values = torch.cat([cell_statistics()(flat[i : i + 4]) for i in range(0, len(flat), 4)])
    part = target.with_name(f".{target.name}")
    np.save(part, values.reshape(count, kinds, GRID * GRID, STATISTICS).half().numpy())
    os.replace(part, target)


def _clip_quality(meta: dict, vmaf: np.ndarray) -> np.ndarray:
    """The target of every measured frame: VMAF, or the recipe's strength where VMAF is no label; a quarter of the
    frame lowers it by a quarter."""
    if meta["recipe"]["kind"] not in STRENGTH_KINDS:
        return np.clip(vmaf, 0, 100)
    share = meta["cells"][2] * meta["cells"][3] / GRID**2
    return np.full_like(vmaf, PRISTINE - share * (PRISTINE - meta["strength_target"]))


def load_part(folder: Path) -> Part:
    """Loads every item of a folder that has statistics."""
    clips, squash, fragments, target, kind, severity, cells, group = [], [], [], [], [], [], [], []
    row = 0
    for path in sorted(folder.glob("[!.]*.stats.npy")):
        values = np.load(path)
        name = path.name.removesuffix(".stats.npy")
        with np.load(folder / f"{name}.npz") as data:
            meta = json.loads(str(data["meta"]))
            vmaf, frames, positions, motion = data["vmaf"], data["vmaf_frames"], data["positions"], data["motion"]
        quality = _clip_quality(meta, vmaf)
        at = np.searchsorted(frames, positions)
        frame_quality = quality[np.minimum(at, len(quality) - 1)]
        share = meta["cells"][2] * meta["cells"][3] / GRID**2
        steps = np.clip((PRISTINE - frame_quality) / (POINTS_PER_STEP * share), 0, 4)
        clips.append(Clip(name, meta, motion, np.arange(row, row + len(values)), positions, quality, frames))
        row += len(values)
        squash.append(values[:, 0])
        fragments.append(values[:, 1:])
        target.append(frame_quality)
        kind.append(np.full(len(values), TYPE_OF_KIND[meta["recipe"]["kind"]]))
        severity.append(steps)
        cells.append(np.tile(meta["cells"], (len(values), 1)))
        group.append(np.full(len(values), zlib.crc32(meta["content"].encode())))
    parts = (squash, fragments, target, kind, severity, cells, group)
    squash, fragments, target, kind, severity, cells, group = (torch.from_numpy(np.concatenate(part)) for part in parts)
    seen = (severity >= VISIBLE) | (kind == 0)
    return Part(clips, squash, fragments, target.float(), kind, severity.float(), cells, seen, group)


def load_stills(folder: Path) -> Part:
    """Loads the shards that `write_stills` left in a folder; there are no clips in the part."""
    shards = []
    for path in sorted(folder.glob("[!.]*.npz")):
        with np.load(path) as data:
            shards.append(dict(data))
    values = {key: torch.from_numpy(np.concatenate([shard.pop(key) for shard in shards])) for key in list(shards[0])}
    statistics, kind = values["statistics"], values["kind"]
    # What a picture's blur or coding of some strength costs depends on the picture, and was not measured.
    rated = ~torch.isin(kind, torch.tensor([TYPES.index(name) for name in ("blur", "compression")]))
    return Part([], statistics[:, 0], statistics[:, 1:], values["target"].float(), kind, values["severity"].float(),
                values["cells"], values["seen"], values["group"], rated=rated)  # fmt: skip


def load_photos(file: Path, held_out: bool) -> Part:
    """Loads one side of the photos that `write_photos` left: scored by people, with no label of type or place.

    Every variant (the photo itself first, then random crops of it) is a frame of its own with the score of its photo;
    the held-out side has the photos themselves only."""
    with np.load(file) as data:
        chosen = data["held_out"] == held_out
        statistics = torch.from_numpy(data["statistics"][chosen][:, : 1 if held_out else None])
        target = torch.from_numpy(data["mos"][chosen]).float()
    photos, variants = statistics.shape[:2]
    count = photos * variants
    return Part([], statistics[:, :, 0].flatten(0, 1), statistics[:, :, 1:].flatten(0, 1), target.repeat_interleave(variants),
                torch.zeros(count, dtype=torch.long), torch.zeros(count), torch.tensor([[0, 0, GRID, GRID]] * count),
                torch.zeros(count, dtype=torch.bool), torch.arange(photos).repeat_interleave(variants), human=True)  # fmt: skip


def rescale(part: Part, scale: dict, clips: bool = True) -> None:
    """Maps a part's targets (and, with `clips`, its clips' quality) by `slope` and `offset`, in place; severities stay."""
    part.target = (part.target * scale["slope"] + scale["offset"]).clamp(0, 100)
    for clip in part.clips if clips else []:
        clip.quality = np.clip(clip.quality * scale["slope"] + scale["offset"], 0, 100)
