"""Joint angles, lean and lengths."""

import numpy as np
import pytest

from blazepose_jax.analysis import (
    ANGLES,
    JointAngle,
    joint_angles,
    segment_lengths,
    trunk_lean,
)
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.rendering.exercises import exercise_figures, usual_person
from blazepose_jax.skeleton import BLAZEPOSE

NAMES = ("a", "b", "c")
ELBOW = {"elbow": JointAngle("a", "b", "c")}


@pytest.mark.parametrize("degrees", [0.0, 1e-3, 30.0, 90.0, 135.0, 179.999, 180.0])
@pytest.mark.parametrize("count", [2, 3])
def test_an_angle_is_what_was_drawn(degrees, count):
    turn = np.radians(degrees)
    limb = np.array([np.cos(turn), np.sin(turn), 0.0])[:count]
    points = np.stack([np.array([1.0, 0, 0])[:count], np.zeros(count), 7 * limb]) + 3
    found = joint_angles(points, NAMES, angles=ELBOW)["elbow"]
    np.testing.assert_allclose(found, degrees, atol=1e-6)


def test_angles_do_not_depend_on_the_view_in_3d():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(20, 3, 3))
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    a, b = (joint_angles(p, NAMES, angles=ELBOW)["elbow"] for p in (points, 3 * points @ q + 1))
    np.testing.assert_allclose(a, b, atol=1e-9)


def test_what_is_unsure_or_has_no_length_is_not_known():
    points = np.array([[[1.0, 0], [0, 0], [0, 1]]] * 4)
    points[1, 2] = points[1, 1]  # a limb without length
    points[2, 0] = np.nan
    confidence = np.ones((4, 3))
    confidence[3, 1] = 0.49
    found = joint_angles(points, NAMES, confidence, angles=ELBOW)["elbow"]
    np.testing.assert_array_equal(np.isfinite(found), [True, False, False, False])
    lengths = segment_lengths(points, NAMES, confidence, segments={"ab": ("a", "b")})["ab"]
    np.testing.assert_array_equal(np.isfinite(lengths), [True, True, False, False])


def test_the_angles_of_a_figure_are_those_of_its_joints():
    """The renderer bends joints; its elbow and knee are 0 where a limb is straight."""
    depth = np.linspace(0, 1, 5)
    figure = exercise_figures("squat", depth, usual_person(), view=0.7)
    points, names = np.asarray(figure.points), BLAZEPOSE.keypoints
    found = joint_angles(points, names)
    assert set(found) == set(ANGLES)
    for side in ("left", "right"):
        np.testing.assert_allclose(found[f"{side}_knee"], 180 - (4 + 101 * depth), atol=1e-3)
    lengths = segment_lengths(points, names)
    for name in ("left_thigh", "right_shank", "left_forearm"):
        assert np.ptp(lengths[name]) < 1e-5


def test_lean_is_towards_the_right_of_the_picture():
    names = ("left_hip", "right_hip", "left_shoulder", "right_shoulder")
    upright = np.array([[11.0, 10], [9, 10], [12, 0], [8, 0]])
    assert trunk_lean(upright, names) == 0
    for degrees in (-150.0, -20.0, 45.0, 90.0):
        turn = np.radians(degrees)
        moved = upright @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        np.testing.assert_allclose(trunk_lean(moved, names), degrees, atol=1e-9)
        in_space = np.concatenate([moved, np.zeros((4, 1))], -1)
        np.testing.assert_allclose(trunk_lean(in_space, names), abs(degrees), atol=1e-9)


def test_errors_name_the_point_and_the_shape():
    with pytest.raises(BlazePoseError, match="needs the point 'bb': there is none"):
        joint_angles(np.zeros((3, 2)), NAMES, angles={"x": JointAngle("a", "bb", "c")})
    with pytest.raises(BlazePoseError, match=r"\(2, 4\): give \(..., 3, 2\) px"):
        joint_angles(np.zeros((2, 4)), NAMES)
    assert joint_angles(np.zeros((3, 2)), NAMES) == {}
