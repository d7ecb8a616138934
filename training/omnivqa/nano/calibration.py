"""Temperatures and thresholds of the localising answers, found on contents that the language model was not trained on.

The key-frame tower was trained on them, so pristine pictures look cleaner here than unseen ones do: the thresholds
allow a fraction of the false alarms that are wanted of unseen video.
"""

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from ..config import ModelConfig
from .answers import Answers, Labels
from .vision import FALSE_ALARMS
from .views import GRID

TEMPERATURES = np.exp(np.linspace(np.log(0.4), np.log(4), 60))
# Of FALSE_ALARMS, what the thresholds let through here.
MARGIN = 0.3


def temperature(logits: torch.Tensor, label: torch.Tensor) -> float:
    """The softmax temperature with the smallest cross-entropy of labels i64 [n] under logits [n,k]."""
    losses = [float(F.cross_entropy(logits / t, label)) for t in TEMPERATURES]
    return round(float(TEMPERATURES[int(np.argmin(losses))]), 3)


def calibration_error(logits: torch.Tensor, label: torch.Tensor, bins: int = 10) -> float:
    """Expected calibration error of the likeliest option (Guo et al., ICML 2017), equal bins of confidence."""
    confidence, named = logits.softmax(-1).max(-1)
    right = (named == label).float()
    bin_of = (confidence * bins).long().clamp(max=bins - 1)
    gaps = [(right[bin_of == i].mean() - confidence[bin_of == i].mean()).abs() * (bin_of == i).sum() for i in range(bins) if (bin_of == i).any()]
    return float(sum(gaps) / len(label))


def calibrate(answers: Answers, labels: Labels, clean: Answers) -> dict[str, dict[str, float]]:
    """The `calibration` object, from the answers about frames beside seconds of motion with known labels, and about
    pristine pictures beside seconds of clips that do not stutter."""
    kind, cells, seen = labels.kind, labels.cells, labels.seen
    right = seen & (kind > 0) & (answers.kind[:, 1:].argmax(1) + 1 == kind)
    local, known = right & (cells[:, 2] < GRID), labels.stutter >= 0
    asked = answers.stutter[known], labels.stutter[known]
    warmth = {
        "spatial": temperature(answers.kind[seen], kind[seen]),
        "severity": temperature(answers.severity[right], (labels.steps[right].clamp(1, 3).round() - 1).long()),
        "place": temperature(torch.cat([answers.column[local], answers.row[local]]), torch.cat([cells[local, 0], cells[local, 1]])),
        "temporal": temperature(*asked),
    }
    faults = 1 - (clean.kind / warmth["spatial"]).softmax(-1)[:, 0]
    stutters = (clean.stutter / warmth["temporal"]).softmax(-1)[:, 1]
    out = {name: {"temperature": value} for name, value in warmth.items()}
    for name, alarms in (("spatial", faults), ("temporal", stutters)):
        level = float(np.quantile(alarms.numpy(), 1 - MARGIN * FALSE_ALARMS))
        out[name]["threshold"] = round(min(0.9999, max(0.05, level)), 4)
    return out


def calibrated(config: ModelConfig, calibration: dict[str, dict[str, float]]) -> ModelConfig:
    """The configuration with this calibration."""
    family = config.omnivqa
    return replace(config, omnivqa=replace(family, localization=replace(family.localization, calibration=calibration)))
