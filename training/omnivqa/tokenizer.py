"""Nano's tokenizer: Qwen2's byte-level BPE with a small vocabulary, trained on the prompts and answers Nano meets.

`python -m omnivqa.tokenizer <directory> [--vocabulary 1024]` writes `tokenizer.json`, byte for byte the same each time.
The corpus is made here from the fixed forms of OmniVQA's questions and answers; there is no other text in it.
"""

import argparse
import itertools
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

# The pre-tokenizer of Qwen2 (Yang et al., "Qwen2 Technical Report", arXiv 2407.10671).
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
LEVELS = ("high", "good", "fair", "poor", "low")
SEVERITIES = ("noticeable", "relatively severe", "severe")
TYPES = ("blur", "noise", "overexposure", "underexposure", "compression", "stutter")
LOCATIONS = (
    "Center", "upper left", "upper right", "lower left", "lower right", "left", "right", "top", "bottom",
    "the whole frame",
)  # fmt: skip

RATING = (
    "The key frames of this video are:\n. And the motion feature of the video is\n. "
    "How would you rate the quality of this video?"
)
CHAT = (
    "You will receive {K} distinct frames that have been uniformly sampled in each second from a video sequence{L}, "
    "arranged in the same temporal order as they appear in the video. In addition, you will also obtain motion features "
    "extracted from all {T} frames of the the video.  Please analyze these images and answer the questions based on your "
    "observations.\nThe video frames:\nThe video motion features:\n."
)
CHOICE = (
    "Please answer the question in the following format: the uppercase letter of the correct answer option itself +'.'. "
    "Please do not add any other answers beyond this."
)
DESCRIBE = (
    "Please describe the overall quality of this video, please evaluate as many quality factors as possible.",
    "Please describe the information about the local distortions of the video.",
    "Please give a detailed description of the aesthetic effects of the video.",
)

# What a description of each factor is built from, best to worst.
DESCRIPTIONS = {
    "sharpness": (
        "The picture is crisp, with fine textures and clear edges.",
        "Most details are preserved, although distant objects look slightly soft.",
        "The frames appear blurry, contours are smeared and small details are lost.",
        "Severe defocus makes the content hard to recognise.",
    ),
    "light": (
        "The brightness is balanced, shadows and highlights keep their details.",
        "Bright regions such as the sky are clipped to white by overexposure.",
        "The scene is too dark, underexposure hides the details of the background.",
    ),
    "compression": (
        "There are no visible compression artifacts.",
        "Slight blocking and ringing appear around moving objects.",
        "Strong block artifacts, banding and mosquito noise damage smooth areas and edges.",
    ),
    "colour": (
        "Colours are natural, vivid and well saturated.",
        "The colour is pale, with low contrast and a visible colour cast.",
    ),
    "noise": (
        "The image is clean, without grain.",
        "Random noise is noticeable in dark areas and flickers between frames.",
    ),
    "fluency": (
        "The motion is smooth and fluent, no frames are dropped.",
        "The playback stalls, frames freeze and repeat, and the movement stutters.",
    ),
    "motion blur": (
        "Fast movements remain distinct.",
        "Quickly moving people and vehicles leave obvious motion blur.",
    ),
    "camera shake": (
        "The camera is stable throughout the whole sequence.",
        "The handheld camera shakes strongly, which disturbs viewing.",
    ),
}
AESTHETICS = (
    "The composition is harmonious, with a clear subject, depth and leading lines.",
    "Soft warm light creates a calm, pleasant atmosphere.",
    "Cool tones and high contrast express tension and emotion.",
    "The camera moves slowly, following the subject in a wide shot, then a close-up.",
    "The style is documentary, realistic and simple; the content is ordinary.",
    "The framing is cluttered, the horizon is tilted and the focus is unclear.",
)
# What Nano is asked about every second, and the words its answers are made of: one token each.
PROBES = (". What is wrong here?", ". Does it stutter?")
FAULTS = ("blur", "noise", "bright", "dark", "blocks")
STEPS = ("noticeable", "moderate", "severe")
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven")
QUESTIONS = (
    "What happens at second {n}?", "What distortions occur between second {n} and second {m}?",
    "Which second has the worst quality?", "When does the quality drop, and why?",
    "How many times does the video stutter?", "Which part of the frame is affected from 0:0{n} to 0:0{m}?",
    "Is the picture quality better at the beginning or at the end of the video?",
    "How long does the distortion that starts at {n} second last?",
)  # fmt: skip


