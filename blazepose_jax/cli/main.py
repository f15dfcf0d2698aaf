"""The command line: words come in, one command runs; mistakes become one line and exit code 2."""

import argparse
import contextlib
import difflib
import importlib
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from blazepose_jax.errors import BlazePoseError, Interrupted, check_name

# Where each command lives; imported when it is called, so that none needs what another one does.
COMMANDS = {
    "models": ("cli.track", "list_models"),
    "import": ("cli.track", "import_files"),
    "track": ("cli.track", "track"),
    "evaluate": ("cli.evaluate", "run"),
    "train": ("training.loop", "run"),
    "data": ("cli.data", "run"),
    "export": ("cli.export", "run"),
    "web": ("cli.web", "run"),
    "demo": ("cli.demo.page", "run"),
}


class Parser(argparse.ArgumentParser):
    """argparse without usage dumps: what is wrong, in one line."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing."""
        raise BlazePoseError(f"{message}; see {self.prog} --help")


def build_parser() -> Parser:
    """All commands and their options."""
    parser = Parser(
        prog="blazepose",
        description="BlazePose in JAX: 33 body points of the people in a video.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=Parser
    )

    models = commands.add_parser("models", help="list the networks")
    models.add_argument("--json", action="store_true", help="as JSON")

    weights = commands.add_parser("import", help="turn Google's files into a weights directory")
    weights.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help=".task, .tflite or mediapipe wheel file, or the word mediapipe",
    )
    weights.add_argument(
        "--output", required=True, metavar="DIR", help="the weights directory to write"
    )

    track = commands.add_parser(
        "track", help="track people in a video, image, folder or camera", allow_abbrev=False
    )
    add_track_options(track)

    evaluate = commands.add_parser(
        "evaluate", help="measure a pose net on annotated photographs"
    )
    add_evaluate_options(evaluate)

    train = commands.add_parser("train", help="train a network")
    train.add_argument(
        "experiment", metavar="EXPERIMENT", help="a name in experiments/ or a Python file"
    )
    train.add_argument(
        "overrides", nargs="*", metavar="field.path=value", help="changes, like optimizer.steps=100"
    )
    train.add_argument(
        "--workdir", required=True, metavar="DIR", help="checkpoints, metrics and weights go here"
    )
    train.add_argument("--init", metavar="W", help="weights directory to start from")
    train.add_argument(
        "--coordinator", metavar="HOST:PORT", help="of a run on several hosts: the first process"
    )
    train.add_argument(
        "--processes", type=int, default=1, metavar="N", help="how many processes there are"
    )
    train.add_argument(
        "--process", type=int, default=0, metavar="I", help="which of them this is, from 0"
    )

    data = commands.add_parser(
        "data", help="prepare a data set, or look at what a network sees of it"
    )
    data.add_argument(
        "action", choices=("prepare", "show"), help="prepare NAME, or show EXPERIMENT"
    )
    data.add_argument(
        "name", metavar="NAME", help="coco_keypoints, lsp or rendered_people; or an experiment"
    )
    data.add_argument(
        "overrides",
        nargs="*",
        metavar="field.path=value",
        help="of show: changes to the experiment",
    )
    data.add_argument(
        "--source",
        metavar="PATH",
        help="of prepare: folder with annotations.json; for lsp the original archive or its folder",
    )
    data.add_argument(
        "--images",
        metavar="DIR",
        help="of prepare: where the pictures lie, if not beside the annotations",
    )
    data.add_argument(
        "--format", default="records", metavar="F", help="of prepare: records (default) or tfds"
    )
    data.add_argument(
        "--split", default="train", metavar="S", help="of lsp: train (default), test or all"
    )
    data.add_argument(
        "--scenes", action="store_true", help="of prepare: whole photographs, for a detector"
    )
    data.add_argument(
        "--count", type=int, default=1000, metavar="N", help="of rendered_people (default: 1000)"
    )
    data.add_argument(
        "--size", type=int, default=320, metavar="PX", help="of a record (default: 320)"
    )
    data.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of rendered_people (default: 0)"
    )
    data.add_argument(
        "--teacher",
        metavar="W",
        help=(
            "of prepare: weights that find the ROI of people whose hips or shoulders are unlabelled"
        ),
    )
    data.add_argument(
        "--skeleton",
        default="blazepose",
        metavar="S",
        help="of prepare: blazepose (default), coco, lsp, or a JSON file with an own keypoint set",
    )
    data.add_argument(
        "--output",
        required=True,
        metavar="PATH",
        help="new records folder, or the picture to write",
    )
    data.add_argument("--strict", action="store_true", help="any unusable annotation is an error")

    export = commands.add_parser(
        "export", help="write a .task for MediaPipe, a .tflite, an .onnx or a SavedModel"
    )
    add_export_options(export)

    web = commands.add_parser(
        "web", help="run weights in the browser, by MediaPipe's own runtime"
    )
    web.add_argument("--weights", required=True, metavar="W", help="weights directory or .task")
    web.add_argument("--detector", metavar="W", help="take the detector from here")
    web.add_argument("--image", metavar="FILE", help="a photograph to begin with")
    web.add_argument(
        "--port", type=int, default=8000, metavar="N", help="of localhost (default: 8000; 0: any)"
    )

    demo = commands.add_parser(
        "demo", help="track a moving photograph with Google's released nets"
    )
    demo.add_argument(
        "overrides", nargs="*", metavar="field.path=value", help="changes to the experiment demo"
    )
    demo.add_argument(
        "--output", default="demo", metavar="DIR", help="where to write (default: demo)"
    )
    demo.add_argument(
        "--source",
        metavar="FILE",
        help=(
            "a mediapipe 0.10.21 wheel, a .task or a weights directory, "
            "where there is no network to fetch the wheel"
        ),
    )
    return parser


