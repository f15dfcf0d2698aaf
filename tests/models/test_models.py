from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from helpers import TRUTH, random_variables
from jax import lax

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.models import (
    FOLDED,
    MODELS,
    LayerConfig,
    cpu_ops,
    create_model,
    layers,
    paper_pose,
    released_pose,
    resize,
)
from blazepose_jax.models.backbone import BackboneSizes
from blazepose_jax.models.batch_norm import fold_batch_norm
from blazepose_jax.models.layers import Conv
from blazepose_jax.models.summary import conv_calls, count_macs, count_parameters
from blazepose_jax.structs import Network
from blazepose_jax.training.trainer import QUICK

XLA = LayerConfig("folded", convolution="xla")
# Small enough to compile in seconds, with every kind of block.
TINY = released_pose.PoseSizes(
    BackboneSizes((8, 8, 8, 8, 8, 8), (6,), (1, 1, 1, 1)), 8, 16, (1, 1), ((8, 1), (8, 1), (16, 1))
)
TINY_PAPER = paper_pose.PaperSizes((8, 8, 8, 8, 8), 8, (1, 0, 1, 0), (1, 0, 1, 0, 1))


@pytest.mark.parametrize("name", MODELS)
def test_table_of_truth(name):
    calls = conv_calls(create_model(name, XLA), MODELS[name].side)
    assert (count_parameters(calls), count_macs(calls)) == TRUTH[name]


def test_paper_lite_is_within_three_percent_of_the_papers_size():
    assert abs(TRUTH["paper_lite"][0] / 1.3e6 - 1) <= 0.03


@pytest.mark.parametrize("name", ["full", "detector"])
def test_grey_levels_are_normalised_as_the_spec_says(name):
    spec, levels = MODELS[name], np.arange(256)
    network = Network({}, lambda variables, images: images, spec.side, spec.mean, spec.std)
    expected = (levels - spec.mean) / spec.std
    for normalise in (spec.normalise, network.normalise):
        for dtype in (np.uint8, np.float32):
            found = normalise(levels.astype(dtype))
            assert found.dtype == np.float32
            # XLA may multiply by the reciprocal.
            np.testing.assert_allclose(found, expected, atol=1e-7)


def test_unknown_network_suggests_the_nearest():
    with pytest.raises(BlazePoseError, match="did you mean 'paper_full'"):
        create_model("paper_ful")


@pytest.mark.parametrize(
    ("name", "convolutions"),
    [("smoke", 46), pytest.param("paper_full", 140, marks=pytest.mark.long)],
)
def test_activations_neither_explode_nor_die(name, convolutions):
    # At full depth on a small image; with running and with batch statistics.
    side = 128
    model = create_model(name, LayerConfig(convolution="xla"), side=side)
    images = jax.random.uniform(jax.random.key(1), (2, side, side, 3))
    deviations = []

    def record(call, args, kwargs, context):
        out = call(*args, **kwargs)
        if isinstance(context.module, Conv):
            deviations.append(jnp.std(out))
        return out

    @partial(jax.jit, compiler_options=QUICK)
    def run(key):
        variables = model.init(key, images, train=False)
        with nn.intercept_methods(record):
            for train in (False, True):
                model.apply(variables, images, train=train, mutable=["batch_stats"])
        found, deviations[:] = jnp.stack(deviations), []
        return found

    found = np.asarray(run(jax.random.key(0, impl="rbg")))
    assert len(found) > 2 * convolutions
    # Vector heads on a 1x1 map have one value per image; deviations over the batch may be small
    # there.
    assert np.percentile(found, 2) > 1e-2
    assert found.max() < 1e2


@pytest.mark.parametrize(
    ("stride", "padding", "kernel"),
    [
        (1, "SAME", 3),
        (1, "SAME", 5),
        (2, "SAME", 3),
        (2, layers.symmetric(5), 5),
        (2, layers.symmetric(3), 3),
    ],
)
def test_depthwise_by_shifts_is_the_grouped_convolution(stride, padding, kernel):
    x = jax.random.normal(jax.random.key(0), (2, 14, 12, 6))
    weights = jax.random.normal(jax.random.key(1), (kernel, kernel, 1, 6))
    expected = lax.conv_general_dilated(
        x,
        weights,
        (stride, stride),
        padding,
        feature_group_count=6,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    np.testing.assert_allclose(
        cpu_ops.depthwise_by_shifts(x, weights, stride, padding), expected, atol=1e-5
    )


def test_upsample_is_half_pixel_bilinear():
    x = jax.random.normal(jax.random.key(0), (2, 5, 7, 3))
    np.testing.assert_allclose(
        resize.upsample2x(x, XLA), jax.image.resize(x, (2, 10, 14, 3), "bilinear"), atol=1e-6
    )


def test_depth_to_space_has_tensorflows_channel_order():
    x = jnp.arange(4 * 3.0).reshape(1, 1, 1, 12)
    np.testing.assert_array_equal(resize.depth_to_space2x(x)[0, :, :, 0], [[0, 3], [6, 9]])


def shapes_of_variables(model, images):
    return jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))