def corpus() -> Iterable[str]:
    """The texts the vocabulary is made for. How often a form is repeated says how soon it earns tokens of its own."""
    system = "system\nYou are a helpful assistant.\nuser\n\nassistant\n"
    for level in LEVELS:
        yield from [f"{RATING}{system}The quality of the video is {level}.", f"The {level} quality is {level}."] * 60
        yield from [f"The {branch} quality of the video is {level}." for branch in ("technical", "aesthetic", "local")] * 8
        yield from [f"The {factor} of the video is {level}." for factor in DESCRIPTIONS] * 6
    for k, t in itertools.product(range(1, 11), (24, 25, 30, 50, 60)):
        for length in ("", f" (the video is {k} seconds long)"):
            yield CHAT.format(K=k, T=k * t, L=length) + " In the question, 1 second is the first second."
    for kind, severity, place in itertools.product(TYPES, SEVERITIES, LOCATIONS):
        start = 1 + (len(kind) + len(place)) % 9
        yield f"Location: {place}. At {start} second. Last for {start % 3 + 1} seconds. Severity: {severity}. Type: {kind}."
        yield f"At {start} second, there is {severity} {kind} at the {place} of the video. Last for 1 second."
        yield f"Where is the {kind}? What distortion is at the {place}? How severe is the {kind}? It is {severity}."
        yield f"Is there any {kind} in this video? Yes. No. When does the {kind} appear? How long does the {kind} last?"
    for kind in TYPES:
        yield from [f"The video has {kind}.", "There is no distortion in this video.", "The video is free of distortion."] * 4
        yield from [f"The main distortion of the video is {kind}.", f"There is no {kind} in the video."] * 4
    for options in itertools.permutations(TYPES, 4):
        lines = "\n".join(f"{letter}. {option}" for letter, option in zip("ABCD", options, strict=True))
        yield f"Which type of distortion is in this video?\n{lines}\n{CHOICE}"
    for options in itertools.permutations(LEVELS[:4]):
        lines = "\n".join(f"{letter}. {option}" for letter, option in zip("ABCD", options, strict=True))
        yield f"What is the quality of this video?\n{lines}\n{CHOICE}"
    for letter in "ABCD":
        yield from [f"{letter}."] * 20
    for probe in PROBES:
        yield from [f"{probe}{system}"] * 60
    for fault, step in itertools.product(FAULTS, STEPS):
        yield from [f"The distortion is {fault}, {step}, whole."] * 12
        yield from [f"The distortion is {fault}, {step}, column {n}, row {m}." for n, m in zip(NUMBERS, NUMBERS[::-1])] * 6
    yield from ["The distortion is none.", "Stutter: yes.", "Stutter: no."] * 60
    for question in DESCRIBE:
        yield from [question] * 30
    for factor, sentences in DESCRIPTIONS.items():
        yield from [f"How is the {factor} of this video? Please describe the {factor} of the video."] * 6
        yield from [f"In terms of {factor}: {sentence} Overall, the {factor} is acceptable." for sentence in sentences] * 3
    yield from AESTHETICS * 3
    for n, question in itertools.product(range(1, 8), QUESTIONS):
        yield question.format(n=n, m=n + 2)


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """A byte-level BPE of `vocabulary` tokens in all: the 256 bytes, the merges, Qwen's three special tokens last.
    Raises ValueError where the texts do not yield that many merges."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False),
        ]
    )
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(SPECIALS),
        min_frequency=2,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIALS])
    if tokenizer.get_vocab_size() != vocabulary:
        raise ValueError(f"the texts yield {tokenizer.get_vocab_size()} tokens, not {vocabulary}")
    return tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--vocabulary", type=int, default=1024)
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(corpus(), arguments.vocabulary)
    tokenizer.save(str(arguments.directory / "tokenizer.json"))


if __name__ == "__main__":
    main()
