"""The shape of Nano's network, from nano.toml and the tokenizer."""

from ..config import Family, ModelConfig, MotionConfig, Rating, View, VisionConfig
from .views import AREA, CELL, SIZE

RATING = Rating(
    user="The key frames of this video are:\n<image>. And the motion feature of the video is\n<image>. "
    "How would you rate the quality of this video?",
    assistant="The quality of the video is",
)


def nano_config(settings: dict, end_of_text: int, end_of_turn: int) -> ModelConfig:
    """The whole configuration; `end_of_text` and `end_of_turn` are the tokenizer's special ids."""
    vision, motion, decoder = settings["vision"], settings["motion"], settings["decoder"]
    return ModelConfig(
        hidden_size=decoder["hidden"],
        intermediate_size=decoder["mlp"],
        num_hidden_layers=decoder["layers"],
        num_attention_heads=decoder["heads"],
        num_key_value_heads=decoder["kv_heads"],
        head_dim=decoder["hidden"] // decoder["heads"],
        vocab_size=decoder["vocabulary"],
        rope_theta=10_000.0,
        tie_word_embeddings=True,
        max_position_embeddings=4096,
        tokenizer_model_max_length=4096,
        bos_token_id=end_of_text,
        eos_token_id=(end_of_turn,),
        mm_vision_tower="omnivqa-nano",
        mm_vision_select_layer=-1,
        mm_spatial_pool_stride=2,
        mm_projector_position=True,
        vision=VisionConfig(
            hidden_size=vision["hidden"],
            intermediate_size=vision["mlp"],
            num_hidden_layers=vision["layers"],
            num_attention_heads=vision["heads"],
            image_size=SIZE,
            patch_size=CELL,
            use_post_layernorm=True,
            embeddings="cell_statistics",
            views=(View("squash"), View("fragments", CELL, AREA)),
        ),
        motion=MotionConfig(
            image_size=48,
            input="rgb_logdiff",
            stem_width=motion["stem_width"],
            stem_kernel=(5, 5, 5),
            depths=tuple(motion["depths"]),
            widths=tuple(motion["widths"]),
            inner_widths=tuple(motion["inner_widths"]),
        ),
        omnivqa=Family(family="nano-rater", token_layout="separate", rating=RATING, chat=None),
    )
