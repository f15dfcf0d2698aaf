"""Variables and scenes come in, a detector's scalar loss and its parts leave."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from blazepose_jax.codecs import alignment, anchors
from blazepose_jax.geometry import rois, warp
from blazepose_jax.structs import ROI, DetectorOutputs, Frame, SceneBatch
from blazepose_jax.training import augment, losses

# of the image: responsible anchors that lie no farther than this from a box's middle are never
# negative
FAR = 0.1


@dataclasses.dataclass(frozen=True)
class DetectorConfig:
    """How scenes are disturbed, and the weights of a detector's losses."""

    zoom_in: float = 0.6  # the least share of the scene that is looked at ...
    zoom_out: float = 1.4  # ... and the most
    shift: float = 0.15  # of the scene's side
    angle: float = 0.5  # radians; most people stand
    any_angle: float = 0.3  # share of scenes turned by any angle
    flip: float = 0.5
    colour: float = 0.6
    score: float = 1.0
    # Errors are shares of the picture: Google's own detector disagrees with itself by 0.001 and
    # 0.01 in these two losses (tools/detector_conventions.py), which would vanish beside the
    # score's.
    boxes: float = 3.0
    keypoints: float = 10.0  # the mid-hip and the circle place the pose net's crop
    focal_alpha: float = 0.25
    focal_gamma: float = 2.0
    min_score: float = 0.5  # detections that count when recall and precision are measured
    close: float = 0.3  # a mid-hip and a circle within this share of the circle's radius are right


