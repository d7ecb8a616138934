"""Whether a checkpoint is as sure as it is right: expected calibration error of its answers about held-out contents, with
temperatures of 1, those it is shipped with, and those fitted to other contents; as a table and as a reliability diagram.

The shipped temperatures were fitted on contents kept back from the decoder's training, none of them held out.
"""

import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..checkpoint import load_checkpoint
from ..sequence import load_tokenizer
from .ablate import still_contents
from .answers import phrases
from .calibration import temperature
from .dataset import load_stills
from .evaluate import Heard, hear_held_out, held_out_seconds, stutter_logits
from .intervals import shown, with_interval
from .losses import soft_levels
from .recipes import TYPES

BINS = 10
FOLDS = 5
COVERED = 0.8
LEVEL = "how good (five levels)"


@dataclass(frozen=True)
class Question:
    """Logits [n,k] of the options with the true one, i64 [n], and the content of each, [n]. `option` looks at one of the
    options as yes or no; None at the likeliest. `shipped` is its temperature, None where the checkpoint has none."""

    name: str
    logits: torch.Tensor
    label: torch.Tensor
    content: np.ndarray
    option: int | None
    shipped: float | None

    def answered(self, warmth) -> tuple[np.ndarray, np.ndarray]:
        """Confidence and whether it was right, f64 [n] each, at a temperature (or one for each answer, [n])."""
        chances = (self.logits / torch.as_tensor(warmth, dtype=torch.float32).reshape(-1, 1)).softmax(-1)
        if self.option is None:
            confidence, named = chances.max(-1)
            return confidence.double().numpy(), (named == self.label).double().numpy()
        # Option 0 of what is wrong is "none": there the question is whether anything is.
        chance = 1 - chances[:, 0] if self.option == 0 else chances[:, self.option]
        true = self.label != 0 if self.option == 0 else self.label == self.option
        return chance.double().numpy(), true.double().numpy()

    def cross_fitted(self, seed: int = 0) -> torch.Tensor:
        """A temperature for each answer, fitted to the answers about the other four fifths of the contents, f32 [n]."""
        names, index = np.unique(self.content, return_inverse=True)
        fold = (np.random.default_rng(seed).permutation(len(names)) % FOLDS)[index]
        out = torch.ones(len(self.label))
        for number in range(FOLDS):
            inside = torch.from_numpy(fold == number)
            out[inside] = temperature(self.logits[~inside], self.label[~inside])
        return out


