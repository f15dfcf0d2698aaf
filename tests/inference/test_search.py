"""Where people may be: several squares, each looked at and judged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import blob_image, blob_networks, shared
from jax import lax

from blazepose_jax import inference
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference import MEDIAPIPE, Settings, find_people, search
from blazepose_jax.inference.engine import load_engine
from blazepose_jax.inference.settings import MIN_SEARCH_SCORE
from blazepose_jax.inference.tracker import Tracker
from blazepose_jax.io.frames import to_frame
from blazepose_jax.io.images import read_image
from blazepose_jax.io.media import read_media
from blazepose_jax.skeleton import BLAZEPOSE

DETECTOR, POSE = blob_networks()
DISCS = ((60.0, 60.0), (180.0, 60.0), (60.0, 150.0))


def places(found):
    return sorted(
        map(tuple, np.asarray(found.roi.center)[np.asarray(found.valid)].round().tolist())
    )


@pytest.mark.parametrize("kind", ["quick", "thorough"])
def test_everybody_is_found_once(kind):
    """The image is turned four times, and each disc is seen in each turn, twice."""
    image = blob_image(240, 200, *DISCS)
    settings = Settings(search=kind, max_people=4)
    found = find_people(DETECTOR, POSE, to_frame(image), settings=settings)
    assert found.valid.tolist() == [True] * 3 + [False]
    np.testing.assert_allclose(places(found), sorted(DISCS), atol=1.5)
    assert np.all(np.diff(np.asarray(found.score)[:3]) <= 0)


def test_the_empty_image_has_no_candidate():
    for kind in ("none", "quick", "thorough"):
        found = find_people(
            DETECTOR, POSE, to_frame(blob_image(240, 200)), settings=Settings(search=kind)
        )
        assert not np.asarray(found.valid).any()


@pytest.mark.parametrize("kind", ["none", "quick"])
def test_a_score_that_was_asked_for_counts(kind):
    """The discs have 0.993."""
    image = to_frame(blob_image(240, 200, *DISCS))
    for least, count in ((0.999, 0), (0.99, 1)):
        settings = Settings(search=kind, min_detection_confidence=least)
        found = find_people(DETECTOR, POSE, image, settings=settings)
        assert np.asarray(found.valid).sum() == count


def test_a_search_looks_at_lower_scores_than_a_detection_needs():
    assert search.search_settings(Settings()).min_detection_confidence == MIN_SEARCH_SCORE
    given = Settings(min_detection_confidence=0.8)
    assert search.search_settings(given).min_detection_confidence == 0.8


def test_who_is_followed_is_not_searched_for():
    image = to_frame(blob_image(240, 200, *DISCS[:2]))
    settings = Settings(max_people=2, smoothing=False)
    state = inference.initial_state(BLAZEPOSE, 2)
    state, poses = inference.track(DETECTOR, POSE, state, image, 1 / 30, settings=settings)
    assert sorted(np.asarray(poses.ids).tolist()) == [0, 1]
    squares = jax.tree.map(
        lambda a: jnp.asarray(a)[None], inference.detect(DETECTOR, image, settings=settings)
    )
    left = search.first_squares(squares, state, settings)
    assert not np.asarray(left.valid).any()


def test_a_steady_person_is_searched_for_once_under_scan():
    settings = Settings(search="thorough", smoothing=False)
    frames = jnp.stack([to_frame(blob_image(240, 200, (60 + i, 100))).pixels for i in range(8)])
    size = to_frame(blob_image(240, 200)).size

    def step(state, pixels):
        frame = to_frame(blob_image(240, 200)).replace(pixels=pixels, size=size)
        return inference.track(DETECTOR, POSE, state, frame, 1 / 30, settings=settings)

    state, poses = lax.scan(step, inference.initial_state(BLAZEPOSE), frames)
    assert poses.present.all()
    assert int(state.detector_runs) == 1


@pytest.mark.parametrize("value", [2, -0.1, float("nan")])
def test_what_is_no_probability_is_refused(value):
    with pytest.raises(BlazePoseError, match="must lie between 0 and 1"):
        Settings(min_presence_confidence=value)


def test_unknown_searches_are_refused():
    with pytest.raises(BlazePoseError, match="unknown search 'fast'"):
        Settings(search="fast")


def test_the_order_of_hypotheses_does_not_matter():
    """A judge that knows where in a list a hypothesis stands would know too much."""
    rng = np.random.default_rng(0)
    facts = rng.normal(size=(6, search.JUDGED)).astype(np.float32)
    order = rng.permutation(6)
    parameters = search.load_parameters()
    judged = search.judge(parameters, facts)
    np.testing.assert_allclose(search.judge(parameters, facts[order]), judged[order], rtol=1e-5)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("none", marks=pytest.mark.long),
        "quick",
        pytest.param("thorough", marks=pytest.mark.long),
    ],
)
def test_both_runtimes_find_the_same(released, astronaut, kind):
    settings = Settings(search=kind)
    frame = to_frame(astronaut)
    ours, theirs = (
        jax.device_get(load_engine(released, None, settings, runtime).find(frame))
        for runtime in ("jax", "litert")
    )
    assert ours.valid[0]
    assert theirs.valid[0]
    np.testing.assert_allclose(ours.roi.center[0], theirs.roi.center[0], atol=1.0)
    np.testing.assert_allclose(ours.roi.side[0], theirs.roi.side[0], rtol=0.01)


@pytest.mark.parametrize("turns", [1, -1], ids=["left", "right"])
def test_a_lying_person_is_found_by_turning(released, turns):
    """MediaPipe's way sees nobody in this photograph on its side, and who it is upright."""
    image = read_image(shared("data", "coco_dev", "images", "coco_000000000315.jpg"))
    lying, off = np.ascontiguousarray(np.rot90(image, turns)), {}
    face_and_shoulders = slice(0, 13)
    for kind in ("none", "thorough"):
        settings = Settings(search=kind, decode="stills")
        tracker = Tracker(released, settings=settings, runtime="litert")
        upright = tracker(image)
        assert upright.present[0]
        x, y = upright.keypoints[0, face_and_shoulders, :2].T
        height, width, _ = image.shape
        there = np.stack([y, width - 1 - x] if turns == 1 else [height - 1 - y, x], -1)
        tracker.reset()
        found = tracker(lying)
        apart = np.abs(found.keypoints[0, face_and_shoulders, :2] - there).max()
        off[kind] = apart if found.present[0] else np.inf
    assert off["thorough"] < 15
    assert off["none"] > 100


