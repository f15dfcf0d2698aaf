"""Starting from trained weights: unfolding, frozen statistics, groups, teachers."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import random_variables, shared

from blazepose_jax import training
from blazepose_jax.cli.main import main
from blazepose_jax.data.records import open_records
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.models import FOLDED, LayerConfig, create_model, create_network
from blazepose_jax.models.batch_norm import fold_batch_norm, unfold_batch_norm
from blazepose_jax.skeleton import BLAZEPOSE, COCO
from blazepose_jax.structs import PoseOutputs
from blazepose_jax.training import (
    LossConfig,
    Teacher,
    TeacherConfig,
    create_train_state,
    losses,
    make_optimizer,
    train_step,
)
from blazepose_jax.training.distillation import distillation_losses, trust_in_labels
from blazepose_jax.training.initialise import start_from, take_over
from blazepose_jax.training.optimizer import stop_frozen
from blazepose_jax.training.pose_loss import PoseLosses
from blazepose_jax.training.targets import Targets
from blazepose_jax.training.teacher import TrainingModeApply, load_teacher
from blazepose_jax.weights import import_weights, save_weights
from blazepose_jax.weights.directory import StoredNetwork

FIELDS = ("x", "y", "z", "visibility", "presence")


def apart(a, b):
    """The largest difference over each output's peak."""
    return max(
        float(jnp.abs(x - y).max() / jnp.abs(x).max())
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


def applied(model, variables, images, **how):
    """A network's outputs; one program compiles far quicker than its operations one by one."""
    return jax.jit(lambda v, x: model.apply(v, x, **how))(variables, images)


@pytest.fixture(scope="module")
def smoke():
    """A small net, folded, and crops; its kernels' sizes differ as those of released nets do."""
    images = jax.random.uniform(jax.random.key(1), (4, 128, 128, 3))
    batch = create_model("smoke", LayerConfig(), side=128)
    variables = random_variables(batch, images[:1])
    rng = np.random.default_rng(2)

    def uneven(path, leaf):
        draw = rng.normal(size=leaf.shape).astype(np.float32)
        # What residual branches add is small, as after an init: numbers do not explode.
        gain = 0.1 if any(part.key == "branch" for part in path) else 1
        drawn = {"scale": gain * np.exp(0.7 * draw), "var": np.exp(draw), "mean": 0.3 * draw}
        return drawn.get(path[-1].key, leaf)

    return batch, fold_batch_norm(jax.tree_util.tree_map_with_path(uneven, variables)), images


def test_unfolding_keeps_the_function(smoke):
    batch, folded, images = smoke
    unfolded = unfold_batch_norm(batch, folded, [images[:2], images[2:]])
    expected = applied(create_model("smoke", FOLDED, side=128), folded, images, train=False)
    assert apart(expected, applied(batch, unfolded, images, train=False)) < 1e-4
    # The measured statistics are those of the crops: normalising by the batch's own changes nothing
    # either.
    outputs, updated = applied(batch, unfolded, images, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(outputs.landmarks, expected.landmarks, atol=0.5)
    for old, new in zip(
        jax.tree.leaves(unfolded["batch_stats"]),
        jax.tree.leaves(updated["batch_stats"]),
        strict=True,
    ):
        np.testing.assert_allclose(old, new, rtol=0.02, atol=0.02)
    # And kernels have the size that initialisation gives them.
    kernel = np.asarray(unfolded["params"]["stem"]["kernel"])
    np.testing.assert_allclose(np.sqrt((kernel**2).mean((0, 1, 2))), np.sqrt(2 / 27), rtol=1e-3)
    with pytest.raises(ValueError, match="needs crops"):
        unfold_batch_norm(batch, folded, [])


def test_frozen_statistics_stay_and_groups_set_the_pace(smoke):
    batch, folded, images = smoke
    unfolded = unfold_batch_norm(batch, folded, [images])
    frozen = create_model("smoke", LayerConfig(frozen=True), side=128)
    outputs, updated = applied(frozen, unfolded, images, train=True, mutable=["batch_stats"])
    jax.tree.map(np.testing.assert_array_equal, updated["batch_stats"], unfolded["batch_stats"])
    inference = applied(batch, unfolded, images, train=False)
    np.testing.assert_allclose(outputs.landmarks, inference.landmarks, rtol=1e-5, atol=1e-4)  # px

    params = {"backbone": {"kernel": jnp.ones(3)}, "heads": {"kernel": jnp.ones(3)}}
    for rule in ("adamw", "sgd"):
        optimizer = make_optimizer(
            0.1, 10, warmup=0.1, weight_decay=0.0, clip=9.0, rule=rule, groups=(("backbone", 0.1),)
        )
        state = create_train_state({"params": params}, optimizer)
        for _ in range(3):
            state, _ = train_step(
                state,
                None,
                jax.random.key(0),
                optimizer=optimizer,
                ema_decay=0.9,
                objective=(
                    lambda variables, batch, key: (
                        sum(x.sum() for x in jax.tree.leaves(variables["params"])),
                        ({}, {}),
                    )
                ),
            )
        slow, fast = (1 - state.params[name]["kernel"] for name in ("backbone", "heads"))
        np.testing.assert_allclose(10 * slow, fast, rtol=1e-4)
        assert fast.min() > 0.01
    with pytest.raises(BlazePoseError, match="did you mean 'sgd'"):
        make_optimizer(0.1, 10, warmup=0.1, weight_decay=0.0, clip=9.0, rule="sdg")
    assert isinstance(optimizer, optax.GradientTransformation)


def test_frozen_layers_cost_no_gradient(smoke):
    _, _, images = smoke
    frozen = create_model("smoke", LayerConfig(frozen=True), side=128)
    variables = jax.eval_shape(
        lambda key: frozen.init(key, images[:1], train=False), jax.random.key(0)
    )
    params, stats = variables["params"], variables["batch_stats"]

    def gradient(groups):
        def loss(params, stats):
            learning = {"params": stop_frozen(params, groups), "batch_stats": stats}
            outputs, _ = frozen.apply(learning, images, train=True, mutable=["batch_stats"])
            return jnp.abs(outputs.landmarks).mean() + jnp.abs(outputs.heatmap).mean()

        return jax.grad(loss)

    def work(groups):
        return len(jax.make_jaxpr(gradient(groups))(params, stats).jaxpr.eqns)

    heads_alone = tuple((name, 0.0) for name in params if name != "heads")
    assert work(heads_alone) < 0.7 * work((("heads", 0.5),)) == 0.7 * work(())
    # Of the first layer alone nothing but its own gradient is saved.
    assert work(heads_alone) < work((("stem", 0.0),)) < work(())

    def product(params):
        stopped = stop_frozen(params, (("stem", 0.0),))
        return stopped["stem"]["kernel"] * stopped["heads"]["kernel"]

    simple = {"stem": {"kernel": jnp.float32(3)}, "heads": {"kernel": jnp.float32(5)}}
    assert jax.grad(product)(simple) == {"stem": {"kernel": 0}, "heads": {"kernel": 3}}


def test_a_loss_of_weight_0_is_left_out():
    names = [field.name for field in dataclasses.fields(PoseLosses)]
    parts = PoseLosses(**dict.fromkeys(names, jnp.float32(2))).replace(mask=jnp.float32(np.nan))
    loss, weighted = losses.weigh(parts, LossConfig(mask=0.0, heatmap=3.0))
    assert float(weighted.mask) == 0
    assert float(weighted.heatmap) == 6
    np.testing.assert_allclose(loss, sum(map(float, vars(weighted).values())), rtol=1e-6)


def test_what_does_not_fit_starts_fresh_and_is_named(smoke, tmp_path, capsys):
    _, folded, _ = smoke
    model = create_model("smoke", FOLDED, side=128, keypoints=17)
    images = jax.ShapeDtypeStruct((1, 128, 128, 3), jnp.float32)
    fresh = random_variables(model, images)
    taken = take_over(fresh, folded)
    said = capsys.readouterr().out
    assert "params/heads/landmarks/kernel" in said
    assert "stem" not in said
    np.testing.assert_array_equal(
        taken["params"]["stem"]["kernel"], folded["params"]["stem"]["kernel"]
    )
    arguments = {
        "keypoints": 39,
        "side": 128,
        "fields": FIELDS,
        "heads": ("mask", "heatmap", "offsets"),
    }
    save_weights(
        tmp_path / "w",
        {
            "pose": StoredNetwork(
                "smoke", "folded", jax.device_get(folded), arguments, "", "", BLAZEPOSE
            )
        },
    )
    with pytest.raises(BlazePoseError, match="the experiment trains 'lite'"):
        start_from(str(tmp_path / "w"), "pose", fresh, "lite", "batch", [])
    with pytest.raises(BlazePoseError, match="holds no detector"):
        start_from(str(tmp_path / "w"), "detector", fresh, "smoke", "batch", [])
    # Shipped weights are float16; Adam needs more.
    half = jax.tree.map(lambda a: np.asarray(a, np.float16), folded)
    shipped = StoredNetwork("smoke", "folded", half, arguments, "", "", BLAZEPOSE)
    save_weights(tmp_path / "half", {"pose": shipped})
    started = start_from(
        str(tmp_path / "half"), "pose", folded, "smoke", "folded", [], skeleton=BLAZEPOSE
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(started)} == {np.dtype(np.float32)}
    teacher = load_teacher(TeacherConfig(weights=str(tmp_path / "w")), BLAZEPOSE, FIELDS)
    assert teacher is not None
    assert jax.eval_shape(teacher.network, images).features.shape == (1, 32, 32, 16)
    # A set with fewer points is taught those that it shares, and the ROI points.
    teacher = load_teacher(TeacherConfig(weights=str(tmp_path / "w")), COCO, FIELDS)
    assert teacher is not None
    assert teacher.rows == (*BLAZEPOSE.indices(COCO.keypoints), 33, 34)
    assert teacher.knows_roi
    with pytest.raises(BlazePoseError, match="does not predict 'score'"):
        load_teacher(TeacherConfig(weights=str(tmp_path / "w")), COCO, (*FIELDS, "score"))
    assert load_teacher(TeacherConfig(), BLAZEPOSE, FIELDS) is None


def targets(points):
    count = points.shape[1]
    yes = jnp.ones((1, count), bool)
    return Targets(
        image=jnp.zeros((1, 8, 8, 3)),
        keypoints_crop=points,
        labelled=yes.at[:, :2].set(False),
        label_weight=jnp.ones((1, count)).at[:, :2].set(0),
        inside=yes,
        visible=jnp.ones((1, count)),
        covered=~yes,
        is_keypoint=yes,
        torso=jnp.array([0.25]),
        is_person=jnp.array([True]),
    )


@jax.jit
def distilled(outputs, teacher_outputs, goal, trust=None):
    return distillation_losses(
        outputs,
        teacher_outputs,
        goal,
        fields=FIELDS,
        side=128,
        weight=jnp.ones(1),
        trust=jnp.ones((1, 39)) if trust is None else trust,
        taught=np.ones(39, bool),
        config=TeacherConfig(),
    )


def test_a_student_that_agrees_has_nothing_to_learn(smoke):
    _, folded, images = smoke
    outputs = applied(create_model("smoke", FOLDED, side=128), folded, images[:1], train=True)
    goal = targets(outputs.landmarks[..., :2] / 128)
    agreed = distilled(outputs, outputs, goal)
    for name in ("points", "visibility", "heatmap", "mask", "features"):
        assert abs(float(getattr(agreed, name))) < 1e-5, name
    moved = outputs.replace(
        landmarks=outputs.landmarks + 20,
        heatmap=outputs.heatmap + 3,
        mask=outputs.mask - 2,
        features=2 * outputs.features,
    )
    worse = distilled(moved, outputs, goal)
    for name in ("points", "visibility", "heatmap", "mask", "features"):
        assert getattr(worse, name) > getattr(agreed, name) + 1e-4, name
    # The paper's nets draw smaller masks than Google's.
    batch, side = outputs.mask.shape[:2]
    small = jax.image.resize(outputs.mask, (batch, side // 2, side // 2, 1), "linear")
    same, apart = (
        float(distilled(outputs.replace(mask=mask), outputs, goal).mask)
        for mask in (small, 0 * small)
    )
    assert abs(same) < 1e-5 < 1e-3 < apart
    # Where its label is doubted, a map is the teacher's to draw.
    elsewhere = outputs.replace(heatmap=outputs.heatmap.at[..., 5].add(3))
    sure, unsure = (
        distilled(elsewhere, outputs, goal, trust=jnp.ones((1, 39)).at[0, 5].set(share))
        for share in (1.0, 0.5)
    )
    assert float(sure.heatmap) < 1e-6 < 1e-3 < float(unsure.heatmap)
    # Only points that nobody labelled are the teacher's to place.
    labelled = outputs.replace(landmarks=outputs.landmarks.at[:, 5, :2].add(50))
    same = distilled(labelled, outputs, goal)
    np.testing.assert_allclose(same.points, agreed.points, atol=1e-6)


def test_labels_far_from_the_teachers_peak_weigh_less():
    from blazepose_jax.codecs import heatmaps

    points = jnp.array([[[0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0.3, 0.3]]])
    peaks = points[0] + jnp.array([[0.0, 0.0], [0.0, 0.09], [0.0, 0.2], [0.0, 0.0]])
    maps = heatmaps.encode(peaks, 64, 1.5)
    outputs = PoseOutputs(
        jnp.zeros((1, 4, 5)),
        jnp.zeros((1, 1)),
        heatmap=(jnp.log(maps + 1e-6) - jnp.log1p(1e-6 - maps))[None],
    )
    taught = np.ones(4, bool)
    trust = trust_in_labels(outputs, targets(points), taught, TeacherConfig())
    np.testing.assert_allclose(trust, [[1.0, 0.5, 0.15, 1.0]])
    np.testing.assert_allclose(
        trust_in_labels(outputs, targets(points), taught, TeacherConfig(doubt=False)), 1
    )
    untaught = np.array([True, True, False, True])
    trust = trust_in_labels(outputs, targets(points), untaught, TeacherConfig())
    np.testing.assert_allclose(trust, [[1.0, 0.5, 1.0, 1.0]])


def test_a_teacher_steers_the_objective(smoke):
    from helpers import record

    batch, folded, _ = smoke
    variables = unfold_batch_norm(batch, folded, [jnp.zeros((1, 128, 128, 3))])
    network = create_network("smoke", folded, FOLDED, BLAZEPOSE, side=128)
    network = network.replace(apply=TrainingModeApply(network.apply.module))
    records = jax.tree.map(lambda a: jnp.asarray(a)[None], record())

    def apply(variables, pixels):
        return batch.apply(variables, pixels / 255, train=False), {}

    def loss(variables, records, teacher):
        return training.pose_objective(
            apply,
            variables,
            records,
            jax.random.key(0),
            skeleton=BLAZEPOSE,
            fields=FIELDS,
            side=128,
            augmentation=training.NO_AUGMENTATION,
            weights=training.LossConfig(),
            teacher=teacher,
        )

    teacher = Teacher(network, TeacherConfig(), BLAZEPOSE, tuple(range(39)), tuple(range(5)))
    (alone, (parts, _)), (both, (taught, _)) = jax.jit(
        lambda *inputs: (loss(*inputs, None), loss(*inputs, teacher))
    )(variables, records)
    assert not any(name.startswith("teacher") for name in parts)
    assert "teacher_peaks" in taught
    assert float(both) != pytest.approx(float(alone))


@pytest.mark.long
def test_a_teacher_finds_people_whose_hips_nobody_labelled(tmp_path):
    """On real photographs; the teacher places the square and labels nothing."""
    source = shared("data", "lsp_train")
    found = json.loads((source / "annotations.json").read_text())
    names = found["categories"][0]["keypoints"]
    rows = [
        3 * names.index(n) + 2 for n in ("left_hip", "right_hip", "left_shoulder", "right_shoulder")
    ]
    found["annotations"] = [
        a for a in found["annotations"] if any(a["keypoints"][i] == 0 for i in rows)
    ][:12]
    wanted = {a["image_id"] for a in found["annotations"]}
    found["images"] = [image for image in found["images"] if image["id"] in wanted]
    (tmp_path / "annotations.json").write_text(json.dumps(found))
    import_weights([shared("models", "pose_landmark_lite.tflite")], tmp_path / "w")
    order = [
        "data",
        "prepare",
        "coco_keypoints",
        "--source",
        str(tmp_path),
        "--images",
        str(source),
        "--output",
    ]
    assert main([*order, str(tmp_path / "alone")]) == 2
    assert main([*order, str(tmp_path / "teacher"), "--teacher", str(tmp_path / "w")]) == 0
    records = open_records(tmp_path / "teacher")
    assert 3 <= len(records) < 12
    for i in range(len(records)):
        labelled = records[i]["flags"] > 0
        hips = list(BLAZEPOSE.indices(BLAZEPOSE.center + BLAZEPOSE.up))
        assert not labelled[hips].all()
        # Most of what is labelled lies within the circle.
        reach = np.linalg.norm(records[i]["keypoints"][labelled] - 160, axis=-1)
        assert np.median(reach) < records[i]["side"] / 2
