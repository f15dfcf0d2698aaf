"""Targets of a detector: one scene and a key to a disturbed input and labels of all anchors."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from blazepose_jax.batches import BYSTANDER, IGNORED, is_somebody
from blazepose_jax.codecs import alignment, anchors
from blazepose_jax.geometry import rois, warp
from blazepose_jax.structs import ROI, Array, Frame
from blazepose_jax.training import augment

# Of the image, beyond an anchor's reach: there it is neither positive nor negative. Google's own
# anchors stop within 0.015 (tools/detector_conventions.py), and labels are off by 0.01.
DOUBTFUL = 0.02
# Of the image, from the middle of a box: nearer, labels alone decide; farther, a teacher may know
# somebody whom nobody labelled.
ALONE = 0.15


@dataclasses.dataclass(frozen=True)
class DetectorConfig:
    """How scenes are disturbed, and the weights of a detector's losses."""

    # The least and the most of the scene that is looked at.
    zoom_in: float = 0.6
    zoom_out: float = 1.4
    # Of the scene's side.
    shift: float = 0.15
    # Radians; most people stand.
    angle: float = 0.5
    # Share of scenes turned by any angle.
    any_angle: float = 0.3
    flip: float = 0.5
    colour: float = 0.6
    score: float = 1.0
    # Who comes first: large people before small ones, and whom people labelled before bystanders.
    order: float = 0.0
    # How prominent a bystander is beside a labelled person of the same size.
    bystander: float = 0.1
    # Score of a teacher from which an anchor far from everybody labelled is no negative.
    teacher_score: float = 0.3
    # Errors of boxes are shares of the picture, as boxes have one size.
    boxes: float = 3.0
    # Errors of keypoints are shares of the circle's radius, at least ``min_radius`` of the picture:
    # the pose net's crop is as large as the person, and who is near would outweigh all others.
    keypoints: float = 1.0
    min_radius: float = 0.05
    # Where the errors of boxes and keypoints turn linear.
    boxes_knee: float = 0.02
    keypoints_knee: float = 0.1
    focal_alpha: float = 0.25
    focal_gamma: float = 2.0
    # Detections that count when recall and precision are measured.
    min_score: float = 0.5
    nms_threshold: float = 0.3
    # A mid-hip and a circle within this share of the circle's radius are right.
    close: float = 0.3


class SceneTargets(struct.PyTreeNode):
    """One scene as the detector sees it. A batch has a leading axis B."""

    image: Array  # (S, S, 3) float32, grey levels from 0 to 255
    positive: Array  # (A,) float32: 1 where an anchor is to find somebody
    scored: Array  # (A,) bool: the anchor's score is taught
    alone: Array  # (A,) bool: far from everybody who is labelled
    owner: Array  # (A,) int32: which person a positive anchor is to find
    values: Array  # (A, 12) float32, input px relative to the anchor
    radius: Array  # (A,) float32, crop frame: of the circle round the body of whom it is to find
    points_crop: Array  # (N, 5, 2) float32, crop frame: alignment points, middle of the box
    status: Array  # (N,) int32, as in SceneBatch; 0 for people to be found who left the picture


class AnchorTargets(struct.PyTreeNode):
    """What every anchor should say of the people in a picture; fields as in SceneTargets."""

    positive: Array
    scored: Array
    alone: Array
    owner: Array
    values: Array
    radius: Array


