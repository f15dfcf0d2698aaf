"""Landmarks: the pose net's raw tensors decoded to points of the crop frame."""

import dataclasses

import jax
import jax.numpy as jnp

from blazepose_jax.codecs import heatmaps, soft_argmax
from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.structs import Array, PoseOutputs


@dataclasses.dataclass(frozen=True)
class CropPoints:
    """Points of one crop; a pytree of arrays."""

    points: jax.Array  # (K', 3) crop frame; z has the scale of x
    visibility: jax.Array  # (K',) probability
    presence: jax.Array  # (K',) probability


jax.tree_util.register_dataclass(CropPoints, ["points", "visibility", "presence"], [])


# A decode takes the regressed points, (K', 2) crop frame, the heatmaps, (G, G, K') logits or None,
# and K, the number of keypoints before the auxiliary rows; it returns (K', 2).


def _regression(points_crop: jax.Array, heatmap_logits: Array | None, body: int) -> jax.Array:
    return points_crop


def _refine(points_crop: jax.Array, heatmap_logits: Array | None, body: int) -> jax.Array:
    return points_crop if heatmap_logits is None else heatmaps.refine(points_crop, heatmap_logits)


def _heatmap(points_crop: jax.Array, heatmap_logits: Array | None, body: int) -> jax.Array:
    logits = _needed(heatmap_logits, "heatmap")
    return _moved(points_crop, soft_argmax.decode(points_crop, logits), logits, body)


def _peaks(points_crop: jax.Array, heatmap_logits: Array | None, body: int) -> jax.Array:
    logits = _needed(heatmap_logits, "peaks")
    return _moved(points_crop, heatmaps.decode(logits), logits, body)


def _needed(heatmap_logits: Array | None, decode: str) -> Array:
    if heatmap_logits is None:
        raise BlazePoseError(f"decode {decode!r} needs a net with a heatmap head: use 'regression'")
    return heatmap_logits


def _moved(points_crop: jax.Array, found: jax.Array, logits: Array, body: int) -> jax.Array:
    """Found keypoints and refined auxiliary points, which steer the tracker."""
    return jnp.concatenate([found[:body], heatmaps.refine(points_crop, logits)[body:]])


# Name -> (function, what it does).
_DECODES = {
    "refine": (_refine, "MediaPipe's: the regressed point, pulled to the heatmap round it"),
    "regression": (_regression, "the paper's: the regressed point alone"),
    "heatmap": (_heatmap, "the mean of the heatmap near the regressed point, as in exported files"),
    "peaks": (_peaks, "the centroid round each heatmap's peak"),
}
# Name -> what it does, for help texts.
DECODES = {name: description for name, (_, description) in _DECODES.items()}
# The best decode of a net with heatmaps, by the tables of docs/results.md; of others it is
# ``regression``. Peaks are the most accurate on stills, and jump from one frame to the next.
BEST = {"video": "heatmap", "stills": "peaks"}


def resolve(method: str, has_heatmap: bool) -> str:
    """The decode that a name means for a net: itself, or the best for ``video`` or ``stills``."""
    if method not in BEST:
        return method
    return BEST[method] if has_heatmap else "regression"


def decode(
    outputs: PoseOutputs,
    fields: tuple[str, ...],
    side: int,
    method: str,
    body: int,
    held: str = "regression",
) -> CropPoints:
    """Decode one person (docs/mediapipe.md, 3.8).

    Args:
      outputs: without batch axis.
      fields: what the columns of ``outputs.landmarks`` are.
      side: input px.
      method: a key of ``DECODES``, where ``refine`` without a heatmap is ``regression``; or of
        ``BEST``.
      body: K, how many of the K' rows are keypoints; the rest are auxiliary.
      held: what the x and y of ``outputs.landmarks`` are already; an exported file's graph may
        have done the work of ``heatmap``, which is then not done twice.

    Returns:
      CropPoints.

    Raises:
      BlazePoseError: unknown method, or ``heatmap`` or ``peaks`` for a net without one.
    """
    check_name(method, (*DECODES, *BEST), "decode")
    method = resolve(method, outputs.heatmap is not None)
    column = {field: jnp.asarray(outputs.landmarks)[:, i] for i, field in enumerate(fields)}
    zero = jnp.zeros_like(column["x"])
    regressed = jnp.stack([column["x"], column["y"]], -1) / side  # (K', 2)
    function, _ = _DECODES["regression" if method == held else method]
    xy = function(regressed, outputs.heatmap, body)
    points = jnp.concatenate([xy, (column.get("z", zero) / side)[:, None]], -1)
    visibility = jax.nn.sigmoid(column["visibility"]) if "visibility" in column else zero + 1
    presence = jax.nn.sigmoid(column["presence"]) if "presence" in column else zero + 1
    return CropPoints(points, visibility, presence)


def mirror(maps: Array) -> jax.Array:
    """Mirror maps about column W/2, so that a coordinate x becomes W - x.

    Pixel 0 lies on the left edge of the crop, so pixel W would be its mirror; pixel W - 1 stands in
    for it.

    Args:
      maps: (..., H, W, C).

    Returns:
      (..., H, W, C).
    """
    return jnp.concatenate([maps[..., -1:, :], maps[..., :0:-1, :]], -2)


def average_mirrored(
    outputs: PoseOutputs,
    mirrored: PoseOutputs,
    flip: tuple[int, ...],
    fields: tuple[str, ...],
    side: int,
) -> PoseOutputs:
    """Average a net's outputs for crops and for their mirror images.

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
    rows = jnp.asarray(mirrored.landmarks)[:, order]
    x = fields.index("x")
    rows = rows.at[..., x].set(side - rows[..., x])
    world = mask = heatmap = None
    if outputs.world is not None and mirrored.world is not None:
        turned = mirrored.world[:, order] * jnp.array([-1.0, 1.0, 1.0])
        world = (outputs.world + turned) / 2
    if outputs.heatmap is not None and mirrored.heatmap is not None:
        heatmap = _mean_logit(outputs.heatmap, mirror(mirrored.heatmap)[..., order])
    if outputs.mask is not None and mirrored.mask is not None:
        mask = _mean_logit(outputs.mask, mirror(mirrored.mask))
    return PoseOutputs(
        (outputs.landmarks + rows) / 2,
        _mean_logit(outputs.presence, mirrored.presence),
        mask=mask,
        heatmap=heatmap,
        world=world,
    )


def _mean_logit(a: Array, b: Array) -> jax.Array:
    """The logit of the mean of two probabilities that are given as logits."""
    mean = (jax.nn.sigmoid(a) + jax.nn.sigmoid(b)) / 2
    other = (jax.nn.sigmoid(-a) + jax.nn.sigmoid(-b)) / 2  # 1 - mean, exact near 1
    return jnp.log(jnp.maximum(mean, 1e-30)) - jnp.log(jnp.maximum(other, 1e-30))
