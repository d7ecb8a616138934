"""What Nano is asked about a clip, and its answers: as tokens to train on, as choices to read.

All questions follow the same tokens of a clip. A question sees the clip and itself, never another question, so that
several in one sequence say what each would say alone: the engine asks them one by one and forgets each in between.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from transformers.cache_utils import DynamicCache

from ..config import ModelConfig
from ..sequence import IMAGE, encode, level_ids
from .losses import order_loss, quality_loss, rank_loss, soft_levels
from .views import GRID

SMOOTHING = 0.02
WEIGHTS = {"kind": 1.0, "severity": 0.5, "place": 0.7, "column": 0.7, "row": 0.7, "stutter": 1.0}
# Most of what is watched is clean, and most of what is trained on is not.
CLEAN_WEIGHT = 2.0
# Of the plain next-token loss of whole answers: they are to be written too.
WRITING = 0.1
# Of the loss for likely words at a choice that are none of its options.
OUTSIDE = 0.3
# How much the order of the rungs of a ladder counts.
LADDER_WEIGHT = 2.0
# How much it counts to say what the network said that training goes on from.
KEPT_WEIGHT = 1.0
# Of a point of 100 between the scores of one clip that is seen twice.
TWIN_WEIGHT = 0.05


@dataclass(frozen=True)
class Phrases:
    """The prompt and the words as token ids.

    `before` and `between` stand around the key frames; `questions` are the texts from the motion tokens to where the
    answer begins, `openings` the fixed beginnings of the answers, both by name (`rating`, `spatial`, `temporal`);
    `choices` the words that may be chosen: `level`, `kind` (first: none), `severity`, `place` (whole, part), `column`,
    `row`, `stutter` (no, yes); `comma` before severity and place, `joint` between column and row, `closing` the end."""

    before: list[int]
    between: list[int]
    questions: dict[str, list[int]]
    openings: dict[str, list[int]]
    choices: dict[str, list[int]]
    comma: list[int]
    joint: list[int]
    closing: list[int]


def phrases(config: ModelConfig, tokenizer: Tokenizer) -> Phrases:
    """The phrases of a checkpoint that localises. Raises ValueError where a word is not one token."""
    family = config.omnivqa
    asked = family.localization

    def word(text: str) -> int:
        ids = encode(tokenizer, text)
        if len(ids) != 1:
            raise ValueError(f"not one token in this vocabulary: {text!r}")
        return ids[0]

    opening = f"<|im_start|>system\n{family.system_prompt}<|im_end|>\n<|im_start|>user\n"
    before, between, after = (opening + family.chat).split(IMAGE)
    rating = family.rating.user.split(IMAGE)[2]
    texts = {"rating": rating, "spatial": after.replace("{question}", asked.spatial.question),
             "temporal": after.replace("{question}", asked.temporal.question)}  # fmt: skip
    openings = {"rating": family.rating.assistant, "spatial": asked.spatial.answer, "temporal": asked.temporal.answer}
    place = asked.place
    return Phrases(
        before=encode(tokenizer, before),
        between=encode(tokenizer, between),
        questions={name: encode(tokenizer, f"{text}<|im_end|>\n<|im_start|>assistant\n") for name, text in texts.items()},
        openings={name: encode(tokenizer, text) for name, text in openings.items()},
        choices={
            "level": level_ids(config, tokenizer),
            "kind": [word(text) for text in (asked.spatial.none, *asked.spatial.types.values())],
            "severity": [word(text) for text in asked.severity.levels],
            "place": [word(place.whole), word(place.part)],
            "column": [word(text) for text in place.columns],
            "row": [word(text) for text in place.rows],
            "stutter": [word(asked.temporal.no), word(asked.temporal.yes)],
        },
        comma=[word(asked.severity.prefix)],
        joint=encode(tokenizer, place.between),
        closing=encode(tokenizer, ".<|im_end|>"),
    )


@dataclass
class Labels:
    """What is true of each of b clips: `target` f32 (0..100), `rated` bool; `kind` i64, `steps` f32 of severity, `cells`
    i64 [b,4], `seen` bool (kind and place are known); `stutter` i64 (-100 unknown)."""

    target: torch.Tensor
    rated: torch.Tensor
    kind: torch.Tensor
    steps: torch.Tensor
    cells: torch.Tensor
    seen: torch.Tensor
    stutter: torch.Tensor


@dataclass
class Choice:
    """One choice of a turn: it is read at `position` of the turn among the words `name`; wanted shares f32 [b,n] and
    which clips are asked, bool [b]."""

    name: str
    position: int
    wanted: torch.Tensor
    asked: torch.Tensor


@dataclass
class Turn:
    """A question with its full answer, `ids` i64 [b,L] (filled up at the end), `answer` the index of the first token of
    the answer, `written` bool [b,L] the tokens to be written, and its choices."""

    ids: torch.Tensor
    answer: int
    written: torch.Tensor
    choices: list[Choice]


def _turn(words: Phrases, name: str, answers: list[list[int]], asked: torch.Tensor) -> tuple[Turn, int]:
    """A turn without choices, and the position its first choice is read at."""
    start = words.questions[name]
    opening = words.openings[name]
    length = max(len(answer) for answer in answers)
    filler = words.closing[-1]
    ids = torch.tensor([[*start, *opening, *answer, *[filler] * (length - len(answer))] for answer in answers])
    lengths = torch.tensor([len(start) + len(opening) + len(answer) for answer in answers])
    at = torch.arange(ids.shape[1])
    written = (at >= len(start)) & (at < lengths[:, None]) & asked[:, None]
    return Turn(ids, len(start), written, []), len(start) + len(opening) - 1


def _one_hot(index: torch.Tensor, count: int) -> torch.Tensor:
    return F.one_hot(index, count).float() * (1 - SMOOTHING) + SMOOTHING / count


def rating_turn(words: Phrases, labels: Labels) -> Turn:
    """The rating question, answered with the nearest level."""
    levels = soft_levels(labels.target)
    answers = [[words.choices["level"][i], *words.closing] for i in levels.argmax(1).tolist()]
    turn, first = _turn(words, "rating", answers, labels.rated)
    turn.choices.append(Choice("level", first, levels, labels.rated))
    return turn


def severity_shares(steps: torch.Tensor) -> torch.Tensor:
    """Steps f32 [b] as shares [b,3] of the two nearest severities."""
    place = (steps.clamp(1, 3) - 1)[:, None]
    return (1 - (place - torch.arange(3)).abs()).clamp(min=0)


def spatial_turn(words: Phrases, labels: Labels) -> Turn:
    """What is wrong, how badly and where. The choices after the first follow the true words before them."""
    choices, answers = words.choices, []
    steps = severity_shares(labels.steps)
    for kind, step, (column, row, width, _) in zip(labels.kind.tolist(), steps.argmax(1).tolist(), labels.cells.tolist()):
        answer = [choices["kind"][kind]]
        if kind:
            answer += [*words.comma, choices["severity"][step], *words.comma, choices["place"][int(width < GRID)]]
            if width < GRID:
                answer += [choices["column"][column], *words.joint, choices["row"][row]]
        answers.append(answer + words.closing)
    turn, first = _turn(words, "spatial", answers, labels.seen)
    faulty = labels.seen & (labels.kind > 0)
    local = faulty & (labels.cells[:, 2] < GRID)
    last = len(choices["column"]) - 1
    severity = first + 1 + len(words.comma)
    place = severity + 1 + len(words.comma)
    turn.choices = [
        Choice("kind", first, _one_hot(labels.kind, len(choices["kind"])), labels.seen),
        Choice("severity", severity, steps, faulty),
        Choice("place", place, _one_hot((labels.cells[:, 2] < GRID).long(), 2), faulty),
    ]
    if local.any():
        turn.choices += [
            Choice("column", place + 1, _one_hot(labels.cells[:, 0].clamp(0, last), last + 1), local),
            Choice("row", place + 2 + len(words.joint), _one_hot(labels.cells[:, 1].clamp(0, last), last + 1), local),
        ]
    return turn


def temporal_turn(words: Phrases, labels: Labels) -> Turn:
    """Whether the second stutters."""
    known = labels.stutter >= 0
    stutter = labels.stutter.clamp(min=0)
    turn, first = _turn(words, "temporal", [[words.choices["stutter"][i], *words.closing] for i in stutter.tolist()], known)
    turn.choices.append(Choice("stutter", first, _one_hot(stutter, 2), known))
    return turn


def clip_prefix(network, words: Phrases, vision: torch.Tensor, motion: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Embeddings [b,P,H] of everything before a question: `vision` [b,K,144,d] of the tower, `motion` [b,T,width] features
    (T may be 0) at `positions` i64 [b,T] or [T]."""
    batch = len(vision)
    key = network.project_vision(vision.flatten(0, 1)).unflatten(0, vision.shape[:2]).flatten(1, 2)
    newline = network.model.image_newline.expand(batch, 1, -1)
    moving = network.model.slowfast_projector(motion + network.model.slowfast.position_embedding(positions))
    before, between = (network.embed(torch.tensor(ids)).expand(batch, -1, -1) for ids in (words.before, words.between))
    return torch.cat([piece.to(before.dtype) for piece in (before, key, newline, between, moving)], 1)


