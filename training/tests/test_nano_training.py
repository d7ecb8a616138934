"""The parts of Nano's training that can go wrong in silence: the split, targets, labels, windows, what is made up."""

import json
from collections import Counter

import cv2
import numpy as np
import pytest
import torch

from omnivqa.nano.dataset import Clip, Part, _clip_quality, load_photos, load_stills, rescale
from omnivqa.nano.decoder import VERSIONS, WINDOW_SHARES, draw_windows, window
from omnivqa.nano.drawn import cartoon_picture, drawn_sources, flattened
from omnivqa.nano.losses import LEVEL_SCORES, level_score, order_loss, rank_loss, soft_levels
from omnivqa.nano.motion import LABELS, Run, motion_sample
from omnivqa.nano.photos import LADDER_SEEN, glided, is_test_photo, photo_ladder, write_photos
from omnivqa.nano.recipes import LADDER_ENDS, TYPE_OF_KIND, TYPES, codec_arguments, draw_ladder, draw_recipe, filter_for, ladder_recipe, strength_target
from omnivqa.nano.render import LADDERS, PHOTO_LADDERS, vmaf_step
from omnivqa.nano.sources import COLLECTION_SIZE, is_held_out
from omnivqa.nano.statistics import CellStatistics
from omnivqa.nano.stills import degraded, make_group, pasted, picture_of, planes_of, write_stills
from omnivqa.nano.views import GRID, centred_views, enlarged, sampled_fragments
from omnivqa.nano.vision import Batches, dense_labels, fit_scale, place_logits, rectangle_iou
from omnivqa.network import CellStatisticsEmbeddings


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


def test_a_manifest_decides_where_it_says_so():
    items = [{"kind": "photo", "source_repo": "a/b", "content": f"c{n}", "held_out": bool(n % 2)} for n in range(20)]
    assert [is_held_out(item, Counter()) for item in items] == [bool(n % 2) for n in range(20)]


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
    kind, seen = torch.tensor([1, 1, 0, 5]), torch.tensor([True, False, True, True])
    cells = torch.tensor([[2, 3, 6, 6], [2, 3, 6, 6], [0, 0, 12, 12], [0, 0, 12, 12]])
    labels, touched = dense_labels(kind, cells, seen)
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


def test_windows_of_a_batch_have_one_shape_and_come_in_groups():
    clips = [make_clip(rate, seconds) for rate in (24, 30) for seconds in (1, 2, 4)]
    for n, clip in enumerate(clips):
        clip.meta["content"] = f"c{n % 2}"
    rng = np.random.default_rng(0)
    for _ in range(30):
        drawn = draw_windows(clips, 2, rng)
        assert len({(len(item.rows), len(item.frames)) for _, item in drawn}) == 1
        assert all(len({clip.meta["content"] for clip, _ in drawn[i : i + VERSIONS]}) == 1 for i in (0, VERSIONS))
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
        filter_for("x264", 1, 960, 540)
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


