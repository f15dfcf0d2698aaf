"""Counting: people of the renderer, whose repetitions are known, seen through noise."""

import numpy as np
import pytest

from blazepose_jax.analysis import count_repetitions, joint_angles
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.rendering.exercises import exercise_figures, repeated, usual_person
from blazepose_jax.skeleton import BLAZEPOSE

FPS = 30.0
JOINTS = {"squat": "knee", "push-up": "elbow", "jumping jack": "shoulder"}
RESTS = {"squat": "high", "push-up": "high", "jumping jack": "low"}
SQUAT = repeated(1, 1.6, FPS)


def angle_of(name, depth, view=0.9, noise=0.004, seed=0):
    """(T,) degrees, both sides, of points in the picture with noise in metres."""
    figure = exercise_figures(name, depth, usual_person(), view)
    points = np.asarray(figure.points)[..., :2]
    points = points + np.random.default_rng(seed).normal(0, noise, points.shape)
    angles = joint_angles(points, BLAZEPOSE.keypoints)
    joint = JOINTS.get(name, "knee")
    return (angles[f"left_{joint}"] + angles[f"right_{joint}"]) / 2


def count(signal, rest="high", **more):
    return count_repetitions(signal, np.arange(len(signal)) / FPS, least=25, rest=rest, **more)


@pytest.mark.parametrize("name", JOINTS)
@pytest.mark.parametrize(("many", "pause"), [(1, 1.0), (7, 0.0), (12, 0.8)])
@pytest.mark.parametrize("view", [0.4, 1.2])
def test_counts_are_exact(name, many, pause, view):
    depth = np.concatenate([np.zeros(20), repeated(many, 1.6, FPS, pause=pause), np.zeros(20)])
    found = count(angle_of(name, depth, view), RESTS[name])
    assert len(found.counted) == many
    assert not found.rejected
    for i, one in enumerate(found.counted):
        # The extreme lies in the middle of its repetition.
        assert abs(one.turn - (20 + i * (48 + pause * FPS) + 24)) <= 3
        assert one.start < one.turn < one.end
        assert 0.4 < one.there_s < 1.2
        assert 0.4 < one.back_s < 1.2
    if many > 2:
        assert abs(found.period_s - (1.6 + pause)) < 0.15
        assert found.regularity > 0.8


def test_the_end_that_is_rested_at_is_found():
    depth = np.concatenate([repeated(5, 1.0, FPS, pause=1.0), np.zeros(20)])
    assert count(angle_of("squat", depth), "auto").rest == "high"
    assert count(angle_of("jumping jack", depth), "auto").rest == "low"


def test_noise_alone_is_no_repetition():
    rng = np.random.default_rng(0)
    found = count(170 + rng.normal(0, 6, 600))
    assert (found.counted, found.rejected) == ((), ())


def test_heavy_noise_does_not_divide_a_repetition():
    depth = np.concatenate([np.zeros(20), repeated(8, 2.0, FPS), np.zeros(20)])
    rng = np.random.default_rng(0)
    found = count(angle_of("squat", depth) + rng.normal(0, 8, len(depth)))
    assert len(found.counted) == 8


def test_half_repetitions_are_named_and_not_counted():
    depth = np.concatenate(
        [repeated(3, 1.6, FPS, pause=0.3), repeated(2, 1.6, FPS, reach=0.4), repeated(3, 1.6, FPS)]
    )
    found = count(angle_of("squat", np.concatenate([np.zeros(15), depth, np.zeros(15)])))
    assert len(found.counted) == 6
    assert [one.reason for one in found.rejected] == ["shallow", "shallow"]


def test_what_the_recording_cuts_is_unfinished():
    depth = repeated(4, 1.6, FPS, pause=0.5)
    found = count(angle_of("squat", depth[24:-30]))
    assert len(found.counted) == 2
    assert [one.reason for one in found.rejected] == ["unfinished", "unfinished"]


@pytest.mark.parametrize("back", [0.5, 0.65, 0.8])
@pytest.mark.parametrize("at", ["end", "beginning"])
def test_a_repetition_that_is_cut_on_its_way_back_is_none(back, at):
    """Though it has come back by more than what makes a turn; and not if it has come back."""
    depth = np.concatenate([np.zeros(15), repeated(3, 1.6, FPS, pause=0.4)])
    signal = 170 - 80 * depth
    last = 15 + 2 * 60 + 24  # the third one's bottom
    cut = last + int(np.flatnonzero(signal[last:] >= 90 + 80 * back)[0])
    for stop, whole in ((cut, 2), (last + 30, 3)):
        part = signal[:stop] if at == "end" else signal[:stop][::-1]
        found = count(np.ascontiguousarray(part))
        assert len(found.counted) == whole
        assert [one.reason for one in found.rejected] == ["unfinished"] * (3 - whole)
        # How deep it was is known, too.
        assert all(abs(one.range - 80) < 6 for one in (*found.counted, *found.rejected))


