"""Small line charts as SVG, and the learning curves of a training's output."""

import json
import re
from pathlib import Path

COLOURS = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#8c564b", "#e377c2"]


def line_chart(curves: dict[str, list[tuple[float, float]]], ticks: dict[float, str], title: str) -> str:
    """An SVG of curves of values 0..1 over the positions that `ticks` names. Raises ValueError for one position only."""
    first, last = min(ticks), max(ticks)
    if first == last:
        raise ValueError("a curve needs two positions")
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 520 300" font-family="sans-serif" font-size="12">',
             f'<rect width="520" height="300" fill="white"/><text x="50" y="14">{title}</text>']  # fmt: skip
    across = {position: 50 + 260 * (position - first) / (last - first) for position in ticks}
    for value in (0, 0.2, 0.4, 0.6, 0.8, 1):
        y = 260 - 235 * value
        parts.append(f'<path d="M50 {y:.0f}H310" stroke="#ddd"/><text x="44" y="{y + 4:.0f}" text-anchor="end">{value}</text>')
    for position, text in ticks.items():
        parts.append(f'<text x="{across[position]:.0f}" y="280" text-anchor="middle">{text}</text>')
    for row, ((name, points), colour) in enumerate(zip(curves.items(), COLOURS, strict=False)):
        line = " ".join(f"{across[position]:.1f},{260 - 235 * value:.1f}" for position, value in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="320" y="{40 + 20 * row}" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def learning_curves(log: str) -> tuple[dict[str, list[tuple[float, float]]], dict[float, str]]:
    """The curves and ticks of what the decoder's and the joint stage print: at every note the samples, then the figures of
    held-out stills, clips (`random`), photos (`live` or `photos`), and of ladders of contents that are left out of training."""
    wanted = {("random", "srcc"): "clips: SRCC with the target", ("stills", "named_local"): "stills: type, quarter",
              ("stills", "iou"): "stills: IoU of the place", ("random", "stutter"): "stutter found",
              ("photos", "srcc"): "photos: SRCC with people", ("ladders", "steps"): "ladders: steps that fall"}  # fmt: skip
    curves, ticks, samples = {}, {}, None
    for line in log.splitlines():
        found = re.fullmatch(r"\s*(\w+) (\{.*\})", line)
        if not found:
            continue
        name, note = found[1].replace("live", "photos"), json.loads(found[2])
        if "samples" in note:
            samples = note["samples"]
            ticks[samples] = f"{samples / 1000:.0f}k"
        for (part, figure), title in wanted.items():
            if part == name and figure in note and samples is not None:
                curves.setdefault(title, []).append((samples, max(0.0, note[figure])))
    return curves, ticks


def write_learning_curves(log: Path, out: Path) -> None:
    """Draws the learning curves of a saved output."""
    out.write_text(line_chart(*learning_curves(log.read_text("utf-8")), "held-out figures over training samples"))
