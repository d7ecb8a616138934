"""What is computed in bfloat16."""

import torch

# Elsewhere bfloat16 is put together from float32: with AVX2 a step of the joint stage takes about six times as long.
FAST = any(torch.cpu.get_capabilities().get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def halved(enabled: bool = True) -> torch.autocast:
    """Products in bfloat16 where it is `enabled` and the processor multiplies in it, otherwise in float32."""
    return torch.autocast("cpu", torch.bfloat16, enabled=enabled and FAST)
