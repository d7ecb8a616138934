"""The `config.json` of a checkpoint: every shape of the network comes from here.

The file is LLaVA's (`LlavaQwenForCausalLM`), with explicit `vision_config`, `motion_config` and `omnivqa` objects. The
published checkpoints lack the three; what they rely on is filled in from the tables at the end of this file.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from math import ceil
from pathlib import Path
from typing import Any, Self


class ConfigError(ValueError):
    """A `config.json` that does not describe a network this code can build."""


@dataclass(frozen=True)
class View:
    """One square picture made of a key frame: `squash` (aspect not kept) or `fragments` (native-resolution patches,
    `cell` px each, of the frame shrunk to at most `area` px)."""

    kind: str
    cell: int | None = None
    area: int | None = None


@dataclass(frozen=True)
class VisionConfig:
    """A SigLIP vision tower; `embeddings` is `patch` (SigLIP's own) or `cell_statistics` (Nano's front)."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    image_size: int
    patch_size: int
    num_channels: int = 3
    layer_norm_eps: float = 1e-6
    hidden_act: str = "gelu_pytorch_tanh"
    model_type: str = "siglip_vision_model"
    use_post_layernorm: bool = False
    embeddings: str = "patch"
    views: tuple[View, ...] = (View("squash"),)

    @property
    def grid(self) -> int:
        """Patches (or cells) along a side."""
        return self.image_size // self.patch_size


@dataclass(frozen=True)
class MotionConfig:
    """The fast pathway of a SlowFast network (Feichtenhofer et al., ICCV 2019) without temporal stride; the defaults
    are SlowFast-R50 8x8 (beta = 1/8). `input` is `rgb` or `rgb_logdiff`."""

    image_size: int
    num_channels: int = 3
    input: str = "rgb"
    stem_width: int = 8
    stem_kernel: tuple[int, int, int] = (5, 7, 7)
    stem_stride: tuple[int, int, int] = (1, 2, 2)
    pool_kernel: tuple[int, int, int] = (1, 3, 3)
    pool_stride: tuple[int, int, int] = (1, 2, 2)
    depths: tuple[int, ...] = (3, 4, 6, 3)
    widths: tuple[int, ...] = (32, 64, 128, 256)
    inner_widths: tuple[int, ...] = (8, 16, 32, 64)
    temporal_kernel: int = 3
    spatial_strides: tuple[int, ...] = (1, 2, 2, 2)
    norm_eps: float = 1e-5
    max_positions: int = 2000
    frame_multiple: int = 4

    @property
    def radius(self) -> tuple[int, int]:
        """Frames to the left and to the right of a frame that its token depends on."""
        reach = self.stem_kernel[0] // 2 + self.pool_kernel[0] // 2 + sum(self.depths) * (self.temporal_kernel // 2)
        return (reach + (self.input == "rgb_logdiff"), reach)

    def frames_used(self, frames: int) -> int:
        """How many of a clip's frames enter: a whole multiple of `frame_multiple`, at most `max_positions`."""
        frames = min(frames, self.max_positions)
        return frames - frames % self.frame_multiple


@dataclass(frozen=True)
class Rating:
    """The question that is rated and the beginning of its answer; `<image>` marks where clip tokens go."""

    user: str
    assistant: str


@dataclass(frozen=True)
class SpatialWords:
    """The question about a picture, the beginning of its answer, and the words that may follow: `none`, or one of
    `types` (by the record's name of the type)."""

    question: str
    answer: str
    none: str
    types: dict[str, str]


@dataclass(frozen=True)
class SeverityWords:
    """What stands between type and severity, and the severities from weak to strong."""

    prefix: str
    levels: tuple[str, ...]


@dataclass(frozen=True)
class PlaceWords:
    """What stands before the place: `whole`, or `part`, a column, `between` and a row."""

    prefix: str
    whole: str
    part: str
    columns: tuple[str, ...]
    between: str
    rows: tuple[str, ...]


@dataclass(frozen=True)
class TemporalWords:
    """The question about a second's motion, the beginning of its answer, and its two words."""

    question: str
    answer: str
    yes: str
    no: str
    severity: bool = False


@dataclass(frozen=True)
class Localization:
    """The questions that tell what is wrong in one step (second), where and how badly. A place is a rectangle of
    `size`/`grid` of each side whose first column and row are words. `calibration` maps `spatial`, `severity`, `place`
    and `temporal` to a softmax `temperature` and, for the first and the last, a decision `threshold`; `segments`, where it is
    there, says how the engine judges runs of seconds (`nano/segments.py`)."""

    spatial: SpatialWords
    severity: SeverityWords
    place: PlaceWords
    temporal: TemporalWords
    calibration: dict[str, dict]
    scope: str = "step"
    grid: int = 12
    size: int = 6


