"""Small-scale ablations: short runs from scratch on what a training's work folder holds already.

Decoder trials (`direct`, `mix`, `complementary`, `no-motion`) train projectors and language model on the finished towers
and are asked about held-out frames and clips. Tower trials train the key-frame tower anew on a share of the training
contents (`data-25` to `data-100`), or on synthetic degradations with and without photos that people scored (`data-100`
is without, `with-people` with them), and are read through the training heads.

Every trial leaves `<trial>-<seed>.json` in the result folder and is not done again; `ablations.md` and `scaling.svg`
are written of whatever is there.
"""

import json
import math
import time
import zlib
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import rankdata, spearmanr

from ..network import OmniVQA
from ..tokenizer import corpus, train_tokenizer
from .answers import Phrases, phrases
from .chart import line_chart
from .dataset import Part, load_part, load_photos, load_stills
from .decoder import (
    MOTION_SECONDS,
    Draws,
    Motion,
    answer_frames,
    cache_motion,
    frame_tokens,
    init_decoder,
    load_motion,
    places,
    train_decoder,
)
from .evaluate import rate_part
from .intervals import shown, with_interval
from .recipes import STRENGTH_KINDS
from .shape import nano_config
from .sources import is_held_out
from .views import GRID
from .vision import read_frames, rectangle_iou, train_vision


@dataclass(frozen=True)
class Trial:
    """One short run: `stage` is `decoder` or `tower`; the decoder's `order` and whether motion tokens say anything; the
    tower's `share` of the training contents and whether photos that people scored are among its data."""

    name: str
    stage: str
    order: str = "complementary"
    motion: bool = True
    share: float = 1.0
    people: bool = False


TRIALS = [
    Trial("complementary", "decoder"),
    Trial("direct", "decoder", order="direct"),
    Trial("mix", "decoder", order="mix"),
    Trial("no-motion", "decoder", motion=False),
    *(Trial(f"data-{share}", "tower", share=share / 100) for share in (25, 50, 75, 100)),
    Trial("with-people", "tower", people=True),
]
# Held-out frames that a decoder trial is asked about: every so many of a part.
STRIDE = 3


def spearman(score: np.ndarray, target: np.ndarray) -> float:
    return float(spearmanr(score, target)[0])


def area_under_roc(score: np.ndarray, true: np.ndarray) -> float:
    """The chance that a true item scores higher than a false one; NaN where one side is empty."""
    positive, negative = int(true.sum()), int((~true).sum())
    if not positive or not negative:
        return math.nan
    return float((rankdata(score)[true].sum() - positive * (positive + 1) / 2) / (positive * negative))


def chosen_contents(items: list[dict], share: float) -> set[str]:
    """A share of the training contents of a manifest, videos and photos alike: the first by a hash of their names, so
    that a smaller share is part of a larger one."""
    counts = Counter((item["kind"], item["source_repo"]) for item in items)
    chosen = set()
    for kind in ("video", "photo"):
        names = [item["content"] for item in items if item["kind"] == kind and not is_held_out(item, counts)]
        names.sort(key=lambda name: zlib.crc32(name.encode()))
        chosen |= set(names[: math.ceil(share * len(names))])
    return chosen


