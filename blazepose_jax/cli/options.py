"""Options that several commands have, and help texts from the dicts that they describe."""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path

from blazepose_jax.cli.progress import progress
from blazepose_jax.codecs.landmarks import BEST, DECODES
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference.engine import RUNTIMES
from blazepose_jax.inference.settings import PRECISIONS, SEARCHES, Settings
from blazepose_jax.weights import find_weights
from blazepose_jax.weights.names import NAMES, permanent_name
from blazepose_jax.weights.own import ExperimentFile


def names_help(names: Iterable[str], default: str = "") -> str:
    """Help text of an option that takes a name.

    Args:
      names: that are known. Of a mapping to texts, each is shown with its text.
      default: the name that is taken where the option is left out.

    Returns:
      ``a (default), b or c``, or ``a (default) - its text; b - its text``.
    """
    shown = {name: f"{name} (default)" if name == default else name for name in names}
    if isinstance(names, Mapping) and all(isinstance(text, str) for text in names.values()):
        found = "; ".join(f"{word} - {names[name]}" for name, word in shown.items())
    else:
        *first, last = shown.values()
        found = f"{', '.join(first)} or {last}" if first else last
    # argparse formats help texts by %.
    return found.replace("%", "%%")


def add_weights(parser: ArgumentParser) -> None:
    """``--weights W``, ``--detector W``, and the file of networks that are none of the zoo."""
    parser.add_argument(
        "--weights",
        default="full",
        metavar="W",
        help=(
            "a name (blazepose weights lists them; default: full), a weights directory, or a .task"
        ),
    )
    parser.add_argument("--detector", metavar="W", help="take the detector from here")
    add_experiment(parser)


def locate(weights: str) -> str:
    """The path of named weights, fetched where they are not on this machine.

    Returns:
      That path; what is no name as it is, which is checked when it is read.

    Raises:
      BlazePoseError: weights that cannot be fetched.
    """
    if weights not in NAMES:
        return weights
    if os.path.exists(weights):
        say(f"{weights} stands for {permanent_name(weights)}; the path is {os.curdir}/{weights}")
    return str(find_weights(weights, download=True, say=say, progress=progress))


def locate_weights(args: Namespace) -> None:
    """Put paths for names into ``args.weights`` and ``args.detector``, of ``add_weights``.

    Raises:
      BlazePoseError: as for ``locate``.
    """
    args.weights = locate(args.weights)
    if args.detector is not None:
        args.detector = locate(args.detector)


def say(line: str) -> None:
    """Print to standard error."""
    print(f"blazepose: {line}", file=sys.stderr, flush=True)


def add_experiment(parser: ArgumentParser) -> None:
    """``--experiment FILE`` and ``--changed-experiment``."""
    parser.add_argument(
        "--experiment",
        metavar="FILE",
        help="the experiment file that brings the network of the weights; it is run",
    )
    parser.add_argument(
        "--changed-experiment",
        action="store_true",
        help="take --experiment though it has changed since the weights were trained",
    )


def experiment_of(args: Namespace) -> ExperimentFile | None:
    """The experiment file that the options name, if any.

    Raises:
      BlazePoseError: ``--changed-experiment`` without a file.
    """
    if args.experiment is None:
        if args.changed_experiment:
            raise BlazePoseError(
                "--changed-experiment says that --experiment FILE has changed: give both"
            )
        return None
    return ExperimentFile(Path(args.experiment), args.changed_experiment)


def add_decode(parser: ArgumentParser, kind: str | None = None) -> None:
    """``--decode NAME``, of a command for one kind of ``BEST``; None where it takes both."""
    both = ", ".join(f"{name} for {one}" for one, name in BEST.items())
    best = both if kind is None else BEST[kind]
    parser.add_argument(
        "--decode",
        default=kind,
        metavar="NAME",
        help=f"{names_help(DECODES)} (default: {best}, regression without heatmaps)",
    )


def add_search(parser: ArgumentParser) -> None:
    """``--search NAME``."""
    standard = Settings().search
    parser.add_argument(
        "--search", default=standard, metavar="NAME", help=names_help(SEARCHES, standard)
    )


def add_runtime(parser: ArgumentParser) -> None:
    """``--runtime NAME``."""
    parser.add_argument(
        "--runtime", default="jax", metavar="NAME", help=names_help(RUNTIMES, "jax")
    )


def add_precision(parser: ArgumentParser) -> None:
    """``--precision NAME``."""
    standard = Settings().precision
    parser.add_argument(
        "--precision", default=standard, metavar="NAME", help=names_help(PRECISIONS, standard)
    )


def add_overrides(parser: ArgumentParser, help_text: str) -> None:
    """Words ``field.path=value`` that change an experiment."""
    parser.add_argument("overrides", nargs="*", metavar="field.path=value", help=help_text)
