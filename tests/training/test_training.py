import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import batch_targets, record

from blazepose_jax import training
from blazepose_jax.cli.main import main
from blazepose_jax.data.resident import read_records
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.geometry import rois
from blazepose_jax.models import FIELDS
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.structs import PoseOutputs
from blazepose_jax.training import NO_AUGMENTATION, AugmentConfig, LossConfig, augment, losses
from blazepose_jax.training.config import Config, configure, load_experiment, override


def test_losses_of_known_values():
    assert losses.binary_cross_entropy(jnp.float32(0.0), jnp.float32(1.0)) == pytest.approx(
        np.log(2)
    )
    assert losses.binary_cross_entropy(jnp.float32(300.0), jnp.float32(0.0)) == pytest.approx(300)
    np.testing.assert_allclose(losses.smooth_l1(jnp.array([0.5, -3.0])), [0.125, 2.5])
    assert losses.masked_mean(jnp.array([1.0, 5.0]), jnp.array([True, False])) == 1
    assert losses.masked_mean(jnp.array([1.0, 5.0]), jnp.array([False, False])) == 0
    grad = jax.grad(lambda p: losses.robust_distance(p, jnp.zeros(2), jnp.float32(0.2), 0.15))(
        jnp.zeros(2)
    )
    assert np.isfinite(grad).all()


def test_undisturbed_targets_are_the_truth():
    one = record()
    found = training.sample_targets(jax.random.key(0), one, BLAZEPOSE, 128, NO_AUGMENTATION)
    np.testing.assert_allclose(
        found.keypoints_crop[:33], rois.image_to_crop(one.keypoints, one.roi), atol=1e-5
    )
    np.testing.assert_allclose(found.keypoints_crop[33:35], [[0.5, 0.5], [0.5, 0.1]], atol=1e-5)
    np.testing.assert_array_equal(found.labelled[33:], [True, True] + [False] * 4)
    assert not found.labelled[5]
    assert found.is_person
    np.testing.assert_array_equal(found.visible[:33], one.visibility_flags == 2)


def test_points_stay_on_their_pixels_whatever_is_disturbed():
    one = record()
    config = AugmentConfig(
        colour=0.0, occluders=0, occlusion=0.0, truncation=0.0, half_body=0.0, negatives=0.0
    )
    sample = jax.jit(lambda key: training.sample_targets(key, one, BLAZEPOSE, 256, config))
    names, flips = BLAZEPOSE.keypoints, 0
    for i in range(12):
        found = sample(jax.random.key(i))
        image = np.asarray(found.image)
        for k in np.flatnonzero(found.labelled[:33] & found.inside[:33]):
            x, y = np.asarray(found.keypoints_crop[k]) * 256
            assert image[min(round(y), 255), min(round(x), 255), 0] > 150, (i, names[k])
        # Left and right are swapped with the picture: the left hip stays on the picture's right.
        left, right = (found.keypoints_crop[names.index(n), 0] for n in ("left_hip", "right_hip"))
        assert left > right
        # Row 5 is the unlabelled one; a flip makes it its partner, row 2.
        flips += int(not found.labelled[2])
    assert 0 < flips < 12


def test_occluders_and_truncation_hide_what_they_cover():
    image = jnp.full((64, 64, 3), 100.0)
    points = jnp.asarray(np.random.default_rng(0).uniform(0, 1, (200, 2)), jnp.float32)
    for i in range(5):
        out, covered = augment.occlude(jax.random.key(i), image, points, 3, 1.0)
        at = np.clip(np.asarray(points * 64).astype(int), 0, 63)
        changed = (np.asarray(out)[at[:, 1], at[:, 0]] != 100).any(-1)
        assert (changed == np.asarray(covered)).mean() > 0.95  # an edge pixel may go either way
        assert np.asarray(covered).any()
    rows = jnp.broadcast_to(jnp.arange(64.0)[:, None, None], (64, 64, 3))
    out, cut = augment.truncate(jax.random.key(1), rows, points, 1.0)
    line = float(np.asarray(points)[~np.asarray(cut), 1].max())
    assert 0.4 < line < 0.9
    assert float(out[-1, 0, 0]) <= line * 64 + 1
    _, covered = augment.occlude(jax.random.key(0), image, points, 3, 0.0)
    assert not covered.any()


