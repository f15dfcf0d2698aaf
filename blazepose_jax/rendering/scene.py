"""Records of rendered people: before backgrounds, among others and behind things; and nobody."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from blazepose_jax.batches import IGNORED, PERSON, PoseBatch, SceneBatch
from blazepose_jax.codecs import alignment
from blazepose_jax.geometry import rois, warp
from blazepose_jax.rendering.background import background
from blazepose_jax.rendering.person import Person, render
from blazepose_jax.structs import ROI, Frame


def _photographed(images: jax.Array) -> jax.Array:
    """(B, S, S, 3) float32 to uint8, softened as by a lens.

    It is apart from the loop that draws, or XLA's CPU backend would compute every pixel once per
    tap.
    """
    for axis in (1, 2):
        side = images.shape[axis]
        before, middle, after = (
            lax.slice_in_dim(images, start, side - 2 + start, axis=axis) for start in range(3)
        )
        soft = (before + 2 * middle + after) / 4
        images = lax.dynamic_update_slice_in_dim(images, soft, 1, axis)
    return jnp.clip(images + 0.5, 0, 255).astype(jnp.uint8)


def _over(image: jax.Array, colours: jax.Array, mask: jax.Array) -> jax.Array:
    """The image with colours where (S, S) mask is true."""
    return jnp.where(mask[..., None], colours, image)


def _beside(key: jax.Array, side: int) -> ROI:
    """A view that shows a person beside the middle, larger or smaller."""
    keys = jax.random.split(key, 4)
    away = jax.random.uniform(keys[0], minval=0.16, maxval=0.42) * jnp.where(
        jax.random.bernoulli(keys[1]), 1.0, -1.0
    )
    up = 0.08 * jax.random.normal(keys[2])
    return ROI(
        side * (0.5 - jnp.stack([away, up])),
        side / jax.random.uniform(keys[3], minval=0.7, maxval=1.3),
        jnp.float32(0),
    )


def _placed(other: Person, view: ROI) -> tuple[jax.Array, jax.Array]:
    """Colours and mask of a person, as a view of their picture shows them."""
    side = other.mask.shape[0]
    layers = jnp.concatenate([other.colours, 255.0 * other.mask[..., None]], -1).astype(jnp.uint8)
    frame = Frame(layers.reshape(-1, 4), jnp.array([side, side]))
    seen = warp.crop(frame, rois.to_affine(view, side), side, border="zero")
    return seen[..., :3], seen[..., 3] > 127


def _render_both(
    keys: jax.Array, accompanied: jax.Array, side: int, pictures: jax.Array | None
) -> tuple[Person, Person]:
    """A person and a companion, nothing where there is none.

    In a loop, or XLA would compile the drawing of a person twice: 20 of a record's 40 seconds.
    """
    drawn = partial(render, side=side, context=rois.CONTEXT, pictures=pictures)
    shapes = jax.eval_shape(drawn, jax.random.key(0))
    nobody = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)

    def one(item: tuple[jax.Array, jax.Array]) -> Person:
        key, wanted = item
        return lax.cond(wanted, drawn, lambda _: nobody, key)

    both = lax.map(one, (keys, jnp.stack([jnp.bool_(True), accompanied])))
    person, companion = (jax.tree.map(lambda a, n=n: a[n], both) for n in range(2))
    return person, companion


def _compose(
    keys: list[jax.Array],
    person: Person,
    companion: Person,
    accompanied: jax.Array,
    pictures: jax.Array | None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(S, S, 3) image, (S, S) where the person is seen, (33,) which points are seen."""
    side = person.mask.shape[0]
    image = lax.optimization_barrier(background(keys[0], side, pictures))
    seen = person.mask
    colours, mask = lax.cond(
        accompanied,
        lambda: _placed(companion, _beside(keys[3], side)),
        lambda: (companion.colours, companion.mask),
    )
    behind = jax.random.bernoulli(keys[4], 0.65)
    image = _over(image, colours, mask & behind)
    image = _over(image, person.colours, person.mask)
    before = mask & ~behind
    image = _over(image, colours, before)
    # Things in front: turned boxes.
    y, x = jnp.mgrid[:side, :side] / side
    draws = jax.random.uniform(keys[5], (2, 5))
    present = jax.random.bernoulli(keys[6], 0.2, (2,))
    tones = jax.random.uniform(keys[7], (2, 3), maxval=255.0)
    for i in range(2):
        c, s = jnp.cos(3.2 * draws[i, 0]), jnp.sin(3.2 * draws[i, 0])
        dx, dy = x - 0.25 - 0.5 * draws[i, 1], y - 0.25 - 0.5 * draws[i, 2]
        inside = (jnp.abs(c * dx + s * dy) < 0.03 + 0.12 * draws[i, 3]) & (
            jnp.abs(c * dy - s * dx) < 0.03 + 0.2 * draws[i, 4]
        )
        tone = tones[i] * (0.8 + 0.4 * (c * dy - s * dx)[..., None] / 0.2)
        image, before = _over(image, tone, inside & present[i]), before | (inside & present[i])
    at = jnp.clip(person.points.astype(jnp.int32), 0, side - 1)
    return jnp.clip(image, 0, 255), seen & ~before, person.visible & ~before[at[:, 1], at[:, 0]]