def still_contents(items: list[dict], groups: int, seed: int, held_out: bool = False) -> list[str]:
    """The content that each group of `write_stills` was made of, of the sources' one side."""
    counts = Counter((item["kind"], item["source_repo"]) for item in items)
    names = [item["content"] for item in items if is_held_out(item, counts) == held_out]
    orders = [np.random.default_rng([seed, turn]).permutation(len(names)) for turn in range(groups // len(names) + 1)]
    return [names[orders[group // len(names)][group % len(names)]] for group in range(groups)]


def subset(part: Part, kept: torch.Tensor) -> Part:
    """The frames of a part where `kept` bool [F], and the clips that are whole among them."""
    place = torch.cumsum(kept, 0).numpy() - 1
    clips = [replace(clip, rows=place[clip.rows]) for clip in part.clips if bool(kept[clip.rows].all())]
    names = ("squash", "fragments", "target", "kind", "severity", "cells", "seen", "group")
    return Part(clips, *(getattr(part, name)[kept] for name in names), human=part.human, rated=part.rated[kept])


def silent(motion: Motion) -> Motion:
    """The same seconds with motion tokens that say nothing."""
    return Motion({rate: torch.zeros_like(features) for rate, features in motion.features.items()}, motion.stutters)


def load_features(pathway, work: Path, clips: Part, random: Part) -> dict:
    """Motion features of the made-up seconds and of the clips' own frames, computed once and kept in `work`."""
    file = work / "ablation_motion.pt"
    if not file.exists():
        made = {side: load_motion(pathway, work / f"motion_{side}.npz") for side in ("train", "held")}
        torch.save({side: (motion.features, motion.stutters) for side, motion in made.items()}
                   | {"clips": cache_motion(pathway, clips.clips), "random": cache_motion(pathway, random.clips)}, file)  # fmt: skip
    loaded = torch.load(file, weights_only=False)
    return loaded | {side: Motion(*loaded[side]) for side in ("train", "held")}


def decoder_trial(trial: Trial, seed: int, work: Path, out: Path, config: dict) -> dict:
    """Trains projectors and language model from scratch on the finished towers and measures them on what is held out."""
    tokenizer = train_tokenizer(corpus(), config["decoder"]["vocabulary"])
    shape = nano_config(config, tokenizer.token_to_id("<|endoftext|>"), tokenizer.token_to_id("<|im_end|>"))
    torch.manual_seed(seed)
    network = OmniVQA(shape).eval()
    vision = torch.load(work / "vision.pt")
    network.tower.load_state_dict(vision["tower"])
    network.model.slowfast.load_state_dict(torch.load(work / "motion.pt"))
    words = phrases(shape, tokenizer)
    stills, clips, random = load_stills(work / "stills"), load_part(work / "train"), load_part(work / "random")
    features = load_features(network.model.slowfast, work, clips, random)
    for part in (clips, random):
        for clip in part.clips:
            clip.motion = clip.motion[:0]
    made, held, own, beside = (features[name] for name in ("train", "held", "clips", "random"))
    if not trial.motion:
        made, held = silent(made), silent(held)
        own, beside = ({name: torch.zeros_like(tokens) for name, tokens in every.items()} for every in (own, beside))
    init_decoder(network, vision["heads"], frame_tokens(network, stills, torch.arange(0, len(stills.target), max(1, len(stills.target) // 100))))
    draws = Draws([stills, clips], config["decoder"]["shares"], made, own, np.random.default_rng([seed, 0]))
    weights = out / f".{trial.name}-{seed}.pt"
    train_decoder(network, words, draws, {}, config, seed, weights, "decoder")
    weights.unlink()
    return (
        rating_figures(network, words, work / "random", random, beside)
        | localisation_figures(network, words, load_stills(work / "stills_held"), held)
        | stutter_figures(network, words, load_stills(work / "stills_held"), held)
    )


def rating_figures(network, words: Phrases, folder: Path, random: Part, motion: dict) -> dict:
    """SRCC of whole held-out clips with VMAF, where VMAF is the target, and over all kinds with the recipe's target."""
    rated = rate_part(network, words, folder, random, motion)
    score, content = np.array([item.score for item in rated]), np.array([item.content for item in rated])
    target = np.array([item.strength_target if item.kind in STRENGTH_KINDS else item.vmaf for item in rated])
    measured = np.array([item.kind not in STRENGTH_KINDS for item in rated])
    return {"clips: SRCC with VMAF": with_interval(spearman, [score[measured], target[measured]], content[measured]),
            "clips: SRCC with the target": with_interval(spearman, [score, target], content)}  # fmt: skip


@torch.inference_mode()
def localisation_figures(network, words: Phrases, part: Part, held: Motion) -> dict:
    """Type, place and severity of held-out stills beside motion without stutter."""
    rows = torch.arange(0, len(part.target), STRIDE)
    quiet = held.features[25][np.flatnonzero(held.undisturbed(25))]
    answers = answer_frames(network, words, part, rows, quiet[torch.arange(len(rows)) % len(quiet)])
    kind, cells, group = part.kind[rows].numpy(), part.cells[rows].numpy(), part.group[rows].numpy()
    visible, local = part.seen[rows].numpy() & (kind > 0), cells[:, 2] < GRID
    named = (answers.kind[:, 1:].argmax(1).numpy() + 1 == kind).astype(float)
    whole = answers.place.argmax(1).numpy() == 0
    overlap = np.where(whole, 0.25, rectangle_iou(places(answers), cells[:, :2]))
    step = answers.severity.argmax(1).numpy() + 1
    near = (np.abs(step - np.rint(np.clip(part.severity[rows].numpy(), 1, 3))) <= 1).astype(float)
    mean = lambda values: float(values.mean())
    return {name: with_interval(mean, [values[of]], group[of]) for name, values, of in (
        ("stills: type named", named, visible), ("stills: IoU of the place", overlap, visible & local),
        ("stills: severity within one step", near, visible))}  # fmt: skip


@torch.inference_mode()
def stutter_figures(network, words: Phrases, pictures: Part, held: Motion) -> dict:
    """How well stuttering seconds are told from those of clips without stutter."""
    score, true, clip = [], [], []
    for rate, features in held.features.items():
        used = np.flatnonzero(held.undisturbed(rate) | held.stutters[rate])[:200]
        rows = torch.arange(len(used)) % len(pictures.target)
        logits = answer_frames(network, words, pictures, rows, features[used]).stutter
        score.append((logits[:, 1] - logits[:, 0]).numpy())
        true.append(held.stutters[rate][used])
        clip.append(rate * 10_000 + used // MOTION_SECONDS)
    score, true, clip = (np.concatenate(column) for column in (score, true, clip))
    return {"seconds: area under the ROC of stutter": with_interval(area_under_roc, [score, true], clip)}


def tower_trial(trial: Trial, seed: int, work: Path, items: list[dict], out: Path, config: dict) -> dict:
    """Trains the key-frame tower from scratch on a share of the contents and reads what is held out."""
    tokenizer = train_tokenizer(corpus(), config["decoder"]["vocabulary"])
    shape = nano_config(config, tokenizer.token_to_id("<|endoftext|>"), tokenizer.token_to_id("<|im_end|>"))
    torch.manual_seed(seed)
    tower = OmniVQA(shape).eval().tower
    chosen = chosen_contents(items, trial.share)
    stills, clips = load_stills(work / "stills"), load_part(work / "train")
    contents = still_contents(items, int(stills.group.max()) + 1, config["seed"])
    allowed = torch.tensor([name in chosen for name in contents])
    kept = torch.zeros(len(clips.target), dtype=torch.bool)
    for clip in clips.clips:
        kept[clip.rows] = clip.meta["content"] in chosen
    parts = [subset(stills, allowed[stills.group]), subset(clips, kept)]
    del stills, clips
    if trial.people:
        parts.append(load_photos(work / "opinions.npz", held_out=False))
    weights = out / f".{trial.name}-{seed}.pt"
    heads = train_vision(tower, parts, config["vision"]["shares"][: len(parts)], {}, config["vision"]["samples"], config, seed, weights)
    weights.unlink()
    figures = {"contents": len(chosen)}
    mean = lambda values: float(values.mean())
    for name, part in (("stills", load_stills(work / "stills_held")), ("clips", load_part(work / "random"))):
        readings, kind, group = read_frames(tower, heads, part), part.kind.numpy(), part.group.numpy()
        visible, local = part.seen.numpy() & (kind > 0), part.cells[:, 2].numpy() < GRID
        overlap = rectangle_iou(readings.place, part.cells[:, :2].numpy())
        figures[f"{name}: SRCC with the target"] = with_interval(spearman, [readings.score, part.target.numpy()], group)
        figures[f"{name}: type named"] = with_interval(mean, [(readings.kind == kind)[visible].astype(float)], group[visible])
        figures[f"{name}: IoU of the place"] = with_interval(mean, [overlap[visible & local]], group[visible & local])
    photos = load_photos(work / "opinions.npz", held_out=True)
    readings = read_frames(tower, heads, photos)
    human, photo = photos.target.numpy(), photos.group.numpy()
    figures["people: SRCC of the synthetic readout"] = with_interval(spearman, [readings.score, human], photo)
    if trial.people:
        figures["people: SRCC of the readout of people"] = with_interval(spearman, [readings.opinion, human], photo)
    return figures


def ablate(sources: Path, work: Path, out: Path, config: dict, samples: int, tower_samples: int, names: list[str], seeds: list[int]) -> None:
    """Runs the named trials that have no result yet, with every seed in turn, and writes the tables."""
    out.mkdir(parents=True, exist_ok=True)
    items = json.loads((sources / "manifest.json").read_text())["items"]
    short = config | {"decoder": config["decoder"] | {"samples": samples, "notes": 1},
                      "vision": config["vision"] | {"samples": tower_samples}}  # fmt: skip
    for seed in seeds:
        for name in names:
            trial, target = next(one for one in TRIALS if one.name == name), out / f"{name}-{seed}.json"
            if not target.exists():
                begin = time.time()
                settings = short["decoder"] | {"order": trial.order}
                if trial.stage == "decoder":
                    figures = decoder_trial(trial, seed, work, out, short | {"decoder": settings})
                else:
                    figures = tower_trial(trial, seed, work, items, out, short)
                facts = {"trial": name, "stage": trial.stage, "seed": seed, "seconds": round(time.time() - begin),
                         "samples": samples if trial.stage == "decoder" else tower_samples}  # fmt: skip
                target.write_text(json.dumps(facts | {"figures": figures}, indent=1) + "\n")
            write_tables(out)


def results(out: Path) -> list[dict]:
    """Every result in a folder, in the order of TRIALS."""
    found = [json.loads(path.read_text()) for path in out.glob("*-[0-9]*.json")]
    order = [trial.name for trial in TRIALS]
    return sorted((one for one in found if one.get("trial") in order), key=lambda one: (order.index(one["trial"]), one["seed"]))


def tables(found: list[dict]) -> str:
    """The results as Markdown: a row for each figure, a column for each run."""
    lines = []
    for stage in ("decoder", "tower"):
        runs = [one for one in found if one["stage"] == stage]
        if not runs:
            continue
        names = list(dict.fromkeys(name for one in runs for name in one["figures"]))
        lines.append("| " + stage + " | " + " | ".join(f"{one['trial']}, seed {one['seed']}" for one in runs) + " |")
        lines.append("|---" * (len(runs) + 1) + "|")
        for name in names:
            cells = [one["figures"].get(name) for one in runs]
            texts = ["-" if cell is None else shown(cell) if isinstance(cell, dict) else str(cell) for cell in cells]
            lines.append(f"| {name} | " + " | ".join(texts) + " |")
        lines.append("| samples (seconds) | " + " | ".join(f"{one['samples']} ({one['seconds']})" for one in runs) + " |")
        lines.append("")
    return "\n".join(lines)


def scaling_curve(found: list[dict]) -> str:
    """An SVG of the tower's held-out figures over the share of training contents, the mean of the seeds."""
    shares = {trial.name: trial.share for trial in TRIALS if trial.name.startswith("data-")}
    curves = {}
    for name in ("clips: SRCC with the target", "stills: SRCC with the target", "stills: type named", "stills: IoU of the place"):
        means = {share: np.mean([one["figures"][name]["value"] for one in found if one["trial"] == trial]) for trial, share in shares.items()}
        curves[name] = [(share, float(mean)) for share, mean in means.items()]
    return line_chart(curves, {share: f"{share:.0%}" for share in shares.values()}, "share of the training contents")


def write_tables(out: Path) -> None:
    """Writes `ablations.md`, and `scaling.svg` once every share has a result."""
    found = results(out)
    (out / "ablations.md").write_text(tables(found))
    if {trial.name for trial in TRIALS if trial.name.startswith("data-")} <= {one["trial"] for one in found}:
        (out / "scaling.svg").write_text(scaling_curve(found))
