import math

import jax.numpy as jnp
import numpy as np
import pytest

from blazepose_jax.inference import SmoothingConfig, smoothing
from blazepose_jax.structs import LowPass, OneEuro


class ReferenceOneEuro:
    """mediapipe/util/filtering/one_euro_filter.cc for one number."""

    def __init__(self, min_cutoff, beta):
        self.min_cutoff, self.beta = min_cutoff, beta
        self.raw = self.value = self.speed = None

    def __call__(self, value, scale, period):
        def alpha(cutoff):
            return 1 / (1 + 1 / (2 * math.pi * cutoff) / period)

        if self.raw is None:
            self.raw = self.value = value
            self.speed = 0.0
            return value
        speed = (value - self.raw) * scale / period
        a = alpha(1.0)
        self.speed = a * speed + (1 - a) * self.speed
        a = alpha(self.min_cutoff + self.beta * abs(self.speed))
        self.raw, self.value = value, a * value + (1 - a) * self.value
        return self.value


def test_the_constants_are_mediapipes():
    """docs/mediapipe.md, 3.9."""
    assert SmoothingConfig() == SmoothingConfig(
        keypoints_min_cutoff=0.05,
        keypoints_beta=80.0,
        world_min_cutoff=0.1,
        world_beta=40.0,
        visibility_alpha=0.1,
        derivative_cutoff=1.0,
    )


def test_one_euro_is_mediapipes():
    rng = np.random.default_rng(0)
    values = np.cumsum(rng.normal(size=(40, 3)), 0)
    periods = rng.uniform(0.01, 0.1, 40)
    references = [ReferenceOneEuro(0.05, 80.0) for _ in range(3)]
    state = OneEuro(*[jnp.zeros((1, 3))] * 3)
    for i, (row, period) in enumerate(zip(values, periods, strict=True)):
        state, found = smoothing.one_euro(
            state,
            jnp.asarray(row, jnp.float32)[None],
            jnp.array([i > 0]),
            period,
            jnp.array([1 / 200.0]),
            min_cutoff=0.05,
            beta=80.0,
        )
        np.testing.assert_allclose(
            found[0],
            [f(v, 1 / 200, period) for f, v in zip(references, row, strict=True)],
            rtol=1e-4,
            atol=1e-5,
        )


def test_the_cutoff_of_the_speed_counts():
    state = OneEuro(*[jnp.zeros((1, 1))] * 3)
    found = [
        smoothing.one_euro(
            state,
            jnp.ones((1, 1)),
            jnp.array([True]),
            1 / 30,
            jnp.ones(1),
            min_cutoff=0.05,
            beta=0.1,
            derivative_cutoff=cutoff,
        )[1].item()
        for cutoff in (0.1, 1.0, 10.0)
    ]
    assert found[0] < found[1] < found[2]


@pytest.mark.parametrize("elapsed", [0.0, -5.0, math.nan, math.inf, 1e9, 1e-9])
def test_strange_clocks_do_not_break_the_filter(elapsed):
    state = OneEuro(*[jnp.zeros((1, 2))] * 3)
    state, _ = smoothing.one_euro(
        state,
        jnp.ones((1, 2)),
        jnp.array([False]),
        elapsed,
        jnp.ones(1),
        min_cutoff=0.05,
        beta=80.0,
    )
    for value in (1.0, 2.0, 2.0):
        state, found = smoothing.one_euro(
            state,
            jnp.full((1, 2), value),
            jnp.array([True]),
            jnp.float32(elapsed),
            jnp.ones(1),
            min_cutoff=0.05,
            beta=80.0,
        )
        assert ((found >= 1) & (found <= 2)).all()


def test_low_pass_passes_the_first_value_and_averages_the_next():
    state, first = smoothing.low_pass(
        LowPass(jnp.zeros((2, 1))), jnp.ones((2, 1)), jnp.array([False, True]), 0.1
    )
    np.testing.assert_allclose(first, [[1.0], [0.1]])
    _, second = smoothing.low_pass(state, jnp.zeros((2, 1)), jnp.array([True, True]), 0.1)
    np.testing.assert_allclose(second, [[0.9], [0.09]], rtol=1e-6)
