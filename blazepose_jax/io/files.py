"""Outputs that take their name when they are complete, and destroy no input."""

import contextlib
import ctypes
import errno
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from blazepose_jax.errors import BlazePoseError

try:
    import fcntl
except ImportError:  # Windows, which refuses to remove a file that somebody holds open
    fcntl = None

PART = ".part"  # of temporary names: .NAME.RANDOM.part
LONGEST = 120  # bytes of NAME in there
# read once: it can only be read by changing it, and other threads may be writing
UMASK = os.umask(0)
os.umask(UMASK)
# of this process, or another one
OPEN_FILES = re.compile(r"/dev/(std(in|out|err)|fd/\d+)$|/proc/[^/]+/fd/")


class _Locked:
    """What holds a lock on its temporary name until it is given up."""

    _lock: int | None

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


class Output(_Locked):
    """A file that takes its name when it is complete.

    Writing goes to a temporary name beside it; what a killed run left there is removed at the next
    start. A link is written through; what is no regular file, such as a device or a pipe, is
    written to directly.

    Attributes:
      path: as the user gave it.
      part: where to write until ``finish``.
    """

    def __init__(self, path: str | Path):
        """Reserve a temporary name.

        Raises:
          BlazePoseError: another run is writing this file.
        """
        self.path = Path(path)
        self._target = None if is_special(self.path) else Path(os.path.realpath(self.path))
        self._lock = None
        if self._target is None:
            self.part = self.path
            return
        remove_leftovers(self._target)
        self.part, self._lock = _reserve(self._target, folder=False)

    def open(self) -> IO[str]:
        """Open the temporary file for UTF-8 text with the line ends as they are written."""
        return self.part.open("w", encoding="utf-8", errors="backslashreplace", newline="")

    def finish(self) -> None:
        """Give the file its name."""
        if self._target is None:
            return
        mode = (
            stat.S_IMODE(self._target.stat().st_mode) if self._target.exists() else 0o666 & ~UMASK
        )
        self.part.chmod(mode)
        self.part.replace(self._target)
        self._release()

    def discard(self) -> None:
        """Leave nothing behind; what had the name before keeps it."""
        if self._target is not None:
            self._release()
            self.part.unlink(missing_ok=True)


class OutputFolder(_Locked):
    """A folder that takes its name when it is complete.

    Attributes:
      path: with links resolved.
      part: where to write until ``finish``.
    """

    def __init__(self, path: str | Path):
        """Make it under a temporary name.

        Raises:
          BlazePoseError: another run is writing this folder.
        """
        self.path = Path(os.path.realpath(path))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self.path)
        self.part, self._lock = _reserve(self.path, folder=True)

    def finish(self, *, replace: bool = False) -> None:
        """Give the folder its name.

        Args:
          replace: take the place of a folder that is there, in one step where the system can; else
            only that of an empty one.
        """
        self.part.chmod(0o777 & ~UMASK)
        try:
            self._take_name(replace)
        finally:
            self._release()

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
        self._release()
        shutil.rmtree(self.part, ignore_errors=True)


@contextlib.contextmanager
def written(path: str | Path) -> Iterator[Path]:
    """A name to write a whole file under.

    The file takes its own when the block ends, and none after an error.
    """
    out = Output(path)
    try:
        yield out.part
        out.finish()
    except BaseException:
        out.discard()
        raise


