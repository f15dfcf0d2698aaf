"""Gradients written by hand against autodiff, losses against finite differences."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import batch_targets
from jax import lax
from jax.test_util import check_grads

from blazepose_jax import training
from blazepose_jax.models import FIELDS, cpu_ops, gpu_ops
from blazepose_jax.structs import PoseOutputs
from blazepose_jax.training import LossConfig, TeacherConfig, losses
from blazepose_jax.training.distillation import DistillationLosses, distillation_losses
from blazepose_jax.training.pose_loss import PoseLosses
from blazepose_jax.training.targets import BodyTargets


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [(3, 1, "SAME"), (5, 2, "SAME"), (3, 2, ((1, 1), (1, 1))), (5, 2, ((2, 2), (2, 2)))],
)
@pytest.mark.parametrize("depthwise", [cpu_ops.depthwise_by_shifts, gpu_ops.depthwise])
def test_depthwise_gradients_are_those_of_the_convolution(
    depthwise, dtype, kernel, stride, padding
):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(6, 16, 15, 8)), dtype)
    k = jnp.asarray(rng.normal(size=(kernel, kernel, 1, 8)), dtype)

    def convolved(x, k):  # in float32, by XLA's own gradient
        return lax.conv_general_dilated(
            x.astype(jnp.float32),
            k.astype(jnp.float32),
            (stride, stride),
            padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=8,
        )

    weights = jnp.asarray(rng.normal(size=jax.eval_shape(convolved, x, k).shape), jnp.float32)

    def score(function):
        return jax.jit(
            jax.value_and_grad(
                lambda x, k: (function(x, k).astype(jnp.float32) * weights).sum(), (0, 1)
            )
        )

    value, found = score(lambda x, k: depthwise(x, k, stride, padding))(x, k)
    expected_value, expected = score(convolved)(x, k)
    # Only what is stored is rounded: a sum of 1,536 products in bfloat16 would be off by several
    # per cent.
    bound = 1e-5 if dtype == jnp.float32 else 2**-8
    assert abs(value - expected_value) <= 20 * bound * np.sqrt(weights.size)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == dtype
        theirs = np.asarray(theirs, np.float32)
        assert (
            np.abs(np.asarray(ours, np.float32) - theirs).max() <= 2 * bound * np.abs(theirs).max()
        )


def test_means_of_fractional_weights():
    values = jnp.array([2.0, 4.0, 100.0])
    assert losses.masked_mean(values[:1], jnp.array([0.5])) == 2
    assert losses.masked_mean(values, jnp.array([0.2, 0.1, 0.0])) == pytest.approx(8 / 3)
    assert losses.masked_mean(values, jnp.zeros(3)) == 0
    assert np.isfinite(jax.grad(lambda m: losses.masked_mean(values, m))(jnp.zeros(3))).all()
    check_grads(lambda v: losses.masked_mean(v, jnp.array([0.2, 0.1, 0.0])), (values,), 1)


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: losses.binary_cross_entropy(x, jnp.array([0.0, 0.3, 1.0])).sum(),
        lambda x: losses.smooth_l1(x, 0.7).sum(),
        lambda x: losses.focal(x, jnp.array([0.0, 1.0, 1.0]), 0.25, 2.0).sum(),
        lambda x: losses.robust_distance(x[None], jnp.ones((1, 3)), jnp.array([0.3]), 0.15).sum(),
    ],
    ids=["bce", "smooth_l1", "focal", "robust_distance"],
)
def test_elementwise_losses_against_finite_differences(loss):
    check_grads(loss, (jnp.array([-1.3, 0.4, 2.1]),), 1, atol=2e-2, rtol=2e-2)


def outputs_like(targets, seed):
    rng = np.random.default_rng(seed)
    rows = jnp.zeros((2, 39, 5)).at[..., :2].set(targets.keypoints_crop * 256) + 8 * rng.normal(
        size=(2, 39, 5)
    )
    return PoseOutputs(
        jnp.asarray(rows, jnp.float32),
        jnp.array([[0.3], [-0.2]]),
        mask=jnp.asarray(rng.normal(size=(2, 16, 16, 1)), jnp.float32),
        heatmap=jnp.asarray(rng.normal(size=(2, 16, 16, 39)) - 3, jnp.float32),
        offsets=jnp.asarray(rng.normal(size=(2, 16, 16, 78)), jnp.float32),
        world=jnp.asarray(rng.normal(size=(2, 39, 3)), jnp.float32),
    )


def every_loss():
    """{name: a function of what the net says}, of the recipe and of the teacher."""
    targets = batch_targets()
    targets = targets.replace(
        body=BodyTargets(
            depth=jnp.full((2, 39), 0.1),
            world=jnp.full((2, 33, 3), 0.2),
            mask=jnp.ones((2, 256, 256)) * 0.4,
            known=jnp.array([True, False]),
        )
    )
    outputs, teacher_outputs = outputs_like(targets, 0), outputs_like(targets, 1)
    big = outputs.replace(mask=jnp.zeros((2, 256, 256, 1)) + 0.3)

    def own(name):
        return lambda o: getattr(
            training.pose_losses(
                o,
                targets,
                fields=FIELDS,
                side=256,
                has_occlusion_labels=jnp.array([True, False]),
                weight=jnp.array([1.0, 0.5]),
                config=LossConfig(),
            ),
            name,
        )

    def distilled(name):
        return lambda o: getattr(
            distillation_losses(
                o,
                teacher_outputs,
                targets,
                fields=FIELDS,
                side=256,
                weight=jnp.array([1.0, 0.5]),
                trust=jnp.ones(targets.labelled.shape),
                taught=np.ones(targets.labelled.shape[1], bool),
                config=TeacherConfig(),
            ),
            name,
        )

    found = {name: (own(name), big) for name in OWN}
    return found | {f"teacher_{name}": (distilled(name), outputs) for name in TEACHER}


OWN = tuple(field.name for field in dataclasses.fields(PoseLosses))
# Features need nets of equal width; their loss is a mean of squares.
TEACHER = tuple(f.name for f in dataclasses.fields(DistillationLosses) if f.name != "features")


def test_every_loss_of_the_recipe_against_finite_differences():
    """Along a random direction of everything the net says."""
    rng = np.random.default_rng(2)
    cases = every_loss()
    assert len(cases) == 9 + 6
    weights = {
        field.name for config in (LossConfig, TeacherConfig) for field in dataclasses.fields(config)
    }
    assert weights >= set(OWN) | set(TEACHER)
    for name, (loss, outputs) in cases.items():
        way = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape), jnp.float32), outputs)
        along = jax.jit(
            lambda t, loss=loss, outputs=outputs, way=way: loss(
                jax.tree.map(lambda a, b: a + t * b, outputs, way)
            )
        )
        slope = float(jax.grad(along)(0.0))
        assert slope != 0, name
        step = 2e-2
        measured = float(along(step) - along(-step)) / (2 * step)
        assert measured == pytest.approx(slope, rel=0.05, abs=2e-4), name


def test_a_step_that_is_not_finite_and_those_after_it_change_nothing():
    from blazepose_jax.training import create_train_state, make_optimizer, train_step
    from blazepose_jax.training.step import keep_if_sound

    optimizer = make_optimizer(0.1, 10, warmup=0.1, weight_decay=0.0, clip=1.0)
    state = create_train_state({"params": {"kernel": jnp.ones(3)}}, optimizer)

    def objective(variables, batch, key):
        return (variables["params"]["kernel"] * batch).sum(), ({}, {})

    def step(state, batch, number):
        new, metrics = train_step(
            state, batch, jax.random.key(0), objective=objective, optimizer=optimizer, ema_decay=0.9
        )
        return keep_if_sound(new, state, metrics, number)

    good = step(state, jnp.ones(3), 0)
    assert good.step == 1
    for bad in (jnp.full(3, jnp.nan), jnp.full(3, jnp.inf)):
        failed = step(good, bad, 1)
        jax.tree.map(np.testing.assert_array_equal, failed, good)
        jax.tree.map(np.testing.assert_array_equal, step(failed, jnp.ones(3), 2), good)


def test_groups_that_fit_nothing_are_an_error():
    from blazepose_jax.errors import BlazePoseError
    from blazepose_jax.training import make_optimizer

    params = {"backbone": {"kernel": jnp.ones(2)}, "heads": {"kernel": jnp.ones(2)}}
    with pytest.raises(BlazePoseError, match="'bakbone': did you mean 'backbone'"):
        make_optimizer(
            0.1, 10, warmup=0.1, weight_decay=0.0, clip=1.0, groups=(("bakbone", 0.1),)
        ).init(params)
    make_optimizer(0.1, 10, warmup=0.1, weight_decay=0.0, clip=1.0, groups=(("back", 0.1),)).init(
        params
    )


def test_oks_constants_go_by_whole_words():
    from blazepose_jax.evaluation.metrics import OTHER_SIGMA, oks_sigma

    assert oks_sigma("left_ear") == oks_sigma("LeftEar") == oks_sigma("ear-R") == 0.035
    for name in ("left_forearm", "rear_paw", "nosebridge"):
        assert oks_sigma(name) == OTHER_SIGMA


def test_auxiliary_rows_without_roi_points_are_not_trained():
    from helpers import record

    from blazepose_jax.skeleton import BLAZEPOSE
    from blazepose_jax.training import NO_AUGMENTATION

    other = dataclasses.replace(BLAZEPOSE, auxiliary=("tip", "roi_center", "roi_circle"))
    found = training.sample_targets(jax.random.key(0), record(), other, 128, NO_AUGMENTATION)
    assert found.keypoints_crop.shape == (36, 2)
    assert not found.labelled[33:].any()
