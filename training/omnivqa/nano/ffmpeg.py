"""Runs the ffmpeg that imageio-ffmpeg bundles: built with libvmaf, x264, x265, libvpx and SVT-AV1."""

import os
import subprocess
from pathlib import Path

import imageio_ffmpeg


def run_ffmpeg(arguments: list[str], target: Path | None = None) -> None:
    """Runs ffmpeg, single-threaded where the caller says so. `target` is written through a temporary sibling, so it
    exists only when it is whole. Raises RuntimeError with the command and the end of stderr."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *arguments]
    part = None
    if target is not None:
        part = target.with_name(f".{os.getpid()}.{target.name}")
        command.append(f"file:{part}")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        if part is not None:
            part.unlink(missing_ok=True)
        raise RuntimeError(f"ffmpeg ended with {done.returncode}: {' '.join(command)}\n{done.stderr[-2000:]}")
    if part is not None:
        part.replace(target)