def test_negatives_teach_presence_alone():
    one = record()
    config = AugmentConfig(negatives=1.0)
    found = training.sample_targets(jax.random.key(0), one, BLAZEPOSE, 128, config)
    assert not found.is_person
    assert not found.labelled.any()
    assert np.linalg.norm(np.asarray(found.keypoints_crop[33]) - 0.5) > 0.3


def test_a_perfect_net_has_no_point_losses_and_unlabelled_points_do_not_matter():
    from blazepose_jax.codecs import heatmaps

    targets = batch_targets()
    rows = jnp.zeros((2, 39, 5)).at[..., :2].set(targets.keypoints_crop * 256)
    maps = jax.vmap(lambda p: heatmaps.encode(p, 64, 1.5))(targets.keypoints_crop)
    logits = jnp.log(maps + 1e-6) - jnp.log1p(1e-6 - maps)
    offsets = jax.vmap(lambda p: heatmaps.encode_offsets(p, 64, 2.0)[0])(
        targets.keypoints_crop
    ).reshape(2, 64, 64, 78)
    perfect = PoseOutputs(rows, jnp.full((2, 1), 9.0), heatmap=logits, offsets=offsets)

    def loss(outputs):
        knows = jnp.array([True, False])
        return training.pose_losses(
            outputs,
            targets,
            fields=FIELDS,
            side=256,
            has_occlusion_labels=knows,
            weight=jnp.ones(2),
            config=LossConfig(),
        )

    for name in ("heatmap", "offsets", "regression", "pose_presence"):
        assert abs(float(getattr(loss(perfect), name))) < 0.02, name
    moved = perfect.replace(landmarks=rows.at[:, 5].add(500.0).at[:, 38].add(500.0))
    jax.tree.map(np.testing.assert_array_equal, loss(moved), loss(perfect))
    wrong = perfect.replace(landmarks=rows.at[:, 0].add(20.0))
    assert loss(wrong).regression > loss(perfect).regression + 0.01


def test_overrides_and_experiments():
    config = override(
        Config(),
        ["optimizer.steps=7", "model.name=smoke", "augment.flip=0", "model.heads=('mask',)"],
    )
    assert (config.optimizer.steps, config.model.name, config.augment.flip) == (7, "smoke", 0.0)
    assert config.model.heads == ("mask",)
    for word, message in [
        ("optimizer.step=7", "did you mean 'steps'"),
        ("optimiser.steps=7", "did you mean 'optimizer'"),
        ("optimizer.steps=many", "must be of type int"),
        ("optimizer=3", "is a group"),
        ("optimizer.steps", "write field.path=value"),
        ("seed.deep=1", "goes too deep"),
    ]:
        with pytest.raises(BlazePoseError, match=message):
            override(Config(), [word])
    for name in ("paper_full", "paper_lite", "paper_lite_cpu", "smoke"):
        assert isinstance(load_experiment(name), Config)
    with pytest.raises(BlazePoseError, match="did you mean 'smoke'"):
        load_experiment("smok")


def test_small_finetunings_save_as_often_as_they_validate():
    """A run that is killed after its first validation goes on from there."""
    config = load_experiment("finetune")
    for _, words in config.sizes:
        suited = override(config, words)
        assert suited.checkpoint_every == suited.validate_every < suited.optimizer.steps


def test_records_that_no_batch_would_hold():
    with pytest.raises(BlazePoseError, match=r"detector has data\.rendered=1, which leaves"):
        configure("detector", ["data.records=records/mine"])
    both = configure("detector", ["data.records=records/mine", "data.rendered=0.5"])
    assert (both.data.records, both.data.rendered) == ("records/mine", 0.5)


