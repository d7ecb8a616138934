"""Questions and answers of Nano: what is asked together is what is asked alone, and what is answered can be read."""

import json
from collections import Counter
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from omnivqa.config import ConfigError, ModelConfig
from omnivqa.nano.answers import (
    Labels,
    answers_loss,
    ask,
    clip_prefix,
    phrases,
    rating_turn,
    severity_shares,
    spatial_turn,
    temporal_turn,
    turn_logits,
)
from omnivqa.nano.calibration import calibrate, calibrated, calibration_error, temperature
from omnivqa.nano.dataset import Clip as RenderedClip
from omnivqa.nano.dataset import Part
from omnivqa.nano.decoder import ORDERS, VERSIONS, Draws, LadderCheck, Motion, init_decoder, train_decoder
from omnivqa.nano.evaluate import share
from omnivqa.nano.motion import RATES
from omnivqa.nano.shape import nano_config
from omnivqa.network import OmniVQA
from omnivqa.sequence import Clip, build_prompt, prompt_pieces, rating_prompt
from omnivqa.tokenizer import corpus, train_tokenizer

SETTINGS = {
    "vision": {"hidden": 16, "layers": 1, "heads": 2, "mlp": 16},
    "motion": {"stem_width": 4, "depths": [1], "widths": [8], "inner_widths": [4]},
    "decoder": {"hidden": 64, "mlp": 32, "layers": 2, "heads": 4, "kv_heads": 2, "vocabulary": 1024},
}


@pytest.fixture(scope="module")
def nano():
    tokenizer = train_tokenizer(corpus(), 1024)
    torch.manual_seed(0)
    settings = {**SETTINGS, "motion": SETTINGS["motion"] | {"spatial_strides": [1]}}
    shape = nano_config(settings, 1021, 1023)
    shape = replace(shape, motion=replace(shape.motion, spatial_strides=(1,)))
    network = OmniVQA(shape).eval()
    return network, tokenizer, phrases(shape, tokenizer)


def labels() -> Labels:
    return Labels(
        target=torch.tensor([97.0, 60, 30, 80]),
        rated=torch.tensor([True, True, True, False]),
        kind=torch.tensor([0, 1, 5, 3]),
        steps=torch.tensor([0, 1.4, 3.2, 2]),
        cells=torch.tensor([[0, 0, 12, 12], [0, 0, 12, 12], [2, 3, 6, 6], [6, 0, 6, 6]]),
        seen=torch.tensor([True, True, True, False]),
        stutter=torch.tensor([0, 1, -100, 0]),
    )


def turns(words):
    return [rating_turn(words, labels()), spatial_turn(words, labels()), temporal_turn(words, labels())]


def prefix_of(network, words, frames=9):
    torch.manual_seed(1)
    return clip_prefix(network, words, torch.randn(4, 1, 144, 16), torch.randn(4, frames, 8), torch.arange(frames))


def test_the_answers_are_the_documented_sentences(nano):
    _, tokenizer, words = nano
    text = [tokenizer.decode(row.tolist(), skip_special_tokens=False).split("assistant\n")[1] for row in turns(words)[1].ids]
    assert [one.split("<|im_end|>")[0] for one in text] == [
        "The distortion is none.",
        "The distortion is blur, noticeable, whole.",
        "The distortion is blocks, severe, column three, row four.",
        "The distortion is bright, moderate, column seven, row one.",
    ]


def test_every_choice_is_read_where_its_word_is_written_next(nano):
    _, _, words = nano
    for turn in turns(words):
        for choice in turn.choices:
            options = torch.tensor(words.choices[choice.name])
            for row in torch.nonzero(choice.asked)[:, 0]:
                word = options[choice.wanted[row].argmax()]
                assert turn.ids[row, choice.position + 1] == word, choice.name
            assert torch.allclose(choice.wanted.sum(1), torch.ones(4))


def test_what_is_unknown_is_neither_asked_nor_written(nano):
    _, _, words = nano
    rating, spatial, temporal = turns(words)
    assert rating.choices[0].asked.tolist() == [True, True, True, False] and not rating.written[3].any()
    assert {choice.name: choice.asked.tolist() for choice in spatial.choices} == {
        "kind": [True, True, True, False], "severity": [False, True, True, False], "place": [False, True, True, False],
        "column": [False, False, True, False], "row": [False, False, True, False],
    }  # fmt: skip
    assert temporal.choices[0].asked.tolist() == [True, True, False, True]


