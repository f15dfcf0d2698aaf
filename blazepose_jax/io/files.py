"""Output files and folders that take their names when they are complete.

Writing goes to a temporary name beside the output; what a killed run left there is removed when
the next one starts.
"""

import contextlib
import ctypes
import os
import re
import shutil
import stat
import sys
from collections.abc import Container, Iterator
from pathlib import Path
from typing import IO

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.temporary_names import TemporaryName, reserve

# Read once: it can only be read by changing it, and other threads may be writing.
UMASK = os.umask(0)
os.umask(UMASK)
# Open files of this process or another one.
OPEN_FILES = re.compile(r"/dev/(std(in|out|err)|fd/\d+)$|/proc/[^/]+/fd/")
# Arguments of renameat2(2) on Linux and renamex_np(2) on macOS.
AT_FDCWD, RENAME_EXCHANGE, RENAME_SWAP = -100, 2, 2


class Output:
    """A file that takes its name when it is complete.

    A link is written through; what is no regular file, such as a device or a pipe, is written to
    directly.

    Attributes:
      path: as the user gave it.
      part: where to write until ``finish``.
    """

    def __init__(self, path: str | Path):
        """Reserve a temporary name.

        Raises:
          BlazePoseError: another run is writing this file, or it cannot be written.
        """
        self.path = Path(path)
        self.part = self.path
        self._name: TemporaryName | None = None
        if not is_special(self.path):
            self._name = reserve(Path(os.path.realpath(self.path)), folder=False)
            self.part = self._name.path

    def open(self) -> IO[str]:
        """Open the temporary file for UTF-8 text with the line ends as they are written."""
        return self.part.open(self._mode, encoding="utf-8", errors="backslashreplace", newline="")

    def write(self, data: bytes) -> None:
        """Write the whole content."""
        with self.part.open(self._mode + "b") as file:
            file.write(data)

    @property
    def _mode(self) -> str:
        """Behind an open file may be one that others write to, or have written to: ``>> log``."""
        return "a" if self._name is None else "w"

    def finish(self) -> None:
        """Give the file its name."""
        if self._name is None:
            return
        target = self._name.target
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666 & ~UMASK
        self.part.chmod(mode)
        self.part.replace(target)
        self._name.release()

    def discard(self) -> None:
        """Leave nothing behind; what had the name before keeps it."""
        if self._name is not None:
            self._name.release()
            self.part.unlink(missing_ok=True)


class OutputFolder:
    """A folder that takes its name when it is complete.

    Attributes:
      path: with links resolved.
      part: where to write until ``finish``.
    """

    def __init__(self, path: str | Path):
        """Make it under a temporary name.

        Raises:
          BlazePoseError: another run is writing this folder, or it cannot be written.
        """
        self.path = Path(os.path.realpath(path))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._name = reserve(self.path, folder=True)
        self.part = self._name.path

    def keep_others(self, ours: Container[str]) -> None:
        """Copy what the folder that is to be replaced holds besides names of ours."""
        for entry in self.path.iterdir() if self.path.is_dir() else ():
            if entry.name in ours:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.copytree(entry, self.part / entry.name, symlinks=True)
            else:
                shutil.copy2(entry, self.part / entry.name, follow_symlinks=False)

    def finish(self, *, replace: bool = False) -> None:
        """Give the folder its name.

        Args:
          replace: take the place of a folder that is there, in one step where the system can; else
            only that of an empty one.

        Raises:
          BlazePoseError: a folder that is not empty is there, and ``replace`` is not set.
        """
        self.part.chmod(0o777 & ~UMASK)
        try:
            self._take_name(replace)
        finally:
            self._name.release()

    def _take_name(self, replace: bool) -> None:
        if self.path.is_dir() and any(self.path.iterdir()):
            if not replace:
                raise BlazePoseError(f"output {str(self.path)!r} exists: name a new folder")
            _swap(self.part, self.path)
            shutil.rmtree(self.part, ignore_errors=True)
            return
        if self.path.is_dir():
            self.path.rmdir()
        self.part.rename(self.path)

    def discard(self) -> None:
        """Leave nothing behind."""
        self._name.release()
        shutil.rmtree(self.part, ignore_errors=True)


@contextlib.contextmanager
def written(path: str | Path) -> Iterator[Path]:
    """Give a temporary name to write a whole file under.

    The file takes its own name when the block ends, and none after an error.
    """
    with _output(path) as out:
        yield out.part


@contextlib.contextmanager
def _output(path: str | Path) -> Iterator[Output]:
    out = Output(path)
    try:
        yield out
        out.finish()
    except BaseException:
        out.discard()
        raise


def write_text(path: Path, text: str) -> None:
    """Write a small UTF-8 file as a whole."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file as a whole."""
    with _output(path) as out:
        out.write(data)


def is_special(path: Path) -> bool:
    """Whether a path is a device, a pipe or an open file: written to, never replaced."""
    if OPEN_FILES.match(os.path.abspath(path)):
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _swap(a: Path, b: Path) -> None:
    """Exchange two folders: in one step on Linux and macOS, so that a kill loses neither."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # Windows has neither
        library = ctypes.CDLL(None, use_errno=True)
        here, there = os.fsencode(a), os.fsencode(b)
        if sys.platform == "darwin":
            failed = library.renamex_np(here, there, RENAME_SWAP)
        else:
            failed = library.renameat2(AT_FDCWD, here, AT_FDCWD, there, RENAME_EXCHANGE)
        if not failed:
            return
    aside = Path(f"{a}.old")
    b.rename(aside)
    try:
        a.rename(b)
    except OSError:
        aside.rename(b)
        raise
    aside.rename(a)
