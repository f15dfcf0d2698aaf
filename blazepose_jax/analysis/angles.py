"""Joint angles, trunk lean and segment lengths of points."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from blazepose_jax.errors import BlazePoseError, suggestion

# A point that is less sure than this makes whatever is computed of it NaN.
LEAST_CONFIDENCE = 0.5
HIPS, SHOULDERS = ("left_hip", "right_hip"), ("left_shoulder", "right_shoulder")


@dataclasses.dataclass(frozen=True)
class JointAngle:
    """An angle between two limbs: 180 degrees where they are in line, 0 where they are folded.

    Attributes:
      first: name of a point.
      joint: where the limbs meet.
      last: of the other limb's end.
    """

    first: str
    joint: str
    last: str


# docs/analysis.md has a figure. Both limbs of a shoulder hang down at 0: it is the angle between
# the upper arm and the trunk.
ANGLES = {
    f"{side}_{name}": JointAngle(*(f"{side}_{point}" for point in points))
    for name, points in {
        "elbow": ("shoulder", "elbow", "wrist"),
        "shoulder": ("hip", "shoulder", "elbow"),
        "hip": ("shoulder", "hip", "knee"),
        "knee": ("hip", "knee", "ankle"),
        "ankle": ("knee", "ankle", "foot_index"),
    }.items()
    for side in ("left", "right")
}
SEGMENTS = {
    f"{side}_{name}": (f"{side}_{first}", f"{side}_{last}")
    for name, (first, last) in {
        "upper_arm": ("shoulder", "elbow"),
        "forearm": ("elbow", "wrist"),
        "trunk": ("shoulder", "hip"),
        "thigh": ("hip", "knee"),
        "shank": ("knee", "ankle"),
        "foot": ("heel", "foot_index"),
    }.items()
    for side in ("left", "right")
}


def joint_angles(
    points: np.ndarray,
    names: Sequence[str],
    confidence: np.ndarray | None = None,
    *,
    angles: Mapping[str, JointAngle] | None = None,
    least: float = LEAST_CONFIDENCE,
) -> dict[str, np.ndarray]:
    """Angles at joints.

    Args:
      points: (..., K, 2) px, for angles as the image shows them; or (..., K, 3) metres.
      names: K, of the points.
      confidence: (..., K) in [0, 1]; None where all are sure.
      angles: {name: which}; None for those of ``ANGLES`` whose points there are.
      least: points below this confidence give NaN.

    Returns:
      {name: (...) float64 degrees in [0, 180]}; NaN where a point is unsure, unknown, or where a
      limb has no length.

    Raises:
      BlazePoseError: an angle of points that are not there; points that are not (..., K, 2 or 3).
    """
    points, index = _checked(points, names), {name: i for i, name in enumerate(names)}
    if angles is None:
        angles = {
            name: angle
            for name, angle in ANGLES.items()
            if {angle.first, angle.joint, angle.last} <= set(names)
        }
    sure = _sure(points, confidence, least)
    found = {}
    for name, angle in angles.items():
        at = [_index(point, index, f"angle {name!r}") for point in dataclasses.astuple(angle)]
        first, joint, last = (points[..., i, :] for i in at)
        found[name] = np.where(sure[..., at].all(-1), _between(first - joint, last - joint), np.nan)
    return found


def trunk_lean(
    points: np.ndarray,
    names: Sequence[str],
    confidence: np.ndarray | None = None,
    *,
    least: float = LEAST_CONFIDENCE,
) -> np.ndarray:
    """Lean of the line from mid-hip to mid-shoulder away from the vertical of the picture.

    Args:
      points: (..., K, 2) px or (..., K, 3) metres.
      names: K; both hips and both shoulders are among them.
      confidence: as for ``joint_angles``.
      least: as for ``joint_angles``.

    Returns:
      (...) degrees: in 2D in (-180, 180], positive towards the right of the picture; in 3D in [0,
      180], whatever the direction. NaN as for ``joint_angles``.

    Raises:
      BlazePoseError: a point that is not there; points that are not (..., K, 2 or 3).
    """
    points, index = _checked(points, names), {name: i for i, name in enumerate(names)}
    hips = [_index(name, index, "trunk_lean") for name in HIPS]
    shoulders = [_index(name, index, "trunk_lean") for name in SHOULDERS]
    up = points[..., shoulders, :].mean(-2) - points[..., hips, :].mean(-2)
    if points.shape[-1] == 2:
        lean = np.degrees(np.arctan2(up[..., 0], -up[..., 1]))
    else:
        lean = _between(up, np.array([0.0, -1.0, 0.0]))
    return np.where(_sure(points, confidence, least)[..., hips + shoulders].all(-1), lean, np.nan)


def segment_lengths(
    points: np.ndarray,
    names: Sequence[str],
    confidence: np.ndarray | None = None,
    *,
    segments: Mapping[str, tuple[str, str]] | None = None,
    least: float = LEAST_CONFIDENCE,
) -> dict[str, np.ndarray]:
    """Distances between points.

    Args:
      points: (..., K, 2) px or (..., K, 3) metres.
      names: K.
      confidence: as for ``joint_angles``.
      segments: {name: the two ends}; None for those of ``SEGMENTS`` whose points there are.
      least: as for ``joint_angles``.

    Returns:
      {name: (...) float64, in the unit of the points}, NaN as for ``joint_angles``.

    Raises:
      BlazePoseError: a segment of points that are not there; points that are not (..., K, 2 or 3).
    """
    points, index = _checked(points, names), {name: i for i, name in enumerate(names)}
    if segments is None:
        segments = {name: ends for name, ends in SEGMENTS.items() if set(ends) <= set(names)}
    sure, found = _sure(points, confidence, least), {}
    for name, ends in segments.items():
        at = [_index(point, index, f"segment {name!r}") for point in ends]
        length = np.linalg.norm(points[..., at[0], :] - points[..., at[1], :], axis=-1)
        found[name] = np.where(sure[..., at].all(-1), length, np.nan)
    return found


def _checked(points: np.ndarray, names: Sequence[str]) -> np.ndarray:
    points = np.asarray(points, float)
    if points.ndim < 2 or points.shape[-1] not in (2, 3) or points.shape[-2] != len(names):
        raise BlazePoseError(
            f"points have the shape {points.shape}: give (..., {len(names)}, 2) px or"
            f" (..., {len(names)}, 3) metres, a row for each of the {len(names)} names"
        )
    return points


def _index(point: str, index: Mapping[str, int], what: str) -> int:
    if point not in index:
        raise BlazePoseError(f"{what} needs the point {point!r}: {lacking(point, index)}")
    return index[point]


def lacking(point: str, names: Iterable[str]) -> str:
    """What there is in the place of a point that is not there."""
    near = suggestion(point, names) or f"the points are {', '.join(names)}"
    return f"there is none; {near}"


def _sure(points: np.ndarray, confidence: np.ndarray | None, least: float) -> np.ndarray:
    """(..., K) bool."""
    known = np.isfinite(points).all(-1)
    return np.asarray(known if confidence is None else known & (np.asarray(confidence) >= least))


def _between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(...) degrees between vectors, exact at 0 and 180 too; NaN of one without length."""
    first, second = np.broadcast_arrays(first, second)
    a, b = (np.linalg.norm(v, axis=-1, keepdims=True) for v in (first, second))
    # Kahan's formula: arccos of the product loses half of the digits where limbs are in line.
    u, v = first * b, second * a
    angle = 2 * np.arctan2(np.linalg.norm(u - v, axis=-1), np.linalg.norm(u + v, axis=-1))
    return np.where((a * b)[..., 0] > 0, np.degrees(angle), np.nan)
