"""``blazepose demo``: a moving photograph tracked, and a small net trained on rendered people."""

import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

from blazepose_jax.cli.options import add_overrides
from blazepose_jax.errors import BlazePoseError


def add_arguments(parser: ArgumentParser) -> None:
    """The options."""
    add_overrides(parser, "changes to the experiment demo")
    parser.add_argument(
        "--output", default="demo", metavar="DIR", help="where to write (default: demo)"
    )
    parser.add_argument(
        "--source",
        metavar="W",
        help=(
            "weights to take: a name, a weights directory, a .task or a mediapipe wheel (default:"
            " released-full)"
        ),
    )


def run(args: Namespace) -> None:
    """``blazepose demo``."""
    # Here, as the options need none of these.
    from blazepose_jax.cli.demo.clip import read_photograph, track_clip
    from blazepose_jax.cli.demo.page import write_page
    from blazepose_jax.cli.demo.released import demo_weights
    from blazepose_jax.cli.demo.training import train_demo
    from blazepose_jax.inference.timing import stage_times
    from blazepose_jax.inference.tracker import Tracker

    output = Path(args.output)
    if output.is_file():
        raise BlazePoseError(f"output {args.output!r} is a file: name a folder")
    photograph = read_photograph()
    output.mkdir(parents=True, exist_ok=True)
    weights = demo_weights(args.source, output)
    began = time.perf_counter()
    tracker = Tracker(weights)
    tracked = track_clip(tracker, photograph, output)
    seconds = time.perf_counter() - began
    stages = stage_times(weights, photograph, "jax")
    print("training a small net on rendered people; this takes four to five minutes on two cores")
    trained = train_demo(output / "training", args.overrides)
    write_page(output / "index.html", tracker, tracked, stages, seconds, trained)
    print(
        f"held-out rendered people: PCK@0.2 {trained.pck}, the median pose has {trained.floor};"
        f" {trained.seconds:.0f} s"
    )
    print(
        f"a person in {tracked.found} of {len(tracked.traces)} frames, {tracker.detector_runs}"
        f" detector runs, {seconds:.1f} s with compilation"
    )
    print(f"open {output / 'index.html'}")