def add_track_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``blazepose track``."""
    parser.add_argument(
        "input",
        metavar="INPUT",
        help=(
            "video, image, folder of images, camera:0, a URL like rtsp://..., or - for standard"
            " input"
        ),
    )
    parser.add_argument("--weights", required=True, metavar="W", help="weights directory or .task")
    parser.add_argument("--detector", metavar="W", help="take the detector from here")
    parser.add_argument("--json", metavar="FILE", help="write all points as JSON")
    parser.add_argument("--csv", metavar="FILE", help="write all points as CSV")
    parser.add_argument("--video", metavar="FILE", help="write the skeletons drawn over the input")
    parser.add_argument("--mask", metavar="DIR", help="write a mask per frame as PNG")
    parser.add_argument("--world", action="store_true", help="add world landmarks in metres")
    parser.add_argument("--runtime", default="jax", metavar="NAME", help="jax (default) or litert")
    parser.add_argument(
        "--max-people", type=int, default=1, metavar="N", help="people at once (default: 1)"
    )
    parser.add_argument(
        "--no-smoothing", action="store_true", help="raw points, without filter over time"
    )
    parser.add_argument(
        "--decode",
        default="refine",
        metavar="NAME",
        help="refine (default, MediaPipe's), regression (the paper's) or heatmap",
    )
    parser.add_argument(
        "--flip", action="store_true", help="average with the mirror image; for stills"
    )
    parser.add_argument(
        "--min-detection-confidence", type=float, default=0.5, metavar="P", help="default 0.5"
    )
    parser.add_argument(
        "--min-presence-confidence", type=float, default=0.5, metavar="P", help="default 0.5"
    )
    parser.add_argument("--start", type=float, default=0.0, metavar="S", help="seconds to begin at")
    parser.add_argument("--end", type=float, metavar="S", help="seconds to stop before")
    parser.add_argument(
        "--sequence", action="store_true", help="a folder's images follow each other in time"
    )


def add_evaluate_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``blazepose evaluate``."""
    parser.add_argument("--weights", required=True, metavar="W", help="weights directory or .task")
    parser.add_argument("--detector", metavar="W", help="take the detector from here")
    parser.add_argument(
        "--data", required=True, metavar="DIR", help="folder with annotations.json in COCO's format"
    )
    parser.add_argument(
        "--images", metavar="DIR", help="where the pictures lie, if not beside the annotations"
    )
    parser.add_argument(
        "--roi", default="truth", metavar="R", help="truth (default), jitter:SEED or detector"
    )
    parser.add_argument(
        "--decode", default="refine", metavar="NAME", help="refine (default), regression or heatmap"
    )
    parser.add_argument("--flip", action="store_true", help="average with the mirror image")
    parser.add_argument("--runtime", default="jax", metavar="NAME", help="jax (default) or litert")
    parser.add_argument(
        "--torso",
        default="lsp",
        metavar="NAME",
        help=(
            "lsp (default: left shoulder to right hip), mid (mid-shoulder to mid-hip) or center"
            " (the set's own centre to its up points, which sets without those take)"
        ),
    )
    parser.add_argument("--json", metavar="FILE", help="write the report here")
    parser.add_argument(
        "--pictures", metavar="FILE", help="write the best and worst 16 people as one picture"
    )
    parser.add_argument("--strict", action="store_true", help="any unusable annotation is an error")


