"""All measures of a recording: one column a measure, with its unit in the name."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from blazepose_jax.analysis.angles import (
    HIPS,
    LEAST_CONFIDENCE,
    SHOULDERS,
    JointAngle,
    joint_angles,
    lacking,
    trunk_lean,
)
from blazepose_jax.analysis.recording import Recording
from blazepose_jax.analysis.repetitions import REST_OF, Repetitions, count_repetitions
from blazepose_jax.analysis.signals import fill_gaps, rate_of_change, smooth
from blazepose_jax.errors import BlazePoseError, suggestion

# The smallest swings that are counted as an exercise, by hand.
LEAST_DEGREES, LEAST_TRUNKS = 25.0, 0.2
LEAN = "trunk_lean"
BRIDGED = 0.5  # s without knowledge that at least are bridged for counting


@dataclasses.dataclass(frozen=True)
class Measuring:
    """How a recording is measured.

    Attributes:
      angles: which, by name; None for all that the keypoints allow.
      lean: whether ``trunk_lean`` is one of them; None where there are hips and shoulders.
      least: points below this confidence are not used.
      gap: s without knowledge that are bridged.
      method: of smoothing, of ``signals.METHODS``, or ``none``.
      window: s, of ``savgol``.
      cutoff: Hz, of ``butterworth``.
    """

    angles: Mapping[str, JointAngle] | None = None
    lean: bool | None = None
    least: float = LEAST_CONFIDENCE
    gap: float = 0.25
    method: str = "savgol"
    window: float = 0.3
    cutoff: float = 6.0

    def __post_init__(self):
        if not 0 <= self.least <= 1:
            raise BlazePoseError(
                f"the least confidence is {self.least}: it is a probability, from 0 to 1"
            )
        if not 0 <= self.gap < math.inf:
            raise BlazePoseError(f"the gap is {self.gap}: it is a number of seconds, 0 or more")


def measure(recording: Recording, how: Measuring = Measuring()) -> dict[str, np.ndarray]:
    """Angles and their velocities.

    Args:
      recording: of T frames.
      how: see Measuring.

    Returns:
      {``left_knee_deg`` as the image shows it, ``left_knee_deg_s`` degrees a second, and where the
      recording has metres ``left_knee_3d_deg``, ``left_knee_3d_deg_s``: (T,)}, and the same for
      ``trunk_lean``. All of a frame are filled and smoothed alike. Degrees lie in [0, 180], but
      for ``trunk_lean_deg``, a direction in (-180, 180].

    Raises:
      BlazePoseError: what ``how`` asks for is of points that are not there.
    """
    found = {}
    for suffix, points in (("", recording.points), ("_3d", recording.world)):
        if points is None:
            continue
        angles = angles_in(points, recording.names, recording.confidence, how)
        for name, values in angles.items():
            turns = name == LEAN and points.shape[-1] == 2  # all the way round
            signal = _prepared(unwrapped(values) if turns else values, recording.times, how)
            # Smoothing overshoots.
            degrees = wrapped(signal) if turns else np.clip(signal, 0, 180)
            found[f"{name}{suffix}_deg"] = degrees
            found[f"{name}{suffix}_deg_s"] = rate_of_change(
                signal if turns else degrees, recording.times
            )
    return found


def angles_in(
    points: np.ndarray, names: Sequence[str], confidence: np.ndarray, how: Measuring = Measuring()
) -> dict[str, np.ndarray]:
    """The angles of frames as they are, ``trunk_lean`` among them.

    Args:
      points: (..., K, 2) px or (..., K, 3) metres.
      names: K.
      confidence: (..., K).
      how: which angles, and of which points; nothing is filled or smoothed.

    Returns:
      {name: (...) degrees} as ``joint_angles`` and ``trunk_lean`` give them.

    Raises:
      BlazePoseError: what ``how`` asks for is of points that are not there.
    """
    given = (points, names, confidence)
    found = joint_angles(*given, angles=how.angles, least=how.least)
    if how.lean or (how.lean is None and {*HIPS, *SHOULDERS} <= set(names)):
        found[LEAN] = trunk_lean(*given, least=how.least)
    return found


def unwrapped(degrees: np.ndarray) -> np.ndarray:
    """(T,) a direction without its jumps at +-180 degrees, so that it can be smoothed."""
    out, known = np.array(degrees), np.isfinite(degrees)
    out[known] = np.unwrap(out[known], period=360)
    return out


def wrapped(degrees: np.ndarray) -> np.ndarray:
    """(T,) a direction in (-180, 180]."""
    return 180 - (180 - degrees) % 360


def summarise(measures: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """{measure: least, most, mean, range, and the share of frames where it is known}."""
    found = {}
    for name, values in measures.items():
        known = values[np.isfinite(values)]
        low, high, mean = (
            (float(known.min()), float(known.max()), float(known.mean()))
            if len(known)
            else (np.nan,) * 3
        )
        found[name] = {
            "min": low,
            "max": high,
            "mean": mean,
            "range": high - low,
            "known": len(known) / max(len(values), 1),
        }
    return found


def repetitions_of(
    recording: Recording, what: str, how: Measuring = Measuring(), rest: str | None = None
) -> tuple[np.ndarray, Repetitions]:
    """Count by an angle, or by a point's height.

    Args:
      recording: of T frames.
      what: an angle (``left_knee``), one of both sides together (``knee``), or ``height:NAME`` of a
        point, in lengths of the trunk.
      how: whose own angles, confidence and gaps are used; those of the body can be counted by
        whether they are among its angles or not.
      rest: as for ``count_repetitions``; None for what the joint usually does.

    Returns:
      (T,) the signal, degrees or trunks, NaN where it is unknown: before its gaps are bridged
      (0.5 s or ``how.gap``) and it is smoothed (0.25 s) to be counted in; Repetitions.

    Raises:
      BlazePoseError: neither an angle nor a point.
    """
    kind, _, point = what.partition(":")
    if kind == "height" and point:
        both, least = _height(recording, point, how)[None], LEAST_TRUNKS
    else:
        both, least = _sides(recording, what, how), LEAST_DEGREES
    known, gap = np.isfinite(both).any(0), max(how.gap, BRIDGED)
    if len(both) > 1:
        both = np.stack([fill_gaps(side, recording.times, gap) for side in both])
    signal = _mean(both)
    joint = what.removeprefix("left_").removeprefix("right_")
    found = count_repetitions(
        signal, recording.times, least=least, rest=rest or REST_OF.get(joint, "auto"), gap=gap
    )
    return np.where(known, signal, np.nan), found


def _sides(recording: Recording, what: str, how: Measuring) -> np.ndarray:
    """(N, T) degrees of an angle, or of that of both sides."""
    given = (recording.points, recording.names, recording.confidence)
    angles = joint_angles(*given, least=how.least)
    if how.angles is not None:
        angles |= joint_angles(*given, angles=how.angles, least=how.least)
    both = [angles[n] for n in (f"left_{what}", f"right_{what}") if n in angles]
    if what in angles:
        both = [angles[what]]
    if not both:
        sides = {name.removeprefix("left_").removeprefix("right_") for name in angles}
        known = sorted({*angles, *sides})
        raise BlazePoseError(
            f"{what!r} is no angle to count by: {suggestion(what, known)} There are"
            f" {', '.join(known)}, and height:POINT"
        )
    return np.stack(both)


def _height(recording: Recording, point: str, how: Measuring) -> np.ndarray:
    """(T,) height of a point above the picture's lower edge, in lengths of the usual trunk."""
    names = list(recording.names)
    for name in (point, *HIPS, *SHOULDERS):
        if name not in names:
            raise BlazePoseError(f"height:{point} needs the point {name!r}: {lacking(name, names)}")
    hips, shoulders = ([names.index(n) for n in ends] for ends in (HIPS, SHOULDERS))
    trunk = np.linalg.norm(
        recording.points[:, shoulders].mean(1) - recording.points[:, hips].mean(1), axis=-1
    )
    height = recording.size[1] - recording.points[:, names.index(point), 1]
    sure = recording.confidence[:, names.index(point)] >= how.least
    usual = np.nanmedian(trunk) if np.isfinite(trunk).any() else np.nan
    return np.where(sure, height / usual, np.nan)


def _mean(sides: np.ndarray) -> np.ndarray:
    """(N, T) -> (T,) mean of the sides; NaN where none is known.

    Where one is unknown the others stand for it, each by what it last differed from the mean: the
    mean must not move when a side comes or goes. Sides that are never known together do not mix;
    then the one that is known most counts.
    """
    known = np.isfinite(sides)
    together = np.flatnonzero(known.all(0))
    if not len(together):
        return sides[known.sum(1).argmax()]
    offsets = sides[:, together] - sides[:, together].mean(0)
    frames = np.arange(sides.shape[1])
    last = np.clip(np.searchsorted(together, frames, "right") - 1, 0, None)
    shifted = np.where(known, sides - offsets[:, last], 0.0)
    return np.where(known.any(0), shifted.sum(0) / np.maximum(known.sum(0), 1), np.nan)


def _prepared(values: np.ndarray, times: np.ndarray, how: Measuring) -> np.ndarray:
    filled = fill_gaps(values, times, how.gap)
    if how.method == "none":
        return filled
    return smooth(filled, times, how.method, window=how.window, cutoff=how.cutoff)
