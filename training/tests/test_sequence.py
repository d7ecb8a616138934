from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import FIXTURES
from omnivqa.checkpoint import load_checkpoint
from omnivqa.sequence import (
    MOTION,
    NEWLINE,
    VISION,
    Clip,
    build_prompt,
    clip_tokens,
    encode,
    generate,
    level_ids,
    load_tokenizer,
    prompt_pieces,
    rate,
    rating_prompt,
)
from transformers.cache_utils import DynamicCache


@pytest.fixture(scope="module")
def checkpoint():
    directory = FIXTURES / "separate-patch"
    return load_checkpoint(directory), load_tokenizer(directory)


def a_clip(network, frames: int = 2, motion: int = 4) -> Clip:
    generator = torch.Generator().manual_seed(0)
    width, tokens = network.config.hidden_size, network.config.tokens_per_frame
    return Clip(
        torch.randn(frames, tokens, width, generator=generator), torch.randn(motion, width, generator=generator)
    )


@pytest.mark.parametrize(
    ("layout", "pieces", "slots"),
    [
        ("separate", 3, [[VISION] * 8 + [NEWLINE], [MOTION] * 4]),
        ("separate", 2, [[VISION] * 8 + [NEWLINE]]),
        ("doubled", 3, [[VISION] * 8 + [NEWLINE] + [MOTION] * 4, [MOTION] * 4]),
        ("joined", 2, [[VISION] * 8 + [NEWLINE] + [MOTION] * 4]),
    ],
)
def test_layouts_fill_the_slots_in_order(checkpoint, monkeypatch, layout, pieces, slots):
    network, tokenizer = checkpoint
    family = replace(network.config.omnivqa, token_layout=layout)
    monkeypatch.setattr(network, "config", replace(network.config, omnivqa=family))
    clip, texts = a_clip(network), ["The video", " is high.", "\nWhy?"][:pieces]
    prompt = build_prompt(network, tokenizer, texts, clip)
    expected = []
    for i, text in enumerate(texts):
        expected += encode(tokenizer, text) + (slots[i] if i < len(slots) else [])
    assert prompt.ids.tolist() == expected
    assert torch.equal(prompt.embeddings[prompt.ids == VISION], clip.vision.flatten(0, 1))
    assert torch.equal(prompt.embeddings[prompt.ids == NEWLINE], network.model.image_newline[None])
    motion = prompt.embeddings[prompt.ids == MOTION]
    assert torch.equal(motion, clip.motion.repeat(len(motion) // 4, 1))
    text = prompt.ids >= 0
    assert torch.equal(prompt.embeddings[text], network.embed(prompt.ids[text]))


def test_more_placeholders_than_slots_are_an_error(checkpoint):
    network, tokenizer = checkpoint
    with pytest.raises(ValueError, match="3 <image>"):
        build_prompt(network, tokenizer, ["a", "b", "c", "d"], a_clip(network))


def test_a_clip_without_motion_leaves_its_slot_empty(checkpoint):
    network, tokenizer = checkpoint
    prompt = build_prompt(network, tokenizer, ["a", "b", "c"], a_clip(network, 1, 0))
    assert prompt.ids.tolist().count(MOTION) == 0
    assert prompt.ids.tolist().count(VISION) == 4


def test_sequence_is_cut_at_the_end(checkpoint, monkeypatch):
    network, tokenizer = checkpoint
    clip = a_clip(network)
    whole = rating_prompt(network, tokenizer, clip)
    monkeypatch.setattr(network, "config", replace(network.config, tokenizer_model_max_length=50))
    cut = rating_prompt(network, tokenizer, clip)
    assert (whole.truncated, cut.truncated) == (False, True)
    assert torch.equal(cut.ids, whole.ids[:50])
    assert torch.equal(cut.embeddings, whole.embeddings[:50])


def test_chatml_and_fields(checkpoint):
    config = checkpoint[0].config
    user = "{K} frames <image>and {T}<image>.{question}"
    assert prompt_pieces(config, user, "So", 3, 28, "Is {K} in <image>?") == [
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n3 frames ",
        "and 28",
        ".Is {K} in <image>?<|im_end|>\n<|im_start|>assistant\nSo",
    ]


def test_level_words_must_be_single_tokens(checkpoint):
    network, tokenizer = checkpoint
    family = replace(network.config.omnivqa, levels=("high", "excellent", "fair", "poor", "low"))
    with pytest.raises(ValueError, match="excellent"):
        level_ids(replace(network.config, omnivqa=family), tokenizer)


def test_score_is_the_weighted_softmax_of_the_levels(checkpoint):
    network, tokenizer = checkpoint
    score = rate(network, tokenizer, a_clip(network))
    ids = level_ids(network.config, tokenizer)
    odds = np.exp(score.logits[ids].double().numpy())
    np.testing.assert_allclose(score.levels.numpy(), odds / odds.sum(), rtol=1e-5)
    assert abs(score.score - odds @ [1, 0.75, 0.5, 0.25, 0] / odds.sum()) < 1e-6


def test_every_part_of_the_clip_moves_the_score(checkpoint):
    network, tokenizer = checkpoint
    clip = a_clip(network)
    score = rate(network, tokenizer, clip).logits
    for other in (Clip(clip.vision.flip(0), clip.motion), Clip(clip.vision, clip.motion.flip(0))):
        assert (rate(network, tokenizer, other).logits - score).abs().max() > 1e-3


def test_decoding_with_a_cache_equals_the_full_forward(checkpoint):
    network, tokenizer = checkpoint
    embeddings = rating_prompt(network, tokenizer, a_clip(network)).embeddings
    ids, steps = generate(network, embeddings, 10)
    with torch.inference_mode():
        full = torch.cat([embeddings, network.embed(torch.tensor(ids[:-1], dtype=torch.long))])
        logits = network.logits(full[None], last=len(ids))[0]
        torch.testing.assert_close(steps, logits, atol=2e-5, rtol=1e-5)
        # A prefill in chunks, as a runtime with a limited attention kernel does it.
        cache = DynamicCache()
        for part in embeddings.split(31):
            chunked = network.logits(part[None], cache=cache, last=1)[0, 0]
        torch.testing.assert_close(chunked, steps[0], atol=2e-5, rtol=1e-5)


def test_generation_ends_with_the_stop_token(checkpoint, monkeypatch):
    network, tokenizer = checkpoint
    embeddings = rating_prompt(network, tokenizer, a_clip(network)).embeddings
    ids, _ = generate(network, embeddings, 6)
    monkeypatch.setattr(network, "config", replace(network.config, eos_token_id=(ids[2],)))
    stopped, steps = generate(network, embeddings, 6)
    end = ids.index(ids[2]) + 1
    assert stopped == ids[:end]
    assert len(steps) == end


def test_frames_beyond_a_whole_multiple_are_left_out(checkpoint):
    network, _ = checkpoint
    key = torch.zeros(1, 1, 60, 60, 3, dtype=torch.uint8)
    motion = torch.zeros(11, 24, 24, 3, dtype=torch.uint8)
    assert clip_tokens(network, key, motion).motion.shape == (8, 48)
    assert clip_tokens(network, key, motion[:3]).motion.shape == (0, 48)
    assert clip_tokens(network, key, None).motion.shape == (0, 48)