def add_export_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``blazepose export``."""
    parser.add_argument("--weights", required=True, metavar="W", help="weights directory or .task")
    parser.add_argument("--detector", metavar="W", help="take the detector from here")
    parser.add_argument(
        "--output",
        required=True,
        metavar="X",
        help=".task (both networks), .tflite, .onnx, or a new path without suffix for a SavedModel",
    )
    parser.add_argument(
        "--part", metavar="NAME", help="of all but .task: pose (default) or detector"
    )
    parser.add_argument(
        "--precision",
        default="float32",
        metavar="P",
        help="float32 (default), float16, dynamic, int8",
    )
    parser.add_argument(
        "--backend",
        default="jax2tf",
        metavar="B",
        help="jax2tf (default; TensorFlow) or litert (without TensorFlow)",
    )
    parser.add_argument(
        "--calibration",
        metavar="DIR",
        help="annotated people: ranges for int8, and the PCK that reduced precision costs",
    )
    parser.add_argument(
        "--images", metavar="DIR", help="where the pictures of --calibration lie, if not there"
    )
    parser.add_argument(
        "--batch", default="1", metavar="N", help="of all but .task: images at once (default: 1)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the parity report here")


def run(argv: Sequence[str]) -> None:
    """Run one command.

    Raises:
      BlazePoseError: a usage error, or bad input.
    """
    parser = build_parser()
    if argv and not argv[0].startswith("-"):
        check_name(argv[0], COMMANDS, "command")
        _check_options(parser, argv[0], argv[1:])
    args, extra = parser.parse_known_args(argv)
    if extra and not (hasattr(args, "overrides") and all("=" in word for word in extra)):
        raise BlazePoseError(
            f"{args.command} does not know {extra[0]!r}: see blazepose {args.command} --help"
        )
    if extra:  # argparse takes words after options for strangers
        args.overrides += extra
    use_compilation_cache()
    module, function = COMMANDS[args.command]
    getattr(importlib.import_module(f"blazepose_jax.{module}"), function)(args)


def _check_options(parser: Parser, command: str, words: Sequence[str]) -> None:
    """Refuse the first unknown option, before argparse complains of what is missing because of
    it.
    """
    chooser = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    known = chooser.choices[command]._option_string_actions
    for word in words:
        if word.startswith("--") and word.split("=")[0] not in known:
            near = difflib.get_close_matches(word.split("=")[0], known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"see blazepose {command} --help"
            raise BlazePoseError(f"{command} does not know {word!r}: {hint}")


def use_compilation_cache() -> None:
    """Keep compiled programs between runs, unless JAX_COMPILATION_CACHE_DIR names a place
    already.
    """
    import jax

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        cache = (
            Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "blazepose_jax" / "xla"
        )
        jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"blazepose: warning: {message}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the console script.

    Args:
      argv: the words after the program's name; None for those of the process.

    Returns:
      0; 2 after bad input; 1 where an export lies too far from its source; 130 where ``track`` was
      interrupted.
    """
    os.environ.setdefault("GLOG_minloglevel", "2")
    for stream in (
        sys.stdout,
        sys.stderr,
    ):  # a name that the terminal cannot show is no reason to stop
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with warnings.catch_warnings(), terminable():
        warnings.showwarning = _show_warning
        warnings.simplefilter("always", UserWarning)
        try:
            run(sys.argv[1:] if argv is None else argv)
        except BlazePoseError as error:
            print(f"blazepose: {error}", file=sys.stderr)
            return error.exit_code
        except KeyboardInterrupt:
            print("blazepose: interrupted", file=sys.stderr)
            return Interrupted.exit_code
        except BrokenPipeError:
            sys.stderr.close()
        except OSError as error:
            print(
                f"blazepose: {error.filename or 'a file'} cannot be read or written"
                f" ({error.strerror or error}): check the path, the permissions and the free space",
                file=sys.stderr,
            )
            return 2
    return 0


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM stop the work as Ctrl-C does, so that it keeps or removes what it was writing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)


if __name__ == "__main__":
    sys.exit(main())
