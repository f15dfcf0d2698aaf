"""``blazepose import``: Google's files to a weights directory."""

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path

from blazepose_jax.cli.options import names_help
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.weights import import_weights
from blazepose_jax.weights.archive import NPM_MEMBERS
from blazepose_jax.weights.mediapipe import DEFAULT_POSE


def add_arguments(parser: ArgumentParser) -> None:
    """The options."""
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help=(
            ".task, .tflite, mediapipe wheel or .tgz of the npm package @mediapipe/pose; or the"
            " word mediapipe"
        ),
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="the weights directory to write"
    )
    parser.add_argument(
        "--pose",
        default=DEFAULT_POSE,
        metavar="NAME",
        help=f"of a .tgz, which holds several: {names_help(NPM_MEMBERS.keys(), DEFAULT_POSE)}",
    )


def run(args: Namespace) -> None:
    """``blazepose import``."""
    for source in args.sources:
        if os.path.isfile(source) and Path(os.path.realpath(source)).is_relative_to(
            os.path.realpath(args.output)
        ):
            raise BlazePoseError(
                f"output {args.output!r} holds the input {source!r}, which would be lost: name "
                "another"
            )
    for kind, net in import_weights(args.sources, args.output, pose=args.pose).items():
        print(f"{kind}: {net.model} from {net.source}")
    print(f"wrote {args.output}")