def write_text(path: Path, text: str) -> None:
    """Write a small UTF-8 file as a whole."""
    with written(path) as part:
        part.write_text(text, encoding="utf-8", newline="")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file as a whole."""
    with written(path) as part:
        part.write_bytes(data)


def is_special(path: Path) -> bool:
    """Whether a path names a device, a pipe or an open file, which must be written to and not
    replaced.
    """
    if OPEN_FILES.match(os.path.abspath(path)):
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def remove_leftovers(target: Path) -> None:
    """Remove the temporary files or folders of killed runs.

    Raises:
      BlazePoseError: one of them belongs to a run that lives.
    """
    if not target.parent.is_dir():
        return
    start = _start(target)
    for old in sorted(target.parent.iterdir()):
        if not (
            old.name.startswith(start)
            and old.name.removesuffix(target.suffix).endswith(PART)
            and "."
            not in old.name.removeprefix(start).removesuffix(target.suffix).removesuffix(PART)
        ):
            continue
        lock, busy = _hold(old)
        if busy:
            raise BlazePoseError(
                f"output {str(target)!r} is being written by another run: wait for it, or name "
                "another"
            )
        if lock is not None:
            os.close(lock)
        elif fcntl is not None:
            continue  # somebody else's, or a file system without locks
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                old.unlink()


def _start(target: Path) -> str:
    """How the temporary names of a file or folder begin."""
    return f".{os.fsencode(target.name)[:LONGEST].decode('utf-8', 'ignore')}."


def _reserve(target: Path, *, folder: bool) -> tuple[Path, int | None]:
    """A new temporary file or folder beside the target, and the lock on it, where there are
    locks.
    """
    while True:
        try:
            if folder:
                name = tempfile.mkdtemp(PART, _start(target), target.parent)
            else:
                file, name = tempfile.mkstemp(PART + target.suffix, _start(target), target.parent)
                os.close(file)
        except OSError as error:
            raise BlazePoseError(
                f"output {str(target)!r} cannot be written ({error.strerror or error}): check the "
                "path, the permissions and the free space"
            ) from error
        lock, busy = _hold(Path(name))
        # A run that started in the same instant may have taken the new file for a leftover.
        if not busy and Path(name).exists():
            return Path(name), lock
        if lock is not None:
            os.close(lock)


def _hold(path: Path) -> tuple[int | None, bool]:
    """Lock a path for as long as this process lives.

    The lock or None, and whether another process holds it.
    """
    if fcntl is None:
        return None, False
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None, False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        return None, error.errno in (errno.EAGAIN, errno.EACCES)
    return handle, False


def _swap(a: Path, b: Path) -> None:
    """Exchange two folders: in one step on Linux and macOS, so that a kill loses neither."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # Windows has neither
        library = ctypes.CDLL(None, use_errno=True)
        here, there = os.fsencode(a), os.fsencode(b)
        if sys.platform == "darwin":
            done = library.renamex_np(here, there, 2)  # RENAME_SWAP
        else:
            done = library.renameat2(-100, here, -100, there, 2)  # AT_FDCWD, RENAME_EXCHANGE
        if done == 0:
            return
    aside = Path(f"{a}.old")
    b.rename(aside)
    try:
        a.rename(b)
    except OSError:
        aside.rename(b)
        raise
    aside.rename(a)


def check_outputs(outputs: Iterable[str | None], inputs: Iterable[str | Path | None] = ()) -> None:
    """Say before the work starts that a file cannot be written; None is no file.

    Args:
      outputs: files to be written.
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
        if os.path.isdir(path):
            raise BlazePoseError(f"output {path!r} is a folder: name a file")
        place = os.path.realpath(path) if os.path.islink(path) else os.path.abspath(path)
        if not os.path.isdir(os.path.dirname(place)):
            raise BlazePoseError(
                f"output {path!r} lies in a folder that does not exist: make it first"
            )
        if is_special(Path(path)):
            continue
        if os.path.exists(path):
            for source in sources:
                if _is_input(Path(path), source):
                    raise BlazePoseError(
                        f"output {path!r} is the input: name another file"
                        + (f" (it belongs to {str(source)!r})" if source.is_dir() else "")
                    )
        place = os.path.normcase(os.path.realpath(path))
        if place in taken:
            raise BlazePoseError(
                f"two outputs have the name {path!r}: name another file for one of them"
            )
        taken.add(place)


def _is_input(output: Path, source: Path) -> bool:
    if source.is_dir():
        return Path(os.path.realpath(output)).is_relative_to(os.path.realpath(source))
    return source.exists() and output.samefile(source)
