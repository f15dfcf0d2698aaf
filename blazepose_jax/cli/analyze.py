"""``blazepose analyze``: a video, or the points of one, to angles, repetitions and a figure."""

import contextlib
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from blazepose_jax.analysis.angles import ANGLES, LEAST_CONFIDENCE, JointAngle
from blazepose_jax.analysis.c3d import check_c3d, check_length, checked_world, write_c3d
from blazepose_jax.analysis.measures import LEAN, Measuring, measure, repetitions_of
from blazepose_jax.analysis.plot import check_plot
from blazepose_jax.analysis.recording import Recording, read_recording, recording_of
from blazepose_jax.analysis.repetitions import RESTS
from blazepose_jax.analysis.signals import METHODS
from blazepose_jax.cli.analyze_outputs import OUTPUTS, add_outputs, print_report, write
from blazepose_jax.cli.options import add_weights, experiment_of, locate_weights
from blazepose_jax.cli.progress import progress
from blazepose_jax.cli.track import add_tracking, read_ahead, settings_of
from blazepose_jax.errors import BlazePoseError, Interrupted, check_name
from blazepose_jax.inference.tracker import Tracker
from blazepose_jax.io.interrupts import interruptible
from blazepose_jax.io.media import read_media
from blazepose_jax.io.output_checks import check_outputs
from blazepose_jax.io.results import people


def add_arguments(parser: ArgumentParser) -> None:
    """The options."""
    parser.add_argument(
        "input", metavar="INPUT", help="a video, or what blazepose track --json wrote"
    )
    parser.add_argument(
        "--angles",
        metavar="NAMES",
        help="comma between them: left_knee, trunk_lean, or one of your own,"
        " name=POINT:JOINT:POINT (default: all)",
    )
    parser.add_argument(
        "--count",
        action="append",
        default=[],
        metavar="WHAT",
        help="count repetitions by an angle (knee is both sides, left_knee one), or height:POINT",
    )
    parser.add_argument(
        "--rest", metavar="END", help="where what is counted rests: auto, high or low"
    )
    parser.add_argument("--person", type=int, metavar="ID", help="whom (default: most frames)")
    add_outputs(parser)
    add_filters(parser)
    add_weights(parser)
    add_tracking(parser)
    parser.set_defaults(mask=None, world=True)


def add_filters(parser: ArgumentParser) -> None:
    """The options of gaps and smoothing."""
    standard = Measuring()
    parser.add_argument(
        "--min-confidence",
        type=float,
        default=LEAST_CONFIDENCE,
        metavar="P",
        help=f"points below it are not used (default: {LEAST_CONFIDENCE})",
    )
    parser.add_argument(
        "--gap",
        type=float,
        default=standard.gap,
        metavar="S",
        help=f"seconds without knowledge that are bridged (default: {standard.gap})",
    )
    parser.add_argument(
        "--smooth",
        default=standard.method,
        metavar="NAME",
        help=f"{', '.join(METHODS)} or none (default: {standard.method})",
    )
    parser.add_argument(
        "--window",
        type=float,
        default=standard.window,
        metavar="S",
        help=f"of savgol, seconds (default: {standard.window})",
    )
    parser.add_argument(
        "--cutoff",
        type=float,
        default=standard.cutoff,
        metavar="HZ",
        help=f"of butterworth (default: {standard.cutoff:g})",
    )


def run(args: Namespace) -> None:
    """``blazepose analyze``.

    Raises:
      BlazePoseError: bad options or input.
    """
    if args.rest is not None:
        check_name(args.rest, RESTS, "rest")
    check_name(args.smooth, (*METHODS, "none"), "smoothing")
    angles, lean = angles_of(args.angles)
    how = Measuring(
        angles,
        lean,
        args.min_confidence,
        args.gap,
        args.smooth,
        args.window,
        args.cutoff,
    )
    inputs = (args.input, args.weights, args.detector)
    check_outputs([getattr(args, name) for name in OUTPUTS], inputs)
    if args.plot:
        check_plot(args.plot)
    if args.c3d:
        check_c3d()
    recording, stopped = record(args, how)
    measures = measure(recording, how)
    counted = {what: repetitions_of(recording, what, how, args.rest) for what in args.count}
    write(args, recording, measures, counted)
    try:
        if args.c3d:  # after the others, as it may be too long for that
            write_c3d(args.c3d, recording, args.min_confidence)
    except BlazePoseError:
        with contextlib.suppress(BrokenPipeError):
            print_report(recording, measures, counted)
        raise
    # After all files: whoever reads it may stop.
    print_report(recording, measures, counted)
    if stopped:
        raise Interrupted(
            f"interrupted: what is written is of the first {len(recording.times)} frames"
        )


