"""The first two stages as one: what the key-frame tower and the motion pathway are trained on, and in which order."""

import json
from pathlib import Path

import torch

from .dataset import Part, load_part, load_photos, load_stills, rescale, write_statistics
from .motion import load_runs, train_motion
from .photos import write_photos
from .render import render
from .sources import Source
from .statistics import CellStatistics
from .stills import source_pictures, write_stills
from .vision import fit_scale, read_frames, train_vision


def photo_files(folder: Path) -> dict[str, Path]:
    """The photos of a sources folder by content."""
    items = json.loads((folder / "manifest.json").read_text())["items"]
    return {item["content"]: folder / item["file"] for item in items if item["kind"] == "photo"}


def prepare(sources: list[Source], folder: Path, opinions: Path | None, work: Path, config: dict, workers: int) -> None:
    """Renders and makes what the towers are trained on, as far as it is not in `work` yet: `train` and `random` clips,
    `stills` and `stills_held` of the two sides, and `opinions.npz` of the photos that people scored."""
    statistics, data, seed = CellStatistics(), config["data"], config["seed"]
    for part in ("train", "random"):
        render(sources, config, work, part, workers)
        write_statistics(work / part, statistics)
    photos = photo_files(folder)
    for name, held_out in (("stills_held", True), ("stills", False)):
        pictures = [source_pictures(source, photos.get(source.content)) for source in sources if source.held_out == held_out]
        write_stills(work / name, pictures, data[f"{name}_groups"], data["versions"], seed, statistics, held_out=held_out)
    if opinions is not None and not (work / "opinions.npz").exists():
        write_photos(opinions, work / "opinions.npz", data["photo_variants"], seed, statistics)


def train_key_frames(tower, clips: Part, held_out: Part, work: Path, config: dict) -> dict:
    """Trains the tower in two passes and leaves `vision.pt`: on synthetic degradations alone, then, with their targets
    on the scale of people, together with the scored photos. Returns the scale, which is in `scale.json` too; the
    parts' targets are left as they were."""
    settings, seed = config["vision"], config["seed"]
    first, last, note, opinions = work / "vision-first.pt", work / "vision.pt", work / "scale.json", work / "opinions.npz"
    stills = load_stills(work / "stills")
    checks = {"stills": load_stills(work / "stills_held"), "random": held_out}
    if not first.exists() or (opinions.exists() and not note.exists()):
        heads = train_vision(tower, [stills, clips], settings["first_shares"], checks, settings["first_samples"], config, seed, first)
        scale = {"slope": 1.0, "offset": 0.0}
        if opinions.exists():
            photos = load_photos(opinions, held_out=False)
            scale = fit_scale(read_frames(tower, heads, photos).score, photos.target.numpy())
        note.write_text(json.dumps(scale))
    scale = json.loads(note.read_text())
    if not last.exists():
        parts, shares = [stills, clips], settings["shares"]
        untouched = clips.target
        for part in parts:
            rescale(part, scale, clips=False)
        if opinions.exists():
            parts, checks = [*parts, load_photos(opinions, held_out=False)], checks | {"photos": load_photos(opinions, held_out=True)}
        train_vision(tower, parts, shares[: len(parts)], checks, settings["samples"], config, seed, last, first)
        clips.target = untouched
    tower.load_state_dict(torch.load(last)["tower"])
    return scale


def train_motion_pathway(pathway, sources: list[Source], folder: Path, work: Path, config: dict) -> None:
    """Trains the pathway and leaves `motion.pt`."""
    if not (work / "motion.pt").exists():
        sides = [[source for source in sources if source.held_out == held_out] for held_out in (False, True)]
        train, held_out = (load_runs(side, photo_files(folder), work / "runs") for side in sides)
        train_motion(pathway, train, held_out, config, config["seed"], work / "motion.pt")
    pathway.load_state_dict(torch.load(work / "motion.pt"))
