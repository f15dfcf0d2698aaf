"""Blocks of convolutions that every network here is built of.

Blocks take (B, H, W, C) and ``train``, which chooses batch statistics over running ones, and return
(B, H', W', C').
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from blazepose_jax.errors import check_name
from blazepose_jax.models import cpu_ops, gpu_ops
from blazepose_jax.models.cpu_ops import Padding

# Keras' defaults; the released nets are folded, so theirs cannot be recovered.
BATCH_NORM_EPSILON = 1e-3
# Gain of the last layer of a residual branch at initialisation: 60 stacked additions then grow the
# variance (1 + 0.2²)^60 = 10 times, where a gain of 1 would grow it 2^60 times in a folded net.
RESIDUAL_GAIN = 0.2


CONVOLUTIONS = ("auto", "xla", "cpu", "gpu", "tflite")


@dataclasses.dataclass(frozen=True)
class LayerConfig:
    """What a network is made of, apart from its architecture.

    Attributes:
      norm: ``batch`` trains with batch normalisation (kernel, scale, bias, mean, var); ``folded``
        has it folded into the convolutions (kernel, bias), as in every released file.
      dtype: compute type of activations; parameters stay float32.
      convolution: ``xla`` lowers to convolutions; ``cpu`` writes depthwise convolutions as sums of
        shifted products and 1x1 ones as matrix products, which XLA's CPU backend runs several times
        faster (``make bench``); ``gpu`` is ``xla`` with the gradients of depthwise ones written as
        such sums; ``auto`` chooses by the default backend. ``tflite`` is ``xla`` with upsampling
        left as a mark, for ``export/`` alone. Same parameters, same function.
      frozen: training, too, normalises by the running statistics and leaves them as they are; for
        fine-tuning.
      momentum: of the running statistics; short runs need less.
      drawn: kernels begin with random numbers; else with zeros, where only shapes are asked for.

    Raises:
      BlazePoseError: an unknown ``norm`` or ``convolution``.
    """

    norm: str = "batch"
    dtype: DTypeLike = jnp.float32
    convolution: str = "auto"
    frozen: bool = False
    momentum: float = 0.99
    drawn: bool = True

    def __post_init__(self) -> None:
        """Check the names."""
        check_name(self.norm, ("batch", "folded"), "norm")
        check_name(self.convolution, CONVOLUTIONS, "convolution")

    @property
    def exact(self) -> "LayerConfig":
        """The same in float32, for heads: bfloat16 rounds a crop's places to whole pixels."""
        return dataclasses.replace(self, dtype=jnp.float32)

    @property
    def fast_on_cpu(self) -> bool:
        """Whether convolutions are rewritten for XLA's CPU backend."""
        return self.convolution == "cpu" or (
            self.convolution == "auto" and jax.default_backend() == "cpu"
        )

    @property
    def fast_on_gpu(self) -> bool:
        """Whether depthwise gradients are rewritten for XLA's GPU backend."""
        return self.convolution == "gpu" or (
            self.convolution == "auto" and jax.default_backend() == "gpu"
        )


FOLDED = LayerConfig(norm="folded")
ZEROS = nn.initializers.zeros_init()


def symmetric(kernel: int) -> Padding:
    """Padding of ``kernel // 2`` zeros on every side.

    Unlike SAME it does not depend on the input's parity.
    """
    return ((kernel // 2, kernel // 2), (kernel // 2, kernel // 2))


class Conv(nn.Module):
    """One convolution, its normalisation and its activation.

    ``features=None`` makes it depthwise. ``norm=False`` leaves batch normalisation out, folded or
    not; then ``bias`` says whether a bias is added.
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
    bias_init: nn.initializers.Initializer = ZEROS

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
        kernel = self._parameter("kernel", init if self.config.drawn else ZEROS, shape)
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
            x = x + self._parameter("bias", self.bias_init, (features,)).astype(self.config.dtype)
        return activate(x, self.activation)

    def _parameter(
        self, name: str, init: nn.initializers.Initializer, shape: tuple[int, ...]
    ) -> jax.Array:
        """``self.param``, which traces the initialiser at every call to compare shapes, where there
        is no parameter yet: a third of the time that tracing a network takes.
        """
        if self.has_variable("params", name):
            return self.get_variable("params", name)
        return self.param(name, init, shape)

    def _convolve(self, x: jax.Array, kernel: jax.Array) -> jax.Array:
        depthwise = self.features is None
        if self.config.fast_on_cpu and depthwise:
            return cpu_ops.depthwise_by_shifts(x, kernel, self.stride, self.padding)
        if self.config.fast_on_gpu and depthwise:
            return gpu_ops.depthwise(x, kernel, self.stride, self.padding)
        if self.config.fast_on_cpu and self.kernel == 1 and self.stride == 1:
            return cpu_ops.pointwise_by_product(x, kernel)
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


class Separable(nn.Module):
    """Depthwise convolution, then 1x1; the DwPw of docs/mediapipe.md, 2.2.

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

    A stride of 2 halves the shortcut by a maximum; zero channels are appended to it where the
    output has more (docs/mediapipe.md, 2.2).
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
            fast = self.config.fast_on_cpu
            x = cpu_ops.max_pool2x(x) if fast else nn.max_pool(x, (2, 2), (2, 2))
        if self.features > x.shape[-1]:
            x = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, self.features - x.shape[-1])))
        return activate(x + branch, self.activation)


class InvertedResidual(nn.Module):
    """MobileNetV2's block: 1x1 expansion, depthwise, linear 1x1 projection.

    With ``residual`` the input is added, without an activation after it (docs/mediapipe.md, 2.2).
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
        # SAME would pad even sizes at the bottom and right alone.
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
