"""Measures an exported checkpoint on held-out sources: correlations with bootstrap intervals, every ladder, and what it
says is wrong, where and when."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import kendalltau, pearsonr, spearmanr

from ..checkpoint import load_checkpoint
from ..sequence import load_tokenizer
from .answers import Answers, Phrases, ask, clip_prefix, phrases
from .calibration import calibration_error
from .dataset import Part, load_part, load_stills
from .decoder import MOTION_SECONDS, cache_motion, frame_tokens, load_motion, places, window, write_motion_samples
from .losses import level_score, soft_levels
from .motion import load_runs
from .recipes import STRENGTH_KINDS, TYPES
from .render import LADDERS, render
from .sources import load_sources
from .stills import source_pictures, write_stills
from .towers import photo_files
from .views import GRID
from .vision import rectangle_iou

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


@torch.inference_mode()
def rate_part(network, words: Phrases, folder: Path, part: Part, motion: dict[str, torch.Tensor]) -> list[Rated]:
    """Rates every clip of a part, which was loaded from `folder`, as one window."""
    rated = []
    for clip in part.clips:
        with np.load(folder / f"{clip.name}.npz") as data:
            vmaf = float(data["vmaf"].mean())
        item = window(clip, 0, 0, clip.meta["frames"] // clip.meta["rate"])
        features = motion[clip.name][item.frames][None]
        prefix = clip_prefix(network, words, frame_tokens(network, part, torch.tensor(item.rows))[None], features,
                             torch.arange(features.shape[1]))  # fmt: skip
        question = torch.tensor([words.questions["rating"] + words.openings["rating"]])
        logits = network.logits(torch.cat([prefix, network.embed(question)], 1), last=1)[0, 0, words.choices["level"]]
        meta, recipe = clip.meta, clip.meta["recipe"]
        rated.append(Rated(meta["content"], meta["source_kind"], recipe["kind"], recipe["strength"], recipe["local"],
                           vmaf, meta["strength_target"], float(level_score(logits.float()))))  # fmt: skip
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


def known_content_srcc(rated: list[Rated], degree: int) -> float:
    """SRCC with VMAF after the least-squares polynomial from score to VMAF of each content (degree 0: its mean error) was
    applied to it: how much of what is missing is knowledge of the content."""
    groups = defaultdict(list)
    for item in rated:
        groups[item.content].append((item.score, item.vmaf))
    mapped, wanted = [], []
    for pairs in groups.values():
        score, vmaf = np.array(pairs).T
        mapped.append(score + (vmaf - score).mean() if degree == 0 else np.polyval(np.polyfit(score, vmaf, degree), score))
        wanted.append(vmaf)
    return float(spearmanr(np.concatenate(mapped), np.concatenate(wanted))[0])


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
    lines += ["", f"Pooled, were the mean error of every content known: {known_content_srcc(measured, 0):.3f}; were the line from score "
              f"to VMAF of every content known: {known_content_srcc(measured, 1):.3f}."]  # fmt: skip
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


@dataclass(frozen=True)
class Heard:
    """Answers about n frames with their labels and the content (or group) of each, for a table."""

    answers: Answers
    kind: np.ndarray
    steps: np.ndarray
    cells: np.ndarray
    seen: np.ndarray
    target: np.ndarray
    content: np.ndarray

    @staticmethod
    def joined(parts: list["Heard"]) -> "Heard":
        rest = [name for name in Heard.__dataclass_fields__ if name != "answers"]
        return Heard(Answers.joined([part.answers for part in parts]), *(np.concatenate([getattr(part, name) for part in parts]) for name in rest))


@torch.inference_mode()
def hear(network, words: Phrases, part: Part, motion: dict[str, torch.Tensor] | None) -> Heard:
    """Asks about every second of a part's clips, each in a context of its own with its own motion, as the engine does; or
    about every frame of a part without clips, as pictures."""
    network.eval()
    answers, order = [], []
    if motion is None:
        rows = torch.arange(len(part.target))
        for chosen in rows.split(32):
            none = torch.zeros(len(chosen), 0, network.config.motion.widths[-1])
            prefix = clip_prefix(network, words, frame_tokens(network, part, chosen)[:, None], none, torch.arange(0))
            answers.append(ask(network, words, prefix))
        order = rows
    else:
        for clip in part.clips:
            rate = clip.meta["rate"]
            used = network.config.motion.frames_used(clip.meta["frames"])
            seconds = clip.meta["frames"] // rate
            tokens = frame_tokens(network, part, torch.from_numpy(clip.rows[: 2 * seconds : 2]))
            # The last second may have fewer tokens than the others.
            whole = min(seconds, used // rate)
            for first, end, length in ((0, whole, rate), (whole, seconds, used - whole * rate)):
                if first < end:
                    at = torch.arange(first, end)[:, None] * rate + torch.arange(length)
                    answers.append(ask(network, words, clip_prefix(network, words, tokens[first:end, None], motion[clip.name][at], at)))
            order += clip.rows[: 2 * seconds : 2].tolist()
        order = torch.tensor(order)
    pick = lambda values: values[order].numpy()  # noqa: E731
    return Heard(Answers.joined(answers), pick(part.kind), pick(part.severity), pick(part.cells), pick(part.seen), pick(part.target), pick(part.group))


def share(values: np.ndarray, content: np.ndarray, seed: int = 0) -> str:
    """The mean of n values with the 95 % interval of a bootstrap over contents."""
    if not len(values):
        return "-"
    names, index = np.unique(content, return_inverse=True)
    sums, counts = np.bincount(index, values), np.bincount(index)
    rng = np.random.default_rng(seed)
    drawn = [sums[rows].sum() / counts[rows].sum() for rows in rng.integers(0, len(names), (RESAMPLES, len(names)))]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def localisation_report(heard: dict[str, Heard], calibration: dict) -> list[str]:
    """Tables of what is found, how it is named, where and how badly, as Markdown."""
    lines = ["| held-out frames | n | found | named right | of the found | IoU of the place | severity exact | within one step |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    alarms = ["| pristine | seconds | false alarms a minute |", "|---|---|---|"]
    for name, part in heard.items():
        answers = part.answers
        none = (answers.kind / calibration["spatial"]["temperature"]).softmax(-1)[:, 0].numpy()
        found = none < 1 - calibration["spatial"]["threshold"]
        named = answers.kind[:, 1:].argmax(1).numpy() + 1
        local = part.cells[:, 2] < GRID
        whole = answers.place.argmax(1).numpy() == 0
        there = np.where(local, np.where(whole, 0.25, rectangle_iou(places(answers), part.cells[:, :2])), np.where(whole, 1, 0.25))
        gap = np.abs(answers.severity.argmax(1).numpy() + 1 - np.rint(np.clip(part.steps, 1, 3)))
        visible = part.seen & (part.kind > 0)
        rows = {"**a quarter of the frame**": visible & local, "the whole frame": visible & ~local}
        rows |= {f"quarter, {kind}": visible & local & (part.kind == i) for i, kind in enumerate(TYPES) if i}
        rows |= {f"whole, {kind}": visible & ~local & (part.kind == i) for i, kind in enumerate(TYPES) if i}
        for title, chosen in rows.items():
            of = chosen & found
            cells = [share(found[chosen].astype(float), part.content[chosen]), share((named == part.kind)[chosen].astype(float), part.content[chosen]),
                     share((named == part.kind)[of].astype(float), part.content[of]), share(there[chosen], part.content[chosen]),
                     share((gap == 0)[chosen].astype(float), part.content[chosen]), share((gap <= 1)[chosen].astype(float), part.content[chosen])]  # fmt: skip
            lines.append(f"| {name}: {title} | {int(chosen.sum())} | " + " | ".join(cells) + " |")
        clean = part.kind == 0
        if clean.any():
            rate = share(found[clean] * 60.0, part.content[clean])
            alarms.append(f"| {name} | {int(clean.sum())} | {rate} |")
        label = torch.from_numpy(part.kind)
        seen = torch.from_numpy(part.seen)
        error = calibration_error(answers.kind[seen] / calibration["spatial"]["temperature"], label[seen])
        levels = calibration_error(answers.level, soft_levels(torch.from_numpy(part.target)).argmax(1))
        alarms.append(f"| {name}: calibration error of the type {error:.3f}, of the level {levels:.3f} | | |")
    return [*lines, "", *alarms]


@torch.inference_mode()
def stutter_logits(network, words: Phrases, file: Path, pictures: Part) -> dict[int, tuple[torch.Tensor, np.ndarray, np.ndarray]]:
    """By frame rate, of every second of the made-up clips: the logits f32 [n,2] of the answer to whether it stutters,
    whether it does, and the number of its clip. A second's key frame is any of `pictures`."""
    motion, done, out = load_motion(network.model.slowfast, file), 0, {}
    for rate, features in motion.features.items():
        found = []
        for rows in features.split(32):
            tokens = frame_tokens(network, pictures, torch.arange(done, done + len(rows)) % len(pictures.target))
            found.append(ask(network, words, clip_prefix(network, words, tokens[:, None], rows, torch.arange(rate))).stutter)
            done += len(rows)
        true = motion.stutters[rate]
        out[rate] = torch.cat(found), true, np.arange(len(true)) // MOTION_SECONDS
    return out