def clip(name, kind, count=40):
    """A real clip; cut above the hips, or more and more covered, or with a person who leaves."""
    for i, picture in enumerate(read_media(shared("data", "video", name))):
        if i == count:
            return
        image = picture.image.copy()
        height, width, _ = image.shape
        if kind == "waist":
            image[int(0.5 * height) :] = 0
        elif kind == "covered":
            image[int(0.45 * height) :, int(0.35 * width) :] = 90
        elif kind == "leaving":
            image = np.roll(image, int(i / count * 0.5 * width), 1)
            image[:, : int(i / count * 0.5 * width)] = 0
        yield np.ascontiguousarray(image), picture.time


@pytest.mark.parametrize("kind", ["waist", "covered", "leaving"])
def test_somebody_partly_seen_is_kept_as_long_as_by_mediapipes_way(released, kind):
    kept = {}
    for way, settings in (("none", MEDIAPIPE), ("quick", Settings())):
        tracker = Tracker(released, settings=settings, runtime="litert")
        seen = [bool(tracker(image, t).present[0]) for image, t in clip("pose_squats.mp4", kind)]
        kept[way] = sum(seen)
    assert kept["none"] > 5
    assert kept["quick"] >= kept["none"]


def test_a_track_that_follows_a_wall_is_lost(released):
    """Presence alone may stay high for a while; quality says that nobody is there."""
    frames = [image for image, _ in clip("pose_squats.mp4", "whole", 5)]
    tracker = Tracker(released, runtime="litert")
    assert all(tracker(image).present[0] for image in frames)
    wall = np.full_like(frames[0], 120)
    assert not any(tracker(wall).present[0] for _ in range(3))


def test_a_detection_off_somebody_who_is_followed_is_no_new_person():
    """Its square lies off theirs by half; that of the points which are seen in it does not."""
    image = to_frame(blob_image(240, 200, (100, 100)))
    settings = Settings(max_people=2, smoothing=False)
    state = inference.initial_state(BLAZEPOSE, 2)
    state, poses = inference.track(DETECTOR, POSE, state, image, 1 / 30, settings=settings)
    assert poses.present.tolist() == [True, False]
    side = state.roi.side[0]
    found = inference.detect(DETECTOR, image, settings=settings)
    moved = np.asarray(found.keypoints) + np.array([0.45 * float(side), 0])
    off = jax.tree.map(lambda a: jnp.asarray(a)[None], found.replace(keypoints=moved))
    first = search.first_squares(off, state, settings)
    assert bool(first.valid[0])  # so far it may be somebody

    def look(roi, active):
        seen = inference.estimate(POSE, image, roi, settings=settings)
        centers = jnp.asarray(seen.keypoints)[:, 0, :2]
        return seen, roi.replace(center=centers)

    assert not search.find(look, off, state, image.size, BLAZEPOSE, settings).valid.any()
    nobody = inference.initial_state(BLAZEPOSE, 2)
    assert search.find(look, off, nobody, image.size, BLAZEPOSE, settings).valid[0]