def test_severities_are_shared_between_the_nearest_two():
    shares = severity_shares(torch.tensor([0.5, 1.25, 2, 4]))
    assert shares.tolist() == [[1, 0, 0], [0.75, 0.25, 0], [0, 1, 0], [0, 0, 1]]


def test_questions_asked_together_are_answered_as_alone(nano):
    network, _, words = nano
    prefix = prefix_of(network, words)
    asked = [turn.ids for turn in turns(words)]
    with torch.no_grad():
        for ids, together in zip(asked, turn_logits(network, prefix, asked)):
            alone = network.logits(torch.cat([prefix, network.embed(ids)], 1), last=ids.shape[1])
            assert torch.allclose(together, alone, atol=1e-5)


def test_asking_from_the_cache_reads_the_same_logits(nano):
    network, _, words = nano
    prefix = prefix_of(network, words)
    found = ask(network, words, prefix)
    chosen = labels()
    chosen.kind = found.kind[:, 1:].argmax(1) + 1
    chosen.steps = found.severity.argmax(1) + 1.0
    chosen.cells = torch.stack([found.column.argmax(1), found.row.argmax(1), *[torch.full((4,), 6)] * 2], 1)
    chosen.seen = chosen.rated = torch.ones(4, dtype=torch.bool)
    asked = [rating_turn(words, chosen), spatial_turn(words, chosen), temporal_turn(words, chosen)]
    with torch.no_grad():
        for turn, logits in zip(asked, turn_logits(network, prefix, [turn.ids for turn in asked])):
            for choice in turn.choices:
                wanted = logits[:, choice.position][:, words.choices[choice.name]]
                assert torch.allclose(getattr(found, choice.name), wanted, atol=1e-5), choice.name


def test_the_prompt_is_the_one_of_rating_and_chat(nano):
    network, tokenizer, words = nano
    prefix = prefix_of(network, words)
    clip = Clip(prefix[0, len(words.before) :][:36][None].detach(), prefix[0, -9:].detach())
    rating = rating_prompt(network, tokenizer, clip)
    ids = words.questions["rating"] + words.openings["rating"]
    assert rating.ids[-len(ids) :].tolist() == ids
    family = network.config.omnivqa
    pieces = prompt_pieces(network.config, family.chat, family.localization.spatial.answer, 1, 9, family.localization.spatial.question)
    chat = build_prompt(network, tokenizer, pieces, clip)
    ids = words.questions["spatial"] + words.openings["spatial"]
    assert chat.ids[-len(ids) :].tolist() == ids
    known = prefix.shape[1]
    assert (chat.ids[:known] == rating.ids[:known]).all()
    assert chat.ids[: len(words.before)].tolist() == words.before


def test_the_loss_falls_when_the_true_words_are_likely(nano):
    network, _, words = nano
    asked = turns(words)
    flat = [torch.zeros(*turn.ids.shape, 1024) for turn in asked]
    sure = [logits.clone() for logits in flat]
    for turn, logits in zip(asked, sure):
        logits[:, :-1].scatter_(2, turn.ids[:, 1:, None], 4)
    loss, parts = answers_loss(words, asked, flat, labels(), 2)
    better, _ = answers_loss(words, asked, sure, labels(), 2)
    assert better < loss
    assert set(parts) == {"level", "kind", "severity", "place", "column", "row", "stutter"}
    assert parts["kind"] == pytest.approx(np.log(6), abs=1e-4)


def test_what_a_network_said_before_is_kept(nano):
    words = nano[2]
    torch.manual_seed(3)
    asked = turns(words)
    said = [torch.randn(*turn.ids.shape, 1024) for turn in asked]
    other = [logits + torch.randn_like(logits) for logits in said]
    alone, _ = answers_loss(words, asked, said, labels(), 2)
    same, parts = answers_loss(words, asked, said, labels(), 2, before=said)
    assert float(same) == pytest.approx(float(alone)) and parts["kept"] == pytest.approx(0, abs=1e-6)
    changed, parts = answers_loss(words, asked, said, labels(), 2, before=other)
    assert changed > same and parts["kept"] > 0


def test_twins_are_held_to_one_score(nano):
    words = nano[2]
    torch.manual_seed(3)
    asked = turns(words)
    said = [torch.randn(*turn.ids.shape, 1024) for turn in asked]
    alone, _ = answers_loss(words, asked, said, labels(), 2)
    loss, parts = answers_loss(words, asked, said, labels(), 2, twins=True)
    assert loss > alone and parts["twins"] > 0
    _, parts = answers_loss(words, asked, [logits[::2].repeat_interleave(2, 0) for logits in said], labels(), 2, twins=True)
    assert parts["twins"] == 0


