"""ROIs: rotated squares round people, and points between the image and the crop frame."""

import jax
import jax.numpy as jnp

from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import ROI, Array

# The circle round the body is widened by this factor (docs/mediapipe.md, 3.5).
MARGIN = 1.25
# Torso of somebody who stands, of the ROI's side; where centre and up points are unknown.
USUAL_TORSO = 0.2
# A training record shows this many times the side of its ROI, so that a disturbed crop still sees
# the surroundings.
CONTEXT = 1.4


def from_alignment(center: Array, circle: Array, margin: float = MARGIN) -> ROI:
    """The ROI of a person whose mid-hip and whose circle's upper end are known.

    Args:
      center: (..., 2) image frame, px; mid-hip.
      circle: (..., 2) image frame, px; where the circle round the body meets the line mid-hip ->
        mid-shoulder.
      margin: factor on the circle.

    Returns:
      ROI: side 2 * margin * |circle - center|, turned so that ``circle`` is above ``center``.

    Source: mediapipe/calculators/util/alignment_points_to_rects_calculator.cc.
    """
    delta = circle - center
    side = 2 * margin * jnp.linalg.norm(delta, axis=-1)
    angle = jnp.pi / 2 - jnp.arctan2(-delta[..., 1], delta[..., 0])
    return ROI(center, side, wrap_angle(angle))


def to_alignment(roi: ROI, margin: float = MARGIN) -> jax.Array:
    """The inverse of ``from_alignment``.

    Args:
      roi: (...).
      margin: as for ``from_alignment``.

    Returns:
      (..., 2, 2) float32: the centres, and the points on the circles.
    """
    radius = jnp.asarray(roi.side)[..., None] / (2 * margin)
    up = jnp.stack([jnp.sin(roi.angle), -jnp.cos(roi.angle)], -1)
    return jnp.stack([jnp.asarray(roi.center), roi.center + radius * up], -2)


def wrap_angle(angle: jax.Array) -> jax.Array:
    """Bring (...,) radians into [-pi, pi)."""
    return angle - 2 * jnp.pi * jnp.floor((angle + jnp.pi) / (2 * jnp.pi))


def from_keypoints(points: Array, skeleton: Skeleton, margin: float = MARGIN) -> ROI:
    """The ROI of the next frame, from the points of this one.

    Args:
      points: (..., K', 2) image frame, px: keypoints, then auxiliary points.
      skeleton: with ROI points its first two auxiliary points place the ROI, as in MediaPipe; else
        its centre and up points do, and the circle's radius is the distance from the centre to the
        farthest keypoint. Without those either it is upright, round the keypoints' box.
      margin: factor on the circle.

    Returns:
      ROI.
    """
    count = len(skeleton.keypoints)
    if skeleton.has_roi_points:
        return from_alignment(points[..., count, :], points[..., count + 1, :], margin)
    body = points[..., :count, :]
    if not skeleton.center:
        low, high = body.min(-2), body.max(-2)
        return ROI(
            (low + high) / 2, margin * (high - low).max(-1), jnp.zeros(body.shape[:-2], jnp.float32)
        )
    center = body[..., skeleton.indices(skeleton.center), :].mean(-2)
    up = body[..., skeleton.indices(skeleton.up), :].mean(-2)
    radius = jnp.linalg.norm(body - center[..., None, :], axis=-1).max(-1, keepdims=True)
    length = jnp.linalg.norm(up - center, axis=-1, keepdims=True)
    # A person seen from straight above has no up; then the crop stays upright.
    upright = jnp.broadcast_to(jnp.asarray([0.0, -1.0]), center.shape)
    direction = jnp.where(length > 1e-6, (up - center) / jnp.maximum(length, 1e-6), upright)
    return from_alignment(center, center + radius * direction, margin)


def whole_image(size: Array, turn: Array | int = 0) -> ROI:
    """The letterbox: the smallest square with the image at its centre, upright or turned.

    Args:
      size: (2,) width, height in px.
      turn: () quarters, clockwise on screen.

    Returns:
      ROI, scalar.
    """
    size = jnp.asarray(size, jnp.float32)
    return ROI(size / 2, size.max(), jnp.asarray(turn * (jnp.pi / 2), jnp.float32))


def to_affine(roi: ROI, side: int) -> jax.Array:
    """The affine maps from crop px to image px.

    Crop pixel (0, 0) lies on the corner of the ROI, without half-pixel shift, as in MediaPipe
    (docs/mediapipe.md, 3.7).

    Args:
      roi: leading axes are free.
      side: S, px of the crop.

    Returns:
      (..., 2, 3) float32.
    """
    scale = roi.side / side
    cos, sin = jnp.cos(roi.angle) * scale, jnp.sin(roi.angle) * scale
    rotation = jnp.stack([jnp.stack([cos, -sin], -1), jnp.stack([sin, cos], -1)], -2)  # (..., 2, 2)
    shift = roi.center - rotation.sum(-1) * (side / 2)
    return jnp.concatenate([rotation, shift[..., None]], -1)


def crop_to_image(points_crop: Array, roi: ROI) -> jax.Array:
    """(..., K, 2) points from the crop frame, where the ROI is the unit square, to image px."""
    return (
        _rotate((points_crop - 0.5) * roi.side[..., None, None], roi.angle)
        + roi.center[..., None, :]
    )


def image_to_crop(points: Array, roi: ROI) -> jax.Array:
    """(..., K, 2) points from image px to the crop frame; inverse of ``crop_to_image``."""
    return _rotate(points - roi.center[..., None, :], -roi.angle) / roi.side[..., None, None] + 0.5


def _rotate(points: Array, angle: Array) -> jax.Array:
    """Turn (..., K, 2) by (...,) radians."""
    cos, sin = jnp.cos(angle)[..., None], jnp.sin(angle)[..., None]
    x, y = points[..., 0], points[..., 1]
    return jnp.stack([cos * x - sin * y, sin * x + cos * y], -1)


def rotate_world(points: Array, roi: ROI) -> jax.Array:
    """(..., K, 3) metres from crop axes to image axes; z, along the camera's axis, stays."""
    return jnp.concatenate([_rotate(points[..., :2], roi.angle), points[..., 2:]], -1)


def bounding_xyxy(roi: ROI) -> jax.Array:
    """(..., 4) the squares as if unrotated, as MediaPipe compares ROIs (docs/mediapipe.md, 3.8)."""
    half = roi.side[..., None] / 2
    return jnp.concatenate([roi.center - half, roi.center + half], -1)