def test_records_keep_points_pixels_and_counts(records, capsys):
    described = json.loads((records / "records.json").read_text())
    assert described["count"] == 12
    assert described["dropped"] == {"centre or up points unlabelled": 1}
    data = read_records(records)
    assert data.pixels.shape == (12, 320, 320, 3)
    one = data.take(np.array([3]))
    hips = one.keypoints[0, [23, 24]].mean(0)
    np.testing.assert_allclose(hips, [160, 160], atol=0.5)
    np.testing.assert_allclose(one.roi.side, 320 / 1.4, rtol=1e-5)
    assert (one.visibility_flags[0, [0, 11, 16, 28]] == 2).all()
    assert (one.visibility_flags[0, [17, 29]] == 0).all()
    assert (
        main(
            [
                "data",
                "prepare",
                "coco_keypoints",
                "--source",
                "gone",
                "--output",
                str(records.parent / "new"),
            ]
        )
        == 2
    )
    assert "gone" in capsys.readouterr().err


def test_batches_are_a_function_of_seed_and_step(records):
    data = read_records(records)
    ids = np.concatenate([data.batch(step, 4, 0).ids for step in range(6)])
    # every epoch visits everybody once
    assert sorted(ids[:12]) == sorted(ids[12:]) == list(range(1, 13))
    assert list(ids[:12]) != list(ids[12:])
    np.testing.assert_array_equal(data.batch(5, 4, 0).pixels, data.batch(5, 4, 0).pixels)
    learn, held_out = data.split(4)
    assert not set(learn.labels["id"]) & set(held_out.labels["id"])
    assert (len(learn), len(held_out)) == (8, 4)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "images.bin").write_bytes(b"x" * 99), "has 99 bytes"),
        (lambda d: (d / "records.json").write_text("{"), "damaged"),
        (lambda d: (d / "records.json").unlink(), "no records folder"),
        (lambda d: (d / "records.json").write_text('{"format": "other"}'), "prepare it again"),
    ],
)
def test_damaged_records(records, tmp_path, damage, message):
    for file in records.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    damage(tmp_path)
    with pytest.raises(BlazePoseError, match=message):
        read_records(tmp_path)


def test_damaged_checkpoints_fall_back_and_foreign_ones_are_refused(tmp_path):
    from blazepose_jax.training.checkpoints import Checkpoints

    keeper = Checkpoints(tmp_path / "c")
    states = {step: {"a": jnp.arange(5.0) + step} for step in (1, 2)}
    for step, state in states.items():
        keeper.save(step, state)
    assert keeper.restore(states[1])[0] == 2
    for file in (tmp_path / "c" / "2").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.warns(UserWarning, match="checkpoint 2 cannot be read"):
        step, found, _ = Checkpoints(tmp_path / "c").restore(states[1])
    assert step == 1
    np.testing.assert_array_equal(found["a"], states[1]["a"])
    with pytest.raises(BlazePoseError, match=r"of another network \(a: \(5,\), here \(7,\)"):
        Checkpoints(tmp_path / "c").restore({"a": jnp.zeros(7)})


def test_optimizer_decays_kernels_alone():
    from blazepose_jax.training import create_train_state, make_optimizer, train_step

    params = {"kernel": jnp.ones(3), "bias": jnp.ones(3)}
    optimizer = make_optimizer(0.1, 10, warmup=0.1, weight_decay=0.5, clip=1.0)
    state = create_train_state({"params": params}, optimizer)

    def flat(variables, batch, key):
        return jnp.float32(0.0) * variables["params"]["kernel"].sum(), ({}, {})

    for _ in range(3):
        state, metrics = train_step(
            state, None, jax.random.key(0), objective=flat, optimizer=optimizer, ema_decay=0.9
        )
    assert (state.params["kernel"] < 1).all()
    np.testing.assert_array_equal(state.params["bias"], 1)
    assert metrics["gradient_norm"] == 0
    assert isinstance(state.opt_state, tuple)
    assert isinstance(optimizer, optax.GradientTransformation)
