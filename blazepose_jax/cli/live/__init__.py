"""``blazepose live``: a camera in a browser page, with skeleton, angles and repetitions.

The page takes pictures from the camera, or from a file in its place, and posts one at a time to
this process, which listens on localhost alone; whatever comes while one is under way is dropped.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from blazepose_jax.analysis.measures import Measuring
from blazepose_jax.cli.analyze import angles_of
from blazepose_jax.cli.live.server import make_server
from blazepose_jax.cli.live.session import Session
from blazepose_jax.cli.local_server import check_port, serve
from blazepose_jax.cli.options import add_weights, experiment_of, locate_weights
from blazepose_jax.cli.track import add_tracking, add_world, settings_of
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference.tracker import Tracker

NOTHING = "none"
KNEE = {"left_hip", "left_knee", "left_ankle"}


def add_arguments(parser: ArgumentParser) -> None:
    """The options."""
    parser.add_argument(
        "input", nargs="?", metavar="FILE", help="a video that plays in the camera's place"
    )
    parser.add_argument(
        "--angles",
        metavar="NAMES",
        help="which are shown, as for blazepose analyze (default: all)",
    )
    parser.add_argument(
        "--count",
        metavar="WHAT",
        help="repetitions of this, as for blazepose analyze, or none (default: knee, where the"
        " keypoints have knees)",
    )
    parser.add_argument(
        "--output", default=".", metavar="DIR", help="where recordings are written (default: here)"
    )
    parser.add_argument(
        "--port", type=int, default=8000, metavar="N", help="of localhost (default: 8000; 0: any)"
    )
    add_weights(parser)
    add_world(parser)
    add_tracking(parser)
    parser.set_defaults(mask=None)


def run(args: Namespace) -> None:
    """``blazepose live``.

    Raises:
      BlazePoseError: bad options, a file or folder that is not there, a port that is taken.
    """
    if args.input is not None and not Path(args.input).is_file():
        raise BlazePoseError(
            f"{args.input!r} is no file: give a video, or leave it out for a camera"
        )
    if not Path(args.output).is_dir():
        raise BlazePoseError(f"--output {args.output!r} is no folder: make it first")
    check_port(args.port)
    locate_weights(args)
    tracker = Tracker(
        args.weights,
        args.detector,
        settings=settings_of(args, is_sequence=True),
        runtime=args.runtime,
        experiment=experiment_of(args),
    )
    count = args.count or ("knee" if set(tracker.skeleton.keypoints) >= KNEE else NOTHING)
    angles, lean = angles_of(args.angles)
    session = Session(
        tracker,
        None if count == NOTHING else count,
        Path(args.output),
        Measuring(angles, lean),
    )
    clip = None if args.input is None else Path(args.input)
    try:
        serve(lambda: make_server(session, clip, args.port), args.port)
    finally:
        session.stop_recording()
