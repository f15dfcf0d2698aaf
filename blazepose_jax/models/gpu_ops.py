"""Depthwise convolutions whose gradients are no grouped convolutions.

XLA's GPU backend computes the gradients of a grouped convolution at the cost of a dense one
(https://github.com/jax-ml/jax/issues/13800), which for depthwise ones is as many times more as
there are channels.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from blazepose_jax.models import cpu_ops
from blazepose_jax.models.cpu_ops import Padding


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def depthwise(x: jax.Array, kernel: jax.Array, stride: int, padding: Padding) -> jax.Array:
    """Depthwise convolution: a grouped one, with gradients of shifted products.

    Args:
      x: (B, H, W, C).
      kernel: (k, k, 1, C).
      stride: step in both directions.
      padding: as for ``lax.conv_general_dilated``.

    Returns:
      (B, H', W', C).
    """
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


def _forward(
    x: jax.Array, kernel: jax.Array, stride: int, padding: Padding
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return depthwise(x, kernel, stride, padding), (x, kernel)


def _backward(
    stride: int, padding: Padding, kept: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Gradients by x and by the kernel; the latter is one sum over the whole batch a tap."""
    x, kernel = kept
    gradient, side = gradient.astype(jnp.float32), kernel.shape[0]
    by_x = cpu_ops.gradient_by_input(gradient, kernel, x.shape, stride, padding)
    windows = cpu_ops.windows(cpu_ops.padded_as(x, side, stride, padding), side, stride)
    by_kernel = jnp.stack([(window * gradient).sum((0, 1, 2)) for window in windows])
    return by_x.astype(x.dtype), by_kernel.reshape(kernel.shape).astype(kernel.dtype)


depthwise.defvjp(_forward, _backward)
