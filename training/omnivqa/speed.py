"""How fast the decoder of a checkpoint runs in PyTorch: `python -m omnivqa.speed <checkpoint>` prints it as JSON."""

import argparse
import json
import time
from pathlib import Path

import torch
from transformers.cache_utils import DynamicCache

from .checkpoint import load_checkpoint


def measure(directory: Path, tokens: int, new: int, dtype: torch.dtype, device: str) -> dict[str, float | str]:
    """Tokens a second of one prefill of `tokens` and of `new` further ones, one by one, after a run to warm up."""
    network = load_checkpoint(directory, dtype).to(device)
    ids = torch.arange(tokens, device=device)[None] % 1000

    def wait() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    rates = {}
    with torch.inference_mode():
        for _ in range(2):
            cache = DynamicCache()
            begun = wait()
            logits = network.logits(network.embed(ids), cache=cache, last=1)
            prefilled = wait()
            for _ in range(new):
                logits = network.logits(network.embed(logits[:, -1].argmax(-1, keepdim=True)), cache=cache, last=1)
            ended = wait()
            rates = {"prefill": tokens / (prefilled - begun), "decode": new / (ended - prefilled)}
    return {**rates, "torch": torch.__version__, "dtype": str(dtype).removeprefix("torch."), "device": device}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--new", type=int, default=32)
    gpu = torch.cuda.is_available()
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if gpu else "cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16" if gpu else "float32")
    call = parser.parse_args()
    print(json.dumps(measure(call.checkpoint, call.tokens, call.new, getattr(torch, call.dtype), call.device)))


if __name__ == "__main__":
    main()
