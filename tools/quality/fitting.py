"""Fitting of the quality function and of the judge."""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from labelled import (
    BODY,
    JOINT_ROWS,
    Rows,
    examples,
    hypotheses,
    last_people,
    read_looks,
    run_function,
)
from safetensors.numpy import save_file

from blazepose_jax.inference import quality, search
from blazepose_jax.inference.search import TURNS
from blazepose_jax.structs import Array

HIDDEN, JUDGE_HIDDEN = 32, 12


def initial_parameters(key: jax.Array) -> dict[str, jax.Array]:
    """The network before training."""
    shapes = {
        "point.features": (quality.POINT_FEATURES, HIDDEN),
        "point.pose": (quality.POSE_FEATURES, HIDDEN),
        "point.rows": (BODY, HIDDEN),
        "point.hidden": (HIDDEN, HIDDEN // 2),
        "point.hidden_bias": (HIDDEN // 2,),
        "point.out": (HIDDEN // 2,),
        "point.bias": (),
        "pose.joints": (len(JOINT_ROWS), HIDDEN),
        "pose.features": (quality.POSE_FEATURES, HIDDEN),
        "pose.hidden_bias": (HIDDEN,),
        "pose.out": (HIDDEN,),
        "pose.bias": (),
    }
    keys = jax.random.split(key, len(shapes))
    return {
        name: jnp.zeros(shape)
        if name.endswith(("bias", "rows"))
        else jax.random.normal(one, shape) * (1 / shape[0]) ** 0.5
        for one, (name, shape) in zip(keys, shapes.items(), strict=True)
    }


def mean_cross_entropy(logits: Array, labels: Array, weights: Array) -> jax.Array:
    """Of (...) logits."""
    losses = optax.sigmoid_binary_cross_entropy(jnp.asarray(logits), labels)
    return (losses * weights).sum() / jnp.maximum(weights.sum(), 1)


def fit_function(data: Rows, steps: int, seed: int) -> dict[str, np.ndarray]:
    """Train on ``examples``; the scales of the features end up in the weights."""
    middle = {key: data[key].reshape(-1, data[key].shape[-1]).mean(0) for key in ("points", "pose")}
    scale = {key: data[key].reshape(-1, data[key].shape[-1]).std(0) + 1e-3 for key in middle}
    rows = data | {key: (data[key] - middle[key]) / scale[key] for key in middle}

    def loss(parameters: quality.Parameters, batch: Rows) -> jax.Array:
        points, pose = run_function(parameters, batch["points"], batch["pose"])
        return mean_cross_entropy(points, batch["right"], batch["weights"]) + mean_cross_entropy(
            pose, batch["share"], batch["judged"]
        )

    fitted = minimise(loss, initial_parameters(jax.random.key(seed)), rows, steps, seed)
    for part, key in (("point.features", "points"), ("point.pose", "pose")):
        fitted["point.rows"] -= (middle[key] / scale[key]) @ fitted[part]
        fitted[part] /= scale[key][:, None]
    fitted["pose.hidden_bias"] -= (middle["pose"] / scale["pose"]) @ fitted["pose.features"]
    fitted["pose.features"] /= scale["pose"][:, None]
    # The row of points that are none of BlazePose's.
    fitted["point.rows"] = np.concatenate(
        [fitted["point.rows"], fitted["point.rows"].mean(0, keepdims=True)]
    )
    return fitted


def minimise(
    loss: Callable[..., jax.Array],
    parameters: dict[str, jax.Array],
    rows: Rows,
    steps: int,
    seed: int,
    batch: int = 512,
    decay: float = 1e-3,
) -> dict[str, np.ndarray]:
    """AdamW over random rows; the parameters' moving average."""
    optimizer = optax.adamw(optax.cosine_decay_schedule(3e-3, steps), weight_decay=decay)
    state, mean = optimizer.init(parameters), parameters

    @jax.jit
    def step(parameters: Any, state: Any, mean: Any, rows: Rows) -> tuple[Any, Any, Any, jax.Array]:
        value, gradient = jax.value_and_grad(loss)(parameters, rows)
        updates, state = optimizer.update(gradient, state, parameters)
        parameters = optax.apply_updates(parameters, updates)
        return parameters, state, optax.incremental_update(parameters, mean, 0.005), value

    rng, count = np.random.default_rng(seed), len(next(iter(rows.values())))
    for number in range(steps):
        chosen = rng.integers(0, count, batch)
        parameters, state, mean, value = step(
            parameters, state, mean, {key: table[chosen] for key, table in rows.items()}
        )
        if number % 500 == 0:
            print(f"step {number}: {float(value):.4f}", flush=True)
    return {key: np.array(value) for key, value in mean.items()}


def temperature(logits: Array, labels: Array, weights: Array) -> float:
    """What logits are to be divided by, so that their cross entropy is least."""
    tried = np.linspace(0.6, 3, 97)
    losses = [float(mean_cross_entropy(logits / t, labels, weights)) for t in tried]
    return float(tried[int(np.argmin(losses))])


def fit_judge(groups: list[Rows], steps: int, seed: int) -> dict[str, np.ndarray]:
    """Train the judge to put hits first: the expected hits under the softmax of its scores."""
    most = max(group["facts"].shape[1] for group in groups)

    def padded(table: np.ndarray) -> np.ndarray:
        width = ((0, 0), (0, most - table.shape[1])) + ((0, 0),) * (table.ndim - 2)
        return np.pad(table, width)

    rows = {
        key: np.concatenate([padded(group[key]) for group in groups])
        for key in ("facts", "hits", "valid")
    }
    rows = {key: table[rows["valid"].any(1)] for key, table in rows.items()}
    seen = rows["facts"][rows["valid"]]
    middle, scale = seen.mean(0), seen.std(0) + 1e-3
    rows["facts"] = (rows["facts"] - middle) / scale

    def loss(parameters: quality.Parameters, batch: Rows) -> jax.Array:
        scores = jax.vmap(partial(search.judge, parameters))(batch["facts"])
        chances = jax.nn.softmax(jnp.where(batch["valid"], 3 * scores, -1e9))
        return -(chances * batch["hits"]).sum(-1).mean()

    keys = jax.random.split(jax.random.key(seed), 2)
    start = {
        "judge.facts": jax.random.normal(keys[0], (search.JUDGED, JUDGE_HIDDEN)) * 0.3,
        "judge.hidden_bias": jnp.zeros(JUDGE_HIDDEN),
        "judge.out": jax.random.normal(keys[1], (JUDGE_HIDDEN,)) * 0.1,
        "judge.linear": jnp.zeros(search.JUDGED).at[0].set(1.0),
    }
    fitted = minimise(loss, start, rows, steps, seed, batch=128, decay=1e-2)
    fitted["judge.hidden_bias"] -= (middle / scale) @ fitted["judge.facts"]
    fitted["judge.facts"] /= scale[:, None]
    fitted["judge.linear"] /= scale
    return fitted


def fit(args: argparse.Namespace) -> None:
    """Fit the function and the judge."""
    looks = read_looks(args.files)
    data = examples(looks)
    # Each file's last people calibrate.
    calibrating = np.concatenate([last_people(read_looks([path])) for path in args.files])
    parts = [
        {key: table[rows] for key, table in data.items()} for rows in (~calibrating, calibrating)
    ]
    parameters = fit_function(parts[0], args.steps, 0)
    points, pose = run_function(parameters, parts[1]["points"], parts[1]["pose"])
    by_point = temperature(points, parts[1]["right"], parts[1]["weights"])
    by_pose = temperature(pose, parts[1]["share"], parts[1]["judged"])
    print(f"temperatures: points {by_point:.2f}, poses {by_pose:.2f}")
    # The pose's network goes on reading the points' logits as they were.
    parameters["pose.joints"] *= by_point
    for part, divisor in (("point", by_point), ("pose", by_pose)):
        for name in (f"{part}.out", f"{part}.bias"):
            parameters[name] = parameters[name] / divisor
    groups = [hypotheses(looks, data, parameters, turns) for turns in TURNS.values()]
    parameters |= fit_judge(groups, args.judge_steps, 0)
    save_file(
        {name: np.asarray(table, np.float32) for name, table in parameters.items()}, args.output
    )
    print(f"wrote {args.output}: {sum(table.size for table in parameters.values()):,} parameters")
