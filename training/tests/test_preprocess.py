import numpy as np
import pytest
from conftest import FIXTURES
from omnivqa.config import read_config
from omnivqa.preprocess import clip_pixels, fragments, key_frames, squash
from PIL import Image


def test_key_frames_are_one_rounded_second_apart():
    assert key_frames(95, 29.97) == [0, 30, 60, 90]
    assert key_frames(5, 0.3) == [0, 1, 2, 3, 4]
    assert key_frames(0, 25) == []


@pytest.mark.parametrize(("width", "height"), [(64, 48), (7, 90), (1, 1)])
def test_squash_is_pillow_bicubic(width, height):
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    expected = Image.fromarray(frame).resize((32, 32), Image.Resampling.BICUBIC)
    assert np.array_equal(squash(frame, 32), np.asarray(expected))


def test_squash_weights_are_the_cubic_with_a_half():
    """A step of 0 to 200 doubled in size: Keys' kernel at a quarter and three quarters of a pixel, a = -0.5."""
    frame = np.zeros((4, 4, 3), np.uint8)
    frame[:, 2:] = 200

    def cubic(x: float) -> float:
        x = abs(x)
        return 1.5 * x**3 - 2.5 * x**2 + 1 if x < 1 else -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0

    row = squash(frame, 8)[3, :, 0].astype(int)
    for i in range(8):
        centre = (i + 0.5) / 2
        weights = [cubic(j + 0.5 - centre) for j in range(4)]
        assert abs(row[i] - np.clip(200 * sum(weights[2:]) / sum(weights), 0, 255)) <= 1


def test_fragments_are_the_centres_of_the_cells_at_their_own_size():
    y, x = np.mgrid[0:70, 0:100]
    frame = np.stack([y, x, y * 0], 2).astype(np.uint8)
    found = fragments(frame, 3, 8, 10**6)
    for row in range(3):
        for column in range(3):
            top, left = row * 70 // 3, column * 100 // 3
            top += ((row + 1) * 70 // 3 - top - 8) // 2
            left += ((column + 1) * 100 // 3 - left - 8) // 2
            cell = found[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8]
            assert np.array_equal(cell, frame[top : top + 8, left : left + 8])


@pytest.mark.parametrize(("width", "height"), [(200, 100), (13, 200), (5, 5), (24, 24)])
def test_fragments_never_leave_the_canvas(width, height):
    frame = np.full((height, width, 3), 77, np.uint8)
    assert np.array_equal(fragments(frame, 3, 8, 3000), np.full((24, 24, 3), 77, np.uint8))


def test_clip_pixels_are_what_the_network_takes():
    frames = [np.full((40, 60, 3), i, np.uint8) for i in range(30)]
    config = read_config(FIXTURES / "separate-statistics" / "config.json")
    key, motion = clip_pixels(frames, 12.0, config)
    assert key.shape == (3, 2, 48, 48, 3)
    assert key[:, :, 0, 0, 0].tolist() == [[0, 0], [12, 12], [24, 24]]
    assert motion.shape == (28, 24, 24, 3)
    assert clip_pixels(frames, 12.0, read_config(FIXTURES / "frames-statistics" / "config.json"))[1] is None