@dataclass(frozen=True)
class Family:
    """What a checkpoint was trained to read and answer: the `omnivqa` object."""

    family: str
    token_layout: str
    rating: Rating | None
    chat: str | None
    levels: tuple[str, ...] = ("high", "good", "fair", "poor", "low")
    level_weights: tuple[float, ...] = (1.0, 0.75, 0.5, 0.25, 0.0)
    system_prompt: str = "You are a helpful assistant."
    window_seconds: int = 10
    step_seconds: int = 1
    comparison_key_frames: int = 1
    branches: tuple[str, ...] = ("technical",)
    localization: Localization | None = None


@dataclass(frozen=True)
class ModelConfig:
    """The whole network. `head_dim` is always given here; `eos_token_id` always a tuple."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    vision: VisionConfig
    motion: MotionConfig | None
    omnivqa: Family
    rms_norm_eps: float = 1e-6
    rope_theta: float = 1e6
    tie_word_embeddings: bool = False
    max_position_embeddings: int = 32768
    tokenizer_model_max_length: int = 10000
    bos_token_id: int | None = 151643
    eos_token_id: tuple[int, ...] = (151645,)
    mm_vision_tower: str = "google/siglip-so400m-patch14-384"
    mm_vision_select_layer: int = -2
    mm_spatial_pool_stride: int = 2
    mm_projector_position: bool = False

    @property
    def vision_layers(self) -> int:
        """Encoder layers that run: the output of the selected one of transformers' `hidden_states`."""
        select = self.mm_vision_select_layer
        return select if select >= 0 else self.vision.num_hidden_layers + 1 + select

    @property
    def pooled_grid(self) -> int:
        return ceil(self.vision.grid / self.mm_spatial_pool_stride)

    @property
    def tokens_per_frame(self) -> int:
        return self.pooled_grid**2

    @classmethod
    def from_json(cls, data: Mapping[str, Any], tensor_names: Iterable[str] = ()) -> Self:
        """Reads a parsed `config.json`. `tensor_names` tells whether a published checkpoint (no `motion_config`) has
        a motion branch. Raises ConfigError."""
        if "LlavaQwenForCausalLM" not in data.get("architectures", []):
            raise ConfigError(f"architecture {data.get('architectures')} is not LlavaQwenForCausalLM")
        if data.get("mm_projector_type", "mlp2x_gelu") != "mlp2x_gelu":
            raise ConfigError(f"mm_projector_type {data['mm_projector_type']!r} is not mlp2x_gelu")
        if data.get("mm_spatial_pool_mode", "bilinear") != "bilinear":
            raise ConfigError(f"mm_spatial_pool_mode {data['mm_spatial_pool_mode']!r} is not bilinear")
        tower = data.get("mm_vision_tower", "")
        vision = data.get("vision_config", KNOWN_TOWERS.get(tower))
        if vision is None:
            raise ConfigError(f"no vision_config, and the vision tower {tower!r} is not a known one")
        motion = data.get("motion_config")
        if "motion_config" not in data and any(name.startswith("model.slowfast.") for name in tensor_names):
            motion = {"image_size": vision["image_size"]}
        plain = {name: data[name] for name in cls.__dataclass_fields__ if name in data and name not in NESTED}
        missing = [name for name in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                                     "num_key_value_heads", "vocab_size") if name not in data]  # fmt: skip
        if missing:
            raise ConfigError(f"config.json lacks {', '.join(missing)}")
        plain.setdefault("head_dim", data["hidden_size"] // data["num_attention_heads"])
        eos = data.get("eos_token_id", 151645)
        config = cls(
            **plain,
            eos_token_id=tuple(eos) if isinstance(eos, list) else (eos,),
            vision=_read(VisionConfig, "vision_config", vision | {"views": _views(vision)}),
            motion=None if motion is None else _read(MotionConfig, "motion_config", motion),
            omnivqa=_family(data.get("omnivqa", UGC_SCORER)),
        )
        config._check()
        return config

    def to_json(self) -> dict[str, Any]:
        """The `config.json` object, complete: nothing is left to the tables."""
        data = asdict(self)
        vision, motion = data.pop("vision"), data.pop("motion")
        family = data.pop("omnivqa")
        vision["views"] = [{k: v for k, v in view.items() if v is not None} for view in vision["views"]]
        family["chat"] = None if family["chat"] is None else {"user": family["chat"]}
        eos = data.pop("eos_token_id")
        return {
            "architectures": ["LlavaQwenForCausalLM"],
            "model_type": "llava_qwen",
            **data,
            "eos_token_id": eos[0] if len(eos) == 1 else list(eos),
            "mm_projector_type": "mlp2x_gelu",
            "mm_hidden_size": self.vision.hidden_size,
            "mm_spatial_pool_mode": "bilinear",
            "vision_config": vision,
            "motion_config": motion,
            "omnivqa": family,
        }

    def _check(self) -> None:
        vision, motion, family = self.vision, self.motion, self.omnivqa
        faults = []
        if vision.embeddings not in ("patch", "cell_statistics"):
            faults.append(f"vision_config.embeddings {vision.embeddings!r} is neither patch nor cell_statistics")
        if vision.embeddings == "patch" and len(vision.views) != 1:
            faults.append("patch embeddings take exactly one view")
        if vision.embeddings == "cell_statistics" and (vision.patch_size % 8 or vision.image_size % vision.patch_size):
            faults.append("cell_statistics needs a patch_size divisible by 8 that divides image_size")
        for view in vision.views:
            if view.kind not in ("squash", "fragments"):
                faults.append(f"view {view.kind!r} is neither squash nor fragments")
            elif view.kind == "fragments" and (not view.area or (view.cell or 0) * vision.grid != vision.image_size):
                faults.append("a fragments view needs an area and cells that fill image_size")
        if not 0 <= self.vision_layers <= vision.num_hidden_layers:
            faults.append(f"mm_vision_select_layer {self.mm_vision_select_layer} is out of range")
        if self.num_attention_heads % self.num_key_value_heads:
            faults.append("num_attention_heads is no multiple of num_key_value_heads")
        if motion is not None:
            if motion.input not in ("rgb", "rgb_logdiff"):
                faults.append(f"motion_config.input {motion.input!r} is neither rgb nor rgb_logdiff")
            stages = {len(motion.depths), len(motion.widths), len(motion.inner_widths), len(motion.spatial_strides)}
            if len(stages) != 1:
                faults.append("motion_config depths, widths, inner_widths and spatial_strides differ in length")
            if motion.stem_stride[0] != 1 or motion.pool_stride[0] != 1:
                faults.append("the motion branch gives one token per frame: its temporal strides must be 1")
        if family.token_layout not in ("separate", "doubled", "joined"):
            faults.append(f"omnivqa.token_layout {family.token_layout!r} is not separate, doubled or joined")
        if len(family.levels) != len(family.level_weights):
            faults.append("omnivqa.levels and level_weights differ in length")
        if (asked := family.localization) is not None:
            places = asked.grid - asked.size + 1
            if (len(asked.place.columns), len(asked.place.rows)) != (places, places):
                faults.append(f"omnivqa.localization.place needs {places} columns and rows")
        if faults:
            raise ConfigError("; ".join(faults))


def read_config(path: Path, tensor_names: Iterable[str] = ()) -> ModelConfig:
    """Reads `config.json` at `path`. Raises ConfigError."""
    try:
        return ModelConfig.from_json(json.loads(path.read_text("utf-8")), tensor_names)
    except (json.JSONDecodeError, TypeError) as error:
        raise ConfigError(f"{path.name}: {error}") from error


NESTED = ("vision", "motion", "omnivqa", "eos_token_id")


def _read(kind: type, name: str, data: Mapping[str, Any]) -> Any:
    """An instance of the dataclass `kind`; lists become tuples, unknown keys are ignored as transformers does."""
    known = {f.name for f in fields(kind)}
    try:
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k in known})
    except TypeError as error:
        raise ConfigError(f"{name}: {error}") from error


