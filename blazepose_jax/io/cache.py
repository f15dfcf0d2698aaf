"""The folders of what is fetched or made once and kept."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.files import write_bytes

NAME = "blazepose_jax"
MAX_REMEMBERED = 32  # files of one folder, of 3 to 28 MB each
DIGEST = hashlib.sha256().digest_size
MAX_PROGRAMS = 2000  # of XLA, of 0.01 to 3 MB each


def cache_folder() -> Path:
    """``BLAZEPOSE_CACHE``, or the user's cache folder.

    The latter is what platformdirs says; without that package it is ``blazepose_jax`` in
    ``XDG_CACHE_HOME`` or in ``~/.cache``.

    Returns:
      Its path, whether it exists or not.
    """
    if named := os.environ.get("BLAZEPOSE_CACHE"):
        return Path(named)
    try:
        from platformdirs import user_cache_path
    except ImportError:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / NAME
    return user_cache_path(NAME, appauthor=False)


def weights_cache() -> Path:
    """Weights directories by name."""
    return cache_folder() / "weights"


def xla_cache() -> Path:
    """Programs that XLA has compiled."""
    return cache_folder() / "xla"


def graphs_cache() -> Path:
    """Networks that were converted for another runtime."""
    return cache_folder() / "graphs"


def remembered(path: Path, make: Callable[[], bytes]) -> bytes:
    """A file's bytes, made where nobody has made them before.

    A folder keeps the ``MAX_REMEMBERED`` files that were used last, each with its sha256 at the
    end. One that cannot be read or written is no error: then each process makes them anew; so is
    one that is damaged.

    Args:
      path: in a folder that holds nothing else; its name says all that the bytes depend on.
      make: gives the bytes.
    """
    try:
        kept = path.read_bytes()
        os.utime(path)
    except OSError:
        kept = b""
    data, digest = kept[:-DIGEST], kept[-DIGEST:]
    if len(kept) > DIGEST and hashlib.sha256(data).digest() == digest:
        return data
    data = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, data + hashlib.sha256(data).digest())
        keep_newest(path.parent, MAX_REMEMBERED)
    except (OSError, BlazePoseError):
        pass
    return data


def use_compilation_cache() -> None:
    """Keep programs that XLA compiles for later processes; commands do so by themselves.

    In ``BLAZEPOSE_CACHE/xla``, or where ``JAX_COMPILATION_CACHE_DIR`` says. Call it before anything
    is compiled.
    """
    import jax

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        keep_newest(xla_cache(), MAX_PROGRAMS)
        jax.config.update("jax_compilation_cache_dir", str(xla_cache()))
    # The LiteRT runtime has two dozen small ones, a second and a half in all.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def keep_newest(folder: Path, count: int) -> None:
    """Remove the oldest files of a cache folder, of which there may be ``count``."""
    try:
        files = [(entry.stat().st_mtime, entry.path) for entry in os.scandir(folder)]
        for _, path in sorted(files, reverse=True)[count:]:
            Path(path).unlink(missing_ok=True)
    except OSError:  # there is no folder yet, or another process tidies it, too
        return
