"""Convolutions of a network in call order: parameters, multiply-adds, paths."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from blazepose_jax.models.layers import Conv


@dataclasses.dataclass(frozen=True)
class ConvCall:
    """One convolution as it ran."""

    path: tuple[str, ...]  # where its parameters are
    kernel_shape: tuple[int, int, int, int]  # (k, k, inputs per group, outputs)
    has_bias: bool  # in folded form
    macs: int  # multiply-adds for one image


def conv_calls(model: nn.Module, side: int, channels: int = 3) -> list[ConvCall]:
    """List the convolutions of the inference network in call order, without computing any.

    Args:
      model: any network of this package.
      side: input px.
      channels: input channels.

    Returns:
      One ConvCall per convolution that an inference call runs.
    """
    calls = []

    def record(call, args, kwargs, context):
        out = call(*args, **kwargs)
        if isinstance(context.module, Conv) and context.method_name == "__call__":
            conv = context.module
            inputs = 1 if conv.features is None else args[0].shape[-1]
            shape = (conv.kernel, conv.kernel, inputs, out.shape[-1])
            macs = out.shape[1] * out.shape[2] * out.shape[3] * conv.kernel**2 * inputs
            calls.append(ConvCall(conv.path, shape, conv.norm or conv.bias, macs))
        return out

    def run(images):
        variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), images)
        with nn.intercept_methods(record):
            return jax.eval_shape(lambda v, x: model.apply(v, x, train=False), variables, images)

    run(jax.ShapeDtypeStruct((1, side, side, channels), jnp.float32))
    return calls


def count_parameters(calls: list[ConvCall]) -> int:
    """Parameters of the folded inference network: kernels and biases."""
    total = 0
    for call in calls:
        height, width, inputs, outputs = call.kernel_shape
        total += height * width * inputs * outputs + (outputs if call.has_bias else 0)
    return total


def count_macs(calls: list[ConvCall]) -> int:
    """Multiply-adds of one inference, convolutions only, as usually counted."""
    return sum(call.macs for call in calls)
