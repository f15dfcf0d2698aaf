"""A detector's losses: who comes first, and what is left to a teacher."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import scattered_pose_net
from jax.test_util import check_grads

from blazepose_jax.batches import BYSTANDER, IGNORED, NOBODY, PERSON, SceneBatch
from blazepose_jax.codecs import anchors
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.structs import DetectorOutputs, Network
from blazepose_jax.training import DetectorConfig, detector_objective, scene_targets
from blazepose_jax.training.detector_loss import order_loss, scene_hits
from blazepose_jax.training.detector_targets import ALONE, prominence
from blazepose_jax.training.teacher import load_detector
from blazepose_jax.weights import save_weights

SIDE = 128
STILL = DetectorConfig(
    zoom_in=1.0, zoom_out=1.0, shift=0.0, angle=0.0, any_angle=0.0, flip=0.0, colour=0.0
)


def scene(status, radii=(30.0, 15.0, 15.0)):
    """Three people, well apart, upright."""
    points = np.zeros((3, 5, 2), np.float32)
    for i, (x, radius) in enumerate(zip((24.0, 64.0, 104.0), radii, strict=True)):
        up = np.array([0.0, -radius])
        points[i] = np.array([x, 90.0]) + np.stack([0 * up, up, up / 2, 1.2 * up, 0.8 * up])
    pixels = jnp.zeros((SIDE, SIDE, 3), jnp.uint8)
    return scene_targets(
        jax.random.key(0), pixels, jnp.asarray(points), jnp.asarray(status), SIDE, None
    )


def scores_of(targets, of_people):
    """(A,) logits with one number on each person's anchors."""
    given = jnp.asarray(of_people, jnp.float32)[targets.owner]
    return jnp.where(targets.positive > 0, given, -9.0)


def test_prominence_is_area_and_bystanders_have_a_share_of_it():
    found = prominence(scene([PERSON, PERSON, BYSTANDER]), 0.1)
    np.testing.assert_allclose(found / found[1], [4, 1, 0.1], rtol=1e-4)
    np.testing.assert_array_equal(prominence(scene([PERSON, IGNORED, NOBODY]), 0.1)[1:], 0)


def test_order_wants_log_ratios_of_prominence_whatever_the_level():
    targets, config = scene([PERSON, PERSON, BYSTANDER]), DetectorConfig()
    right = np.log([4, 1, 0.1])
    for level in (-2.0, 3.0):
        loss = order_loss(scores_of(targets, right + level), targets, config)
        np.testing.assert_allclose(loss, 0, atol=1e-5)
    worse = [
        float(order_loss(scores_of(targets, logits), targets, config))
        for logits in ([1.0, 1.0, 1.0], [1.0, 3.0, 1.0])
    ]
    share = np.array([4, 1, 0.1]) / 5.1
    np.testing.assert_allclose(worse[0], (share * np.log(3 * share)).sum(), rtol=1e-4)
    assert worse[1] > worse[0]


def test_order_says_nothing_of_one_person():
    targets = scene([PERSON, IGNORED, NOBODY])
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(size=targets.positive.shape), jnp.float32)
    value, gradient = jax.value_and_grad(order_loss)(logits, targets, DetectorConfig())
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


def test_order_has_the_gradient_of_its_differences():
    targets = scene([PERSON, PERSON, BYSTANDER])
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(size=targets.positive.shape), jnp.float32)
    check_grads(
        lambda x: order_loss(x, targets, DetectorConfig()), (logits,), 1, ["rev"], 1e-2, 1e-2
    )


def test_bystanders_are_found_as_people_are():
    with_them, without = (scene([PERSON, kind, NOBODY]) for kind in (BYSTANDER, PERSON))
    np.testing.assert_array_equal(with_them.positive, without.positive)
    np.testing.assert_array_equal(with_them.values, without.values)


def test_anchors_beyond_an_anchors_reach_are_negative():
    """Else they fire beside those that answer: the same person twice."""
    targets = scene([PERSON, NOBODY, NOBODY])
    apart = np.linalg.norm(anchors.anchor_centers(SIDE) - targets.points_crop[0, 4], axis=-1)
    reach = anchors.distance_scale(SIDE)
    assert targets.scored[(reach > 0) & (apart > reach + 0.021)].all()
    assert not targets.scored[
        (reach > 0) & (apart > reach) & (apart < reach + 0.019) & (targets.positive == 0)
    ].any()
    np.testing.assert_array_equal(targets.alone, apart >= ALONE)


