"""``blazepose track``: a video, image, folder or camera to points, overlays and masks."""

import dataclasses
import os
import time
import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

from blazepose_jax.cli import track_many
from blazepose_jax.cli.options import (
    add_decode,
    add_precision,
    add_runtime,
    add_search,
    add_weights,
    experiment_of,
    locate_weights,
)
from blazepose_jax.cli.progress import progress
from blazepose_jax.cli.track_outputs import Sink, open_sinks, write_frame
from blazepose_jax.errors import BlazePoseError, Interrupted
from blazepose_jax.inference.first_squares import DETECTOR
from blazepose_jax.inference.part_model import PartFinder, PartModel
from blazepose_jax.inference.settings import (
    MIN_SCORE,
    MIN_SEARCH_SCORE,
    Settings,
    SmoothingConfig,
)
from blazepose_jax.inference.tracker import Tracker
from blazepose_jax.io.interrupts import interruptible
from blazepose_jax.io.media import Media, Picture, read_media
from blazepose_jax.io.output_checks import check_outputs
from blazepose_jax.io.prefetch import AHEAD, Prefetch
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import NO_PARTS


@dataclasses.dataclass
class Counts:
    """What was tracked so far."""

    frames: int = 0
    occupied: int = 0  # frames with people
    detector_runs: int = 0
    starts: int = 0  # at a fixed first square
    stopped: bool = False  # by an interrupt, before the end of the input


def add_arguments(parser: ArgumentParser) -> None:
    """The options."""
    parser.add_argument(
        "input",
        nargs="+",
        metavar="INPUT",
        help=(
            "video, image, folder of images, camera:0, a URL like rtsp://..., or - for standard"
            " input; several are tracked at once, with --output"
        ),
    )
    track_many.add_arguments(parser)
    add_weights(parser)
    parser.add_argument(
        "--roi",
        default=DETECTOR,
        metavar="WHERE",
        help=(
            "where to look while nobody is followed: detector (default), whole for the whole image,"
            " or X,Y,W,H for the square round a box in px; without a detector for the last two"
        ),
    )
    parser.add_argument("--json", metavar="FILE", help="write all points as JSON")
    parser.add_argument("--csv", metavar="FILE", help="write all points as CSV")
    parser.add_argument("--video", metavar="FILE", help="write the skeletons drawn over the input")
    parser.add_argument("--mask", metavar="DIR", help="write a mask per frame as PNG")
    add_world(parser)
    add_tracking(parser)
    add_parts(parser)
    parser.add_argument("--start", type=float, default=0.0, metavar="S", help="seconds to begin at")
    parser.add_argument("--end", type=float, metavar="S", help="seconds to stop before")
    parser.add_argument(
        "--sequence", action="store_true", help="a folder's images follow each other in time"
    )


def add_world(parser: ArgumentParser) -> None:
    """``--world``, of commands that write points."""
    parser.add_argument("--world", action="store_true", help="add world landmarks in metres")


def add_tracking(parser: ArgumentParser) -> None:
    """The options of whom to track, and how; ``settings_of`` reads ``mask`` and ``world``, too."""
    add_runtime(parser)
    add_precision(parser)
    parser.add_argument(
        "--max-people", type=int, default=1, metavar="N", help="people at once (default: 1)"
    )
    add_smoothing(parser)
    add_decode(parser)
    add_search(parser)
    parser.add_argument(
        "--flip", action="store_true", help="average with the mirror image; for stills"
    )
    parser.add_argument(
        "--min-detection-confidence",
        type=float,
        metavar="P",
        help=f"default {MIN_SEARCH_SCORE}, with --search none {MIN_SCORE}",
    )
    parser.add_argument(
        "--min-presence-confidence", type=float, default=0.5, metavar="P", help="default 0.5"
    )


def add_parts(parser: ArgumentParser) -> None:
    """The options of hands and faces."""
    parser.add_argument("--hands", action="store_true", help="write the squares round hands (JSON)")
    parser.add_argument(
        "--face", action="store_true", help="write the square round the face (JSON)"
    )
    parser.add_argument(
        "--hand-model", metavar="X.tflite", help="run this on the hands and write its points, too"
    )
    parser.add_argument("--face-model", metavar="X.tflite", help="the same for faces")


def finder_of(args: Namespace, skeleton: Skeleton) -> PartFinder | None:
    """What looks for hands and faces, if the options ask for any.

    Raises:
      BlazePoseError: a bad model, or a skeleton without their points.
    """
    hand, face = (path and PartModel(path) for path in (args.hand_model, args.face_model))
    if not (args.hands or args.face or hand or face):
        return None
    return PartFinder(skeleton, hands=args.hands, face=args.face, hand_model=hand, face_model=face)


