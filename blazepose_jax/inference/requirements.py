"""Requirements on networks and on calls."""

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference.settings import Settings
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import ROI, Network

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def settings_by_name(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Let a function refuse settings that are not given by name, as another argument's value.

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
    shapes = [np.shape(leaf) for leaf in (roi.center, roi.side, roi.angle)]
    n = len(roi.side) if shapes[1] else 0
    if shapes != [(n, 2), (n,), (n,)] or count not in (None, n):
        rows = "N" if count is None else count
        raise BlazePoseError(
            f"{name} has a center, side and angle of the shapes {', '.join(map(str, shapes))}: they"
            f" must be ({rows}, 2), ({rows},) and ({rows},), a row for each square"
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


def required_skeleton(pose: Network) -> Skeleton:
    """The skeleton of a pose net.

    Raises:
      BlazePoseError: the net has none.
    """
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
