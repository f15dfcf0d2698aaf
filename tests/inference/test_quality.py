"""How likely points and poses are right."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import blob_image, blob_networks, shared

from blazepose_jax.codecs import heatmap_summary
from blazepose_jax.codecs.soft_argmax import REACH
from blazepose_jax.inference import Settings, estimate, initial_state, quality, track
from blazepose_jax.inference.engine import load_engine
from blazepose_jax.inference.tracker import Tracker
from blazepose_jax.io.frames import to_frame
from blazepose_jax.io.images import read_image
from blazepose_jax.skeleton import BLAZEPOSE, COCO
from blazepose_jax.structs import ROI, Network, PoseOutputs
from blazepose_jax.weights import load_weights

FIELDS = ("x", "y", "z", "visibility", "presence")


def outputs(count=2, rows=39, seed=0):
    rng = np.random.default_rng(seed)
    landmarks = rng.normal(0, 2, (count, rows, 5)).astype(np.float32)
    landmarks[..., :2] = rng.uniform(40, 216, (count, rows, 2))
    heat = rng.normal(-3, 1.5, (count, 64, 64, rows)).astype(np.float32)
    return PoseOutputs(landmarks, rng.normal(0, 2, (count, 1)).astype(np.float32), heatmap=heat)


def network(skeleton, fields=FIELDS):
    return Network(None, lambda *_: None, 256, 0.0, 255.0, skeleton, fields)


def test_the_shipped_parameters_are_small_and_whole():
    parameters = quality.load_parameters()
    assert quality.PARAMETERS.stat().st_size <= 30_000
    assert all(np.isfinite(table).all() for table in parameters.values())
    # One row more than points: of points that are none of BlazePose's.
    assert parameters["point.rows"].shape[0] == len(BLAZEPOSE.keypoints) + 1


def test_a_summary_is_its_formulas():
    one = jax.tree.map(lambda a: a[0], outputs())
    points = one.landmarks[:, :2] / 256
    found = heatmap_summary.summarise(points, one.heatmap)
    pooled = one.heatmap.reshape(32, 2, 32, 2, -1).mean((1, 3)).astype(np.float64)
    p = 1 / (1 + np.exp(-pooled))
    places = (np.arange(32) + 0.25) / 32
    bump = np.maximum(1 - ((places[:, None, None] - points) / REACH) ** 2, 0) ** 2
    near = bump[None, ..., 0] * bump[:, None, :, 1]

    def mean(weights):
        total = weights.sum((0, 1))[:, None] + heatmap_summary.SMALL
        x = (weights * places[None, :, None]).sum((0, 1))
        y = (weights * places[:, None, None]).sum((0, 1))
        return (np.stack([x, y], -1) + heatmap_summary.SMALL * points) / total

    expected = heatmap_summary.HeatmapSummary(
        p.max((0, 1)),
        p.sum((0, 1)),
        (p**4).sum((0, 1)),
        (p * near).max((0, 1)),
        (p**4 * near).sum((0, 1)),
        mean(p**4),
        mean(p**4 * near),
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4), found, expected
    )


def test_points_are_assessed_by_what_they_are_and_not_by_their_place():
    """A set of other order and names gets the same numbers for the same points."""
    seen = outputs()
    order = np.random.default_rng(1).permutation(len(BLAZEPOSE.keypoints))
    names = tuple(BLAZEPOSE.keypoints[i] for i in order)
    shuffled = dataclasses.replace(BLAZEPOSE, name="shuffled", keypoints=names, bones=())
    rows = np.concatenate([order, np.arange(33, 39)])
    moved = seen.replace(landmarks=seen.landmarks[:, rows], heatmap=seen.heatmap[..., rows])
    confidence, whole = quality.assess(network(BLAZEPOSE), seen)
    again, whole_again = quality.assess(network(shuffled), moved)
    np.testing.assert_allclose(again, confidence[:, order], atol=1e-5)
    np.testing.assert_allclose(whole_again, whole, atol=1e-5)
    assert float(confidence.std()) > 0.05


def test_other_sets_and_nets_get_what_they_have():
    seen = outputs(rows=17)
    presence = jax.nn.sigmoid(seen.presence[:, 0])
    confidence, whole = quality.assess(network(COCO), seen)
    np.testing.assert_allclose(confidence, jax.nn.sigmoid(seen.heatmap.max((1, 2))), rtol=1e-6)
    np.testing.assert_allclose(whole, presence)
    without = seen.replace(heatmap=None)
    confidence, whole = quality.assess(network(COCO), without)
    np.testing.assert_allclose(confidence, jax.nn.sigmoid(seen.landmarks[..., 3]))
    confidence, whole = quality.assess(network(COCO, ("x", "y")), without)
    np.testing.assert_allclose(confidence, np.broadcast_to(presence[:, None], (2, 17)))


def test_empty_slots_have_no_quality():
    detector, pose = blob_networks()
    image, settings = to_frame(blob_image(240, 200, (100, 90))), Settings(max_people=2)
    _, found = track(detector, pose, initial_state(BLAZEPOSE, 2), image, 1 / 30, settings=settings)
    assert found.present.tolist() == [True, False]
    for numbers in (found.quality, found.presence, found.confidence):
        assert (numbers[0] > 0).all()
        assert (numbers[1] == 0).all()


@pytest.mark.parametrize("runtime", [pytest.param("jax", marks=pytest.mark.long), "litert"])
def test_a_person_has_quality_and_what_lies_outside_has_less(released, astronaut, runtime):
    tracker = Tracker(released, runtime=runtime, settings=Settings(search="none"))
    person = tracker(astronaut)
    assert person.quality[0] > 0.5
    # The astronaut's legs lie outside of the photograph.
    seen, unseen = (
        person.confidence[0, list(BLAZEPOSE.indices(names))].mean()
        for names in (("left_shoulder", "right_shoulder"), ("left_ankle", "right_ankle"))
    )
    assert seen > unseen + 0.2


def test_what_is_no_person_has_low_quality(released):
    pose = load_weights(released).pose
    rng = np.random.default_rng(2)
    walls = [
        np.broadcast_to(rng.integers(0, 255, 3, np.uint8), (200, 200, 3)),
        rng.integers(0, 255, (200, 200, 3), np.uint8),
    ]
    roi = ROI(jnp.array([[100.0, 100.0]]), jnp.array([180.0]), jnp.zeros(1))
    for wall in walls:
        found = estimate(pose, to_frame(np.ascontiguousarray(wall)), roi)
        assert found.quality[0] < 0.3
        assert not found.present[0]


def test_right_poses_are_told_from_wrong_ones(released):
    """Of photographs of people, looked at rightly and upside down or beside them."""
    engine = load_engine(released, None, Settings(), "litert")
    images = sorted(shared("data", "coco_dev", "images").glob("*.jpg"))[:12]
    tracker = Tracker(released, runtime="litert")
    right, wrong = [], []
    for path in images:
        image = read_image(path)
        tracker.reset()
        seen = tracker(image)
        if not seen.present[0]:
            continue
        turned = seen.roi.replace(
            angle=seen.roi.angle + np.float32(np.pi), side=seen.roi.side * np.float32(0.5)
        )
        right.append(float(seen.quality[0]))
        wrong.append(float(engine.estimate(to_frame(image), turned).quality[0]))
    assert len(right) >= 8
    assert np.median(right) > np.median(wrong) + 0.15