@pytest.mark.parametrize("at", ["end", "beginning"])
def test_who_stands_still_lower_than_later_has_not_been_cut(at):
    down, up = 163 - 83 * SQUAT[:24], 175 - 95 * SQUAT[24:]
    standing = np.linspace(164, 163, 60)  # 2 s
    later = np.tile(np.concatenate([np.full(12, 175), 175 - 95 * SQUAT]), 4)
    signal = np.concatenate([standing, down, up, later, np.full(12, 175)])
    found = count(signal if at == "beginning" else np.ascontiguousarray(signal[::-1]))
    assert (len(found.counted), found.rejected) == (5, ())


@pytest.mark.parametrize("at", ["end", "beginning"])
def test_a_slow_repetition_that_is_cut_is_none(at):
    depth = np.concatenate([np.zeros(15), repeated(3, 12.0, FPS)])
    signal = 170 - 80 * depth
    last = 15 + 2 * 360 + 180
    cut = last + int(np.flatnonzero(signal[last:] >= 90 + 80 * 0.85)[0])
    part = signal[:cut] if at == "end" else signal[:cut][::-1]
    assert len(count(np.ascontiguousarray(part)).counted) == 2


def test_a_bounce_at_the_bottom_is_part_of_its_repetition():
    down = np.linspace(0, 1, 20)
    bounce = 1 - 0.3 * np.sin(np.linspace(0, np.pi, 20))
    depth = np.concatenate([np.zeros(10), *([down, bounce, down[::-1], np.zeros(10)] * 4)])
    found = count(angle_of("squat", depth))
    assert len(found.counted) == 4
    assert not found.rejected


def test_somebody_who_walks_in_has_not_squatted():
    steps = repeated(10, 1.0, FPS)
    squats = np.concatenate([np.zeros(20), repeated(5, 1.8, FPS, pause=0.4), np.zeros(20)])
    signal = np.concatenate([one_leg("walk", steps), one_leg("squat", squats)])
    found = count(signal)
    assert len(found.counted) == 5
    assert all(one.start > len(steps) for one in found.counted)
    assert {one.reason for one in found.rejected} <= {"shallow", "unfinished"}
    assert len(found.rejected) >= 5


def one_leg(name, depth):
    points = np.asarray(exercise_figures(name, depth, usual_person(), 0.9).points)[..., :2]
    return joint_angles(points, BLAZEPOSE.keypoints)["left_knee"]


def test_gaps_short_and_long():
    depth = np.concatenate([np.zeros(20), repeated(5, 2.0, FPS, pause=0.5), np.zeros(20)])
    signal = angle_of("squat", depth)
    signal[50:56] = np.nan  # bridged
    signal[180:215] = np.nan  # a second in the middle of the third
    found = count(signal)
    assert len(found.counted) == 4
    assert [one.reason for one in found.rejected] == ["unfinished"]


def test_a_repetition_across_missing_frames_is_unfinished():
    """As where the camera of a live recording was away."""
    depth = np.concatenate([np.zeros(20), repeated(5, 2.0, FPS, pause=0.5), np.zeros(20)])
    times = np.arange(len(depth)) / FPS
    times[200:] += 98
    found = count_repetitions(angle_of("squat", depth), times, least=20)
    assert len(found.counted) == 4
    assert "unfinished" in [one.reason for one in found.rejected]


def test_nothing_known_is_nothing_counted():
    found = count(np.full(50, np.nan))
    assert found.counted == ()
    assert np.isnan(found.period_s)


def test_errors_state_the_rule():
    with pytest.raises(BlazePoseError, match="a swing above 0"):
        count_repetitions(np.zeros(9), np.arange(9), least=0)
    with pytest.raises(BlazePoseError, match="one signal"):
        count_repetitions(np.zeros((9, 2)), np.arange(9), least=1)
    with pytest.raises(BlazePoseError, match="rest"):
        count_repetitions(np.zeros(9), np.arange(9), least=1, rest="left")
