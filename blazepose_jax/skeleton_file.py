"""Skeleton files: JSON text to the checked fields of a ``Skeleton``.

What the fields must say of one another is checked by ``Skeleton`` itself.
"""

import json
from typing import Any

from blazepose_jax.errors import BlazePoseError

NEEDED = ("name", "keypoints", "bones", "center", "up")
OPTIONAL = ("auxiliary", "pairs", "like", "near", "roi", "sigmas")
# Where the ROI of a labelled person comes from: the centre and up points; an upright square round
# the annotated box; the detector, by the face; or a pose net's own ROI points.
ROI_RULES = ("points", "box", "face", "net")


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
    if data.get("roi", "points") != "points":
        data = {"center": [], "up": [], **data}
    if missing := sorted(set(NEEDED) - set(data)):
        raise BlazePoseError(f"skeleton lacks the field {missing[0]!r}: add it")
    fields: dict[str, Any] = {}
    for key in ("name", "roi"):
        if key in data:
            if not isinstance(data[key], str):
                raise BlazePoseError(
                    f"skeleton field {key!r} is {_shown(data[key])}: it must be text"
                )
            fields[key] = data[key]
    for key in ("keypoints", "center", "up", "auxiliary"):
        if key in data:
            fields[key] = _names(data[key], key)
    for key in ("bones", "pairs"):
        if key in data and not (key == "pairs" and data[key] is None):
            fields[key] = _pairs(data[key], key)
    if "like" in data:
        fields["like"] = _likeness(data["like"])
    if "near" in data:
        near = _object(data["near"], "near", '{"stick_tip": ["right_wrist"]}')
        fields["near"] = tuple((name, _names(places, "near")) for name, places in near.items())
    if data.get("sigmas") is not None:
        fields["sigmas"] = _numbers(data["sigmas"], "sigmas")
    return fields


def to_fields(skeleton: dict[str, Any]) -> dict[str, Any]:
    """The fields of a ``Skeleton`` as the file has them; inverse of ``check_fields``.

    Args:
      skeleton: of ``dataclasses.asdict``.

    Returns:
      Plain data without fields that have their default.
    """
    data = {key: skeleton[key] for key in (*NEEDED, "auxiliary")}
    if skeleton["pairs"] is not None:
        data["pairs"] = skeleton["pairs"]
    for key in ("like", "near"):
        if skeleton[key]:
            data[key] = dict(skeleton[key])
    if skeleton["roi"] != "points":
        data["roi"] = skeleton["roi"]
    if skeleton["sigmas"] is not None:
        data["sigmas"] = skeleton["sigmas"]
    return data


def _object(value: object, field: str, example: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BlazePoseError(
            f"skeleton field {field!r} is {_shown(value)}: it must be an object, like {example}"
        )
    return value


def _likeness(value: object) -> tuple[tuple[str, str], ...]:
    """Own names and BlazePose's; null says that a point is none of BlazePose's."""
    found = _object(value, "like", '{"hip_l": "left_hip"}')
    for name, body in found.items():
        if body is not None and not isinstance(body, str):
            raise BlazePoseError(
                f"skeleton field 'like' gives {name!r:.60} the value {_shown(body)}: it must be one"
                " of BlazePose's names, or null for none"
            )
    return tuple((name, body or "") for name, body in found.items())


def _numbers(value: object, field: str) -> tuple[float, ...]:
    if not isinstance(value, list | tuple) or not all(
        isinstance(v, int | float) and not isinstance(v, bool) for v in value
    ):
        raise BlazePoseError(
            f"skeleton field {field!r} is {_shown(value)}: it must be a list of numbers, one a"
            " keypoint"
        )
    return tuple(map(float, value))


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