def test_ladders_are_not_held_to_what_was_said_before(nano, tmp_path):
    network, _, words = nano
    known = Labels(*(torch.cat([getattr(labels(), name)] * 2) for name in Labels.__dataclass_fields__))
    batch = torch.randn(VERSIONS, 1, 144, 280), torch.zeros(VERSIONS, 0, 8), torch.zeros(VERSIONS, 0, dtype=torch.long), known
    draws = SimpleNamespace(scored=None, laddered=[None], batches=SimpleNamespace(shares=[1]), windows=lambda groups, ladders, twins: batch)
    settings = {"samples": VERSIONS, "window_share": 1, "photo_share": 0, "learning_rate": 0, "tower_rate": 0, "weight_decay": 0,
                "notes": 1, "twins": False}  # fmt: skip
    # Whatever this is asked fails.
    before = object()
    for share, asked in ((1, nullcontext()), (0, pytest.raises(AttributeError))):
        with asked:
            config = {"joint": settings | {"ladder_share": share}}
            train_decoder(deepcopy(network), words, draws, {}, config, 0, tmp_path / "joint.pt", "joint", before)


def test_a_word_of_several_tokens_is_an_error(nano):
    network, tokenizer, _ = nano
    family = network.config.omnivqa
    words = replace(family.localization, temporal=replace(family.localization.temporal, yes=" certainly"))
    with pytest.raises(ValueError, match="certainly"):
        phrases(replace(network.config, omnivqa=replace(family, localization=words)), tokenizer)


def test_the_start_looks_at_what_seems_degraded(nano):
    network = OmniVQA(nano[0].config).eval()
    heads = {"late.weight": torch.randn(7, 16), "late.bias": torch.randn(7)}
    cells = torch.randn(2, 144, 16)
    init_decoder(network, heads, cells)
    late = cells @ heads["late.weight"].T
    first, act, _ = network.model.mm_projector
    with torch.no_grad():
        used = first(cells)[..., :14]
        assert torch.allclose(act(used[..., :7]) - act(used[..., 7:]), 0.3 * (late - late.mean((0, 1))), atol=1e-4)
    position = network.model.mm_projector_position.weight.detach().unflatten(0, (6, 6))
    near, far = (position[0, 0] - position[0, i] for i in (1, 5))
    assert near.norm() < far.norm()


def test_the_configuration_reads_back_and_says_what_is_wrong(nano):
    network, _, _ = nano
    data = json.loads(json.dumps(network.config.to_json()))
    assert ModelConfig.from_json(data) == network.config
    assert data["omnivqa"]["chat"]["user"].endswith("{question}")
    asked = data["omnivqa"]["localization"]
    assert asked["spatial"]["types"]["compression"] == " blocks" and asked["place"]["between"] == ", row"
    del asked["place"]["columns"][0]
    with pytest.raises(ConfigError, match="7 columns"):
        ModelConfig.from_json(data)
    del asked["severity"]["levels"]
    with pytest.raises(ConfigError, match="localization.severity"):
        ModelConfig.from_json(data)


def test_temperature_undoes_overconfidence():
    torch.manual_seed(0)
    logits = torch.randn(4000, 4) * 2
    label = torch.distributions.Categorical(logits=logits).sample()
    assert temperature(logits, label) == pytest.approx(1, abs=0.1)
    assert temperature(logits * 2, label) == pytest.approx(2, abs=0.2)
    assert calibration_error(logits, label) < 0.04 < calibration_error(logits * 3, label)


def test_thresholds_leave_pristine_pictures_alone(nano):
    network, _, words = nano
    found = ask(network, words, prefix_of(network, words))
    truth = labels()
    truth.seen[:] = True
    truth.kind = found.kind[:, 1:].argmax(1) + 1
    out = calibrate(found, truth, found)
    wrong = 1 - (found.kind / out["spatial"]["temperature"]).softmax(-1)[:, 0]
    assert not (wrong > out["spatial"]["threshold"] + 1e-3).any()
    config = calibrated(network.config, out)
    assert ModelConfig.from_json(config.to_json()) == config
    assert config.omnivqa.localization.calibration == out


def test_stutter_is_drawn_as_often_as_asked():
    motion = Motion({24: torch.arange(40.0)[:, None, None].expand(-1, 24, 3)}, {24: np.arange(40) % 8 == 0})
    features, stutter = motion.draw(24, 400, np.random.default_rng(0))
    assert features.shape == (400, 24, 3)
    assert ((features[:, 0, 0] % 8 == 0) == stutter.bool()).all()
    assert 0.3 < stutter.float().mean() < 0.5