def stutter_report(network, words: Phrases, file: Path, pictures: Part, calibration: dict) -> list[str]:
    """How many of the made-up clips' stuttering seconds are found, and false alarms, as Markdown."""
    lines = ["| frame rate | stuttering seconds | found | of clips without: false alarms a minute | other seconds of clips with it: alarms |",
             "|---|---|---|---|---|"]  # fmt: skip
    for rate, (logits, true, clip) in stutter_logits(network, words, file, pictures).items():
        chance = (logits / calibration["temporal"]["temperature"]).softmax(-1)[:, 1]
        found = (chance >= calibration["temporal"]["threshold"]).numpy().astype(float)
        clean = ~np.isin(clip, clip[true])
        cells = [share(found[true], clip[true]), share(found[clean] * 60, clip[clean]), share(found[~true & ~clean], clip[~true & ~clean])]
        lines.append(f"| {rate} | {int(true.sum())} | " + " | ".join(map(str, cells)) + " |")
    return lines


def held_out_seconds(sources_folder: Path, work: Path, config: dict, workers: int) -> None:
    """Renders what is held out and not there yet: ladders, clips drawn like training, stills, seconds of motion."""
    seed = config["seed"]
    sources = load_sources(sources_folder, work, seed)
    held_out = [source for source in sources if source.held_out]
    photos = photo_files(sources_folder)
    for part in ("ladders", "random"):
        render(sources, config, work, part, workers)
    stills, runs = work / "stills_held", work / "motion_held.npz"
    frames = [source_pictures(source, photos.get(source.content)) for source in held_out]
    write_stills(stills, frames, config["data"]["stills_held_groups"], config["data"]["versions"], seed, workers, held_out=True)
    if not runs.exists():
        write_motion_samples(runs, load_runs(held_out, photos, work / "runs"), config["decoder"]["motion_held_samples"], seed + 1)


