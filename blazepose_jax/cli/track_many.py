"""``blazepose track A B ... --output DIR``: many inputs at once, with results for each."""

import contextlib
import os
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from blazepose_jax.cli.options import experiment_of
from blazepose_jax.cli.progress import progress
from blazepose_jax.cli.track_outputs import Sink, naming
from blazepose_jax.errors import BlazePoseError, Interrupted, check_name
from blazepose_jax.inference.first_squares import DETECTOR
from blazepose_jax.inference.settings import Settings
from blazepose_jax.inference.stream_engines import StreamEngine, load_stream_engine
from blazepose_jax.inference.streams import SLOTS, Ended, Tracked, check_slots, run_streams
from blazepose_jax.io.image_formats import SUFFIXES
from blazepose_jax.io.interrupts import interruptible
from blazepose_jax.io.media import Media, is_sequence, public_name, read_media
from blazepose_jax.io.output_checks import check_outputs
from blazepose_jax.io.results import CsvWriter, JsonWriter

FORMATS = ("json", "csv")
STANDARD = {"formats": "json", "slots": SLOTS}  # of options that one input does not read
PARTS = ("hands", "face", "hand_model", "face_model")
OF_FILES = {*SUFFIXES, ".mp4", ".mkv", ".mov", ".m4v", ".avi", ".json", ".csv"}
ALONE = ("json", "csv", "video", "mask")  # options that name the output of one input


def add_arguments(parser: ArgumentParser) -> None:
    """The options of many inputs."""
    parser.add_argument(
        "--output", metavar="DIR", help="write the results of each input here, named after it"
    )
    parser.add_argument(
        "--formats",
        default=STANDARD["formats"],
        metavar="NAMES",
        help=f"of --output: {', '.join(FORMATS)} or {','.join(FORMATS)} (default: json)",
    )
    parser.add_argument(
        "--slots",
        type=int,
        default=STANDARD["slots"],
        metavar="N",
        help=f"of several inputs: how many at a time (default: {STANDARD['slots']})",
    )


def is_asked(args: Namespace) -> bool:
    """Whether the options are those of many inputs."""
    return len(args.input) > 1 or args.output is not None


def check_unasked(args: Namespace) -> None:
    """Refuse options of many inputs that nobody would read.

    Raises:
      BlazePoseError: one is given.
    """
    for option, standard in STANDARD.items():
        if (value := getattr(args, option)) != standard:
            raise BlazePoseError(
                f"--{option} {value} is of several inputs, with --output DIR, and there is one:"
                " leave it out, or give --output"
            )


def are_stills(args: Namespace) -> bool:
    """Whether all inputs are pictures that have nothing to do with each other.

    Raises:
      BlazePoseError: some are and some are not, and nobody says how to decode both.
    """

    def is_still(name: str) -> bool:
        with contextlib.suppress(BlazePoseError):  # which is said when it is read
            return not is_sequence(name, sequence=args.sequence)
        return True

    stills = {name: is_still(name) for name in args.input}
    if len(set(stills.values())) > 1 and args.decode is None:
        one, other = (next(n for n, still in stills.items() if still == kind) for kind in (1, 0))
        raise BlazePoseError(
            f"{one!r} is of pictures and {other!r} a sequence, which are decoded otherwise: track"
            " them one after the other, or give --decode"
        )
    return all(stills.values())


def run(args: Namespace, settings: Settings) -> None:
    """Track all inputs; those that cannot be read stop no other.

    Raises:
      BlazePoseError: options of one input; after the rest is done, inputs that failed.
    """
    outputs = output_names(args)
    check_slots(args.slots)
    engine = load_stream_engine(
        args.weights,
        args.detector,
        settings,
        args.runtime,
        min(args.slots, len(args.input)),
        experiment=experiment_of(args),
    )
    media: dict[int, Media] = {}

    def opener(number: int) -> Callable[[], Media]:
        def opened() -> Media:
            media[number] = read_media(
                args.input[number], start=args.start, end=args.end, sequence=args.sequence
            )
            return media[number]

        return opened

    results = Results(engine, media, outputs, args.world)
    began = time.perf_counter()
    with interruptible() as interrupted:
        sources = map(opener, range(len(outputs)))
        results.take(run_streams(engine, sources, interrupted), interrupted)
    results.report(args, time.perf_counter() - began)


