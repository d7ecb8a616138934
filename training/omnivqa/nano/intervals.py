"""Figures with the interval of a bootstrap over contents."""

from collections.abc import Callable

import numpy as np

RESAMPLES = 1000


def with_interval(measure: Callable[..., float], columns: list[np.ndarray], content: np.ndarray, seed: int = 0) -> dict:
    """`measure(*columns)` of n items as `value`, with the 95 % interval (`low`, `high`) of a bootstrap that draws whole
    contents ([n], any labels), and `n`. A draw that has no figure (one class only) is left out."""
    _, index = np.unique(content, return_inverse=True)
    members = [np.flatnonzero(index == i) for i in range(index.max() + 1)]
    rng = np.random.default_rng(seed)
    drawn = []
    for rows in rng.integers(0, len(members), (RESAMPLES, len(members))):
        chosen = np.concatenate([members[i] for i in rows])
        drawn.append(measure(*(column[chosen] for column in columns)))
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    value = {"value": float(measure(*columns)), "low": float(low), "high": float(high)}
    return {name: round(figure, 4) for name, figure in value.items()} | {"n": len(content)}


def shown(figure: dict) -> str:
    """A figure of `with_interval` as text."""
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"
