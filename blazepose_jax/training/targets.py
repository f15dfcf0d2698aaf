"""Targets of a pose net: one record and a key to a disturbed crop and its labels."""

import jax
import jax.numpy as jnp
from flax import struct

from blazepose_jax.batches import PoseBatch
from blazepose_jax.geometry import rois, warp
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import ROI, Array, Frame
from blazepose_jax.training import augment
from blazepose_jax.training.augment import AugmentConfig, disturbed_roi


class BodyTargets(struct.PyTreeNode):
    """What nobody labels by hand: rendered people know it, or a teacher."""

    depth: Array  # (K',) float32, in units of the crop, 0 at the mid-hip, smaller is nearer
    world: Array  # (K, 3) float32, metres, crop axes
    mask: Array  # (S, S) float32 in [0, 1]
    known: Array  # () bool: the three above are true of this sample


class Targets(struct.PyTreeNode):
    """One sample as the network sees it; K' counts auxiliary rows. A batch has a leading axis B."""

    image: Array  # (S, S, 3) float32, grey levels from 0 to 255
    keypoints_crop: Array  # (K', 2) float32, crop frame
    labelled: Array  # (K',) bool: by hand; ROI points are but with a teacher, unused rows are not
    label_weight: Array  # (K',) float32: of each label, whoever labelled it; 0 where nobody did
    inside: Array  # (K',) bool: inside of the crop and of what is left of the frame
    visible: Array  # (K',) float32, probability: labelled as visible, inside, not covered by us
    covered: Array  # (K',) bool: hidden for certain, by what we drew or because it is outside
    is_keypoint: Array  # (K',) bool: one of the skeleton's K, and no auxiliary row
    torso: Array  # () float32, from mid-hip to mid-shoulder, crop frame
    is_person: Array  # () bool: a person is at the centre
    body: BodyTargets | None = None  # None where no record of the batch knows it


def sample_targets(
    key: jax.Array,
    record: PoseBatch,
    skeleton: Skeleton,
    side: int,
    config: AugmentConfig,
    *,
    label_roi: bool = True,
) -> Targets:
    """One record to one input and its labels, disturbed.

    Args:
      key: random key.
      record: without batch axis.
      skeleton: with its left/right swap and, if it has any, the ROI points.
      side: S, input px.
      config: what to disturb.
      label_roi: the record's ROI labels the ROI points; else a teacher answers for them.

    Returns:
      Targets.
    """
    keys = jax.random.split(key, 5)
    seen, is_person = disturbed_roi(keys[0], record.roi, config)
    rows = labelled_rows(record, skeleton, label_roi)
    points = rois.image_to_crop(rows.keypoints, seen)  # (K', 2)
    affine = rois.to_affine(seen, side)
    flipped = jax.random.bernoulli(keys[1], config.flip if skeleton.mirrors else 0.0)
    affine = jnp.where(flipped, augment.mirror_affine(affine, side), affine)
    order = jnp.where(flipped, jnp.array(skeleton.flip), jnp.arange(len(skeleton.flip)))
    points, rows = points[order], jax.tree.map(lambda a: a[order], rows)
    points = jnp.where(flipped, augment.mirror_points(points), points)

    layers = warp.crop(record_frame(record), affine, side, border="replicate")  # (S, S, 3 or 4)
    layers = layers.at[..., :3].set(augment.colour(keys[2], layers[..., :3], config.colour))
    layers, covered = augment.occlude(
        keys[3],
        layers,
        points,
        max(config.occluders, 1),
        config.occlusion if config.occluders else 0.0,
    )
    layers, cut = augment.truncate(keys[4], layers, points, config.truncation)
    inside = ((points >= 0) & (points < 1)).all(-1) & ~cut
    return Targets(
        image=layers[..., :3],
        keypoints_crop=points,
        labelled=rows.by_hand & is_person,
        label_weight=rows.weight * is_person,
        inside=inside,
        visible=rows.visibility * (inside & ~covered),
        covered=covered | ~inside,
        is_keypoint=jnp.arange(points.shape[0]) < len(skeleton.keypoints),
        torso=torso_of(
            points, rows.weight > 0, skeleton, rois.USUAL_TORSO * record.roi.side / seen.side
        ),
        is_person=is_person,
        body=body_targets(record, seen, flipped, order, layers, is_person),
    )


