"""Checks of output names, made before the work starts."""

import os
from collections.abc import Iterable
from pathlib import Path

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.files import is_special


def check_outputs(outputs: Iterable[str | None], inputs: Iterable[str | Path | None] = ()) -> None:
    """Check that all outputs can be written without destroying an input.

    Args:
      outputs: files to be written; None is no file.
      inputs: files, and folders all of whose files are inputs, such as weights directories.

    Raises:
      BlazePoseError: an output is a folder, lies in a folder that does not exist, is an input, or
        is named twice.
    """
    sources = [Path(path) for path in inputs if path is not None]
    taken: set[str] = set()
    for path in outputs:
        if path is None:
            continue
        _check_place(path)
        if is_special(Path(path)):
            continue
        _check_no_input(path, sources)
        place = os.path.normcase(os.path.realpath(path))
        if place in taken:
            raise BlazePoseError(
                f"two outputs have the name {path!r}: name another file for one of them"
            )
        taken.add(place)


def _check_place(path: str) -> None:
    if os.path.isdir(path):
        raise BlazePoseError(f"output {path!r} is a folder: name a file")
    place = os.path.realpath(path) if os.path.islink(path) else os.path.abspath(path)
    if not os.path.isdir(os.path.dirname(place)):
        raise BlazePoseError(f"output {path!r} lies in a folder that does not exist: make it first")


def _check_no_input(path: str, sources: Iterable[Path]) -> None:
    if not os.path.exists(path):
        return
    for source in sources:
        if _is_input(Path(path), source):
            raise BlazePoseError(
                f"output {path!r} is the input: name another file"
                + (f" (it belongs to {str(source)!r})" if source.is_dir() else "")
            )


def _is_input(output: Path, source: Path) -> bool:
    if source.is_dir():
        return Path(os.path.realpath(output)).is_relative_to(os.path.realpath(source))
    return source.exists() and output.samefile(source)
