"""The blocks that every network here is built of: features come in, features leave."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

Padding = str | tuple[tuple[int, int], tuple[int, int]]

# Keras' defaults; the released nets are folded, so theirs cannot be recovered.
BATCH_NORM_EPSILON = 1e-3
# Gain of the last layer of a residual branch at initialisation: 60 stacked additions then grow the
# variance (1 + 0.2²)^60 = 10 times, where a gain of 1 would grow it 2^60 times in a folded net.
RESIDUAL_GAIN = 0.2
# A padding value that no network uses; what stands for an upsampling until the .tflite is written.
UPSAMPLE_MARK = -20061.0


@dataclasses.dataclass(frozen=True)
class LayerConfig:
    """What a network is made of, apart from its architecture.

    Attributes:
      norm: ``batch`` trains with batch normalisation (kernel, scale, bias, mean, var); ``folded``
        has it folded into the convolutions (kernel, bias), as in every released file.
      dtype: compute type of activations; parameters stay float32.
      convolution: ``xla`` lowers to convolutions; ``cpu`` writes depthwise convolutions as sums of
        shifted products and 1x1 ones as matrix products, which XLA's CPU backend runs several times
        faster (``make bench``); ``auto`` chooses by the default backend. ``tflite`` is ``xla`` with
        upsampling left as a mark, for ``export/`` alone. Same parameters, same function.
      momentum: of the running statistics; short runs need less.
      frozen: training, too, normalises by the running statistics and leaves them as they are; for
        fine-tuning.
    """

    norm: str = "batch"
    dtype: Any = jnp.float32
    convolution: str = "auto"
    frozen: bool = False
    momentum: float = 0.99

    @property
    def fast_on_cpu(self) -> bool:
        """Whether convolutions are rewritten for XLA's CPU backend."""
        return self.convolution == "cpu" or (
            self.convolution == "auto" and jax.default_backend() == "cpu"
        )


FOLDED = LayerConfig(norm="folded")


