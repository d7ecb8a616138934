"""What no trained measure is needed for to see that a picture is unlike footage: drawn pictures (screens, text, test cards)
and pictures of noise alone. The engine measures the same (`src/model/domain.ts`); here is where its limits come from.

Real footage has no two neighbouring pixels that are alike over most of the picture and beside them mostly steps as steep as
those of letters; a codec makes it flat, but soft. And whatever it shows, parts of a hundredth of its width belong together.
"""

import io
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .evaluate import share
from .ffmpeg import run_ffmpeg
from .sources import is_held_out
from .tempt import read_frames_of
from .views import CELL, GRID, SIZE, centred_views

LUMA = np.array([0.2126, 0.7152, 0.0722])
# Steps of luma from `SEEN` on are steps, from `STEEP` on those of letters and lines.
SEEN, STEEP = 3, 40
# Beyond these all channels count as clipped: a white sky and a black bar are equal pixels of every camera.
BLACK, WHITE = 16, 245
UNCLIPPED = 0.3
# The limits: see `judged`.
EVEN, LETTERS, EQUAL, RELATED, CONTRAST, COLOURFUL = 0.5, 0.36, 0.88, 0.1, 8.0, 24.0
# Photos of a collection that are pictures of web pages.
PAGES = ("clic-4cd6910a", "clic-ebfd571f")
SIZES = ((960, 540), (1920, 1080))
CODINGS = {"lossless": ["-c:v", "ffv1"], **{f"x264 CRF {crf}": ["-c:v", "libx264", "-preset", "veryfast", "-crf", str(crf)] for crf in (18, 28, 38)}}
CHOOSING = {"testsrc": "testsrc", "colour bars": "smptehdbars", "noise": "color=gray:{size},noise=alls=100:allf=t", "page": 18, "editor": -16}
TESTED = {"testsrc2": "testsrc2", "bars": "smptebars", "fractal": "mandelbrot", "game of life": "life=mold=10:ratio=0.3:{size}",
          "gradients": "gradients", "static noise": "color=gray:{size},noise=alls=60", "noise of double size":
          "color=gray:size={half},noise=alls=100:allf=t,scale={full}:flags=neighbor", "small page": 12, "slide": -44}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """Of one key frame: shares of neighbouring pixels that are `even` (1 of 255 apart at most) and, of those that are not
    clipped, `equal`; of visible steps, `letters` are steep. How far parts of the picture are `related`, -1..1, and
    its `contrast`, the standard deviation of luma."""

    even: float
    equal: float
    letters: float
    related: float
    contrast: float


def look(views: np.ndarray) -> Look:
    """Measures the views u8 [2,384,384,3] of a key frame: the squashed picture and fragments, which keep its pixels."""
    whole, cells = views[0], views[1].reshape(GRID, CELL, GRID, CELL, 3).astype(np.int16)
    apart = np.abs(np.diff(cells, axis=3)).max(-1)
    steps = np.abs(np.diff(np.rint(cells @ LUMA), axis=3))
    clipped = (cells.max(-1) <= BLACK) | (cells.min(-1) >= WHITE)
    kept = ~(clipped[:, :, :, 1:] & clipped[:, :, :, :-1])
    luma, lag = whole @ LUMA, SIZE // 96

    def correlation(a: np.ndarray, b: np.ndarray) -> float:
        a, b = a - a.mean(), b - b.mean()
        spread = float(np.sqrt((a * a).mean() * (b * b).mean()))
        return float((a * b).mean()) / spread if spread > 1e-6 else 1.0

    related = max(correlation(luma[:, lag:], luma[:, :-lag]), correlation(luma[lag:], luma[:-lag]))
    equal = float((apart[kept] == 0).mean()) if kept.mean() >= UNCLIPPED else 0.0
    return Look(float((apart <= 1).mean()), equal, float((steps >= STEEP).sum() / max(1, (steps >= SEEN).sum())), related, float(luma.std()))


def judged(one: Look) -> str | None:
    """What a key frame is taken for that is no footage: `drawn`, `noise` or nothing."""
    if one.contrast < CONTRAST:
        return None
    # A dark picture that was coded badly is as even as colour bars, but not as colourful.
    if one.even >= EVEN and one.letters >= LETTERS or one.equal >= EQUAL and one.contrast >= COLOURFUL:
        return "drawn"
    return "noise" if one.related <= RELATED and one.even < EVEN else None


def judged_clip(looks: list[Look]) -> str | None:
    """What at least half of the key frames are taken for."""
    name, count = Counter(judged(one) for one in looks).most_common(1)[0]
    return name if 2 * count >= len(looks) else None


