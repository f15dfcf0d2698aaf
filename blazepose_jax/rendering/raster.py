"""Round cones and a picture's size come in; depth, normals and materials per pixel leave."""

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from blazepose_jax.rendering.shapes import Shapes

FAR = 1e6
NOTHING = -1


class Surface(struct.PyTreeNode):
    """What is nearest at each pixel."""

    depth: jax.Array  # (S, S) float32, px along the view; FAR where there is nothing
    shape: jax.Array  # (S, S) int32, which shape; NOTHING where there is none


class Look(struct.PyTreeNode):
    """How the nearest surface lies."""

    normal: jax.Array  # (S, S, 3) float32, unit, towards the camera where z < 0
    material: jax.Array  # (S, S) int32, NOTHING where there is nothing
    along: jax.Array  # (S, S) float32, share of the way along the shape, for patterns


def empty(side: int) -> Surface:
    """Nothing anywhere."""
    return Surface(jnp.full((side, side), FAR), jnp.full((side, side), NOTHING))


def project(shapes: Shapes, distance: jax.Array, scale: jax.Array, center: jax.Array) -> Shapes:
    """Shapes in metres to shapes in px: ends by perspective, thickness by that of their ends.

    Args:
      shapes: metres, camera axes.
      distance: () from the camera to the origin, metres.
      scale: () px per metre at the origin.
      center: (2,) px of the origin.

    Returns:
      Shapes whose x and y are px; z is px at the origin's scale.
    """
    ends, radii = [], []
    for points, radius in ((shapes.start, shapes.start_radius), (shapes.end, shapes.end_radius)):
        ends.append(project_points(points, distance, scale, center))
        radii.append(radius * scale * distance / (distance + points[:, 2]))
    return shapes.replace(start=ends[0], end=ends[1], start_radius=radii[0], end_radius=radii[1])


def project_points(
    points: jax.Array, distance: jax.Array, scale: jax.Array, center: jax.Array
) -> jax.Array:
    """(N, 3) metres to (N, 3): x and y in px, z in px at the origin's scale."""
    nearness = distance / (distance + points[:, 2:])
    return jnp.concatenate([points[:, :2] * scale * nearness + center, points[:, 2:] * scale], -1)


def draw(surface: Surface, shapes: Shapes, first: int, side: int) -> Surface:
    """Put shapes into a surface, each within a window round its middle.

    Where they are nearer they win.

    Args:
      surface: what was drawn before.
      shapes: in px.
      first: number of the first shape.
      side: of the windows, px; what lies beyond is cut off.

    Returns:
      Surface of the same size.
    """
    whole = surface.depth.shape[0]
    steps = jnp.arange(side, dtype=jnp.float32)

    def add(found: Surface, item: tuple[Shapes, jax.Array]) -> tuple[Surface, None]:
        shape, number = item
        middle = (shape.start[:2] + shape.end[:2]) / 2
        column, row = jnp.clip((middle - side / 2).astype(jnp.int32), 0, whole - side)
        part = jax.tree.map(lambda a: lax.dynamic_slice(a, (row, column), (side, side)), found)
        depth = _intersect((column + steps)[None], (row + steps)[:, None], shape)[0]
        depth = lax.optimization_barrier(depth)  # or XLA computes it once per use
        new = Surface(
            jnp.minimum(depth, part.depth), jnp.where(depth < part.depth, number, part.shape)
        )
        return (
            jax.tree.map(lambda a, b: lax.dynamic_update_slice(a, b, (row, column)), found, new),
            None,
        )

    return lax.scan(add, surface, (shapes, first + jnp.arange(shapes.cut.shape[0])))[0]