class LabelledRows(struct.PyTreeNode):
    """A record's labels with the auxiliary rows: the two ROI points, then unused ones."""

    keypoints: jax.Array  # (K', 2) float32, record px
    by_hand: jax.Array  # (K',) bool: labelled by a person, or by the record's ROI
    weight: jax.Array  # (K',) float32, of each as a label; 0 for none
    visibility: jax.Array  # (K',) float32, probability; 0 for ROI points and unused rows


def labelled_rows(record: PoseBatch, skeleton: Skeleton, label_roi: bool) -> LabelledRows:
    """The labels of a record without batch axis.

    Args:
      record: whose teacher's labels, if it has any, are taken with their weights.
      skeleton: with the auxiliary rows.
      label_roi: the record labels the ROI points.
    """
    by_hand = jnp.asarray(record.visibility_flags) > 0
    roi_points = rois.to_alignment(record.roi)
    weight = by_hand.astype(jnp.float32)
    visibility = (jnp.asarray(record.visibility_flags) == 2).astype(jnp.float32)
    if record.teacher is not None:
        weight, visibility = record.teacher.confidence, record.teacher.visibility
        roi_points = record.teacher.roi_points
    placed = 2 if skeleton.has_roi_points else 0
    unused = len(skeleton.auxiliary) - placed
    extra = jnp.array([label_roi] * placed + [False] * unused, bool)
    return LabelledRows(
        jnp.concatenate(
            [jnp.asarray(record.keypoints), roi_points[:placed], jnp.zeros((unused, 2))]
        ),
        jnp.concatenate([by_hand, extra]),
        jnp.concatenate([jnp.asarray(weight), extra.astype(jnp.float32)]),
        jnp.pad(jnp.asarray(visibility), (0, len(skeleton.auxiliary))),
    )


def record_frame(record: PoseBatch) -> Frame:
    """A record's pixels, and its mask as a fourth channel where it has one."""
    pixels = jnp.asarray(record.pixels)
    if record.mask is not None:
        pixels = jnp.concatenate([pixels, jnp.asarray(record.mask)[..., None]], -1)
    size = pixels.shape[0]
    return Frame(pixels.reshape(size * size, -1), jnp.array([size, size]))


def torso_of(
    points_crop: jax.Array, labelled: jax.Array, skeleton: Skeleton, usual: Array
) -> jax.Array:
    """() the distance from centre to up points, crop frame; ``usual`` where they are unlabelled.

    They are where a teacher placed the ROI.
    """
    if not skeleton.center:
        return jnp.asarray(usual)
    ends = [jnp.array(skeleton.indices(names)) for names in (skeleton.center, skeleton.up)]
    hips, shoulders = (points_crop[rows].mean(0) for rows in ends)
    known = labelled[jnp.concatenate(ends)].all()
    return jnp.where(known, jnp.linalg.norm(shoulders - hips), usual)


def body_targets(
    record: PoseBatch,
    seen: ROI,
    flipped: jax.Array,
    order: jax.Array,
    layers: jax.Array,
    is_person: jax.Array,
) -> BodyTargets | None:
    """Depth, metres and mask of a sample, where its record knows them.

    Args:
      record: without batch axis.
      seen: the square that the crop shows.
      flipped: () bool, the crop is mirrored.
      order: (K',) positions after the left/right swap.
      layers: (S, S, 4) the crop with its mask, in [0, 255].
      is_person: () bool.

    Returns:
      BodyTargets, or None.
    """
    if record.depth is None or record.world is None or record.has_3d_labels is None:
        return None
    count = record.world.shape[0]
    world = rois.rotate_world(record.world, seen.replace(angle=-seen.angle))
    world = jnp.where(flipped, world * jnp.array([-1.0, 1.0, 1.0]), world)
    depth = jnp.concatenate([jnp.asarray(record.depth), jnp.zeros(order.shape[0] - count)])
    return BodyTargets(
        depth=depth[order] / seen.side,
        world=world[order[:count]],
        mask=layers[..., 3] / 255.0,
        known=record.has_3d_labels & is_person,
    )
