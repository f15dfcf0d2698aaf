"""What a student and its teacher say of the same crops comes in, losses leave that pull one to
the other.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from blazepose_jax.codecs import heatmaps
from blazepose_jax.structs import Network, PoseOutputs
from blazepose_jax.training import losses


@dataclasses.dataclass(frozen=True)
class TeacherConfig:
    """A trained net that teaches along; every weight of 0 leaves its lesson out.

    Fine-tuning forgets every head that nothing teaches: 21 of the 33 points, z, world and mask have
    no human label.
    """

    weights: str = ""  # weights directory or .task; "" for no teacher
    points: float = 1.0  # x and y of unlabelled points; z of all
    peaks: float = (
        0.5  # regression to the teacher's heatmap peaks, which know 3 to 5 points of PCK more
    )
    heatmap: float = 1.0  # unlabelled points' maps
    world: float = 1.0
    mask: float = 0.2
    flags: float = 0.1  # visibility and presence
    features: float = 0.0  # the decoder's 64x64 maps; needs nets of equal width
    doubt: bool = True  # labels far from the teacher's peak weigh less


class Teacher(struct.PyTreeNode):
    """A teacher and what it teaches."""

    network: Network  # applied in training mode, so that it shows its features
    config: TeacherConfig = struct.field(pytree_node=False)


def trust_in_labels(
    said: PoseOutputs, targets: dict[str, jax.Array], config: TeacherConfig
) -> jax.Array:
    """Weights of the labels by their distance from the teacher's peak.

    1 within 0.2 torso, 0.5 to 0.5, 0.15 beyond.

    A disagreement is the teacher's own error a third of the time, so nothing is dropped.

    Args:
      said: the teacher's outputs.
      targets: (B, ...) of ``sample_targets``.
      config: with ``doubt`` unset everything weighs 1.

    Returns:
      (B, K') float32.
    """
    if said.heatmap is None or not config.doubt:
        return jnp.ones(targets["labelled"].shape)
    peaks = jax.vmap(heatmaps.decode)(said.heatmap)
    distance = (
        jnp.linalg.norm(peaks - targets["points"], axis=-1)
        / jnp.maximum(targets["torso"], 0.1)[:, None]
    )
    trust = jnp.where(distance < 0.2, 1.0, jnp.where(distance < 0.5, 0.5, 0.15))
    # Points outside of the crop and the ROI points, whose place the labels define, have no peak to
    # compare with.
    return jnp.where(targets["inside"] & targets["body"], trust, 1.0)


def distillation_losses(
    outputs: PoseOutputs,
    said: PoseOutputs,
    targets: dict[str, jax.Array],
    fields: tuple[str, ...],
    side: int,
    weight: jax.Array,
) -> dict[str, jax.Array]:
    """Every lesson, unweighted.

    Args:
      outputs: the student's, (B, ...).
      said: the teacher's, of the same crops; the same keypoints and fields.
      targets: of ``sample_targets``.
      fields: columns of the landmarks.
      side: input px.
      weight: (B,).

    Returns:
      {name: () float32}; names are those of TeacherConfig's weights.
    """
    present = (targets["is_person"] * weight)[:, None]  # (B, 1)
    unlabelled = present * (targets["labelled"] == 0)  # (B, K')
    columns = {
        field: (outputs.landmarks[..., i], said.landmarks[..., i]) for i, field in enumerate(fields)
    }
    error = {field: jnp.abs(a - b) / side for field, (a, b) in columns.items()}
    unit = jnp.maximum(targets["torso"], 0.1)[:, None]
    parts = {"points": losses.masked_mean((error["x"] + error["y"]) / unit, unlabelled)}
    if "z" in error:
        parts["points"] += 0.3 * losses.masked_mean(
            error["z"] / unit, jnp.broadcast_to(present, error["z"].shape)
        )
    parts["flags"] = sum(
        (
            losses.masked_mean(_soft(*columns[f]), jnp.broadcast_to(present, unlabelled.shape))
            for f in ("visibility", "presence")
            if f in columns
        ),
        jnp.float32(0.0),
    )
    if said.heatmap is not None:
        peaks = jax.vmap(heatmaps.decode)(said.heatmap)
        sure = jax.nn.sigmoid(said.heatmap).max((1, 2)) > heatmaps.MIN_CONFIDENCE
        xy = jnp.stack([columns["x"][0], columns["y"][0]], -1) / side
        distance = losses.robust_distance(xy, peaks, unit, 0.15)
        parts["peaks"] = losses.masked_mean(distance, present * sure * targets["body"])
        if outputs.heatmap is not None:
            cells = _soft(outputs.heatmap, said.heatmap).sum((1, 2))
            parts["heatmap"] = losses.masked_mean(0.1 * cells, unlabelled)
    if said.world is not None and outputs.world is not None:
        metres = jnp.abs(outputs.world - said.world).sum(-1) / 0.5  # in torsos, about half a metre
        parts["world"] = losses.masked_mean(metres, jnp.broadcast_to(present, metres.shape))
    if said.mask is not None and outputs.mask is not None:
        # Mask logits reach 1500; nothing is learned beyond certainty.
        pixels = _soft(jnp.clip(outputs.mask, -30, 30), jnp.clip(said.mask, -30, 30))
        parts["mask"] = losses.masked_mean(
            pixels, jnp.broadcast_to(weight[:, None, None, None], pixels.shape)
        )
    if (
        said.features is not None
        and outputs.features is not None
        and said.features.shape == outputs.features.shape
    ):
        squared = ((outputs.features - said.features) ** 2).mean((1, 2, 3)) / (
            said.features**2
        ).mean((1, 2, 3))
        parts["features"] = losses.masked_mean(squared, weight)
    return parts


def _soft(logits: jax.Array, teacher: jax.Array) -> jax.Array:
    """Elementwise KL divergence between two Bernoulli variables given by logits."""
    wanted = jax.nn.sigmoid(teacher)
    return losses.binary_cross_entropy(logits, wanted) - losses.binary_cross_entropy(
        teacher, wanted
    )