def symmetric(kernel: int) -> Padding:
    """Padding of ``kernel // 2`` zeros on every side.

    Unlike SAME it does not depend on the input's parity.
    """
    return ((kernel // 2, kernel // 2), (kernel // 2, kernel // 2))


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
    # bfloat16 adds up in float32, as convolutions do
    side, wide = (
        kernel.shape[0],
        kernel.astype(jnp.float32),
    )
    total = jnp.zeros((), jnp.float32)
    for tap, window in enumerate(_windows(_padded(x, side, stride, padding), side, stride)):
        total = total + window * wide[tap // side, tap % side, 0]
    return total.astype(x.dtype)  # (B, H', W', C)


def _padded(x: jax.Array, side: int, stride: int, padding: Padding) -> jax.Array:
    pads = (
        lax.padtype_to_pads(x.shape[1:3], (side, side), (stride, stride), padding)
        if isinstance(padding, str)
        else padding
    )
    return jnp.pad(x, ((0, 0), *pads, (0, 0)))


def _windows(x: jax.Array, side: int, stride: int) -> list[jax.Array]:
    """(..., H, W, C) padded to side² views (..., H', W', C), one per tap of the kernel."""
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


def _depthwise_forward(x, kernel, stride, padding):
    return _sum_of_shifts(x, kernel, stride, padding), (x, kernel)


def _depthwise_backward(stride, padding, kept, gradient):
    """The kernel's gradient, image by image.

    Over the whole batch at once XLA's CPU backend takes 5 times longer.
    """
    x, kernel = kept
    side, gradient = kernel.shape[0], gradient.astype(jnp.float32)
    by_x = jax.vjp(lambda v: _sum_of_shifts(v, kernel, stride, padding), x.astype(jnp.float32))[1](
        gradient
    )[0]

    def add(total, pair):
        image, error = pair
        return (
            total
            + jnp.stack([(window * error).sum((0, 1)) for window in _windows(image, side, stride)]),
            None,
        )

    start = jnp.zeros((side * side, x.shape[-1]), jnp.float32)
    by_kernel, _ = lax.scan(add, start, (_padded(x, side, stride, padding), gradient))
    return by_x.astype(x.dtype), by_kernel.reshape(kernel.shape).astype(kernel.dtype)


_depthwise = jax.custom_vjp(_sum_of_shifts, nondiff_argnums=(2, 3))
_depthwise.defvjp(_depthwise_forward, _depthwise_backward)


class Conv(nn.Module):
    """One convolution, its normalisation and its activation.

    ``features=None`` makes it depthwise. ``norm=False`` leaves batch normalisation out in both
    forms; then ``bias`` says whether a bias is added.
    """

    config: LayerConfig
    features: int | None = None
    kernel: int = 1
    stride: int = 1
    padding: Padding = "SAME"
    activation: str | None = None
    norm: bool = True
    bias: bool = True
    gain: float = 1.0
    bias_init: nn.initializers.Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """(B, H, W, C) to (B, H', W', features)."""
        channels = x.shape[-1]
        depthwise = self.features is None
        features = channels if self.features is None else self.features
        shape = (self.kernel, self.kernel, 1 if depthwise else channels, features)
        batch_norm = self.norm and self.config.norm == "batch"
        # He initialisation; under batch normalisation the gain sits in its scale instead.
        scale = 2.0 if self.activation else 1.0
        kernel_gain = 1.0 if batch_norm else self.gain
        init = nn.initializers.variance_scaling(
            scale * kernel_gain**2, "fan_in", "truncated_normal"
        )
        kernel = self.param("kernel", init, shape)
        x = self._convolve(x.astype(self.config.dtype), kernel.astype(self.config.dtype))
        if batch_norm:
            x = nn.BatchNorm(
                use_running_average=not train or self.config.frozen,
                momentum=self.config.momentum,
                epsilon=BATCH_NORM_EPSILON,
                dtype=self.config.dtype,
                scale_init=nn.initializers.constant(self.gain),
                name="norm",
            )(x)
        elif self.norm or self.bias:
            x = x + self.param("bias", self.bias_init, (features,)).astype(self.config.dtype)
        return activate(x, self.activation)

    def _convolve(self, x: jax.Array, kernel: jax.Array) -> jax.Array:
        depthwise = self.features is None
        if self.config.fast_on_cpu and depthwise:
            return depthwise_by_shifts(x, kernel, self.stride, self.padding)
        if self.config.fast_on_cpu and self.kernel == 1 and self.stride == 1:
            # Flat: the gradient of a batched matrix product takes three times longer.
            return (x.reshape(-1, x.shape[-1]) @ kernel[0, 0]).reshape(
                *x.shape[:-1], kernel.shape[-1]
            )
        return lax.conv_general_dilated(
            x,
            kernel,
            (self.stride, self.stride),
            self.padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=x.shape[-1] if depthwise else 1,
        )


def activate(x: jax.Array, name: str | None) -> jax.Array:
    """Apply ``relu``, ``relu6`` or, for None, nothing."""
    return {None: lambda v: v, "relu": jax.nn.relu, "relu6": jax.nn.relu6}[name](x)


def upsample2x(x: jax.Array, config: LayerConfig) -> jax.Array:
    """Bilinear x2 with half-pixel centres, as TFLite's RESIZE_BILINEAR(half_pixel_centers=True).

    Args:
      x: (B, H, W, C).
      config: with ``convolution="tflite"`` a mark of the right shape leaves, which
        ``export/flatbuffer.py`` replaces.

    Returns:
      (B, 2H, 2W, C). Every output is a 3:1 mix of two neighbours per axis, the border repeated.
    """
    batch, height, width, channels = x.shape
    if config.convolution == "tflite":
        return lax.pad(
            x,
            jnp.asarray(UPSAMPLE_MARK, x.dtype),
            ((0, 0, 0), (0, height, 0), (0, width, 0), (0, 0, 0)),
        )
    # Even rows, then odd ones, (B, H, 2W, C), are (B, 2H, W, C) in memory. GPU delegates want no
    # fifth axis; on CPU XLA compiles the stack to code whose rounding lies closer to LiteRT's (the
    # astronaut: 0.03 px, not 0.11).
    join = jnp.stack if config.fast_on_cpu else jnp.concatenate
    x = join(_mixtures(x, 1), 2).reshape(batch, 2 * height, width, channels)
    return join(_mixtures(x, 2), 3).reshape(batch, 2 * height, 2 * width, channels)


def _mixtures(x: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    size = x.shape[axis]
    before = jnp.concatenate(
        [lax.slice_in_dim(x, 0, 1, axis=axis), lax.slice_in_dim(x, 0, size - 1, axis=axis)], axis
    )
    after = jnp.concatenate(
        [lax.slice_in_dim(x, 1, size, axis=axis), lax.slice_in_dim(x, size - 1, size, axis=axis)],
        axis,
    )
    return 0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after


def depth_to_space2x(x: jax.Array) -> jax.Array:
    """TensorFlow's depth_to_space of block 2.

    (B, H, W, 4C) -> (B, 2H, 2W, C), channels in (dy, dx, c) order.
    """
    batch, height, width, channels = x.shape
    rows = [x[..., : channels // 2], x[..., channels // 2 :]]  # dy = 0, 1
    rows = [row.reshape(batch, height, 2 * width, channels // 4) for row in rows]
    return jnp.concatenate(rows, 2).reshape(batch, 2 * height, 2 * width, channels // 4)


def max_pool2x(x: jax.Array, config: LayerConfig) -> jax.Array:
    """2x2 maximum, stride 2.

    On CPU of four strided views, which XLA's CPU backend runs faster than a window.
    """
    if not config.fast_on_cpu:
        return nn.max_pool(x, (2, 2), (2, 2))
    return jnp.maximum(
        jnp.maximum(x[:, ::2, ::2], x[:, ::2, 1::2]), jnp.maximum(x[:, 1::2, ::2], x[:, 1::2, 1::2])
    )


class Separable(nn.Module):
    """Depthwise convolution, then 1x1.

    ``between`` is the activation after the depthwise convolution, ``activation`` the one at the
    end.
    """

    config: LayerConfig
    features: int
    activation: str | None
    between: str | None = None
    kernel: int = 3
    stride: int = 1
    depthwise_norm: bool = True  # False: neither normalisation nor bias stands between the two
    gain: float = 1.0

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """(B, H, W, C) to (B, H', W', features)."""
        x = Conv(
            self.config,
            kernel=self.kernel,
            stride=self.stride,
            activation=self.between,
            norm=self.depthwise_norm,
            bias=self.depthwise_norm,
            name="depthwise",
        )(x, train=train)
        return Conv(
            self.config, self.features, activation=self.activation, gain=self.gain, name="pointwise"
        )(x, train=train)


class BlazeResidual(nn.Module):
    """BlazeFace's block: a separable convolution, plus its input, then the activation.

    A stride of 2 halves the shortcut by a maximum and appends zero channels where the output has
    more.
    """

    config: LayerConfig
    features: int
    stride: int = 1
    activation: str = "relu6"
    between: str | None = "relu6"
    kernel: int = 3
    depthwise_norm: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """(B, H, W, C) to (B, H', W', features)."""
        branch = Separable(
            self.config,
            self.features,
            None,
            self.between,
            self.kernel,
            self.stride,
            self.depthwise_norm,
            gain=RESIDUAL_GAIN,
            name="branch",
        )(x, train=train)
        if self.stride == 2:
            x = max_pool2x(x, self.config)
        if self.features > x.shape[-1]:
            x = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, self.features - x.shape[-1])))
        return activate(x + branch, self.activation)


class InvertedResidual(nn.Module):
    """MobileNetV2's block: 1x1 expansion, depthwise, linear 1x1 projection.

    Plus the input if ``residual``.
    """

    config: LayerConfig
    features: int
    kernel: int
    expansion: int
    stride: int = 1
    residual: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """(B, H, W, C) to (B, H', W', features)."""
        # A stride of 2 pads symmetrically, unlike SAME, which pads even sizes at the bottom and
        # right.
        padding = symmetric(self.kernel) if self.stride == 2 else "SAME"
        y = Conv(self.config, self.expansion * x.shape[-1], activation="relu6", name="expand")(
            x, train=train
        )
        y = Conv(
            self.config,
            kernel=self.kernel,
            stride=self.stride,
            padding=padding,
            activation="relu6",
            name="depthwise",
        )(y, train=train)
        y = Conv(
            self.config, self.features, gain=RESIDUAL_GAIN if self.residual else 1.0, name="project"
        )(y, train=train)
        return x + y if self.residual else y
