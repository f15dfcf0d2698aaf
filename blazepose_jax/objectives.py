"""Variables and a batch come in, one scalar loss and its parts leave: the paper's recipe, one function per network."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from blazepose_jax import augment, losses
from blazepose_jax.codecs import heatmaps
from blazepose_jax.geometry import rois, warp
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import ROI, Frame, PoseBatch, PoseOutputs


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """How samples are disturbed; all zero leaves them as they are.

    The paper disturbs scale and shift by 10 % and limits the angle; wider ranges cost capacity (2.6).
    """

    scale: float = 0.10
    shift: float = 0.10  # of the ROI's side; the paper's 10 %
    angle: float = 0.26  # radians, 15 degrees
    wide: float = 0.2  # share of samples with 2.5 times the scale and shift and 3 times the angle
    flip: float = 0.5
    colour: float = 0.6
    occluders: int = 3
    occlusion: float = 0.5
    truncation: float = 0.15
    negatives: float = 0.08  # share of samples moved off the person, for pose presence


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Weights of the losses, and what their targets are."""

    heatmap: float = 1.0
    offsets: float = 0.1  # cells; ten times smaller than the heatmap's sum, so that it only sharpens
    regression: float = 1.0
    visibility: float = 0.1  # the classifiers are easy; they must not crowd out the points
    presence: float = 0.1
    pose_presence: float = 0.1
    sigma: float = 1.5  # cells, of the Gaussians
    radius: float = 2.0  # cells, within which offsets are taught
    knee: float = 0.15  # torsos, where the regression loss turns robust
    min_torso: float = 0.1  # of the crop; a torso seen end-on would blow the loss up


def sample_targets(key: jax.Array, pixels: jax.Array, keypoints: jax.Array, flags: jax.Array, roi: ROI,
                   skeleton: Skeleton, side: int, config: AugmentConfig) -> dict[str, jax.Array]:
    """One record to one input and its labels, disturbed.

    Args:
      key: random key.
      pixels: (R, R, 3) uint8.
      keypoints: (K, 2) record px.
      flags: (K,) 2 visible, 1 occluded, 0 unlabelled.
      roi: scalar, the truth.
      skeleton: with its left/right swap and, if it has any, the ROI points.
      side: S, input px.
      config: what to disturb.

    Returns:
      image (S, S, 3) in [0, 255]; points (K', 2) crop frame; labelled, inside, visible (K',) bool; torso ();
      is_person () bool. K' counts auxiliary rows: the two ROI points are labelled, unused ones are not.
    """
    keys = jax.random.split(key, 7)
    side_of_record = pixels.shape[0]
    wide = jax.random.bernoulli(keys[0], config.wide)
    seen = augment.jitter_roi(keys[1], roi, config.scale * (1 + 1.5 * wide), config.shift * (1 + 1.5 * wide),
                              config.angle * (1 + 2.0 * wide))
    # A negative looks past the person: her centre lies at least a third of the side away.
    is_person = ~jax.random.bernoulli(keys[2], config.negatives)
    away = jax.random.uniform(keys[2], (), maxval=2 * jnp.pi)
    offset = 0.75 * seen.side * jnp.stack([jnp.cos(away), jnp.sin(away)])
    seen = seen.replace(center=jnp.where(is_person, seen.center, seen.center + offset))

    circle = roi.side / (2 * rois.MARGIN) * jnp.stack([jnp.sin(roi.angle), -jnp.cos(roi.angle)])
    unused = len(skeleton.auxiliary) - 2
    if skeleton.has_roi_points:
        keypoints = jnp.concatenate([keypoints, jnp.stack([roi.center, roi.center + circle]), jnp.zeros((unused, 2))])
        flags = jnp.concatenate([flags, jnp.array([1, 1] + [0] * unused)])
    points = rois.image_to_crop(keypoints, seen)  # (K', 2)
    affine = rois.to_affine(seen, side)
    flipped = jax.random.bernoulli(keys[3], config.flip)
    affine = jnp.where(flipped, augment.mirror_affine(affine, side), affine)
    order = jnp.where(flipped, jnp.array(skeleton.flip), jnp.arange(len(skeleton.flip)))
    points, flags = points[order], flags[order]
    points = jnp.where(flipped, jnp.array([1.0, 0.0]) + points * jnp.array([-1.0, 1.0]), points)

    frame = Frame(pixels.reshape(-1, 3), jnp.array([side_of_record, side_of_record]))
    image = warp.crop(frame, affine, side, border="replicate")
    image = augment.colour(keys[4], image, config.colour)
    image, covered = augment.occlude(keys[5], image, points, max(config.occluders, 1),
                                     config.occlusion if config.occluders else 0.0)
    image, cut = augment.truncate(keys[6], image, points, config.truncation)
    inside = ((points >= 0) & (points < 1)).all(-1) & ~cut
    body = len(skeleton.keypoints)
    hips = points[jnp.array(skeleton.indices(skeleton.center))].mean(0)
    shoulders = points[jnp.array(skeleton.indices(skeleton.up))].mean(0)
    return {"image": image, "points": points, "labelled": (flags > 0) & is_person, "inside": inside,
            "visible": (flags == 2) & inside & ~covered, "covered": covered | ~inside,
            "torso": jnp.linalg.norm(shoulders - hips), "is_person": is_person,
            "body": jnp.arange(points.shape[0]) < body}


