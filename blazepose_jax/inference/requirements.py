"""Requirements on networks."""

import warnings

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import Network


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
