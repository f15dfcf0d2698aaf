"""JSON files, read with checks.

Any Unicode encoding is read, the size is bounded, and what is no JSON is one clear error.
"""

import contextlib
import json
from pathlib import Path
from typing import Any

from blazepose_jax.errors import BlazePoseError

# A parsed value: dict, list, str, int, float, bool or None.
Json = Any
MAX_JSON_BYTES = 2**30


def parse_json(data: bytes, name: str) -> Json:
    """Parse JSON in any of Unicode's encodings, with or without a byte order mark.

    Args:
      data: the file's bytes.
      name: what to call it in errors.

    Raises:
      BlazePoseError: no JSON, nested too deep, or a number too long.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        # UnicodeDecodeError and JSONDecodeError are ValueErrors.
        raise BlazePoseError(f"{name} is no JSON ({error}): export it again") from error


def read_json(path: Path, most: int = MAX_JSON_BYTES) -> Json:
    """Read a JSON file; see ``parse_json``.

    Args:
      path: of the file.
      most: bytes that are read.

    Raises:
      BlazePoseError: unreadable, larger than ``most`` bytes, or no JSON.
    """
    try:
        if path.stat().st_size > most:
            raise BlazePoseError(f"{path} has {path.stat().st_size} bytes: at most {most} are read")
        return parse_json(path.read_bytes(), str(path))
    except (OSError, ValueError) as error:
        if isinstance(error, BlazePoseError):
            raise
        raise BlazePoseError(
            f"{path} cannot be read ({error}): check the path and the permissions"
        ) from error


def read_json_lines(path: Path) -> list[dict[str, Json]]:
    """Read the objects of a file of JSON lines.

    A line that a crash has cut, or that is no object, is left out.
    """
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            row = json.loads(line)
            if isinstance(row, dict):
                rows.append(row)
    return rows