def render_record(
    key: jax.Array, side: int, pictures: jax.Array | None = None
) -> dict[str, jax.Array]:
    """One record of a rendered person: fields of PoseBatch without batch axis.

    Pixels are float32; ``side`` and ``angle`` stand for the ROI.

    Args:
      key: random key.
      side: R, px.
      pictures: as for ``render_records``.
    """
    of_person, of_scene = jax.random.split(key)
    keys = list(jax.random.split(of_scene, 8))
    accompanied = jax.random.bernoulli(keys[1], 0.4)
    # Not stacked: JAX takes stacking for a use of the keys.
    pair = jnp.concatenate([of_person[None], keys[2][None]])
    person, companion = _render_both(pair, accompanied, side, pictures)
    image, seen, visible = _compose(keys, person, companion, accompanied, pictures)
    return {
        "pixels": image,
        "keypoints": person.points,
        "depth": person.depth,
        "visibility_flags": 1 + visible.astype(jnp.int32),
        "side": person.side,
        "angle": person.angle,
        "world": person.world,
        "mask": 255 * seen.astype(jnp.uint8),
    }


@partial(jax.jit, static_argnames=("side", "at_once"))
def render_records(
    key: jax.Array,
    ids: jax.Array,
    *,
    side: int,
    at_once: int | None = None,
    pictures: jax.Array | None = None,
) -> PoseBatch:
    """Records of rendered people, as prepared photographs give them.

    Args:
      key: random key of the whole series.
      ids: (B,) int32; a record is a function of the key and its id.
      side: R, px.
      at_once: how many are rendered together, on accelerators; None for one after another, which
        saves the companions of those who have none.
      pictures: (N, P, P, 3) uint8 of nobody, before which people stand and of which clothes are
        made; None for walls and plain colours.

    Returns:
      PoseBatch of B records with depth, world and mask.
    """
    drawn = lax.map(
        lambda i: render_record(jax.random.fold_in(key, i), side, pictures), ids, batch_size=at_once
    )
    sides, angles, images = drawn.pop("side"), drawn.pop("angle"), drawn.pop("pixels")
    all_true = jnp.ones(ids.shape[0], bool)
    return PoseBatch(
        pixels=_photographed(images),
        **drawn,
        roi=ROI(jnp.full((ids.shape[0], 2), side / 2), sides, angles),
        has_occlusion_labels=all_true,
        weight=all_true.astype(jnp.float32),
        ids=ids,
        has_3d_labels=all_true,
    )


def render_scene(
    key: jax.Array, side: int, most: int, pictures: jax.Array | None = None
) -> dict[str, jax.Array]:
    """One scene of up to ``most`` people: fields of SceneBatch without batch axis.

    Pixels are float32.

    Args:
      key: random key.
      side: R, px.
      most: N.
      pictures: as for ``render_records``.
    """
    of_background, of_count, of_people = jax.random.split(key, 3)
    image = lax.optimization_barrier(background(of_background, side, pictures))
    count = jax.random.choice(of_count, most + 1, p=jnp.array([0.08, *([0.92 / most] * most)]))

    def add(
        image: jax.Array, numbered: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        i, of_person = numbered
        keys = jax.random.split(of_person, 3)
        person = render(keys[0], side, rois.CONTEXT, pictures)
        # The ROI takes a fifth of the picture to all of it; later people stand before earlier ones.
        zoom = jnp.exp(jax.random.uniform(keys[1], minval=jnp.log(0.8), maxval=jnp.log(4.0)))
        spot = jax.random.uniform(keys[2], (2,), minval=0.1, maxval=0.9)
        size = jnp.float32(side) * zoom
        view = ROI(side / 2 - (spot - 0.5) * size, size, jnp.float32(0))
        colours, mask = _placed(person, view)
        points = alignment.from_points(
            person.points, jnp.ones(33, bool), person.side / (2 * rois.MARGIN)
        )
        points = rois.image_to_crop(points, view) * side
        return _over(image, colours, mask & (i < count)), (points, (i < count).astype(jnp.int32))

    image, (points, status) = lax.scan(
        add, image, (jnp.arange(most), jax.random.split(of_people, most))
    )
    # Who is mostly hidden by those who came later is ignored.
    hidden = jnp.linalg.norm(points[:, None, 4] - points[None, :, 4], axis=-1) < 0.06 * side
    later = jnp.arange(most)[None] > jnp.arange(most)[:, None]
    shown = status == PERSON
    status = jnp.where((hidden & later & shown[None]).any(1) & shown, IGNORED, status)
    return {"pixels": image, "points": points, "status": status}


@partial(jax.jit, static_argnames=("side", "most", "at_once"))
def render_scenes(
    key: jax.Array,
    ids: jax.Array,
    *,
    side: int,
    most: int,
    at_once: int | None = None,
    pictures: jax.Array | None = None,
) -> SceneBatch:
    """Scenes of rendered people for a detector.

    Args: as for ``render_records``, and ``most`` people in a scene.

    Returns:
      SceneBatch of B scenes.
    """
    drawn = lax.map(
        lambda i: render_scene(jax.random.fold_in(key, i), side, most, pictures),
        ids,
        batch_size=at_once,
    )
    return SceneBatch(
        pixels=_photographed(drawn.pop("pixels")), **drawn, weight=jnp.ones(ids.shape[0]), ids=ids
    )


@partial(jax.jit, static_argnames="side")
def render_backgrounds(key: jax.Array, ids: jax.Array, *, side: int) -> jax.Array:
    """Pictures of nobody: what stands behind the people of records and scenes.

    Args:
      key: random key of the whole series.
      ids: (B,) int32; a picture is a function of the key and its id.
      side: S, px.

    Returns:
      (B, S, S, 3) uint8.
    """
    return _photographed(lax.map(lambda i: background(jax.random.fold_in(key, i), side), ids))
