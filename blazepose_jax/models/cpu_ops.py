"""Convolutions and pooling in the forms that XLA's CPU backend runs fastest.

Each computes what the plain operation computes; ``layers`` chooses by ``LayerConfig.fast_on_cpu``.
"""

from collections.abc import Sequence

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
    for tap, window in enumerate(windows(padded_as(x, side, stride, padding), side, stride)):
        total = total + window * wide[tap // side, tap % side, 0]
    return total.astype(x.dtype)  # (B, H', W', C)


def padded_as(x: jax.Array, side: int, stride: int, padding: Padding) -> jax.Array:
    """Pad (B, H, W, C) as a convolution with this kernel would."""
    return jnp.pad(x, ((0, 0), *_pads(x.shape, side, stride, padding), (0, 0)))


def _pads(shape: tuple[int, ...], side: int, stride: int, padding: Padding) -> Sequence:
    """Rows and columns, (before, after) each, by which (B, H, W, C) is padded."""
    if isinstance(padding, str):
        return lax.padtype_to_pads(shape[1:3], (side, side), (stride, stride), padding)
    return padding


def windows(x: jax.Array, side: int, stride: int) -> list[jax.Array]:
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
    """Gradients by x and by the kernel."""
    x, kernel = kept
    gradient = gradient.astype(jnp.float32)
    by_x = gradient_by_input(gradient, kernel, x.shape, stride, padding)
    by_kernel = _gradient_by_kernel(gradient, x, kernel.shape[0], stride, padding)
    return by_x.astype(x.dtype), by_kernel.reshape(kernel.shape).astype(kernel.dtype)


def gradient_by_input(
    gradient: jax.Array,
    kernel: jax.Array,
    shape: tuple[int, ...],
    stride: int,
    padding: Padding,
) -> jax.Array:
    """Every input pixel gathers from the outputs that read it.

    Autodiff has every output scatter to its inputs, one padded array a tap. Alone that takes 3 to
    17 times longer for 5x5 kernels; 3x3 ones measured alone gained nothing, or lost. Pixels of the
    same remainder by the stride meet the same taps, so that none of a stride's zeros is multiplied.

    Args:
      gradient: (B, H', W', C) float32.
      kernel: (k, k, 1, C).
      shape: (B, H, W, C) of the input.
      stride: of the convolution.
      padding: of the convolution.

    Returns:
      (B, H, W, C) float32.
    """
    batch, height, width, channels = shape
    side, wide = kernel.shape[0], kernel.astype(jnp.float32)
    (top, _), (left, _) = _pads(shape, side, stride, padding)
    rows, columns = -(-height // stride), -(-width // stride)  # of one remainder

    def margin(before: int, count: int, outputs: int) -> tuple[int, int, int]:
        return (side - 1 - before) // stride, count + (stride - 1 + before) // stride - outputs, 0

    margins = margin(top, rows, gradient.shape[1]), margin(left, columns, gradient.shape[2])
    padded = lax.pad(gradient, jnp.float32(0), ((0, 0, 0), *margins, (0, 0, 0)))

    def taps(remainder: int, before: int, low: int) -> list[tuple[int, int]]:
        """(tap, first of the padded outputs that it meets)."""
        place = remainder + before
        return [(tap, low + (place - tap) // stride) for tap in range(place % stride, side, stride)]

    def gather(y: int, x: int) -> jax.Array:
        total = jnp.zeros((batch, rows, columns, channels), jnp.float32)
        for dy, first_row in taps(y, top, margins[0][0]):
            for dx, first in taps(x, left, margins[1][0]):
                window = padded[:, first_row : first_row + rows, first : first + columns]
                total = total + window * wide[dy, dx, 0]
        return total

    parts = [jnp.stack([gather(y, x) for x in range(stride)], 3) for y in range(stride)]
    whole = jnp.stack(parts, 2)  # (B, rows, stride, columns, stride, C)
    whole = whole.reshape(batch, rows * stride, columns * stride, channels)
    return whole[:, :height, :width]


def _gradient_by_kernel(
    gradient: jax.Array, x: jax.Array, side: int, stride: int, padding: Padding
) -> jax.Array:
    """Image by image and tap by tap, so that what is multiplied and summed stays in the cache.

    Over the whole batch at once XLA's CPU backend takes 5 times longer; with the taps written out
    it compiles about 3 times longer, to code that is no faster. The sum is a product with ones, as
    XLA's own reduction takes up to twice as long.

    Args:
      gradient: (B, H', W', C) float32.
      x: (B, H, W, C).
      side: k.
      stride: of the convolution.
      padding: of the convolution.

    Returns:
      (k², C) float32.
    """
    batch, height, width, channels = gradient.shape
    reach = (1, (height - 1) * stride + 1, (width - 1) * stride + 1, channels)
    padded, ones = padded_as(x, side, stride, padding), jnp.ones(height * width, jnp.float32)

    def tap(number: jax.Array) -> jax.Array:
        image, place = number // side**2, number % side**2
        window = lax.dynamic_slice(padded, (image, place // side, place % side, 0), reach)
        window = window[:, ::stride, ::stride]
        error = lax.dynamic_slice_in_dim(gradient, image, 1)
        return ones @ (window * error).reshape(-1, channels)

    return lax.map(tap, jnp.arange(batch * side**2)).reshape(batch, -1, channels).sum(0)


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
