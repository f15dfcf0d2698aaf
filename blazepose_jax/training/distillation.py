"""Distillation losses: what pulls a student to its teacher on the same crops."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from blazepose_jax.batches import TRUST
from blazepose_jax.codecs import heatmaps
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import Array, Network, PoseOutputs
from blazepose_jax.training import losses
from blazepose_jax.training.targets import Targets


@dataclasses.dataclass(frozen=True)
class TeacherConfig:
    """A trained net that teaches along; a weight of 0 leaves its loss out.

    Fine-tuning forgets every head that nothing teaches: 21 of the 33 points, the ROI points, z,
    world and mask have no human label.
    """

    # A name, weights directory or .task; "init" for what --init names, "" for no teacher.
    weights: str = ""
    # x and y of unlabelled points; z of all.
    points: float = 1.0
    # Regression to the teacher's heatmap peaks, which know 3 to 5 points of PCK more.
    peaks: float = 0.5
    # Maps of unlabelled points, and of others as far as their labels are doubted.
    heatmap: float = 1.0
    world: float = 1.0
    mask: float = 0.2
    # Visibility and presence.
    visibility: float = 0.1
    # The decoder's 64x64 maps; needs nets of equal width.
    features: float = 0.0
    # Labels far from the teacher's peak weigh less.
    doubt: bool = True

    # Units as in LossConfig: cells of a map that count as one, torsos, of the crop, metres.
    heatmap_unit: float = 10.0
    knee: float = 0.15
    min_torso: float = 0.1
    world_unit: float = 0.5
    # z is less sure than x and y.
    z_share: float = 0.3
    # Mask logits reach 1500; nothing is learned beyond certainty.
    max_mask_logit: float = 30.0


NOT_TAUGHT = -1  # in place of a row


class Teacher(struct.PyTreeNode):
    """A teacher, and what it teaches."""

    network: Network  # applied in training mode, so that it shows its features
    config: TeacherConfig = struct.field(pytree_node=False)
    # Of the student that it teaches, with ROI points where the teacher has them.
    skeleton: Skeleton = struct.field(pytree_node=False)
    # K' rows of the teacher, one for each of the student's, or NOT_TAUGHT.
    rows: tuple[int, ...] = struct.field(pytree_node=False)
    # F columns of the teacher's landmarks, one for each of the student's.
    columns: tuple[int, ...] = struct.field(pytree_node=False)

    @property
    def taught(self) -> np.ndarray:
        """(K',) bool: the student's rows that it teaches."""
        return np.array(self.rows) != NOT_TAUGHT

    @property
    def knows_roi(self) -> bool:
        """Whether it teaches the student's ROI points."""
        first = len(self.skeleton.keypoints)
        return self.skeleton.has_roi_points and NOT_TAUGHT not in self.rows[first : first + 2]

    def look(self, images: Array) -> PoseOutputs:
        """What it sees in crops, in the student's rows, without a gradient.

        Args:
          images: (B, S, S, 3) grey levels from 0 to 255.

        Returns:
          PoseOutputs with K' rows; anything in those that it does not teach.
        """
        outputs = jax.lax.stop_gradient(self.network(self.network.normalise(images)))
        rows = np.maximum(self.rows, 0)
        return outputs.replace(
            landmarks=outputs.landmarks[:, rows][..., np.array(self.columns)],
            heatmap=None if outputs.heatmap is None else outputs.heatmap[..., rows],
            world=None if outputs.world is None else outputs.world[:, rows],
            offsets=None,
        )


class DistillationLosses(struct.PyTreeNode):
    """Every distillation loss, () float32 each; 0 where a net of the two has no such output."""

    points: jax.Array
    peaks: jax.Array
    heatmap: jax.Array
    world: jax.Array
    mask: jax.Array
    visibility: jax.Array
    features: jax.Array


def trust_in_labels(
    teacher_outputs: PoseOutputs, targets: Targets, taught: np.ndarray, config: TeacherConfig
) -> jax.Array:
    """Weights of the labels by their distance from the teacher's peak.

    By ``batches.TRUST``, as ``blazepose data label`` does once for all.

    Args:
      teacher_outputs: (B, ...).
      targets: (B, ...).
      taught: (K',) bool, the rows that the teacher knows.
      config: with ``doubt`` unset everything weighs 1.

    Returns:
      (B, K') float32.
    """
    if teacher_outputs.heatmap is None or not config.doubt:
        return jnp.ones(targets.labelled.shape)
    peaks = jax.vmap(heatmaps.decode)(teacher_outputs.heatmap)
    torso = jnp.maximum(targets.torso, config.min_torso)[:, None]
    distance = jnp.linalg.norm(peaks - targets.keypoints_crop, axis=-1) / torso
    trust = jnp.select([distance < far for far, _ in TRUST], [weight for _, weight in TRUST])
    # Points outside of the crop and the ROI points, whose place the labels define, have no peak to
    # compare with.
    return jnp.where(targets.inside & targets.is_keypoint & taught, trust, 1.0)


def distillation_losses(
    outputs: PoseOutputs,
    teacher_outputs: PoseOutputs,
    targets: Targets,
    *,
    fields: tuple[str, ...],
    side: int,
    weight: Array,
    trust: Array,
    taught: np.ndarray,
    config: TeacherConfig,
) -> DistillationLosses:
    """Every distillation loss, unweighted.

    Args:
      outputs: the student's, (B, ...).
      teacher_outputs: of the same crops, as ``Teacher.look`` gives them.
      targets: (B, ...).
      fields: columns of the landmarks.
      side: input px.
      weight: (B,) of the samples.
      trust: (B, K') in the labels; the teacher's maps answer for what is left of 1.
      taught: (K',) bool, the rows that the teacher knows.
      config: units of the errors.

    Returns:
      DistillationLosses.
    """
    student = {field: outputs.landmarks[..., i] for i, field in enumerate(fields)}
    teacher = {field: teacher_outputs.landmarks[..., i] for i, field in enumerate(fields)}
    present = (targets.is_person * weight)[:, None] * taught  # (B, K')
    unlabelled = present * (targets.label_weight == 0)  # (B, K')
    doubted = present * (1 - targets.label_weight * trust)  # (B, K')
    torso = jnp.maximum(targets.torso, config.min_torso)[:, None]
    error = {f: jnp.abs(student[f] - teacher[f]) / side / torso for f in "xyz" if f in fields}
    points = losses.masked_mean(error["x"] + error["y"], unlabelled)
    if "z" in error:
        points += config.z_share * losses.masked_mean(error["z"], present)
    flags = jnp.float32(0)
    for field in ("visibility", "presence"):
        if field in fields:
            divergence = losses.bernoulli_kl(student[field], teacher[field])
            flags += losses.masked_mean(divergence, present)
    xy = jnp.stack([student["x"], student["y"]], -1) / side
    return DistillationLosses(
        points=points,
        peaks=peak_loss(xy, teacher_outputs.heatmap, targets, torso, present, config),
        heatmap=map_loss(outputs.heatmap, teacher_outputs.heatmap, doubted, config),
        world=world_loss(outputs.world, teacher_outputs.world, present, config),
        mask=mask_loss(outputs.mask, teacher_outputs.mask, weight, config),
        visibility=flags,
        features=feature_loss(outputs.features, teacher_outputs.features, weight),
    )


def peak_loss(
    xy: Array,
    teacher_logits: Array | None,
    targets: Targets,
    torso: Array,
    present: Array,
    config: TeacherConfig,
) -> jax.Array:
    """() robust distance of (B, K', 2) regressed points, crop frame, from the teacher's peaks."""
    if teacher_logits is None:
        return jnp.float32(0)
    peaks = jax.vmap(heatmaps.decode)(teacher_logits)
    sure = jax.nn.sigmoid(teacher_logits).max((1, 2)) > heatmaps.MIN_CONFIDENCE
    distance = losses.robust_distance(xy, peaks, torso, config.knee)
    return losses.masked_mean(distance, present * sure * targets.is_keypoint)


def map_loss(
    logits: Array | None, teacher_logits: Array | None, doubted: Array, config: TeacherConfig
) -> jax.Array:
    """() KL divergence of (B, G, G, K') maps, by the (B, K') doubt in their labels."""
    if logits is None or teacher_logits is None:
        return jnp.float32(0)
    cells = losses.bernoulli_kl(logits, teacher_logits).sum((1, 2))
    return losses.masked_mean(cells / config.heatmap_unit, doubted)


def world_loss(
    world: Array | None, teacher_world: Array | None, present: Array, config: TeacherConfig
) -> jax.Array:
    """() L1 of (B, K', 3) world points, metres, where (B, K') ``present``."""
    if world is None or teacher_world is None:
        return jnp.float32(0)
    return losses.masked_mean(jnp.abs(world - teacher_world).sum(-1) / config.world_unit, present)


def mask_loss(
    logits: Array | None, teacher_logits: Array | None, weight: Array, config: TeacherConfig
) -> jax.Array:
    """() KL divergence of (B, M, M, 1) masks; the teacher's may have another side."""
    if logits is None or teacher_logits is None:
        return jnp.float32(0)
    teacher_logits = jax.image.resize(teacher_logits, logits.shape, "linear")
    most = config.max_mask_logit
    error = losses.bernoulli_kl(
        jnp.clip(logits, -most, most), jnp.clip(teacher_logits, -most, most)
    )
    return losses.masked_mean(error, weight[:, None, None, None])


def feature_loss(
    features: Array | None, teacher_features: Array | None, weight: Array
) -> jax.Array:
    """() squared error of (B, G, G, D) decoder features over the teacher's power."""
    if features is None or teacher_features is None or features.shape != teacher_features.shape:
        return jnp.float32(0)
    error = ((features - teacher_features) ** 2).mean((1, 2, 3))
    return losses.masked_mean(error / (teacher_features**2).mean((1, 2, 3)), weight)
