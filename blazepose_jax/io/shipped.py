"""Folders that ship with the package: the experiments and the web page."""

import importlib.resources
from pathlib import Path

# Where they lie in a checkout, beside the package; setup.py puts them into the wheel under their
# names here.
CHECKOUT = {"experiments": "experiments", "web": "tools/web"}


def shipped(name: str) -> Path:
    """The folder ``name`` of ``CHECKOUT``: inside the installed package, beside it in a checkout.

    Returns:
      Its path, whether it exists or not.
    """
    package = Path(str(importlib.resources.files("blazepose_jax")))
    inside = package / name
    return inside if inside.is_dir() else package.parent / CHECKOUT[name]
