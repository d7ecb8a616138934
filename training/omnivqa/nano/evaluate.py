"""Measures an exported checkpoint on held-out sources: correlations with bootstrap intervals, and every ladder."""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import kendalltau, pearsonr, spearmanr

from ..checkpoint import load_checkpoint
from ..sequence import clip_tokens, load_tokenizer, rate
from .recipes import STRENGTH_KINDS
from .render import LADDERS, render
from .sources import load_sources

RESAMPLES = 500


@dataclass(frozen=True)
class Rated:
    """One clip of a held-out content: `value` is the rung of its ladder; scores are 0..100."""

    content: str
    source_kind: str
    kind: str
    value: float
    local: bool
    vmaf: float
    strength_target: float
    score: float


def rate_part(folder: Path, model: Path) -> list[Rated]:
    """Rates every item of a folder with the checkpoint in `model`, from its pixels, as one window."""
    network, tokenizer = load_checkpoint(model), load_tokenizer(model)
    rated = []
    for path in sorted(folder.glob("[!.]*.npz")):
        with np.load(path) as data:
            meta = json.loads(str(data["meta"]))
            keys = data["positions"] % meta["rate"] == 0
            views = np.stack([data["squash"][keys], data["fragments"][keys, 0]], 1)
            motion, vmaf = torch.from_numpy(data["motion"]), float(data["vmaf"].mean())
        recipe = meta["recipe"]
        score = rate(network, tokenizer, clip_tokens(network, torch.from_numpy(views), motion)).score * 100
        rated.append(Rated(meta["content"], meta["source_kind"], recipe["kind"], recipe["strength"], recipe["local"],
                           vmaf, meta["strength_target"], score))  # fmt: skip
    return rated


def correlations(rated: list[Rated], reference, seed: int = 0) -> str:
    """SRCC, PLCC and KRCC with `reference(item)`, each with the 95 % interval of a bootstrap over contents."""
    groups = defaultdict(list)
    for item in rated:
        groups[item.content].append((item.score, reference(item)))
    groups = [np.array(group) for group in groups.values()]
    if len(rated) < 3:
        return f"{len(rated)} | {len(groups)} | - | - | -"

    def measure(chosen):
        score, wanted = np.concatenate(chosen).T
        return [float(f(score, wanted)[0]) for f in (spearmanr, pearsonr, kendalltau)]

    rng = np.random.default_rng(seed)
    drawn = [measure([groups[i] for i in rng.integers(0, len(groups), len(groups))]) for _ in range(RESAMPLES)]
    low, high = np.nanpercentile(drawn, [2.5, 97.5], axis=0)
    cells = [f"{value:.3f} [{a:.3f}, {b:.3f}]" for value, a, b in zip(measure(groups), low, high)]
    return f"{len(rated)} | {len(groups)} | " + " | ".join(cells)


def ladder_falls(rated: list[Rated], kind: str) -> tuple[int, int, list[int]]:
    """How many contents have a ladder of this kind whose score falls at every step, how many have one, and for each
    the number of steps that do not fall. Scaling factors, strengths and CRFs all rise with the damage."""
    ladders = defaultdict(dict)
    for item in rated:
        if item.kind == kind:
            ladders[item.content][item.value] = item.score
    rises = []
    for rungs in ladders.values():
        scores = [rungs[value] for value in sorted(rungs)]
        rises.append(sum(b >= a for a, b in zip(scores, scores[1:])))
    return sum(count == 0 for count in rises), len(rises), rises


def report(ladders: list[Rated], random: list[Rated]) -> str:
    """The figures as Markdown."""
    vmaf = lambda item: item.vmaf  # noqa: E731
    wanted = lambda item: item.strength_target  # noqa: E731
    measured = [item for item in ladders if item.kind not in STRENGTH_KINDS]
    head = "| held-out clips | n | contents | SRCC | PLCC | KRCC |\n|---|---|---|---|---|---|"
    lines = ["Against VMAF v0.6.1, kinds where it is the target:", "", head]
    lines.append(f"| **pooled: codecs, scaling, blur, pristine** | {correlations(measured, vmaf)} |")
    for name in ("video", "photo"):
        lines.append(f"| only {name}s | {correlations([i for i in measured if i.source_kind == name], vmaf)} |")
    for kind in sorted({item.kind for item in measured} - {"pristine"}):
        lines.append(f"| only {kind} | {correlations([i for i in measured if i.kind == kind], vmaf)} |")
    drawn = [item for item in random if item.kind not in STRENGTH_KINDS]
    lines.append(f"| randomly drawn like training, some on a quarter of the frame | {correlations(drawn, vmaf)} |")
    within = defaultdict(list)
    for item in measured:
        within[item.content].append((item.score, item.vmaf))
    inside = [float(spearmanr(*np.array(pairs).T)[0]) for pairs in within.values()]
    lines += ["", f"Within a content, SRCC with VMAF: median {np.median(inside):.3f}, lowest {min(inside):.3f}."]
    lines += ["", "Against the recipe's strength, kinds where VMAF is no target; then VMAF for the same clips:", "", head]
    for kind in sorted(STRENGTH_KINDS):
        items = [item for item in ladders if item.kind == kind]
        lines.append(f"| {kind}, strength | {correlations(items, wanted)} |")
        lines.append(f"| {kind}, VMAF | {correlations(items, vmaf)} |")
    lines.append(f"| everything against VMAF, strength kinds too | {correlations(ladders, vmaf)} |")
    pristine = [item.score for item in ladders if item.kind == "pristine"]
    lines += ["", f"Pristine clips: mean score {np.mean(pristine):.1f}, lowest {min(pristine):.1f}."]
    lines += ["", "| ladder | falls at every step | steps that do not fall |", "|---|---|---|"]
    videos = [item for item in ladders if item.source_kind == "video"]
    for kind in LADDERS:
        if kind != "pristine" and videos:
            falls, count, rises = ladder_falls(videos, kind)
            steps = count * (len(LADDERS[kind]) - 1)
            lines.append(f"| {kind} {LADDERS[kind]} | {falls} of {count} videos | {sum(rises)} of {steps} |")
    rungs = LADDERS["x264"]
    lines += ["", "Score (VMAF) by x264 CRF, preset medium:", "", "| video | " + " | ".join(map(str, rungs)) + " |"]
    lines.append("|---" * (len(rungs) + 1) + "|")
    for content in sorted({item.content for item in videos}):
        found = {item.value: item for item in videos if item.content == content and item.kind == "x264"}
        cells = " | ".join(f"{found[value].score:.1f} ({found[value].vmaf:.0f})" for value in rungs)
        lines.append(f"| {content} | {cells} |")
    return "\n".join(lines)


def evaluate(sources_folder: Path, work: Path, model: Path, config: dict, workers: int) -> None:
    """Renders the held-out clips that are not there yet, rates them, and prints the report."""
    sources = load_sources(sources_folder, work, config["seed"])
    for part in ("ladders", "random"):
        render(sources, config, work, part, workers)
    print(report(rate_part(work / "ladders", model), rate_part(work / "random", model)))
