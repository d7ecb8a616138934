import pytest
from omnivqa.config import ConfigError, ModelConfig

PUBLISHED = {
    "architectures": ["LlavaQwenForCausalLM"],
    "model_type": "llava_qwen",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "vocab_size": 152064,
    "eos_token_id": 151645,
    "mm_vision_tower": "google/siglip-so400m-patch14-384",
    "mm_vision_select_layer": -2,
    "mm_projector_type": "mlp2x_gelu",
    "mm_hidden_size": 1152,
}


def test_published_checkpoint_is_filled_in_from_its_tower():
    config = ModelConfig.from_json(PUBLISHED, ["model.slowfast.position_embedding.weight"])
    assert (config.head_dim, config.vision_layers, config.vision.grid, config.tokens_per_frame) == (128, 26, 27, 196)
    assert config.motion.radius == (18, 18)
    assert [config.motion.frames_used(n) for n in (3, 4, 31, 2500)] == [0, 4, 28, 2000]
    assert config.eos_token_id == (151645,)


def test_motion_branch_needs_its_config_or_its_tensors():
    assert ModelConfig.from_json(PUBLISHED).motion is None
    assert ModelConfig.from_json(PUBLISHED | {"motion_config": None}, ["model.slowfast.x"]).motion is None


def test_what_is_written_reads_back_equal():
    config = ModelConfig.from_json(PUBLISHED, ["model.slowfast.x"])
    assert ModelConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architectures": ["LlamaForCausalLM"]}, "LlamaForCausalLM"),
        ({"mm_vision_tower": "openai/clip"}, "openai/clip"),
        ({"mm_projector_type": "linear"}, "linear"),
        ({"mm_spatial_pool_mode": "average"}, "average"),
        ({"mm_vision_select_layer": -40}, "mm_vision_select_layer -40"),
        ({"num_key_value_heads": 3}, "num_attention_heads"),
        ({"motion_config": {"image_size": 64, "input": "flow"}}, "flow"),
        ({"motion_config": {"image_size": 64, "depths": [1]}}, "differ in length"),
        ({"motion_config": {}}, "image_size"),
        ({"vision_config": {"hidden_size": 8}}, "vision_config"),
        ({"omnivqa": {"family": "x", "token_layout": "shuffled"}}, "shuffled"),
    ],
)
def test_a_config_that_cannot_be_built_says_why(change, message):
    with pytest.raises(ConfigError, match=message):
        ModelConfig.from_json(PUBLISHED | change)


def test_missing_sizes_are_named():
    with pytest.raises(ConfigError, match="hidden_size, vocab_size"):
        ModelConfig.from_json({k: v for k, v in PUBLISHED.items() if k not in ("hidden_size", "vocab_size")})
