"""Skeleton files: JSON text to the checked fields of a ``Skeleton``.

What the fields must say of one another is checked by ``Skeleton`` itself.
"""

import json
from typing import Any

from blazepose_jax.errors import BlazePoseError

NEEDED = ("name", "keypoints", "bones", "center", "up")
OPTIONAL = ("auxiliary", "pairs")


def parse_text(text: str) -> Any:
    """Parse JSON.

    Raises:
      BlazePoseError: no JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BlazePoseError(
            f"the skeleton is no JSON ({error}): write an object with name, keypoints, bones, "
            "center and up"
        ) from error


def check_fields(data: object) -> dict[str, Any]:
    """Check parsed JSON and turn its lists into tuples.

    Args:
      data: parsed JSON.

    Returns:
      The arguments of ``Skeleton``.

    Raises:
      BlazePoseError: no object, or a field is missing, unknown or mistyped.
    """
    if not isinstance(data, dict):
        raise BlazePoseError(
            f"a skeleton is {_shown(data)}: it must be an object with name, keypoints, bones, "
            "center and up"
        )
    known = {*NEEDED, *OPTIONAL}
    if unknown := sorted(str(key) for key in set(data) - known):
        raise BlazePoseError(
            f"skeleton has the unknown field {unknown[0]!r:.60}: known are "
            f"{', '.join(sorted(known))}"
        )
    if missing := sorted(set(NEEDED) - set(data)):
        raise BlazePoseError(f"skeleton lacks the field {missing[0]!r}: add it")
    if not isinstance(data["name"], str):
        raise BlazePoseError(f"skeleton field 'name' is {_shown(data['name'])}: it must be text")
    fields: dict[str, Any] = {"name": data["name"]}
    for key in ("keypoints", "center", "up", "auxiliary"):
        if key in data:
            fields[key] = _names(data[key], key)
    for key in ("bones", "pairs"):
        if key in data and not (key == "pairs" and data[key] is None):
            fields[key] = _pairs(data[key], key)
    return fields


def _names(value: object, field: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(
        isinstance(v, str) and v.strip() for v in value
    ):
        raise BlazePoseError(
            f"skeleton field {field!r} is {_shown(value)}: it must be a list of names, like "
            '["nose"]'
        )
    return tuple(value)


def _pairs(value: object, field: str) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, list | tuple) or not all(
        isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(v, str) for v in pair)
        for pair in value
    ):
        raise BlazePoseError(
            f"skeleton field {field!r} is {_shown(value)}: it must be a list of pairs of names,"
            ' like [["left_hip", "right_hip"]]'
        )
    return tuple((a, b) for a, b in value)


def _shown(value: object) -> str:
    """What a value looks like, in at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
