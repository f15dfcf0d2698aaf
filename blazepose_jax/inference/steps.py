"""Steps of the pipeline before, between and after the networks.

``pipeline.track`` composes them in one program; the LiteRT runtime jits them one by one.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import lax

from blazepose_jax.codecs import anchors, landmarks
from blazepose_jax.geometry import rois, warp
from blazepose_jax.inference import smoothing
from blazepose_jax.inference.quality import MIN_QUALITY, assess
from blazepose_jax.inference.requirements import required_skeleton
from blazepose_jax.inference.settings import MIN_SCORE, Settings
from blazepose_jax.structs import (
    ROI,
    Array,
    Detections,
    DetectorOutputs,
    Frame,
    Network,
    PoseOutputs,
    Poses,
    TrackState,
)

Rows = TypeVar("Rows")


def detector_input(
    detector: Network, frame: Frame, turn: Array | int = 0, *, rounding: bool = True
) -> jax.Array:
    """The letterboxed image, (1, S, S, 3) float32, normalised; outside of the image it is black.

    Args:
      detector: gives the side, and what is normal.
      frame: the image.
      turn: () quarters by which the letterbox is turned, clockwise on screen.
      rounding: as for ``warp.crop``.
    """
    affine = rois.to_affine(rois.whole_image(frame.size, turn), detector.side)
    pixels = warp.crop(frame, affine, detector.side, border="zero", rounding=rounding)
    return (pixels[None] - detector.mean) / detector.std


def read_detections(
    detector: Network,
    outputs: DetectorOutputs,
    frame: Frame,
    turn: Array | int = 0,
    *,
    settings: Settings,
) -> Detections:
    """Raw detector tensors to Detections in image px; ``turn`` as for ``detector_input``."""
    least = settings.min_detection_confidence
    found = anchors.decode(
        outputs,
        detector.side,
        count=settings.max_people,
        min_score=MIN_SCORE if least is None else least,
        nms_threshold=settings.nms_threshold,
    )
    box = rois.whole_image(frame.size, turn)
    # Opposite corners remain opposite when the letterbox is turned by quarters.
    corners = rois.crop_to_image(found.boxes_xyxy.reshape(-1, 2, 2), box)  # (N, 2, 2)
    return in_float32(
        found.replace(
            boxes_xyxy=jnp.concatenate([corners.min(1), corners.max(1)], -1),
            keypoints=rois.crop_to_image(found.keypoints, box),
        )
    )


def pose_input(pose: Network, frame: Frame, roi: ROI, *, rounding: bool = True) -> jax.Array:
    """The crops, (N, S, S, 3) float32, normalised; outside of the image its edge is repeated.

    Args:
      pose: gives the side, and what is normal.
      frame: the image.
      roi: (N,) squares, image frame.
      rounding: as for ``warp.crop``.
    """

    def one(square: ROI) -> jax.Array:
        affine = rois.to_affine(square, pose.side)
        return warp.crop(frame, affine, pose.side, border="replicate", rounding=rounding)

    return in_float32((jax.vmap(one)(roi) - pose.mean) / pose.std)


def run_pose(pose: Network, crops: Array, active: Array, settings: Settings) -> PoseOutputs:
    """Run the pose net on the crops of active slots; the rest stay zero.

    Args:
      pose: a pose network with a skeleton.
      crops: (N, S, S, 3) float32, normalised.
      active: (N,) bool.
      settings: static.

    Returns:
      PoseOutputs with batch axis N.
    """
    if crops.shape[0] == 1:
        return run_at_once(pose, crops, settings)

    def one(crop: Array, is_active: Array) -> PoseOutputs:
        return jax.tree.map(lambda a: a[0], run_at_once(pose, crop[None], settings))

    return map_active(one, crops, active)


def run_at_once(pose: Network, crops: Array, settings: Settings) -> PoseOutputs:
    """Run the pose net on (N, S, S, 3) crops in one batch, and with ``flip`` on their mirrors."""
    outputs, skeleton = pose(crops), required_skeleton(pose)
    if settings.flip and skeleton.mirrors:
        outputs = landmarks.average_mirrored(
            outputs, pose(landmarks.mirror(crops)), skeleton.flip, pose.fields, pose.side
        )
    return outputs


def map_active(function: Callable[..., Rows], rows: object, active: Array) -> Rows:
    """Call a function for active slots, one by one; the rest get zeros.

    An empty slot costs nothing, where a batch would always pay for N.

    Args:
      function: (a slot of ``rows``, () bool) -> a pytree of arrays.
      rows: a pytree of (N, ...) arrays.
      active: (N,) bool.

    Returns:
      What ``function`` returns, with a leading axis N.
    """

    def one(slot: tuple[object, Array]) -> Rows:
        row, is_active = slot
        shapes = jax.eval_shape(function, row, is_active)
        nothing = partial(jax.tree.map, lambda s: jnp.zeros(s.shape, s.dtype))
        return lax.cond(is_active, lambda: function(row, is_active), lambda: nothing(shapes))

    return lax.map(one, (rows, active))


def read_poses(
    pose: Network, outputs: PoseOutputs, roi: ROI, active: Array, ids: Array, settings: Settings
) -> tuple[Poses, ROI]:
    """Raw pose tensors to people.

    Args:
      pose: the network that gave ``outputs``.
      outputs: batch axis N.
      roi: (N,) where the crops were taken.
      active: (N,) bool; the other slots hold nobody.
      ids: (N,) int32.
      settings: static.

    Returns:
      Poses in image px, and (N,) where to look in the next frame.
    """
    skeleton = required_skeleton(pose)
    body = len(skeleton.keypoints)
    decoded = jax.vmap(
        lambda o: landmarks.decode(o, pose.fields, pose.side, settings.decode, body, pose.decode)
    )(outputs)
    xy = rois.crop_to_image(decoded.points[..., :2], roi)  # (N, K', 2)
    points = jnp.concatenate([xy, decoded.points[..., 2:] * roi.side[:, None, None]], -1)
    presence = jax.nn.sigmoid(outputs.presence[:, 0])
    confidence, quality = assess(pose, outputs)
    present = active & (presence >= settings.min_presence_confidence)
    if settings.search != "none":
        present &= quality >= MIN_QUALITY
    world = mask = None
    if settings.world and outputs.world is not None:
        world = rois.rotate_world(outputs.world[:, :body], roi)
    if settings.mask and outputs.mask is not None:
        mask = jax.nn.sigmoid(outputs.mask[..., 0])
    poses = Poses(
        present,
        jnp.where(present, ids, -1),
        jnp.where(active, presence, 0),
        points[:, :body],
        decoded.visibility[:, :body],
        decoded.presence[:, :body],
        roi,
        jnp.where(active, quality, 0),
        jnp.where(active[:, None], confidence, 0),
        world,
        mask,
    )
    return in_float32((poses, rois.from_keypoints(xy, skeleton)))


def follow(
    pose: Network,
    state: TrackState,
    outputs: PoseOutputs,
    elapsed: Array | float,
    *,
    settings: Settings,
) -> tuple[TrackState, Poses]:
    """Read the poses of this frame, smooth them, and aim at the next frame.

    Args:
      pose: the network that gave ``outputs``.
      state: N slots, after ``associate``.
      outputs: batch axis N.
      elapsed: () seconds since the previous frame; see ``smoothing.usable_period``.
      settings: static.

    Returns:
      The state for the next frame, and Poses in image px.
    """
    poses, next_roi = read_poses(pose, outputs, state.roi, state.active, state.ids, settings)
    alive = poses.present & jnp.isfinite(next_roi.side) & (next_roi.side > 0)
    state = state.replace(active=alive, roi=next_roi)
    if settings.smoothing:
        state, poses = smoothing.smooth(
            state, poses, jnp.asarray(elapsed, jnp.float32), settings.filters
        )
    return in_float32((state.replace(started=alive), poses))


def in_float32(tree: Rows) -> Rows:
    """A pytree whose real numbers are float32, also where the process computes with 64 bits."""
    return jax.tree.map(
        lambda a: a.astype(jnp.float32) if jnp.issubdtype(a.dtype, jnp.floating) else a, tree
    )
