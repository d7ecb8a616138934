import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import CASES, FIXTURES
from omnivqa.checkpoint import load_checkpoint, tensors_of
from omnivqa.config import ModelConfig
from omnivqa.network import CHROMA_BANDS, OmniVQA
from omnivqa.sequence import motion_tokens_chunked
from scipy.fft import dctn
from test_config import PUBLISHED
from transformers import Qwen2Config, Qwen2ForCausalLM, SiglipVisionConfig, SiglipVisionModel

# The names of the released checkpoints, with i for a number and {} for a choice.
NAMES = """
model.embed_tokens.weight lm_head.weight model.norm.weight model.image_newline
model.layers.i.self_attn.{q,k,v}_proj.{weight,bias} model.layers.i.self_attn.o_proj.weight
model.layers.i.mlp.{gate,up,down}_proj.weight
model.layers.i.input_layernorm.weight model.layers.i.post_attention_layernorm.weight
model.vision_tower.vision_tower.vision_model.embeddings.patch_embedding.{weight,bias}
model.vision_tower.vision_tower.vision_model.embeddings.position_embedding.weight
model.vision_tower.vision_tower.vision_model.encoder.layers.i.{layer_norm1,layer_norm2}.{weight,bias}
model.vision_tower.vision_tower.vision_model.encoder.layers.i.self_attn.{q,k,v,out}_proj.{weight,bias}
model.vision_tower.vision_tower.vision_model.encoder.layers.i.mlp.{fc1,fc2}.{weight,bias}
model.mm_projector.i.{weight,bias} model.slowfast_projector.i.{weight,bias}
model.slowfast.position_embedding.weight
model.slowfast.feature_extraction.i.multipathway_blocks.i.conv.weight
model.slowfast.feature_extraction.i.multipathway_blocks.i.norm.{weight,bias,running_mean,running_var}
model.slowfast.feature_extraction.i.multipathway_blocks.i.res_blocks.i.branch1_conv.weight
model.slowfast.feature_extraction.i.multipathway_blocks.i.res_blocks.i.branch1_norm.{weight,bias,running_mean,running_var}
model.slowfast.feature_extraction.i.multipathway_blocks.i.res_blocks.i.branch2.{conv_a,conv_b,conv_c}.weight
model.slowfast.feature_extraction.i.multipathway_blocks.i.res_blocks.i.branch2.{norm_a,norm_b,norm_c}.{weight,bias,running_mean,running_var}
"""


def expand(pattern: str) -> list[str]:
    choice = re.search(r"\{([^}]*)\}", pattern)
    if choice is None:
        return [pattern]
    head, tail = pattern[: choice.start()], pattern[choice.end() :]
    return [name for part in choice[1].split(",") for name in expand(head + part + tail)]


def test_full_shape_has_the_published_names_and_sizes():
    with torch.device("meta"):
        network = OmniVQA(ModelConfig.from_json(PUBLISHED, ["model.slowfast.x"]))
    tensors = tensors_of(network)
    names = {re.sub(r"(?<=\.)\d+(?=\.)", "i", name) for name in tensors}
    assert names == {name for pattern in NAMES.split() for name in expand(pattern)}
    pathway = network.model.slowfast.feature_extraction
    assert sum(p.numel() for p in pathway.parameters()) == 514_152
    # 8.08 B as published, with the slow pathway, its fusion and the unused vision layer.
    assert 8.04e9 < sum(p.numel() for p in network.parameters()) < 8.08e9
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    tower = "model.vision_tower.vision_tower.vision_model."
    blocks = "model.slowfast.feature_extraction."
    assert shapes[f"{tower}embeddings.position_embedding.weight"] == (729, 1152)
    assert f"{tower}encoder.layers.25.mlp.fc1.weight" in shapes
    assert f"{tower}encoder.layers.26.mlp.fc1.weight" not in shapes
    assert shapes[f"{blocks}0.multipathway_blocks.1.conv.weight"] == (8, 3, 5, 7, 7)
    assert shapes[f"{blocks}1.multipathway_blocks.1.res_blocks.0.branch1_conv.weight"] == (32, 8, 1, 1, 1)
    assert shapes[f"{blocks}4.multipathway_blocks.1.res_blocks.2.branch2.conv_a.weight"] == (64, 256, 3, 1, 1)
    assert f"{blocks}4.multipathway_blocks.1.res_blocks.1.branch1_conv.weight" not in shapes


