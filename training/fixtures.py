"""Writes the parity fixtures: tiny random checkpoints and what the reference computes with them, stage by stage.

`python training/fixtures.py [directory]` (default `test/fixtures/parity`) writes the same bytes each time. The tensors
are described in the README.md beside them.
"""

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn

from omnivqa.checkpoint import WEIGHTS, load_checkpoint, save_checkpoint, tensors_of
from omnivqa.config import ModelConfig
from omnivqa.network import SILENT, YCBCR, OmniVQA, dct_filters
from omnivqa.preprocess import fragments, key_frames, squash
from omnivqa.sequence import (
    Clip,
    Prompt,
    chat_prompt,
    clip_tokens,
    encode,
    generate,
    level_ids,
    load_tokenizer,
    next_turn,
    rate,
    rating_prompt,
)
from omnivqa.tokenizer import CHOICE, LEVELS, RATING, train_tokenizer

# A greedy choice closer than this could fall differently on another machine.
CLEAR = 0.02
ANSWER = 12

TWO_SLOTS = {
    "user": "The key frames of this video are:\n<image>. And the motion feature of the video is\n<image>. "
    "How would you rate the quality of this video?",
    "assistant": "The quality of the video is",
}
ONE_SLOT = {"user": "How would you rate the quality of this video?\n<image>", "assistant": "The quality of the video is"}
CHAT = {"user": "You will receive {K} frames and {T} frames of motion.\nFrames:<image>\nMotion:<image>\n.{question}"}
CHAT_ONE_SLOT = {"user": "<image>\n{question}"}


@dataclass(frozen=True)
class Case:
    """A checkpoint and its clip: `frames` frames at `fps`. `published` adds tensors that must be ignored."""

    name: str
    about: str
    seed: int
    dtype: torch.dtype
    vocabulary: int
    frames: int
    fps: float
    config: dict[str, Any]
    question: str = "Is there any blur in this video?"
    next_question: str = "Where is it?"
    long_question: str | None = None
    published: bool = False
    shard_bytes: int = 2**30