def add_smoothing(parser: ArgumentParser) -> None:
    """The options of the filters over time."""
    standard = SmoothingConfig()
    parser.add_argument(
        "--no-smoothing", action="store_true", help="raw points, without filter over time"
    )
    parser.add_argument(
        "--min-cutoff",
        type=float,
        metavar="HZ",
        help=(
            "filter of keypoints at rest: lower is steadier and lags more (default, MediaPipe's: "
            f"{standard.keypoints_min_cutoff:g})"
        ),
    )
    parser.add_argument(
        "--beta",
        type=float,
        metavar="HZ",
        help=(
            "filter of moving keypoints, added to --min-cutoff per ROI side a second: higher lags"
            f" less (default, MediaPipe's: {standard.keypoints_beta:g})"
        ),
    )


def settings_of(args: Namespace, is_sequence: bool) -> Settings:
    """The tracking options as Settings.

    Raises:
      BlazePoseError: constants of a filter that is off.
    """
    given = {"keypoints_min_cutoff": args.min_cutoff, "keypoints_beta": args.beta}
    given = {name: value for name, value in given.items() if value is not None}
    if given and args.no_smoothing:
        option = "--min-cutoff" if args.min_cutoff is not None else "--beta"
        raise BlazePoseError(
            f"{option} sets a filter that --no-smoothing turns off: give one of the two"
        )
    return Settings(
        max_people=args.max_people,
        min_detection_confidence=args.min_detection_confidence,
        min_presence_confidence=args.min_presence_confidence,
        decode=args.decode or ("video" if is_sequence else "stills"),
        search=args.search,
        flip=args.flip,
        smoothing=not args.no_smoothing,
        world=args.world,
        mask=args.mask is not None,
        filters=SmoothingConfig(**given),
        precision=args.precision,
    )


def run(args: Namespace) -> None:
    """``blazepose track``."""
    if track_many.is_asked(args):
        locate_weights(args)
        track_many.run(args, settings_of(args, not track_many.are_stills(args)))
        return
    track_many.check_unasked(args)
    media = read_media(args.input[0], start=args.start, end=args.end, sequence=args.sequence)
    files = (args.json, args.csv, args.video)
    locate_weights(args)
    models = (args.weights, args.detector, args.hand_model, args.face_model)
    check_outputs(files, (*media.files, *models))
    check_mask_folder(args.mask, files)
    tracker = Tracker(
        args.weights,
        args.detector,
        settings=settings_of(args, media.is_sequence),
        runtime=args.runtime,
        roi=args.roi,
        experiment=experiment_of(args),
    )
    finder = finder_of(args, tracker.skeleton)
    began = time.perf_counter()
    with open_sinks(args, media, tracker) as sinks:
        counts = track_media(tracker, media, sinks, finder)
    seconds = time.perf_counter() - began
    starts = "" if args.roi == DETECTOR else f" {counts.starts} starts at the first square,"
    print(
        f"{counts.frames} frames, {counts.occupied} with people, {counts.detector_runs} detector"
        f" runs,{starts} {counts.frames / seconds:.1f} frames/s with compilation, reading and"
        " writing"
    )
    if counts.stopped:
        raise Interrupted(f"interrupted: the results of the first {counts.frames} frames are kept")


def track_media(
    tracker: Tracker, media: Media, sinks: list[Sink], finder: PartFinder | None = None
) -> Counts:
    """Track every picture and write what was found; an interrupt ends it after a frame."""
    counts, before, reason = Counts(), Counts(), None
    with interruptible() as interrupted, read_ahead(media, interrupted) as pictures:
        for picture in progress(pictures, media.count, media.name, "frames"):
            if not media.is_sequence:
                before = dataclasses.replace(counts)
                tracker.reset()
            try:
                poses = tracker(picture.image, picture.time)
            except BlazePoseError as error:
                # Such as a first square that this picture is too small for.
                if media.is_sequence or len(media.files) < 2:
                    raise
                warnings.warn(f"skipped: {picture.file}: {error}", stacklevel=2)
                reason = error
                continue
            parts = NO_PARTS if finder is None else finder(picture.image, poses)
            write_frame(sinks, picture, poses, parts)
            counts.frames += 1
            counts.occupied += bool(poses.present.any())
            counts.detector_runs = before.detector_runs + tracker.detector_runs
            counts.starts = before.starts + tracker.starts
            if interrupted():
                break
        counts.stopped = interrupted()
    if reason is not None and not counts.frames:
        raise reason
    return counts


def read_ahead(media: Media, interrupted: Callable[[], bool] = lambda: False) -> Prefetch[Picture]:
    """The pictures, read ahead; of what comes live just the next one."""
    return Prefetch(media, AHEAD if media.files else 1, interrupted)


def check_mask_folder(path: str | None, outputs: tuple[str | None, ...]) -> None:
    """Refuse a mask folder that holds something, or that is to hold another output.

    Raises:
      BlazePoseError: such a folder.
    """
    if path is None:
        return
    if Path(path).exists() and (not Path(path).is_dir() or any(Path(path).iterdir())):
        raise BlazePoseError(f"mask folder {path!r} exists and is not empty: name a new one")
    for output in outputs:
        if output is None:
            continue
        masks, other = Path(os.path.realpath(path)), Path(os.path.realpath(output))
        if masks == other.parent or masks.is_relative_to(other):
            raise BlazePoseError(
                f"output {output!r} and the mask folder {path!r} lie in each other: name another"
                " place"
            )