def test_motion_is_kept_back_by_clip_and_knows_what_is_undisturbed():
    stutters = np.zeros(48, bool)
    stutters[[5, 41]] = True
    motion = Motion({24: torch.arange(48.0)[:, None, None]}, {24: stutters})
    assert motion.side(True).features[24].flatten().tolist() == [0, 1, 2, 3, 40, 41, 42, 43]
    assert motion.side(True).undisturbed(24).tolist() == [True] * 4 + [False] * 4
    assert len(motion.side(False).stutters[24]) == 40
    motion.side(True).check_both()
    with pytest.raises(ValueError, match="24 frames a second"):
        Motion(motion.features, {24: np.zeros(48, bool)}).check_both()


def test_orders_end_with_rating():
    assert set(ORDERS) == {"direct", "mix", "complementary"}
    assert all(last[0] == 1 for _, last in ORDERS.values())
    assert ORDERS["complementary"][0] == (0, 1)


def test_shares_have_intervals_over_contents():
    text = share(np.array([1.0, 1, 0, 0]), np.array([3, 3, 9, 9]))
    assert text == "0.500 [0.000, 1.000]"
    assert Counter(share(np.zeros(0), np.zeros(0))) == Counter("-")


def part(kinds: list[int], human: bool) -> Part:
    count = len(kinds)
    values = torch.randn(count, 144, 140).half()
    return Part([], values, values[:, None], torch.arange(count) * 10.0, torch.tensor(kinds), torch.tensor(kinds) * 1.0,
                torch.tensor([[0, 0, 12, 12]] * count), torch.full((count,), not human), torch.arange(count) // (1 if human else 4) + (not human), human)  # fmt: skip


def test_scored_photos_are_rated_and_asked_nothing_else(nano):
    _, _, words = nano
    clips = part([0, 1, 2, 5], False)
    clips.clips = [type("Clip", (), {"rows": np.array([0]), "meta": {"rate": 24}})]
    motion = Motion({rate: torch.zeros(8, rate, 8) for rate in RATES}, {rate: np.array([True, False] * 4) for rate in RATES})
    shown = torch.arange(3.0)[:, None, None, None].expand(-1, 2, 30, 8)
    draws = Draws([clips], [1], motion, {}, np.random.default_rng(0), photos=part([0, 0, 0], True), photo_clips=shown)
    lengths = set()
    for _ in range(20):
        statistics, features, positions, known = draws.photos(6)
        assert statistics.shape == (6, 1, 144, 280) and positions.shape == features.shape[:2]
        lengths.add(features.shape[1])
        if features.shape[1]:
            assert (features[:, 0, 0] * 10 == known.target).all()
    assert lengths == {0, 24, 28}
    assert known.rated.all() and not known.seen.any() and (known.stutter < 0).all()
    assert not any(choice.asked.any() for choice in spatial_turn(words, known).choices)
    statistics, features, positions, known = draws.frames()
    assert statistics.shape == (8, 1, 144, 280) and positions.shape == features.shape[:2]
    assert (known.rated == (known.stutter == 0)).all() and known.seen.all()


def test_a_ladder_that_falls_one_way_rises_the_other(nano):
    network, _, words = nano
    generator, rungs = torch.Generator().manual_seed(4), 4
    statistics = torch.randn(rungs, 144, 140, generator=generator)
    nothing = torch.zeros(rungs, dtype=torch.long)
    part = Part([], statistics.half(), statistics[:, None].half(), torch.zeros(rungs), nothing, torch.zeros(rungs),
                torch.zeros(rungs, 4, dtype=torch.long), nothing.bool(), nothing)  # fmt: skip
    meta = {"rate": 24, "frames": 24, "ladder": "a-x264-0", "recipe": {"kind": "x264"}}
    clips = [RenderedClip(f"{n}", meta, np.zeros((24, 48, 48, 3), np.uint8), np.array([n]), np.array([0]), np.zeros(24), np.arange(24))
             for n in range(rungs)]  # fmt: skip
    motion = {clip.name: torch.zeros(24, 8) for clip in clips}
    falls, rises = (LadderCheck([order], part, motion)(network, words) for order in (clips, clips[::-1]))
    assert falls["steps"] + rises["steps"] == pytest.approx(1, abs=2e-3)
    assert falls["x264"]["points"] == -rises["x264"]["points"]
    assert LadderCheck([], part, motion)(network, words) == {}
