"""From a clip and a prompt to the language model's input, and from its output to a score or an answer.

The chat template is Qwen's ChatML; the order of the clip's tokens and the fixed prompts are the checkpoint's
(`omnivqa` in config.json). Jia et al., arXiv 2505.22543 and the released code of VQA² (arXiv 2411.03795).
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers.cache_utils import DynamicCache

from .config import ModelConfig
from .network import OmniVQA

IMAGE = "<image>"
# What stands at a position of the sequence that is no text token.
VISION, NEWLINE, MOTION = -1, -2, -3


@dataclass(frozen=True)
class Clip:
    """What the language model sees of a clip: vision tokens [K,P,H] and motion tokens [T,H] (T may be 0)."""

    vision: torch.Tensor
    motion: torch.Tensor


@dataclass(frozen=True)
class Prompt:
    """`ids` i64 [S]: a text token, or VISION, NEWLINE, MOTION; `embeddings` [S,H]; whether the end was cut off."""

    ids: torch.Tensor
    embeddings: torch.Tensor
    truncated: bool


@dataclass(frozen=True)
class Score:
    """`logits` [vocabulary] after the answer's prefix, `levels` [5] their softmax over the level words, and the
    weighted `score` 0..1."""

    logits: torch.Tensor
    levels: torch.Tensor
    score: float


def load_tokenizer(directory: Path) -> Tokenizer:
    return Tokenizer.from_file(str(directory / "tokenizer.json"))


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False).ids


@torch.inference_mode()
def clip_tokens(network: OmniVQA, key: torch.Tensor, motion: torch.Tensor | None) -> Clip:
    """Key frames u8 [K,V,S,S,3] and motion frames u8 [N,M,M,3]; frames beyond a whole multiple are left out."""
    vision = network.vision_tokens(key)
    config = network.config.motion
    used = 0 if config is None or motion is None else config.frames_used(len(motion))
    return Clip(vision, network.motion_tokens(motion[:used]) if used else vision.new_zeros(0, vision.shape[-1]))


@torch.inference_mode()
def motion_tokens_chunked(network: OmniVQA, frames: torch.Tensor, chunk: int) -> torch.Tensor:
    """The motion tokens [T,H] of `frames` [T,M,M,3], computed `chunk` frames at a time. Each chunk is run with the
    neighbours its frames depend on, whose tokens are dropped: the same tokens, in bounded memory."""
    left, right = network.config.motion.radius
    tokens = []
    for start in range(0, len(frames), chunk):
        end = min(start + chunk, len(frames))
        first = max(0, start - left)
        part = network.motion_tokens(frames[first : min(len(frames), end + right)], first)
        tokens.append(part[start - first : end - first])
    return torch.cat(tokens)


def prompt_pieces(
    config: ModelConfig, user: str, assistant: str = "", frames: int = 0, motion_frames: int = 0, question: str = ""
) -> list[str]:
    """The texts around each `<image>` of a conversation's first turn. The template is split before the question is
    filled in, so that a question cannot bring placeholders of its own."""
    system = config.omnivqa.system_prompt
    template = (
        f"<|im_start|>system\n{system}<|im_end|>\n"
        f"<|im_start|>user\n{user}<|im_end|>\n"
        f"<|im_start|>assistant\n{assistant}"
    )
    return [
        piece.replace("{K}", str(frames)).replace("{T}", str(motion_frames)).replace("{question}", question)
        for piece in template.split(IMAGE)
    ]


def next_turn(question: str) -> str:
    """What follows an answer (without its stop token) to ask the next question."""
    return f"<|im_end|>\n<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"


def build_prompt(network: OmniVQA, tokenizer: Tokenizer, pieces: list[str], clip: Clip) -> Prompt:
    """Every piece is tokenised on its own; between two of them go the tokens of a slot of the layout. The sequence is
    cut at `tokenizer_model_max_length`, as LLaVA does. Raises ValueError where there are more `<image>` than slots."""
    vision = clip.vision.flatten(0, 1)
    newline = network.model.image_newline[None]
    frames = [(VISION, vision), (NEWLINE, newline)]
    motion = [(MOTION, clip.motion)]
    slots = {
        "separate": [frames, motion],
        "doubled": [frames + motion, motion],
        "joined": [frames + motion],
    }[network.config.omnivqa.token_layout]
    if len(pieces) - 1 > len(slots):
        layout = network.config.omnivqa.token_layout
        raise ValueError(f"the prompt has {len(pieces) - 1} {IMAGE}, the layout {layout!r} fills {len(slots)}")
    ids: list[torch.Tensor] = []
    embeddings: list[torch.Tensor] = []
    for i, piece in enumerate(pieces):
        text = torch.tensor(encode(tokenizer, piece), dtype=torch.long)
        ids.append(text)
        embeddings.append(network.embed(text.to(newline.device)))
        for kind, tokens in slots[i] if i < len(pieces) - 1 else []:
            ids.append(torch.full((len(tokens),), kind))
            embeddings.append(tokens)
    limit = network.config.tokenizer_model_max_length
    whole = torch.cat(ids)
    return Prompt(whole[:limit], torch.cat(embeddings)[:limit], len(whole) > limit)


def rating_prompt(network: OmniVQA, tokenizer: Tokenizer, clip: Clip) -> Prompt:
    rating = network.config.omnivqa.rating
    pieces = prompt_pieces(network.config, rating.user, rating.assistant, len(clip.vision), len(clip.motion))
    return build_prompt(network, tokenizer, pieces, clip)


def chat_prompt(network: OmniVQA, tokenizer: Tokenizer, clip: Clip, question: str) -> Prompt:
    user = network.config.omnivqa.chat
    pieces = prompt_pieces(network.config, user, "", len(clip.vision), len(clip.motion), question)
    return build_prompt(network, tokenizer, pieces, clip)


def level_ids(config: ModelConfig, tokenizer: Tokenizer) -> list[int]:
    """The token of each level word with its leading space. Raises ValueError where a word is not one token."""
    ids = [encode(tokenizer, f" {level}") for level in config.omnivqa.levels]
    split = [level for level, word in zip(config.omnivqa.levels, ids, strict=True) if len(word) != 1]
    if split:
        raise ValueError(f"not one token in this vocabulary: {', '.join(split)}")
    return [word[0] for word in ids]


@torch.inference_mode()
def rate(network: OmniVQA, tokenizer: Tokenizer, clip: Clip) -> Score:
    """One prefill; softmax over the five level words at the position after the answer's prefix, weighted."""
    prompt = rating_prompt(network, tokenizer, clip)
    logits = network.logits(prompt.embeddings[None], last=1)[0, 0].float()
    levels = logits[level_ids(network.config, tokenizer)].softmax(-1)
    return Score(logits, levels, float(levels @ levels.new_tensor(network.config.omnivqa.level_weights)))


@torch.inference_mode()
def generate(network: OmniVQA, embeddings: torch.Tensor, limit: int) -> tuple[list[int], torch.Tensor]:
    """Greedy continuation of [S,H]: at most `limit` ids, the stop token included where one came, and the logits
    [ids,vocabulary] each was chosen from."""
    cache = DynamicCache()
    ids: list[int] = []
    steps: list[torch.Tensor] = []
    while len(ids) < limit and not (ids and ids[-1] in network.config.eos_token_id):
        steps.append(network.logits(embeddings[None], cache=cache, last=1)[0, 0].float())
        ids.append(int(steps[-1].argmax()))
        embeddings = network.embed(torch.tensor(ids[-1:], device=embeddings.device))
    return ids, torch.stack(steps)