def angles_of(words: str | None) -> tuple[dict[str, JointAngle] | None, bool | None]:
    """``--angles`` as {name: which}, None for all; and whether the trunk's lean is among them, None
    for where there are hips and shoulders.

    Raises:
      BlazePoseError: an unknown name, or an own angle that is not of three points or has the name
        of the trunk's lean.
    """
    if words is None:
        return None, None
    found, lean = {}, False
    for word in words.split(","):
        name, _, points = word.partition("=")
        if name == LEAN and points:
            raise BlazePoseError(f"angle {word!r} has the name of the trunk's lean: name another")
        if not points:
            check_name(name, (*ANGLES, LEAN), "angle")
            lean |= name == LEAN
            found |= {name: ANGLES[name]} if name in ANGLES else {}
            continue
        if len(points.split(":")) != 3:
            raise BlazePoseError(
                f"angle {word!r} is of {points!r}: give name=POINT:JOINT:POINT, three points"
            )
        found[name] = JointAngle(*points.split(":"))
    return found, lean


def check_wishes(args: Namespace, how: Measuring, names: Sequence[str]) -> None:
    """Find what cannot be measured before a whole video is tracked.

    Raises:
      BlazePoseError: an unknown angle or point, a bad window, or nothing to measure.
    """
    empty = {"time": 0.0, "people": []}
    recording = recording_of(args.input, names, (), (1, 1), [empty])
    for what in args.count:
        repetitions_of(recording, what, how, args.rest)
    if not (measure(recording, how) or args.count):
        raise BlazePoseError(
            f"the points of {args.input!r} have none of the names that angles are known of: give"
            " --angles NAME=POINT:JOINT:POINT"
        )


def record(args: Namespace, how: Measuring) -> tuple[Recording, bool]:
    """The points of one person, read or tracked, and whether an interrupt ended that.

    Raises:
      BlazePoseError: a bad input, or nobody in it.
    """
    stopped = False
    if Path(args.input).suffix.lower() == ".json":
        recording = read_recording(args.input, args.person)
        if args.c3d:
            checked_world(args.input, recording.world)
        check_wishes(args, how, recording.names)
    else:
        recording, stopped = track(args, how)
    if not np.isfinite(recording.points).any():
        raise BlazePoseError(f"{args.input!r} has nobody in it: there is nothing to analyse")
    return recording, stopped


def track(args: Namespace, how: Measuring) -> tuple[Recording, bool]:
    """Track a video, with metres where the net has them; and whether an interrupt ended it."""
    media = read_media(args.input)
    if not media.is_sequence:
        raise BlazePoseError(f"{args.input!r} is a picture: analysis is of videos")
    if args.c3d:
        check_length(media.count or 0)
    locate_weights(args)
    tracker = Tracker(
        args.weights,
        args.detector,
        settings=settings_of(args, is_sequence=True),
        runtime=args.runtime,
        experiment=experiment_of(args),
    )
    check_wishes(args, how, tracker.skeleton.keypoints)
    frames: list[dict[str, Any]] = []
    size = (0, 0)
    with interruptible() as interrupted, read_ahead(media, interrupted) as pictures:
        for picture in progress(pictures, media.count, media.name, "frames"):
            poses = tracker(picture.image, picture.time)
            size = (picture.image.shape[1], picture.image.shape[0])
            found = people(poses)
            if args.c3d and found:
                checked_world(args.input, found[0].get("world"))
            # Numbers in lists take five times the memory.
            kept = [
                {k: np.array(v) if isinstance(v, list) else v for k, v in one.items()}
                for one in found
            ]
            frames.append({"time": picture.time, "people": kept})
            if interrupted():
                break
        stopped = interrupted()
    skeleton = tracker.skeleton
    recording = recording_of(
        media.name, skeleton.keypoints, skeleton.bone_indices, size, frames, args.person
    )
    return recording, stopped
