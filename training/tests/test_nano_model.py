"""The shipped checkpoint: it loads, it is small, and it answers in its own words."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from omnivqa.checkpoint import load_checkpoint
from omnivqa.nano.answers import phrases
from omnivqa.preprocess import clip_pixels
from omnivqa.sequence import clip_tokens, generate, level_ids, load_tokenizer, rate, rating_prompt

NANO = Path(__file__).resolve().parents[2] / "models" / "nano"


@pytest.fixture(scope="module")
def nano():
    return load_checkpoint(NANO), load_tokenizer(NANO)


def picture(blur: float) -> np.ndarray:
    """A textured scene of shapes, 640x360."""
    rng = np.random.default_rng(4)
    image = Image.fromarray(np.full((360, 640, 3), (96, 128, 160), np.uint8))
    for _ in range(260):
        x, y = int(rng.integers(0, 640)), int(rng.integers(0, 360))
        w, h = (int(v) for v in rng.integers(6, 90, 2))
        image.paste(tuple(int(v) for v in rng.integers(10, 245, 3)), (x, y, min(640, x + w), min(360, y + h)))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(blur)))


def tokens_of(network, frames):
    key, motion = clip_pixels(frames, 8, network.config)
    return clip_tokens(network, torch.from_numpy(key), torch.from_numpy(motion))


def test_it_is_small(nano):
    network, _ = nano
    assert sum(parameter.numel() for parameter in network.parameters()) <= 6_000_000
    assert sum(file.stat().st_size for file in NANO.iterdir()) <= 12_000_000


def test_level_words_are_single_tokens(nano):
    network, tokenizer = nano
    assert len(set(level_ids(network.config, tokenizer))) == 5


def test_it_closes_its_answer_after_a_level_word(nano):
    """The word itself is chosen among the levels alone: what it would write freely was not trained to be one of them."""
    network, tokenizer = nano
    prompt = rating_prompt(network, tokenizer, tokens_of(network, [picture(0)] * 16))
    word = network.embed(torch.tensor(level_ids(network.config, tokenizer)[:1]))
    ids, _ = generate(network, torch.cat([prompt.embeddings, word.to(prompt.embeddings.dtype)]), 8)
    assert tokenizer.decode(ids, skip_special_tokens=False) == ".<|im_end|>"


def test_its_words_are_single_tokens_and_its_thresholds_calibrated(nano):
    network, tokenizer = nano
    words = phrases(network.config, tokenizer)
    chosen = [word for options in words.choices.values() for word in options]
    assert len(words.choices["kind"]) == 6 and len(words.choices["column"]) == 7 and min(chosen) > 255
    calibration = network.config.omnivqa.localization.calibration
    assert 0.5 < calibration["spatial"]["threshold"] < 1 and 0 < calibration["temporal"]["threshold"] < 1


@pytest.mark.parametrize("frames", [3, 8, 24])
def test_blur_lowers_the_score(nano, frames):
    network, tokenizer = nano
    scores = [rate(network, tokenizer, tokens_of(network, [picture(blur)] * frames)).score for blur in (0.6, 1.5, 4)]
    assert 1 >= scores[0] > scores[1] > scores[2] >= 0
