"""The recipe book, `src/dataset/recipes.json`, for training: its in-context distortions at any strength between and around
its three severities (strength 1 noticeable, 2 relatively severe, 3 severe).

What a recipe and its placeholders are is said in `src/dataset/recipes.ts`. The book has a distortion at three strengths
only; training needs them continuous. Between two severities lengths, amounts and gains go geometrically, everything else
straight; below the first, gain and lift go to where they do nothing (strength 0), the others on with the first step; above
the last, all go on with the last step."""

import json
import math
import re
from functools import cache
from pathlib import Path

BOOK = Path(__file__).parents[3] / "src" / "dataset" / "recipes.json"
GEOMETRIC = {"sigma", "amount", "gain"}
# Values at which a parameter does nothing.
NEUTRAL = {"gain": 1.0, "lift": 0.0}
# The highest values that the filters and encoders take.
HIGHEST = {"amount": 100, "crf": 51}


@cache
def read_book() -> dict:
    """The parsed book with its recipes by id. Raises FileNotFoundError where the repository is not whole."""
    book = json.loads(BOOK.read_text("utf-8"))
    if book["format"] != "omnivqa/recipes@1":
        raise ValueError(f"{BOOK} has the format {book['format']}, not omnivqa/recipes@1")
    return book | {"recipes": {recipe["id"]: recipe for recipe in book["recipes"]}}


def _at(points: list[tuple[float, float]], strength: float, geometric: bool) -> float:
    """The value at a strength of the lines through (strength, value) points, the outer ones prolonged."""
    first = next((i for i in range(len(points) - 2) if strength < points[i + 1][0]), len(points) - 2)
    (a, low), (b, high) = points[first : first + 2]
    place = (strength - a) / (b - a)
    return low * (high / low) ** place if geometric else low + (high - low) * place


def parameters(name: str, strength: float, width: int, height: int) -> dict[str, float]:
    """The parameters of an in-context recipe at a strength for a picture of this size, in its pixels."""
    book = read_book()
    recipe = book["recipes"][name]
    levels = [level["parameters"] for level in recipe["levels"]]
    out = {}
    for key in levels[0]:
        points = [(0.0, NEUTRAL[key])] if key in NEUTRAL else []
        points += [(float(step), float(level[key])) for step, level in enumerate(levels, 1)]
        value = min(_at(points, strength, key in GEOMETRIC), HIGHEST.get(key, math.inf))
        if key in recipe.get("scaled", []):
            value *= min(width, height) / book["referenceSide"]
        whole = all(isinstance(level[key], int) for level in levels)
        out[key] = round(value) if whole else round(value, 4)
    return out


def _filled(template: str, values: dict) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: f"{values[found[1]]:g}" if found[1] != "seed" else str(values["seed"]), template)


def filter_text(name: str, strength: float, width: int, height: int, seed: int) -> str:
    """The ffmpeg filter of an in-context recipe that has one. Raises ValueError for a recipe that encodes."""
    values = parameters(name, strength, width, height) | {"seed": seed}
    steps = read_book()["recipes"][name]["steps"]
    if not all("filter" in step for step in steps):
        raise ValueError(f"no filter for {name}")
    return ",".join(_filled(step["filter"], values) for step in steps)


def encoder_arguments(name: str, strength: float, width: int, height: int) -> list[str]:
    """The ffmpeg arguments of an in-context recipe that encodes, on one thread."""
    values = parameters(name, strength, width, height)
    (step,) = read_book()["recipes"][name]["steps"]
    return ["-c:v", step["encoder"], *(_filled(option, values) for option in step["options"])]