def output_names(args: Namespace) -> list[list[str]]:
    """The files of each input, in a folder that is made.

    Raises:
      BlazePoseError: options of one input, an unknown format, or an output that is an input.
    """
    for option in ALONE:
        if getattr(args, option) is not None:
            raise BlazePoseError(
                f"--{option} names the result of one input, and there are {len(args.input)} with"
                " --output DIR, which names those of all: leave one out"
            )
    for option in PARTS:
        if getattr(args, option):
            raise BlazePoseError(
                f"--{option.replace('_', '-')} holds for one input: track the inputs one after the"
                " other"
            )
    if args.output is None:
        raise BlazePoseError(
            f"{len(args.input)} inputs need a folder for their results: give --output DIR"
        )
    if args.roi != DETECTOR:
        raise BlazePoseError(
            f"--roi {args.roi} holds for one input: track the inputs one after the other"
        )
    if Path(args.output).suffix.lower() in OF_FILES and not Path(args.output).is_dir():
        raise BlazePoseError(
            f"--output {args.output!r} is the name of a file, and a folder is meant: --video writes"
            " a video or picture with skeletons, --json and --csv the points of one input"
        )
    formats = [check_name(name, FORMATS, "format") for name in args.formats.split(",")]
    outputs = [
        [os.path.join(args.output, f"{name}.{kind}") for kind in formats]
        for name in result_names(args.input)
    ]
    Path(args.output).mkdir(parents=True, exist_ok=True)
    check_outputs(
        [path for paths in outputs for path in paths], (*args.input, args.weights, args.detector)
    )
    return outputs


class Results:
    """What is written of each input.

    Attributes:
      frames: tracked.
      occupied: frames with people.
      done: inputs that came to their end.
      failed: {position of the input: why}.
      stopped: by an interrupt.
      cut: positions of the inputs that it stopped in their course.
    """

    def __init__(
        self,
        engine: StreamEngine,
        media: Mapping[int, Media],
        outputs: Sequence[Sequence[str]],
        world: bool,
    ):
        """Nothing yet.

        Args:
          engine: tracks.
          media: of the inputs that were opened.
          outputs: names of the files of each input.
          world: whether CSV files have world landmarks.
        """
        self._engine, self._media, self._outputs, self._world = engine, media, outputs, world
        self._sinks: dict[int, list[Sink]] = {}
        self.frames = self.occupied = self.done = 0
        self.failed: dict[int, BlazePoseError | OSError] = {}
        self.stopped = False
        self.cut: list[int] = []

    def take(self, events: Iterable[Tracked | Ended], interrupted: Callable[[], bool]) -> None:
        """Write what comes; an interrupt keeps what is written so far."""
        try:
            for event in progress(events, None, f"{len(self._outputs)} inputs", "frames"):
                if isinstance(event, Ended):
                    self._end(event)
                    continue
                self.frames += 1
                self.occupied += bool(event.poses.present.any())
                for sink in self._sinks_of(event.stream):
                    with naming(sink.path):
                        sink.write(event.picture, event.poses)
                if interrupted():
                    break
            if interrupted():
                self.stopped, self.cut = True, sorted(self._sinks)
                for stream in self.cut:
                    self._end(Ended(stream))
                self.done -= len(self.cut)
        finally:
            for sinks in self._sinks.values():
                for sink in sinks:
                    sink.discard()

    def report(self, args: Namespace, seconds: float) -> None:
        """Say what was done.

        Raises:
          Interrupted: it was stopped.
          BlazePoseError: inputs failed.
        """
        print(
            f"{self.frames} frames of {self.done} inputs, {self.occupied} with people,"
            f" {self.frames / seconds:.1f} frames/s with compilation, reading and writing; results"
            f" in {args.output}"
        )
        for number, error in self.failed.items():
            print(f"blazepose: {args.input[number]} failed: {error}", file=sys.stderr)
        if self.stopped:
            cut = ", ".join(args.input[number] for number in self.cut)
            raise Interrupted(
                "interrupted: the results so far are kept" + (f", in part of {cut}" if cut else "")
            )
        if self.failed:
            raise BlazePoseError(
                f"{len(self.failed)} of {len(args.input)} inputs failed, as said above: the results"
                f" of the others are in {args.output}"
            )

    def _sinks_of(self, stream: int) -> list[Sink]:
        if stream not in self._sinks:
            media, engine, found = self._media[stream], self._engine, []
            self._sinks[stream] = found
            for path in self._outputs[stream]:
                if path.endswith(".csv"):
                    found.append(CsvWriter(path, engine.skeleton, self._world))
                else:
                    found.append(
                        JsonWriter(path, media.name, media.fps, engine.model, engine.skeleton)
                    )
        return self._sinks[stream]

    def _end(self, event: Ended) -> None:
        sinks = self._sinks.pop(event.stream, [])
        if event.error is not None:
            self.failed[event.stream] = event.error
            for sink in sinks:
                sink.discard()
            return
        self.done += 1
        while sinks:
            with naming(sinks[0].path):
                sinks[0].close()
            sinks.pop(0)


def result_names(inputs: Sequence[str]) -> list[str]:
    """A name for the results of each input: its stem, with a number where several have the same."""
    taken: set[str] = set()
    names = []
    for source in inputs:
        stem = Path(public_name(source)).stem.replace(":", "_") or "input"
        name, number = stem, 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem}_{number}"
        taken.add(name.casefold())
        names.append(name)
    return names
