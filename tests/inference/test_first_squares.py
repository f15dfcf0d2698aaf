"""Tracking from fixed first squares, where there is no detector."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import blob_image, blob_networks

import blazepose_jax as bp
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference.first_squares import FirstSquares
from blazepose_jax.inference.litert_engine import LiteRTEngine
from blazepose_jax.weights import Weights

_, POSE = blob_networks()
ALONE = Weights(None, POSE, "blobs")
SETTINGS = bp.Settings(smoothing=False)
EMPTY = blob_image(240, 200)


def moving(count, start=(60, 100), step=(3, 1)):
    return [
        blob_image(240, 200, (start[0] + i * step[0], start[1] + i * step[1])) for i in range(count)
    ]


def follow(images, roi, settings=SETTINGS):
    tracker = bp.Tracker(ALONE, settings=settings, roi=roi)
    return tracker, [tracker(image, i / 30) for i, image in enumerate(images)]


@pytest.mark.parametrize(
    "roi",
    [
        "whole",
        (20, 50, 90, 110),
        "20,50,90,110",
        np.array([20, 50, 90, 110]),
        bp.ROI(np.array([60.0, 100.0]), np.array(80.0), np.array(0.5)),
        bp.ROI(jnp.array([[60.0, 100.0]]), jnp.array([80.0]), jnp.array([0.5])),
    ],
)
def test_one_start_is_enough_and_the_nets_own_squares_follow(roi):
    tracker, seen = follow(moving(12), roi)
    assert (tracker.detector_runs, tracker.starts) == (0, 1)
    for i, poses in enumerate(seen):
        assert poses.ids[0] == 0
        np.testing.assert_allclose(poses.keypoints[0, 0, :2], [60 + 3 * i, 100 + i], atol=1.5)
    # The second square is the net's: it lies where the disc was, not where tracking began.
    np.testing.assert_allclose(seen[1].roi.center[0], [60, 100], atol=1.5)
    np.testing.assert_allclose(seen[11].roi.center[0], [90, 110], atol=1.5)


def test_the_first_square_is_what_was_asked_for():
    _, (poses,) = follow(moving(1), "whole")
    assert poses.roi.center.tolist() == [[120, 100]]
    assert (poses.roi.side.tolist(), poses.roi.angle.tolist()) == ([240], [0])
    _, (poses,) = follow(moving(1), (20, 50, 90, 110))
    assert poses.roi.center.tolist() == [[65, 105]]
    assert (poses.roi.side.tolist(), poses.roi.angle.tolist()) == ([110], [0])


def test_who_is_lost_is_looked_for_in_the_first_square_again():
    images = [*moving(3), *[EMPTY] * 4, *moving(3), blob_image(240, 200, (200, 30))]
    tracker, seen = follow(images, (20, 50, 100, 100))
    present = [bool(poses.present[0]) for poses in seen]
    assert present == [True] * 3 + [False] * 4 + [True] * 3 + [False]
    # At first, in the frames after the one that lost somebody, and not after the last.
    assert tracker.starts == 1 + 4
    assert tracker.detector_runs == 0
    for poses in seen[4:8]:
        assert poses.roi.center.tolist() == [[70, 100]]
    # Frames without anybody use up no ids.
    assert [int(poses.ids[0]) for poses in seen] == [0] * 3 + [-1] * 4 + [1] * 3 + [-1]


def test_the_letterbox_goes_with_the_size_of_the_picture():
    tracker = bp.Tracker(ALONE, settings=SETTINGS, roi="whole")
    for width, height in ((240, 200), (120, 160)):
        tracker.reset()
        assert tracker.starts == 0
        poses = tracker(blob_image(width, height, (60, 90)))
        assert poses.roi.side.tolist() == [max(width, height)]
        np.testing.assert_allclose(poses.keypoints[0, 0, :2], [60, 90], atol=1.5)
        assert tracker.starts == 1


def test_a_square_for_each_of_several_people():
    roi = bp.ROI(jnp.array([[60.0, 60], [180, 140]]), jnp.array([80.0, 80]), jnp.zeros(2))
    settings = bp.Settings(max_people=2, smoothing=False)
    both, one = blob_image(240, 200, (60, 60), (180, 140)), blob_image(240, 200, (180, 140))
    tracker, seen = follow([both, both, one, one, both], roi, settings)
    assert [poses.present.tolist() for poses in seen] == [
        [True, True],
        [True, True],
        [False, True],
        [False, True],
        [True, True],
    ]
    assert [poses.ids.tolist() for poses in seen] == [[0, 1], [0, 1], [-1, 1], [-1, 1], [2, 1]]
    np.testing.assert_allclose(seen[4].keypoints[:, 0, :2], [[60, 60], [180, 140]], atol=1.5)
    assert tracker.starts == 2 + 1 + 1


def test_two_tracks_on_one_person_become_one_where_squares_are_fixed():
    roi = bp.ROI(jnp.array([[60.0, 60], [180, 140]]), jnp.array([80.0, 80]), jnp.zeros(2))
    settings = bp.Settings(max_people=2, smoothing=False)
    state = bp.initial_state(bp.BLAZEPOSE, 2)
    both, one = blob_image(240, 200, (60, 60), (180, 140)), blob_image(240, 200, (60, 60))
    state, _ = bp.track(None, POSE, state, both, 0.0, settings=settings, first=roi)
    state = state.replace(roi=jax.tree.map(lambda a: a.at[1].set(a[0]), state.roi))
    _, poses = bp.track(None, POSE, state, one, 0.0, settings=settings, first=roi)
    assert poses.ids.tolist() == [0, -1]


def test_the_litert_engine_starts_as_jaxs_does():
    host = POSE.replace(
        variables=None,
        apply=lambda _, images: jax.tree.map(np.asarray, POSE(jnp.asarray(images))),
    )
    engine = LiteRTEngine(None, host, SETTINGS, "blobs")
    states = [bp.initial_state(bp.BLAZEPOSE)] * 2
    first = FirstSquares("whole", 1)
    for image in [*moving(3), EMPTY, EMPTY, *moving(2)]:
        square = first(bp.to_frame(image).size)
        states[0], found = engine.step(states[0], image, 1 / 30, square)
        states[1], expected = bp.track(
            None, POSE, states[1], image, 1 / 30, settings=SETTINGS, first=square
        )
        assert found.ids.tolist() == expected.ids.tolist()
        np.testing.assert_allclose(found.keypoints, expected.keypoints, atol=1e-3)
    assert int(states[0].starts) == int(states[1].starts) == 3
    assert int(states[0].detector_runs) == 0


def test_a_scan_takes_the_first_square():
    frames = [bp.to_frame(image) for image in moving(5)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *frames)
    first = FirstSquares("whole", 1)(frames[0].size)

    @jax.jit
    def run(state, frames):
        def step(state, frame):
            return bp.track(None, POSE, state, frame, 1 / 30, settings=SETTINGS, first=first)

        return jax.lax.scan(step, state, frames)

    state, poses = run(bp.initial_state(bp.BLAZEPOSE), stacked)
    _, seen = follow(moving(5), "whole")
    assert int(state.starts) == 1
    expected = np.stack([p.keypoints for p in seen])
    np.testing.assert_allclose(poses.keypoints, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("roi", "message"),
    [
        ("hole", "roi is 'hole': it must be detector, whole, or a box X,Y,W,H in px"),
        ("1,2,3", "roi is '1,2,3': it must be"),
        ("1,2,0,4", "W and H above 0"),
        ("1,2,nan,4", "W and H above 0"),
        ((1, 2, 3, -4), "W and H above 0"),
        (None, "roi is None: it must be"),
        (7, "roi is 7: it must be"),
        (bp.ROI(np.zeros(2), np.array(0.0), np.array(0.0)), "give finite numbers, sides above 0"),
        (bp.ROI(np.full(2, np.nan), np.array(9.0), np.array(0.0)), "give finite numbers"),
        (bp.ROI(np.zeros((2, 2)), np.ones(2), np.zeros(2)), r"they must be \(1, 2\), \(1,\)"),
    ],
)
def test_what_is_no_first_square_is_refused(roi, message):
    with pytest.raises(BlazePoseError, match=message):
        bp.Tracker(ALONE, roi=roi)


def test_one_square_is_not_for_several_people():
    for roi in ("whole", (1, 2, 3, 4)):
        with pytest.raises(BlazePoseError, match="max_people is 2: follow one person, or give"):
            bp.Tracker(ALONE, settings=bp.Settings(max_people=2), roi=roi)


@pytest.mark.parametrize("box", ["240,0,50,50", "0,-90,50,50", "-51,0,50,50", "0,200,60,60"])
def test_a_square_outside_of_the_picture_is_refused(box):
    tracker = bp.Tracker(ALONE, roi=box)
    with pytest.raises(BlazePoseError, match="lies outside of the image of 240x200 px"):
        tracker(EMPTY)


def test_without_a_first_square_there_must_be_a_detector():
    with pytest.raises(BlazePoseError, match="the weights hold no detector"):
        bp.Tracker(ALONE)
