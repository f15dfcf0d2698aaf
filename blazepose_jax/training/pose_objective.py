"""The objective of a pose net: variables and a batch of records to one loss."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from blazepose_jax.batches import PoseBatch
from blazepose_jax.codecs import landmarks
from blazepose_jax.evaluation.metrics import LSP_TORSO
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import Array, PoseOutputs, Variables
from blazepose_jax.training import distillation, losses, pose_loss
from blazepose_jax.training.augment import NO_AUGMENTATION, AugmentConfig
from blazepose_jax.training.distillation import Teacher
from blazepose_jax.training.pose_loss import LossConfig
from blazepose_jax.training.targets import Targets, sample_targets


def pose_objective(
    apply: Callable[[Variables, jax.Array], tuple[PoseOutputs, Any]],
    variables: Variables,
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
      apply: (variables, (B, S, S, 3) grey levels from 0 to 255) -> (PoseOutputs, updated batch
        statistics), in training.
      variables: {"params", "batch_stats"}.
      batch: records.
      key: random key.
      skeleton: of the batch's keypoints.
      fields: columns of the landmarks.
      side: S, input px.
      augmentation: what to disturb.
      weights: of the losses.
      teacher: looks at the same crops.

    Returns:
      () loss, and (metrics, updated batch statistics). Metrics are the losses by name, unweighted
      and weighted, and PCK@0.2 of the regression in percent.
    """
    keys = jax.random.split(key, batch.pixels.shape[0])
    label_roi = teacher is None or not teacher.knows_roi
    targets = jax.vmap(
        lambda k, r: sample_targets(k, r, skeleton, side, augmentation, label_roi=label_roi)
    )(keys, batch)
    outputs, stats = apply(variables, jnp.asarray(targets.image))
    if teacher is None:
        teacher_loss, metrics, trust = jnp.float32(0), {}, jnp.float32(1)
    else:
        teacher_loss, metrics, trust = distil(outputs, targets, teacher, fields, side, batch.weight)
    parts = pose_loss.pose_losses(
        outputs,
        targets,
        fields=fields,
        side=side,
        has_occlusion_labels=batch.has_occlusion_labels,
        weight=batch.weight,
        config=weights,
        trust=trust,
    )
    loss, weighted = losses.weigh(parts, weights)
    metrics |= losses.as_metrics(parts) | losses.as_metrics(weighted, "weighted_")
    metrics["pck@0.2"] = 100 * training_pck(outputs, targets, fields, side, trust)
    return teacher_loss + loss, (metrics, stats)


def distil(
    outputs: PoseOutputs,
    targets: Targets,
    teacher: Teacher,
    fields: tuple[str, ...],
    side: int,
    weight: Array,
) -> tuple[jax.Array, dict[str, jax.Array], jax.Array]:
    """What a teacher that sees the same crops adds to the loss.

    Args:
      outputs: the student's, (B, ...).
      targets: (B, ...).
      teacher: applied without a gradient.
      fields: columns of the landmarks.
      side: S, input px.
      weight: (B,) of the samples.

    Returns:
      () loss, metrics by name, and (B, K') trust in the labels.
    """
    teacher_outputs = teacher.look(targets.image)
    trust = distillation.trust_in_labels(teacher_outputs, targets, teacher.taught, teacher.config)
    parts = distillation.distillation_losses(
        outputs,
        teacher_outputs,
        targets,
        fields=fields,
        side=side,
        weight=weight,
        trust=trust,
        taught=teacher.taught,
        config=teacher.config,
    )
    loss, weighted = losses.weigh(parts, teacher.config)
    metrics = losses.as_metrics(parts, "teacher_")
    return loss, metrics | losses.as_metrics(weighted, "weighted_teacher_"), trust


def training_pck(
    outputs: PoseOutputs, targets: Targets, fields: tuple[str, ...], side: int, trust: jax.Array
) -> jax.Array:
    """() share of regressed points within 0.2 torso (mid-hip to mid-shoulder), labels by trust.

    Labels are those of ``measured_by``.
    """
    xy = jnp.stack([outputs.landmarks[..., fields.index(f)] for f in ("x", "y")], -1) / side
    distance = jnp.linalg.norm(xy - targets.keypoints_crop, axis=-1)
    hit = (distance < 0.2 * targets.torso[:, None]).astype(jnp.float32)
    return losses.masked_mean(hit, measured_by(targets) * trust)


def measured_by(targets: Targets) -> jax.Array:
    """(B, K') weights of the labels that a net is measured by.

    They are those by hand. Of somebody without any, such as after ``data label
    --correct``, they are the teacher's, each by its confidence: measured by nothing, no step would
    ever be the best.
    """
    by_hand = (targets.labelled & targets.is_keypoint).any(-1, keepdims=True)
    weight = jnp.where(by_hand, targets.labelled.astype(jnp.float32), targets.label_weight)
    return weight * targets.is_keypoint


def pose_hits(
    apply: Callable[[Variables, jax.Array], PoseOutputs],
    variables: Variables,
    batch: PoseBatch,
    *,
    skeleton: Skeleton,
    fields: tuple[str, ...],
    side: int,
) -> tuple[dict[str, jax.Array], jax.Array]:
    """How many points are found in undisturbed crops.

    Args:
      apply: (variables, (B, S, S, 3) grey levels) -> PoseOutputs, at inference.
      variables: {"params", "batch_stats"}.
      batch: records; those with weight 0 do not count.
      skeleton: of the batch's keypoints.
      fields: columns of the landmarks.
      side: S, input px.

    Returns:
      () hits by name, "pck@0.2" and "pck@0.1" of the regression, "refine_pck@..." of MediaPipe's
      refinement where the net has heatmaps at inference; and () points. Both count labels as
      ``measured_by`` weighs them. The torso is left shoulder
      to right hip where both are labelled (evalLSP), else up to centre.
    """
    keys = jax.random.split(jax.random.key(0), batch.pixels.shape[0])
    targets = jax.vmap(lambda k, r: sample_targets(k, r, skeleton, side, NO_AUGMENTATION))(
        keys, batch
    )
    outputs = apply(variables, jnp.asarray(targets.image))
    torso = targets.torso
    if all(name in skeleton.body_names for name in LSP_TORSO):
        ends = jnp.array([skeleton.body_names.index(name) for name in LSP_TORSO])
        a, b = targets.keypoints_crop[:, ends[0]], targets.keypoints_crop[:, ends[1]]
        is_known = (targets.label_weight[:, ends] > 0).all(-1)
        torso = jnp.where(is_known, jnp.linalg.norm(a - b, axis=-1), torso)
    scored = measured_by(targets) * (batch.weight > 0)[:, None]
    hits = {}
    decodes = {"regression": ""} | ({} if outputs.heatmap is None else {"refine": "refine_"})
    for decode, prefix in decodes.items():
        xy = jax.vmap(
            lambda o, decode=decode: landmarks.decode(
                o, fields, side, decode, len(skeleton.keypoints)
            ).points[..., :2]
        )(outputs)
        distance = jnp.linalg.norm(xy - targets.keypoints_crop, axis=-1)
        for share in (0.2, 0.1):
            hit = (distance < share * torso[:, None]) * scored
            hits[f"{prefix}pck@{share}"] = hit.sum()
    return hits, scored.sum()