def turns_mask(prefix: int, lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Which positions see which, bool [S,S], and position numbers i64 [S], of a prefix with turns after it that see the
    prefix and themselves: each is numbered as if it followed the prefix at once."""
    turn = torch.cat([torch.zeros(prefix, dtype=torch.long), *(torch.full((n,), i) for i, n in enumerate(lengths, 1))])
    mask = torch.ones(len(turn), len(turn), dtype=torch.bool).tril() & ((turn == 0) | (turn[:, None] == turn))
    return mask, torch.cat([torch.arange(prefix), *(torch.arange(prefix, prefix + n) for n in lengths)])


def turn_logits(network, prefix: torch.Tensor, turns: list[torch.Tensor]) -> list[torch.Tensor]:
    """Logits [b,L,V] of every position of several turns i64 [b,L] after one prefix [b,P,H], in one pass."""
    lengths = [turn.shape[1] for turn in turns]
    mask, positions = turns_mask(prefix.shape[1], lengths)
    sequence = torch.cat([prefix, network.embed(torch.cat(turns, 1)).to(prefix.dtype)], 1)
    hidden = network.model(
        inputs_embeds=sequence,
        attention_mask=mask[None, None].expand(len(prefix), 1, -1, -1),
        position_ids=positions[None].expand(len(prefix), -1),
        use_cache=False,
    ).last_hidden_state
    return list(network.lm_head(hidden[:, prefix.shape[1] :]).split(lengths, 1))


def answers_loss(words: Phrases, turns: list[Turn], logits: list[torch.Tensor], labels: Labels, group: int, ladders: bool = False,
                 graded: bool = True, before: list[torch.Tensor] | None = None, twins: bool = False) -> tuple[torch.Tensor, dict]:  # fmt: skip
    """The loss of a batch of whole groups of `group` versions of one content each, and its parts by choice; in `ladders`
    of one encoder's settings order counts for more, and however little two rungs differ. Where the targets are not
    `graded`, nothing else of them counts. `twins` are one clip, one after the other: their scores should be the same.

    `before` are the logits of the network that training goes on from: answers stay near its own (after Li and Hoiem,
    "Learning without Forgetting", ECCV 2016)."""
    total, parts = torch.zeros(()), {}
    for number, (turn, out) in enumerate(zip(turns, logits)):
        out = out.float()
        for choice in turn.choices:
            if not choice.asked.any():
                continue
            everything = out[:, choice.position]
            chosen = everything[:, words.choices[choice.name]]
            # Chat writes the likeliest of all words: it must be one of these.
            outside = everything.logsumexp(1) - chosen.logsumexp(1)
            total = total + OUTSIDE * outside[choice.asked].mean()
            if before is not None:
                known = before[number][:, choice.position, words.choices[choice.name]].float()
                kept = kept_loss(chosen[choice.asked], known[choice.asked])
                parts["kept"] = parts.get("kept", 0.0) + kept.item()
                total = total + KEPT_WEIGHT * kept
            if choice.name == "level":
                loss = quality_loss(chosen[choice.asked], labels.target[choice.asked]) if graded else torch.zeros(())
                groups = [(score_of(part), target) for part, target, asked in
                          zip(chosen.split(group), labels.target.split(group), choice.asked.split(group)) if asked.all()]  # fmt: skip
                of_group, weight = (order_loss, LADDER_WEIGHT) if ladders else (rank_loss, 1.0)
                if groups:
                    loss = loss + weight * torch.stack([of_group(*each) for each in groups]).mean()
                if twins:
                    apart = score_of(chosen).unflatten(0, (-1, 2)).diff(dim=1).abs().mean()
                    parts["twins"] = apart.item()
                    loss = loss + TWIN_WEIGHT * apart
            else:
                each = -(choice.wanted * chosen.log_softmax(-1)).sum(1)
                weight = choice.asked.float()
                if choice.name == "kind":
                    weight = weight * torch.where(labels.kind == 0, CLEAN_WEIGHT, 1.0)
                loss = (each * weight).sum() / weight.sum() * WEIGHTS[choice.name]
            parts[choice.name] = loss.item()
            total = total + loss
        writes = turn.written[:, 1:]
        if graded and writes.any():
            total = total + WRITING * F.cross_entropy(out[:, :-1][writes], turn.ids[:, 1:][writes])
    return total, parts


def kept_loss(logits: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """The divergence of choices [b,n] from those of an earlier network."""
    return F.kl_div(logits.log_softmax(-1), before.log_softmax(-1), log_target=True, reduction="batchmean")


def score_of(logits: torch.Tensor) -> torch.Tensor:
    return (logits.softmax(-1) * torch.linspace(100, 0, logits.shape[-1])).sum(-1)


@dataclass
class Answers:
    """Logits of n clips, f32: `level` [n,5], `kind` [n,6], `stutter` [n,2], and following the likeliest degradation
    `severity` [n,3], `place` [n,2], `column` [n,7], `row` [n,7]."""

    level: torch.Tensor
    kind: torch.Tensor
    stutter: torch.Tensor
    severity: torch.Tensor
    place: torch.Tensor
    column: torch.Tensor
    row: torch.Tensor

    @staticmethod
    def joined(parts: list["Answers"]) -> "Answers":
        return Answers(*(torch.cat([getattr(part, name) for part in parts]) for name in Answers.__dataclass_fields__))


@torch.inference_mode()
def ask(network, words: Phrases, prefix: torch.Tensor) -> Answers:
    """Asks everything of every clip of a batch [b,P,H], as the engine does: one question at a time after the cached
    prefix, each chosen word before the next choice. Place and severity are those of the likeliest degradation, also where
    "none" is likelier still."""
    cache, length, batch = DynamicCache(), prefix.shape[1], len(prefix)
    network.logits(prefix, cache=cache, last=1)

    def follow(ids: torch.Tensor, name: str) -> torch.Tensor:
        logits = network.logits(network.embed(ids).to(prefix.dtype), cache=cache, last=1)
        return logits[:, 0, words.choices[name]].float()

    def fixed(*ids: list[int]) -> torch.Tensor:
        return torch.tensor([token for part in ids for token in part], dtype=torch.long).expand(batch, -1)

    found = {}
    for name, first in (("rating", "level"), ("temporal", "stutter"), ("spatial", "kind")):
        found[first] = follow(fixed(words.questions[name], words.openings[name]), first)
        if name != "spatial":
            cache.crop(length - cache.get_seq_length())
    chosen = torch.tensor(words.choices["kind"])[found["kind"][:, 1:].argmax(1) + 1]
    for name, link in (("severity", words.comma), ("place", words.comma), ("column", []), ("row", words.joint)):
        found[name] = follow(torch.cat([chosen[:, None], fixed(link)], 1), name)
        # A place is asked for as if there were one: whether the whole frame is meant is in `place`.
        best = torch.ones(batch, dtype=torch.long) if name == "place" else found[name].argmax(1)
        chosen = torch.tensor(words.choices[name])[best]
    return Answers(**found)
