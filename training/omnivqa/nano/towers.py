"""The first two stages as one: what the key-frame tower and the motion pathway are trained on, and in which order."""

import json
from pathlib import Path

import numpy as np
import torch

from .dataset import Part, load_photos, load_stills
from .drawn import drawn_sources
from .motion import load_runs, train_motion
from .photos import write_photo_ladders, write_photos
from .render import render
from .sources import Source
from .stills import source_pictures, write_stills
from .vision import fit_scale, read_frames, train_vision


def photo_files(folder: Path) -> dict[str, Path]:
    """The photos of a sources folder by content."""
    items = json.loads((folder / "manifest.json").read_text())["items"]
    return {item["content"]: folder / item["file"] for item in items if item["kind"] == "photo"}


def prepare(sources: list[Source], folder: Path, opinions: Path | None, work: Path, config: dict, workers: int) -> None:
    """Renders and makes what the towers are trained on, as far as it is not in `work` yet: `train` and `random` clips,
    `stills` and `stills_held` of the two sides, and `opinions.npz` and `photo_ladders.npz` of the photos that people scored."""
    data, seed = config["data"], config["seed"]
    photos = photo_files(folder)
    shown = [photos[source.content] for source in sources if source.content in photos and not source.held_out]
    drawn = drawn_sources(shown, data["drawn"], work, seed)
    for part in ("train", "random"):
        render(sources, config, work, part, workers, drawn)
    for name, held_out in (("stills_held", True), ("stills", False)):
        pictures = [source_pictures(source, photos.get(source.content)) for source in sources if source.held_out == held_out]
        write_stills(work / name, pictures, data[f"{name}_groups"], data["versions"], seed, workers, held_out=held_out)
    if opinions is not None and not (work / "opinions.npz").exists():
        write_photos(opinions, work / "opinions.npz", data["photo_variants"], seed, workers)
    if opinions is not None and not (work / "photo_ladders.npz").exists():
        write_photo_ladders(opinions, work / "photo_ladders.npz", data["photo_ladders"], data["rungs"], seed, workers)


def train_key_frames(tower, clips: Part, held_out: Part, work: Path, config: dict) -> None:
    """Trains the tower on stills, clips and, where there are any, the photos that people scored; leaves `vision.pt`, and
    in `scale.json` the line from synthetic targets to what people would say of the training frames."""
    settings, last, opinions = config["vision"], work / "vision.pt", work / "opinions.npz"
    if not last.exists():
        parts = [load_stills(work / "stills"), clips]
        checks = {"stills": load_stills(work / "stills_held"), "random": held_out}
        if opinions.exists():
            parts.append(load_photos(opinions, held_out=False))
            checks["photos"] = load_photos(opinions, held_out=True)
        heads = train_vision(
            tower, parts, settings["shares"][: len(parts)], checks, settings["samples"], config, config["seed"], last
        )
        if opinions.exists():
            readings = [read_frames(tower, heads, part) for part in parts[:2]]
            scale = fit_scale(*(np.concatenate(both) for both in (
                [part.target.numpy() for part in parts[:2]], [reading.opinion for reading in readings])))  # fmt: skip
            (work / "scale.json").write_text(json.dumps(scale))
    tower.load_state_dict(torch.load(last)["tower"])


def train_motion_pathway(pathway, sources: list[Source], folder: Path, work: Path, config: dict) -> None:
    """Trains the pathway and leaves `motion.pt`."""
    if not (work / "motion.pt").exists():
        sides = [[source for source in sources if source.held_out == held_out] for held_out in (False, True)]
        train, held_out = (load_runs(side, photo_files(folder), work / "runs") for side in sides)
        train_motion(pathway, train, held_out, config, config["seed"], work / "motion.pt")
    pathway.load_state_dict(torch.load(work / "motion.pt"))
