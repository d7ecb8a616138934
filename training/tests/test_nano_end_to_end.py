"""The one command of Nano's training, from sources to a checkpoint that rates, on a few generated clips and photos."""

import json
import tomllib

import numpy as np
import pytest
import torch
from PIL import Image

from omnivqa.checkpoint import load_checkpoint
from omnivqa.nano.__main__ import CONFIG, compare, train
from omnivqa.nano.ffmpeg import run_ffmpeg
from omnivqa.nano.sources import is_held_out
from omnivqa.preprocess import clip_pixels
from omnivqa.sequence import clip_tokens, load_tokenizer, rate

SMALL = {
    "data": {"train_clips": 8, "held_out_clips": 4, "seconds": [2, 2], "jitters": 1, "stills_groups": 11, "stills_held_groups": 3, "photo_variants": 2, "drawn": 2, "rungs": 2, "photo_ladders": 3,
             "video_ladders": {"x264": 1, "av1": 1}},
    "vision": {"hidden": 64, "layers": 1, "mlp": 96, "samples": 48},
    "motion": {"samples": 8, "seconds": 2, "held_out_samples": 3},
    "decoder": {"layers": 1, "samples": 32, "notes": 1, "motion_train_samples": 180, "motion_held_samples": 12,
                "clean_stills": 30, "calibration_batches": 3},
    "joint": {"samples": 48, "notes": 1, "photo_share": 0.4, "start": {"share": 0.2, "samples": 32, "twins": True}},
    "comparison": {"notes": 1, "runs": [{"order": "mix", "samples": 32}, {"order": "direct", "samples": 32}]},
}  # fmt: skip


def repository(number: int, held_out: bool) -> str:
    """A name that the split puts on this side."""
    names = (f"own/{number}-{n}" for n in range(99))
    return next(name for name in names if is_held_out({"source_repo": name, "kind": "video", "content": ""}, {("video", name): 1}) == held_out)


def write_sources(folder):
    """Two videos and three photos to train on, one and one that are held out."""
    items, rng = [], np.random.default_rng(0)
    for number, (name, held_out) in enumerate((("mandelbrot", False), ("testsrc2", False), ("life=mold=10:ratio=0.3", True))):
        text = f"{name}{':' if '=' in name else '='}size=480x432:rate=24"
        run_ffmpeg(["-f", "lavfi", "-i", text, "-frames:v", "48", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-crf", "8"], folder / f"{number}.mp4")
        items.append({"file": f"{number}.mp4", "content": f"video-{number}", "kind": "video", "source_repo": repository(number, held_out),
                      "licence": "none", "width": 480, "height": 432, "fps": 24, "frames": 48})  # fmt: skip
    for number, held_out in enumerate((False, False, False, True), 3):
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        coarse.resize((640, 480), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
        items.append({"file": f"{number}.png", "content": f"photo-{number}", "kind": "photo", "source_repo": repository(number, held_out), "licence": "none"})
    (folder / "manifest.json").write_text(json.dumps({"items": items}))


def write_opinions(folder):
    """Twelve photos with scores, some on each side of the split."""
    labels, rng = [], np.random.default_rng(1)
    for number in range(12):
        side = int(rng.integers(3, 60))
        coarse = Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))
        coarse.resize((480, 400), Image.Resampling.BICUBIC).save(folder / f"p{number}.png")
        labels.append({"file": f"p{number}.png", "mos": float(side + 20)})
    (folder / "labels.json").write_text(json.dumps(labels))


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::scipy.stats.ConstantInputWarning")
def test_one_command_leads_from_sources_to_a_checkpoint(tmp_path, capsys):
    folders = {name: tmp_path / name for name in ("sources", "opinions", "work", "nano", "again", "further", "comparison")}
    for name in ("sources", "opinions"):
        folders[name].mkdir()
    write_sources(folders["sources"])
    write_opinions(folders["opinions"])
    config = tomllib.loads(CONFIG.read_text())
    config = {name: part | SMALL.get(name, {}) if isinstance(part, dict) else part for name, part in config.items()}

    train(folders["sources"], folders["opinions"], None, folders["work"], folders["nano"], config, 2)
    told = capsys.readouterr().out
    assert [stage in told for stage in ("train: 26/26", "vision {", "motion {", "decoder {", "joint {")] == [True] * 5

    network, tokenizer = load_checkpoint(folders["nano"]), load_tokenizer(folders["nano"])
    calibration = network.config.omnivqa.localization.calibration
    assert 0 < calibration["spatial"]["threshold"] < 1 and set(calibration["temporal"]) == {"temperature", "threshold"}
    frames = list(np.random.default_rng(2).integers(0, 256, (12, 432, 480, 3), dtype=np.uint8))
    key, motion = clip_pixels(frames, 12, network.config)
    clip = clip_tokens(network, torch.from_numpy(key), torch.from_numpy(motion))
    assert 0 <= rate(network, tokenizer, clip).score <= 1

    # What has finished is not done again, and gives the same weights.
    train(folders["sources"], folders["opinions"], None, folders["work"], folders["again"], config, 2)
    assert not any(stage in capsys.readouterr().out for stage in ("vision {", "motion {", "decoder {", "joint {"))
    assert (folders["again"] / "model.safetensors").read_bytes() == (folders["nano"] / "model.safetensors").read_bytes()

    # From a checkpoint the joint stage alone goes on, without what the stages before it left.
    for stage in ("vision", "motion", "decoder", "joint"):
        (folders["work"] / f"{stage}.pt").unlink()
    train(folders["sources"], folders["opinions"], folders["nano"], folders["work"], folders["further"], config, 2)
    told = capsys.readouterr().out
    assert [stage in told for stage in ("vision {", "motion {", "decoder {", 'joint {"samples": 32')] == [False] * 3 + [True]
    before, after = (load_checkpoint(folders[name]).state_dict() for name in ("nano", "further"))
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed and all("vision_tower" in name for name in changed)

    # So does what compares encodes, which is asked for nothing but a rating.
    compare(folders["sources"], folders["opinions"], folders["nano"], folders["work"], folders["comparison"], config, 2)
    told = capsys.readouterr().out
    assert (told.count("joint {"), told.count('comparison {"samples": 32')) == (0, 2)
    assert (folders["work"] / "comparison-0.pt").read_bytes() != (folders["work"] / "comparison-1.pt").read_bytes()
    comparing = load_checkpoint(folders["comparison"])
    assert comparing.config.omnivqa.localization is None and comparing.config.omnivqa.chat is None
    assert 0 <= rate(comparing, tokenizer, clip_tokens(comparing, torch.from_numpy(key), torch.from_numpy(motion))).score <= 1
