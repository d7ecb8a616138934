import json
import random
import shutil
import subprocess

import pytest
from conftest import FIXTURES, ROOT
from omnivqa.tokenizer import FAULTS, LEVELS, NUMBERS, SEVERITIES, SPECIALS, STEPS, TYPES, corpus, train_tokenizer

ENCODE = """
import { readFileSync } from 'node:fs';
import { Tokenizer } from '@huggingface/tokenizers';
const { tokenizer, texts } = JSON.parse(readFileSync(0, 'utf8'));
const loaded = new Tokenizer(tokenizer, {});
const rows = texts.map((text) => {
  const { ids } = loaded.encode(text, { add_special_tokens: false });
  const options = { skip_special_tokens: false, clean_up_tokenization_spaces: false };
  return { ids, text: ids.length === 0 ? '' : loaded.decode(ids, options) };
});
console.log(JSON.stringify(rows));
"""
UNSEEN = [
    "", " ", "\n", "\n\n  x", "  two  spaces ", "a\r\nb", "tab\tand\u00a0nbsp", "It's they'LL I'm", "12:34.5678 fps@60", "3/4",
    "Größe façade ÅNGSTRÖM", "e\u0301 is é after NFC", "視頻質量怎麼樣？", "ビデオの画質", "видео", "مرحبا", "שלום", "हिन्दी", "ไทย",
    "🎬👩‍👩‍👧‍👦🏳️‍🌈", "\u200bzero\u200dwidth", "\x00\x07\x1b[31m", "<|im_start|>user\nhi<|im_end|>", "<|im_end|><|endoftext|>",
    "<|im_start", "<image>", "{question}", "'s't're", "....!!!???\n", "x" * 300, "\ufeffbom", "ﬁ ligature ½ ²", "𝔘𝔫𝔦", "\u2028line",
]  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(corpus(), 1024)


def test_words_of_the_answers_are_single_tokens(tokenizer):
    words = {*LEVELS, *TYPES, *(word for severity in SEVERITIES for word in severity.split())}
    words |= {*FAULTS, *STEPS, *NUMBERS, "none", "whole", "column", "row", "yes", "no"}
    split = [word for word in words if len(tokenizer.encode(f" {word}", add_special_tokens=False).ids) != 1]
    assert split == []
    assert [tokenizer.token_to_id(token) for token in SPECIALS] == [1021, 1022, 1023]


def test_training_twice_gives_the_same_file(tokenizer):
    assert train_tokenizer(corpus(), 1024).to_str() == tokenizer.to_str()


def test_every_text_survives_the_round_trip(tokenizer):
    for text in [*UNSEEN, *list(corpus())[::40]]:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids, skip_special_tokens=False) == tokenizer.normalizer.normalize_str(text)


def test_a_corpus_too_small_for_the_vocabulary_is_an_error():
    with pytest.raises(ValueError, match="yield 259 tokens, not 300"):
        train_tokenizer(["ab"], 300)


@pytest.mark.skipif(
    not (ROOT / "node_modules" / "@huggingface" / "tokenizers").exists() or shutil.which("node") is None,
    reason="needs the npm packages of the repository",
)
@pytest.mark.parametrize("which", ["nano", "fixture"])
def test_the_javascript_tokenizer_agrees(tokenizer, which):
    text = tokenizer.to_str() if which == "nano" else (FIXTURES / "doubled-patch" / "tokenizer.json").read_text("utf-8")
    reference = tokenizer if which == "nano" else type(tokenizer).from_str(text)
    rng = random.Random(0)
    alphabet = "".join(UNSEEN) + "the quality of video is 0123456789 .,;:'\n"
    noise = ["".join(rng.choices(alphabet, k=rng.randint(1, 60))) for _ in range(200)]
    texts = [*UNSEEN, *rng.sample(sorted(set(corpus())), 300), *noise]
    done = subprocess.run(
        ["node", "--input-type=module", "-e", ENCODE],
        input=json.dumps({"tokenizer": json.loads(text), "texts": texts}),
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=ROOT,
        check=True,
    )
    for text, row in zip(texts, json.loads(done.stdout), strict=True):
        ids = reference.encode(text, add_special_tokens=False).ids
        assert row["ids"] == ids, text
        assert row["text"] == reference.decode(ids, skip_special_tokens=False), text