CASES = [
    Case(
        name="separate-patch",
        about="layout separate, patch embeddings, one vision layer unused, GQA 3:1, bf16, with the tensors of a "
        "published checkpoint that the network does not use",
        seed=101,
        dtype=torch.bfloat16,
        vocabulary=300,
        frames=30,
        fps=9.97,
        published=True,
        config={
            "hidden_size": 48,
            "intermediate_size": 80,
            "num_hidden_layers": 2,
            "num_attention_heads": 3,
            "num_key_value_heads": 1,
            "vocab_size": 304,
            "mm_vision_select_layer": -2,
            "vision_config": {
                "hidden_size": 24,
                "intermediate_size": 40,
                "num_hidden_layers": 3,
                "num_attention_heads": 2,
                "image_size": 60,
                "patch_size": 14,
            },
            "motion_config": {
                "image_size": 24,
                "stem_width": 4,
                "depths": [1, 1, 1, 1],
                "widths": [8, 12, 16, 24],
                "inner_widths": [4, 4, 6, 8],
                "max_positions": 64,
            },
            "omnivqa": {"token_layout": "separate", "rating": TWO_SLOTS, "chat": CHAT},
        },
    ),
    Case(
        name="doubled-patch",
        about="layout doubled, odd patch grid pooled 5 to 3, post_layernorm, tied head, explicit head_dim, MHA, two "
        "motion stages with a temporal kernel of 5, fp16, two stop tokens",
        seed=262,
        dtype=torch.float16,
        vocabulary=310,
        frames=34,
        fps=12.4,
        config={
            "hidden_size": 40,
            "intermediate_size": 56,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "vocab_size": 310,
            "tie_word_embeddings": True,
            "rope_theta": 10000.0,
            "rms_norm_eps": 1e-5,
            "mm_vision_select_layer": -1,
            "vision_config": {
                "hidden_size": 24,
                "intermediate_size": 40,
                "num_hidden_layers": 2,
                "num_attention_heads": 3,
                "image_size": 40,
                "patch_size": 8,
                "use_post_layernorm": True,
                "layer_norm_eps": 1e-5,
            },
            "motion_config": {
                "image_size": 24,
                "stem_width": 6,
                "stem_kernel": [3, 5, 5],
                "depths": [1, 2],
                "widths": [12, 20],
                "inner_widths": [4, 8],
                "spatial_strides": [1, 2],
                "temporal_kernel": 5,
                "max_positions": 48,
                "frame_multiple": 4,
            },
            "omnivqa": {
                "token_layout": "doubled",
                "levels": ["high", "good", "fair", "poor", "low"],
                "level_weights": [1, 0.8, 0.6, 0.4, 0.2],
                "rating": TWO_SLOTS,
                "chat": CHAT,
            },
        },
    ),
    Case(
        name="separate-statistics",
        about="as Nano: cell statistics of two views with cells of 16 px, position table behind the "
        "projector, log differences in the motion branch, tied head, GQA 2:1, fp16",
        seed=43,
        dtype=torch.float16,
        vocabulary=300,
        frames=27,
        fps=24.0,
        config={
            "hidden_size": 48,
            "intermediate_size": 80,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "vocab_size": 300,
            "tie_word_embeddings": True,
            "rope_theta": 10000.0,
            "mm_vision_select_layer": -1,
            "mm_projector_position": True,
            "vision_config": {
                "hidden_size": 24,
                "intermediate_size": 40,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "image_size": 48,
                "patch_size": 16,
                "use_post_layernorm": True,
                "embeddings": "cell_statistics",
                "views": [{"kind": "squash"}, {"kind": "fragments", "cell": 16, "area": 57600}],
            },
            "motion_config": {
                "image_size": 24,
                "input": "rgb_logdiff",
                "stem_width": 4,
                "stem_kernel": [5, 5, 5],
                "depths": [1, 2, 1],
                "widths": [8, 12, 16],
                "inner_widths": [4, 4, 8],
                "spatial_strides": [1, 2, 2],
                "max_positions": 64,
            },
            "omnivqa": {"token_layout": "separate", "rating": TWO_SLOTS, "chat": CHAT},
        },
    ),
    Case(
        name="joined-patch",
        about="layout joined, one slot, no pooling, log differences beside patch embeddings, GQA 4:1, bf16 in shards, "
        "and a prompt longer than tokenizer_model_max_length",
        seed=34,
        dtype=torch.bfloat16,
        vocabulary=300,
        frames=22,
        fps=7.4,
        long_question="What distortions occur between second 1 and second 3? " * 4,
        shard_bytes=100_000,
        config={
            "hidden_size": 64,
            "intermediate_size": 72,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "vocab_size": 300,
            "tokenizer_model_max_length": 230,
            "mm_vision_select_layer": -2,
            "mm_spatial_pool_stride": 1,
            "vision_config": {
                "hidden_size": 36,
                "intermediate_size": 48,
                "num_hidden_layers": 2,
                "num_attention_heads": 3,
                "image_size": 32,
                "patch_size": 8,
            },
            "motion_config": {
                "image_size": 20,
                "input": "rgb_logdiff",
                "stem_width": 4,
                "stem_kernel": [5, 7, 7],
                "depths": [2, 1],
                "widths": [4, 12],
                "inner_widths": [4, 4],
                "spatial_strides": [1, 2],
                "max_positions": 32,
                "frame_multiple": 1,
            },
            "omnivqa": {"token_layout": "joined", "rating": ONE_SLOT, "chat": CHAT_ONE_SLOT},
        },
    ),
    Case(
        name="frames-statistics",
        about="no motion branch, no chat, cell statistics of one view with cells of 32 px, "
        "untied head, fp32",
        seed=15,
        dtype=torch.float32,
        vocabulary=300,
        frames=7,
        fps=2.0,
        config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "vocab_size": 300,
            "mm_vision_select_layer": -1,
            "mm_spatial_pool_stride": 1,
            "vision_config": {
                "hidden_size": 16,
                "intermediate_size": 24,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "image_size": 64,
                "patch_size": 32,
                "embeddings": "cell_statistics",
                "views": [{"kind": "squash"}],
            },
            "omnivqa": {"token_layout": "separate", "rating": ONE_SLOT, "chat": None},
        },
    ),
]


