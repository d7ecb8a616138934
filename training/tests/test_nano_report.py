"""What the report's figures rest on: intervals, the subsets of ablations, and what counts as a reported fault."""

import json

import numpy as np
import pytest
import torch

from omnivqa.nano.ablate import (
    TRIALS,
    area_under_roc,
    chosen_contents,
    results,
    scaling_curve,
    silent,
    still_contents,
    subset,
    tables,
)
from omnivqa.nano.answers import Answers
from omnivqa.nano.chart import learning_curves, line_chart
from omnivqa.nano.dataset import Clip, Part
from omnivqa.nano.decoder import Motion
from omnivqa.nano.evaluate import Rated, known_content_srcc
from omnivqa.nano.intervals import shown, with_interval
from omnivqa.nano.people import BAD, real_faults, spatial_faults
from omnivqa.nano.photos import is_test_photo
from omnivqa.nano.recipes import TYPES
from omnivqa.nano.tempt import KINDS, LIST, read_temptations, temptation_tables

ITEMS = [
    *({"kind": "video", "source_repo": f"one/{i}", "content": f"video-{i}"} for i in range(30)),
    *({"kind": "photo", "source_repo": "all/photos", "content": f"photo-{i}"} for i in range(60)),
]


def test_an_interval_holds_its_value_and_grows_when_contents_agree_within_themselves():
    rng = np.random.default_rng(0)
    values = np.repeat(rng.random(20), 10)
    alone = with_interval(np.mean, [values], np.arange(200))
    grouped = with_interval(np.mean, [values], np.repeat(np.arange(20), 10))
    assert alone["low"] < alone["value"] < alone["high"]
    assert alone["value"] == grouped["value"] == pytest.approx(values.mean(), abs=1e-4)
    assert grouped["high"] - grouped["low"] > 2 * (alone["high"] - alone["low"])
    assert shown({"value": 0.5, "low": 0.25, "high": 1}) == "0.500 [0.250, 1.000]"


def test_the_area_under_the_roc_is_a_share_of_ordered_pairs():
    rng = np.random.default_rng(1)
    score, true = rng.integers(0, 9, 60), rng.random(60) < 0.4
    pairs = [(a > b) + 0.5 * (a == b) for a in score[true] for b in score[~true]]
    assert area_under_roc(score, true) == pytest.approx(np.mean(pairs))
    assert np.isnan(area_under_roc(score, np.zeros(60, bool)))


def test_a_smaller_share_of_the_contents_is_part_of_a_larger_one():
    shares = [chosen_contents(ITEMS, share) for share in (0.25, 0.5, 0.75, 1)]
    assert all(a < b for a, b in zip(shares[:-1], shares[1:], strict=True))
    for share, chosen in zip((0.25, 0.5, 0.75), shares, strict=False):
        assert len(chosen) / len(shares[-1]) == pytest.approx(share, abs=0.05)
    assert set(still_contents(ITEMS, 400, 3)) == shares[-1]


def test_every_content_of_a_turn_of_stills_is_used_once():
    contents = still_contents(ITEMS, 200, 3)
    count = len(set(contents))
    assert sorted(contents[:count]) == sorted(contents[count : 2 * count])
    assert contents[:count] != contents[count : 2 * count]


def test_a_subset_keeps_the_rows_of_its_clips():
    rows = torch.arange(6)
    clips = [Clip(name, {}, np.zeros((0, 48, 48, 3), np.uint8), np.arange(first, first + 3), np.arange(3), np.ones(1), np.zeros(1))
             for name, first in (("a", 0), ("b", 3))]  # fmt: skip
    part = Part(clips, rows[:, None], rows[:, None], rows.float(), rows, rows.float(), rows[:, None].expand(6, 4), rows > 0, rows)
    half = subset(part, rows >= 3)
    assert [clip.name for clip in half.clips] == ["b"]
    assert half.target[half.clips[0].rows].tolist() == [3, 4, 5] and half.squash.shape == (3, 1)


def test_silent_motion_says_nothing_and_keeps_its_labels():
    motion = Motion({25: torch.randn(8, 25, 4)}, {25: np.arange(8) % 2 == 0})
    quiet = silent(motion)
    assert not quiet.features[25].any() and quiet.features[25].shape == (8, 25, 4)
    assert (quiet.stutters[25] == motion.stutters[25]).all()


def test_a_fault_is_reported_above_the_threshold_only():
    kind = torch.tensor([[4.0, 0, 0, 0, 0, 0], [0, 0, 9, 0, 0, 0], [0, 0, 0, 0, 0, 1.0]])
    empty = torch.zeros(3, 2)
    answers = Answers(empty, kind, empty, empty, empty, empty, empty)
    faulty, named = spatial_faults(answers, {"spatial": {"temperature": 1.0, "threshold": 0.95}})
    assert faulty.tolist() == [False, True, False] and named[1:].tolist() == [2, 5]


