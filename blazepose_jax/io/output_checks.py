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
    sources = _Inputs([Path(path) for path in inputs if path is not None])
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


class _Inputs:
    """Files and folders, asked for once: there may be thousands, and as many outputs."""

    def __init__(self, sources: Iterable[Path]):
        self._files: set[tuple[int, int]] = set()
        self._folders: list[tuple[str, Path]] = []
        for source in sources:
            if source.is_dir():
                self._folders.append((str(source), Path(os.path.realpath(source))))
            elif source.exists():
                self._files.add(_identity(source))

    def folder_of(self, output: Path) -> str | None:
        """The folder among the inputs that an output lies in, "" for an input itself, or None."""
        if not output.exists():
            return None
        if _identity(output) in self._files:
            return ""
        place = Path(os.path.realpath(output))
        return next((name for name, folder in self._folders if place.is_relative_to(folder)), None)


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _check_no_input(path: str, sources: _Inputs) -> None:
    folder = sources.folder_of(Path(path))
    if folder is not None:
        raise BlazePoseError(
            f"output {path!r} is the input: name another file"
            + (f" (it belongs to {folder!r})" if folder else "")
        )