def pose_losses(outputs: PoseOutputs, targets: dict[str, jax.Array], fields: tuple[str, ...], side: int,
                knows_occlusion: jax.Array, weight: jax.Array, config: LossConfig) -> dict[str, jax.Array]:
    """Every loss of a pose net, unweighted, each masked by what is labelled.

    Args:
      outputs: of the net in training.
      targets: (B, ...) of ``sample_targets``.
      fields: columns of the landmarks.
      side: input px.
      knows_occlusion: (B,) bool.
      weight: (B,).
      config: targets' sizes.

    Returns:
      {name: () float32}; names are those of LossConfig's weights.
    """
    column = {field: outputs.landmarks[..., i] for i, field in enumerate(fields)}
    labelled = targets["labelled"] * weight[:, None]  # (B, K')
    parts = {}
    inside = labelled * targets["inside"]
    if outputs.heatmap is not None:
        grid = outputs.heatmap.shape[1]
        wanted = jax.vmap(lambda p: heatmaps.encode(p, grid, config.sigma))(targets["points"])
        # A labelled point outside of the crop is taught an empty map; there is no other negative evidence.
        wanted = wanted * targets["inside"][:, None, None]
        cells = losses.binary_cross_entropy(outputs.heatmap, wanted).sum((1, 2))
        # The target's own entropy is no loss: a perfect map scores 0.
        floor = losses.binary_cross_entropy(jnp.log(wanted + 1e-6) - jnp.log1p(1e-6 - wanted), wanted).sum((1, 2))
        parts["heatmap"] = losses.masked_mean(0.1 * (cells - floor), labelled)
    if outputs.offsets is not None:
        grid = outputs.offsets.shape[1]
        wanted, near = jax.vmap(lambda p: heatmaps.encode_offsets(p, grid, config.radius))(targets["points"])
        found = outputs.offsets.reshape(wanted.shape)
        parts["offsets"] = losses.masked_mean(losses.smooth_l1(found - wanted).sum(-1),
                                              near * inside[:, None, None])
    xy = jnp.stack([column["x"], column["y"]], -1) / side
    unit = jnp.maximum(targets["torso"], config.min_torso)[:, None]
    parts["regression"] = losses.masked_mean(
        losses.robust_distance(xy, targets["points"], unit, config.knee), labelled)
    if "visibility" in column:
        # Where flag 2 says no more than labelled, only what we covered ourselves is known: it is hidden.
        known = labelled * (knows_occlusion[:, None] | targets["covered"]) * targets["body"]
        parts["visibility"] = losses.masked_mean(
            losses.binary_cross_entropy(column["visibility"], targets["visible"].astype(jnp.float32)), known)
    if "presence" in column:
        parts["presence"] = losses.masked_mean(
            losses.binary_cross_entropy(column["presence"], targets["inside"].astype(jnp.float32)), labelled)
    parts["pose_presence"] = losses.masked_mean(
        losses.binary_cross_entropy(outputs.presence[:, 0], targets["is_person"].astype(jnp.float32)), weight)
    return parts