def constant(logits):
    """A detector that always answers the same, of (A,) logits."""

    def apply(_, images):
        shape = (images.shape[0], len(logits))
        return DetectorOutputs(jnp.zeros((*shape, 12)), jnp.broadcast_to(logits, shape)[..., None])

    return Network(variables={}, apply=apply, side=SIDE, mean=127.5, std=127.5)


def loss_with_teacher(teacher_logits):
    """Score loss of a detector that sees people everywhere; ``teacher_logits`` of another."""
    targets = scene([PERSON, NOBODY, NOBODY])
    whole = np.asarray(targets.points_crop) * SIDE
    batch = SceneBatch(
        np.zeros((1, SIDE, SIDE, 3), np.uint8),
        whole[None].astype(np.float32),
        np.array([[PERSON, NOBODY, NOBODY]], np.int32),
        np.ones(1, np.float32),
        np.zeros(1, np.int32),
    )
    ours = constant(jnp.full(len(targets.positive), 2.0))
    return float(
        detector_objective(
            lambda _, pixels: (ours(pixels), {}),
            {},
            batch,
            jax.random.key(0),
            side=SIDE,
            config=STILL,
            teacher=None if teacher_logits is None else constant(teacher_logits),
        )[1][0]["score"]
    )


def test_where_a_teacher_sees_somebody_nothing_is_taught():
    targets = scene([PERSON, NOBODY, NOBODY])
    alone = np.asarray(targets.alone)
    nowhere, everywhere = jnp.full(len(alone), -9.0), jnp.full(len(alone), 9.0)
    plain = loss_with_teacher(None)
    assert loss_with_teacher(nowhere) == pytest.approx(plain)
    assert loss_with_teacher(everywhere) < 0.5 * plain
    # Near somebody who is labelled the labels decide.
    assert loss_with_teacher(jnp.where(alone, -9.0, 9.0)) == pytest.approx(plain)


def test_a_teacher_needs_a_detector_of_the_same_input(random_weights, tmp_path):
    with pytest.raises(BlazePoseError, match="looks at 128 px, the net that learns at 224"):
        load_detector(str(random_weights), 224)
    pose = scattered_pose_net("smoke", BLAZEPOSE, side=128)
    save_weights(tmp_path / "pose", {"pose": pose})
    with pytest.raises(BlazePoseError, match="holds no detector: name one in"):
        load_detector(str(tmp_path / "pose"), 128)


def hits(targets, logits, **words):
    """What is found where an answer has the targets' boxes and these (A, 1) logits."""
    return scene_hits(
        targets.values,
        logits,
        targets.points_crop,
        targets.status,
        jnp.float32(1),
        side=SIDE,
        config=DetectorConfig(**words),
    )


def test_whoever_is_found_again_is_found_falsely():
    """Detections that suppression leaves beside the best one of the same person."""
    targets = scene([PERSON, NOBODY, NOBODY])
    logits = scores_of(targets, [4.0, 0.0, 0.0])[:, None]
    for threshold, detections in ((0.3, 1), (2.0, int(min(targets.positive.sum(), 6)))):
        found = hits(targets, logits, nms_threshold=threshold)
        assert (found["people"], found["found"], found["right"]) == (1, 1, 1)
        assert found["detections"] == detections
    assert detections > 1


def test_whoever_is_ignored_is_so_while_a_part_of_them_is_in_the_picture():
    """Half of a crowd's circle, whose middle lies outside."""
    middle, edge = np.array([-4.0, 64.0]), np.array([-4.0, 24.0])
    points = np.zeros((3, 5, 2), np.float32)
    points[0] = [middle, edge, middle, edge, middle]
    pixels = jnp.zeros((SIDE, SIDE, 3), jnp.uint8)
    crowd, nobody = (
        scene_targets(
            jax.random.key(0),
            pixels,
            jnp.asarray(points),
            jnp.asarray([status, NOBODY, NOBODY]),
            SIDE,
            None,
        )
        for status in (IGNORED, NOBODY)
    )
    assert nobody.scored.all()
    centers = np.asarray(anchors.anchor_centers(SIDE)) * SIDE
    inside = np.linalg.norm(centers - middle, axis=-1) < 40
    assert inside.any()
    np.testing.assert_array_equal(crowd.scored, ~inside)


def test_targets_fed_back_find_everybody_and_silence_finds_nobody():
    targets = scene([PERSON, PERSON, NOBODY])
    silent = jnp.full((len(targets.positive), 1), -9.0)
    loud = jnp.where(targets.positive[:, None] > 0, 4.0, silent)
    for logits, count in ((loud, 2), (silent, 0)):
        found = hits(targets, logits)
        assert found["people"] == 2
        assert [int(found[name]) for name in ("found", "right", "detections")] == [count] * 3
