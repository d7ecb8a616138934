"""Does the score of a checkpoint follow people's? Photos with human opinion scores that were not trained on, beside BRISQUE
(Mittal, Moorthy and Bovik, "No-reference image quality assessment in the spatial domain", IEEE Transactions on Image
Processing 21(12), 2012) on the same photos, with the weights that its package ships."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.stats import pearsonr, spearmanr

from ..checkpoint import load_checkpoint
from ..preprocess import clip_pixels
from ..sequence import load_tokenizer
from .answers import Answers, Phrases, ask, clip_prefix, phrases
from .intervals import shown, with_interval
from .losses import level_score
from .motion import motion_features
from .photos import is_test_photo
from .recipes import TYPES
from .statistics import CellStatistics
from .views import centred_views
from .vision import vision_tokens

# The 32 photos of the held-out fifth that people liked least. One of us wrote down what is wrong with each (the worst fault
# first), from a small copy and before any answer of the network was seen. Names only; the photos are LIVE's.
BAD = Path(__file__).parents[2] / "naturally_bad.json"


@torch.inference_mode()
def answer_pictures(network, words: Phrases, pictures: list[np.ndarray]) -> Answers:
    """Asks everything of pictures, RGB u8 [h,w,3], each a clip of one frame without motion."""
    network.eval()
    statistics, found = CellStatistics(), []
    for first in range(0, len(pictures), 16):
        views = [statistics(torch.from_numpy(centred_views(picture))) for picture in pictures[first : first + 16]]
        # [n,2,144,140]: squash and fragments of a cell stand beside each other. f16, as they are in training.
        both = torch.stack(views).half().float()
        tokens = vision_tokens(network.tower, torch.cat([both[:, 0], both[:, 1]], -1))[1]
        nothing = torch.zeros(len(both), 0, network.config.motion.widths[-1])
        found.append(ask(network, words, clip_prefix(network, words, tokens[:, None], nothing, torch.arange(0))))
    return Answers.joined(found)


@torch.inference_mode()
def answer_clip(network, words: Phrases, frames: list[np.ndarray], fps: float) -> Answers:
    """Asks everything of every whole second of a clip, each with its own key frame and motion, as the engine does."""
    network.eval()
    key, motion = clip_pixels(frames, fps, network.config)
    rate = max(1, int(fps + 0.5))
    seconds = min(len(key), len(motion) // rate)
    statistics = torch.stack([CellStatistics()(torch.from_numpy(views)) for views in key[:seconds]]).half().float()
    tokens = vision_tokens(network.tower, torch.cat([statistics[:, 0], statistics[:, 1]], -1))[1]
    features = motion_features(network.model.slowfast, torch.from_numpy(motion[None]))[0]
    at = torch.arange(seconds)[:, None] * rate + torch.arange(rate)
    return ask(network, words, clip_prefix(network, words, tokens[:, None], features[at], at))


def spatial_faults(answers: Answers, calibration: dict) -> tuple[np.ndarray, np.ndarray]:
    """Whether each of n clips is reported to be faulty, bool, and the number of its likeliest fault in TYPES."""
    none = (answers.kind / calibration["spatial"]["temperature"]).softmax(-1)[:, 0].numpy()
    return none < 1 - calibration["spatial"]["threshold"], answers.kind[:, 1:].argmax(1).numpy() + 1


def brisque_scores(pictures: list[np.ndarray]) -> np.ndarray:
    """BRISQUE of pictures, 0 best; needs `requirements-report.txt`."""
    from brisque import BRISQUE

    class Measure(BRISQUE):
        def scale_features(self, features):
            # Some of them are arrays of one value, which NumPy 2.4 no longer takes for a number.
            return super().scale_features([float(np.squeeze(value)) for value in features])

    measure = Measure(url=False)
    return np.array([float(measure.score(picture)) for picture in pictures])


def people(opinions: Path, model: Path) -> None:
    """Prints the agreement with people as Markdown, and what the checkpoint says is wrong by how much people liked it."""
    items = [item for item in json.loads((opinions / "labels.json").read_text()) if is_test_photo(Path(item["file"]).name)]
    pictures = []
    for item in items:
        with Image.open(opinions / item["file"]) as image:
            pictures.append(np.asarray(image.convert("RGB")))
    human = np.array([item["mos"] for item in items])
    network, tokenizer = load_checkpoint(model), load_tokenizer(model)
    words = phrases(network.config, tokenizer)
    answers = answer_pictures(network, words, pictures)
    # What the photo is as a video: one second, which has motion tokens (of 28 frames, as they come in fours).
    still = Answers.joined([answer_clip(network, words, [picture] * 28, 25) for picture in pictures])
    scores = {"OmniVQA-Nano": level_score(answers.level).numpy(), "BRISQUE": -brisque_scores(pictures),
              "OmniVQA-Nano, of the photo as a still clip of 1 s": level_score(still.level).numpy()}  # fmt: skip
    each, photo = {}, np.arange(len(items))
    print("| photos not trained on | n | SRCC with people | PLCC with people |\n|---|---|---|---|")
    for name, score in scores.items():
        each[name] = [with_interval(lambda a, b, f=f: float(f(a, b)[0]), [score, human], photo) for f in (spearmanr, pearsonr)]
        print(f"| {name} | {len(items)} | {shown(each[name][0])} | {shown(each[name][1])} |")
    ahead = with_interval(
        lambda a, b, c: float(spearmanr(a, c)[0] - spearmanr(b, c)[0]), [scores["OmniVQA-Nano"], scores["BRISQUE"], human], photo
    )
    print(f"\nSRCC of Nano less that of BRISQUE, on the same photos: {shown(ahead)}.\n")
    faulty, named = spatial_faults(answers, network.config.omnivqa.localization.calibration)
    print("\n".join([*real_faults(json.loads(BAD.read_text("utf-8")), items, faulty, named), ""]))
    print("| photos by people's scores | mean MOS | mean score | reported as faulty | " + " | ".join(TYPES[1:]) + " |")
    print("|---" * (4 + len(TYPES) - 1) + "|")
    order = np.argsort(human)
    for title, rows in zip(("worst quarter", "second", "third", "best quarter"), np.array_split(order, 4)):
        kinds = [f"{(faulty & (named == kind))[rows].mean():.2f}" for kind in range(1, len(TYPES))]
        print(f"| {title} | {human[rows].mean():.1f} | {scores['OmniVQA-Nano'][rows].mean():.1f} | {faulty[rows].mean():.2f} | "
              + " | ".join(kinds) + " |")  # fmt: skip


def real_faults(bad: list[dict], items: list[dict], faulty: np.ndarray, named: np.ndarray) -> list[str]:
    """How naturally bad photos are answered, as Markdown: a row for each worst fault, and one for all."""
    row_of = {Path(item["file"]).name: row for row, item in enumerate(items)}
    rows = np.array([row_of[entry["photo"]] for entry in bad])
    worst = np.array([TYPES.index(entry["faults"][0]) for entry in bad])
    any_of = np.array([TYPES[named[row]] in entry["faults"] for row, entry in zip(rows, bad, strict=True)])
    lines = ["| naturally bad photos, worst fault | n | reported as faulty | the likeliest fault is the worst | is any that was seen |",
             "|---|---|---|---|---|"]  # fmt: skip
    for kind in [*(kind for kind in range(1, len(TYPES)) if (worst == kind).any()), 0]:
        chosen = worst == kind if kind else np.ones(len(bad), bool)
        cells = [shown(with_interval(lambda values: float(values.mean()), [values[chosen].astype(float)], rows[chosen]))
                 for values in (faulty[rows], named[rows] == worst, any_of)]  # fmt: skip
        lines.append(f"| {TYPES[kind] if kind else '**all**'} | {int(chosen.sum())} | " + " | ".join(cells) + " |")
    return lines
