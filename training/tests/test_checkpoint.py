import json
import shutil

import pytest
import torch
from conftest import CASES, FIXTURES
from omnivqa.checkpoint import CheckpointError, load_checkpoint, save_checkpoint, tensors_of
from safetensors.torch import load_file, save_file

NORM = "model.norm.weight"


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shard_bytes", [2**30, 60_000])
def test_saved_network_loads_equal(tmp_path, name, dtype, shard_bytes):
    network = load_checkpoint(FIXTURES / name)
    save_checkpoint(network, tmp_path, dtype, FIXTURES / name, shard_bytes)
    assert (tmp_path / "model.safetensors.index.json").exists() == (shard_bytes < 2**30)
    assert (tmp_path / "tokenizer.json").read_bytes() == (FIXTURES / name / "tokenizer.json").read_bytes()
    loaded = load_checkpoint(tmp_path)
    assert loaded.config == network.config
    for key, tensor in tensors_of(network).items():
        assert torch.equal(tensors_of(loaded)[key], tensor.to(dtype).float()), key


def test_weights_can_stay_in_half_precision():
    network = load_checkpoint(FIXTURES / "separate-patch", torch.bfloat16)
    whole = load_checkpoint(FIXTURES / "separate-patch")
    assert {t.dtype for t in tensors_of(network).values()} == {torch.bfloat16}
    assert torch.equal(network.model.rotary_emb.inv_freq, whole.model.rotary_emb.inv_freq)
    ids = torch.arange(20)[None]
    with torch.inference_mode():
        logits = network.logits(network.embed(ids)).float()
        torch.testing.assert_close(logits, whole.logits(whole.embed(ids)), atol=0.5, rtol=0.1)


def test_every_wrong_tensor_is_named(tmp_path):
    shutil.copytree(FIXTURES / "doubled-patch", tmp_path, dirs_exist_ok=True)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    tensors["model.stranger"] = torch.zeros(2)
    del tensors["model.image_newline"]
    tensors[NORM] = torch.zeros(7)
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(tmp_path)
    assert sorted(error.value.findings) == [
        "extra: model.stranger",
        "missing: model.image_newline [40]",
        f"shape: {NORM} is [7], expected [40]",
    ]


def test_unused_tensors_are_ignored_only_where_they_are_unused(tmp_path, fixture_config):
    directory = FIXTURES / "separate-patch"
    held = load_file(directory / "model.safetensors")
    assert "model.slowfast.feature_extraction.0.multipathway_blocks.0.conv.weight" in held
    assert load_checkpoint(directory).config.vision_layers == 2
    shutil.copytree(directory, tmp_path, dirs_exist_ok=True)
    config = fixture_config("separate-patch")
    config["motion_config"] = None
    config["vision_config"]["num_hidden_layers"] = 4
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(tmp_path)
    assert "extra: model.slowfast.feature_extraction.0.multipathway_blocks.0.conv.weight" in error.value.findings


def test_index_is_held_against_its_shards(tmp_path):
    shutil.copytree(FIXTURES / "joined-patch", tmp_path, dirs_exist_ok=True)
    path = tmp_path / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"]["model.phantom"] = "model-00001-of-00003.safetensors"
    path.write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="model.phantom"):
        load_checkpoint(tmp_path)
    index["weight_map"] = {NORM: "../elsewhere.safetensors"}
    path.write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="outside the directory"):
        load_checkpoint(tmp_path)