@pytest.mark.parametrize("name", [name for name in CASES if name != "frames-statistics"])
@pytest.mark.parametrize("chunk", [1, 5, 16])
def test_motion_in_chunks_is_motion_as_a_whole(name, chunk):
    network = load_checkpoint(FIXTURES / name)
    size = network.config.motion.image_size
    frames = torch.from_numpy(np.random.default_rng(7).integers(0, 256, (31, size, size, 3), np.uint8))
    with torch.inference_mode():
        whole = network.motion_tokens(frames)
        torch.testing.assert_close(motion_tokens_chunked(network, frames, chunk), whole, atol=2e-5, rtol=1e-5)
        # One frame less of overlap is not enough: the radius is no larger than it must be.
        left, right = network.config.motion.radius
        short = network.motion_tokens(frames[12 - left + 1 :], 12 - left + 1)[left - 1]
        assert (short - whole[12]).abs().max() > 1e-4
        short = network.motion_tokens(frames[: 12 + right])[12]
        assert (short - whole[12]).abs().max() > 1e-4


def test_batches_equal_single_items():
    network = load_checkpoint(FIXTURES / "separate-statistics")
    rng = np.random.default_rng(8)
    key = torch.from_numpy(rng.integers(0, 256, (2, 3, 2, 48, 48, 3), np.uint8))
    motion = torch.from_numpy(rng.integers(0, 256, (2, 8, 24, 24, 3), np.uint8))
    with torch.inference_mode():
        together = network.vision_tokens(key), network.motion_tokens(motion)
        for i in range(2):
            torch.testing.assert_close(together[0][i], network.vision_tokens(key[i]), atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(together[1][i], network.motion_tokens(motion[i]), atol=1e-5, rtol=1e-5)


def test_padding_in_a_batch_changes_nothing():
    network = load_checkpoint(FIXTURES / "separate-patch")
    long, short = network.embed(torch.arange(9)), network.embed(torch.arange(50, 55))
    batch = torch.stack([long, torch.cat([short, torch.zeros(4, long.shape[1])])])
    mask = torch.tensor([[1] * 9, [1] * 5 + [0] * 4])
    with torch.inference_mode():
        logits = network.logits(batch, attention_mask=mask)
        torch.testing.assert_close(logits[1, 4], network.logits(short[None], last=1)[0, 0], atol=1e-5, rtol=1e-5)


def test_vision_tower_is_siglip_cut_at_the_selected_layer():
    network = load_checkpoint(FIXTURES / "separate-patch")
    config = network.config.vision
    siglip = SiglipVisionModel(
        SiglipVisionConfig(
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            image_size=config.image_size,
            patch_size=config.patch_size,
            vision_use_head=False,
        )
    ).eval()
    missing, extra = siglip.load_state_dict(network.tower.state_dict(), strict=False)
    assert extra == []
    assert all(name.startswith(("encoder.layers.2.", "post_layernorm.")) for name in missing)
    pixels = torch.from_numpy(np.random.default_rng(9).integers(0, 256, (2, 1, 60, 60, 3), np.uint8))
    with torch.inference_mode():
        inputs = (pixels[:, 0].permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
        states = siglip(inputs, output_hidden_states=True).hidden_states
        torch.testing.assert_close(network.tower(pixels), states[-2], atol=1e-5, rtol=1e-5)
        projected = network.model.mm_projector(states[-2])
        # Grid 4 to 2 by bilinear sampling between the centres: the mean of each 2x2.
        pooled = projected.unflatten(1, (2, 2, 2, 2)).mean((2, 4)).flatten(1, 2)
        torch.testing.assert_close(network.vision_tokens(pixels), pooled, atol=1e-5, rtol=1e-5)


def test_language_model_is_qwen2():
    network = load_checkpoint(FIXTURES / "doubled-patch")
    config = network.config
    qwen = Qwen2ForCausalLM(
        Qwen2Config(
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            num_key_value_heads=config.num_key_value_heads,
            head_dim=config.head_dim,
            vocab_size=config.vocab_size,
            rms_norm_eps=config.rms_norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=None,
        )
    ).eval()
    wanted = qwen.state_dict()
    qwen.load_state_dict({name: tensor for name, tensor in network.state_dict().items() if name in wanted})
    ids = torch.randint(0, config.vocab_size, (1, 40), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(network.logits(network.embed(ids)), qwen(ids).logits, atol=1e-5, rtol=1e-5)


def test_cell_statistics_are_what_they_say():
    """One cell at a time with numpy and scipy, against the convolutions."""
    network = load_checkpoint(FIXTURES / "frames-statistics")
    pixels = np.random.default_rng(10).integers(0, 256, (1, 1, 64, 64, 3)).astype(np.uint8)
    pixels[0, 0, :32, 32:] = 255
    pixels[0, 0, 32:, :32] = np.arange(32)[:, None, None] // 4
    band = np.add.outer(np.arange(8), np.arange(8)).ravel()
    with torch.inference_mode():
        found = network.tower.embeddings.statistics(torch.from_numpy(pixels))[0].numpy()
    for cell in range(4):
        top, left = cell // 2 * 32, cell % 2 * 32
        rgb = pixels[0, 0, top : top + 32, left : left + 32].astype(np.float64)
        y = rgb @ [0.299, 0.587, 0.114]
        chroma = (rgb @ [-0.169, -0.331, 0.5], rgb @ [0.5, -0.419, -0.081])

        def coefficients(plane: np.ndarray) -> np.ndarray:
            blocks = plane.reshape(4, 8, 4, 8).swapaxes(1, 2).reshape(16, 8, 8)
            return np.abs(dctn(blocks, axes=(1, 2), norm="ortho")).reshape(16, 64)

        def bands(values: np.ndarray) -> np.ndarray:
            return np.stack([values[:, band == b].mean(1) for b in range(15)], 1)

        d = coefficients(y)
        expected = [
            np.log(d.mean(0) + 0.2),
            np.log(bands(d).max(0) + 0.2),
            np.log(bands(d).min(0) + 0.2),
            bands(d < 0.6).mean(0),
            *(np.log(bands(coefficients(c)).mean(0)[list(CHROMA_BANDS)] + 0.2) for c in chroma),
            rgb.mean((0, 1)) / 255 * 4 - 2,
            np.log(rgb.std((0, 1)) + 0.1),
            rgb.max((0, 1)) / 64 - 2,
            rgb.min((0, 1)) / 64 - 2,
            [(y > 250).mean(), (y < 6).mean(), np.log(y.mean() + 4) - 4],
        ]
        np.testing.assert_allclose(found[cell], np.concatenate(expected), atol=2e-3)


def test_log_difference_of_the_first_frame_copies_the_second():
    network = load_checkpoint(FIXTURES / "joined-patch")
    seen = []
    stem = network.model.slowfast.feature_extraction[0].multipathway_blocks["1"]
    stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    frames = torch.from_numpy(np.random.default_rng(11).integers(0, 256, (3, 20, 20, 3), np.uint8))
    with torch.inference_mode():
        network.motion_tokens(frames)
    rgb, difference = seen[0][0, :3], seen[0][0, 3:]
    x = frames.permute(3, 0, 1, 2).float() / 127.5 - 1
    torch.testing.assert_close(rgb, x, atol=1e-6, rtol=0)
    torch.testing.assert_close(difference[:, 2], torch.log1p(128 * (x[:, 2] - x[:, 1]).abs()) - 1)
    assert torch.equal(difference[:, 0], difference[:, 1])


@pytest.mark.parametrize("name", ["separate-statistics", "doubled-patch"])
def test_every_part_can_be_trained(name):
    network = load_checkpoint(FIXTURES / name).train()
    config = network.config
    rng = np.random.default_rng(12)
    size, views = config.vision.image_size, len(config.vision.views)
    key = torch.from_numpy(rng.integers(0, 256, (2, views, size, size, 3), np.uint8))
    side = config.motion.image_size
    motion = torch.from_numpy(rng.integers(0, 256, (8, side, side, 3), np.uint8))
    norm = network.model.slowfast.feature_extraction[0].multipathway_blocks["1"].norm
    before = norm.running_mean.clone()
    vision = network.vision_tokens(key).flatten(0, 1)
    clip = torch.cat([vision, network.model.image_newline[None], network.motion_tokens(motion)])
    F.cross_entropy(network.logits(clip[None], last=1)[0], torch.tensor([3])).backward()
    still = [n for n, p in network.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert still == []
    assert not torch.equal(before, norm.running_mean)
