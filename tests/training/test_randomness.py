"""What is random: every key once, every value that is promised, nothing that leans on something
else.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from blazepose_jax import training
from blazepose_jax.codecs import anchors
from blazepose_jax.data.rendered import series_key
from blazepose_jax.rendering import figure, scene, shapes
from blazepose_jax.rendering import person as person_module
from blazepose_jax.rendering.background import background
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.structs import ROI
from blazepose_jax.training import AugmentConfig, DetectorConfig, augment
from blazepose_jax.training.augment import disturbed_roi

DRAWS = 20_000
MOST = 0.03  # of a correlation; by chance alone one of 20,000 pairs lies above it


@pytest.fixture(autouse=True)
def _every_key_once():
    with jax.debug_key_reuse(True):
        yield


def traits_of(tree):
    """{name: (n,)} of a pytree of (n, ...) arrays; what does not vary is left out."""
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        rows = np.asarray(leaf, np.float64).reshape(len(leaf), -1)
        found |= {
            f"{jax.tree_util.keystr(path)}[{i}]": column
            for i, column in enumerate(rows.T)
            if column.std() > 0
        }
    return found


def strongest(traits, meant=()):
    """The largest correlation of two traits, and which.

    Pairs of names that contain both words of ``meant`` aside.
    """
    names = list(traits)
    table = np.abs(np.corrcoef(np.stack([traits[name] for name in names])))
    np.fill_diagonal(table, 0)
    for a, b in meant:
        for i, one in enumerate(names):
            for j, other in enumerate(names):
                if a in one and b in other:
                    table[i, j] = table[j, i] = 0
    i, j = np.unravel_index(table.argmax(), table.shape)
    return table[i, j], names[i], names[j]


def drawn(function, count=DRAWS, seed=0):
    return jax.device_get(
        jax.jit(jax.vmap(function))(jax.random.split(jax.random.key(seed), count))
    )


def test_negatives_come_from_every_side_and_are_as_many_as_asked():
    config = AugmentConfig(scale=0.0, shift=0.0, angle=0.0, half_body=0.0, negatives=0.08)
    one = ROI(jnp.zeros(2), jnp.float32(1), jnp.float32(0))
    seen, is_person = drawn(lambda key: disturbed_roi(key, one, config))
    assert (~is_person).mean() == pytest.approx(0.08, abs=0.008)
    away = seen.center[~is_person]
    np.testing.assert_allclose(np.hypot(*away.T), 0.75, rtol=1e-5)
    counts, _ = np.histogram(np.arctan2(away[:, 1], away[:, 0]), 12, (-np.pi, np.pi))
    assert counts.min() > 0.6 * counts.mean()  # by chance: 0.8


def test_disturbances_have_their_ranges_and_do_not_lean_on_each_other():
    config = AugmentConfig(wide=0.0, half_body=0.0, negatives=0.0)
    one = ROI(jnp.zeros(2), jnp.float32(1), jnp.float32(0))
    seen, _ = drawn(lambda key: disturbed_roi(key, one, config))
    traits = traits_of(seen)
    assert len(traits) == 4
    for name, limit in ((".center[0]", 0.1), (".center[1]", 0.1), (".angle[0]", 0.26)):
        assert traits[name].min() == pytest.approx(-limit, rel=0.01)
        assert traits[name].max() == pytest.approx(limit, rel=0.01)
    assert (traits[".side[0]"].min(), traits[".side[0]"].max()) == pytest.approx(
        (0.9, 1.1), rel=0.01
    )
    assert strongest(traits)[0] < MOST
    halves, _ = drawn(
        lambda key: disturbed_roi(
            key, one, AugmentConfig(scale=0.0, shift=0.0, angle=0.0, half_body=0.5, negatives=0.0)
        )
    )
    moved = halves.center[:, 1] != 0
    assert moved.mean() == pytest.approx(0.5, abs=0.02)
    assert (halves.center[moved, 1] > 0).mean() == pytest.approx(0.5, abs=0.02)


def test_occluders_do_not_depend_on_how_many_there_are():
    image, points = jnp.full((16, 16, 3), -1.0), jnp.zeros((1, 2))
    covered = drawn(
        lambda key: (augment.occlude(key, image, points, 3, 0.5)[0] >= 0).any(-1).mean(), 4000
    )
    assert (covered > 0).mean() == pytest.approx(0.5, abs=0.03)


def test_poses_are_symmetric_and_their_traits_independent():
    traits = traits_of(drawn(figure.draw_traits))
    assert len(traits) > 30
    value, *names = strongest(traits)
    assert value < MOST, names
    angles = drawn(figure.draw_angles)
    for name in figure.PAIRED:
        left, right = np.degrees(angles[name]).T
        if name not in (
            "hip_flexion",
            "knee",
        ):  # who strides puts the left leg forward, the right one back
            assert left.mean() == pytest.approx(right.mean(), abs=0.6), name
        assert left.std() == pytest.approx(
            right.std(), rel=0.1 if name != "hip_flexion" else 0.5
        ), name


def test_people_lie_on_either_side_and_upside_down():
    turns = drawn(figure._whole_turn)
    up = turns @ np.array([0.0, -1.0, 0.0])
    roll = np.degrees(np.arctan2(up[:, 0], -up[:, 1]))
    counts, _ = np.histogram(roll[np.abs(roll) > 30], 10, (-180, 180))
    counts = np.delete(counts, [4, 5])  # nearly upright
    assert counts.sum() / len(roll) == pytest.approx(0.15 * 8 / 10, abs=0.02)
    assert counts.min() > 0.7 * counts.mean()


def test_clothes_and_colours_are_chosen_one_by_one():
    clothes = drawn(shapes.draw_clothes)
    traits = traits_of(clothes)
    # a skirt takes the place of trousers
    value, *names = strongest(traits, meant=[(".leg", ".skirt")])
    assert value < MOST, names
    long_sleeves, long_legs = clothes.sleeve == 2, clothes.leg == 2
    for sleeves in (long_sleeves, ~long_sleeves):
        assert 0.4 < long_legs[sleeves].mean() < 0.6
    # A material's three colours hang together, lips are skin, brows are hair; materials do not know
    # each other.
    table = drawn(lambda key: person_module.draw_colours(key).mean(-1))  # (n, 10)
    free = [
        shapes.SKIN,
        shapes.SHIRT,
        shapes.TROUSERS,
        shapes.SHOES,
        shapes.HAIR,
        shapes.IRIS,
        shapes.TRIM,
    ]
    value, *names = strongest({str(i): table[:, i] for i in free})
    assert value < MOST, names


def test_a_rendered_persons_parts_do_not_share_draws():
    """Proportions, pose, clothes, distance: what ``render`` draws of one key."""

    def traits(key):
        keys = jax.random.split(key, 4)
        body = figure.draw_figure(keys[0])
        return {
            "height": body.height,
            "girth": body.girth,
            "clothes": shapes.draw_clothes(keys[1]),
            "turn": jnp.arctan2(body.hip_turn[0, 1], body.hip_turn[1, 1]),
        }

    value, *names = strongest(traits_of(drawn(traits)), meant=[(".leg", ".skirt")])
    assert value < MOST, names


def test_backgrounds_companions_and_scenes_use_every_key_once():
    """Small pictures; the fixture raises where a key is drawn from twice."""
    key = series_key(0)
    jax.eval_shape(lambda k: scene.render_record(k, 64), key)
    jax.eval_shape(lambda k: scene.render_scene(k, 64, 2), key)
    jax.eval_shape(lambda k: background(k, 64), key)
    pictures = jnp.zeros((3, 32, 32, 3), jnp.uint8)
    jax.eval_shape(lambda k: scene.render_record(k, 64, pictures), key)
    jax.eval_shape(lambda k: scene.render_scene(k, 64, 2, pictures), key)
    assert (jax.random.key_data(series_key(5)) != jax.random.key_data(jax.random.key(5))).any()


def test_targets_use_every_key_once():
    from helpers import record

    one = record()
    jax.eval_shape(
        lambda key: training.sample_targets(key, one, BLAZEPOSE, 64, AugmentConfig()),
        jax.random.key(0),
    )
    pixels = jnp.zeros((64, 64, 3), jnp.uint8)
    jax.eval_shape(
        lambda key: training.scene_targets(
            key, pixels, jnp.zeros((2, 5, 2)), jnp.ones(2, int), 128, DetectorConfig()
        ),
        jax.random.key(0),
    )


def test_the_fixture_catches_a_key_used_twice():
    key = jax.random.key(0)
    with pytest.raises(jax.errors.KeyReuseError, match="already consumed"):
        jax.jit(lambda k: jax.random.uniform(k) + jax.random.normal(k))(key)


@pytest.mark.parametrize("side", [224, 128])
def test_every_map_that_answers_for_people_has_its_nearest_anchors(side):
    """Wherever the box lies; anchors that never answer are never asked."""
    rng = np.random.default_rng(0)
    points = jnp.asarray(rng.uniform(10, 54, (40, 3, 5, 2)), jnp.float32)
    status = jnp.asarray([[1, 1, 0]] * 40)
    pixels = jnp.zeros((64, 64, 3), jnp.uint8)
    found = jax.vmap(
        lambda p, k: training.scene_targets(jax.random.key(0), pixels, p, k, side, None)
    )(points, status)
    wanted, maps, reach = (
        np.asarray(found.positive) > 0,
        anchors.map_numbers(side),
        anchors.distance_scale(side),
    )
    assert not wanted[:, reach == 0].any()
    centers = anchors.anchor_centers(side)
    for number in range(maps[-1] + 1):
        rows = (maps == number) & (reach > 0)
        if not rows.any():
            continue
        for i in range(40):
            for person in range(2):
                distance = np.linalg.norm(
                    centers[rows] - np.asarray(points[i, person, 4]) / 64, axis=-1
                )
                assert wanted[i, rows][distance.argmin()]
    # Whoever lies near is spared, and everything far is counted.
    assert np.asarray(found.scored).mean() > 0.9
