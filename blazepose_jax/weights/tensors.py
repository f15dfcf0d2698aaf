"""Tensors of a network: which there must be, and whether they are numbers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.models import LayerConfig, ModelSpec, create_model, spec_of


def expected_shapes(
    model: str | ModelSpec, norm: str, arguments: dict[str, Any]
) -> dict[str, tuple[int, ...]]:
    """The shapes of a network's variables, without computing any.

    Args:
      model: a key of ``MODELS``, or a spec.
      norm: ``batch`` or ``folded``.
      arguments: of ``create_model``.

    Returns:
      {tensor name, with slashes: shape}.
    """
    config = LayerConfig(norm=norm, convolution="xla", drawn=False)
    module = create_model(model, config, **arguments)
    side = arguments.get("side", spec_of(model).side)
    images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    variables = jax.eval_shape(lambda x: module.init(jax.random.key(0), x, train=False), images)
    shapes: dict[str, Any] = traverse_util.flatten_dict(variables, sep="/")
    return {name: leaf.shape for name, leaf in shapes.items()}


def check_tensors(
    tensors: dict[str, np.ndarray], expected: dict[str, tuple[int, ...]], what: str
) -> None:
    """Compare names, shapes and types, and look for values that are no numbers.

    Args:
      tensors: by name.
      expected: shapes by name.
      what: holds the tensors, for errors.

    Raises:
      BlazePoseError: the first unknown, missing, misshapen or mistyped tensor, or one with NaN or
        infinite values.
    """
    missing, unknown = expected.keys() - tensors.keys(), tensors.keys() - expected.keys()
    for verb, names in (("lacks the", missing), ("has the unknown", unknown)):
        if names:
            raise BlazePoseError(
                f"{what} {verb} tensor {min(names)!r} ({len(names)} such): these are weights of "
                "another network"
            )
    for name, shape in expected.items():
        if tensors[name].shape != shape:
            raise BlazePoseError(
                f"{what} has {name!r} with shape {tensors[name].shape}, the network needs {shape}: "
                "these are weights of another network"
            )
        if tensors[name].dtype not in (np.float32, np.float16):
            raise BlazePoseError(
                f"{what} has {name!r} of type {tensors[name].dtype}: weights are float32 or float16"
            )
        if not np.isfinite(tensors[name]).all():
            raise BlazePoseError(
                f"{what} has NaN or infinite values in {name!r}: import or train the weights again"
            )
