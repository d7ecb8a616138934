"""Checkpoint directories: config.json, safetensors (one file, or shards with an index), tokenizer.json."""

import json
import os
import re
import shutil
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from .config import read_config
from .network import OmniVQA

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
SIDECARS = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")
NAMES = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}


class CheckpointError(ValueError):
    """A directory that does not hold the network its config.json describes; one finding per tensor."""

    def __init__(self, findings: list[str]):
        super().__init__("\n".join(findings))
        self.findings = findings


def load_checkpoint(directory: Path, dtype: torch.dtype = torch.float32) -> OmniVQA:
    """The network in `directory`, in evaluation mode, its weights cast to `dtype`. Raises ConfigError, and
    CheckpointError which names every missing, extra or wrongly shaped tensor."""
    files = _tensor_files(directory)
    config = read_config(directory / "config.json", files)
    network = OmniVQA(config)
    frequencies = network.model.rotary_emb.inv_freq.clone()
    network.to(dtype)
    # Positions are turned into angles in float32, whatever the weights are.
    network.model.rotary_emb.inv_freq = frequencies
    expected = tensors_of(network)
    findings = [f"missing: {name} {list(tensor.shape)}" for name, tensor in expected.items() if name not in files]
    ignored = droppable(network)
    findings += [f"extra: {name}" for name in files if name not in expected and not ignored.match(name)]
    with torch.no_grad():
        for path in sorted(set(files.values())):
            with safe_open(path, "pt") as source:
                for name in source.keys():
                    if name not in expected:
                        continue
                    shape, wanted = source.get_slice(name).get_shape(), list(expected[name].shape)
                    if shape != wanted:
                        findings.append(f"shape: {name} is {shape}, expected {wanted}")
                    else:
                        expected[name].copy_(source.get_tensor(name))
    if findings:
        raise CheckpointError(findings)
    return network.eval()


def save_checkpoint(
    network: OmniVQA,
    directory: Path,
    dtype: torch.dtype = torch.float32,
    tokenizer: Path | None = None,
    shard_bytes: int = 5 * 2**30,
) -> None:
    """Writes `network` to `directory` (made if missing), its tensors as `dtype`, beside a copy of `tokenizer`
    (a tokenizer.json, or a directory with one). More than `shard_bytes` become several files and an index."""
    directory.mkdir(parents=True, exist_ok=True)
    config = network.config.to_json() | {"torch_dtype": NAMES[dtype]}
    (directory / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", "utf-8")
    if tokenizer is not None:
        sources = [tokenizer / name for name in SIDECARS] if tokenizer.is_dir() else [tokenizer]
        for source in sources:
            if source.exists() and source.parent != directory:
                shutil.copyfile(source, directory / source.name)
    shards: list[dict[str, torch.Tensor]] = [{}]
    size = total = 0
    for name, tensor in tensors_of(network).items():
        tensor = tensor.detach().to("cpu", dtype).contiguous()
        if shards[-1] and size + tensor.nbytes > shard_bytes:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += tensor.nbytes
        total += tensor.nbytes
    if len(shards) == 1:
        save_file(shards[0], directory / WEIGHTS, {"format": "pt"})
        return
    placed = {}
    for i, shard in enumerate(shards):
        file = f"model-{i + 1:05}-of-{len(shards):05}.safetensors"
        save_file(shard, directory / file, {"format": "pt"})
        placed |= dict.fromkeys(shard, file)
    index = {"metadata": {"total_size": total}, "weight_map": placed}
    (directory / INDEX).write_text(json.dumps(index, indent=2) + "\n", "utf-8")


def tensors_of(network: OmniVQA) -> dict[str, torch.Tensor]:
    """The tensors a checkpoint of `network` holds, by name. The batch counters of the norms are training state, and a
    tied head is the embedding table: neither is stored."""
    tensors = {name: t for name, t in network.state_dict().items() if not name.endswith(".num_batches_tracked")}
    if network.config.tie_word_embeddings:
        del tensors["lm_head.weight"]
    return tensors


def droppable(network: OmniVQA) -> re.Pattern[str]:
    """Names a published checkpoint may hold that change nothing: the slow pathway and its fusion, the layers of the
    vision tower above the selected one, its final norm and head, batch counters, the copy of a tied head."""
    config = network.config
    tower = r"model\.vision_tower\.vision_tower\.vision_model\."
    blocks = r"model\.slowfast\.feature_extraction\.\d+\."
    names = [r".*\.num_batches_tracked", rf"{tower}head\..*", rf"{tower}embeddings\.position_ids"]
    if not config.vision.use_post_layernorm:
        names.append(rf"{tower}post_layernorm\..*")
    unused = range(config.vision_layers, config.vision.num_hidden_layers)
    names += [rf"{tower}encoder\.layers\.{i}\..*" for i in unused]
    if config.motion is not None:
        names += [rf"{blocks}multipathway_blocks\.0\..*", rf"{blocks}multipathway_fusion\..*"]
    if config.tie_word_embeddings:
        names.append(r"lm_head\.weight")
    return re.compile(rf"(?:{'|'.join(names)})\Z")


def _tensor_files(directory: Path) -> dict[str, Path]:
    """The file that holds each tensor."""
    if not (directory / INDEX).exists():
        with safe_open(directory / WEIGHTS, "pt") as source:
            return dict.fromkeys(source.keys(), directory / WEIGHTS)
    placed = json.loads((directory / INDEX).read_text("utf-8"))["weight_map"]
    files = set(placed.values())
    escaped = [f"shard outside the directory: {file}" for file in files if os.path.basename(file) != file]
    if escaped:
        raise CheckpointError(escaped)
    held: dict[str, Path] = {}
    for file in sorted(files):
        with safe_open(directory / file, "pt") as source:
            held |= dict.fromkeys(source.keys(), directory / file)
    absent = [f"missing: {name}, which the index places in {file}" for name, file in placed.items() if name not in held]
    if absent:
        raise CheckpointError(absent)
    return held
