"""Training draws from the recipe book: what it makes of a picture is what ffmpeg makes of it with the book's own steps."""

import re
import subprocess

import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from omnivqa.nano.book import encoder_arguments, filter_text, parameters, read_book
from omnivqa.nano.recipes import LOCAL_CODECS, draw_recipe
from omnivqa.nano.stills import BOOK_PRESETS, INTRA, coded, degraded, planes_of

SHAPE = (540, 640)
FILTERS = ["blur", "noise", "overexposure", "underexposure"]


def picture() -> list[np.ndarray]:
    """Detail of several sizes on a slope from dark to bright."""
    rng, (height, width) = np.random.default_rng(4), SHAPE
    layers = [cv2.resize(rng.uniform(-1, 1, (height // n, width // n, 3)), (width, height), interpolation=cv2.INTER_CUBIC) for n in (3, 10, 45)]
    slope = np.linspace(20, 220, width)[None, :, None]
    return planes_of(np.clip(slope + sum(30 * layer for layer in layers), 0, 255).astype(np.uint8))


def through(arguments: list[str], clip: list[list[np.ndarray]], stream: str | None = None) -> list[list[np.ndarray]]:
    """The frames of a clip after ffmpeg with the arguments, decoded again from `stream` where they encode."""
    height, width = clip[0][0].shape
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-threads", "1"]
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p"]
    pixels = b"".join(plane.tobytes() for planes in clip for plane in planes)
    target = ["-threads", "1", "-f", stream, "-"] if stream else [*raw, "-"]
    out = subprocess.run([*ffmpeg, *raw, "-s", f"{width}x{height}", "-r", "25", "-i", "-", *arguments, *target],
                         input=pixels, capture_output=True, check=True).stdout  # fmt: skip
    if stream:
        decode = [*ffmpeg, "-f", stream, "-i", "-", "-fps_mode", "passthrough", *raw, "-"]
        out = subprocess.run(decode, input=out, capture_output=True, check=True).stdout
    sizes = np.cumsum([plane.size for plane in clip[0]])[:-1]
    return [[part.reshape(plane.shape) for part, plane in zip(np.split(frame, sizes), clip[0], strict=True)]
            for frame in np.frombuffer(out, np.uint8).reshape(len(clip), -1)]  # fmt: skip


def step_text(name: str, level: int, seed: int = 7) -> str:
    """A level's filter with its placeholders filled here, not by the code under test."""
    book = read_book()
    recipe = book["recipes"][name]
    values = dict(recipe["levels"][level]["parameters"]) | {"seed": seed}
    for key in recipe.get("scaled", []):
        values[key] = round(values[key] * min(SHAPE) / book["referenceSide"], 3)
    return re.sub(r"\{(\w+)\}", lambda found: str(values[found[1]]), recipe["steps"][0]["filter"])


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(1e-9, np.square(a.astype(float) - b).mean())))


class Always:
    """A generator whose draws take the branch with noise on every plane."""

    def __init__(self):
        self.rng = np.random.default_rng(1)

    def random(self) -> float:
        return 0.0

    def standard_normal(self, shape, kind):
        return self.rng.standard_normal(shape, kind)


@pytest.mark.parametrize("name", ["blur", "overexposure", "underexposure"])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_blur_and_exposure_are_the_books(name, level):
    planes = picture()
    wanted = through(["-vf", step_text(name, level)], [planes])[0]
    made = degraded(planes, name, level + 1.0, np.random.default_rng(0))
    for got, want, source in zip(made, wanted, planes, strict=True):
        gap = np.abs(got.astype(int) - want)
        assert gap.mean() < 0.7 and psnr(got, want) > 45 and psnr(got, want) > psnr(want, source) + 3, (gap.mean(), psnr(got, want))
        if name != "blur":
            assert gap.max() <= 1


@pytest.mark.parametrize("level", [0, 1, 2])
def test_noise_is_as_strong_as_the_books(level):
    planes = [np.full(SHAPE, 126, np.uint8), *(np.full((SHAPE[0] // 2, SHAPE[1] // 2), 128, np.uint8) for _ in range(2))]
    wanted = through(["-vf", step_text("noise", level)], [planes])[0]
    made = degraded(planes, "noise", level + 1.0, Always())
    for got, want, source in zip(made, wanted, planes, strict=True):
        assert abs(psnr(got, source) - psnr(want, source)) < 0.8
        assert abs(float(got.mean()) - float(want.mean())) < 2


@pytest.mark.parametrize("codec", ["x264", "x265"])
def test_a_coded_still_is_as_bad_as_a_frame_of_the_books_clip(codec):
    name, (height, width) = LOCAL_CODECS[codec], (288, 384)
    wide = picture()
    pan = [[plane[n : n + height // k, n * 2 // k * k : n * 2 // k * k + width // k] for plane, k in zip(wide, (1, 2, 2), strict=True)]
           for n in range(0, 50, 2)]  # fmt: skip
    recipe, arguments = read_book()["recipes"][name], []
    for level in range(3):
        crf = str(recipe["levels"][level]["parameters"]["crf"])
        arguments = ["-c:v", recipe["steps"][0]["encoder"], *(option.replace("{crf}", crf) for option in recipe["steps"][0]["options"])]
        assert encoder_arguments(name, level + 1.0, width, height) == arguments
        frames = through(arguments, pan, {"x264": "h264", "x265": "hevc"}[codec])
        clip = np.mean([psnr(got[0], want[0]) for got, want in zip(frames[4:21], pan[4:21], strict=True)])
        quality = min(51, parameters(name, level + 1.0, width, height)["crf"] + INTRA[codec])
        still = psnr(coded(pan[12], codec, quality, np.random.default_rng(0), BOOK_PRESETS)[0], pan[12][0])
        assert abs(still - clip) < 2.5, (level, still, clip)


@pytest.mark.parametrize("name", FILTERS)
def test_filters_of_the_severities_are_the_books_text(name):
    for level in range(3):
        text, wanted = filter_text(name, level + 1.0, *SHAPE[::-1], 7), step_text(name, level)
        numbers = [[float(number) for number in re.findall(r"\d+\.?\d*", one)] for one in (text, wanted)]
        assert re.sub(r"\d+\.?\d*", "", text) == re.sub(r"\d+\.?\d*", "", wanted)
        assert numbers[0] == pytest.approx(numbers[1], abs=5e-4)


def test_strengths_between_severities_lie_between_them_and_nothing_is_done_at_none():
    for name in [*FILTERS, *LOCAL_CODECS.values()]:
        ladder = [parameters(name, strength, 960, 540) for strength in (0.3, 1, 1.5, 2, 2.5, 3, 3.6)]
        for key in ladder[0]:
            values = [rung[key] for rung in ladder]
            assert len(set(values)) == len(values) and values in (sorted(values), sorted(values, reverse=True)), (name, key, values)
    assert parameters("overexposure", 0, 960, 540) == {"gain": 1, "lift": 0}
    assert parameters("blur", 1, 1920, 1080)["sigma"] == 2 * parameters("blur", 1, 960, 540)["sigma"]
    assert parameters("noise", 9, 960, 540)["amount"] == 100


def test_a_local_codec_is_drawn_as_the_book_has_it():
    rng = np.random.default_rng(0)
    for kind, name in LOCAL_CODECS.items():
        drawn = [draw_recipe({kind: 1.0}, {kind: 1.0}, 960, 540, rng) for _ in range(20)]
        assert all(recipe.local and recipe.codec[:2] == ["-c:v", f"lib{kind}"] for recipe in drawn)
        levels = [level["parameters"]["crf"] for level in read_book()["recipes"][name]["levels"]]
        assert min(levels) - 3 <= min(recipe.strength for recipe in drawn) and max(recipe.strength for recipe in drawn) <= max(levels) + 4
