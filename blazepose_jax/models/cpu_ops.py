"""Convolutions and pooling in the forms that XLA's CPU backend runs fastest.

Each computes what the plain operation computes; ``layers`` chooses by ``LayerConfig.fast_on_cpu``.
"""

import jax
import jax.numpy as jnp
from jax import lax

Padding = str | tuple[tuple[int, int], tuple[int, int]]


def depthwise_by_shifts(
    x: jax.Array, kernel: jax.Array, stride: int, padding: Padding
) -> jax.Array:
    """Depthwise convolution as a sum of shifted products.

    Args:
      x: (B, H, W, C).
      kernel: (k, k, 1, C).
      stride: step in both directions.
      padding: as for ``lax.conv_general_dilated``.

    Returns:
      (B, H', W', C).
    """
    return _depthwise(x, kernel, stride, padding)


def _sum_of_shifts(x: jax.Array, kernel: jax.Array, stride: int, padding: Padding) -> jax.Array:
    # bfloat16 adds up in float32, as convolutions do.
    side, wide = kernel.shape[0], kernel.astype(jnp.float32)
    total = jnp.zeros((), jnp.float32)
    for tap, window in enumerate(_windows(_padded(x, side, stride, padding), side, stride)):
        total = total + window * wide[tap // side, tap % side, 0]
    return total.astype(x.dtype)  # (B, H', W', C)


def _padded(x: jax.Array, side: int, stride: int, padding: Padding) -> jax.Array:
    """Pad (B, H, W, C) as a convolution with this kernel would."""
    pads = (
        lax.padtype_to_pads(x.shape[1:3], (side, side), (stride, stride), padding)
        if isinstance(padding, str)
        else padding
    )
    return jnp.pad(x, ((0, 0), *pads, (0, 0)))


def _windows(x: jax.Array, side: int, stride: int) -> list[jax.Array]:
    """Slice padded (..., H, W, C) into side² views (..., H', W', C), one per tap of the kernel."""
    *batch, height, width, channels = x.shape
    height, width = (height - side) // stride + 1, (width - side) // stride + 1
    lead, ones = [0] * len(batch), [1] * len(batch)
    return [
        lax.slice(
            x,
            (*lead, dy, dx, 0),
            (*batch, dy + (height - 1) * stride + 1, dx + (width - 1) * stride + 1, channels),
            (*ones, stride, stride, 1),
        )
        for dy in range(side)
        for dx in range(side)
    ]


def _depthwise_forward(
    x: jax.Array, kernel: jax.Array, stride: int, padding: Padding
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _sum_of_shifts(x, kernel, stride, padding), (x, kernel)


def _depthwise_backward(
    stride: int, padding: Padding, kept: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Gradients by x and by the kernel, the latter summed image by image.

    Over the whole batch at once XLA's CPU backend takes 5 times longer.
    """
    x, kernel = kept
    side, gradient = kernel.shape[0], gradient.astype(jnp.float32)
    by_x = jax.vjp(lambda v: _sum_of_shifts(v, kernel, stride, padding), x.astype(jnp.float32))[1](
        gradient
    )[0]

    def add(total, pair):
        image, error = pair
        sums = [(window * error).sum((0, 1)) for window in _windows(image, side, stride)]
        return total + jnp.stack(sums), None

    start = jnp.zeros((side * side, x.shape[-1]), jnp.float32)
    by_kernel, _ = lax.scan(add, start, (_padded(x, side, stride, padding), gradient))
    return by_x.astype(x.dtype), by_kernel.reshape(kernel.shape).astype(kernel.dtype)


_depthwise = jax.custom_vjp(_sum_of_shifts, nondiff_argnums=(2, 3))
_depthwise.defvjp(_depthwise_forward, _depthwise_backward)


def pointwise_by_product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """1x1 convolution as one flat matrix product.

    The gradient of a batched matrix product takes three times longer.

    Args:
      x: (B, H, W, C).
      kernel: (1, 1, C, C').

    Returns:
      (B, H, W, C').
    """
    return (x.reshape(-1, x.shape[-1]) @ kernel[0, 0]).reshape(*x.shape[:-1], kernel.shape[-1])


def max_pool2x(x: jax.Array) -> jax.Array:
    """2x2 maximum with stride 2, of four strided views instead of a window.

    Args:
      x: (B, H, W, C), H and W even.

    Returns:
      (B, H/2, W/2, C).
    """
    return jnp.maximum(
        jnp.maximum(x[:, ::2, ::2], x[:, ::2, 1::2]), jnp.maximum(x[:, 1::2, ::2], x[:, 1::2, 1::2])
    )
