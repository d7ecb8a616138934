"""Reliability figures, and what is taken for no footage."""

import numpy as np
import pytest
import torch

from omnivqa.nano.domain import Look, judged, judged_clip, look
from omnivqa.nano.reliability import Question, calibration_gap, covered, diagram, table


def question(logits: list[list[float]], label: list[int], option: int | None = None, shipped: float | None = None) -> Question:
    return Question("q", torch.tensor(logits), torch.tensor(label), np.arange(len(label)) % 5, option, shipped)


def test_the_gap_is_that_between_confidence_and_what_was_right():
    assert calibration_gap(np.full(4, 0.75), np.array([1.0, 1, 1, 0])) == pytest.approx(0)
    assert calibration_gap(np.ones(3), np.zeros(3)) == 1
    # Bins are weighed by their answers.
    assert calibration_gap(np.array([0.95] * 3 + [0.15]), np.array([1.0, 1, 1, 1])) == pytest.approx(0.05 * 0.75 + 0.85 * 0.25)


def test_yes_and_no_are_read_from_the_options():
    logits = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]]).log().tolist()
    anything = question(logits, [0, 1], option=0).answered(1.0)
    assert anything[0].tolist() == pytest.approx([0.3, 0.9]) and anything[1].tolist() == [0, 1]
    second = question(logits, [0, 1], option=1).answered(1.0)
    assert second[0].tolist() == pytest.approx([0.2, 0.6]) and second[1].tolist() == [0, 1]
    likeliest = question(logits, [0, 2]).answered(1.0)
    assert likeliest[0].tolist() == pytest.approx([0.7, 0.6]) and likeliest[1].tolist() == [1, 0]


def test_a_temperature_of_other_contents_undoes_overconfidence():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 2000)
    said = np.where(rng.random(2000) < 0.7, truth, 1 - truth)
    sure = question((6.0 * np.eye(2)[said]).tolist(), truth.tolist(), shipped=2.0)
    before, shipped, fitted = (calibration_gap(*sure.answered(t)) for t in (1.0, 2.0, sure.cross_fitted()))
    assert before > shipped > 0.2 and fitted < 0.13
    rows = table([sure]).splitlines()
    assert len(rows) == 3 and "| 2.000 |" in rows[2]
    assert diagram([sure, sure]).count("<circle") == 4


def test_few_options_cover_where_the_network_is_sure():
    sure, torn = torch.tensor([0.9, 0.06, 0.04]).log().tolist(), torch.tensor([0.5, 0.4, 0.1]).log().tolist()
    assert covered(question([sure, sure, torn, torn], [0, 1, 1, 2]), 1.0).tolist() == [1, 0, 1, 0]


def test_looks_are_what_the_engine_measures():
    y, x = np.mgrid[:384, :384]
    picture = lambda values: np.repeat(values[..., None], 3, 2).astype(np.uint8)  # noqa: E731
    ramp, bars = picture((x + 2 * y) % 256), picture(np.where(x % 8 < 4, 60, 120))
    one = look(np.stack([ramp, bars]))
    # The same numbers as in test/unit/model/domain.test.ts.
    assert (one.even, one.equal, one.letters) == pytest.approx((24 / 31, 24 / 31, 1))
    assert (one.related, one.contrast) == pytest.approx((0.9077, 73.9), abs=0.01)
    assert look(np.stack([ramp, picture(np.full((384, 384), 255))])).equal == 0


def test_drawn_pictures_and_noise_are_no_footage():
    page, noise = Look(0.9, 0, 0.6, 0.6, 38), Look(0.01, 0, 0.6, 0, 27)
    footage, bars, dark = Look(0.6, 0.5, 0.1, 0.9, 50), Look(0.9, 0.95, 0.1, 0.9, 60), Look(0.95, 0.92, 0, 0.97, 18)
    assert [judged(one) for one in (page, noise, footage, bars, dark)] == ["drawn", "noise", None, "drawn", None]
    assert judged_clip([page, footage]) == "drawn" and judged_clip([page, footage, footage]) is None
