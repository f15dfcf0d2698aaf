"""What search and decode cost in a frame in which somebody is followed.

    python tools/steady_frame.py VIDEO [--weights W] [--runtime litert] [--passes 14]

Four trackers take every frame in turns, in an order that rotates, so that what else the machine
does falls on all of them. Prints the median over the frames of each one's time over that of
MediaPipe's settings (`search none`, `decode refine`).
"""

import argparse
import itertools
import time

import numpy as np

from blazepose_jax.inference import Settings, Tracker
from blazepose_jax.inference.engine import RUNTIMES
from blazepose_jax.io.media import read_media
from blazepose_jax.weights import find_weights

KINDS = tuple(itertools.product(("refine", "heatmap"), ("none", "quick")))
SETTLED = 3  # frames after which somebody is followed


def main(argv: list[str] | None = None) -> None:
    """Print a line for each decode and search."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video")
    parser.add_argument("--weights", default="full")
    parser.add_argument("--runtime", default="litert", choices=RUNTIMES)
    parser.add_argument("--passes", type=int, default=14)
    args = parser.parse_args(argv)
    frames = [(picture.image, picture.time) for picture in read_media(args.video)]
    trackers = [
        Tracker(
            find_weights(args.weights),
            settings=Settings(decode=decode, search=search),
            runtime=args.runtime,
        )
        for decode, search in KINDS
    ]
    seconds: list[list[float]] = [[] for _ in KINDS]
    for number in range(args.passes):
        for tracker in trackers:
            tracker.reset()
        for i, (image, when) in enumerate(frames):
            for k in np.roll(np.arange(len(KINDS)), i):
                start = time.perf_counter()
                trackers[k](image, when)
                # The first pass compiles.
                if number and i >= SETTLED:
                    seconds[k].append(time.perf_counter() - start)
    times = np.array(seconds)
    for (decode, search), row in zip(KINDS, times, strict=True):
        ratio = np.median(row / times[0])
        print(f"{decode}, search {search}: {1000 * np.median(row):.1f} ms, ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
