"""Rasters of round cones: depth, normals and materials per pixel."""

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from blazepose_jax.rendering.shapes import Shapes

FAR = 1e6  # px, depth where there is nothing
NOTHING = -1


class Surface(struct.PyTreeNode):
    """What is nearest at each pixel."""

    depth: jax.Array  # (S, S) float32, px along the view; FAR where there is nothing
    shape: jax.Array  # (S, S) int32, which shape; NOTHING where there is none


class Look(struct.PyTreeNode):
    """The nearest surface at each pixel, as light sees it."""

    normal: jax.Array  # (S, S, 3) float32, unit, towards the camera where z < 0
    material: jax.Array  # (S, S) int32, NOTHING where there is nothing
    along: jax.Array  # (S, S) float32, share of the way along the shape, for patterns


def empty(side: int) -> Surface:
    """A surface of nothing."""
    return Surface(jnp.full((side, side), FAR), jnp.full((side, side), NOTHING))


def project(shapes: Shapes, distance: jax.Array, scale: jax.Array, center: jax.Array) -> Shapes:
    """Shapes in metres to shapes in px: ends by perspective, radii by the scale at the ends.

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
    """Put shapes into a surface wherever they are nearer, each within a window round its middle.

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
    per_pixel = jax.tree.map(lambda a: a[jnp.maximum(surface.shape, 0)], shapes)
    steps = jnp.arange(side, dtype=jnp.float32)
    _, normal, along = _intersect(steps[None], steps[:, None], per_pixel)
    material = jnp.where(along < per_pixel.cut, per_pixel.near, per_pixel.far)
    return Look(normal, jnp.where(surface.shape < 0, NOTHING, material), along)


# Three components, apart: XLA's CPU backend is slow at sums over an axis of three.
_Vector = list[jax.Array]


def _intersect(
    px: jax.Array, py: jax.Array, shape: Shapes
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Where rays orthogonal to the picture first hit a round cone.

    The closed form is Inigo Quilez's for a "rounded cone", here for rays of any length, because
    flattened shapes are made round by stretching space.

    Args:
      px: x of the pixels, broadcastable with py.
      py: y of the pixels.
      shape: one, or one per pixel.

    Returns:
      Depth (FAR for a miss), (..., 3) unit normal, share of the way along the axis.
    """
    m, ra, rb = shape.to_round, shape.start_radius, shape.end_radius
    axis = _product(m, [shape.end[..., i] - shape.start[..., i] for i in range(3)])
    ray = [m[..., i, 2] for i in range(3)]  # of the view direction z
    # Pixel minus start.
    origin = _product(m, [px - shape.start[..., 0], py - shape.start[..., 1], -shape.start[..., 2]])
    rr, aa = ra - rb, _dot(ray, ray)
    m0, m2 = _dot(axis, axis) + 1e-9, _dot(axis, ray)
    m1, m3, m5 = _dot(axis, origin), _dot(ray, origin), _dot(origin, origin)
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
    # In round axes: away from the axis, tilted by the taper.
    local = [
        jnp.where(on_body, d2 * (o + depth * r) - a * y, o + depth * r - a * ends)
        for o, r, a in zip(origin, ray, axis, strict=True)
    ]
    return depth, _unit_normal(m, local), along


def _product(m: jax.Array, v: _Vector) -> _Vector:
    """Product of (..., 3, 3) and a vector."""
    return [m[..., i, 0] * v[0] + m[..., i, 1] * v[1] + m[..., i, 2] * v[2] for i in range(3)]


def _dot(a: _Vector, b: _Vector) -> jax.Array:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _unit_normal(m: jax.Array, local: _Vector) -> jax.Array:
    """(..., 3) a normal in round axes brought back, as normals are, by the transposed matrix."""
    normal = _product(jnp.swapaxes(m, -1, -2), local)
    length = jnp.sqrt(_dot(normal, normal) + 1e-12)
    return jnp.stack([part / length for part in normal], -1)
