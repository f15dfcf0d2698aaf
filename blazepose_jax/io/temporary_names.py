"""Temporary names of outputs, locked while the run that writes them lives.

A file is ``.NAME.RANDOM.part.SUFFIX``, so that writers that go by the suffix can use it; a folder
is ``.NAME.RANDOM.part``.
"""

import contextlib
import dataclasses
import errno
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from blazepose_jax.errors import BlazePoseError

try:
    import fcntl
except ImportError:  # Windows, which refuses to remove a file that somebody holds open
    fcntl = None

PART = ".part"
MAX_NAME = 120  # bytes of NAME in a temporary name


@dataclasses.dataclass
class TemporaryName:
    """A new file or folder beside an output, and the lock that marks it as in use.

    Attributes:
      target: the output, with links resolved.
      path: of the new file or folder.
      lock: the descriptor that holds the lock; None where there are no locks, and when released.
    """

    target: Path
    path: Path
    lock: int | None

    def release(self) -> None:
        """Give up the lock."""
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None


def reserve(target: Path, *, folder: bool, shared: bool = False) -> TemporaryName:
    """Make a new temporary file or folder beside an output, and remove those of killed runs.

    Args:
      target: the output, with links resolved.
      folder: make a folder, else a file.
      shared: several runs may make this output at once, as all make the same.

    Raises:
      BlazePoseError: another run is writing this output, or nothing can be written there.
    """
    _remove_leftovers(target, shared)
    while True:
        path = _make(target, folder=folder)
        lock, busy = hold(path)
        # A run that started in the same instant may have taken the new file for a leftover.
        if not busy and path.exists():
            return TemporaryName(target, path, lock)
        if lock is not None:
            os.close(lock)


def _make(target: Path, *, folder: bool) -> Path:
    try:
        if folder:
            return Path(tempfile.mkdtemp(PART, _start(target), target.parent))
        file, name = tempfile.mkstemp(PART + target.suffix, _start(target), target.parent)
        os.close(file)
        return Path(name)
    except OSError as error:
        raise BlazePoseError(
            f"output {str(target)!r} cannot be written ({error.strerror or error}): check the "
            "path, the permissions and the free space"
        ) from error


def _remove_leftovers(target: Path, shared: bool) -> None:
    """Remove the temporary files or folders of killed runs.

    Raises:
      BlazePoseError: one of them belongs to a run that lives, and the output is not shared.
    """
    if not target.parent.is_dir():
        return
    # By names alone at first: an output may lie beside many files.
    with os.scandir(target.parent) as entries:
        names = sorted(entry.name for entry in entries if _is_temporary(entry.name, target))
    for old in (target.parent / name for name in names):
        lock, busy = hold(old)
        if busy and shared:
            continue
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
    """How the temporary names of an output begin."""
    name = os.fsencode(target.name)
    if len(name) <= MAX_NAME:
        return f".{target.name}."
    # Long names may differ at their end alone.
    told_apart = hashlib.sha256(name).hexdigest()[:16]
    return f".{name[:MAX_NAME].decode('utf-8', 'ignore')}-{told_apart}."


def _is_temporary(name: str, target: Path) -> bool:
    if not name.startswith(_start(target)):
        return False
    rest = name.removeprefix(_start(target)).removesuffix(target.suffix)
    return rest.endswith(PART) and "." not in rest.removesuffix(PART)


def hold(path: Path) -> tuple[int | None, bool]:
    """Lock a path for as long as this process lives, or until the descriptor is closed.

    Returns:
      The descriptor of the lock or None, and whether another process holds it.
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