def hear_held_out(network, words: Phrases, work: Path) -> tuple[dict[str, list[Rated]], dict[str, Heard]]:
    """Ratings of the clips that `held_out_seconds` left, by part, and answers about their seconds and the stills."""
    rated, heard = {}, {}
    for name in ("ladders", "random"):
        part = load_part(work / name)
        motion = cache_motion(network.model.slowfast, part.clips)
        rated[name] = rate_part(network, words, work / name, part, motion)
        heard["clips drawn like training" if name == "random" else "ladders"] = hear(network, words, part, motion)
    heard["stills"] = hear(network, words, load_stills(work / "stills_held"), None)
    return rated, heard


def evaluate(sources_folder: Path, work: Path, model: Path, config: dict, workers: int) -> None:
    """Renders what is held out and not there yet, asks the checkpoint about it, and prints the report."""
    held_out_seconds(sources_folder, work, config, workers)
    network, tokenizer = load_checkpoint(model), load_tokenizer(model)
    words, calibration = phrases(network.config, tokenizer), network.config.omnivqa.localization.calibration
    rated, heard = hear_held_out(network, words, work)
    pictures = load_stills(work / "stills_held")
    print("\n".join([report(rated["ladders"], rated["random"]), "", *localisation_report(heard, calibration), "",
                     *stutter_report(network, words, work / "motion_held.npz", pictures, calibration)]))  # fmt: skip
