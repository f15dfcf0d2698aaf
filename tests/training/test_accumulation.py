"""Gradient accumulation: one update from several micro-batches."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from blazepose_jax import training
from blazepose_jax.cli.main import main
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.training.step import check_batch_size

DECAY = 0.9


def objective(variables, batch, key):
    """A line with noise on its inputs and a running mean of them."""
    x = batch["x"] + jax.random.normal(key, batch["x"].shape)
    params = variables["params"]
    loss = ((x @ params["kernel"] + params["bias"] - batch["y"]) ** 2).mean()
    stats = {"mean": DECAY * variables["batch_stats"]["mean"] + (1 - DECAY) * x.mean(0)}
    return loss, ({"first": x[0, 0]}, stats)


def start(optimizer):
    params = {"kernel": jnp.array([0.5, -1.0, 2.0]), "bias": jnp.float32(0.1)}
    return training.create_train_state(
        {"params": params, "batch_stats": {"mean": jnp.zeros(3)}}, optimizer
    )


def rows(count=8):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(count, 3)), rng.normal(size=count)
    return {"x": jnp.asarray(x, jnp.float32), "y": jnp.asarray(y, jnp.float32)}


@pytest.mark.parametrize("count", [2, 4])
def test_an_update_is_that_of_the_mean_gradient(count):
    """Each part has its own noise, and the batch statistics of the one before it."""
    optimizer, batch, key = optax.sgd(1.0), rows(), jax.random.key(3)
    state = start(optimizer)
    with jax.debug_key_reuse(True):
        new, metrics = jax.jit(
            lambda s, b, k: training.train_step(
                s, b, k, objective=objective, optimizer=optimizer, ema_decay=0.5, accumulate=count
            )
        )(state, batch, key)
    stats, gradients, losses, firsts = state.batch_stats, [], [], []
    for i, own in enumerate(jax.random.split(jax.random.fold_in(key, 0), count)):
        part = jax.tree.map(lambda leaf, i=i: leaf[i::count], batch)

        def loss_of(params, part=part, own=own, stats=stats):
            return objective({"params": params, "batch_stats": stats}, part, own)

        (loss, (found, stats)), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        gradients.append(gradient)
        losses.append(loss)
        firsts.append(found["first"])
    mean = jax.tree.map(lambda *leaves: sum(leaves) / count, *gradients)
    for name, gradient in mean.items():
        np.testing.assert_allclose(new.params[name], state.params[name] - gradient, rtol=1e-5)
    np.testing.assert_allclose(new.batch_stats["mean"], stats["mean"], rtol=1e-5)
    assert metrics["loss"] == pytest.approx(float(sum(losses)) / count, rel=1e-5)
    assert metrics["first"] == pytest.approx(float(sum(firsts)) / count, rel=1e-5)
    assert metrics["gradient_norm"] == pytest.approx(float(optax.tree.norm(mean)), rel=1e-5)
    # The parts' noise differs, and so do they from the whole's.
    assert len({float(first) for first in firsts}) == count


def test_without_noise_and_statistics_it_is_the_whole_batchs_gradient():
    """A mean of means of equal parts is the mean."""
    optimizer, batch = optax.sgd(1.0), rows()

    def plain(variables, batch, key):
        params = variables["params"]
        loss = ((batch["x"] @ params["kernel"] + params["bias"] - batch["y"]) ** 2).mean()
        return loss, ({}, variables["batch_stats"])

    whole, parts = (
        training.train_step(
            start(optimizer),
            batch,
            jax.random.key(0),
            objective=plain,
            optimizer=optimizer,
            ema_decay=0.5,
            accumulate=count,
        )[0]
        for count in (1, 4)
    )
    for name, value in whole.params.items():
        np.testing.assert_allclose(parts.params[name], value, rtol=1e-5)


def test_one_micro_batch_has_no_loop():
    optimizer = optax.sgd(1.0)

    def traced(count):
        return str(
            jax.make_jaxpr(
                lambda s, b, k: training.train_step(
                    s,
                    b,
                    k,
                    objective=objective,
                    optimizer=optimizer,
                    ema_decay=0.5,
                    accumulate=count,
                )
            )(start(optimizer), rows(), jax.random.key(0))
        )

    assert "scan" not in traced(1)
    assert "scan" in traced(2)


@pytest.mark.parametrize(
    ("size", "devices", "accumulate", "message"),
    [
        (30, 4, 1, "is 30: it must be a multiple of the 4 devices"),
        (24, 4, 4, "is 24: it must be a multiple of the 4 devices times 4 micro-batches"),
        (8, 1, 0, "optimizer.accumulate is 0"),
    ],
)
def test_sizes_that_do_not_divide(size, devices, accumulate, message):
    with pytest.raises(BlazePoseError, match=message):
        check_batch_size(size, devices, accumulate)
    check_batch_size(32, 4, 4)


def test_a_run_that_cannot_be_divided_is_one_line(records, tmp_path, capsys):
    words = [f"data.records={records}", "optimizer.accumulate=3"]
    assert main(["train", "smoke", "--workdir", str(tmp_path), *words]) == 2
    said = capsys.readouterr().err
    assert "micro-batches" in said
    assert said.count("\n") == 1


@pytest.mark.long
def test_a_run_accumulates(records, tmp_path):
    """In bfloat16; test_own_keypoints has one in float32."""
    words = [f"data.records={records}", "optimizer.steps=6", "log_every=1", "checkpoint_every=6"]
    command = ["train", "smoke", "--workdir", str(tmp_path / "run"), *words]
    assert main([*command, "optimizer.accumulate=2", "model.bfloat16=True"]) == 0
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    learned = [row for row in map(json.loads, lines) if row["kind"] == "train"]
    assert [row["step"] for row in learned] == [1, 2, 3, 4, 5, 6]
    assert learned[-1]["loss"] < learned[0]["loss"]
