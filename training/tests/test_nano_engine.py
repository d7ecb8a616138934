"""The shipped checkpoints rate a clip alike here and in the engine, from the same file on."""

import json
import os
import subprocess

import numpy as np
import pytest
import torch
from conftest import ROOT

from omnivqa.checkpoint import load_checkpoint
from omnivqa.preprocess import clip_pixels
from omnivqa.sequence import clip_tokens, load_tokenizer, rate

CLI = ROOT / "dist" / "cli.mjs"
WIDTH, HEIGHT, RATE = 640, 360, 30


@pytest.mark.skipif(not CLI.exists(), reason="the engine is not built: npm run build")
@pytest.mark.parametrize("directory", [ROOT / "models" / "nano", ROOT / "models" / "nano" / "comparison"], ids=lambda path: path.name)
def test_engine_and_reference_rate_a_clip_alike(directory, tmp_path):
    clip = tmp_path / "clip.mp4"
    ffmpeg = ["ffmpeg", "-nostdin", "-v", "error"]
    encode = ["-vf", f"scale={WIDTH}:{HEIGHT}", "-an", "-c:v", "libx264", "-crf", "34", "-pix_fmt", "yuv420p"]
    subprocess.run([*ffmpeg, "-t", "4", "-i", f"file:{ROOT / 'media' / 'sample.mp4'}", *encode, f"file:{clip}"], check=True)
    command = ["node", str(CLI), "assess", str(clip), "--model", str(directory), "--no-cache", "--format", "json", "--provider", "cpu"]
    told = subprocess.run(command, env=os.environ | {"OMNIVQA_CACHE": str(tmp_path / "cache")}, capture_output=True, check=True)

    graph = "scale=flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp,format=rgb24"
    raw = subprocess.run([*ffmpeg, "-i", f"file:{clip}", "-vf", graph, "-f", "rawvideo", "-"], capture_output=True, check=True)
    frames = np.frombuffer(raw.stdout, np.uint8).reshape(-1, HEIGHT, WIDTH, 3)
    network, tokenizer = load_checkpoint(directory), load_tokenizer(directory)
    key, motion = clip_pixels(list(frames), RATE, network.config)
    with torch.inference_mode():
        tokens = clip_tokens(network, torch.from_numpy(key), torch.from_numpy(motion))
        score = rate(network, tokenizer, tokens).score
    assert json.loads(told.stdout)["score"] / 100 == pytest.approx(score, abs=0.01)
