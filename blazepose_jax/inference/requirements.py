"""Requirements on networks and on calls."""

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference.settings import Settings
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import ROI, Network, TrackState

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def settings_by_name(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Let a function of JAX refuse settings by position, and those of the other runtime.

    Raises:
      BlazePoseError: such a call.
    """

    @functools.wraps(function)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        if any(isinstance(argument, Settings) for argument in args):
            name = function.__name__
            raise BlazePoseError(
                f"{name} is given its settings by position: name them, as in {name}(...,"
                " settings=Settings(...))"
            )
        settings = kwargs.get("settings")
        if isinstance(settings, Settings) and settings.precision != "float32":
            raise BlazePoseError(
                f"precision {settings.precision} is of the runtime litert: give float32, or track"
                ' by Tracker(..., runtime="litert")'
            )
        return function(*args, **kwargs)

    return call


def check_squares(roi: ROI, name: str, count: int | None = None) -> None:
    """Check the leading axis of squares.

    Args:
      roi: to be (N,).
      name: of the argument.
      count: N; None where any will do.

    Raises:
      BlazePoseError: another shape.
    """
    if not all(hasattr(leaf, "shape") for leaf in (roi.center, roi.side, roi.angle)):
        raise BlazePoseError(
            f"{name} has a center, side or angle that is no array: make them by np.asarray"
        )
    shapes = [np.shape(leaf) for leaf in (roi.center, roi.side, roi.angle)]
    n = len(roi.side) if shapes[1] else 0
    if shapes != [(n, 2), (n,), (n,)] or count not in (None, n):
        rows = "N" if count is None else count
        raise BlazePoseError(
            f"{name} has a center, side and angle of the shapes {', '.join(map(str, shapes))}: they"
            f" must be ({rows}, 2), ({rows},) and ({rows},), a row for each square"
        )


def any_square() -> ROI:
    """(1,) square, where something must be looked at and nobody reads what is seen."""
    return ROI(np.zeros((1, 2), np.float32), np.ones(1, np.float32), np.zeros(1, np.float32))


def check_state(state: TrackState, skeleton: Skeleton, max_people: int | None = None) -> None:
    """Check that a state is of a network's keypoints, and has the slots that are asked for.

    Args:
      state: leaves (..., N, ...).
      skeleton: of the pose net.
      max_people: N; None where any will do.

    Raises:
      BlazePoseError: it is of another number of keypoints or slots.
    """
    count, slots = np.shape(state.keypoints.raw)[-2], np.shape(state.active)[-1]
    remedy = "begin with initial_state(pose.skeleton, settings.max_people)"
    if count != len(skeleton.keypoints):
        raise BlazePoseError(
            f"the state is of {count} keypoints and the pose net of {len(skeleton.keypoints)}:"
            f" {remedy}"
        )
    if max_people not in (None, slots):
        raise BlazePoseError(
            f"the state has slots for {slots} people and max_people of the settings is"
            f" {max_people}: {remedy}"
        )


def required(network: Network | None, kind: str) -> Network:
    """The network.

    Args:
      network: that of a weights directory, or None.
      kind: ``detector`` or ``pose net``.

    Raises:
      BlazePoseError: there is none; the message says how to give one.
    """
    if network is None:
        option = "--detector" if kind == "detector" else "--weights"
        raise BlazePoseError(f"the weights hold no {kind}: give one that does with {option}")
    return network


def required_skeleton(pose: Network | None) -> Skeleton:
    """The skeleton of a pose net.

    Raises:
      BlazePoseError: there is no net, or it has none.
    """
    pose = required(pose, "pose net")
    if pose.skeleton is None:
        raise BlazePoseError("the pose net has no skeleton: its model.json must name its keypoints")
    return pose.skeleton


def warn_of_flip(skeleton: Skeleton) -> None:
    """Warn where averaging with the mirror image does nothing; called by an engine's ``__init__``.

    Args:
      skeleton: of the pose net.
    """
    if not skeleton.mirrors:
        warnings.warn(
            f"flip does nothing for {skeleton.name!r}: {skeleton.describe_sides()}", stacklevel=3
        )