def scene_targets(
    key: jax.Array,
    pixels: Array,
    points: Array,
    status: Array,
    side: int,
    config: DetectorConfig | None,
) -> SceneTargets:
    """One scene to one input and what every anchor should say.

    Args:
      key: random key.
      pixels: (R, R, 3) uint8.
      points: (N, 5, 2) px.
      status: (N,), as in SceneBatch.
      side: S, input px.
      config: what to disturb; None for nothing.

    Returns:
      SceneTargets.
    """
    whole = pixels.shape[0]
    view = ROI(jnp.full(2, whole / 2), jnp.float32(whole), jnp.float32(0))
    affine = rois.to_affine(view, side)
    if config is not None:
        keys = jax.random.split(key, 6)
        zoom = jax.random.uniform(keys[0], minval=config.zoom_in, maxval=config.zoom_out)
        angle = jnp.where(jax.random.bernoulli(keys[1], config.any_angle), jnp.pi, config.angle)
        angle *= jax.random.uniform(keys[2], minval=-1.0)
        shift = config.shift * whole * jax.random.uniform(keys[3], (2,), minval=-1.0)
        view = ROI(view.center + shift, zoom * view.side, angle)
        affine = rois.to_affine(view, side)
        flipped = jax.random.bernoulli(keys[4], config.flip)
        affine = jnp.where(flipped, augment.mirror_affine(affine, side), affine)
    frame = Frame(pixels.reshape(-1, 3), jnp.array([whole, whole]))
    image = warp.crop(frame, affine, side, border="zero")
    points_crop = rois.image_to_crop(jnp.asarray(points).reshape(-1, 2), view).reshape(points.shape)
    if config is not None:
        points_crop = jnp.where(flipped, augment.mirror_points(points_crop), points_crop)
        image = augment.colour(keys[5], image, config.colour)
    inside = ((points_crop[:, 4] > 0) & (points_crop[:, 4] < 1)).all(-1)
    # Of whom is ignored, a part may still be in the picture.
    status = jnp.where(inside | (status == IGNORED), status, 0)
    found = anchor_targets(points_crop, status, side)
    return SceneTargets(image=image, points_crop=points_crop, status=status, **vars(found))


def anchor_targets(points_crop: jax.Array, status: jax.Array, side: int) -> AnchorTargets:
    """What every anchor should say of the people in a picture.

    Args:
      points_crop: (N, 5, 2) crop frame.
      status: (N,), as in SceneBatch.
      side: S, input px.

    Returns:
      AnchorTargets.
    """
    centers = jnp.asarray(anchors.anchor_centers(side))  # (A, 2)
    distance = jnp.linalg.norm(centers - points_crop[:, None, 4], axis=-1)  # (N, A)
    reach, maps = jnp.asarray(anchors.distance_scale(side)), anchors.map_numbers(side)
    # On every map that answers for people the nearest anchor does, too: on a coarse one none may be
    # near.
    within = jnp.where(reach > 0, distance, jnp.inf)
    nearest = jnp.zeros_like(distance, bool)
    for number in range(maps[-1] + 1):
        least = jnp.where(maps == number, within, jnp.inf).min(1, keepdims=True)
        nearest |= (maps == number) & (within <= least + 1e-6) & jnp.isfinite(within)
    is_person, is_ignored = is_somebody(status)[:, None], (status == IGNORED)[:, None]
    assigned = ((within < reach) | nearest) & is_person  # (N, A)
    radius = jnp.linalg.norm(points_crop[:, 1] - points_crop[:, 0], axis=-1)
    ignored = ((within < reach + DOUBTFUL) & is_person) | (
        (distance < radius[:, None]) & is_ignored
    )
    owner = jnp.argmin(jnp.where(assigned, distance, jnp.inf), 0)  # (A,)
    values = jax.vmap(lambda p: anchors.encode(alignment.box_xyxy(p[4]), p[:4], side))(
        points_crop
    )  # (N, A, 12)
    positive = assigned.any(0)
    return AnchorTargets(
        positive=positive.astype(jnp.float32),
        scored=positive | ~ignored.any(0),
        alone=~((distance < ALONE) & is_person).any(0),
        owner=owner,
        values=jnp.take_along_axis(values, owner[None, :, None], 0)[0],
        radius=radius[owner],
    )


def prominence(targets: SceneTargets, bystander: float) -> jax.Array:
    """How much somebody catches the eye: the area of the circle.

    Args:
      targets: of one scene, or of B.
      bystander: factor for those whom only a teacher labelled.

    Returns:
      (N,) or (B, N); 0 for nobody.
    """
    points, status = jnp.asarray(targets.points_crop), jnp.asarray(targets.status)
    area = jnp.square(points[..., 1, :] - points[..., 0, :]).sum(-1)
    return area * jnp.where(status == BYSTANDER, bystander, is_somebody(status))
