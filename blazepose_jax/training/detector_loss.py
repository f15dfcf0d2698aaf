"""Detector losses, and the objective: variables and a batch of scenes to one loss."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from blazepose_jax.batches import IGNORED, PERSON, SceneBatch, is_somebody
from blazepose_jax.codecs import anchors
from blazepose_jax.structs import Array, DetectorOutputs, Network, Variables
from blazepose_jax.training import losses
from blazepose_jax.training.detector_targets import (
    DetectorConfig,
    SceneTargets,
    prominence,
    scene_targets,
)


class DetectorLosses(struct.PyTreeNode):
    """Every loss of a detector, () float32 each."""

    score: jax.Array
    order: jax.Array
    boxes: jax.Array
    keypoints: jax.Array


def detector_losses(
    outputs: DetectorOutputs,
    targets: SceneTargets,
    *,
    side: int,
    weight: Array,
    config: DetectorConfig,
) -> DetectorLosses:
    """Every loss of a detector, unweighted.

    Args:
      outputs: (B, ...).
      targets: (B, ...).
      side: S, input px.
      weight: (B,) of the scenes.
      config: the focal loss's parameters, and the knees of the others.

    Returns:
      DetectorLosses; the score's is a sum over anchors for each that is to find somebody, the
      order's a mean over scenes of several people.
    """
    positive = targets.positive * weight[:, None]  # (B, A)
    focal = losses.focal(
        outputs.logits[..., 0], targets.positive, config.focal_alpha, config.focal_gamma
    )
    error = (outputs.boxes - targets.values) / side  # (B, A, 12)
    radius = jnp.maximum(targets.radius, config.min_radius)[..., None]
    boxes = losses.smooth_l1(error[..., :4], config.boxes_knee).sum(-1)
    keypoints = losses.smooth_l1(error[..., 4:] / radius, config.keypoints_knee).sum(-1)
    several = (prominence(targets, config.bystander) > 0).sum(-1) > 1  # (B,)
    order = jax.vmap(partial(order_loss, config=config))(outputs.logits[..., 0], targets)  # (B,)
    return DetectorLosses(
        score=(focal * targets.scored * weight[:, None]).sum() / jnp.maximum(positive.sum(), 1.0),
        order=losses.masked_mean(order, several * jnp.asarray(weight)),
        boxes=losses.masked_mean(boxes, positive),
        keypoints=losses.masked_mean(keypoints, positive),
    )


def order_loss(logits: Array, targets: SceneTargets, config: DetectorConfig) -> jax.Array:
    """How far people's scores are from ranking them by prominence.

    The divergence of two distributions over the people of one scene: their shares of prominence,
    and the softmax of their scores, each the soft maximum over the person's anchors. Twice the
    prominence is worth log 2 of the logit, whatever the scores themselves.

    Args:
      logits: (A,).
      targets: of the scene.
      config: how much bystanders count.

    Returns:
      () loss; 0 where fewer than two people are there.
    """
    stands_out = prominence(targets, config.bystander)  # (N,)
    there = stands_out > 0
    people = jnp.arange(len(stands_out))[:, None]
    its = (targets.owner == people) & (targets.positive > 0)  # (N, A)
    best = jax.nn.logsumexp(jnp.broadcast_to(jnp.asarray(logits), its.shape), axis=-1, where=its)
    share = stands_out / jnp.maximum(stands_out.sum(), 1e-9)
    scores = jnp.where(there & its.any(-1), best - jnp.log(jnp.maximum(its.sum(-1), 1)), -30.0)
    ratio = jnp.log(jnp.maximum(share, 1e-9)) - jax.nn.log_softmax(scores)
    return (share * ratio).sum() * (there.sum() > 1)


def detector_objective(
    apply: Callable[[Variables, jax.Array], tuple[DetectorOutputs, Any]],
    variables: Variables,
    batch: SceneBatch,
    key: jax.Array,
    *,
    side: int,
    config: DetectorConfig,
    teacher: Network | None = None,
) -> tuple[jax.Array, tuple[dict[str, jax.Array], Any]]:
    """The loss of a detector on a batch.

    Args:
      apply: (variables, (B, S, S, 3) grey levels from 0 to 255) -> (DetectorOutputs, updated batch
        statistics), in training.
      variables: {"params", "batch_stats"}.
      batch: scenes.
      key: random key.
      side: S, input px.
      config: disturbance and weights.
      teacher: another detector. Where it sees somebody far from everybody who is labelled, nothing
        is taught: labels forget people, and so would the network.

    Returns:
      () loss, and (metrics, updated batch statistics). Metrics are the losses by name, unweighted
      and weighted, and the recall of scores in percent.
    """
    keys = jax.random.split(key, batch.pixels.shape[0])
    targets = jax.vmap(lambda k, p, xy, status: scene_targets(k, p, xy, status, side, config))(
        keys, batch.pixels, batch.points, batch.status
    )
    outputs, stats = apply(variables, jnp.asarray(targets.image))
    if teacher is not None:
        seen = jax.lax.stop_gradient(teacher(teacher.normalise(targets.image)).logits[..., 0])
        unsure = targets.alone & (jax.nn.sigmoid(seen) > config.teacher_score)
        targets = targets.replace(scored=targets.scored & ~unsure)
    parts = detector_losses(outputs, targets, side=side, weight=batch.weight, config=config)
    loss, weighted = losses.weigh(parts, config)
    found = (jax.nn.sigmoid(outputs.logits[..., 0]) > config.min_score).astype(jnp.float32)
    recall = losses.masked_mean(found, targets.positive * batch.weight[:, None])
    metrics = losses.as_metrics(parts) | losses.as_metrics(weighted, "weighted_")
    return loss, (metrics | {"recall": 100 * recall}, stats)


def detector_hits(
    apply: Callable[[Variables, jax.Array], DetectorOutputs],
    variables: Variables,
    batch: SceneBatch,
    *,
    side: int,
    config: DetectorConfig,
) -> dict[str, jax.Array]:
    """How many people a detector finds in undisturbed scenes, and how many detections are people.

    Args:
      apply: (variables, (B, S, S, 3) grey levels) -> DetectorOutputs, at inference.
      variables: {"params", "batch_stats"}.
      batch: scenes; those with weight 0 do not count.
      side: S, input px.
      config: when a detection is right.

    Returns:
      () counts: ``people``, ``found`` of them, ``detections``, ``right`` of them, and ``subjects``:
      scenes in which one person was labelled by people, ``first`` of whom have the highest score.
      Detections on people of status 2 count nowhere.
    """
    targets = jax.vmap(
        lambda p, xy, status: scene_targets(jax.random.key(0), p, xy, status, side, None)
    )(batch.pixels, batch.points, batch.status)
    outputs = apply(variables, jnp.asarray(targets.image))
    counts = jax.vmap(lambda *scene: scene_hits(*scene, side=side, config=config))(
        outputs.boxes, outputs.logits, targets.points_crop, targets.status, batch.weight
    )
    return jax.tree.map(jnp.sum, counts)


def scene_hits(
    boxes: jax.Array,
    logits: jax.Array,
    points: jax.Array,
    status: jax.Array,
    weight: jax.Array,
    *,
    side: int,
    config: DetectorConfig,
) -> dict[str, jax.Array]:
    """The counts of ``detector_hits`` for one scene.

    Args:
      boxes: (A, 12) raw.
      logits: (A, 1) raw.
      points: (N, 5, 2) crop frame.
      status: (N,).
      weight: ().
      side: S, input px.
      config: when a detection is right.

    Returns:
      {name: () int32}.
    """
    best = anchors.decode(
        DetectorOutputs(boxes[None], logits[None]),
        side,
        count=2 * points.shape[0],
        min_score=config.min_score,
        nms_threshold=config.nms_threshold,
    )  # M detections
    radius = jnp.linalg.norm(points[:, 1] - points[:, 0], axis=-1)
    apart = jnp.linalg.norm(best.keypoints[:, None, :2] - points[None, :, :2], axis=-1).max(-1)
    match = (apart < config.close * radius) & best.valid[:, None]  # (M, N)
    far = jnp.linalg.norm(best.keypoints[:, None, 0] - points[None, :, 0], axis=-1) > radius
    scored = best.valid & (far | (status != IGNORED)[None]).all(1)
    person, counts = is_somebody(status), weight > 0
    subject = status == PERSON
    one = (subject.sum() == 1) & counts
    score = jnp.where(best.valid, best.scores, 0)
    first = match[jnp.argmax(score)]
    # One detection a person is right; whoever is found again is found falsely.
    chosen = jnp.argmax(jnp.where(match, score[:, None], -1), 0)
    is_chosen = (jnp.arange(len(score))[:, None] == chosen) & match & person
    return {
        "people": (person & counts).sum(),
        "found": ((match & person).any(0) & counts).sum(),
        "detections": (scored & counts).sum(),
        "right": (is_chosen.any(1) & scored & counts).sum(),
        "subjects": one.astype(jnp.int32),
        "first": ((first & subject).any() & one).astype(jnp.int32),
    }
