"""Programs of the pipeline, alone and within others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from blazepose_jax.inference.compiled import CPU_OPTIONS, Compiled, known_options

MATRIX = np.random.default_rng(0).normal(size=(64, 48)).astype(np.float32)


@pytest.fixture
def product():
    """A product by a matrix that it is given."""
    return Compiled(lambda x, *, scale: scale * (x @ MATRIX), static_argnames="scale")


def test_options_stay_with_whole_programs(product):
    """Within another program, a gradient or ``vmap`` XLA would refuse them."""
    rows = np.random.default_rng(1).normal(size=(8, 64)).astype(np.float32)
    alone = product(rows, scale=2.0)
    assert product.programs() == 1
    np.testing.assert_allclose(alone, 2 * rows @ MATRIX, rtol=1e-5, atol=1e-4)
    within = jax.jit(lambda x: product(x, scale=2.0) + 0)(rows)
    mapped = jax.vmap(lambda x: product(x, scale=2.0))(rows)
    for other in (within, mapped):
        np.testing.assert_allclose(other, alone, rtol=1e-5, atol=1e-4)
    gradient = jax.grad(lambda x: product(x, scale=2.0).sum())(jnp.asarray(rows))
    np.testing.assert_allclose(gradient, np.tile(2 * MATRIX.sum(1), (8, 1)), rtol=1e-4, atol=1e-4)
    product(rows + 1, scale=2.0)
    before = product.programs()
    product(rows, scale=3.0)
    assert product.programs() == before + 1


def test_an_option_that_this_xla_lacks_is_left_out():
    """Inference must not end with an experiment of XLA's."""
    options = tuple(CPU_OPTIONS.items())
    assert known_options(options) == CPU_OPTIONS
    assert known_options((("xla_cpu_no_such_option", "1"),)) == {}
