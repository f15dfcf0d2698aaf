"""Structs: the frozen pytrees that functions take and return.

Each docstring says of every field its shape, type, frame and unit: B images, N people or slots, K
keypoints, K' with auxiliary rows, A anchors, G cells of a grid's side, M px of a mask's, R px of a
record's.
"""

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
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
    """One image as a flat buffer: compiled code depends on its capacity and not on its size.

    Attributes:
      pixels: (P, 3) uint8 RGB, rows one after another, then unused padding; float32 in [0, 255]
        where a gradient is wanted.
      size: (2,) int32: width, height; width * height <= P.
    """

    pixels: Array
    size: Array


class ROI(struct.PyTreeNode):
    """Rotated squares round people. Leading axes are free: () for one, (N,) for slots.

    Attributes:
      center: (..., 2) float32, image frame, px.
      side: (...,) float32, px.
      angle: (...,) float32, radians, clockwise on screen.
    """

    center: Array
    side: Array
    angle: Array


class Detections(struct.PyTreeNode):
    """What the detector saw, best first.

    Attributes:
      boxes_xyxy: (N, 4) float32, image frame, px: the face.
      keypoints: (N, 4, 2) float32, image frame, px: alignment points.
      scores: (N,) float32, probability.
      valid: (N,) bool: the row holds a detection.
    """

    boxes_xyxy: Array
    keypoints: Array
    scores: Array
    valid: Array


class Candidates(struct.PyTreeNode):
    """Squares in which somebody may be, best first.

    Attributes:
      roi: (N,) image frame.
      score: (N,) float32, what they are sorted by; comparable within one image.
      valid: (N,) bool: the row holds a candidate.
    """

    roi: ROI
    score: Array
    valid: Array


class DetectorOutputs(struct.PyTreeNode):
    """The detector's raw tensors.

    Attributes:
      boxes: (B, A, 12) float32: cx, cy, w, h, 4 x (x, y), input px relative to the anchor.
      logits: (B, A, 1) float32.
    """

    boxes: Array
    logits: Array


class PoseOutputs(struct.PyTreeNode):
    """The pose net's raw tensors; None where the net has no such head.

    Attributes:
      landmarks: (B, K', F) float32: x, y, z in input px; visibility and presence are logits.
      presence: (B, 1) float32, logit: a person is there.
      mask: (B, M, M, 1) float32, logits.
      heatmap: (B, G, G, K') float32, logits.
      offsets: (B, G, G, 2K') float32, cells; training only.
      world: (B, K', 3) float32, metres, crop axes.
      features: (B, G, G, D) float32, the decoder's last; training only.
    """

    landmarks: Array
    presence: Array
    mask: Array | None = None
    heatmap: Array | None = None
    offsets: Array | None = None
    world: Array | None = None
    features: Array | None = None


class Poses(struct.PyTreeNode):
    """N slots of people; K body keypoints in the order of the network's skeleton.

    Attributes:
      present: (N,) bool: the slot holds a person.
      ids: (N,) int32, stable while the person is tracked; -1 where the slot is empty.
      presence: (N,) float32, probability that a person is there.
      keypoints: (N, K, 3) float32, image frame, px; z has the scale of x, smaller is nearer.
      visibility: (N, K) float32, probability that the point is not occluded.
      point_presence: (N, K) float32, probability that the point is inside the frame.
      roi: (N,) the squares that the network looked at.
      quality: (N,) float32, the share of keypoints that is expected to lie within a fifth of the
        torso of the truth (``inference.quality``).
      confidence: (N, K) float32, probability that the point does.
      world: (N, K, 3) float32, metres, origin between the hips, image axes; None where the settings
        do not ask for it or the net has no such head.
      mask: (N, M, M) float32, probability, crop frame of ``roi``; None likewise.
    """

    present: Array
    ids: Array
    presence: Array
    keypoints: Array
    visibility: Array
    point_presence: Array
    roi: ROI
    quality: Array
    confidence: Array
    world: Array | None = None
    mask: Array | None = None


