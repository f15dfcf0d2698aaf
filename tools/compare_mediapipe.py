"""MediaPipe Tasks and this package on the same decoded frames: speed, or accuracy.

    make setup peers
    .venv/bin/python tools/compare_mediapipe.py INPUT [--weights W] [--peer VENV] [--passes 7]
    [--also W] [--busy N] [--json F]
    .venv/bin/python tools/compare_mediapipe.py --data DIR [--weights W]... [--peer VENV]
    [--limit N] [--json F] [--pictures F.png]

INPUT is a video (video mode, smoothing on) or a folder of photographs (image mode), tracked in
alternating passes. MediaPipe runs in its own virtual environment as a worker process; workers wait
while another works. Times are of the tracking call alone.

DIR holds annotated people in COCO's format, each of whom is looked for in the whole photograph: by
MediaPipe with Google's files and with our .task, and by this package with each search. Per net a
table of PCK, people found, false detections and times.
"""

import argparse
import json
import sys
from pathlib import Path

import mediapipe_accuracy
import mediapipe_speed

from blazepose_jax.cli.main import Parser
from blazepose_jax.cli.options import locate
from blazepose_jax.errors import BlazePoseError

ROOT = Path(__file__).resolve().parent.parent


def parse(words: list[str]) -> argparse.Namespace:
    """The command line.

    Raises:
      BlazePoseError: a usage error.
    """
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", nargs="?")
    parser.add_argument(
        "--weights",
        action="append",
        help="weights with Google's .tflite files (default: released-full; with --data, which takes"
        " several, released-lite too)",
    )
    parser.add_argument(
        "--peer", default=ROOT / ".venv-mediapipe-1.2.2", help="virtual environment with mediapipe"
    )
    parser.add_argument("--passes", type=int, default=7)
    parser.add_argument("--frames", type=int, default=300, help="at most so many frames")
    parser.add_argument(
        "--also", metavar="W", help="of speed: weights that LiteRT tracks with, too"
    )
    parser.add_argument(
        "--busy", type=int, default=0, metavar="N", help="of speed: N processes that compute beside"
    )
    parser.add_argument("--json", help="write the report here too")
    mediapipe_accuracy.add_arguments(parser)
    args = parser.parse_args(words)
    if (args.input is None) == (args.data is None):
        raise BlazePoseError("name either an input, to compare speed, or --data DIR, for accuracy")
    if args.input is not None and len(args.weights or []) > 1:
        raise BlazePoseError("--weights is given twice: speed is compared for one net at a time")
    return args


def run(words: list[str]) -> None:
    """One comparison.

    Raises:
      BlazePoseError: bad input.
    """
    args = parse(words)
    python = Path(args.peer) / "bin" / "python"
    if not python.exists():
        raise BlazePoseError(
            f"{python} does not exist: run `make peers`, or name another environment with --peer"
        )
    if args.data is not None:
        mediapipe_accuracy.run(args, python)
        return
    args.weights = locate(args.weights[0] if args.weights else "released-full")
    text = json.dumps(mediapipe_speed.compare(args, python), indent=2)
    print(text)
    if args.json:
        Path(args.json).write_text(text + "\n", encoding="utf-8")


def main(words: list[str]) -> int:
    """Entry point; mistakes become one line and exit code 2."""
    try:
        run(words)
    except BlazePoseError as error:
        print(f"compare_mediapipe: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
