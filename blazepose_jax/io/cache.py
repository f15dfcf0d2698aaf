"""The folders of what is fetched or made once and kept."""

import os
from pathlib import Path

NAME = "blazepose_jax"


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