def _views(vision: Mapping[str, Any]) -> tuple[View, ...]:
    return tuple(_read(View, "view", view) for view in vision.get("views", [{"kind": "squash"}]))


def _family(data: Mapping[str, Any]) -> Family:
    rating = data.get("rating")
    chat = data.get("chat")
    return _read(Family, "omnivqa", {
        **data,
        "rating": None if rating is None else _read(Rating, "omnivqa.rating", rating),
        "chat": None if chat is None else chat["user"],
        "localization": _localization(data.get("localization")),
    })  # fmt: skip


def _localization(data: Mapping[str, Any] | None) -> Localization | None:
    if data is None:
        return None
    kinds = {"spatial": SpatialWords, "severity": SeverityWords, "place": PlaceWords, "temporal": TemporalWords}
    parts = {name: _read(kind, f"omnivqa.localization.{name}", data.get(name, {})) for name, kind in kinds.items()}
    return _read(Localization, "omnivqa.localization", {**data, **parts})


# Facts the published checkpoints leave to the name of their tower.
KNOWN_TOWERS: dict[str, dict[str, Any]] = {
    "google/siglip-so400m-patch14-384": {
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_hidden_layers": 27,
        "num_attention_heads": 16,
        "image_size": 384,
        "patch_size": 14,
    },
}

# A checkpoint without an `omnivqa` object is read as VQA²-UGC-Scorer (Jia et al., arXiv 2411.03795) reads its prompt.
UGC_SCORER: dict[str, Any] = {
    "family": "ugc-scorer",
    "token_layout": "separate",
    "rating": {
        "user": "The key frames of this video are:\n<image>. And the motion feature of the video is\n<image>. "
        "How would you rate the quality of this video?",
        "assistant": "The quality of the video is",
    },
    "chat": None,
}