@dataclasses.dataclass(frozen=True)
class Part:
    """A hand or a face of somebody; host values, outside of any trace.

    Attributes:
      roi: (), where it is expected.
      presence: probability that it is there; None where no model has looked.
      keypoints: (K, 3) float32, image frame, px; z has the scale of x, smaller is nearer; None
        likewise.
    """

    roi: ROI
    presence: float | None = None
    keypoints: np.ndarray | None = None


# {slot: {"left_hand", "right_hand" or "face": what is there}}
Parts = Mapping[int, Mapping[str, Part]]
NO_PARTS: Parts = MappingProxyType({})


class LowPass(struct.PyTreeNode):
    """An exponential moving average.

    Attributes:
      value: (N, ...) float32, the last filtered value.
    """

    value: Array


class OneEuro(struct.PyTreeNode):
    """A One-Euro filter's memory.

    Attributes:
      raw: (N, ...) float32, the last unfiltered value.
      value: (N, ...) float32, the last filtered value.
      speed: (N, ...) float32, the last filtered speed, scaled units per second.
    """

    raw: Array
    value: Array
    speed: Array


class TrackState(struct.PyTreeNode):
    """All that a tracker remembers between two frames.

    Attributes:
      active: (N,) bool: the slot follows a person.
      ids: (N,) int32; -1 in slots that have never been taken.
      next_id: () int32: of the next new person.
      detector_runs: () int32: how often the detector was needed.
      starts: () int32: how often a slot began at a fixed first square.
      size: (2,) int32, width and height of the last frame; 0 before the first.
      roi: (N,) where to look in the next frame.
      started: (N,) bool: the filters of the slot hold a value.
      keypoints: (N, K, 3) image frame, px.
      world: (N, K, 3) metres.
      visibility: (N, K) probability.
    """

    active: Array
    ids: Array
    next_id: Array
    detector_runs: Array
    starts: Array
    size: Array
    roi: ROI
    started: Array
    keypoints: OneEuro
    world: OneEuro
    visibility: LowPass


Outputs = TypeVar("Outputs", bound=DetectorOutputs | PoseOutputs)


class Network(struct.PyTreeNode, Generic[Outputs]):
    """A network and its parameters, as the pipeline takes them: ``network(images)`` runs it.

    A detector is a ``Network[DetectorOutputs]``, a pose net a ``Network[PoseOutputs]``.

    Attributes:
      variables: its parameters; None where ``apply`` holds them itself, as LiteRT's does.
      apply: (variables, images) -> outputs; images as ``normalise`` gives them, (B, side, side, 3)
        float32.
      side: S, input px.
      mean: the grey level that becomes 0.
      std: grey levels per unit.
      skeleton: of a pose net.
      fields: of a pose net: what the columns of the landmarks are.
      decode: of a pose net: what x and y of the landmarks are, ``regression`` or, where the graph
        of an exported file decodes them, ``heatmap``.
    """

    variables: Variables | None
    apply: Callable[..., Outputs] = struct.field(pytree_node=False)
    side: int = struct.field(pytree_node=False)
    mean: float = struct.field(pytree_node=False)
    std: float = struct.field(pytree_node=False)
    skeleton: Skeleton | None = struct.field(pytree_node=False, default=None)
    fields: tuple[str, ...] = struct.field(pytree_node=False, default=())
    decode: str = struct.field(pytree_node=False, default="regression")

    def __repr__(self) -> str:
        """One line, without the parameters themselves."""
        return f"Network({self.describe()})"

    def describe(self) -> str:
        """The number of parameters, the input's side, and of a pose net the number of keypoints."""
        count = sum(np.size(leaf) for leaf in jax.tree.leaves(self.variables))
        held = f"{count:,} parameters" if self.variables is not None else "parameters in its file"
        points = "" if self.skeleton is None else f", {len(self.skeleton.keypoints)} keypoints"
        return f"{held}, input {self.side}x{self.side} px{points}"

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