def textured(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture with detail everywhere, neither dark nor bright."""
    noise = np.random.default_rng(seed).integers(60, 180, (height // 4, width // 4, 3), np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def test_fast_statistics_are_those_of_the_network():
    views = torch.from_numpy(np.stack([textured(384, 384), np.full((384, 384, 3), 250, np.uint8)]))
    slow = CellStatisticsEmbeddings.__new__(CellStatisticsEmbeddings)
    torch.nn.Module.__init__(slow)
    config = type("Config", (), {"patch_size": 32, "hidden_size": 4, "views": (0,), "grid": GRID})
    CellStatisticsEmbeddings.__init__(slow, config)
    with torch.inference_mode():
        assert torch.allclose(CellStatistics()(views), slow.statistics(views[:, None]), atol=2e-4)


def test_planes_and_pictures_are_inverse():
    smooth = cv2.GaussianBlur(textured(96, 128), (0, 0), 4)
    assert np.abs(picture_of(planes_of(smooth)).astype(int) - smooth).mean() < 1.5


def test_a_pasted_quarter_leaves_the_rest_alone():
    planes = planes_of(textured(120, 240))
    changed = degraded(planes, "underexposure", 3, np.random.default_rng(0))
    out, (rows, columns) = pasted(planes, changed, (2, 3, 6, 6))
    assert (rows, columns) == (slice(30, 90), slice(40, 160))
    mask = out[0] != planes[0]
    assert mask[rows, columns].mean() > 0.9
    mask[rows, columns] = False
    assert not mask.any()
    assert (out[1][15:45, 20:80] == changed[1][15:45, 20:80]).all()


def test_every_type_changes_more_with_more_strength():
    planes = planes_of(textured(540, 720))
    for kind in TYPES[1:-1]:
        change = [cv2.absdiff(degraded(planes, kind, t, np.random.default_rng(1))[0], planes[0]).mean() for t in (1, 2, 3)]
        assert 0 < change[0] < change[1] < change[2]


def test_a_group_has_one_picture_in_several_versions():
    group = make_group([textured(540, 640)], np.random.default_rng(5), 4, True, False)
    assert group[0]["kind"] == 0 and group[0]["target"] == 97
    assert all(item["views"].shape == (2, 384, 384, 3) for item in group)
    for item in group:
        share = item["cells"][2] * item["cells"][3] / GRID**2
        assert share in (0.25, 1) and (item["kind"] == 0) == (item["severity"] == 0)
        assert 97 - 97 * share <= item["target"] <= 97


def test_stills_are_written_once_and_loaded(tmp_path):
    for _ in range(2):
        write_stills(tmp_path, [[textured(400, 400)]], 2, 2, 1, 2, held_out=False, per_shard=1)
    part = load_stills(tmp_path)
    assert part.squash.shape == (4, 144, 140) and part.fragments.shape == (4, 1, 144, 140)
    assert part.group.tolist() == [0, 0, 1, 1] and part.kind[::2].tolist() == [0, 0] and not part.clips


def test_scored_photos_are_split_by_name_and_have_no_type(tmp_path):
    (tmp_path / "images").mkdir()
    names = [f"{n}.png" for n in range(40)]
    names = [name for name in names if is_test_photo(name)][:1] + [name for name in names if not is_test_photo(name)][:2]
    items = [{"file": f"images/{name}", "mos": float(n)} for n, name in enumerate(names)]
    for item in items:
        cv2.imwrite(str(tmp_path / item["file"]), textured(400, 400))
    (tmp_path / "labels.json").write_text(json.dumps(items))
    write_photos(tmp_path, tmp_path / "photos.npz", 2, 1, 1)
    test, train = load_photos(tmp_path / "photos.npz", True), load_photos(tmp_path / "photos.npz", False)
    assert test.target.tolist() == [0] and train.target.tolist() == [1, 1, 2, 2]
    assert train.human and not train.seen.any()


def make_part(kinds: list[int], cells: list[list[int]]) -> Part:
    count = len(kinds)
    squash = torch.arange(count).half()[:, None, None].expand(-1, 144, 140)
    return Part([], squash, squash[:, None], 97 - 40.0 * torch.tensor(kinds).sign(), torch.tensor(kinds), torch.ones(count),
                torch.tensor(cells), torch.ones(count, dtype=torch.bool), torch.zeros(count, dtype=torch.long))  # fmt: skip


def test_whole_frames_are_pasted_into_the_clean_one_of_their_group():
    part = make_part([0] + [2] * 7, [[0, 0, 12, 12]] * 8)
    batch = Batches([part], [1], np.random.default_rng(0)).draw()
    local = batch.cells[:, 2] == 6
    assert 0 < int(local.sum()) < 8
    _, inside = dense_labels(batch.kind, batch.cells, batch.seen)
    for i in torch.nonzero(local)[:, 0]:
        assert batch.target[i] == 87
        values = batch.statistics[i, :, 0]
        assert (values[~inside[i]] == 0).all() and (values[inside[i]] > 0).all()


def test_the_place_is_the_window_of_the_touched_cells():
    late = torch.zeros(1, 144, 7)
    late[0, :, 0] = 3
    inside = dense_labels(torch.tensor([4]), torch.tensor([[5, 1, 6, 6]]), torch.tensor([True]))[1]
    late[0, inside[0], 4] = 6
    assert int(place_logits(late).argmax()) == 1 * 7 + 5
    assert rectangle_iou(np.array([[5, 1], [0, 0]]), np.array([[5, 1], [6, 0]])).tolist() == [1, 0]


def test_targets_are_brought_to_the_scale_of_people():
    scores = np.array([20.0, 50, 80])
    scale = fit_scale(scores, np.array([40.0, 50, 60]))
    assert scale == pytest.approx({"slope": 1 / 3, "offset": 50 - 50 / 3})
    part = make_part([0, 1], [[0, 0, 12, 12]] * 2)
    part.clips = [make_clip(24, 1, np.full(24, 80.0))]
    rescale(part, {"slope": 0.5, "offset": 10})
    assert part.target.tolist() == [58.5, 38.5] and part.clips[0].quality[0] == 50


def moving_run(rate: int, seconds: int) -> Run:
    wide = textured(48, 48 + rate * seconds)
    return Run(rate, np.stack([wide[:, n : n + 48] for n in range(rate * seconds)]))


def test_a_stuttered_second_shows_the_one_before_again():
    rng, seen = np.random.default_rng(2), 0
    for _ in range(8):
        sample = motion_sample([moving_run(24, 6)], 4, rng, "stutter")
        frames = sample.frames.astype(int)
        for second in np.flatnonzero(sample.seconds):
            first = second * 24
            assert np.abs(frames[first : first + 24] - frames[first - 24 : first]).mean() < 2
            assert sample.label[first] == LABELS.index("jump") and sample.inside[first : first + 24].all()
            seen += 1
        assert sample.seconds[0] == 0 and sample.inside.sum() == 24 * sample.seconds.sum()
    assert seen > 3


def test_a_freeze_holds_one_frame_and_what_does_not_move_has_none():
    rng = np.random.default_rng(3)
    sample = motion_sample([moving_run(25, 6)], 4, rng, "freeze")
    held = np.flatnonzero(sample.label == LABELS.index("held"))
    assert len(held) >= 7 and (np.diff(held) == 1).all()
    assert np.abs(np.diff(sample.frames.astype(int), axis=0)[held[1:] - 1]).mean() < 2.5
    still = Run(25, np.repeat(textured(48, 48)[None], 150, 0))
    for kind in ("none", "cut", "stutter", "freeze", "drops"):
        assert motion_sample([still], 4, rng, kind).seconds.sum() == 0


def test_a_ladder_of_a_codec_gets_worse_and_changes_nothing_else():
    for kind in LADDER_ENDS:
        rungs = draw_ladder(kind, 8, np.random.default_rng(4))
        values = [rung.strength for rung in rungs]
        assert values == sorted(values) and values[-1] - values[0] > 10
        told = [[word for i, word in enumerate(rung.codec) if rung.codec[i - 1] != "-crf"] for rung in rungs]
        assert all(words == told[0] for words in told)


def test_windows_of_a_ladder_show_its_rungs_at_the_same_time():
    clips = [make_clip(24, 2, np.full(48, 90.0 - rung)) for rung in range(16)]
    for n, clip in enumerate(clips):
        clip.meta |= {"content": "c", "ladder": f"l{n // 8}"}
    rng = np.random.default_rng(5)
    for _ in range(20):
        drawn = draw_windows(clips, 2, rng, "ladder")
        for group in (drawn[:8], drawn[8:]):
            assert len({clip.meta["ladder"] for clip, _ in group}) == 1
            assert len({item.frames[0] for _, item in group}) == 1 and len({item.target for _, item in group}) == 8


def test_rungs_that_hardly_differ_count_as_much_as_those_that_differ_widely():
    good, score = torch.tensor([90.0, 89.9]), torch.tensor([80.0, 80])
    assert order_loss(score, good) == order_loss(score, torch.tensor([90.0, 10]))
    assert order_loss(torch.tensor([81.0, 80]), good) < 0.2 < 1.9 < order_loss(torch.tensor([80.0, 81]), good)
    assert order_loss(score, torch.tensor([90.0, 90])) == 0



def test_made_up_clips_are_rendered_once(tmp_path):
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), textured(500, 700))
    made = drawn_sources([photo], 3, tmp_path, 3)
    assert [source.content for source in made] == ["drawn-000", "drawn-001", "drawn-002"] and not any(source.held_out for source in made)
    written = made[1].path.read_bytes()
    assert drawn_sources([photo], 3, tmp_path, 3) == made and made[1].path.read_bytes() == written
    flat = flattened(textured(400, 400), 40)
    assert flat.shape == (400, 400, 3)


def test_a_cartoon_is_flat_between_its_edges():
    first, again, other = (cartoon_picture(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == (1080, 1920, 3) and (first == again).all() and (first != other).any()
    steps = np.abs(np.diff(first.astype(int), axis=1)).max(2)
    assert (steps <= 1).mean() > 0.9 and (steps > 40).any()


def test_a_photo_as_a_clip_is_still_or_moves_gently():
    small, rng = cv2.resize(textured(112, 112), (56, 56), interpolation=cv2.INTER_AREA), np.random.default_rng(6)
    still, moving = (glided(small, 30, move, rng) for move in (False, True))
    assert still.shape == moving.shape == (30, 48, 48, 3)
    assert (still == still[0]).all() and (moving[-1] != moving[0]).any()


def test_a_frame_at_twice_its_size_is_seen_much_as_before():
    frame = cv2.GaussianBlur(textured(540, 960), (0, 0), 1)
    seen, again = (centred_views(picture).astype(int) for picture in (frame, enlarged(frame)))
    assert enlarged(frame).shape == (1080, 1920, 3)
    assert np.abs(seen - again).mean() < 2


@pytest.mark.parametrize("number", [0, 1, 4, 5])
def test_a_ladder_of_a_photo_loses_detail_from_rung_to_rung(number):
    grain = np.random.default_rng(3).integers(0, 40, (420, 500, 3), dtype=np.uint8)
    photo = textured(420, 500) // 2 + grain
    views = photo_ladder(photo, 3, number, np.random.default_rng(4))
    assert views.shape == (3, len(LADDER_SEEN), 2, 384, 384, 3)
    # Fragments of all rungs are of the same places: they show the same, but for what was lost.
    steps = np.abs(np.diff(views.astype(int), axis=-2)).mean((1, 3, 4, 5))
    assert (np.diff(steps, axis=0) < 0).all()
    assert np.abs(views[0].astype(int) - views[1]).mean() < 20