def _page(letters: int, width: int, height: int) -> Image.Image:
    """A page of text with letters of so many px: dark on white, or light on dark where negative."""
    ink, paper = ("#222", "#fff") if letters > 0 else ("#d4d4d4", "#1e1e2e")
    picture = Image.new("RGB", (width, height), paper)
    draw, font, words = ImageDraw.Draw(picture), ImageFont.load_default(abs(letters)), "The quick brown fox jumps over the lazy dog 0123456789 "
    for row, top in enumerate(range(20, height - 60, 3 * abs(letters) // 2)):
        if row % 6 != 5:
            draw.text((40, top), (words * 9)[row % 7 : 30 + 37 * row % 90], ink, font)
    return picture


def generated(sources: dict[str, str | int], size: tuple[int, int]) -> dict[tuple[str, str], list[Look]]:
    """Two looks at each generated picture in each coding."""
    width, height = size
    out = {}
    with TemporaryDirectory() as folder:
        clip, page = Path(folder) / "clip.mkv", Path(folder) / "page.png"
        for name, made in sources.items():
            if isinstance(made, int):
                kept = io.BytesIO()
                _page(made, width, height).save(kept, "png")
                page.write_bytes(kept.getvalue())
                begin = ["-loop", "1", "-framerate", "25", "-i", str(page)]
            else:
                text = made.format(size=f"size={width}x{height}", full=f"{width}:{height}", half=f"{width // 2}x{height // 2}")
                begin = ["-f", "lavfi", "-i", text if "{" in made else f"{text}=size={width}x{height}"]
            for coding, arguments in CODINGS.items():
                run_ffmpeg([*begin, "-frames:v", "12", "-pix_fmt", "yuv420p", *arguments, "-threads", "1"], clip)
                frames = read_frames_of(clip, width, height)
                out[name, coding] = [look(centred_views(frames[i])) for i in (2, len(frames) - 1)]
    return out


def rendered(folder: Path, step: int) -> list[tuple[str, str, list[Look]]]:
    """Content, kind of degradation and looks at the first key frames of every `step`th rendered clip."""
    out = []
    for path in sorted(folder.glob("[!.]*.npz"))[::step]:
        with np.load(path) as data:
            recipe = json.loads(str(data["meta"]))
            views = np.stack([data["squash"][:1], data["fragments"][:1, 0]], 1)
        out.append((recipe["content"], recipe["recipe"]["kind"], [look(pair) for pair in views]))
    return out


def domain(sources: Path, work: Path, step: int) -> None:
    """Prints what the limits were chosen on, and what they take held-out clips and other generated pictures for."""
    items = json.loads((sources / "manifest.json").read_text())["items"]
    counts = Counter((item["kind"], item["source_repo"]) for item in items)
    screens = {item["content"] for item in items if item["category"].startswith("screen/") or item["content"].startswith(PAGES)}
    unseen = {item["content"] for item in items if is_held_out(item, counts)}
    for title, parts, made in (("choosing", ("train",), CHOOSING), ("held out", ("random", "ladders"), TESTED)):
        clips = [clip for part in parts for clip in rendered(work / part, step)]
        assert all((content in unseen) == (title == "held out") for content, _, _ in clips)
        footage = [clip for clip in clips if clip[0] not in screens]
        looks = [one for _, _, found in footage for one in found]
        even = [one.letters for one in looks if one.even >= EVEN]
        wide = [one for one in looks if one.contrast >= CONTRAST]
        colourful = [one for one in looks if one.contrast >= COLOURFUL]
        print(f"\n{title}: {len(footage)} clips of {len({content for content, _, _ in footage})} contents that are no screens\n", flush=True)
        print(f"steep steps of even pictures: at most {max(even):.3f} (limit {LETTERS}); equal neighbours: at most "
              f"{max(one.equal for one in colourful):.3f} (limit {EQUAL}); related parts: at least {min(one.related for one in wide):.3f} (limit {RELATED})")  # fmt: skip
        wrong = [(content, kind, judged_clip(found)) for content, kind, found in footage if judged_clip(found)]
        contents = np.array([content for content, _, _ in footage])
        alarms = share(np.array([float(judged_clip(found) is not None) for _, _, found in footage]), contents)
        print(f"taken for drawn or noise: {alarms} of the clips {sorted(set(wrong))}\n", flush=True)
        for content in sorted({content for content, _, _ in clips} & screens):
            found = [judged_clip(looks) for name, _, looks in clips if name == content]
            print(f"- screen {content}: {sum(one == 'drawn' for one in found)} of {len(found)} clips")
        print("\n| generated | " + " | ".join(f"{coding}, {height} lines" for _, height in SIZES for coding in CODINGS) + " |")
        print("|---" * (1 + len(SIZES) * len(CODINGS)) + "|")
        found = {size: generated(made, size) for size in SIZES}
        for name in made:
            print(f"| {name} | " + " | ".join(judged_clip(found[size][name, coding]) or "-" for size in SIZES for coding in CODINGS) + " |", flush=True)
