"""Stages 3 and 4: projectors and language model, then the same together with the key-frame tower; and from there to weights
that compare encodes.

A training item looks like what the engine feeds: K key frames one second apart, the motion tokens of all frames of
those seconds, and the questions of `answers.py` after them. Batches of three sorts take turns: single frames of stills
and clips beside a second of motion that may stutter, with all questions; windows of K seconds of rendered clips with
their own motion; photos that people scored, to be rated only.
"""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import pearsonr, spearmanr

from .answers import (
    Answers,
    Labels,
    Phrases,
    Turn,
    answers_loss,
    ask,
    clip_prefix,
    rating_turn,
    spatial_turn,
    temporal_turn,
    turn_logits,
)
from .dataset import Clip, Part
from .losses import level_score
from .motion import RATES, Run, motion_features, motion_sample
from .precision import halved
from .recipes import TYPE_OF_KIND, TYPES
from .views import GRID
from .vision import DECAY, VERSIONS, Batches, rectangle_iou, vision_tokens

# How often a batch of windows has K seconds.
WINDOW_SHARES = {1: 0.3, 2: 0.35, 3: 0.23, 4: 0.08, 10: 0.04}
# The rungs of a ladder are as long as this; more would show their frames again.
LADDER_SECONDS = 2
# Seconds of a made-up clip with or without stutter, and how often a drawn second stutters.
MOTION_SECONDS = 4
STUTTER_SHARE = 0.4
# How often a frame has no motion tokens, as a picture or a clip of fewer than four frames; and of photos that people scored,
# how many batches have those of a still or gently moving clip.
STILL_SHARE = 0.25
PHOTO_CLIPS = 0.6
# What is trained in the first and in the second part of a stage: (rating, localisation).
ORDERS = {
    "direct": ((1.0, 0.0), (1.0, 0.0)),
    "mix": ((1.0, 1.0), (1.0, 1.0)),
    "complementary": ((0.0, 1.0), (1.0, 1.0)),
}
# Share of a stage that its first part takes.
FIRST_PART = 0.2
# Every tenth content is left out of training; thresholds and temperatures are found on them.
KEPT_BACK = 10


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


def draw_windows(clips: list[Clip], groups: int, rng: np.random.Generator, by: str = "content") -> list[tuple[Clip, Window]]:
    """Windows of one length and frame rate, VERSIONS of each of `groups` contents, or `by` ladder: the rungs of `groups`
    ladders, all at the same time of the source."""
    seconds = int(rng.choice(list(WINDOW_SHARES), p=list(WINDOW_SHARES.values())))
    if by == "ladder":
        seconds = min(seconds, LADDER_SECONDS)
    rate = clips[int(rng.integers(len(clips)))].meta["rate"]
    contents = {}
    for clip in clips:
        if clip.meta["rate"] == rate:
            contents.setdefault(clip.meta[by], []).append(clip)
    names = list(contents)
    batch = []
    for name in (names[int(i)] for i in rng.choice(len(names), groups, replace=len(names) < groups)):
        versions, place = contents[name], None
        for i in rng.choice(len(versions), VERSIONS, replace=len(versions) < VERSIONS):
            clip = versions[int(i)]
            if place is None or by == "content":
                phase = int(rng.integers(0, 2)) if clip.meta["frames"] >= 2 * rate else 0
                available = (clip.meta["frames"] - (int(clip.positions[1]) if phase else 0)) // rate
                place = phase, int(rng.integers(0, max(1, available - seconds + 1)))
            batch.append((clip, window(clip, *place, seconds)))
    return batch


