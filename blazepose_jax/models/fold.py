"""Variables with batch normalisation come in, the same function's folded variables leave."""

from typing import Any

import jax.numpy as jnp

from blazepose_jax.models.layers import BATCH_NORM_EPSILON


def fold_batch_norm(variables: dict[str, Any]) -> dict[str, Any]:
    """Fold every batch normalisation into the convolution before it.

    Args:
      variables: {"params", "batch_stats"} of a network with norm ``batch``.

    Returns:
      {"params"} for the same network with norm ``folded``; at inference both compute the same
      function.
    """
    return {"params": _fold(variables["params"], variables.get("batch_stats", {}))}


def _fold(params: dict[str, Any], stats: dict[str, Any]) -> dict[str, Any]:
    if "norm" in params:
        norm, moments = params["norm"], stats["norm"]
        # (C,), kernels end in C
        gain = norm["scale"] / jnp.sqrt(moments["var"] + BATCH_NORM_EPSILON)
        return {"kernel": params["kernel"] * gain, "bias": norm["bias"] - moments["mean"] * gain}
    return {
        name: _fold(value, stats.get(name, {})) if isinstance(value, dict) else value
        for name, value in params.items()
    }
