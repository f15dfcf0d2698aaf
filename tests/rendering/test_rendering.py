"""Rendered people: the same key gives the same person, and the labels fit the picture."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from blazepose_jax.cli.main import main
from blazepose_jax.data.backgrounds import read_backgrounds
from blazepose_jax.data.mixed import Mixed
from blazepose_jax.data.rendered import Rendered, RenderedScenes
from blazepose_jax.data.resident import read_records
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.rendering import figure, raster, shapes
from blazepose_jax.rendering.background import background
from blazepose_jax.skeleton import BLAZEPOSE

COUNT, SIZE = 8, 160


@pytest.fixture(scope="module")
def people():
    return jax.device_get(Rendered(100, SIZE).take(np.arange(COUNT)))


def test_the_same_number_is_the_same_person(people):
    again = jax.device_get(Rendered(100, SIZE).batch(0, COUNT, seed=5))
    jax.tree.map(np.testing.assert_array_equal, again, people)
    # Whatever stands beside it in a batch, and however a batch is shared out.
    shifted = jax.device_get(Rendered(100, SIZE).batch(0, COUNT, 0, rows=range(4, 12)))
    jax.tree.map(
        np.testing.assert_array_equal,
        jax.tree.map(lambda a: a[:4], shifted),
        jax.tree.map(lambda a: a[4:], people),
    )
    other = jax.device_get(Rendered(100, SIZE, seed=1).take(np.arange(COUNT)))
    assert (other.pixels != people.pixels).mean() > 0.5


def test_labels_fit_the_picture(people):
    assert people.pixels.shape == (COUNT, SIZE, SIZE, 3)
    assert people.pixels.std() > 30
    for i in range(COUNT):
        hips = people.keypoints[i, list(BLAZEPOSE.indices(BLAZEPOSE.center))].mean(0)
        np.testing.assert_allclose(hips, SIZE / 2, atol=2)  # exact but for perspective
        radius = np.linalg.norm(people.keypoints[i] - SIZE / 2, axis=-1).max()
        np.testing.assert_allclose(people.roi.side[i], 2.5 * radius, rtol=1e-4)
        x, y = people.keypoints[i].astype(int).T
        seen = people.visibility_flags[i] == 2
        assert seen.any()
        # What is visible lies on the person; a hand's or foot's point may lie beside its last
        # pixel.
        near = np.stack(
            [
                people.mask[i][np.clip(y + dy, 0, SIZE - 1), np.clip(x + dx, 0, SIZE - 1)]
                for dx in (-2, 0, 2)
                for dy in (-2, 0, 2)
            ]
        ).max(0)
        assert (near[seen] == 255).mean() > 0.9
        assert 0.01 < (people.mask[i] > 0).mean() < 0.4


def test_metres_are_a_persons(people):
    def length(a, b):
        i, j = BLAZEPOSE.indices((a, b))
        return np.linalg.norm(people.world[:, i] - people.world[:, j], axis=-1)

    assert ((length("left_hip", "left_knee") > 0.3) & (length("left_hip", "left_knee") < 0.6)).all()
    left, right = (length(f"{side}_shoulder", f"{side}_elbow") for side in ("left", "right"))
    np.testing.assert_allclose(left, right, rtol=1e-4)
    assert (length("left_eye", "right_eye") < 0.1).all()
    np.testing.assert_allclose(
        people.world[:, list(BLAZEPOSE.indices(BLAZEPOSE.center))].mean(1), 0, atol=1e-5
    )
    # z in px has the sign and proportion of metres.
    scale = people.depth / np.where(
        np.abs(people.world[..., 2]) < 1e-3, np.nan, people.world[..., 2]
    )
    np.testing.assert_allclose(np.nanstd(scale, axis=1) / np.nanmean(scale, axis=1), 0, atol=1e-2)


def test_joints_keep_their_limits():
    angles = jax.vmap(figure.draw_angles)(jax.random.split(jax.random.key(0), 300))
    for name, (low, _, high) in figure.LIMITS.items():
        values = np.degrees(angles[name])
        assert values.min() >= low - 1e-3, name
        assert values.max() <= high + 1e-3, name
    assert np.degrees(angles["knee"]).std() > 10


def test_the_nearest_shape_wins_and_its_normal_faces_the_camera():
    def ball(x, z, radius, material):
        point = jnp.array([x, 16.0, z])
        return shapes.cone(point, point + jnp.array([0.0, 1e-3, 0.0]), radius, radius, material)

    balls = shapes.stack([ball(16.0, 0.0, 8.0, 1), ball(20.0, -10.0, 4.0, 2)])
    surface = raster.draw(raster.empty(32), balls, 0, 32)
    view = raster.look(surface, balls)
    assert view.material[16, 10] == 1
    assert view.material[16, 20] == 2  # ten px nearer
    assert view.material[2, 2] == raster.NOTHING
    np.testing.assert_allclose(surface.depth[16, 16], -8, atol=0.05)
    np.testing.assert_allclose(view.normal[16, 20], [0, 0, -1], atol=0.05)
    hit = np.asarray(view.material) != raster.NOTHING
    assert (np.asarray(view.normal)[hit][:, 2] < 0).all()


def test_scenes_label_whom_they_show():
    scenes = jax.device_get(RenderedScenes(100, SIZE).take(np.arange(12)))
    counts = (scenes.status == 1).sum(1)
    assert counts.max() > 1
    assert set(np.unique(scenes.status)) <= {0, 1, 2}
    points = scenes.points[scenes.status == 1]
    up, down = points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]
    cosine = (up * down).sum(-1) / np.linalg.norm(up, axis=-1) / np.linalg.norm(down, axis=-1)
    # circle and mid-shoulder lie the same way from the mid-hip
    np.testing.assert_allclose(cosine, 1, atol=1e-3)


def test_mixed_batches_know_what_is_true_of_whom(people):
    real = Rendered(50, SIZE)

    class Photographs:
        skeleton, name = BLAZEPOSE, "photographs"

        def batch(self, step, size, seed, rows):
            batch = jax.device_get(real.batch(step, size, seed, rows))
            return batch.replace(depth=None, world=None, mask=None, has_3d_labels=None)

    mixed = Mixed(Photographs(), Rendered(50, SIZE, seed=3), 0.25)
    batch = mixed.batch(0, 8, 0)
    np.testing.assert_array_equal(batch.has_3d_labels, [False] * 6 + [True] * 2)
    assert (batch.depth[:6] == 0).all()
    assert (batch.mask[6:] == 255).any()
    np.testing.assert_array_equal(batch.pixels[:6], people.pixels[:6])


@pytest.fixture(scope="module")
def nobody(tmp_path_factory):
    """A red, a green and a blue picture, wide, high and square."""
    folder = tmp_path_factory.mktemp("nobody")
    for name, size, colour in zip("rgb", ((90, 40), (40, 90), (50, 50)), np.eye(3), strict=True):
        pixels = np.tile((200 * colour).astype(np.uint8), (*size, 1))
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


def test_backgrounds_are_parts_of_the_pictures(nobody):
    pictures = read_backgrounds(nobody)
    assert pictures.shape == (3, 256, 256, 3)
    keys = jax.random.split(jax.random.key(0), 20)
    found = np.asarray(jax.jit(jax.vmap(lambda k: background(k, 32, pictures)))(keys))
    shown = found.mean((1, 2))  # (20, 3)
    assert set(shown.argmax(-1)) == {0, 1, 2}
    # In other light, each of one colour.
    assert (np.sort(shown, -1)[:, :2] == 0).all()
    assert np.ptp(shown.max(-1)) > 40
    with pytest.raises(BlazePoseError, match="is no folder: name one with pictures of nobody"):
        read_backgrounds(nobody / "r.png")


@pytest.mark.long
def test_people_before_pictures_are_the_same_people(nobody, people, tmp_path):
    words = ["data", "prepare", "rendered_people", "--count", "4", "--size", SIZE]
    words += ["--backgrounds", nobody, "--output", tmp_path / "records"]
    assert main([str(word) for word in words]) == 0
    found = read_records(tmp_path / "records")
    np.testing.assert_allclose(found.labels["keypoints"], people.keypoints[:4], atol=1e-3)
    corners = found.pixels[:, :8, :8].reshape(4, -1, 3).mean(1)
    assert (np.sort(corners, -1)[:, 1] < 40).all()
    assert (corners.max(-1) > 80).all()