def smooth_frames(rng: np.random.Generator, frames: int, size: int) -> np.ndarray:
    """u8 [frames,size,size,3]: slowly moving waves with some grain, a patch burnt out and a patch in the dark."""
    y, x = np.mgrid[0:size, 0:size] / size
    t = np.arange(frames)[:, None, None, None] / max(1, frames)
    out = np.full((frames, size, size, 3), 120.0)
    for channel in range(3):
        for _ in range(4):
            fx, fy, speed = rng.uniform(-3, 3, 3)
            phase, height = rng.uniform(0, 1), rng.uniform(10, 45)
            wave = np.cos(2 * np.pi * (fx * x + fy * y + phase + speed * t[..., 0]))
            out[..., channel] += height * wave
    out += rng.normal(0, 2.5, out.shape)
    third = size // 3
    out[:, :third, -third:] += 130
    out[:, -third:, :third] -= 130
    # A held frame, as in a stutter.
    if frames > 8:
        out[6] = out[5]
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)


def clear_of_thresholds(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Changes the grain of the 8x8 blocks in which a DCT coefficient or a luma value lies so close to a threshold of
    the cell statistics that rounding alone would decide, until there is none."""
    pixels = pixels.copy()
    weight = torch.tensor(YCBCR[0], dtype=torch.float64)
    filters = dct_filters().double()
    while True:
        flat = torch.from_numpy(pixels).double().flatten(0, -4)
        y = (flat @ weight)[:, None]
        close = (F.conv2d(y, filters, stride=8).abs() - SILENT).abs().amin(1) < 2e-4
        for threshold in (6, 250):
            close |= -F.max_pool2d(-(y[:, 0] - threshold).abs(), 8) < 1e-3
        if not close.any():
            return pixels
        mask = close.numpy().repeat(8, 1).repeat(8, 2).reshape(pixels.shape[:-1])
        moved = pixels.astype(np.int16) + rng.integers(-1, 2, pixels.shape, dtype=np.int16)
        pixels[mask] = np.clip(moved, 0, 255).astype(np.uint8)[mask]


@torch.no_grad()
def randomise(network: OmniVQA, rng: np.random.Generator) -> None:
    """Weights that keep every stage at a healthy scale and spread the logits; norms are not the identity."""
    norms = {
        f"{prefix}.{name}"
        for prefix, module in network.named_modules()
        if isinstance(module, nn.LayerNorm | nn.BatchNorm1d | nn.BatchNorm3d) or type(module).__name__ == "Qwen2RMSNorm"
        for name in ("weight", "bias")
    }
    for name, tensor in sorted(tensors_of(network).items()):
        values = rng.standard_normal(tuple(tensor.shape), dtype=np.float32)
        if name.endswith("embeddings.dct.weight"):
            continue
        if name.endswith("running_var"):
            values = 0.5 + np.abs(values)
        elif name.endswith("running_mean"):
            values *= 0.3
        elif name in norms:
            values = 0.2 * values + (1 if name.endswith("weight") else 0)
        elif name.endswith("bias"):
            values *= 0.2
        elif name in ("model.embed_tokens.weight", "lm_head.weight"):
            values *= 2 / math.sqrt(network.config.hidden_size)
        elif "position" in name or name == "model.image_newline":
            values *= 0.4
        else:
            # Layers that outweigh the residual stream: with a tied head an answer would repeat its last token.
            strong = name.endswith(("self_attn.o_proj.weight", "mlp.down_proj.weight"))
            values *= math.sqrt((6 if strong else 2 if tensor.dim() == 5 else 1) / tensor[0].numel())
        tensor.copy_(torch.from_numpy(values))


def small_tokenizer(vocabulary: int) -> Tokenizer:
    """Level words as single tokens, hardly any other merges: prompts get long."""
    levels = [f"The video is {level}" for level in LEVELS] * 100
    return train_tokenizer([*levels, RATING, CHOICE, "You are a helpful assistant."] * 2, vocabulary)


def unused_tensors(network: OmniVQA, rng: np.random.Generator) -> dict[str, torch.Tensor]:
    """What a published checkpoint also holds: slow pathway, fusion, a vision layer that is not selected, the vision
    head and final norm, batch counters."""
    tower = "model.vision_tower.vision_tower.vision_model."
    blocks = "model.slowfast.feature_extraction."
    last = network.config.vision_layers - 1
    state = network.state_dict()
    copied = {
        name.replace(f"layers.{last}.", f"layers.{last + 1}."): tensor
        for name, tensor in state.items()
        if name.startswith(f"{tower}encoder.layers.{last}.")
    }
    width = network.config.vision.hidden_size
    shapes = {
        f"{blocks}0.multipathway_blocks.0.conv.weight": (16, 3, 1, 7, 7),
        f"{blocks}0.multipathway_blocks.0.norm.running_var": (16,),
        f"{blocks}0.multipathway_fusion.conv_fast_to_slow.weight": (8, 4, 7, 1, 1),
        f"{blocks}1.multipathway_blocks.0.res_blocks.0.branch2.conv_a.weight": (4, 16, 1, 1, 1),
        f"{tower}post_layernorm.weight": (width,),
        f"{tower}post_layernorm.bias": (width,),
        f"{tower}head.probe": (1, 1, width),
    }
    drawn = {name: torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)) for name, shape in shapes.items()}
    counters = {name: torch.tensor(1000) for name in state if name.endswith("num_batches_tracked")}
    return {name: t.bfloat16() for name, t in (copied | drawn).items()} | counters


@torch.inference_mode()
def write_case(case: Case, root: Path) -> None:
    directory = root / case.name
    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(case.seed)
    tokenizer = small_tokenizer(case.vocabulary)
    tokenizer.save(str(directory / "tokenizer.json"))
    stop = [tokenizer.token_to_id("<|im_end|>")]
    if case.name == "doubled-patch":
        stop.append(tokenizer.token_to_id("<|endoftext|>"))
    config = ModelConfig.from_json(
        {
            "architectures": ["LlavaQwenForCausalLM"],
            "mm_vision_tower": f"fixture-{case.name}",
            "bos_token_id": tokenizer.token_to_id("<|endoftext|>"),
            "eos_token_id": stop,
            **case.config,
            "omnivqa": {"family": f"fixture-{case.name}", **case.config["omnivqa"]},
        }
    )
    network = OmniVQA(config)
    randomise(network, rng)
    save_checkpoint(network, directory, case.dtype, shard_bytes=case.shard_bytes)
    if case.published:
        held = load_file(directory / WEIGHTS)
        save_file(held | unused_tensors(network, rng), directory / WEIGHTS, {"format": "pt"})
    # The expected tensors come from the weights as stored, rounding included.
    network, tokenizer = load_checkpoint(directory), load_tokenizer(directory)

    keys = len(key_frames(case.frames, case.fps))
    size, views = config.vision.image_size, len(config.vision.views)
    key = np.stack([smooth_frames(rng, keys, size) for _ in range(views)], 1)
    if config.vision.embeddings == "cell_statistics":
        key = clear_of_thresholds(key, rng)
    expected: dict[str, np.ndarray] = {"pixels.key": key}
    motion = None
    if config.motion is not None:
        motion = torch.from_numpy(smooth_frames(rng, case.frames, config.motion.image_size))
        expected["pixels.motion"] = motion.numpy()
    clip = clip_tokens(network, torch.from_numpy(key), motion)
    tower, pixels = network.tower, torch.from_numpy(key)
    if config.vision.embeddings == "cell_statistics":
        expected["vision.statistics"] = tower.embeddings.statistics(pixels).numpy()
    expected |= {
        "vision.embeddings": tower.embeddings(pixels).numpy(),
        "vision.patches": tower(pixels).numpy(),
        "vision.tokens": clip.vision.numpy(),
    }
    if motion is not None:
        expected["motion.features"] = network.model.slowfast(motion[None, : len(clip.motion)])[0].numpy()
        expected["motion.tokens"] = clip.motion.numpy()

    rating, score = rating_prompt(network, tokenizer, clip), rate(network, tokenizer, clip)
    expected |= {
        "rating.ids": rating.ids.int().numpy(),
        "rating.embeddings": rating.embeddings.numpy(),
        "rating.logits": score.logits.numpy(),
        "rating.levels": score.levels.numpy(),
        "rating.score": np.array([score.score], np.float32),
    }
    facts = {
        "name": case.name,
        "about": case.about,
        "fps": case.fps,
        "frames": case.frames,
        "keyFrames": keys,
        "motionFrames": len(clip.motion),
        "tokensPerFrame": config.tokens_per_frame,
        "motionRadius": None if config.motion is None else list(config.motion.radius),
        "levelIds": level_ids(config, tokenizer),
        "stopIds": stop,
        "rating": {"length": len(rating.ids), "truncated": rating.truncated},
    }
    if config.omnivqa.chat is not None:
        tensors, chat = chat_expectations(case, network, tokenizer, clip)
        expected |= tensors
        facts["chat"] = chat
    save_arrays({name: np.ascontiguousarray(a) for name, a in expected.items()}, directory / "expected.safetensors")
    (directory / "case.json").write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", "utf-8")


def chat_expectations(
    case: Case, network: OmniVQA, tokenizer: Tokenizer, clip: Clip
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """A first question answered greedily, a second one after it, and a question too long for the context."""
    prompt = chat_prompt(network, tokenizer, clip, case.question)
    answer, steps = generate(network, prompt.embeddings, ANSWER)
    top = steps.topk(2).values
    gap = float((top[:, 0] - top[:, 1]).min())
    if gap < CLEAR or len(set(answer)) < 4:
        raise ValueError(f"{case.name}: {answer} repeats itself or is only {gap:.4f} clear: take another seed")
    spoken = answer[:-1] if answer[-1] in network.config.eos_token_id else answer
    following = encode(tokenizer, next_turn(case.next_question))
    more = network.embed(torch.tensor(spoken + following))
    logits = network.logits(torch.cat([prompt.embeddings, more])[None], last=1)[0, 0]
    tensors = {
        "chat.ids": prompt.ids.int().numpy(),
        "chat.answer": np.array(answer, np.int32),
        "chat.step_logits": steps.numpy(),
        "next.ids": np.array(following, np.int32),
        "next.logits": logits.numpy(),
    }
    facts = {
        "question": case.question,
        "length": len(prompt.ids),
        "truncated": prompt.truncated,
        "maxNewTokens": ANSWER,
        "answer": tokenizer.decode(answer),
        "smallestGap": round(gap, 4),
        "nextQuestion": case.next_question,
    }
    if case.long_question is not None:
        long: Prompt = chat_prompt(network, tokenizer, clip, case.long_question)
        tensors["truncated.ids"] = long.ids.int().numpy()
        tensors["truncated.logits"] = network.logits(long.embeddings[None], last=1)[0, 0].numpy()
        facts["longQuestion"] = case.long_question
    return tensors, facts


def write_pixels(root: Path) -> None:
    """Frames and what Pillow makes of them: shrunk, grown, one side each; fragments shrunk, as they are, and grown."""
    rng = np.random.default_rng(6)
    directory = root / "pixels"
    directory.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, np.ndarray] = {}
    cases = []
    for name, width, height in (("wide", 97, 61), ("tall", 30, 84), ("small", 17, 13)):
        # Hard edges make a resampler overshoot, and must be clipped after each pass as Pillow does.
        frame = smooth_frames(rng, 1, 128)[0, :height, :width].copy()
        frame[height // 3 : height // 2, width // 4 : width // 2] = (255, 0, 255)
        frame[::5, width // 2 :: 7] = 0
        arrays[f"{name}.frame"] = frame
        for size in (24, 56):
            arrays[f"{name}.squash.{size}"] = squash(frame, size)
            key = f"{name}.squash.{size}"
            cases.append({"frame": f"{name}.frame", "expected": key, "kind": "squash", "size": size})
        for grid, cell, area in ((3, 8, 2000), (3, 16, 10**6)):
            key = f"{name}.fragments.{grid}x{cell}"
            arrays[key] = fragments(frame, grid, cell, area)
            view = {"kind": "fragments", "size": grid * cell, "cell": cell, "area": area}
            cases.append({"frame": f"{name}.frame", "expected": key, **view})
    save_arrays({name: np.ascontiguousarray(a) for name, a in arrays.items()}, directory / "expected.safetensors")
    (directory / "case.json").write_text(json.dumps(cases, indent=2) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "parity"
    parser.add_argument("directory", type=Path, nargs="?", default=default)
    root = parser.parse_args().directory
    torch.set_num_threads(1)
    for case in CASES:
        write_case(case, root)
    write_pixels(root)


if __name__ == "__main__":
    main()
