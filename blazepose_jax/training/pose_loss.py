"""Variables and records come in, a pose net's scalar loss and its parts leave.

The paper's recipe.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from blazepose_jax.codecs import heatmaps
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import PoseBatch, PoseOutputs
from blazepose_jax.training import losses
from blazepose_jax.training.distillation import Teacher, distillation_losses, trust_in_labels
from blazepose_jax.training.targets import NO_AUGMENTATION, AugmentConfig, sample_targets


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Weights of the losses, and what their targets are."""

    heatmap: float = 1.0
    offsets: float = (
        0.1  # cells; ten times smaller than the heatmap's sum, so that it only sharpens
    )
    regression: float = 1.0
    visibility: float = 0.1  # the classifiers are easy; they must not crowd out the points
    presence: float = 0.1
    pose_presence: float = 0.1
    depth: float = 0.5  # z is less sure than x and y, in pictures and in people
    world: float = 0.5
    mask: float = 0.2
    sigma: float = 1.5  # cells, of the Gaussians; the released nets' own maps have 1.5, too
    radius: float = 2.0  # cells, within which offsets are teacher
    knee: float = 0.15  # torsos, where the regression loss turns robust
    min_torso: float = 0.1  # of the crop; a torso seen end-on would blow the loss up


def pose_losses(
    outputs: PoseOutputs,
    targets: dict[str, jax.Array],
    fields: tuple[str, ...],
    side: int,
    has_occlusion_labels: jax.Array,
    weight: jax.Array,
    config: LossConfig,
) -> dict[str, jax.Array]:
    """Every loss of a pose net, unweighted, each masked by what is labelled.

    Args:
      outputs: of the net in training.
      targets: (B, ...) of ``sample_targets``.
      fields: columns of the landmarks.
      side: input px.
      has_occlusion_labels: (B,) bool.
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
        # A labelled point outside of the crop is taught an empty map; there is no other negative
        # evidence.
        wanted = wanted * targets["inside"][:, None, None]
        cells = losses.binary_cross_entropy(outputs.heatmap, wanted).sum((1, 2))
        # The target's own entropy is no loss: a perfect map scores 0.
        floor = losses.binary_cross_entropy(
            jnp.log(wanted + 1e-6) - jnp.log1p(1e-6 - wanted), wanted
        ).sum((1, 2))
        parts["heatmap"] = losses.masked_mean(0.1 * (cells - floor), labelled)
    if outputs.offsets is not None:
        grid = outputs.offsets.shape[1]
        wanted, near = jax.vmap(lambda p: heatmaps.encode_offsets(p, grid, config.radius))(
            targets["points"]
        )
        found = outputs.offsets.reshape(wanted.shape)
        parts["offsets"] = losses.masked_mean(
            losses.smooth_l1(found - wanted).sum(-1), near * inside[:, None, None]
        )
    xy = jnp.stack([column["x"], column["y"]], -1) / side
    unit = jnp.maximum(targets["torso"], config.min_torso)[:, None]
    parts["regression"] = losses.masked_mean(
        losses.robust_distance(xy, targets["points"], unit, config.knee), labelled
    )
    if "visibility" in column:
        # Where flag 2 says no more than labelled, only what we covered ourselves is known: it is
        # hidden.
        known = labelled * (has_occlusion_labels[:, None] | targets["covered"]) * targets["body"]
        parts["visibility"] = losses.masked_mean(
            losses.binary_cross_entropy(
                column["visibility"], targets["visible"].astype(jnp.float32)
            ),
            known,
        )
    if "presence" in column:
        parts["presence"] = losses.masked_mean(
            losses.binary_cross_entropy(column["presence"], targets["inside"].astype(jnp.float32)),
            labelled,
        )
    parts["pose_presence"] = losses.masked_mean(
        losses.binary_cross_entropy(
            outputs.presence[:, 0], targets["is_person"].astype(jnp.float32)
        ),
        weight,
    )
    if "has_3d_labels" in targets:
        parts |= body_losses(
            outputs, column.get("z"), targets, side, weight * targets["has_3d_labels"]
        )
    return parts


def body_losses(
    outputs: PoseOutputs,
    z: jax.Array | None,
    targets: dict[str, jax.Array],
    side: int,
    weight: jax.Array,
) -> dict[str, jax.Array]:
    """Losses of what only rendered people know: depth, metres and mask.

    Args:
      outputs: of the net in training.
      z: (B, K') input px, or None.
      targets: (B, ...) of ``sample_targets`` with depth, world and mask.
      side: input px.
      weight: (B,), 0 for records that do not know it.

    Returns:
      {name: () float32} of ``depth``, ``world`` and ``mask``, as far as the net has them.
    """
    parts, body = {}, targets["world"].shape[1]
    if z is not None:
        error = losses.smooth_l1(z[:, :body] / side - targets["depth"][:, :body], 0.02) / 0.25
        parts["depth"] = losses.masked_mean(error, weight[:, None])
    if outputs.world is not None and outputs.world.shape[1] >= body:
        error = losses.smooth_l1(outputs.world[:, :body] - targets["world"], 0.05).sum(-1) / 0.5
        parts["world"] = losses.masked_mean(error, weight[:, None])
    if outputs.mask is not None:
        logits = outputs.mask[..., 0]
        wanted = jax.image.resize(targets["mask"], logits.shape, "linear")
        parts["mask"] = losses.masked_mean(
            losses.binary_cross_entropy(logits, wanted), weight[:, None, None]
        )
    return parts


def pose_objective(
    apply: Any,
    variables: Any,
    batch: PoseBatch,
    key: jax.Array,
    *,
    skeleton: Skeleton,
    fields: tuple[str, ...],
    side: int,
    augmentation: AugmentConfig,
    weights: LossConfig,
    teacher: Teacher | None = None,
) -> tuple[jax.Array, tuple[dict[str, jax.Array], Any]]:
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
      teacher: a teacher, which looks at the same crops.

    Returns:
      () loss, and (its unweighted parts with PCK@0.2 of the regression, updated batch statistics).
    """
    keys = jax.random.split(key, batch.pixels.shape[0])
    targets = jax.vmap(lambda k, record: sample_targets(k, record, skeleton, side, augmentation))(
        keys, batch
    )
    images = targets["image"] / 255.0
    outputs, stats = apply(variables, images)
    labelled, loss = targets["labelled"], jnp.float32(0.0)
    parts = {}
    if teacher is not None:
        said = jax.lax.stop_gradient(teacher.network(images))
        targets |= {"labelled": labelled * trust_in_labels(said, targets, teacher.config)}
        lessons = distillation_losses(outputs, said, targets, fields, side, batch.weight)
        loss += sum(getattr(teacher.config, name) * value for name, value in lessons.items())
        parts |= {f"teacher_{name}": value for name, value in lessons.items()}
    own = pose_losses(
        outputs, targets, fields, side, batch.has_occlusion_labels, batch.weight, weights
    )
    loss += sum(getattr(weights, name) * value for name, value in own.items())
    x, y = (outputs.landmarks[..., fields.index(f)] for f in ("x", "y"))
    distance = jnp.linalg.norm(jnp.stack([x, y], -1) / side - targets["points"], axis=-1)
    hit = distance < 0.2 * targets["torso"][:, None]
    parts |= own | {
        "pck@0.2": 100 * losses.masked_mean(hit.astype(jnp.float32), labelled * targets["body"])
    }
    return loss, (parts, stats)


def pose_hits(
    apply: Any,
    variables: Any,
    batch: PoseBatch,
    *,
    skeleton: Skeleton,
    fields: tuple[str, ...],
    side: int,
) -> tuple[dict[str, jax.Array], jax.Array]:
    """How many points the regression finds in undisturbed crops.

    Args:
      apply: (variables, images) -> PoseOutputs, at inference.
      variables: {"params", "batch_stats"}.
      batch: records; those with weight 0 do not count.
      skeleton: of the batch's keypoints.
      fields: columns of the landmarks.
      side: S, input px.

    Returns:
      {"pck@0.2": () hits, "pck@0.1": () hits} and () points. The torso is left shoulder to right
      hip where the skeleton has them (evalLSP), else up to centre.
    """
    keys = jax.random.split(jax.random.key(0), batch.pixels.shape[0])
    targets = jax.vmap(
        lambda k, record: sample_targets(k, record, skeleton, side, NO_AUGMENTATION)
    )(keys, batch)
    outputs = apply(variables, targets["image"] / 255.0)
    xy = jnp.stack([outputs.landmarks[..., fields.index(f)] for f in ("x", "y")], -1) / side
    torso = targets["torso"]
    ends = ("left_shoulder", "right_hip")
    if all(name in skeleton.keypoints for name in ends):
        a, b = (targets["points"][:, i] for i in skeleton.indices(ends))
        torso = jnp.linalg.norm(a - b, axis=-1)
    counted = targets["labelled"] & targets["body"] & (batch.weight > 0)[:, None]
    distance = jnp.linalg.norm(xy - targets["points"], axis=-1)
    hits = {
        f"pck@{share}": ((distance < share * torso[:, None]) & counted).sum()
        for share in (0.2, 0.1)
    }
    return hits, counted.sum()
