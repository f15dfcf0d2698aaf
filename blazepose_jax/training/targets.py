"""One record and a key come in, a disturbed crop and its labels leave; on the device."""

import dataclasses

import jax
import jax.numpy as jnp

from blazepose_jax.geometry import rois, warp
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import ROI, Frame, PoseBatch
from blazepose_jax.training import augment


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """How samples are disturbed; ``NO_AUGMENTATION`` leaves them as they are.

    The paper disturbs scale and shift by 10 % and limits the angle; wider ranges cost capacity
    (2.6).
    """

    scale: float = 0.10
    shift: float = 0.10  # of the ROI's side; the paper's 10 %
    angle: float = 0.26  # radians, 15 degrees
    wide: float = 0.2  # share of samples with 2.5 times the scale and shift and 3 times the angle
    flip: float = 0.5
    colour: float = 0.6
    occluders: int = 3
    occlusion: float = 0.5
    truncation: float = 0.15  # share whose frame ends above the legs (the paper's upper-body case)
    half_body: float = 0.1  # share that sees the upper or the lower half alone, larger
    negatives: float = 0.08  # share of samples moved off the person, for pose presence


USUAL_TORSO = 0.2  # of the ROI's side, of somebody who stands
NO_AUGMENTATION = AugmentConfig(
    scale=0.0,
    shift=0.0,
    angle=0.0,
    wide=0.0,
    flip=0.0,
    colour=0.0,
    occluders=0,
    occlusion=0.0,
    truncation=0.0,
    half_body=0.0,
    negatives=0.0,
)


def disturbed_roi(key: jax.Array, roi: ROI, config: AugmentConfig) -> tuple[ROI, jax.Array]:
    """Where a sample looks instead of at the true square.

    Args:
      key: random key.
      roi: scalar, the truth.
      config: what to disturb.

    Returns:
      ROI, and () bool: the person is still at its centre.
    """
    is_wide, jitter, is_half, which_half, is_negative, direction = jax.random.split(key, 6)
    wide = jax.random.bernoulli(is_wide, config.wide)
    seen = augment.jitter_roi(
        jitter,
        roi,
        config.scale * (1 + 1.5 * wide),
        config.shift * (1 + 1.5 * wide),
        config.angle * (1 + 2.0 * wide),
    )
    half = jax.random.bernoulli(is_half, config.half_body)
    end = jnp.where(jax.random.bernoulli(which_half), 0.2, -0.2)  # of the side: chest or knees
    along = end * seen.side * jnp.stack([jnp.sin(seen.angle), -jnp.cos(seen.angle)])
    seen = ROI(
        jnp.where(half, seen.center + along, seen.center),
        jnp.where(half, 0.65, 1.0) * seen.side,
        seen.angle,
    )
    # A negative looks past the person: her centre lies at least a third of the side away.
    is_person = ~jax.random.bernoulli(is_negative, config.negatives)
    away = jax.random.uniform(direction, maxval=2 * jnp.pi)
    offset = 0.75 * seen.side * jnp.stack([jnp.cos(away), jnp.sin(away)])
    return seen.replace(center=jnp.where(is_person, seen.center, seen.center + offset)), is_person


def sample_targets(
    key: jax.Array, record: PoseBatch, skeleton: Skeleton, side: int, config: AugmentConfig
) -> dict[str, jax.Array]:
    """One record to one input and its labels, disturbed.

    Args:
      key: random key.
      record: without batch axis.
      skeleton: with its left/right swap and, if it has any, the ROI points.
      side: S, input px.
      config: what to disturb.

    Returns:
      image (S, S, 3) in [0, 255]; points (K', 2) crop frame; labelled, inside, visible, covered,
      body (K',) bool; torso (); is_person () bool; and where the record knows them depth (K',) in
      units of the crop, world (K, 3) metres in crop axes, mask (S, S) in [0, 1], has_3d_labels ()
      bool. K' counts auxiliary rows: the two ROI points are labelled, unused ones are not.
    """
    keys = jax.random.split(key, 5)
    roi, keypoints, visibility_flags, body = (
        record.roi,
        record.keypoints,
        record.visibility_flags,
        len(skeleton.keypoints),
    )
    seen, is_person = disturbed_roi(keys[0], roi, config)
    circle = roi.side / (2 * rois.MARGIN) * jnp.stack([jnp.sin(roi.angle), -jnp.cos(roi.angle)])
    placed = 2 if skeleton.has_roi_points else 0
    unused = len(skeleton.auxiliary) - placed
    extra = jnp.stack([roi.center, roi.center + circle])[:placed]
    keypoints = jnp.concatenate([keypoints, extra, jnp.zeros((unused, 2))])
    visibility_flags = jnp.concatenate(
        [visibility_flags, jnp.array([1] * placed + [0] * unused, visibility_flags.dtype)]
    )
    points = rois.image_to_crop(keypoints, seen)  # (K', 2)
    affine = rois.to_affine(seen, side)
    flipped = jax.random.bernoulli(keys[1], config.flip if skeleton.mirrors else 0.0)
    affine = jnp.where(flipped, augment.mirror_affine(affine, side), affine)
    order = jnp.where(flipped, jnp.array(skeleton.flip), jnp.arange(len(skeleton.flip)))
    points, visibility_flags = points[order], visibility_flags[order]
    points = jnp.where(flipped, jnp.array([1.0, 0.0]) + points * jnp.array([-1.0, 1.0]), points)

    pixels = (
        record.pixels
        if record.mask is None
        else jnp.concatenate([record.pixels, record.mask[..., None]], -1)
    )
    size = pixels.shape[0]
    frame = Frame(pixels.reshape(size * size, -1), jnp.array([size, size]))
    layers = warp.crop(frame, affine, side, border="replicate")  # (S, S, 3), or 4 with the mask
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
    ends = [jnp.array(skeleton.indices(names)) for names in (skeleton.center, skeleton.up)]
    hips, shoulders = (points[rows].mean(0) for rows in ends)
    # Where a teacher placed the ROI the torso is unlabelled.
    torso = jnp.where(
        (visibility_flags[jnp.concatenate(ends)] > 0).all(),
        jnp.linalg.norm(shoulders - hips),
        USUAL_TORSO * roi.side / seen.side,
    )
    targets = {
        "image": layers[..., :3],
        "points": points,
        "labelled": (visibility_flags > 0) & is_person,
        "inside": inside,
        "visible": (visibility_flags == 2) & inside & ~covered,
        "covered": covered | ~inside,
        "torso": torso,
        "is_person": is_person,
        "body": jnp.arange(points.shape[0]) < body,
    }
    if record.depth is not None and record.world is not None and record.has_3d_labels is not None:
        extra = jnp.zeros(points.shape[0] - body)
        world = rois.rotate_world(record.world, seen.replace(angle=-seen.angle))
        world = jnp.where(flipped, world * jnp.array([-1.0, 1.0, 1.0]), world)
        targets |= {
            "depth": jnp.concatenate([record.depth, extra])[order] / seen.side,
            "world": world[order[:body]],
            "mask": layers[..., 3] / 255.0,
            "has_3d_labels": record.has_3d_labels & is_person,
        }
    return targets
