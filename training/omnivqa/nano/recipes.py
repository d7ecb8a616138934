"""What is done to a pristine clip: kinds of degradation with a continuous strength, as ffmpeg arguments.

Strength t runs from about 0.3 (hardly visible) over 1 (noticeable), 2 (relatively severe) and 3 (severe) to 3.5 for
blur, noise and exposure; what a strength does is said by the recipe book (`book.py`). Codecs are driven by their own
constant-quality scale, on a quarter of the frame by the book's too.
"""

from dataclasses import dataclass

import numpy as np

from .book import encoder_arguments, filter_text

# Types of the assessment record, in the order of the dense labels; 0 is "nothing".
TYPES = ["none", "blur", "noise", "overexposure", "underexposure", "compression"]
TYPE_OF_KIND = {
    "pristine": 0, "blur": 1, "scaling": 1, "noise": 2, "overexposure": 3, "underexposure": 4,
    "x264": 5, "x265": 5, "vp9": 5, "av1": 5, "mjpeg": 5, "mpeg4": 5,
}  # fmt: skip
# VMAF does not follow what a person sees of these (strong noise keeps 80, a dark picture drops to 0): their target
# comes from the recipe's strength, on VMAF's scale.
STRENGTH_KINDS = {"noise", "overexposure", "underexposure"}
SCALERS = ["bilinear", "bicubic", "lanczos", "neighbor"]
# The book's name of what a codec does to a quarter of the frame.
LOCAL_CODECS = {"x264": "compression", "x265": "compression-x265"}
# Mean VMAF of whole-frame blur by strength, on the rendered clips.
BLUR_VMAF = ((0.0, 0.5, 1.0, 1.7, 2.4, 3.3), (97.0, 88.7, 79.4, 58.2, 26.7, 6.3))


PRESETS = {
    "x264": ["ultrafast", "superfast", "veryfast", "veryfast", "faster", "medium", "medium", "slow"],
    "x265": ["ultrafast", "superfast", "veryfast", "veryfast"],
    "vp9": ["5", "6", "7", "8"],
    "av1": ["8", "9", "10", "11", "12"],
}
KEY_FRAME_DISTANCES = [12, 25, 50, 120, 250]
# Where ladders begin and end: also where nobody sees a difference, as that is where most encodes are compared.
LADDER_ENDS = {
    "x264": ((10, 22), (38, 50)), "x265": ((12, 24), (38, 50)), "vp9": ((14, 28), (42, 63)), "av1": ((14, 28), (42, 63)),
}  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """`before` filters, `codec` arguments (None: no encode) and `after` filters; `strength` as in the module's text
    (for codecs the constant-quality value); `local` limits the change to a quarter of the frame."""

    kind: str
    strength: float
    before: str
    codec: list[str] | None
    after: str
    local: bool


def strength_target(kind: str, strength: float) -> float:
    """Quality 0..100 of a whole frame degraded with a strength, for the kinds in STRENGTH_KINDS."""
    return float(np.clip(97 - 24 * strength, 0, 97)) if kind in STRENGTH_KINDS else 97.0


def codec_arguments(kind: str, quality: float, preset: str | None = None, keyint: int = 250) -> list[str]:
    """Encoder arguments for one constant-quality value, on one thread."""
    q = f"{quality:.0f}"
    if kind == "x264":
        return ["-c:v", "libx264", "-preset", preset or "veryfast", "-crf", q, "-g", str(keyint)]
    if kind == "x265":
        return ["-c:v", "libx265", "-preset", preset or "ultrafast", "-crf", q, "-g", str(keyint),
                "-x265-params", "pools=1:frame-threads=1:log-level=error"]  # fmt: skip
    if kind == "vp9":
        return ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", preset or "8", "-b:v", "0", "-crf", q,
                "-g", str(keyint)]  # fmt: skip
    if kind == "av1":
        return ["-c:v", "libsvtav1", "-preset", preset or "12", "-crf", q, "-g", str(keyint), "-svtav1-params", "lp=1"]
    return ["-c:v", kind, "-q:v", q, *(["-g", str(keyint)] if kind == "mpeg4" else []), "-strict", "unofficial"]


def quality_range(kind: str) -> tuple[float, float]:
    """The span of constant-quality values that training draws from."""
    return {"x264": (16, 50), "x265": (18, 50), "vp9": (24, 63), "av1": (28, 63), "mjpeg": (3, 31), "mpeg4": (2, 31)}[kind]


def jpeg_quality(strength: float) -> int:
    """Quality of a JPEG that is as visible as the other kinds at this strength."""
    return int(np.clip(60 * 0.45**strength, 2, 60))