def test_results_become_tables_and_a_curve(tmp_path):
    figure = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}
    names = ["clips: SRCC with the target", "stills: SRCC with the target", "stills: type named", "stills: IoU of the place"]
    for trial in TRIALS:
        facts = {"trial": trial.name, "stage": trial.stage, "seed": 0, "samples": 16, "seconds": 1}
        (tmp_path / f"{trial.name}-0.json").write_text(json.dumps(facts | {"figures": dict.fromkeys(names, figure)}))
    (tmp_path / "temptations.json").write_text("{}")
    found = results(tmp_path)
    assert [one["trial"] for one in found] == [trial.name for trial in TRIALS]
    assert tables(found).count("| stills: type named | 0.500 [0.400, 0.600] |") == 2
    curve = scaling_curve(found)
    assert curve.count("<polyline") == 4 and curve.count("142.5") == 16


def test_learning_curves_are_read_from_what_training_prints():
    log = """7 clips, 9 frames
joint {"samples": 4000, "seconds": 3, "loss": {"level": 1.0}}
  photos {"srcc": 0.5, "plcc": 0.6}
  random {"srcc": -0.1, "stutter": 0.25, "iou": 0.7}
joint {"samples": 8000, "seconds": 6, "loss": {"level": 0.9}}
  photos {"srcc": 0.6, "plcc": 0.6}
"""
    curves, ticks = learning_curves(log)
    assert ticks == {4000: "4k", 8000: "8k"} and curves["photos: SRCC with people"] == [(4000, 0.5), (8000, 0.6)]
    assert curves["clips: SRCC with the target"] == [(4000, 0.0)] and curves["stutter found"] == [(4000, 0.25)]
    assert line_chart(curves, ticks, "a title").count("<polyline") == 3
    with pytest.raises(ValueError, match="two positions"):
        line_chart(curves, {1: "one"}, "")


def test_the_temptations_are_many_pristine_contents_of_every_kind():
    entries = json.loads(LIST.read_text())
    assert len({entry["content"] for entry in entries}) >= 30
    assert {entry["tempts"] for entry in entries} == set(KINDS) - {"compression"}
    assert all(entry["why"] and set(entry) <= {"content", "tempts", "why", "crop"} for entry in entries)


def test_a_temptation_must_be_held_out_and_have_a_kind(tmp_path):
    kept = sorted(chosen_contents(ITEMS, 1))
    outside = next(item["content"] for item in ITEMS if item["content"] not in kept)
    for content, tempts, right in ((outside, "blur", True), (kept[0], "blur", False), (outside, "rain", False)):
        (tmp_path / "list.json").write_text(json.dumps([{"content": content, "tempts": tempts, "why": "mist"}]))
        if right:
            assert read_temptations(ITEMS, tmp_path / "list.json")[0]["item"]["content"] == outside
        else:
            with pytest.raises(ValueError, match=outside if tempts == "rain" else kept[0]):
                read_temptations(ITEMS, tmp_path / "list.json")


def test_failures_are_named():
    entries = [{"content": name, "tempts": "stutter", "why": "it jumps"} for name in ("cat", "dog")]
    quiet, loud = np.zeros((4, len(KINDS)), bool), np.zeros((4, len(KINDS)), bool)
    loud[1, KINDS.index("stutter")] = loud[2, KINDS.index("noise")] = True
    text = "\n".join(temptation_tables(entries, {("cat", (0, 0, 1, 1)): quiet, ("dog", (0, 0, 1, 1)): loud}))
    assert "| stutter | 2 | 1 | 8 | 0.125" in text and "reported of 1; alarms a minute: 15.000" in text
    assert "- dog: stutter in 1 of 4 s; it jumps." in text and "- dog: noise in 1 of 4 s." in text and "- cat" not in text


def test_naturally_bad_photos_are_held_out_and_judged_by_their_worst_fault():
    bad = json.loads(BAD.read_text())
    assert all(is_test_photo(entry["photo"]) and set(entry["faults"]) <= set(TYPES[1:]) for entry in bad)
    assert len({entry["photo"] for entry in bad}) == 32
    items = [{"file": f"images/{entry['photo']}"} for entry in bad[:3]]
    table = real_faults(bad[:3], items, np.array([True, False, True]), np.array([TYPES.index("blur")] * 3))
    assert table[-1].startswith("| **all** | 3 | 0.667") and "| 0.667 [" in table[-1].split("|", 4)[4]
    assert any(line.startswith("| overexposure | 1 | 0.000") for line in table)


def test_what_a_known_content_would_give_is_one_where_only_the_content_is_missing():
    rng = np.random.default_rng(2)
    shift, slope = dict(zip("abcdef", rng.uniform(-40, 40, 6), strict=True)), dict(zip("abcdef", rng.uniform(0.3, 2, 6), strict=True))
    make = lambda name, vmaf, score: Rated(name, "video", "x264", 0.0, False, vmaf, 97.0, score)
    values = [(name, float(vmaf)) for name in shift for vmaf in rng.uniform(10, 95, 12)]
    moved = [make(name, vmaf, vmaf + shift[name]) for name, vmaf in values]
    bent = [make(name, vmaf, slope[name] * vmaf + shift[name]) for name, vmaf in values]
    assert known_content_srcc(moved, 0) == pytest.approx(1)
    assert known_content_srcc(bent, 0) < 0.99 and known_content_srcc(bent, 1) == pytest.approx(1)
