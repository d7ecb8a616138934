"""The shape of Nano's network, from nano.toml and the tokenizer."""

from ..config import (
    Family,
    Localization,
    ModelConfig,
    MotionConfig,
    PlaceWords,
    Rating,
    SeverityWords,
    SpatialWords,
    TemporalWords,
    View,
    VisionConfig,
)
from ..tokenizer import FAULTS, NUMBERS, STEPS
from .recipes import TYPES
from .views import AREA, CELL, GRID, SIZE

# The same for every question, so that several can be asked of a clip that was read once.
CHAT = "The key frames of this video are:\n<image>. And the motion feature of the video is\n<image>. {question}"
RATING = Rating(
    user=CHAT.replace("{question}", "How would you rate the quality of this video?"), assistant="The quality of the video is"
)
UNCALIBRATED = {
    "spatial": {"temperature": 1.0, "threshold": 0.5},
    "severity": {"temperature": 1.0},
    "place": {"temperature": 1.0},
    "temporal": {"temperature": 1.0, "threshold": 0.5},
}
LOCALIZATION = Localization(
    spatial=SpatialWords(
        question="What is wrong here?",
        answer="The distortion is",
        none=" none",
        types={name: f" {word}" for name, word in zip(TYPES[1:], FAULTS, strict=True)},
    ),
    severity=SeverityWords(prefix=",", levels=tuple(f" {step}" for step in STEPS)),
    place=PlaceWords(
        prefix=",",
        whole=" whole",
        part=" column",
        columns=tuple(f" {number}" for number in NUMBERS),
        between=", row",
        rows=tuple(f" {number}" for number in NUMBERS),
    ),
    temporal=TemporalWords(question="Does it stutter?", answer="Stutter:", yes=" yes", no=" no"),
    calibration=UNCALIBRATED,
    grid=GRID,
    size=GRID // 2,
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
        omnivqa=Family(family="nano-rater", token_layout="separate", rating=RATING, chat=CHAT, localization=LOCALIZATION,
                       comparison_key_frames=4),  # fmt: skip
    )