def scene_targets(
    key: jax.Array,
    pixels: jax.Array,
    points: jax.Array,
    status: jax.Array,
    side: int,
    config: DetectorConfig | None,
) -> dict[str, jax.Array]:
    """One scene to one input and what every anchor should say.

    Args:
      key: random key.
      pixels: (R, R, 3) uint8.
      points: (N, 5, 2) px.
      status: (N,).
      side: S, input px.
      config: what to disturb; None for nothing.

    Returns:
      image (S, S, 3) in [0, 255]; wanted (A,) 1 where an anchor is to find somebody, 0 where
      nobody; counted (A,) bool: the anchor's score is taught; values (A, 12); points (N, 5, 2) crop
      frame; status (N,), 0 for people who left the picture.
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
    image = warp.crop(
        Frame(pixels.reshape(-1, 3), jnp.array([whole, whole])), affine, side, border="zero"
    )
    points = rois.image_to_crop(points.reshape(-1, 2), view).reshape(points.shape)
    if config is not None:
        points = jnp.where(flipped, jnp.array([1.0, 0.0]) + points * jnp.array([-1.0, 1.0]), points)
        image = augment.colour(keys[5], image, config.colour)
    inside = ((points[:, 4] > 0) & (points[:, 4] < 1)).all(-1)
    status = jnp.where(inside, status, 0)

    centers = jnp.asarray(anchors.anchor_centers(side))  # (A, 2)
    distance = jnp.linalg.norm(centers - points[:, None, 4], axis=-1)  # (N, A)
    reach, maps = jnp.asarray(anchors.distance_scale(side)), anchors.map_numbers(side)
    # On every map that answers for people the nearest anchor does, too: on a coarse one none may be
    # near.
    within = jnp.where(reach > 0, distance, jnp.inf)
    nearest = jnp.zeros_like(distance, bool)
    for number in range(maps[-1] + 1):
        least = jnp.where(maps == number, within, jnp.inf).min(1, keepdims=True)
        nearest |= (maps == number) & (within <= least + 1e-6) & jnp.isfinite(within)
    mine = ((within < reach) | nearest) & (status == 1)[:, None]
    radius = jnp.linalg.norm(points[:, 1] - points[:, 0], axis=-1)
    spared = ((within < FAR) & (status == 1)[:, None]) | (
        (distance < radius[:, None]) & (status == 2)[:, None]
    )
    owner = jnp.argmin(jnp.where(mine, distance, jnp.inf), 0)  # (A,)
    # (N, A, 12)
    values = jax.vmap(lambda p: anchors.encode(alignment.box_xyxy(p[4]), p[:4], side))(points)
    wanted = mine.any(0)
    return {
        "image": image,
        "wanted": wanted.astype(jnp.float32),
        "counted": wanted | ~spared.any(0),
        "values": jnp.take_along_axis(values, owner[None, :, None], 0)[0],
        "points": points,
        "status": status,
    }


def detector_objective(
    apply: Any,
    variables: Any,
    batch: SceneBatch,
    key: jax.Array,
    *,
    side: int,
    config: DetectorConfig,
) -> tuple[jax.Array, tuple[dict[str, jax.Array], Any]]:
    """The loss of a detector on a batch.

    Args:
      apply: (variables, images) -> (DetectorOutputs, updated batch statistics), in training.
      variables: {"params", "batch_stats"}.
      batch: scenes.
      key: random key.
      side: S, input px.
      config: disturbance and weights.

    Returns:
      () loss, and (its unweighted parts with the recall of scores, updated batch statistics).
    """
    keys = jax.random.split(key, batch.pixels.shape[0])
    targets = jax.vmap(lambda k, p, xy, status: scene_targets(k, p, xy, status, side, config))(
        keys, batch.pixels, batch.points, batch.status
    )
    outputs, stats = apply(variables, targets["image"] / 127.5 - 1)
    wanted = targets["wanted"] * batch.weight[:, None]  # (B, A)
    found = jnp.maximum(wanted.sum(), 1.0)
    focal = losses.focal(
        outputs.logits[..., 0], targets["wanted"], config.focal_alpha, config.focal_gamma
    )
    error = losses.smooth_l1((outputs.boxes - targets["values"]) / side, 0.02)  # (B, A, 12)
    parts = {
        "score": (focal * targets["counted"] * batch.weight[:, None]).sum() / found,
        "boxes": losses.masked_mean(error[..., :4].sum(-1), wanted),
        "keypoints": losses.masked_mean(error[..., 4:].sum(-1), wanted),
    }
    loss = jnp.asarray(sum(getattr(config, name) * value for name, value in parts.items()))
    seen = jax.nn.sigmoid(outputs.logits[..., 0]) > config.min_score
    parts["recall"] = 100 * losses.masked_mean(seen.astype(jnp.float32), wanted)
    return loss, (parts, stats)


def detector_hits(
    apply: Any, variables: Any, batch: SceneBatch, *, side: int, config: DetectorConfig
) -> dict[str, jax.Array]:
    """How many people a detector finds in undisturbed scenes, and how many of its detections are
    people.

    Args:
      apply: (variables, images) -> DetectorOutputs, at inference.
      variables: {"params", "batch_stats"}.
      batch: scenes; those with weight 0 do not count.
      side: S, input px.
      config: when a detection is right.

    Returns:
      () counts: ``people``, ``found`` of them, ``detections``, ``right`` of them. Detections on
      people of kind 2 count nowhere.
    """
    targets = jax.vmap(
        lambda p, xy, status: scene_targets(jax.random.key(0), p, xy, status, side, None)
    )(batch.pixels, batch.points, batch.status)
    outputs = apply(variables, targets["image"] / 127.5 - 1)

    def count(boxes, logits, points, status, weight):
        rows = DetectorOutputs(boxes[None], logits[None])
        best = anchors.decode(
            rows, side, count=2 * points.shape[0], min_score=config.min_score, nms_threshold=0.3
        )
        radius = jnp.linalg.norm(points[:, 1] - points[:, 0], axis=-1)
        # (M, N)
        apart = jnp.linalg.norm(best.keypoints[:, None, :2] - points[None, :, :2], axis=-1).max(-1)
        match = (apart < config.close * radius) & best.valid[:, None]
        far = jnp.linalg.norm(best.keypoints[:, None, 0] - points[None, :, 0], axis=-1) > radius
        free = best.valid & (far | (status != 2)[None]).all(1)
        person, counts = status == 1, weight > 0
        return {
            "people": (person & counts).sum(),
            "found": ((match & person).any(0) & counts).sum(),
            "detections": (free & counts).sum(),
            "right": ((match & person).any(1) & free & counts).sum(),
        }

    counts = jax.vmap(count)(
        outputs.boxes, outputs.logits, targets["points"], targets["status"], batch.weight
    )
    return jax.tree.map(jnp.sum, counts)
