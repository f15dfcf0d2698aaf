"""Columns of a recording: directions that turn round, sides that come and go."""

import dataclasses

import numpy as np
import pytest

from blazepose_jax.analysis.measures import Measuring, measure, repetitions_of, wrapped
from blazepose_jax.analysis.recording import Recording
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.rendering.exercises import exercise_figures, repeated, usual_person
from blazepose_jax.skeleton import BLAZEPOSE

FPS = 30.0
BODY = np.asarray(exercise_figures("squat", np.zeros(1), usual_person(), 0.9).points)[0, :, :2]


def recording(points, confidence=None):
    """Of T frames of (33, 2) points in metres, y down."""
    count = len(points)
    sure = np.full((count, 33), 0.9) if confidence is None else confidence
    points = 300 * points + [320, 300]
    empty = np.full((count, 33), np.nan)
    times = np.arange(count) / FPS
    names, bones = BLAZEPOSE.keypoints, BLAZEPOSE.bone_indices
    return Recording("made", names, bones, (640, 600), times, points, empty, sure, sure, None, {})


def turned(degrees):
    """The same body, upright at 0, turned in the picture."""
    angles = np.radians(np.asarray(degrees))
    turn = np.array([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]])
    return np.einsum("ijt,kj->tki", turn, BODY)


def test_a_handstand_does_not_turn_round():
    sway = np.random.default_rng(0).normal(0, 2, 90)
    found = measure(recording(turned(180 + sway)))
    lean, speed = found["trunk_lean_deg"], found["trunk_lean_deg_s"]
    assert np.all(np.abs(lean) > 170)
    assert np.all((lean > -180) & (lean <= 180))
    assert np.abs(speed).max() < 100


def test_a_somersault_has_a_steady_rate():
    found = measure(recording(turned(np.arange(90) / FPS * 360)))
    rate = found["trunk_lean_deg_s"][5:-5]
    np.testing.assert_allclose(np.abs(rate), 360, atol=5)
    assert len(set(np.sign(rate))) == 1


def test_angles_in_space_stay_where_angles_are():
    """Smoothing overshoots; only a direction in the picture goes on behind 180 degrees."""
    upside = np.where(np.arange(90) < 45, 0.0, 180.0)
    made = recording(turned(upside))
    metres = np.concatenate([made.points, np.zeros((90, 33, 1))], -1) / 300
    found = measure(dataclasses.replace(made, world=metres))
    assert np.all(found["trunk_lean_3d_deg"][47:] > 90)
    for name, degrees in found.items():
        if name.endswith("_deg") and name != "trunk_lean_deg":
            assert 0 <= np.nanmin(degrees) <= np.nanmax(degrees) <= 180


def test_directions_are_above_minus_180():
    np.testing.assert_allclose(
        wrapped(np.array([-180.0, 180, 181, -181, 540, 0])), [180, 180, -179, 179, 180, 0]
    )


def lunge(frames):
    """Nobody moves: the left knee at one angle, the right one at another."""
    points = np.repeat(BODY[None], frames, 0)
    ankle = BLAZEPOSE.keypoints.index("right_ankle")
    knee = BLAZEPOSE.keypoints.index("right_knee")
    points[:, ankle] = points[:, knee] + [0.35, 0.05]
    return points


@pytest.mark.parametrize("seconds", [0.1, 2.0])
def test_a_side_that_comes_and_goes_is_no_movement(seconds):
    points = lunge(360)
    sure = np.full((360, 33), 0.9)
    ankle = BLAZEPOSE.keypoints.index("right_ankle")
    sure[(np.arange(360) / FPS / seconds).astype(int) % 2 == 1, ankle] = 0.4
    made = recording(points, sure)
    signal, found = repetitions_of(made, "knee")
    assert np.ptp(signal) < 1e-6
    assert (found.counted, found.rejected) == ((), ())


@pytest.mark.parametrize("what", ["knee", "left_knee"])
def test_the_signal_is_unknown_where_no_side_is_known(what):
    points, sure = lunge(60), np.full((60, 33), 0.9)
    sure[20:26] = 0.1
    signal, _ = repetitions_of(recording(points, sure), what)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(signal)), np.arange(20, 26))


def test_real_repetitions_are_counted_while_a_side_comes_and_goes():
    depth = np.concatenate([np.zeros(20), repeated(6, 1.6, FPS, pause=0.4), np.zeros(20)])
    points = np.asarray(exercise_figures("squat", depth, usual_person(), 0.9).points)[..., :2]
    sure = np.full((len(points), 33), 0.9)
    sure[::7, BLAZEPOSE.keypoints.index("left_ankle")] = 0.1
    sure[100:200, BLAZEPOSE.keypoints.index("right_ankle")] = 0.1
    assert len(repetitions_of(recording(points, sure), "knee")[1].counted) == 6


def test_what_is_counted_need_not_be_measured():
    depth = np.concatenate([np.zeros(20), repeated(3, 1.6, FPS), np.zeros(20)])
    points = np.asarray(exercise_figures("squat", depth, usual_person(), 0.9).points)[..., :2]
    made, how = recording(points), Measuring({}, lean=True)
    assert set(measure(made, how)) == {"trunk_lean_deg", "trunk_lean_deg_s"}
    assert set(measure(made, Measuring({}, lean=False))) == set()
    assert len(repetitions_of(made, "knee", how)[1].counted) == 3


def test_a_lean_is_an_error_where_there_is_no_trunk_and_it_is_asked_for():
    made = recording(lunge(9))
    hand = dataclasses.replace(made, names=tuple(f"point_{i}" for i in range(33)))
    assert measure(hand) == {}
    assert measure(hand, Measuring({}, lean=False)) == {}
    with pytest.raises(BlazePoseError, match="trunk_lean needs the point 'left_hip'"):
        measure(hand, Measuring({}, lean=True))
