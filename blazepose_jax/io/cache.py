"""The folder of what is fetched once and kept."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """``BLAZEPOSE_CACHE``, or ``blazepose_jax`` in ``XDG_CACHE_HOME`` or in ``~/.cache``.

    Returns:
      Its path, whether it exists or not.
    """
    if named := os.environ.get("BLAZEPOSE_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "blazepose_jax"
