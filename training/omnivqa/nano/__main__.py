"""Trains and evaluates OmniVQA-Nano.

`python -m omnivqa.nano train --sources <dir> --work <dir> --out <dir>` renders degraded clips, trains stage by stage and
writes a checkpoint; whatever a stage has finished is kept in the work folder and not done again.
`python -m omnivqa.nano evaluate --sources <dir> --work <dir> --model <dir>` measures a checkpoint on held-out sources.
"""

import argparse
import os
import tomllib
from pathlib import Path

import torch

from ..checkpoint import save_checkpoint
from ..network import OmniVQA
from ..sequence import encode, level_ids, prompt_pieces
from ..tokenizer import corpus, train_tokenizer
from .dataset import load_part
from .decoder import Prompt, train_decoder
from .evaluate import evaluate
from .shape import nano_config
from .sources import load_sources
from .towers import prepare, train_key_frames, train_motion_pathway

CONFIG = Path(__file__).parents[2] / "nano.toml"


def train(sources_folder: Path, opinions: Path | None, work: Path, out: Path, config: dict, workers: int) -> None:
    """All stages: render, statistics, vision, motion, decoder, joint fine-tune, export."""
    seed = config["seed"]
    work.mkdir(parents=True, exist_ok=True)
    sources = load_sources(sources_folder, work, seed)
    tokenizer = train_tokenizer(corpus(), config["decoder"]["vocabulary"])
    shape = nano_config(config, tokenizer.token_to_id("<|endoftext|>"), tokenizer.token_to_id("<|im_end|>"))
    torch.manual_seed(seed)
    network = OmniVQA(shape)
    prepare(sources, sources_folder, opinions, work, config, workers)
    clips, held_out = load_part(work / "train"), load_part(work / "random")
    print(f"{len(clips.clips)} clips, {len(clips.target)} frames; held out {len(held_out.clips)}, {len(held_out.target)}")
    rating = shape.omnivqa.rating
    pieces = [encode(tokenizer, piece) for piece in prompt_pieces(shape, rating.user, rating.assistant)]
    prompt = Prompt(*pieces, levels=level_ids(shape, tokenizer), closing=encode(tokenizer, ".<|im_end|>"))

    decoder, joint = work / "decoder.pt", work / "joint.pt"
    train_key_frames(network.tower, clips, held_out, work, config)
    train_motion_pathway(network.model.slowfast, sources, sources_folder, work, config)
    if not decoder.exists():
        train_decoder(network, prompt, clips, held_out, config, seed, decoder, joint=False)
    network.load_state_dict(torch.load(decoder))
    if not joint.exists():
        train_decoder(network, prompt, clips, held_out, config, seed, joint, joint=True)
    network.load_state_dict(torch.load(joint))
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"))
    save_checkpoint(network.eval(), out, torch.float16)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m omnivqa.nano", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1), help="that render clips")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("train", "evaluate"):
        command = commands.add_parser(name)
        command.add_argument("--sources", type=Path, required=True, help="folder with manifest.json")
        command.add_argument("--work", type=Path, required=True, help="folder for rendered clips and stages")
        if name == "train":
            command.add_argument("--opinions", type=Path, help="folder with labels.json of photos that people scored")
            command.add_argument("--out", type=Path, required=True, help="the checkpoint directory to write")
        else:
            command.add_argument("--model", type=Path, required=True, help="the checkpoint directory to measure")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    config = tomllib.loads(arguments.config.read_text())
    if arguments.command == "train":
        train(arguments.sources, arguments.opinions, arguments.work, arguments.out, config, arguments.workers)
    else:
        evaluate(arguments.sources, arguments.work, arguments.model, config, arguments.workers)


if __name__ == "__main__":
    main()
