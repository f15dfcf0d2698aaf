"""Tensors in safetensors files; what is damaged, or names a tensor twice, is refused."""

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from blazepose_jax.io.json_files import Json

MAX_HEADER = 100 * 2**20  # bytes; safetensors' own limit


def save_tensors(tensors: dict[str, np.ndarray], path: Path) -> None:
    """Write a file.

    Raises:
      OSError: it cannot be written.
    """
    try:
        save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, path)
    except SafetensorError as error:  # a full disk, say
        raise OSError(f"{path} cannot be written ({error})") from error


def load_tensors(path: Path) -> dict[str, np.ndarray]:
    """Read a file.

    Raises:
      OSError: it cannot be read.
      ValueError: it is damaged, or names a tensor twice.
    """
    return parse_tensors(path.read_bytes())


def parse_tensors(data: bytes) -> dict[str, np.ndarray]:
    """Read the tensors of a file's bytes.

    Raises:
      ValueError: damaged, or a tensor is named twice.
    """
    try:
        length = int.from_bytes(data[:8], "little")
        if len(data) < 8 or length > min(MAX_HEADER, len(data) - 8):
            raise ValueError(f"a header of {length} bytes in a file of {len(data)}")
        json.loads(data[8 : 8 + length], object_pairs_hook=_once)
        return load(data)
    except (
        SafetensorError,
        RecursionError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
    ) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the name {name[:80]!r} stands there twice")
        found[name] = value
    return found
