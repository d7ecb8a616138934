"""Temptations: pristine held-out clips and photos, chosen because something in them resembles a flaw, and what a checkpoint
says of them. `temptations.json` names them (`content` of a sources manifest), what each tempts to say (`tempts`) and why;
`crop` (x, y, width, height as shares) takes a part of a photo."""

import json
import subprocess
from collections import Counter
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image

from ..checkpoint import load_checkpoint
from ..sequence import load_tokenizer
from .answers import Answers, phrases
from .intervals import shown, with_interval
from .people import answer_clip, answer_pictures, spatial_faults
from .recipes import TYPES
from .sources import is_held_out

LIST = Path(__file__).parents[2] / "temptations.json"
KINDS = [*TYPES[1:], "stutter"]


def read_temptations(items: list[dict], file: Path = LIST) -> list[dict]:
    """The list's entries with their `item` of the manifest. Raises ValueError for a content that is not held out."""
    counts = Counter((item["kind"], item["source_repo"]) for item in items)
    found = {item["content"]: item for item in items if is_held_out(item, counts)}
    entries = json.loads(file.read_text("utf-8"))
    for entry in entries:
        if entry["content"] not in found:
            raise ValueError(f"{entry['content']} is no held-out content of these sources")
        if entry["tempts"] not in KINDS:
            raise ValueError(f"{entry['content']}: nothing can be taken for {entry['tempts']}")
    return [entry | {"item": found[entry["content"]]} for entry in entries]


def read_frames_of(path: Path, width: int, height: int) -> list[np.ndarray]:
    """Every frame of a clip, RGB u8 [h,w,3]."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-threads", "1", "-i", f"file:{path}", "-fps_mode", "passthrough",
               "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]  # fmt: skip
    data = subprocess.run(command, capture_output=True, check=True).stdout
    return list(np.frombuffer(data, np.uint8).reshape(-1, height, width, 3))


def reported(answers: Answers, calibration: dict) -> np.ndarray:
    """What is reported of each of n seconds, bool [n,6] in the order of KINDS."""
    faulty, named = spatial_faults(answers, calibration)
    stutters = (answers.stutter / calibration["temporal"]["temperature"]).softmax(-1)[:, 1].numpy()
    spatial = faulty[:, None] & (named[:, None] == np.arange(1, len(TYPES)))
    return np.concatenate([spatial, (stutters >= calibration["temporal"]["threshold"])[:, None]], 1)


def tempt(sources: Path, model: Path) -> None:
    """Prints what a checkpoint falls for, by kind and by name, as Markdown."""
    entries = read_temptations(json.loads((sources / "manifest.json").read_text())["items"])
    network, tokenizer = load_checkpoint(model), load_tokenizer(model)
    words, calibration = phrases(network.config, tokenizer), network.config.omnivqa.localization.calibration
    says: dict[tuple, np.ndarray] = {}
    for entry in entries:
        item, crop = entry["item"], tuple(entry.get("crop", (0, 0, 1, 1)))
        if (item["content"], crop) in says:
            continue
        if item["kind"] == "video":
            frames = read_frames_of(sources / item["file"], item["width"], item["height"])
            found = reported(answer_clip(network, words, frames, item["fps"]), calibration)
        else:
            with Image.open(sources / item["file"]) as image:
                picture = np.asarray(image.convert("RGB"))
            height, width = picture.shape[:2]
            x, y, w, h = (round(share * side) for share, side in zip(crop, (width, height, width, height), strict=True))
            found = reported(answer_pictures(network, words, [np.ascontiguousarray(picture[y : y + h, x : x + w])]), calibration)
            # A photo has no motion to be taken for a stutter.
            found[:, -1] = False
        says[item["content"], crop] = found
    print("\n".join(temptation_tables(entries, says)))


def temptation_tables(entries: list[dict], says: dict[tuple, np.ndarray]) -> list[str]:
    """Markdown from the entries and what was reported of each (content, crop), bool [seconds, kinds]."""
    key = lambda entry: (entry["content"], tuple(entry.get("crop", (0, 0, 1, 1))))
    lines = ["| tempted to say | clips and photos | fell for it | seconds | of them taken for it | taken for anything else |", "|---|---|---|---|---|---|"]
    fallen = []
    for kind in KINDS:
        chosen = [entry for entry in entries if entry["tempts"] == kind]
        if not chosen:
            continue
        column, names = KINDS.index(kind), []
        taken = [says[key(entry)][:, column] for entry in chosen]
        other = [np.delete(says[key(entry)], column, 1).any(1) for entry in chosen]
        for entry, values in zip(chosen, taken, strict=True):
            names += [entry["content"]] * len(values)
            if values.any():
                place = " (a part)" if "crop" in entry else ""
                fallen.append(f"- {entry['content']}{place}: {kind} in {int(values.sum())} of {len(values)} s; {entry['why']}.")
        figures = [shown(with_interval(np.mean, [np.concatenate(one).astype(float)], np.array(names))) for one in (taken, other)]
        lines.append(f"| {kind} | {len(chosen)} | {sum(values.any() for values in taken)} | {len(names)} | {figures[0]} | {figures[1]} |")
    asked = {(*key(entry), entry["tempts"]) for entry in entries}
    others = []
    for (content, crop), found in says.items():
        for i, kind in enumerate(KINDS):
            if found[:, i].any() and (content, crop, kind) not in asked:
                place = "" if crop == (0, 0, 1, 1) else " (a part)"
                others.append(f"- {content}{place}: {kind} in {int(found[:, i].sum())} of {len(found)} s.")
    contents = {entry["content"] for entry in entries}
    whole = {content: found for (content, crop), found in says.items() if crop == (0, 0, 1, 1)}
    seconds = np.concatenate(list(whole.values()))
    names = np.concatenate([[content] * len(found) for content, found in whole.items()])
    minute = shown(with_interval(np.mean, [60.0 * seconds.any(1)], names))
    each = ", ".join(f"{kind} {60 * seconds[:, i].mean():.1f}" for i, kind in enumerate(KINDS))
    clean = sum(not found.any() for found in whole.values())
    return [*lines, "", f"{len(entries)} temptations of {len(contents)} contents. Of the {len(whole)} whole clips and photos "
            f"({len(seconds)} s, a photo counts as one) nothing at all is reported of {clean}; alarms a minute: {minute} "
            f"({each}).", "", "Fell for:", "", *(fallen or ["- none"]), "", "Other alarms:", "", *(others or ["- none"])]  # fmt: skip
