"""Pose losses: the paper's recipe, one function a loss."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from blazepose_jax.codecs import heatmaps
from blazepose_jax.structs import Array, PoseOutputs
from blazepose_jax.training import losses
from blazepose_jax.training.targets import Targets


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Weights of the losses, and the units in which errors are measured."""

    heatmap: float = 1.0
    # Ten times smaller than the heatmap's, so that it only sharpens.
    offsets: float = 0.1
    regression: float = 1.0
    # The classifiers are easy; they must not crowd out the points.
    visibility: float = 0.1
    presence: float = 0.1
    pose_presence: float = 0.1
    # z is less sure than x and y, in pictures and in people.
    depth: float = 0.5
    world: float = 0.5
    mask: float = 0.2

    # Cells, of the Gaussians; the released nets' own maps have 1.5, too.
    sigma: float = 1.5
    # Cells that count as one: a map's loss is a sum over its 4,096 cells, and this brings it to the
    # size of the regression's.
    heatmap_unit: float = 10.0
    # Cells, within which offsets are taught.
    radius: float = 2.0
    # Torsos, where the regression loss turns robust.
    knee: float = 0.15
    # Of the crop; a torso seen end-on would blow the loss up.
    min_torso: float = 0.1
    # Of the crop: depths count in halves of a body's usual length, and turn linear at the knee.
    depth_unit: float = 0.25
    depth_knee: float = 0.02
    # Metres: about a torso.
    world_unit: float = 0.5
    world_knee: float = 0.05


class PoseLosses(struct.PyTreeNode):
    """Every loss of a pose net, () float32 each; 0 where the net has no such output."""

    heatmap: jax.Array
    offsets: jax.Array
    regression: jax.Array
    visibility: jax.Array
    presence: jax.Array
    pose_presence: jax.Array
    depth: jax.Array
    world: jax.Array
    mask: jax.Array


def pose_losses(
    outputs: PoseOutputs,
    targets: Targets,
    *,
    fields: tuple[str, ...],
    side: int,
    has_occlusion_labels: Array,
    weight: Array,
    config: LossConfig,
    trust: Array | float = 1.0,
) -> PoseLosses:
    """Every loss of a pose net, unweighted, each masked by what is labelled.

    Args:
      outputs: of the net in training, (B, ...).
      targets: (B, ...).
      fields: columns of the landmarks.
      side: input px.
      has_occlusion_labels: (B,) bool: the labels tell visible from occluded.
      weight: (B,) of the samples.
      config: units of the errors.
      trust: (B, K') weights of the labels, as ``distillation.trust_in_labels`` gives them.

    Returns:
      PoseLosses.
    """
    column = {field: outputs.landmarks[..., i] for i, field in enumerate(fields)}
    labels = targets.label_weight * trust * weight[:, None]  # (B, K')
    absent = jnp.float32(0)
    parts = PoseLosses(
        heatmap=heatmap_loss(outputs.heatmap, targets, labels, config),
        offsets=offset_loss(outputs.offsets, targets, labels, config),
        regression=regression_loss(column["x"], column["y"], side, targets, labels, config),
        visibility=visibility_loss(column.get("visibility"), has_occlusion_labels, targets, labels),
        presence=presence_loss(column.get("presence"), targets, labels),
        pose_presence=losses.masked_mean(
            losses.binary_cross_entropy(
                outputs.presence[:, 0], targets.is_person.astype(jnp.float32)
            ),
            weight,
        ),
        depth=absent,
        world=absent,
        mask=absent,
    )
    if targets.body is None:
        return parts
    known = weight * targets.body.known  # (B,)
    return parts.replace(
        depth=depth_loss(column.get("z"), side, targets.body.depth, known, targets, config),
        world=world_loss(outputs.world, targets.body.world, known, config),
        mask=mask_loss(outputs.mask, targets.body.mask, known),
    )


