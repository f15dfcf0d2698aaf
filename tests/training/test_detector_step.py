"""A detector's training step against the plain form of the same function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import random_variables

from blazepose_jax.batches import SceneBatch
from blazepose_jax.models import LayerConfig, create_model
from blazepose_jax.training.detector_loss import detector_objective
from blazepose_jax.training.detector_targets import DetectorConfig
from blazepose_jax.training.trainer import QUICK


def scenes(count=2):
    rng = np.random.default_rng(0)
    points = rng.uniform(30, 98, (count, 3, 5, 2))
    return SceneBatch(
        pixels=jnp.asarray(rng.integers(0, 256, (count, 128, 128, 3)), jnp.uint8),
        points=jnp.asarray(points, jnp.float32),
        status=jnp.array([[1, 1, 0], [1, 2, 0]], jnp.int32),
        weight=jnp.array([1.0, 0.5]),
        ids=jnp.arange(count),
    )


def away_from_the_start(variables):
    """Variables whose normalisation is no identity."""
    rng = np.random.default_rng(1)

    def disturb(path, leaf):
        if path[-1].key in ("scale", "var"):
            return leaf * rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        return leaf + 0.1 * rng.normal(size=leaf.shape).astype(np.float32) * (
            path[-1].key in ("bias", "mean")
        )

    return jax.tree_util.tree_map_with_path(disturb, variables)


def loss_and_gradients(variables, lowering, plain):
    """Of frozen normalisation; ``plain`` is Flax's own, by the running statistics."""
    model = create_model("smoke_detector", LayerConfig(convolution=lowering, frozen=not plain))

    def apply(variables, pixels):
        images = pixels / 127.5 - 1
        outputs = model.apply(variables, images, train=not plain, mutable=["batch_stats"])
        return outputs[0], variables["batch_stats"]

    def loss(params):
        return detector_objective(
            apply,
            {**variables, "params": params},
            scenes(),
            jax.random.key(3),
            side=128,
            config=DetectorConfig(),
        )[0]

    return jax.jit(jax.value_and_grad(loss), compiler_options=QUICK)(variables["params"])


@pytest.mark.long
def test_frozen_steps_are_those_of_plain_convolutions_and_normalisation():
    model = create_model("smoke_detector", LayerConfig(convolution="xla"))
    images = jax.ShapeDtypeStruct((1, 128, 128, 3), jnp.float32)
    variables = away_from_the_start(random_variables(model, images))
    loss, gradients = loss_and_gradients(variables, "cpu", plain=False)
    expected, plain = loss_and_gradients(variables, "xla", plain=True)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(plain))

    def compare(ours, theirs):
        scale = np.abs(theirs).max() + 1e-3 * largest
        assert np.abs(ours - theirs).max() <= 1e-5 * scale

    jax.tree.map(compare, gradients, plain)
