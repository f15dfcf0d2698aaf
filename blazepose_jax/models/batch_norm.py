"""Batch normalisation folded into convolutions, and unfolded again.

Both directions leave what a network computes at inference as it is.
"""

from collections.abc import Iterable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.models.layers import BATCH_NORM_EPSILON
from blazepose_jax.structs import Variables

# Bounds of the factor that brings a kernel to its usual size; a dead channel would have an infinite
# one.
FACTORS = (1e-3, 1e3)


def fold_batch_norm(variables: Variables) -> Variables:
    """Fold every batch normalisation into the convolution before it.

    Args:
      variables: {"params", "batch_stats"} of a network with norm ``batch``.

    Returns:
      {"params"} for the same network with norm ``folded``; at inference both compute the same
      function.
    """
    return {"params": _fold(variables["params"], variables.get("batch_stats", {}))}


def _fold(params: Variables, stats: Variables) -> Variables:
    # Of a ``layers.Conv``; networks of experiment files may have others, which stay.
    if params.keys() == {"kernel", "norm"}:
        norm, moments = params["norm"], stats["norm"]
        # (C,); kernels end in C.
        gain = norm["scale"] / jnp.sqrt(moments["var"] + BATCH_NORM_EPSILON)
        return {"kernel": params["kernel"] * gain, "bias": norm["bias"] - moments["mean"] * gain}
    return {
        name: _fold(value, stats.get(name, {})) if isinstance(value, dict) else value
        for name, value in params.items()
    }


def unfold_batch_norm(
    model: nn.Module, folded: Variables, chunks: Iterable[jax.Array]
) -> Variables:
    """Give a folded network batch normalisation without changing what it computes.

    Folded nets are brittle under Adam: their kernels' sizes differ by orders of magnitude between
    channels. Here every channel's mean and variance are measured before its normalisation, its
    kernel is brought to the size that initialisation would give it, and scale and shift undo both.

    Args:
      model: with norm ``batch``.
      folded: {"params"} of the same network with norm ``folded``.
      chunks: (B, S, S, 3) float32 crops, normalised; about 2,000 in all.

    Returns:
      {"params", "batch_stats"}; with running statistics it computes what the folded network
      computes.

    Raises:
      ValueError: no chunks.
    """
    moments = _measure(model, _neutral(model, folded), chunks)
    params, stats = _assemble(folded["params"], moments)
    return {"params": params, "batch_stats": stats}


def _measure(model: nn.Module, variables: Variables, chunks: Iterable[jax.Array]) -> Variables:
    """The first two moments of what every normalisation gives, (2, C) float64, over all crops."""

    @jax.jit
    def measure(variables: Variables, images: jax.Array) -> Variables:
        _, captured = model.apply(
            variables,
            images,
            train=False,
            mutable=["intermediates"],
            capture_intermediates=lambda module, _: isinstance(module, nn.BatchNorm),
        )
        return jax.tree.map(
            lambda x: jnp.stack([x.mean((0, 1, 2)), (x**2).mean((0, 1, 2))]),
            captured["intermediates"],
        )

    total, count = None, 0
    for images in chunks:
        means = jax.device_get(measure(variables, images))
        sums = jax.tree.map(partial(np.multiply, np.float64(len(images))), means)
        total = sums if total is None else jax.tree.map(np.add, total, sums)
        count += len(images)
    if total is None:
        raise ValueError("unfolding needs crops to measure statistics on: give at least one chunk")
    return jax.tree.map(lambda x: x / count, total)


def _neutral(model: nn.Module, folded: Variables) -> Variables:
    """The folded network under normalisations that do nothing but add its biases."""
    side = getattr(model, "side", 224)
    images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    shapes: Variables = jax.eval_shape(
        lambda x: model.init(jax.random.key(0), x, train=False), images
    )

    def fill(path: jax.tree_util.KeyPath, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        value = 0.0 if path[-1].key == "mean" else 1.0 - BATCH_NORM_EPSILON
        return jnp.full(leaf.shape, value, jnp.float32)

    return {
        "params": _neutral_params(shapes["params"], folded["params"]),
        "batch_stats": jax.tree_util.tree_map_with_path(fill, shapes["batch_stats"]),
    }


def _neutral_params(shapes: Variables, folded: Variables) -> Variables:
    if "norm" in shapes:
        bias = folded["bias"]
        return {
            "kernel": folded["kernel"],
            "norm": {"scale": jnp.ones_like(bias), "bias": bias},
        }
    return {
        name: _neutral_params(shapes[name], value) if isinstance(value, dict) else value
        for name, value in folded.items()
    }


def _assemble(folded: Variables, moments: Variables) -> tuple[Variables, Variables]:
    """Parameters and statistics from folded parameters and what ``_measure`` found."""
    params, stats = {}, {}
    for name, value in folded.items():
        if not isinstance(value, dict):
            params[name] = value
        elif "norm" in moments.get(name, {}):
            params[name], stats[name] = _normalised(value, moments[name]["norm"]["__call__"][0])
        else:
            params[name], below = _assemble(value, moments.get(name, {}))
            if below:
                stats[name] = below
    return params, stats


def _normalised(conv: Variables, moments: np.ndarray) -> tuple[Variables, Variables]:
    """Parameters and statistics of one convolution, from (2, C) moments of its folded output."""
    kernel, bias = np.asarray(conv["kernel"], np.float64), np.asarray(conv["bias"], np.float64)
    after, variance = moments[0], np.maximum(moments[1] - moments[0] ** 2, 0)
    fan_in = np.prod(kernel.shape[:3])
    size = np.sqrt((kernel**2).mean((0, 1, 2)))
    factor = np.clip(np.sqrt(2 / fan_in) / np.maximum(size, 1e-12), *FACTORS)
    variance = variance * factor**2
    scale = np.sqrt(variance + BATCH_NORM_EPSILON) / factor
    norm = {"scale": scale, "bias": after}
    stats = {"mean": (after - bias) * factor, "var": variance}
    new = {"kernel": kernel * factor, "norm": norm}, {"norm": stats}
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), new)
