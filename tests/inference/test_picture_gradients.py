"""Gradients of points by the picture and by the square that they were read from."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import blazepose_jax as bp
from blazepose_jax import inference
from blazepose_jax.models import FIELDS
from blazepose_jax.skeleton import LSP
from blazepose_jax.structs import ROI, Frame, Network, PoseOutputs

SIDE = 32
EXACT = bp.Settings(rounding=False, decode="regression")


def smooth_net():
    """14 points that are smooth functions of all pixels of the crop."""
    rng = np.random.default_rng(1)
    kernel = jnp.asarray(rng.normal(size=(SIDE * SIDE * 3, 14 * 5)) / SIDE, jnp.float32)

    def apply(kernel, images):
        rows = SIDE * jnp.tanh(images.reshape(images.shape[0], -1) @ kernel)
        return PoseOutputs(rows.reshape(-1, 14, 5), jnp.ones((images.shape[0], 1)))

    return Network(kernel, apply, SIDE, 0.0, 255.0, LSP, FIELDS)


def smooth_frame():
    """60x50 px of long waves, float32, so that a bilinear crop has hardly any kinks."""
    y, x = np.mgrid[:50, :60]
    waves = [np.sin(x / 9 + c) + np.cos(y / 7 - c) for c in range(3)]
    pixels = (127 + 60 * np.stack(waves, -1)).astype(np.float32)
    return Frame(jnp.asarray(pixels.reshape(-1, 3)), np.array([60, 50], np.int32))


def squares():
    """Two squares, one of which reaches out of the picture."""
    return ROI(
        jnp.array([[31.3, 24.6], [12.2, 33.9]]), jnp.array([28.4, 40.7]), jnp.array([0.3, -0.8])
    )


def loss(settings, roi, frame):
    """A number that every point of every person counts in."""
    points = bp.estimate(NET, frame, roi, settings=settings).keypoints
    return (points * WEIGHTS).sum()


NET, WEIGHTS = smooth_net(), np.random.default_rng(2).normal(size=(2, 14, 3))


def slope(function, at, direction, step):
    """The derivative of a function of a tree along a direction, by central differences."""
    high, low = (
        jax.tree.map(lambda a, d, s=sign: a + s * step * d, at, direction) for sign in (1, -1)
    )
    return (float(function(high)) - float(function(low))) / (2 * step)


@pytest.mark.parametrize("leaf", ["center", "side", "angle"])
def test_points_have_gradients_by_the_square(leaf):
    frame, roi = smooth_frame(), squares()
    found = jax.grad(lambda r: loss(EXACT, r, frame))(roi)
    # Short steps: a bilinear picture has kinks, which few crop pixels then cross.
    step = 0.0005 if leaf == "angle" else 0.01
    for slot in (0, 1):
        direction = jax.tree.map(jnp.zeros_like, roi)
        row = getattr(direction, leaf).at[slot].set(1.0)
        direction = direction.replace(**{leaf: row})
        expected = slope(lambda r: loss(EXACT, r, frame), roi, direction, step)
        assert float((getattr(found, leaf) * row).sum()) == pytest.approx(expected, rel=0.03)


def test_points_have_gradients_by_the_pixels():
    frame, roi = smooth_frame(), squares()
    found = jax.grad(lambda p: loss(EXACT, roi, frame.replace(pixels=p)))(frame.pixels)
    for seed in range(3):
        direction = jax.random.normal(jax.random.key(seed), found.shape)
        expected = slope(
            lambda p: loss(EXACT, roi, frame.replace(pixels=p)), frame.pixels, direction, 0.5
        )
        assert float((found * direction).sum()) == pytest.approx(expected, rel=0.03)
    # What no crop reaches has no part in it.
    corner = found.reshape(50, 60, 3)[:3, -3:]
    assert not corner.any()
    assert np.isfinite(np.asarray(found)).all()


def test_rounding_is_the_default_and_takes_the_gradient_by_the_pixels():
    frame, roi = smooth_frame(), squares()
    rounded = dataclasses.replace(EXACT, rounding=True)
    assert bp.Settings().rounding
    found = jax.grad(lambda p: loss(rounded, roi, frame.replace(pixels=p)))(frame.pixels)
    assert not found.any()
    near = loss(rounded, roi, frame), loss(EXACT, roi, frame)
    assert near[0] != near[1]
    assert float(near[0]) == pytest.approx(float(near[1]), rel=0.05)


def test_the_letterbox_goes_by_the_setting_too():
    frame = smooth_frame()
    detector = Network(None, lambda _, images: images, 64, 0.0, 1.0)
    rounded = inference.detector_input(detector, frame)
    exact = inference.detector_input(detector, frame, rounding=False)
    np.testing.assert_array_equal(rounded, np.round(rounded))
    assert 0 < np.abs(rounded - exact).max() < 1.5