def heatmap_loss(
    logits: Array | None, targets: Targets, labels: Array, config: LossConfig
) -> jax.Array:
    """() BCE of (B, G, G, K') maps against Gaussians; a perfect map scores 0."""
    if logits is None:
        return jnp.float32(0)
    grid = logits.shape[1]
    gaussians = jax.vmap(lambda p: heatmaps.encode(p, grid, config.sigma))(targets.keypoints_crop)
    # A labelled point outside of the crop is taught an empty map; there is no other negative
    # evidence.
    gaussians = gaussians * targets.inside[:, None, None]
    cells = losses.binary_cross_entropy(logits, gaussians).sum((1, 2))  # (B, K')
    # The Gaussians' own entropy is no loss.
    entropy = losses.binary_cross_entropy(
        jnp.log(gaussians + 1e-6) - jnp.log1p(1e-6 - gaussians), gaussians
    ).sum((1, 2))
    return losses.masked_mean((cells - entropy) / config.heatmap_unit, labels)


def offset_loss(
    offsets: Array | None, targets: Targets, labels: Array, config: LossConfig
) -> jax.Array:
    """() error in cells of (B, G, G, 2K') offsets, in the cells round each point."""
    if offsets is None:
        return jnp.float32(0)
    grid = offsets.shape[1]
    true, near = jax.vmap(lambda p: heatmaps.encode_offsets(p, grid, config.radius))(
        targets.keypoints_crop
    )  # (B, G, G, K', 2) and (B, G, G, K')
    error = losses.smooth_l1(offsets.reshape(true.shape) - true).sum(-1)
    return losses.masked_mean(error, near * (labels * targets.inside)[:, None, None])


def regression_loss(
    x: Array, y: Array, side: int, targets: Targets, labels: Array, config: LossConfig
) -> jax.Array:
    """() robust distance in torsos of (B, K') regressed points, input px."""
    xy = jnp.stack([x, y], -1) / side  # (B, K', 2) crop frame
    unit = jnp.maximum(targets.torso, config.min_torso)[:, None]
    distance = losses.robust_distance(xy, targets.keypoints_crop, unit, config.knee)
    return losses.masked_mean(distance, labels)


def visibility_loss(
    logits: Array | None, has_occlusion_labels: Array, targets: Targets, labels: Array
) -> jax.Array:
    """() BCE of (B, K') visibility logits, where the truth is known."""
    if logits is None:
        return jnp.float32(0)
    # Where flag 2 says no more than labelled, only what we covered ourselves is known: it is
    # hidden.
    known = labels * (has_occlusion_labels[:, None] | targets.covered) * targets.is_keypoint
    return losses.masked_mean(losses.binary_cross_entropy(logits, targets.visible), known)


def presence_loss(logits: Array | None, targets: Targets, labels: Array) -> jax.Array:
    """() BCE of (B, K') presence logits: the point lies inside of the crop."""
    if logits is None:
        return jnp.float32(0)
    inside = targets.inside.astype(jnp.float32)
    return losses.masked_mean(losses.binary_cross_entropy(logits, inside), labels)


def depth_loss(
    z: Array | None, side: int, depth: Array, known: Array, targets: Targets, config: LossConfig
) -> jax.Array:
    """() error of (B, K') depths, input px, of rendered people."""
    if z is None or targets.body is None:
        return jnp.float32(0)
    count = targets.body.world.shape[1]
    error = losses.smooth_l1(z[:, :count] / side - depth[:, :count], config.depth_knee)
    return losses.masked_mean(error / config.depth_unit, known[:, None])


def world_loss(world: Array | None, true: Array, known: Array, config: LossConfig) -> jax.Array:
    """() error of (B, K', 3) world points, metres, of rendered people."""
    if world is None or world.shape[1] < true.shape[1]:
        return jnp.float32(0)
    error = losses.smooth_l1(world[:, : true.shape[1]] - true, config.world_knee).sum(-1)
    return losses.masked_mean(error / config.world_unit, known[:, None])


def mask_loss(logits: Array | None, mask: Array, known: Array) -> jax.Array:
    """() BCE of a (B, M, M, 1) mask against (B, S, S) of rendered people."""
    if logits is None:
        return jnp.float32(0)
    true = jax.image.resize(mask, logits.shape[:3], "linear")
    error = losses.binary_cross_entropy(logits[..., 0], true)
    return losses.masked_mean(error, known[:, None, None])
