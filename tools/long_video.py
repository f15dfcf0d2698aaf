"""A long video: memory and cost a frame from the beginning to the end.

    .venv/bin/python tools/long_video.py CLIP [--frames 10000] [--weights lite] [--runtime litert]
    [--sizes 1]

The clip is decoded once and tracked over and over, by a Tracker whose results are written as JSON
and whose frames come through the thread that reads ahead, as in ``blazepose track``. Memory is
what the process holds for itself (RssAnon) after 1,000 frames and at the end; times are medians of
15 windows. ``--sizes N`` shows the frames in N sizes, taking turns: programs are compiled per
capacity, of which there are few.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from blazepose_jax.cli.main import Parser
from blazepose_jax.cli.options import locate
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference.tracker import Tracker
from blazepose_jax.io.cache import use_compilation_cache
from blazepose_jax.io.media import Picture, read_media
from blazepose_jax.io.prefetch import Prefetch
from blazepose_jax.io.results import JsonWriter

WARM = 1_000
WINDOWS = 15


def run(words: list[str]) -> None:
    """Track and print.

    Raises:
      BlazePoseError: bad input.
    """
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip")
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--weights", default="lite")
    parser.add_argument("--runtime", default="litert")
    parser.add_argument("--sizes", type=int, default=1)
    args = parser.parse_args(words)
    if args.frames < 2 * WARM:
        raise BlazePoseError(f"--frames is {args.frames}: give {2 * WARM} or more")
    use_compilation_cache()
    tracker = Tracker(locate(args.weights), runtime=args.runtime)
    times, memory = np.zeros(args.frames), {}
    with tempfile.TemporaryDirectory() as folder:
        writer = JsonWriter(Path(folder) / "a.json", "long", 30.0, tracker.model, tracker.skeleton)
        with Prefetch(pictures(args.clip, args.frames, args.sizes)) as frames:
            for picture in frames:
                began = time.perf_counter()
                poses = tracker(picture.image, picture.time)
                writer.write(picture, poses)
                times[picture.index] = time.perf_counter() - began
                if picture.index + 1 in (WARM, args.frames):
                    memory[picture.index + 1] = held()
        writer.close()
        size = (Path(folder) / "a.json").stat().st_size
    windows = [1000 * np.median(part) for part in np.array_split(times[WARM:], WINDOWS)]
    change = 100 * (memory[args.frames] / memory[WARM] - 1)
    print(f"{args.frames} frames in {args.sizes} sizes, {args.runtime}, {tracker.model}")
    print(f"memory {memory[WARM]:.0f} MiB at {WARM}, {memory[args.frames]:.0f} MiB at the end")
    print(f"change {change:+.1f} %")
    print("ms a frame, medians of windows: " + " ".join(f"{ms:.2f}" for ms in windows))
    print(f"median {np.median(windows):.2f}, from {min(windows):.2f} to {max(windows):.2f}")
    print(f"{size / args.frames:.0f} bytes of JSON a frame, {tracker.detector_runs} detector runs")


def pictures(clip: str, count: int, sizes: int) -> Iterator[Picture]:
    """The clip's frames over and over, cut to so many sizes."""
    frames = [picture.image for picture in read_media(clip)]
    for i in range(count):
        image, cut = frames[i % len(frames)], i % sizes
        shown = np.ascontiguousarray(image[: image.shape[0] - cut, : image.shape[1] - 2 * cut])
        yield Picture(i, i / 30, shown)


def held() -> float:
    """MiB of the process's own memory."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    try:
        run(sys.argv[1:])
    except BlazePoseError as error:
        sys.exit(f"long_video: {error}")