def look(surface: Surface, shapes: Shapes) -> Look:
    """Normals and materials of what was drawn.

    Args:
      surface: from ``draw``.
      shapes: all of them, in the order of their numbers.
    """
    side = surface.depth.shape[0]
    mine = jax.tree.map(lambda a: a[jnp.maximum(surface.shape, 0)], shapes)  # per pixel
    steps = jnp.arange(side, dtype=jnp.float32)
    _, normal, along = _intersect(steps[None], steps[:, None], mine)
    material = jnp.where(along < mine.cut, mine.near, mine.far)
    return Look(normal, jnp.where(surface.shape < 0, NOTHING, material), along)


def _intersect(
    px: jax.Array, py: jax.Array, shape: Shapes
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Where rays orthogonal to the picture first hit a round cone.

    The closed form is Inigo Quilez's for a "rounded cone", here for rays of any length, because
    flattened shapes are made round by stretching space.

    Args:
      px: pixels' x, broadcastable with py.
      py: their y.
      shape: one, or one per pixel.

    Returns:
      Depth (FAR for a miss), (..., 3) unit normal, share of the way along the axis.
    """
    m, ra, rb = shape.to_round, shape.start_radius, shape.end_radius
    way = shape.end - shape.start
    # Written out: XLA's CPU backend is slow at sums over an axis of three.
    axis = [
        m[..., i, 0] * way[..., 0] + m[..., i, 1] * way[..., 1] + m[..., i, 2] * way[..., 2]
        for i in range(3)
    ]
    ray = [m[..., i, 2] for i in range(3)]  # of the view direction z
    # pixel minus start
    rx, ry, rz = (
        px - shape.start[..., 0],
        py - shape.start[..., 1],
        -shape.start[..., 2],
    )
    origin = [m[..., i, 0] * rx + m[..., i, 1] * ry + m[..., i, 2] * rz for i in range(3)]

    def dot(a, b):
        return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]

    rr, aa = ra - rb, dot(ray, ray)
    m0, m2 = dot(axis, axis) + 1e-9, dot(axis, ray)
    m1, m3, m5 = dot(axis, origin), dot(ray, origin), dot(origin, origin)
    d2 = m0 - rr * rr
    k2 = d2 * aa - m2 * m2
    k1 = d2 * m3 - m1 * m2 + m2 * rr * ra
    k0 = d2 * m5 - m1 * m1 + 2 * m1 * rr * ra - m0 * ra * ra
    h = k1 * k1 - k0 * k2
    t = (-jnp.sqrt(jnp.maximum(h, 0)) - k1) / jnp.where(jnp.abs(k2) < 1e-9, 1e-9, k2)
    y = m1 - ra * rr + t * m2
    on_body = (h >= 0) & (y > 0) & (y < d2) & (d2 > 0)
    # The spheres at the ends.
    h1 = m3 * m3 - aa * (m5 - ra * ra)
    first = jnp.where(h1 > 0, (-m3 - jnp.sqrt(jnp.maximum(h1, 0))) / aa, FAR)
    m6 = m3 - m2
    h2 = m6 * m6 - aa * (m5 - 2 * m1 + m0 - rb * rb)
    second = jnp.where(h2 > 0, (-m6 - jnp.sqrt(jnp.maximum(h2, 0))) / aa, FAR)
    ends = jnp.where(second < first, 1.0, 0.0)
    depth = jnp.minimum(jnp.where(on_body, t, jnp.minimum(first, second)), FAR)
    along = jnp.where(on_body, jnp.clip(y / jnp.maximum(d2, 1e-9), 0, 1), ends)
    # In round axes: away from the axis, tilted by the taper; then back, as normals go, by the
    # transposed matrix.
    local = [
        jnp.where(on_body, d2 * (o + depth * r) - a * y, o + depth * r - a * ends)
        for o, r, a in zip(origin, ray, axis, strict=True)
    ]
    normal = [
        m[..., 0, i] * local[0] + m[..., 1, i] * local[1] + m[..., 2, i] * local[2]
        for i in range(3)
    ]
    length = jnp.sqrt(dot(normal, normal) + 1e-12)
    return depth, jnp.stack([part / length for part in normal], -1), along