def reached_by_regression(model, images):
    """The parts that the regression's gradient reaches, and all of them.

    Nothing is computed: where the loss does not depend on a parameter, the gradient is traced to a
    constant 0.
    """
    variables = shapes_of_variables(model, images)

    def loss(params, stats):
        learning = {"params": params, "batch_stats": stats}
        out, _ = model.apply(learning, images, train=True, mutable=["batch_stats"])
        return (out.landmarks**2).mean() + (out.presence**2).mean()

    params = variables["params"]
    traced = jax.make_jaxpr(jax.grad(loss))(params, variables["batch_stats"]).jaxpr
    zeros = {
        equation.outvars[0]
        for equation in traced.eqns
        if equation.primitive.name == "broadcast_in_dim"
        and getattr(equation.invars[0], "val", None) == 0
    }
    moves = jax.tree.unflatten(jax.tree.structure(params), [v not in zeros for v in traced.outvars])
    return {name for name, part in moves.items() if any(jax.tree.leaves(part))}, set(params)


@pytest.mark.parametrize(
    "make",
    [
        lambda config: released_pose.PoseNet(config, TINY),
        lambda config: paper_pose.PaperPose(config, TINY_PAPER),
    ],
    ids=["released", "paper"],
)
class TestSmallPoseNet:
    images = jax.random.uniform(jax.random.key(5), (2, 128, 128, 3))

    def variables(self, model):
        return random_variables(model, self.images)

    def test_folding_keeps_the_function_on_both_lowerings(self, make):
        variables = self.variables(make(LayerConfig()))
        expected = jax.jit(
            lambda v: make(LayerConfig(convolution="xla")).apply(v, self.images, train=False)
        )(variables)
        for config in (XLA, LayerConfig("folded", convolution="cpu")):
            folded = fold_batch_norm(variables)
            found = jax.jit(
                lambda v, config=config: make(config).apply(v, self.images, train=False)
            )(folded)
            jax.tree.map(
                lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4 * np.abs(b).max()),
                found,
                expected,
            )

    def test_regression_does_not_train_encoder_or_decoder(self, make):
        reached, parts = reached_by_regression(make(LayerConfig()), self.images)
        regression = {name for name in parts if name.startswith("regression")}
        assert regression
        assert regression <= reached <= regression | {"heads"}


def test_ablations_leave_one_part_out():
    images = jax.random.uniform(jax.random.key(5), (1, 128, 128, 3))
    stopped, free, without = (
        create_model("smoke", LayerConfig(), side=128, **arguments)
        for arguments in ({}, {"stop_gradient": False}, {"skips": False})
    )
    assert "encoder_4_down" not in reached_by_regression(stopped, images)[0]
    reached, parts = reached_by_regression(free, images)
    assert {"encoder_4_down", "decoder_32", "stem"} <= reached
    left = set(shapes_of_variables(without, images)["params"])
    assert parts - left == {f"regression_skip_{s}" for s in (8, 16, 32)}


def test_training_only_heads_exist_in_training_only():
    model = paper_pose.PaperPose(LayerConfig(), TINY_PAPER)
    images = jax.ShapeDtypeStruct((2, 256, 256, 3), jnp.float32)
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), images)
    trained, _ = jax.eval_shape(
        lambda v, x: model.apply(v, x, train=True, mutable=["batch_stats"]), variables, images
    )
    assert trained.heatmap.shape == (2, 64, 64, 39)
    assert trained.offsets.shape == (2, 64, 64, 78)
    inferred = jax.eval_shape(lambda v, x: model.apply(v, x, train=False), variables, images)
    assert inferred.heatmap is None
    assert inferred.offsets is None
    assert inferred.mask.shape == (2, 128, 128, 1)


def test_keypoints_fields_and_heads_are_arguments():
    model = create_model(
        "lite", XLA, keypoints=5, fields=("x", "y", "visibility"), heads=("heatmap",)
    )
    images = jax.ShapeDtypeStruct((1, 256, 256, 3), jnp.float32)
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), images)
    out = jax.eval_shape(lambda v, x: model.apply(v, x, train=False), variables, images)
    assert out.landmarks.shape == (1, 5, 3)
    assert out.heatmap.shape == (1, 64, 64, 5)
    assert out.world is None
    assert out.mask is None


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_parameters():
    config = LayerConfig(dtype=jnp.bfloat16, convolution="xla")
    model = released_pose.PoseNet(config, TINY)
    images = jax.ShapeDtypeStruct((1, 128, 128, 3), jnp.float32)
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), images)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    program, out = jax.make_jaxpr(lambda v, x: model.apply(v, x, train=False), return_shape=True)(
        variables, images
    )
    assert out.landmarks.dtype == jnp.float32
    kinds = [
        {str(place.aval.dtype) for place in (*call.invars, *call.outvars)}
        for call in program.jaxpr.eqns
        if call.primitive.name == "conv_general_dilated"
    ]
    # The last layer of each of five heads is as precise as what it gives.
    assert kinds.count({"float32"}) == 5
    assert kinds.count({"bfloat16"}) == len(kinds) - 5 > 50


def test_lists_are_arguments_too():
    """As JSON and people write them."""
    lists = create_model("smoke", FOLDED, fields=["x", "y"], heads=["heatmap"], keypoints=5)
    assert lists == create_model(
        "smoke", FOLDED, fields=("x", "y"), heads=("heatmap",), keypoints=5
    )
    hash(lists)


@pytest.mark.parametrize("words", [{"norm": "fold"}, {"convolution": "gpuu"}])
def test_misspelt_configurations_are_refused(words):
    with pytest.raises(BlazePoseError, match="did you mean"):
        LayerConfig(**words)
