"""Structs: the frozen pytrees that functions take and return.

Each field has a line with its shape, type, frame and unit: B images, N people or slots, K
keypoints, K' with auxiliary rows, A anchors, G cells of a grid's side, M px of a mask's, R px of a
record's.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from blazepose_jax.skeleton import Skeleton

# Inside of jit a jax.Array, outside of it either.
Array = jax.Array | np.ndarray
# Flax's: {"params"}, or {"params", "batch_stats"}, nested dicts of arrays.
Variables = dict[str, Any]


class Frame(struct.PyTreeNode):
    """One image as a flat buffer: compiled code depends on its capacity and not on its size."""

    pixels: Array  # (P, 3) uint8 RGB, rows one after another, then unused padding
    size: Array  # (2,) int32: width, height; width * height <= P


class ROI(struct.PyTreeNode):
    """Rotated squares round people. Leading axes are free: () for one, (N,) for slots."""

    center: Array  # (..., 2) float32, image frame, px
    side: Array  # (...,) float32, px
    angle: Array  # (...,) float32, radians, clockwise on screen


class Detections(struct.PyTreeNode):
    """What the detector saw, best first."""

    boxes_xyxy: Array  # (N, 4) float32, image frame, px: the face
    keypoints: Array  # (N, 4, 2) float32, image frame, px: alignment points
    scores: Array  # (N,) float32, probability
    valid: Array  # (N,) bool: the row holds a detection


class DetectorOutputs(struct.PyTreeNode):
    """The detector's raw tensors."""

    boxes: Array  # (B, A, 12) float32: cx, cy, w, h, 4 x (x, y), input px relative to the anchor
    logits: Array  # (B, A, 1) float32


class PoseOutputs(struct.PyTreeNode):
    """The pose net's raw tensors; None where the net has no such head."""

    landmarks: Array  # (B, K', F) float32: x, y, z in input px; visibility and presence are logits
    presence: Array  # (B, 1) float32, logit: a person is there
    mask: Array | None = None  # (B, M, M, 1) float32, logits
    heatmap: Array | None = None  # (B, G, G, K') float32, logits
    offsets: Array | None = None  # (B, G, G, 2K') float32, cells; training only
    world: Array | None = None  # (B, K', 3) float32, metres, crop axes
    features: Array | None = None  # (B, G, G, D) float32, the decoder's last; training only


class Poses(struct.PyTreeNode):
    """N slots of people; K body keypoints in the order of the network's skeleton."""

    present: Array  # (N,) bool: the slot holds a person
    ids: Array  # (N,) int32, stable while the person is tracked; -1 where the slot is empty
    presence: Array  # (N,) float32, probability that a person is there
    keypoints: Array  # (N, K, 3) float32, image frame, px; z has the scale of x, smaller is nearer
    visibility: Array  # (N, K) float32, probability that the point is not occluded
    point_presence: Array  # (N, K) float32, probability that the point is inside the frame
    roi: ROI  # (N,) the squares that the network looked at
    world: Array | None = None  # (N, K, 3) float32, metres, origin between the hips, image axes
    mask: Array | None = None  # (N, M, M) float32, probability, crop frame of ``roi``


class LowPass(struct.PyTreeNode):
    """An exponential moving average."""

    value: Array  # (N, ...) float32, the last filtered value


class OneEuro(struct.PyTreeNode):
    """A One-Euro filter's memory."""

    raw: Array  # (N, ...) float32, the last unfiltered value
    value: Array  # (N, ...) float32, the last filtered value
    speed: Array  # (N, ...) float32, the last filtered speed, scaled units per second


class TrackState(struct.PyTreeNode):
    """All that a tracker remembers between two frames."""

    active: Array  # (N,) bool: the slot follows a person
    ids: Array  # (N,) int32
    next_id: Array  # () int32
    detector_runs: Array  # () int32: how often the detector was needed
    roi: ROI  # (N,) where to look in the next frame
    started: Array  # (N,) bool: the filters of the slot hold a value
    keypoints: OneEuro  # (N, K, 3)
    world: OneEuro  # (N, K, 3)
    visibility: LowPass  # (N, K)


Outputs = TypeVar("Outputs", bound=DetectorOutputs | PoseOutputs)


class Network(struct.PyTreeNode, Generic[Outputs]):
    """A network and its parameters, as the pipeline takes them: ``network(images)`` runs it.

    A detector is a ``Network[DetectorOutputs]``, a pose net a ``Network[PoseOutputs]``.
    """

    variables: Variables | None  # None where ``apply`` holds them itself, as LiteRT's does
    # (variables, images) -> outputs; images as ``normalise`` gives them, (B, side, side, 3) float32
    apply: Callable[..., Outputs] = struct.field(pytree_node=False)
    side: int = struct.field(pytree_node=False)  # input px
    mean: float = struct.field(pytree_node=False)  # the grey level that becomes 0
    std: float = struct.field(pytree_node=False)  # grey levels per unit
    skeleton: Skeleton | None = struct.field(pytree_node=False, default=None)  # of a pose net
    # Of a pose net: what the columns of the landmarks are.
    fields: tuple[str, ...] = struct.field(pytree_node=False, default=())

    def normalise(self, pixels: Array) -> jax.Array:
        """Grey levels as the network takes them.

        Args:
          pixels: (...) uint8 or float32 in [0, 255].

        Returns:
          (...) float32, (pixels - mean) / std.
        """
        return (jnp.asarray(pixels) - self.mean) / self.std

    def __call__(self, images: Array) -> Outputs:
        """Run the network.

        Args:
          images: (B, side, side, 3) float32, normalised.

        Returns:
          DetectorOutputs or PoseOutputs.
        """
        return self.apply(self.variables, images)


class PoseBatch(struct.PyTreeNode):
    """What a pose net is trained on: B person-centred squares of R px, each its own image frame."""

    pixels: Array  # (B, R, R, 3) uint8
    keypoints: Array  # (B, K, 2) float32, record px; anything where unlabelled
    visibility_flags: Array  # (B, K) int32: 2 visible, 1 labelled but occluded, 0 unlabelled
    roi: ROI  # (B,) the truth, record px
    has_occlusion_labels: Array  # (B,) bool: flag 2 means visible, not just labelled
    weight: Array  # (B,) float32
    ids: Array  # (B,) int32, for error messages
    # What only rendered people know; None where no record of the batch knows it.
    has_3d_labels: Array | None = None  # (B,) bool: the three below are true of this record
    depth: Array | None = None  # (B, K) float32, record px, 0 at the mid-hip, smaller is nearer
    world: Array | None = None  # (B, K, 3) float32, metres, origin at the mid-hip, record axes
    mask: Array | None = None  # (B, R, R) uint8, 255 where the person is seen


class SceneBatch(struct.PyTreeNode):
    """What a detector is trained on: B square scenes of R px with up to N people."""

    pixels: Array  # (B, R, R, 3) uint8
    # (B, N, 5, 2) float32, px: the four alignment points, then the middle of the face box
    points: Array
    # (B, N) int32: 1 a person; 2 somebody labelled too badly to be positive or negative; 0 nobody
    status: Array
    weight: Array  # (B,) float32
    ids: Array  # (B,) int32, for error messages
