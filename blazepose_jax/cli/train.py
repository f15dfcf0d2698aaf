"""``blazepose train``: an experiment to checkpoints, metrics and weights."""

import dataclasses
from argparse import ArgumentParser, Namespace
from pathlib import Path

from blazepose_jax.cli.options import add_overrides, locate
from blazepose_jax.training.config import configure
from blazepose_jax.training.experiments import read_own_parts
from blazepose_jax.training.loop import train
from blazepose_jax.training.processes import together
from blazepose_jax.weights.names import permanent_name


def add_arguments(parser: ArgumentParser) -> None:
    """The options."""
    parser.add_argument(
        "experiment",
        metavar="EXPERIMENT",
        help="NAME or NAME:VARIANT of experiments/, or a Python file",
    )
    add_overrides(parser, "changes, like optimizer.steps=100")
    parser.add_argument(
        "--workdir", required=True, metavar="DIR", help="checkpoints, metrics and weights go here"
    )
    parser.add_argument(
        "--init", metavar="W", help="weights to start from: a directory or a name, like full"
    )
    parser.add_argument(
        "--allow-changes",
        action="store_true",
        help="go on with another config than the workdir's run began with",
    )
    parser.add_argument(
        "--coordinator", metavar="HOST:PORT", help="of a run on several hosts: the first process"
    )
    parser.add_argument(
        "--processes", type=int, default=1, metavar="N", help="how many processes there are"
    )
    parser.add_argument(
        "--process", type=int, default=0, metavar="I", help="which of them this is, from 0"
    )


def run(args: Namespace) -> None:
    """``blazepose train``."""
    config = configure(args.experiment, args.overrides)
    init, teacher = at_hand(args.init), at_hand(config.teacher.weights)
    config = dataclasses.replace(
        config, teacher=dataclasses.replace(config.teacher, weights=teacher)
    )
    own, workdir = read_own_parts(args.experiment), Path(args.workdir)
    with together(args.coordinator, args.processes, args.process, workdir):
        train(config, workdir, init=init, allow_changes=args.allow_changes, own=own)


def at_hand(weights: str | None) -> str | None:
    """The permanent name of named weights, fetched where they are not on this machine.

    Returns:
      That name, which a run keeps; what is no name as it is.
    """
    if weights is None:
        return None
    locate(weights)
    return permanent_name(weights)
