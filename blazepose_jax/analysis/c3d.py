"""World landmarks as a C3D file, which motion laboratories read."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from blazepose_jax.analysis.angles import LEAST_CONFIDENCE
from blazepose_jax.analysis.recording import Recording
from blazepose_jax.analysis.signals import even_times, holes
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.files import written

MOST_FRAMES = 65_535  # by a 16-bit number; what follows would be in the file, and nobody read it
# To millimetres, y up and z towards the camera: half a turn about x, as OpenSim has its axes.
TO_C3D = np.array([1000.0, -1000.0, -1000.0])


def check_c3d() -> None:
    """See that C3D can be written.

    Raises:
      BlazePoseError: ezc3d is not installed.
    """
    if find_spec("ezc3d") is None:
        raise BlazePoseError("C3D needs ezc3d: pip install 'blazepose_jax[analysis]'")


def check_length(frames: int) -> None:
    """See that a file can hold so many frames.

    Raises:
      BlazePoseError: it cannot.
    """
    if frames > MOST_FRAMES:
        raise BlazePoseError(
            f"a C3D file holds {MOST_FRAMES} frames, and this is {frames}: track it in parts"
            " (blazepose track --world --start S --end S --json FILE) and analyse each"
        )


def checked_world(source: str, world: Any) -> Any:
    """The world landmarks of a recording or a person.

    Raises:
      BlazePoseError: there are none.
    """
    if world is None:
        raise BlazePoseError(
            f"{source!r} has no world landmarks, which C3D holds: track it with --world by a net"
            " that has them"
        )
    return world


def write_c3d(path: str | Path, recording: Recording, least: float = LEAST_CONFIDENCE) -> None:
    """Write world landmarks: mm round the mid-hip, x right in the picture, y up, z to the camera.

    C3D knows one rate alone: where times are uneven, points are interpolated onto even ones.

    Args:
      path: of the file.
      recording: T frames with world landmarks.
      least: points of a lower confidence are missing from their frame.

    Raises:
      BlazePoseError: ezc3d is not installed, there are no world landmarks, or too many frames.
    """
    check_c3d()
    world = checked_world(recording.source, recording.world)
    import ezc3d

    sure = recording.confidence[..., None] >= least
    world = np.where(sure, world, np.nan) * TO_C3D  # (T, K, 3)
    world, rate = at_even_times(world, recording.times)
    check_length(len(world))
    content = ezc3d.c3d()
    points = content["parameters"]["POINT"]
    points["LABELS"]["value"] = recording.names
    points["UNITS"]["value"] = ["mm"]
    points["RATE"]["value"] = [rate]
    content.add_parameter("POINT", "X_SCREEN", "+X")
    content.add_parameter("POINT", "Y_SCREEN", "+Y")
    rows = np.ones((4, len(recording.names), len(world)))
    rows[:3] = world.transpose(2, 1, 0)
    content["data"]["points"] = rows
    with written(path) as part:
        content.write(str(part))


def at_even_times(values: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, float]:
    """Values at even times, and their rate.

    Args:
      values: (T, ...) with NaN.
      times: (T,) s, growing.

    Returns:
      (T', ...), NaN where a neighbour in time is unknown, or in ``signals.holes``; Hz, 1 of a
      single frame.
    """
    if len(times) == 1:
        return values, 1.0
    even, step = even_times(times)
    if even is times:
        return values, 1 / step
    columns = values.reshape(len(times), -1).T
    between = np.stack([np.interp(even, times, column) for column in columns], 1)
    step_of = np.clip(np.searchsorted(times, even, "right") - 1, 0, len(times) - 2)
    inside = holes(times)[step_of] & (even > times[step_of]) & (even < times[step_of + 1])
    between[inside] = np.nan
    return between.reshape(-1, *values.shape[1:]), 1 / step
