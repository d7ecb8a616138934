"""The parts of Nano's training that can go wrong in silence: the split, targets, labels, windows."""

from collections import Counter

import numpy as np
import pytest
import torch

from omnivqa.nano.dataset import Clip, _clip_quality
from omnivqa.nano.decoder import WINDOW_SHARES, draw_windows, window
from omnivqa.nano.losses import LEVEL_SCORES, level_score, rank_loss, soft_levels
from omnivqa.nano.recipes import TYPE_OF_KIND, codec_arguments, draw_recipe, filter_for, ladder_recipe, strength_target
from omnivqa.nano.render import LADDERS, PHOTO_LADDERS, vmaf_step
from omnivqa.nano.sources import COLLECTION_SIZE, is_held_out
from omnivqa.nano.views import GRID, centred_views, sampled_fragments
from omnivqa.nano.vision import dense_labels


def test_a_repository_is_never_on_both_sides():
    items = [{"kind": "video", "source_repo": f"a/{n % 9}", "content": f"c{n}"} for n in range(90)]
    counts = Counter((item["kind"], item["source_repo"]) for item in items)
    assert max(counts.values()) <= COLLECTION_SIZE
    sides = {(item["source_repo"], is_held_out(item, counts)) for item in items}
    assert len(sides) == 9
    assert {side for _, side in sides} == {True, False}


def test_a_collection_is_split_by_content():
    items = [{"kind": "photo", "source_repo": "a/b", "content": f"c{n}"} for n in range(60)]
    counts = Counter((item["kind"], item["source_repo"]) for item in items)
    assert 10 <= sum(is_held_out(item, counts) for item in items) <= 30


def test_soft_levels_average_to_the_score():
    scores = torch.tensor([0.0, 10, 25, 62.5, 99, 100])
    weights = soft_levels(scores)
    assert torch.allclose(weights.sum(1), torch.ones(6))
    assert torch.allclose(weights @ torch.tensor(LEVEL_SCORES), scores)
    assert int((weights > 0).sum(1).max()) == 2


def test_level_score_reaches_both_ends():
    logits = torch.full((2, 5), -50.0)
    logits[0, 0] = logits[1, 4] = 50
    assert level_score(logits).tolist() == pytest.approx([100, 0])


def test_rank_loss_is_zero_in_the_right_order_and_not_in_the_wrong_one():
    target = torch.tensor([90.0, 50, 10])
    assert rank_loss(target, target) == 0
    assert rank_loss(-target, target) > 1


def test_dense_labels_mark_the_quarter_and_leave_out_what_nobody_sees():
    kind, severity = torch.tensor([1, 1, 0, 5]), torch.tensor([2.0, 0.1, 0, 1])
    cells = torch.tensor([[2, 3, 6, 6], [2, 3, 6, 6], [0, 0, 12, 12], [0, 0, 12, 12]])
    labels, touched = dense_labels(kind, severity, cells)
    grid = labels[0].view(GRID, GRID)
    assert grid[3:9, 2:8].eq(1).all() and int(grid.sum()) == 36
    assert sorted(set(labels[1].tolist())) == [-100, 0]
    assert labels[2].eq(0).all() and labels[3].eq(5).all()
    assert touched.sum(1).tolist() == [36, 0, 0, 144]


def make_clip(rate: int, seconds: int, quality=None) -> Clip:
    frames = rate * seconds
    half = rate // 2
    positions = np.array([n for n in range(frames) if n % rate in (0, half)])
    return Clip("c", {"rate": rate, "frames": frames}, np.zeros((frames, 48, 48, 3), np.uint8), np.arange(len(positions)),
                positions, np.arange(frames, dtype=float) if quality is None else quality, np.arange(frames))  # fmt: skip


def test_window_holds_its_own_frames_and_target():
    clip = make_clip(24, 4)
    plain = window(clip, 0, 1, 2)
    assert plain.rows == [2, 4]
    assert plain.frames.tolist() == list(range(24, 72))
    assert plain.target == pytest.approx(np.arange(24, 72).mean())
    shifted = window(clip, 1, 0, 1)
    assert shifted.rows == [1]
    assert shifted.frames.tolist() == list(range(12, 36))


def test_window_repeats_a_clip_that_is_too_short_and_keeps_whole_multiples_of_four():
    item = window(make_clip(25, 2), 0, 0, 3)
    assert item.rows == [0, 2, 0]
    assert len(item.frames) == 72


def test_windows_of_a_batch_have_one_shape():
    clips = [make_clip(rate, seconds) for rate in (24, 30) for seconds in (1, 2, 4)]
    rng = np.random.default_rng(0)
    for _ in range(30):
        drawn = draw_windows(clips, 6, rng)
        assert len({(len(item.rows), len(item.frames)) for _, item in drawn}) == 1
    assert sum(WINDOW_SHARES.values()) == pytest.approx(1)


def test_a_quarter_frame_costs_a_quarter():
    meta = {"recipe": {"kind": "noise"}, "cells": [0, 0, 6, 6], "strength_target": 57.0}
    assert _clip_quality(meta, np.zeros(2, np.float32)).tolist() == [87, 87]
    meta = {"recipe": {"kind": "x264"}, "cells": [0, 0, 6, 6], "strength_target": 97.0}
    assert _clip_quality(meta, np.array([50.0, 120])).tolist() == [50, 100]


def test_strength_targets_fall_where_vmaf_is_none():
    for kind in ("noise", "overexposure", "underexposure"):
        scores = [strength_target(kind, t) for t in (0, 1, 2, 3, 5)]
        assert scores[0] == 97 and scores[-1] == 0
        assert all(a > b for a, b in zip(scores, scores[1:]))


def test_every_kind_and_rung_has_a_recipe():
    for kind, values in [*LADDERS.items(), *PHOTO_LADDERS.items()]:
        assert list(values) == sorted(values)
        for value in values:
            recipe = ladder_recipe(kind, value, 960, 540)
            assert (recipe.kind, recipe.local) == (kind, False)
    rng = np.random.default_rng(0)
    kinds = dict.fromkeys(TYPE_OF_KIND, 1.0)
    seen = {draw_recipe(kinds, {"noise": 1.0}, 960, 540, rng).kind for _ in range(400)}
    assert seen == set(TYPE_OF_KIND)
    with pytest.raises(ValueError):
        filter_for("x264", 1)
    assert "-crf" in codec_arguments("x264", 23)


def test_recipes_are_reproducible():
    draw = lambda: draw_recipe({"x264": 1, "blur": 1}, {}, 640, 360, np.random.default_rng([3, 7]))  # noqa: E731
    assert draw() == draw()


def test_vmaf_is_measured_at_every_key_frame():
    for rate in range(1, 121):
        assert rate % vmaf_step(rate) == 0


def test_sampled_fragments_come_from_their_own_cells():
    frame = np.zeros((540, 960, 3), np.uint8)
    frame[..., 0] = (np.arange(960) * GRID // 960)[None]
    frame[..., 1] = (np.arange(540) * GRID // 540)[:, None]
    cells = np.repeat(np.arange(GRID), 32)
    for view in (sampled_fragments(frame, np.random.default_rng(0)), centred_views(frame)[1]):
        assert (view[..., 0] == cells[None]).all()
        assert (view[..., 1] == cells[:, None]).all()