def filter_for(kind: str, strength: float, width: int, height: int, seed: int = 0, chroma: bool = True) -> str:
    """The ffmpeg filter of a pixel degradation on yuv420p (limited range) of this size; without `chroma`, noise in luma
    alone. Raises ValueError for a codec."""
    if kind not in ("blur", "noise", "overexposure", "underexposure"):
        raise ValueError(f"no filter for {kind}")
    text = filter_text(kind, strength, width, height, seed)
    return text if chroma else text.replace("alls=", "c0s=").replace("allf=", "c0f=")


def scaling_recipe(factor: float, down: str, up: str, width: int, height: int, codec: list[str] | None) -> Recipe:
    """Down by `factor`, optionally through an encoder at the small size, and up again."""
    small = [max(2, int(side / factor / 2) * 2) for side in (width, height)]
    return Recipe("scaling", factor, f"scale={small[0]}:{small[1]}:flags={down}", codec,
                  f"scale={width}:{height}:flags={up}", False)  # fmt: skip


def ladder_recipe(kind: str, value: float, width: int, height: int) -> Recipe:
    """One rung of an evaluation ladder: a codec's value, a scaling factor or a strength, with fixed settings."""
    if kind == "pristine":
        return Recipe(kind, 0.0, "", None, "", False)
    if kind == "scaling":
        return scaling_recipe(value, "bicubic", "bicubic", width, height, None)
    if kind in ("blur", "noise", "overexposure", "underexposure"):
        return Recipe(kind, value, filter_for(kind, value, width, height), None, "", False)
    preset = {"x264": "medium", "x265": "ultrafast", "vp9": "7", "av1": "11"}.get(kind)
    return Recipe(kind, value, "", codec_arguments(kind, value, preset), "", False)


def draw_recipe(kinds: dict, local: dict, width: int, height: int, rng: np.random.Generator) -> Recipe:
    """A random recipe: kinds and shares as in nano.toml's [data.kinds] and [data.local]."""
    names = list(kinds)
    weights = np.array([kinds[name] for name in names], float)
    kind = names[int(rng.choice(len(names), p=weights / weights.sum()))]
    is_local = bool(rng.random() < local.get(kind, 0))
    if kind == "pristine":
        return Recipe(kind, 0.0, "", None, "", False)
    if kind == "scaling":
        codec = codec_arguments("x264", rng.uniform(18, 36)) if rng.random() < 0.4 else None
        factor = float(np.exp(rng.uniform(np.log(1.2), np.log(5))))
        return scaling_recipe(factor, str(rng.choice(SCALERS[:3])), str(rng.choice(SCALERS)), width, height, codec)
    if is_local and kind in LOCAL_CODECS:
        strength = float(rng.uniform(0.8, 3.4))
        arguments = encoder_arguments(LOCAL_CODECS[kind], strength, width, height)
        return Recipe(kind, float(arguments[arguments.index("-crf") + 1]), "", arguments, "", True)
    if kind in quality_range_kinds():
        quality = float(rng.uniform(*quality_range(kind)))
        preset, keyint = draw_preset(kind, rng), int(rng.choice(KEY_FRAME_DISTANCES))
        return Recipe(kind, quality, "", codec_arguments(kind, quality, preset, keyint), "", is_local)
    strength = float(rng.uniform(0.8, 3.4) if is_local else rng.uniform(0.3, 3.6))
    chroma = bool(rng.random() < 0.5)
    return Recipe(kind, strength, filter_for(kind, strength, width, height, int(rng.integers(2**31)), chroma), None, "", is_local)


def draw_preset(kind: str, rng: np.random.Generator) -> str | None:
    """One of an encoder's faster presets; none of what has none."""
    return str(rng.choice(PRESETS[kind])) if kind in PRESETS else None


def draw_ladder(kind: str, rungs: int, rng: np.random.Generator) -> list[Recipe]:
    """A codec's recipes from good to bad with the same random preset and distance of key frames."""
    best, worst = LADDER_ENDS[kind]
    preset, keyint = draw_preset(kind, rng), int(rng.choice(KEY_FRAME_DISTANCES))
    values = np.linspace(rng.uniform(*best), rng.uniform(*worst), rungs)
    return [Recipe(kind, float(value), "", codec_arguments(kind, value, preset, keyint), "", False) for value in values]


def quality_range_kinds() -> set[str]:
    """The kinds that are encoders."""
    return {kind for kind, number in TYPE_OF_KIND.items() if number == 5}
