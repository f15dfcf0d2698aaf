"""Overlays: what is drawn of whom, and how strongly."""

from pathlib import Path

import numpy as np
import pytest
from helpers import made_up_poses

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.draw import draw_poses, write_image
from blazepose_jax.io.images import read_image
from blazepose_jax.skeleton import BLAZEPOSE

GREY = np.full((200, 200, 3), 90, np.uint8)
SHOULDER, ELBOW = BLAZEPOSE.indices(("left_shoulder", "left_elbow"))
MIDDLE = (100, 100)  # y, x of the middle between the two


def arm(shoulder=1.0, elbow=1.0, **changes):
    """One person of whom a left upper arm is visible, with these confidences of its ends."""
    poses = made_up_poses(**changes)
    poses.keypoints[0, [SHOULDER, ELBOW], :2] = [[40, 100], [160, 100]]
    poses.visibility[:] = 0.0
    poses.visibility[0, [SHOULDER, ELBOW]] = 1.0
    poses.confidence[:] = 1.0
    poses.confidence[0, [SHOULDER, ELBOW]] = shoulder, elbow
    return poses


def strength(picture, place):
    """How far a pixel is from the grey, summed over the channels."""
    return int(np.abs(picture[place].astype(int) - GREY[place]).sum())


def test_a_bone_fades_with_its_less_confident_end():
    confidences = (0.0, 0.3, 0.5, 0.7, 1.0)
    drawn = [draw_poses(GREY, arm(elbow=value), BLAZEPOSE) for value in confidences]
    bones = [strength(picture, MIDDLE) for picture in drawn]
    assert all(np.diff(bones) > 0), bones
    assert 0.2 < bones[0] / bones[-1] < 0.4
    swapped = draw_poses(GREY, arm(shoulder=0.5), BLAZEPOSE)
    assert strength(swapped, MIDDLE) == bones[2]


def test_a_point_fades_with_its_own_confidence():
    drawn = draw_poses(GREY, arm(shoulder=0.9, elbow=0.1), BLAZEPOSE)
    sure, unsure = (strength(drawn, (100, x)) for x in (40, 160))
    assert sure == 3 * (255 - 90)
    assert 0.2 * sure < unsure < 0.5 * sure


def test_confident_points_are_drawn_in_full():
    full = draw_poses(GREY, arm(), BLAZEPOSE, fade=False)
    assert tuple(full[MIDDLE]) == (255, 138, 0)
    np.testing.assert_array_equal(draw_poses(GREY, arm(0.8, 0.95), BLAZEPOSE), full)
    np.testing.assert_array_equal(draw_poses(GREY, arm(0.1, 0.1), BLAZEPOSE, fade=False), full)


@pytest.mark.parametrize("confidence", [np.nan, -1.0, 2.0])
def test_confidences_that_are_none_are_drawn_all_the_same(confidence):
    drawn = draw_poses(GREY, arm(confidence, confidence), BLAZEPOSE)
    assert strength(drawn, MIDDLE) >= 0.2 * strength(draw_poses(GREY, arm(), BLAZEPOSE), MIDDLE)


def test_neither_absent_people_nor_hidden_points_are_drawn():
    np.testing.assert_array_equal(draw_poses(GREY, arm(present=(False,)), BLAZEPOSE), GREY)
    hidden = arm()
    hidden.visibility[:] = 0.0
    np.testing.assert_array_equal(draw_poses(GREY, hidden, BLAZEPOSE), GREY)
    both = made_up_poses((True, True))
    one = both.replace(present=np.array([True, False]))
    alone = one.replace(keypoints=one.keypoints * np.array([1, np.nan])[:, None, None])
    drawn = draw_poses(GREY, one, BLAZEPOSE)
    np.testing.assert_array_equal(drawn, draw_poses(GREY, alone, BLAZEPOSE))
    assert (drawn != draw_poses(GREY, both, BLAZEPOSE)).any()


def test_a_mask_is_written_without_a_look_at_those_before_it(tmp_path, monkeypatch):
    """Frames may be many."""
    monkeypatch.setattr("blazepose_jax.io.files.reserve", None)
    write_image(np.full((4, 5), 7, np.uint8), tmp_path / "0.png", tmp_path / "masks" / "0.png")
    assert (read_image(tmp_path / "0.png") == 7).all()
    with pytest.raises(BlazePoseError, match=r"'masks/0\.xyz' cannot be written"):
        write_image(np.zeros((4, 5), np.uint8), tmp_path / "0.xyz", Path("masks/0.xyz"))