def pose_objective(apply: Any, variables: Any, batch: PoseBatch, key: jax.Array, *, skeleton: Skeleton,
                   fields: tuple[str, ...], side: int, augmentation: AugmentConfig,
                   weights: LossConfig) -> tuple[jax.Array, tuple[dict[str, jax.Array], Any]]:
    """The loss of a pose net on a batch.

    Args:
      apply: (variables, images) -> (PoseOutputs, updated batch statistics), in training.
      variables: {"params", "batch_stats"}.
      batch: records.
      key: random key.
      skeleton: of the batch's keypoints.
      fields: columns of the landmarks.
      side: S, input px.
      augmentation: what to disturb.
      weights: of the losses.

    Returns:
      () loss, and (its unweighted parts with PCK@0.2 of the regression, updated batch statistics).
    """
    keys = jax.random.split(key, batch.pixels.shape[0])
    targets = jax.vmap(lambda k, p, xy, f, r: sample_targets(k, p, xy, f, r, skeleton, side, augmentation))(
        keys, batch.pixels, batch.keypoints, batch.flags, batch.roi)
    outputs, stats = apply(variables, targets["image"] / 255.0)
    parts = pose_losses(outputs, targets, fields, side, batch.knows_occlusion, batch.weight, weights)
    loss = sum(getattr(weights, name) * value for name, value in parts.items())
    x, y = (outputs.landmarks[..., fields.index(f)] for f in ("x", "y"))
    distance = jnp.linalg.norm(jnp.stack([x, y], -1) / side - targets["points"], axis=-1)
    hit = distance < 0.2 * targets["torso"][:, None]
    parts["pck@0.2"] = 100 * losses.masked_mean(hit.astype(jnp.float32), targets["labelled"] * targets["body"])
    return jnp.asarray(loss), (parts, stats)


def pose_hits(apply: Any, variables: Any, batch: PoseBatch, *, skeleton: Skeleton, fields: tuple[str, ...],
              side: int) -> tuple[dict[str, jax.Array], jax.Array]:
    """How many points the regression finds in undisturbed crops.

    Args:
      apply: (variables, images) -> PoseOutputs, at inference.
      variables: {"params", "batch_stats"}.
      batch: records; those with weight 0 do not count.
      skeleton: of the batch's keypoints.
      fields: columns of the landmarks.
      side: S, input px.

    Returns:
      {"pck@0.2": () hits, "pck@0.1": () hits} and () points. The torso is left shoulder to right hip where the
      skeleton has them (evalLSP), else up to centre.
    """
    still = AugmentConfig(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0.0, 0.0, 0.0)
    keys = jax.random.split(jax.random.key(0), batch.pixels.shape[0])
    targets = jax.vmap(lambda k, p, xy, f, r: sample_targets(k, p, xy, f, r, skeleton, side, still))(
        keys, batch.pixels, batch.keypoints, batch.flags, batch.roi)
    outputs = apply(variables, targets["image"] / 255.0)
    xy = jnp.stack([outputs.landmarks[..., fields.index(f)] for f in ("x", "y")], -1) / side
    torso = targets["torso"]
    ends = ("left_shoulder", "right_hip")
    if all(name in skeleton.keypoints for name in ends):
        a, b = (targets["points"][:, i] for i in skeleton.indices(ends))
        torso = jnp.linalg.norm(a - b, axis=-1)
    counted = targets["labelled"] & targets["body"] & (batch.weight > 0)[:, None]
    distance = jnp.linalg.norm(xy - targets["points"], axis=-1)
    hits = {f"pck@{share}": ((distance < share * torso[:, None]) & counted).sum() for share in (0.2, 0.1)}
    return hits, counted.sum()
