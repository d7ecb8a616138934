"""Trains and evaluates OmniVQA-Nano.

`python -m omnivqa.nano train --sources <dir> --work <dir> --out <dir>` renders degraded clips, trains stage by stage and
writes a checkpoint; whatever a stage has finished is kept in the work folder and not done again.
`python -m omnivqa.nano compare --sources <dir> --work <dir> --start <dir> --out <dir>` goes on from a checkpoint to the weights
that encodes are compared by.
`python -m omnivqa.nano evaluate --sources <dir> --work <dir> --model <dir>` measures a checkpoint on held-out sources.
`python -m omnivqa.nano reliability --sources <dir> --work <dir> --model <dir> --out <svg>` measures how sure it is there.
`python -m omnivqa.nano people --opinions <dir> --model <dir>` compares its score with people's, beside BRISQUE.
`python -m omnivqa.nano tempt --sources <dir> --model <dir>` shows it pristine footage that resembles a flaw.
`python -m omnivqa.nano domain --sources <dir> --work <dir>` shows what is taken for screens, test cards or noise alone.
`python -m omnivqa.nano ablate --sources <dir> --work <dir> --out <dir>` runs short ablations on what `train` left there.
`python -m omnivqa.nano segments --candidates <file> … --model <dir>` fits how runs of seconds are judged, into its config.json.
`python -m omnivqa.nano curves --log <file> --out <file>` draws what `train` printed.
"""

import argparse
import json
import os
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from ..checkpoint import load_checkpoint, save_checkpoint
from ..network import OmniVQA
from ..tokenizer import corpus, train_tokenizer
from .ablate import TRIALS, ablate
from .answers import Phrases, phrases
from .calibration import calibrate, calibrated
from .chart import write_learning_curves
from .dataset import Part, load_part, load_photos, load_stills
from .decoder import (
    Check,
    Draws,
    LadderCheck,
    Motion,
    answer_clean,
    answer_draws,
    cache_motion,
    frame_tokens,
    init_decoder,
    load_motion,
    train_decoder,
    write_motion_samples,
)
from .domain import domain
from .evaluate import evaluate
from .motion import load_runs
from .people import people
from .photos import load_photo_ladders, photo_motion
from .reliability import reliability
from .segments import segments
from .shape import nano_config
from .sources import Source, load_sources
from .stills import source_pictures, write_stills
from .tempt import tempt
from .towers import photo_files, prepare, train_key_frames, train_motion_pathway

CONFIG = Path(__file__).parents[2] / "nano.toml"


@dataclass(frozen=True)
class Prepared:
    """All that the stages of the language model are trained on and looked at with."""

    words: Phrases
    # Of the contents that it is trained on, and of those that are kept back from it.
    draws: tuple[Draws, Draws]
    checks: dict[str, Check | LadderCheck]
    made: Motion
    stills: Part


