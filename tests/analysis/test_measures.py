"""Columns of a recording: directions that turn round, sides that come and go."""

import numpy as np
import pytest

from blazepose_jax.analysis.measures import Measuring, measure, repetitions_of, wrapped
from blazepose_jax.analysis.recording import Recording
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