def binned(confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Count, sum of confidences and sum of right answers of BINS bins of equal width, f64 [BINS,3]."""
    of = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return np.stack([np.bincount(of, values, BINS) for values in (np.ones_like(confidence), confidence, right)], 1)


def calibration_gap(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error (Guo et al., ICML 2017): how far a bin's share of right answers is from its mean
    confidence, over all answers."""
    bins = binned(confidence, right)
    return float(np.abs(bins[:, 2] - bins[:, 1]).sum() / len(confidence))


def covered(question: Question, warmth: float) -> np.ndarray:
    """Whether the fewest options that hold COVERED of the probability hold the true one, f64 [n]."""
    chances, order = (question.logits / warmth).softmax(-1).sort(-1, descending=True)
    before = chances.cumsum(-1) - chances
    return ((order == question.label[:, None]) & (before < COVERED)).any(-1).double().numpy()


def questions(heard: list[Heard], contents: list[np.ndarray], calibration: dict) -> list[Question]:
    """What is asked of single seconds and stills, of all parts together; `contents` names each one's."""
    part, content = Heard.joined(heard), np.concatenate(contents)
    answers, kind = part.answers, torch.from_numpy(part.kind)
    seen = part.seen
    warmth = calibration["spatial"]["temperature"]
    spatial = lambda name, option: Question(name, answers.kind[seen], kind[seen], content[seen], option, warmth)  # noqa: E731
    right = seen & (part.kind > 0) & (answers.kind[:, 1:].argmax(1).numpy() + 1 == part.kind)
    step = torch.from_numpy(np.rint(np.clip(part.steps, 1, 3))).long() - 1
    levels = soft_levels(torch.from_numpy(part.target)).argmax(1)
    return [
        spatial("is anything wrong", 0),
        *(spatial(f"is it {name}", i) for i, name in enumerate(TYPES) if i),
        spatial("what it is (likeliest)", None),
        Question("how severe (likeliest)", answers.severity[right], step[right], content[right], None, calibration["severity"]["temperature"]),
        Question(LEVEL, answers.level, levels, content, None, None),
    ]


def table(asked: list[Question]) -> str:
    """The errors as Markdown, with the 95 % interval of a bootstrap over contents."""
    lines = ["| question | answers | contents | temperature 1 | as shipped | shipped temperature | fitted to other contents | its mean |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for one in asked:
        fitted = one.cross_fitted()
        cells = [shown(with_interval(calibration_gap, list(one.answered(warmth)), one.content)) for warmth in (1.0, one.shipped or 1.0, fitted)]
        name = f"{one.shipped:.3f}" if one.shipped else "none"
        lines.append(f"| {one.name} | {len(one.label)} | {len(np.unique(one.content))} | {cells[0]} | {cells[1]} | {name} | {cells[2]} | {float(fitted.mean()):.3f} |")
    return "\n".join(lines)


def diagram(asked: list[Question]) -> str:
    """A reliability diagram for each question, as an SVG: the share of right answers over the mean confidence of each bin
    with at least five answers, the larger the more answers. Filled: as shipped; rings: at a temperature of 1."""
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {230 * len(asked) + 20} 270" font-family="sans-serif" font-size="11">',
             f'<rect width="{230 * len(asked) + 20}" height="270" fill="white"/>']  # fmt: skip
    for column, one in enumerate(asked):
        left, top, side = 50 + 230 * column, 30, 180
        at = lambda x, y: f'cx="{left + side * x:.1f}" cy="{top + side * (1 - y):.1f}"'  # noqa: B023, E731
        parts.append(f'<text x="{left}" y="18" font-weight="bold">{one.name}</text>')
        parts.append(f'<path d="M{left} {top}V{top + side}H{left + side}" fill="none" stroke="#444"/>')
        parts.append(f'<path d="M{left} {top + side}L{left + side} {top}" stroke="#aaa" stroke-dasharray="3 3"/>')
        for value in (0, 0.5, 1):
            parts.append(f'<text x="{left - 6}" y="{top + side * (1 - value) + 4:.0f}" text-anchor="end">{value}</text>')
            parts.append(f'<text x="{left + side * value:.0f}" y="{top + side + 16}" text-anchor="middle">{value}</text>')
        parts.append(f'<text x="{left + side / 2:.0f}" y="{top + side + 34}" text-anchor="middle">confidence</text>')
        if column == 0:
            parts.append(f'<text transform="translate(14 {top + side / 2:.0f}) rotate(-90)" text-anchor="middle">share that was right</text>')
        for warmth, look in ((1.0, 'fill="none" stroke="#888"'), (one.shipped or 1.0, 'fill="#1f77b4" fill-opacity="0.75"')):
            bins = binned(*one.answered(warmth))
            for count, sure, right in bins[bins[:, 0] >= 5]:
                radius = 2.5 + 7 * (count / len(one.label)) ** 0.5
                parts.append(f'<circle {at(sure / count, right / count)} r="{radius:.1f}" {look}/>')
        gap = calibration_gap(*one.answered(one.shipped or 1.0))
        parts.append(f'<text x="{left + side - 4}" y="{top + side - 6}" text-anchor="end">ECE {gap:.3f}</text>')
    return "\n".join([*parts, "</svg>", ""])


def reliability(sources: Path, work: Path, model: Path, out: Path, config: dict, workers: int) -> None:
    """Asks a checkpoint about everything that `evaluate` looks at, prints the errors and writes the diagram."""
    held_out_seconds(sources, work, config, workers)
    network, tokenizer = load_checkpoint(model), load_tokenizer(model)
    words, calibration = phrases(network.config, tokenizer), network.config.omnivqa.localization.calibration
    _, heard = hear_held_out(network, words, work)
    items = json.loads((sources / "manifest.json").read_text())["items"]
    pictures = load_stills(work / "stills_held")
    made_of = still_contents(items, int(pictures.group.max()) + 1, config["seed"], held_out=True)
    # Stills are numbered by their picture, clips as `load_part` does by their content.
    numbers = np.array([zlib.crc32(name.encode()) for name in made_of])
    groups = {name: part.content for name, part in heard.items()} | {"stills": numbers[heard["stills"].content]}
    asked = questions(list(heard.values()), list(groups.values()), calibration)
    stutter = stutter_logits(network, words, work / "motion_held.npz", pictures)
    logits = torch.cat([found for found, _, _ in stutter.values()])
    label = torch.from_numpy(np.concatenate([true for _, true, _ in stutter.values()])).long()
    clip = np.concatenate([np.char.add(f"{rate}-", clips.astype(str)) for rate, (_, _, clips) in stutter.items()])
    asked.insert(-1, Question("does it stutter", logits, label, clip, 1, calibration["temporal"]["temperature"]))
    print(table(asked))
    for name, part in heard.items():
        every = questions([part], [groups[name]], calibration)
        print(f"\n{name}:\n\n{table([one for one in every if one.name in (asked[0].name, LEVEL)])}")
    level = next(one for one in asked if one.name == LEVEL)
    mean = lambda values: float(values.mean())  # noqa: E731
    inside = shown(with_interval(mean, [covered(level, 1.0)], level.content))
    print(f"\nThe fewest levels that hold {100 * COVERED:.0f} % of the probability hold the true one in {inside} of the seconds.")
    drawn = [asked[0], *(one for one in asked if one.name in ("what it is (likeliest)", "does it stutter", LEVEL))]
    out.write_text(diagram(drawn))
