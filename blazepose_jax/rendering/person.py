"""Rendered persons: colours, mask, and labels that only a renderer knows."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from blazepose_jax.geometry import rois
from blazepose_jax.rendering import figure, kinematics, raster, shapes
from blazepose_jax.rendering.background import cut_out, smooth_noise
from blazepose_jax.rendering.body import build
from blazepose_jax.skeleton import BLAZEPOSE

# Sides of the windows of large, middling and small shapes, and the most pixels per metre, as shares
# of the picture's side.
WINDOWS = (0.44, 0.22, 0.11)
CLOSEST = 0.5
# Metres that a point may lie below the nearest surface and still be visible, as joints lie inside
# of the body: first keypoint, the one after the last, metres.
DEPTHS = (
    (0, 11, 0.03),
    (11, 13, 0.12),
    (13, 15, 0.08),
    (15, 23, 0.05),
    (23, 25, 0.18),
    (25, 27, 0.1),
    (27, 33, 0.08),
)


class Person(struct.PyTreeNode):
    """A person without a background; S px per side, mid-hip in the middle."""

    colours: jax.Array  # (S, S, 3) float32 in [0, 255]
    mask: jax.Array  # (S, S) bool
    points: jax.Array  # (33, 2) px
    depth: jax.Array  # (33,) px, 0 at the mid-hip, smaller is nearer
    world: jax.Array  # (33, 3) metres
    visible: jax.Array  # (33,) bool: not hidden by the person's own body
    side: jax.Array  # () px, of the ROI
    angle: jax.Array  # () radians, of the ROI


def render(key: jax.Array, side: int, context: float, pictures: jax.Array | None = None) -> Person:
    """Draw one person.

    Args:
      key: random key.
      side: S, px.
      context: side of the picture over that of the ROI.
      pictures: (N, P, P, 3) uint8, which clothes are made of; None for clothes of plain colours.

    Returns:
      Person.
    """
    of_figure, *others = jax.random.split(key, 4)
    return render_figure(figure.draw_figure(of_figure), others, side, context, pictures)


def render_figure(
    body: kinematics.Figure,
    keys: Sequence[jax.Array],
    side: int,
    context: float,
    pictures: jax.Array | None = None,
) -> Person:
    """Draw one person whose pose is given.

    Args:
      body: from ``figure.draw_figure`` or ``kinematics.pose_figure``.
      keys: random, of clothes, distance and colours.
      side: as for ``render``.
      context: as for ``render``.
      pictures: as for ``render``.

    Returns:
      Person.
    """
    of_clothes, of_distance, of_paint = keys
    clothes = shapes.draw_clothes(of_clothes)
    distance = jax.random.uniform(of_distance, minval=2.2, maxval=9.0)
    middle = jnp.full(2, side / 2)
    # The ROI fills its share of the picture, but nobody comes closer than the windows allow.
    flat = raster.project_points(body.points, distance, jnp.float32(1.0), jnp.zeros(2))
    radius = jnp.linalg.norm(flat[:, :2], axis=-1).max()
    scale = jnp.minimum(side / (2 * rois.MARGIN * context) / radius, CLOSEST * side)

    surface, drawn, count = raster.empty(side), [], 0
    for group, share in zip(build(body, clothes), WINDOWS, strict=True):
        placed = raster.project(group, distance, scale, middle)
        surface = raster.draw(surface, placed, count, round(share * side))
        drawn.append(placed)
        count += group.cut.shape[0]
    view = lax.optimization_barrier(
        raster.look(surface, jax.tree.map(lambda *a: jnp.concatenate(a), *drawn))
    )
    points = raster.project_points(body.points, distance, scale, middle)
    shoulders = points[jnp.array(BLAZEPOSE.indices(BLAZEPOSE.up)), :2].mean(0) - middle
    pixels = jnp.clip(points[:, :2].astype(jnp.int32), 0, side - 1)
    sink = jnp.concatenate([jnp.full(stop - start, depth) for start, stop, depth in DEPTHS])
    visible = surface.depth[pixels[:, 1], pixels[:, 0]] > points[:, 2] - sink * scale
    colours = lax.optimization_barrier(_paint(of_paint, view, clothes, pictures))
    return Person(
        colours,
        view.material >= 0,
        points[:, :2],
        points[:, 2],
        body.points,
        visible,
        2 * rois.MARGIN * radius * scale,
        jnp.arctan2(shoulders[0], -shoulders[1]),
    )


def draw_colours(key: jax.Array) -> jax.Array:
    """(10, 3) colours of a person in [0, 255], by material."""
    keys = jax.random.split(key, 5)
    tones = jnp.array(
        [[255, 219, 190], [235, 190, 155], [205, 150, 110], [150, 100, 65], [85, 55, 38]],
        jnp.float32,
    )
    at = jax.random.uniform(keys[0], maxval=3.999)
    skin = tones[at.astype(int)] + (at % 1) * (tones[at.astype(int) + 1] - tones[at.astype(int)])
    hairs = jnp.array(
        [
            [25, 20, 18],
            [60, 40, 25],
            [110, 75, 45],
            [200, 165, 100],
            [150, 70, 35],
            [150, 148, 145],
        ],
        jnp.float32,
    )
    hair = hairs[jax.random.randint(keys[1], (), 0, 6)]
    cloth = jax.random.uniform(keys[2], (4, 3), minval=10.0, maxval=245.0)
    grey = cloth.mean(-1, keepdims=True)
    cloth = grey + (cloth - grey) * jax.random.uniform(keys[3], (4, 1), maxval=1.3)
    irises = jnp.array([[70, 45, 30], [60, 90, 120], [70, 90, 50], [40, 30, 25]], jnp.float32)
    iris = irises[jax.random.randint(keys[4], (), 0, 4)]
    lips = 0.75 * skin * jnp.array([1.05, 0.75, 0.75])
    return jnp.clip(
        jnp.stack(
            [
                skin,
                cloth[0],
                cloth[1],
                cloth[2],
                hair,
                jnp.array([235.0, 232, 228]),
                iris,
                lips,
                0.75 * hair,
                cloth[3],
            ]
        ),
        0,
        255,
    )


def _paint(
    key: jax.Array, view: raster.Look, clothes: shapes.Clothes, pictures: jax.Array | None
) -> jax.Array:
    """(S, S, 3) colours in [0, 255]: light on materials."""
    keys = jax.random.split(key, 8)
    side = view.material.shape[0]
    is_cloth = (view.material == shapes.SHIRT) | (view.material == shapes.TROUSERS)
    # Folds turn the surface of cloth a little.
    folds = smooth_noise(keys[0], side, side // 12, 2)
    deep = (0.2 + 0.5 * clothes.loose) * is_cloth
    normal = view.normal.at[..., :2].add(folds * deep[..., None])
    x, y, z = (normal[..., i] for i in range(3))
    length = jnp.sqrt(x * x + y * y + z * z + 1e-12)
    light = jax.random.normal(keys[1], (3,)) * jnp.array([0.6, 0.4, 0.4]) - jnp.array(
        [0.0, 0.7, 0.7]
    )
    light = light / jnp.linalg.norm(light)
    ambient, power = jax.random.uniform(keys[2], (2,), minval=0.35, maxval=0.7)
    facing = (x * light[0] + y * light[1] + z * light[2]) / length
    shade = ambient + power * jnp.clip(facing * 0.8 + 0.2, 0, 1) - 0.12 * z / length
    table = draw_colours(keys[3])
    colours = table[jnp.maximum(view.material, 0)]
    # A third of the shirts and trousers has stripes, a third blotches.
    draw = jax.random.uniform(keys[4], (4,))
    stripes = jnp.sin(view.along * (10 + 40 * draw[0])) > 0.3
    blotches = smooth_noise(keys[5], side, side // 9)[..., 0] > 0.25
    pattern = jnp.where(draw[1] < 0.33, stripes, (draw[1] < 0.66) & blotches)
    patterned = pattern & jnp.where(draw[2] < 0.7, view.material == shapes.SHIRT, is_cloth)
    colours = jnp.where(patterned[..., None], table[shapes.TRIM], colours)
    if pictures is not None:
        texture = cut_out(keys[6], side, pictures) / 128
        share = jax.random.uniform(keys[7])
        woven = colours * (1 - share + share * texture) + 20 * share * (texture - 1)
        grained = colours * (0.85 + 0.15 * texture)
        colours = jnp.where(is_cloth[..., None], woven, grained)
    gloss = jnp.where(is_cloth, 0.0, 25.0) * jnp.clip(facing, 0, 1) ** 12
    return jnp.clip(colours * shade[..., None] + gloss[..., None], 0, 255)
