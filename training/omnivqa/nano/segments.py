"""How likely a run of seconds is to be a distortion: a logistic regression on what the engine knows of such runs.

`omnivqa evaluate fine-grained --candidates` writes, for clips whose truth is known, every run that could be a distortion
with its features (`src/model/segments.ts`) and whether it is one. The clips must be of contents that no stage has seen:
the network is surer of what it was trained on. Nothing else of the checkpoint changes.
"""

import json
from pathlib import Path

import numpy as np

FEATURES = ("mean", "contrast", "edge", "alone", "local", "length")
# Of the squared weights of standardised features.
PENALTY = 1.0
FOLDS = 6
# Claims a minute where nothing is wrong, over all clips, that the threshold lets through of contents that were left out of
# the fit.
ALARMS = 2.0


def fit(features: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Weights of the features f64 [n,k] and the bias, [k+1], with the largest penalised likelihood of bool [n]."""
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    inputs = np.c_[(features - mean) / deviation, np.ones(len(features))]
    penalty = PENALTY * np.r_[np.ones(features.shape[1]), 0]
    weights = np.zeros(inputs.shape[1])
    # Newton's method; the likelihood is concave, and a few steps end it.
    for _ in range(50):
        chance = 1 / (1 + np.exp(-inputs @ weights))
        slope = inputs.T @ (chance - right) + penalty * weights
        curvature = (inputs.T * (chance * (1 - chance))) @ inputs + np.diag(penalty)
        weights = weights - np.linalg.solve(curvature, slope)
    raw = weights[:-1] / deviation
    return np.r_[raw, weights[-1] - raw @ mean]


def chances(weights: np.ndarray, features: np.ndarray) -> np.ndarray:
    """The probabilities [n] that `fit`'s weights give."""
    return 1 / (1 + np.exp(-(features @ weights[:-1] + weights[-1])))


def chosen(clip: dict, chance: np.ndarray) -> list[int]:
    """The candidates of a clip that are left when the likelier one of any two that overlap is taken, likeliest first."""
    kept: list[int] = []
    for i in np.argsort(-chance, kind="stable"):
        one = clip["candidates"][i]
        others = (clip["candidates"][j] for j in kept)
        if all(one["to"] <= other["from"] or other["to"] <= one["from"] for other in others):
            kept.append(int(i))
    return kept


def segments(files: list[Path], model: Path) -> dict:
    """Fits `calibration.segments`, writes it into the checkpoint's configuration and returns it.

    The threshold is the lowest with at most ALARMS a minute where each content was judged by a fit without it."""
    read = [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]
    minutes = sum(clip["minutes"] for clip in read)
    clips = [clip for clip in read if clip["candidates"]]
    values = [np.array([[one["features"][name] for name in FEATURES] for one in clip["candidates"]]) for clip in clips]
    right = [np.array([one["right"] for one in clip["candidates"]], dtype=float) for clip in clips]
    contents = sorted({clip["content"] for clip in clips})
    fold = {content: i % FOLDS for i, content in enumerate(np.random.default_rng(0).permutation(contents))}
    said, true, near = [], [], []
    for held_out in range(FOLDS):
        inside = [fold[clip["content"]] != held_out for clip in clips]
        weights = fit(*(np.concatenate([part for part, use in zip(parts, inside) if use]) for parts in (values, right)))
        for clip, features, truth, used in zip(clips, values, right, inside):
            if not used:
                chance = chances(weights, features)
                kept = chosen(clip, chance)
                said.extend(chance[kept])
                true.extend(truth[kept])
                near.extend(clip["candidates"][i]["near"] for i in kept)
    said, true, near = np.array(said), np.array(true) > 0, np.array(near)
    threshold = next(level for level in np.sort(said) if ((said >= level) & ~near).sum() <= ALARMS * minutes)
    weights = fit(np.concatenate(values), np.concatenate(right))
    calibration = {
        "threshold": round(float(threshold), 4),
        "bias": round(float(weights[-1]), 4),
        "weights": {name: round(float(weight), 4) for name, weight in zip(FEATURES, weights)},
    }
    bins = np.clip((said * 10).astype(int), 0, 9)
    reported = said >= threshold
    error = sum(abs(said[own].sum() - true[own].sum()) for i in range(10) for own in [reported & (bins == i)]) / max(1, reported.sum())
    note = {"clips": len(clips), "contents": len(contents), "minutes": round(minutes, 1), "candidates": sum(map(len, right)),
            "right": int(sum(one.sum() for one in right)), "reported": int(reported.sum()),
            "false_a_minute": round(float((reported & ~near).sum() / minutes), 2), "calibration_error": round(float(error), 3)}  # fmt: skip
    print("segments", json.dumps(note), json.dumps(calibration))
    file = model / "config.json"
    config = json.loads(file.read_text("utf-8"))
    config["omnivqa"]["localization"]["calibration"]["segments"] = calibration
    file.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return calibration
