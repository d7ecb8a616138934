"""How runs of seconds are judged: the regression, what is left of overlapping runs, and the threshold."""

import json

import numpy as np
import pytest

from omnivqa.nano.segments import ALARMS, FEATURES, chances, chosen, fit, segments


def test_fit_finds_the_weights_that_made_the_answers():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(20_000, 2)) * [1, 3] + [0, 5]
    made = np.array([1.5, -0.5, 1.0])
    right = rng.random(len(features)) < chances(made, features)
    np.testing.assert_allclose(fit(features, right), made, atol=0.15)


def test_a_feature_that_never_varies_has_no_weight():
    features = np.c_[np.linspace(-1, 1, 100), np.ones(100)]
    weights = fit(features, features[:, 0] > 0)
    assert weights[0] > 1 and abs(weights[1]) < 1e-6


def test_of_runs_that_overlap_the_likeliest_is_taken():
    clip = {"candidates": [{"from": a, "to": b} for a, b in ((0, 2), (1, 3), (2, 4))]}
    assert chosen(clip, np.array([0.5, 0.9, 0.4])) == [1]
    assert chosen(clip, np.array([0.9, 0.5, 0.4])) == [0, 2]


def lines(rng: np.random.Generator, clips: int) -> str:
    """Runs that are right the likelier the higher their mean."""
    out = []
    for i in range(clips):
        found = []
        for at in range(4):
            mean = float(rng.normal())
            right = bool(rng.random() < 1 / (1 + np.exp(-3 * mean)))
            features = {name: mean if name == "mean" else 0.0 for name in FEATURES}
            found.append({"from": at, "to": at + 1, "features": features, "right": right, "near": right})
        out.append(json.dumps({"clip": f"{i}.mkv", "content": str(i % 12), "minutes": 0.1, "candidates": found}))
    return "\n".join(out) + "\n"


def test_segments_are_written_into_the_configuration_and_nothing_else(tmp_path):
    before = {"hidden_size": 192, "omnivqa": {"localization": {"calibration": {"spatial": {"temperature": 1.2, "threshold": 0.9}}}}}
    (tmp_path / "config.json").write_text(json.dumps(before))
    file = tmp_path / "candidates.jsonl"
    file.write_text(lines(np.random.default_rng(0), 400))
    made = segments([file], tmp_path)
    after = json.loads((tmp_path / "config.json").read_text())
    assert after["omnivqa"]["localization"]["calibration"].pop("segments") == made
    assert after == before
    assert made["weights"]["mean"] == pytest.approx(3, abs=0.5)
    assert set(made["weights"]) == set(FEATURES)
    weights = np.array([*made["weights"].values(), made["bias"]])
    read = [json.loads(line) for line in file.read_text().splitlines()]
    runs = [one for clip in read for one in clip["candidates"]]
    chance = chances(weights, np.array([[one["features"][name] for name in FEATURES] for one in runs]))
    false = sum(not one["near"] for one, said in zip(runs, chance >= made["threshold"]) if said)
    # Each content was judged by a fit without it, so it is the same but for a little.
    assert false == pytest.approx(ALARMS * 40, abs=8)
