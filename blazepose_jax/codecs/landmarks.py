"""The pose net's raw tensors to points of the crop frame, by one of three decodes."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from blazepose_jax.codecs import heatmaps
from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.structs import PoseOutputs

# refine: MediaPipe's, the regressed point pulled to the heatmap round it. regression: the paper's,
# the vector head alone. heatmap: the centroid round each map's peak, the most accurate on LSP.
DECODES = ("refine", "regression", "heatmap")


@dataclasses.dataclass(frozen=True)
class CropPoints:
    """Points of one crop; a pytree of arrays."""

    points: jax.Array  # (K', 3) crop frame; z has the scale of x
    visibility: jax.Array  # (K',) probability
    presence: jax.Array  # (K',) probability


jax.tree_util.register_dataclass(CropPoints, ["points", "visibility", "presence"], [])


def decode(
    outputs: PoseOutputs, fields: tuple[str, ...], side: int, method: str, body: int
) -> CropPoints:
    """Decode one person.

    Args:
      outputs: without batch axis.
      fields: what the columns of ``outputs.landmarks`` are.
      side: input px.
      method: one of ``DECODES``; ``refine`` without a heatmap is ``regression``.
      body: K, how many of the K' rows are keypoints. ``heatmap`` applies to them alone: the
        auxiliary points steer the tracker and are always refined, never moved to a far peak.

    Returns:
      CropPoints.

    Raises:
      BlazePoseError: unknown method, or ``heatmap`` for a net without one.
    """
    check_name(method, DECODES, "decode")
    column = {field: outputs.landmarks[:, i] for i, field in enumerate(fields)}
    zero = jnp.zeros_like(column["x"])
    xy = jnp.stack([column["x"], column["y"]], -1) / side  # (K', 2)
    if method == "heatmap" and outputs.heatmap is None:
        raise BlazePoseError("decode 'heatmap' needs a net with a heatmap head: use 'regression'")
    if method != "regression" and outputs.heatmap is not None:
        refined = heatmaps.refine(xy, outputs.heatmap)
        xy = (
            refined
            if method == "refine"
            else jnp.concatenate([heatmaps.decode(outputs.heatmap)[:body], refined[body:]])
        )
    points = jnp.concatenate([xy, (column.get("z", zero) / side)[:, None]], -1)
    visibility = jax.nn.sigmoid(column["visibility"]) if "visibility" in column else zero + 1
    presence = jax.nn.sigmoid(column["presence"]) if "presence" in column else zero + 1
    return CropPoints(points, visibility, presence)


def mirror(maps: jax.Array) -> jax.Array:
    """Mirror (..., H, W, C) about column W/2, so that a coordinate x becomes W - x.

    Pixel 0 lies on the left edge of the crop, so pixel W would be its mirror; pixel W - 1 stands in
    for it.
    """
    return jnp.concatenate([maps[..., -1:, :], maps[..., :0:-1, :]], -2)


def average_mirrored(
    outputs: PoseOutputs,
    mirrored: PoseOutputs,
    flip: tuple[int, ...],
    fields: tuple[str, ...],
    side: int,
) -> PoseOutputs:
    """Average what a net says of a crop and of its mirror image.

    Args:
      outputs: (B, ...) of the crops.
      mirrored: (B, ...) of the mirrored crops.
      flip: (K',) positions after a left/right swap.
      fields: columns of the landmarks.
      side: input px.

    Returns:
      PoseOutputs of the crops; probabilities are averaged, not logits.
    """
    order = jnp.asarray(flip)
    rows = mirrored.landmarks[:, order]
    x = fields.index("x")
    rows = rows.at[..., x].set(side - rows[..., x])
    world = mirrored.world
    if world is not None:
        world = (outputs.world + world[:, order] * jnp.array([-1.0, 1.0, 1.0])) / 2
    heatmap = mirrored.heatmap
    if heatmap is not None:
        heatmap = _mean_logit(outputs.heatmap, mirror(heatmap)[..., order])
    mask = None if mirrored.mask is None else _mean_logit(outputs.mask, mirror(mirrored.mask))
    return PoseOutputs(
        (outputs.landmarks + rows) / 2,
        _mean_logit(outputs.presence, mirrored.presence),
        mask=mask,
        heatmap=heatmap,
        world=world,
    )


def _mean_logit(a: Any, b: jax.Array) -> jax.Array:
    mean = (jax.nn.sigmoid(a) + jax.nn.sigmoid(b)) / 2
    other = (jax.nn.sigmoid(-a) + jax.nn.sigmoid(-b)) / 2  # 1 - mean, exact near 1
    return jnp.log(jnp.maximum(mean, 1e-30)) - jnp.log(jnp.maximum(other, 1e-30))