@dataclass
class Motion:
    """Single seconds by frame rate: features f32 [n,rate,width] before positions, and whether each stutters, bool [n]."""

    features: dict[int, torch.Tensor]
    stutters: dict[int, np.ndarray]

    def draw(self, rate: int, count: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """`count` seconds and whether they stutter, i64."""
        stutters = self.stutters[rate]
        sides = [np.flatnonzero(stutters == side) for side in (False, True)]
        rows = [int(rng.choice(sides[int(rng.random() < STUTTER_SHARE)])) for _ in range(count)]
        return self.features[rate][rows], torch.from_numpy(stutters[rows]).long()


    def side(self, kept_back: bool) -> "Motion":
        """The seconds of every tenth clip, or of the others."""
        chosen = {rate: np.arange(len(found)) // MOTION_SECONDS % KEPT_BACK == 0 for rate, found in self.stutters.items()}
        rows = {rate: np.flatnonzero(mask == kept_back) for rate, mask in chosen.items()}
        return Motion({rate: self.features[rate][at] for rate, at in rows.items()},
                      {rate: self.stutters[rate][at] for rate, at in rows.items()})  # fmt: skip

    def check_both(self) -> None:
        """Raises ValueError where a frame rate has no second that stutters, or no clip without any."""
        for rate, stutters in self.stutters.items():
            if not stutters.any() or not self.undisturbed(rate).any():
                raise ValueError(f"too few clips of {rate} frames a second with and without stutter: raise motion_train_samples")

    def undisturbed(self, rate: int) -> np.ndarray:
        """Which seconds are of clips without any stutter, bool [n]."""
        return np.repeat(~self.stutters[rate].reshape(-1, MOTION_SECONDS).any(1), MOTION_SECONDS)


def write_motion_samples(file: Path, runs: list[Run], count: int, seed: int) -> None:
    """Writes `count` made-up clips of MOTION_SECONDS: per frame rate `frames` u8 [n,T,48,48,3] and `stutters` bool [n,S]."""
    rng = np.random.default_rng([seed, 77])
    drawn = {rate: [] for rate in RATES}
    for i in range(count):
        rate = RATES[i % len(RATES)]
        drawn[rate].append(motion_sample(runs, MOTION_SECONDS, rng, rate=rate))
    arrays = {}
    for rate, samples in drawn.items():
        arrays[f"frames{rate}"] = np.stack([sample.frames for sample in samples])
        arrays[f"stutters{rate}"] = np.stack([sample.seconds > 0 for sample in samples])
    part = file.with_name(f".{file.name}")
    np.savez(part, **arrays)
    part.rename(file)


@torch.inference_mode()
def load_motion(pathway, file: Path) -> Motion:
    """The seconds of made-up clips as features, each computed with its neighbours as the engine does."""
    pathway.eval()
    features, stutters = {}, {}
    with np.load(file) as data:
        for rate in RATES:
            frames = data[f"frames{rate}"]
            made = torch.cat([motion_features(pathway, torch.from_numpy(frames[i : i + 4])) for i in range(0, len(frames), 4)])
            features[rate] = made.unflatten(1, (MOTION_SECONDS, rate)).flatten(0, 1).clone()
            stutters[rate] = data[f"stutters{rate}"].reshape(-1)
    return Motion(features, stutters)


@torch.inference_mode()
def cache_motion(pathway, clips: list[Clip]) -> dict[str, torch.Tensor]:
    """Motion features f32 [N,width] of every clip, before positions."""
    pathway.eval()
    return {clip.name: motion_features(pathway, torch.from_numpy(clip.motion[None]))[0].clone() for clip in clips}


def is_kept_back(part: Part) -> torch.Tensor:
    """Which frames of a part belong to contents that are left out of training, bool [F]."""
    return part.group % KEPT_BACK == 0


class Draws:
    """Draws batches of every sort: vision statistics [b,K,144,280], motion features [b,T,width] with positions [b,T], and
    labels. With `kept_back` those of the contents that are left out of training, else of all others."""

    def __init__(self, parts: list[Part], shares: list[int], motion: Motion, clip_motion: dict, rng, kept_back: bool = False,
                 photos: Part | None = None, photo_clips: torch.Tensor | None = None,
                 photo_ladders: torch.Tensor | None = None):  # fmt: skip
        self.rng, self.motion, self.clip_motion, self.scored = rng, motion.side(kept_back), clip_motion, photos
        self.photo_clips, self.photo_ladders = photo_clips, photo_ladders
        self.batches = Batches(parts, shares, rng)
        for part, groups in zip(parts, self.batches.groups):
            chosen = is_kept_back(part) == kept_back
            groups[:] = [rows for rows in groups if chosen[rows[0]]]
        self.clips = next(part for part in parts if part.clips)
        chosen = is_kept_back(self.clips) == kept_back
        self.windowed = [clip for clip in self.clips.clips if chosen[clip.rows[0]]]
        self.laddered = [clip for clip in self.windowed if clip.meta.get("ladder")]

    def frames(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Labels]:
        """Frames, each beside a second of motion that is not its own: neither says anything about the other."""
        batch, rng = self.batches.draw(), self.rng
        count, rate = len(batch.target), int(rng.choice(RATES))
        features, stutter = self.motion.draw(rate, count, rng)
        if rng.random() < STILL_SHARE:
            features, stutter = features[:, :0], torch.zeros(count, dtype=torch.long)
        elif rng.random() < 0.3:
            # The last second of a clip may be cut to a whole multiple of four.
            features = features[:, : rate // 4 * 4]
        seconds = torch.from_numpy(rng.integers(0, 10, count))
        positions = seconds[:, None] * rate + torch.arange(features.shape[1])
        # What stutter costs is not known.
        labels = Labels(batch.target, batch.rated & (stutter == 0), batch.kind, batch.severity, batch.cells, batch.seen, stutter)
        return batch.statistics[:, None], features, positions, labels

    def photos(self, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Labels]:
        """Photos that people scored, as pictures or as still or gently moving clips: what is wrong with them is not known."""
        part, rng = self.scored, self.rng
        rows = torch.from_numpy(rng.integers(0, len(part.target), count))
        jitter = torch.from_numpy(rng.integers(0, part.fragments.shape[1], count))
        statistics = torch.cat([part.squash[rows], part.fragments[rows, jitter]], -1).float()
        unknown = torch.zeros(count, dtype=torch.bool)
        labels = Labels(part.target[rows], ~unknown, part.kind[rows], part.severity[rows], part.cells[rows], unknown,
                        torch.full((count,), -100))  # fmt: skip
        if rng.random() >= PHOTO_CLIPS:
            nothing = torch.zeros(count, 0, self.photo_clips.shape[-1])
            return statistics[:, None], nothing, torch.zeros(count, 0, dtype=torch.long), labels
        rate = int(rng.choice(RATES))
        features = self.photo_clips[part.group[rows], torch.from_numpy(rng.integers(0, 2, count)), : rate // 4 * 4]
        seconds = torch.from_numpy(rng.integers(0, 10, count))
        return statistics[:, None], features, seconds[:, None] * rate + torch.arange(features.shape[1]), labels

    def photo_rungs(self, groups: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Labels]:
        """Rungs of ladders of scored photos, one frame each: how good they are is not known, but which is better."""
        found, rng = self.photo_ladders, self.rng
        rows = rng.choice(len(found), groups, replace=len(found) < groups)
        frames = rng.integers(0, found.shape[2], groups)
        count, every = groups * VERSIONS, found.shape[1]
        chosen = torch.from_numpy(np.stack([rng.choice(every, VERSIONS, replace=every < VERSIONS) for _ in rows]))
        # [groups, VERSIONS, squash and fragments, 144, 140] to [groups * VERSIONS, 144, 280]
        statistics = torch.stack([found[int(row), of, int(frame)] for row, of, frame in zip(rows, chosen, frames)])
        statistics = statistics.transpose(2, 3).flatten(3).flatten(0, 1).float()
        flip = torch.from_numpy(rng.random(groups) < 0.5).repeat_interleave(VERSIONS)
        statistics[flip] = statistics[flip].unflatten(1, (GRID, GRID)).flip(2).flatten(1, 2)
        nothing = torch.zeros(count, dtype=torch.long)
        labels = Labels((every - chosen).flatten().float(), ~nothing.bool(), nothing, nothing.float(),
                        torch.tensor([[0, 0, GRID, GRID]] * count), nothing.bool(), nothing - 100)  # fmt: skip
        return statistics[:, None], torch.zeros(count, 0, self.photo_clips.shape[-1]), torch.zeros(count, 0, dtype=torch.long), labels

    def windows(self, groups: int, ladders: bool, twins: bool = False) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Labels]:
        """Windows of rendered clips with their own motion; with `ladders` rungs of one ladder in each group, with `twins` each
        window twice, the one after the other, its fragments cut in two of the ways that were rendered."""
        part, rng = self.clips, self.rng
        drawn = draw_windows(self.laddered, groups, rng, "ladder") if ladders else draw_windows(self.windowed, groups, rng)
        if twins:
            drawn = [item for at in range(0, len(drawn), VERSIONS) for item in drawn[at : at + VERSIONS // 2] for _ in range(2)]
        rows = torch.tensor([item.rows for _, item in drawn])
        count, seconds = rows.shape
        # Rungs of a ladder are seen alike, so that nothing but the encoder's setting tells them apart.
        apart = groups if ladders else count
        jitter = torch.from_numpy(rng.integers(0, part.fragments.shape[1], (apart, seconds))).repeat_interleave(count // apart, 0)
        if twins:
            jitter[1::2] = (jitter[::2] + 1) % part.fragments.shape[1]
        statistics = torch.cat([part.squash[rows], part.fragments[rows, jitter]], -1).float()
        features = torch.stack([self.clip_motion[clip.name][item.frames] for clip, item in drawn])
        rate = drawn[0][0].meta["rate"]
        cells = part.cells[rows[:, 0]].clone()
        # As in `Batches`: a mirrored frame is its columns in reverse. What little the motion says of sides is not asked.
        flip = torch.from_numpy(rng.random(apart) < 0.5).repeat_interleave(count // apart)
        statistics[flip] = statistics[flip].unflatten(2, (GRID, GRID)).flip(3).flatten(2, 3)
        cells[flip, 0] = GRID - cells[flip, 0] - cells[flip, 2]
        first = torch.from_numpy(rng.integers(0, 11 - min(10, seconds), apart)).repeat_interleave(count // apart)
        positions = first[:, None] * rate + torch.arange(features.shape[1])
        labels = Labels(
            torch.tensor([item.target for _, item in drawn]),
            torch.ones(count, dtype=torch.bool),
            torch.tensor([TYPE_OF_KIND[clip.meta["recipe"]["kind"]] for clip, _ in drawn]),
            part.severity[rows].mean(1),
            cells,
            part.seen[rows].all(1),
            torch.zeros(count, dtype=torch.long),
        )
        return statistics, features, positions, labels


@torch.inference_mode()
def frame_tokens(network, part: Part, rows: torch.Tensor) -> torch.Tensor:
    """The tower's tokens f32 [n,144,d] of frames, from their first fragments (in held-out parts those of inference)."""
    statistics = torch.cat([part.squash[rows].float(), part.fragments[rows, 0].float()], -1)
    return vision_tokens(network.tower, statistics)[1]


@torch.inference_mode()
def answer_frames(network, words: Phrases, part: Part, rows: torch.Tensor, features: torch.Tensor) -> Answers:
    """Asks everything of frames of a part (their first fragments), each beside a row of motion features [n,T,width]."""
    network.eval()
    found = []
    for i in range(0, len(rows), 48):
        chosen = rows[i : i + 48]
        with halved():
            tokens = frame_tokens(network, part, chosen)
            moving = features[i : i + 48]
            prefix = clip_prefix(network, words, tokens.float()[:, None], moving, torch.arange(moving.shape[1]))
            found.append(ask(network, words, prefix))
    return Answers.joined(found)


@torch.inference_mode()
def answer_draws(network, words: Phrases, draws: Draws, batches: int) -> tuple[Answers, Labels]:
    """Asks everything of drawn batches of frames; stutter is -100 where there were no motion tokens."""
    network.eval()
    found, labels = [], []
    for _ in range(batches):
        statistics, features, positions, known = draws.frames()
        if not features.shape[1]:
            known.stutter[:] = -100
        with halved():
            tokens = vision_tokens(network.tower, statistics[:, 0])[1]
            found.append(ask(network, words, clip_prefix(network, words, tokens[:, None], features, positions)))
        labels.append(known)
    joined = Labels(*(torch.cat([getattr(one, name) for one in labels]) for name in Labels.__dataclass_fields__))
    return Answers.joined(found), joined


def places(answers: Answers) -> np.ndarray:
    """The named column and row of every clip, [n,2]."""
    return torch.stack([answers.column.argmax(1), answers.row.argmax(1)], 1).numpy()


def answer_clean(network, words: Phrases, part: Part, motion: Motion) -> Answers:
    """Asks everything of pristine pictures beside seconds of clips that do not stutter."""
    found = []
    for i, rate in enumerate(RATES):
        rows = torch.arange(i, len(part.target), len(RATES))
        features = motion.features[rate][np.flatnonzero(motion.undisturbed(rate))]
        found.append(answer_frames(network, words, part, rows, features[torch.arange(len(rows)) % len(features)]))
    return Answers.joined(found)


def measure_answers(answers: Answers, part: Part, rows: torch.Tensor, stutters: np.ndarray | None = None) -> dict:
    """Figures of frames: types, places and severities where they can be seen, false alarms, quality, stutter."""
    kind, cells, severity = part.kind[rows].numpy(), part.cells[rows].numpy(), part.severity[rows].numpy()
    seen, target = part.seen[rows].numpy(), part.target[rows].numpy()
    score = level_score(answers.level).numpy()
    none = answers.kind.softmax(-1)[:, 0].numpy()
    named = answers.kind[:, 1:].argmax(1).numpy() + 1
    visible, local = seen & (kind > 0), cells[:, 2] < GRID
    inside, clean = visible & local, kind == 0
    threshold = np.quantile(none[clean], 1 / 60) if clean.any() else 0.5
    step, wanted = answers.severity.argmax(1).numpy() + 1, np.rint(np.clip(severity, 1, 3))
    overlap = np.where(answers.place.argmax(1).numpy() == 1, rectangle_iou(places(answers), cells[:, :2]), 0.25)
    note = {"srcc": spearmanr(score, target)[0], "plcc": pearsonr(score, target)[0], "mae": np.abs(score - target).mean(),
            "named_local": (named == kind)[inside].mean(), "named_whole": (named == kind)[visible & ~local].mean(),
            "found": (none < threshold)[visible].mean(), "alarms": (none < 0.5)[clean].mean(),
            "whole": (answers.place.argmax(1).numpy() == local)[visible].mean(), "iou": overlap[inside].mean(),
            "severity": (step == wanted)[visible].mean(), "within_one": (np.abs(step - wanted) <= 1)[visible].mean()}  # fmt: skip
    if stutters is not None:
        odds = (answers.stutter[:, 1] - answers.stutter[:, 0]).numpy()
        note["stutter"] = (odds[stutters] > np.quantile(odds[~stutters], 1 - 1 / 60)).mean()
    return {name: round(float(value), 3) for name, value in note.items()}


def init_decoder(network, heads: dict[str, torch.Tensor], tokens: torch.Tensor) -> None:
    """A start from which places are learned in minutes; `tokens` [n,144,d] are the tower's of some frames.

    The projector begins with what the tower's training heads read from a cell: each of their logits goes through a pair
    of opposite units, GELU(x) - GELU(-x) = x, to a direction of its own. The position of a token is written as smooth
    waves of its column and row, so that the mean over some tokens tells where they are. In the first layer one head of
    each group looks at the tokens that seem degraded, from everywhere: the first takes over their waves, the other their
    logits. It turns by the slowest rotary frequency, so distance does not matter."""
    first, _, last = network.model.mm_projector
    weight = heads["late.weight"]
    bias = -(tokens.flatten(0, 1) @ weight.T).mean(0)
    count, width = len(weight), last.out_features
    side, size = network.config.pooled_grid, network.config.head_dim
    at = torch.arange(side) / (side - 1) * math.pi
    waves = torch.stack([torch.cos(k * at) for k in range(1, side)], 1)
    along = torch.cat([waves[None].expand(side, -1, -1), waves[:, None].expand(-1, side, -1)], -1).flatten(0, 1)
    kept = min(along.shape[1], size)
    basis = torch.linalg.qr(torch.randn(width, max(2 * (count + kept), width)))[0][:, : 2 * (count + kept)]
    logits, places, read_logits, read_places = basis.split([count, kept, count, kept], 1)
    seems = logits @ torch.tensor([-1.0, *[1 / (len(TYPES) - 1)] * (len(TYPES) - 1), *[0.0] * (count - len(TYPES))])
    attention = network.model.layers[0].self_attn
    with torch.no_grad():
        for sign, start in ((1, 0), (-1, count)):
            first.weight[start : start + count] = 0.3 * sign * weight
            first.bias[start : start + count] = 0.3 * sign * bias
        last.weight[:, :count] = logits
        last.weight[:, count : 2 * count] = -logits
        network.model.mm_projector_position.weight.copy_(along[:, :kept] @ places.T)
        network.model.embed_tokens.weight.normal_(0, 1 / math.sqrt(width))
        group = network.config.num_attention_heads // network.config.num_key_value_heads
        for head, source, target in ((0, places, read_places), (1, logits, read_logits)):
            query, values = head * group * size, source.shape[1]
            attention.q_proj.weight[query : query + size] *= 0.1
            attention.q_proj.bias[query + size // 2 - 1] = 8
            attention.k_proj.weight[head * size + size // 2 - 1] = seems
            attention.v_proj.weight[head * size : head * size + values] = source.T
            attention.o_proj.weight[:, query : query + values] = 0.2 * target


@dataclass
class Check:
    """Held-out frames to look at while training."""

    part: Part
    rows: torch.Tensor
    motion: Motion

    def __call__(self, network, words: Phrases) -> dict:
        rng, rate = np.random.default_rng(0), 25
        if self.part.human:
            nothing = torch.zeros(len(self.rows), 0, self.motion.features[rate].shape[-1])
            score = level_score(answer_frames(network, words, self.part, self.rows, nothing).level).numpy()
            target = self.part.target[self.rows].numpy()
            return {"srcc": round(float(spearmanr(score, target)[0]), 3), "plcc": round(float(pearsonr(score, target)[0]), 3)}
        # What counts is pristine video: a second beside a stuttering one may be taken for it.
        fit = self.motion.undisturbed(rate) | self.motion.stutters[rate]
        motion = Motion({rate: self.motion.features[rate][np.flatnonzero(fit)]}, {rate: self.motion.stutters[rate][fit]})
        features, stutter = motion.draw(rate, len(self.rows), rng)
        answers = answer_frames(network, words, self.part, self.rows, features)
        return measure_answers(answers, self.part, self.rows, stutter.numpy().astype(bool))


@dataclass
class LadderCheck:
    """Ladders of contents that are left out of training: at how many of their `steps` does the score fall, which `ladders`
    fall at every one, and by how many points in all?"""

    ladders: list[list[Clip]]
    part: Part
    clip_motion: dict[str, torch.Tensor]

    @staticmethod
    def of(draws: Draws) -> "LadderCheck":
        """Those among the clips of `draws`, from good to bad."""
        ladders: dict[str, list[Clip]] = {}
        for clip in sorted(draws.laddered, key=lambda clip: clip.meta["recipe"]["strength"]):
            ladders.setdefault(clip.meta["ladder"], []).append(clip)
        return LadderCheck(list(ladders.values()), draws.clips, draws.clip_motion)

    @torch.inference_mode()
    def __call__(self, network, words: Phrases) -> dict:
        network.eval()
        question = torch.tensor([*words.questions["rating"], *words.openings["rating"]])
        steps: dict[str, list[torch.Tensor]] = {}
        for clips in self.ladders:
            seconds = max(1, clips[0].meta["frames"] // clips[0].meta["rate"])
            windows = [window(clip, 0, 0, seconds) for clip in clips]
            rows = torch.tensor([one.rows for one in windows])
            statistics = torch.cat([self.part.squash[rows], self.part.fragments[rows, 0]], -1).float()
            moving = torch.stack([self.clip_motion[clip.name][one.frames] for clip, one in zip(clips, windows)])
            tokens = vision_tokens(network.tower, statistics.flatten(0, 1))[1].unflatten(0, rows.shape)
            prefix = clip_prefix(network, words, tokens, moving, torch.arange(moving.shape[1]))
            logits = turn_logits(network, prefix, [question.expand(len(clips), -1)])[0][:, -1]
            fall = -level_score(logits[:, words.choices["level"]]).diff()
            steps.setdefault(clips[0].meta["recipe"]["kind"], []).append(fall)
        if not steps:
            return {}
        every = torch.cat([fall for falls in steps.values() for fall in falls])
        return {"steps": round(float((every > 0).float().mean()), 3)} | {
            kind: {"steps": round(float((torch.cat(falls) > 0).float().mean()), 3),
                   "ladders": f"{sum(bool((fall > 0).all()) for fall in falls)} of {len(falls)}",
                   "points": round(float(torch.stack([fall.sum() for fall in falls]).mean()), 1)}
            for kind, falls in sorted(steps.items())}  # fmt: skip


def batch_logits(network, words: Phrases, statistics, features, positions, turns: list[Turn], tower: bool) -> list[torch.Tensor]:
    """What a network says at every position of a batch's turns; gradients reach the key-frame tower where it is trained."""
    with torch.set_grad_enabled(tower):
        vision = vision_tokens(network.tower, statistics.flatten(0, 1))[1].unflatten(0, statistics.shape[:2])
    return turn_logits(network, clip_prefix(network, words, vision, features, positions), [turn.ids for turn in turns])


def train_decoder(network, words: Phrases, draws: Draws, checks: dict[str, "Check | LadderCheck"], config: dict, seed: int, out: Path, stage: str, before=None) -> None:
    """Trains projectors and language model on `draws`, in all stages but `decoder` the key-frame tower too, at its own rate.
    A running average of the weights is what is measured and written to `out`. `before` is the network whose answers are kept
    beside what is learned of ladders, if any."""
    torch.manual_seed(seed)
    joint = stage != "decoder"
    rng = np.random.default_rng([seed, int(joint)])
    settings = config[stage]
    tower, pathway = network.tower, network.model.slowfast
    # The pathway's positions belong to the sequence: they are trained here, not with the pathway.
    frozen = {id(p) for module in (tower, pathway.feature_extraction) for p in module.parameters()}
    rest = [p for p in network.parameters() if p.requires_grad and id(p) not in frozen]
    groups = [{"params": rest, "base": settings["learning_rate"]}]
    if joint:
        groups.append({"params": [p for p in tower.parameters() if p.requires_grad], "base": settings["learning_rate"] * settings["tower_rate"]})
    parameters = [p for group in groups for p in group["params"]]
    optimizer = torch.optim.AdamW(groups, settings["learning_rate"], (0.9, 0.98), weight_decay=settings["weight_decay"])
    batch = VERSIONS * sum(draws.batches.shares)
    steps, begin = settings["samples"] // batch, time.time()
    order = ORDERS["mix" if stage == "joint" else settings["order"]]
    average = [p.detach().clone() for p in parameters]
    # The tower's norm keeps the statistics it was given; the rest behaves the same in both modes.
    network.eval()
    losses: dict[str, float] = {}
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * min(1, (step + 1) / 50) * (0.5 * (1 + math.cos(math.pi * step / steps)) + 0.01)
        rating, localisation = order[int(step >= FIRST_PART * steps)]
        ladders, graded, twins = False, True, False
        sort = rng.random() if rating else 1.0
        people = draws.scored is not None and sort < settings["photo_share"]
        if people and draws.photo_ladders is not None and rng.random() < settings["ladder_share"]:
            ladders, graded = True, False
            # Without motion tokens they are short: more contents cost little.
            statistics, features, positions, labels = draws.photo_rungs(2 * batch // VERSIONS)
        elif people:
            statistics, features, positions, labels = draws.photos(batch)
        elif sort < settings["photo_share"] + settings["window_share"]:
            ladders = bool(draws.laddered) and rng.random() < settings["ladder_share"]
            twins = settings["twins"] and not ladders
            statistics, features, positions, labels = draws.windows(sum(draws.batches.shares), ladders, twins)
        else:
            statistics, features, positions, labels = draws.frames()
        turns = []
        if rating:
            turns.append(rating_turn(words, labels))
        if localisation and not people:
            turns.append(spatial_turn(words, labels))
            if features.shape[1]:
                turns.append(temporal_turn(words, labels))
        # Rungs differ by less than what bfloat16 rounds away.
        with halved(not ladders):
            seen = words, statistics, features, positions, turns
            logits = batch_logits(network, *seen, tower=joint)
            with torch.no_grad():
                # Ladders are there to change what is said of them.
                said = None if before is None or ladders else batch_logits(before, *seen, tower=False)
        loss, parts = answers_loss(words, turns, logits, labels, VERSIONS, ladders, graded, said, twins)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        torch._foreach_lerp_(average, [p.detach() for p in parameters], 1 - min(DECAY, step / (step + 10)))
        if people:
            parts = {"photos" if graded else "photo ladders": parts["level"]}
        losses |= {name: 0.97 * losses.get(name, value) + 0.03 * value for name, value in parts.items()}
        if (step + 1) % max(1, steps // settings["notes"]) == 0 or step + 1 == steps:
            note = {"samples": (step + 1) * batch, "seconds": round(time.time() - begin),
                    "loss": {name: round(value, 3) for name, value in losses.items()}}  # fmt: skip
            print(stage, json.dumps(note), flush=True)
            current = [p.detach().clone() for p in parameters]
            with torch.no_grad():
                torch._foreach_copy_(parameters, average)
                for name, check in checks.items():
                    print(f"  {name}", json.dumps(check(network, words)), flush=True)
                torch.save(network.state_dict(), out)
                if step + 1 < steps:
                    torch._foreach_copy_(parameters, current)