def train(sources_folder: Path, opinions: Path | None, start: Path | None, work: Path, out: Path, config: dict, workers: int) -> None:
    """All stages: render, statistics, vision, motion, decoder, joint fine-tune, calibration, export. With `start`, a Nano of
    the same shape and vocabulary, the joint stage alone goes on from its weights."""
    seed, settings = config["seed"], config["decoder"]
    sources, tokenizer, network = begin(sources_folder, opinions, work, config, workers)
    begun = None if start is None else load_checkpoint(start)
    if begun is None:
        train_key_frames(network.tower, load_part(work / "train"), load_part(work / "random"), work, config)
        train_motion_pathway(network.model.slowfast, sources, sources_folder, work, config)
    else:
        network.load_state_dict(begun.state_dict())
    prepared = prepare_stages(network, tokenizer, work, config)
    stages = {"decoder": work / "decoder.pt", "joint": work / "joint.pt"}
    if begun is None:
        some = torch.arange(0, len(prepared.stills.target), max(1, len(prepared.stills.target) // 100))
        init_decoder(network, torch.load(work / "vision.pt")["heads"], frame_tokens(network, prepared.stills, some))
    else:
        del stages["decoder"]
        config = config | {"joint": config["joint"] | config["joint"]["start"]}
    for stage, file in stages.items():
        if not file.exists() and config[stage]["samples"]:
            train_decoder(network, prepared.words, prepared.draws[0], prepared.checks, config, seed, file, stage, begun)
        if file.exists():
            network.load_state_dict(torch.load(file))
    if begun is not None:
        # What is asked changes with the tower alone; and a mean forgets less than the end (WiSE-FT; Wortsman et al., CVPR 2022).
        ended, earlier, share = network.tower.state_dict(), begun.tower.state_dict(), config["joint"]["share"]
        mean = {name: value.lerp(earlier[name], share) if value.is_floating_point() else value for name, value in ended.items()}
        network.load_state_dict(begun.state_dict())
        network.tower.load_state_dict(mean)
    quiet = answer_clean(network, prepared.words, load_stills(work / "stills_clean"), prepared.made.side(True))
    answers = answer_draws(network, prepared.words, prepared.draws[1], settings["calibration_batches"])
    network.config = calibrated(network.config, calibrate(*answers, quiet))
    save(network, tokenizer, out)


def compare(sources_folder: Path, opinions: Path | None, start: Path, work: Path, out: Path, config: dict, workers: int) -> None:
    """From a Nano, weights that tell encodes of one source apart and forget the rest, which is left to that Nano: its
    `comparison` folder is where the engine looks for them. They are the mean of several runs (model soups; Wortsman et
    al., ICML 2022)."""
    _, tokenizer, network = begin(sources_folder, opinions, work, config, workers)
    begun = load_checkpoint(start).state_dict()
    network.load_state_dict(begun)
    prepared = prepare_stages(network, tokenizer, work, config)
    # What else it answered is not asked of it any more.
    checks = {"ladders": prepared.checks["ladders"]}
    seed, draws, settings = config["seed"], prepared.draws[0], config["comparison"]
    ends = []
    for number, run in enumerate(settings["runs"]):
        file = work / f"comparison-{number}.pt"
        if not file.exists():
            network.load_state_dict(begun)
            draws.rng = draws.batches.rng = np.random.default_rng([seed, 0])
            train_decoder(network, prepared.words, draws, checks, config | {"comparison": settings | run}, seed, file, "comparison")
        ends.append(torch.load(file))
    network.load_state_dict({name: sum(end[name] for end in ends) / len(ends) if value.is_floating_point() else value
                             for name, value in begun.items()})  # fmt: skip
    print("  ladders of the mean", json.dumps(checks["ladders"](network, prepared.words)), flush=True)
    family = replace(network.config.omnivqa, family="nano-comparison", chat=None, localization=None)
    network.config = replace(network.config, omnivqa=family)
    save(network, tokenizer, out)


def begin(sources_folder: Path, opinions: Path | None, work: Path, config: dict, workers: int) -> tuple[list[Source], Tokenizer, OmniVQA]:
    """Renders what is not rendered yet. The network is untrained."""
    seed = config["seed"]
    work.mkdir(parents=True, exist_ok=True)
    sources = load_sources(sources_folder, work, seed)
    tokenizer = train_tokenizer(corpus(), config["decoder"]["vocabulary"])
    shape = nano_config(config, tokenizer.token_to_id("<|endoftext|>"), tokenizer.token_to_id("<|im_end|>"))
    torch.manual_seed(seed)
    network = OmniVQA(shape)
    prepare(sources, sources_folder, opinions, work, config, workers)
    prepare_answers(sources, sources_folder, work, config, workers)
    return sources, tokenizer, network


def prepare_stages(network: OmniVQA, tokenizer: Tokenizer, work: Path, config: dict) -> Prepared:
    """What was rendered, with the motion features of a finished pathway."""
    seed, shares, pathway, words = config["seed"], config["decoder"]["shares"], network.model.slowfast, phrases(network.config, tokenizer)
    clips, held_out = load_part(work / "train"), load_part(work / "random")
    stills, stills_held = load_stills(work / "stills"), load_stills(work / "stills_held")
    print(f"{len(clips.clips)} clips, {len(clips.target)} frames, {len(stills.target)} stills; "
          f"held out {len(held_out.clips)}, {len(held_out.target)}, {len(stills_held.target)}")  # fmt: skip
    made = load_motion(pathway, work / "motion_train.npz")
    made.side(True).check_both()
    own = cache_motion(pathway, clips.clips)
    opinion = work / "opinions.npz"
    scored, unscored = (load_photos(opinion, side) if opinion.exists() else None for side in (False, True))
    shown = photo_motion(pathway, opinion, False, seed) if opinion.exists() else None
    rungs = load_photo_ladders(work / "photo_ladders.npz") if opinion.exists() else None
    trained, kept_back = (Draws([stills, clips], shares, made, own, np.random.default_rng([seed, i]), bool(i), scored, shown, rungs)
                          for i in (0, 1))  # fmt: skip
    beside = load_motion(pathway, work / "motion_held.npz")
    checks = {"stills": Check(stills_held, torch.arange(0, len(stills_held.target), 3), beside),
              "random": Check(held_out, torch.arange(0, len(held_out.target), 2), beside),
              "ladders": LadderCheck.of(kept_back)}  # fmt: skip
    if unscored is not None:
        checks["photos"] = Check(unscored, torch.arange(len(unscored.target)), beside)
    return Prepared(words, (trained, kept_back), checks, made, stills)


def save(network: OmniVQA, tokenizer: Tokenizer, out: Path) -> None:
    """Writes a checkpoint."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"))
    save_checkpoint(network.eval(), out, torch.float16)


def prepare_answers(sources: list[Source], folder: Path, work: Path, config: dict, workers: int) -> None:
    """Makes what only the language model needs: clips with stutter of both sides, and pristine pictures of the training
    sources for the thresholds."""
    settings, seed, photos = config["decoder"], config["seed"], photo_files(folder)
    for name, held_out in (("train", False), ("held", True)):
        file, side = work / f"motion_{name}.npz", [source for source in sources if source.held_out == held_out]
        if not file.exists():
            runs = load_runs(side, photos, work / "runs")
            write_motion_samples(file, runs, settings[f"motion_{name}_samples"], seed + held_out)
        if not held_out and not (work / "stills_clean").exists():
            pictures = [source_pictures(source, photos.get(source.content)) for source in side]
            write_stills(work / "stills_clean", pictures, settings["clean_stills"], 1, seed, workers, held_out=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m omnivqa.nano", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that render clips and pictures")
    commands = parser.add_subparsers(dest="command", required=True)
    asked = {
        "train": ("sources", "work", "out"),
        "compare": ("sources", "work", "start", "out"),
        "evaluate": ("sources", "work", "model"),
        "reliability": ("sources", "work", "model", "out"),
        "people": ("opinions", "model"),
        "tempt": ("sources", "model"),
        "domain": ("sources", "work"),
        "ablate": ("sources", "work", "out"),
        "segments": ("model",),
        "curves": ("log", "out"),
    }
    texts = {
        "sources": "folder with manifest.json",
        "work": "folder for rendered clips and stages",
        "start": "the Nano to go on from",
        "out": "what is written: the directory of a checkpoint or of the results of ablations, or an SVG",
        "log": "the saved output of train",
        "model": "the checkpoint directory to measure, or to calibrate",
        "opinions": "folder with labels.json of photos that people scored",
    }
    for name, options in asked.items():
        command = commands.add_parser(name)
        for option in options:
            command.add_argument(f"--{option}", type=Path, required=True, help=texts[option])
        if name in ("train", "compare"):
            command.add_argument("--opinions", type=Path, help=texts["opinions"])
        if name == "train":
            command.add_argument("--start", type=Path, help="a Nano whose weights the joint stage goes on from, without the stages before")
        if name == "domain":
            command.add_argument("--step", type=int, default=1, help="look at every n-th rendered clip only")
        if name == "segments":
            command.add_argument("--candidates", type=Path, nargs="+", required=True, help="what evaluate fine-grained wrote")
        if name == "ablate":
            command.add_argument("--samples", type=int, default=3200, help="of a trial of the decoder")
            command.add_argument("--tower-samples", type=int, default=6000, help="of a trial of the tower")
            command.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
            every = [trial.name for trial in TRIALS]
            command.add_argument("--trials", nargs="+", choices=every, default=every)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    config = tomllib.loads(arguments.config.read_text())
    if arguments.command in ("train", "compare"):
        work_on = train if arguments.command == "train" else compare
        work_on(arguments.sources, arguments.opinions, arguments.start, arguments.work, arguments.out, config, arguments.workers)
    elif arguments.command == "evaluate":
        evaluate(arguments.sources, arguments.work, arguments.model, config, arguments.workers)
    elif arguments.command == "reliability":
        reliability(arguments.sources, arguments.work, arguments.model, arguments.out, config, arguments.workers)
    elif arguments.command == "people":
        people(arguments.opinions, arguments.model)
    elif arguments.command == "tempt":
        tempt(arguments.sources, arguments.model)
    elif arguments.command == "domain":
        domain(arguments.sources, arguments.work, arguments.step)
    elif arguments.command == "segments":
        segments(arguments.candidates, arguments.model)
    elif arguments.command == "curves":
        write_learning_curves(arguments.log, arguments.out)
    else:
        ablate(arguments.sources, arguments.work, arguments.out, config, arguments.samples, arguments.tower_samples,
               arguments.trials, arguments.seeds)  # fmt: skip


if __name__ == "__main__":
    main()
