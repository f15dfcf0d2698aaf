"""Squares round hands and faces, from a pose: where models of those look.

They follow MediaPipe's holistic graphs, mediapipe/modules/holistic_landmark/: there a hand's square
goes to a small net that finds the hand more exactly, and a face's to a face detector. ``RECROP_``
are their scales; ``HAND_SCALE`` and ``FACE_SCALE`` are for the landmark nets themselves, as
measured by ``tools/part_presence.py`` (docs/analysis.md).
"""

import jax
import jax.numpy as jnp

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.geometry import rois
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton
from blazepose_jax.structs import ROI, Array, Poses

SIDES = ("left", "right")
# In the order of the functions: of the left hand, then of the right one.
HAND_NAMES = tuple(f"{side}_{name}" for side in SIDES for name in ("wrist", "pinky", "index"))
FACE_POINTS = (
    "nose",
    *(f"{side}_eye{part}" for side in SIDES for part in ("_inner", "", "_outer")),
    "left_ear",
    "right_ear",
    "mouth_left",
    "mouth_right",
)
# hand_landmarks_from_pose_to_recrop_roi.pbtxt and face_landmarks_from_pose_to_recrop_roi.pbtxt.
RECROP_HAND_SCALE, RECROP_FACE_SCALE = 2.7, 3.0
HAND_SHIFT = -0.1  # of the square's side before it is scaled; towards the fingertips
# hand_visibility_from_hand_landmarks_from_pose.pbtxt: the wrist of a hand that is looked at.
LEAST_VISIBILITY = 0.1
HAND_SCALE, FACE_SCALE = 2.3, 2.0


def hand_rois(
    poses: Poses, skeleton: Skeleton = BLAZEPOSE, scale: float = HAND_SCALE
) -> tuple[ROI, jax.Array]:
    """Squares round both hands, turned so that the fingers point up in them.

    Left is the person's left. The centre lies near the middle finger's knuckle, which is taken a
    third of the way from index to pinky; the square is ``scale`` times twice its distance from the
    wrist, moved a little towards the fingertips.

    Args:
      poses: of N slots.
      skeleton: of the poses; it has wrists, pinkies and indices.
      scale: of the square; ``RECROP_HAND_SCALE`` for MediaPipe's hand_recrop net.

    Returns:
      (N, 2) ROI, left and right, image frame; (N, 2) bool: there is a hand to look at.

    Raises:
      BlazePoseError: a skeleton without those points.

    Source: mediapipe/modules/holistic_landmark/calculators/
    hand_detections_from_pose_to_rects_calculator.cc (in 0.10.21; later versions
    estimate the size with the knuckles' distance as well).
    """
    rows = jnp.asarray(rows_of(skeleton, HAND_NAMES)).reshape(2, 3)
    points = jnp.asarray(poses.keypoints)[:, rows, :2]  # (N, 2, 3, 2)
    wrist, pinky, index = (points[:, :, i] for i in range(3))
    middle = (2 * index + pinky) / 3
    up = middle - wrist
    side = 2 * jnp.linalg.norm(up, axis=-1)
    angle = rois.wrap_angle(jnp.pi / 2 - jnp.arctan2(-up[..., 1], up[..., 0]))
    center = middle + (HAND_SHIFT * side)[..., None] * _down(angle)
    visible = jnp.asarray(poses.visibility)[:, rows[:, 0]] >= LEAST_VISIBILITY
    valid = jnp.asarray(poses.present)[:, None] & visible & (side > 0)
    return ROI(center, scale * side, angle), valid


def face_roi(
    poses: Poses, skeleton: Skeleton = BLAZEPOSE, scale: float = FACE_SCALE
) -> tuple[ROI, jax.Array]:
    """The square round a face, turned so that the eyes are level in it.

    It is ``scale`` times the longer side of the upright box round the points of the face.

    Args:
      poses: of N slots.
      skeleton: of the poses; it has the eleven points of a face.
      scale: of the square; ``RECROP_FACE_SCALE`` for MediaPipe's short-range face detector.

    Returns:
      (N,) ROI, image frame; (N,) bool: there is a face to look at. Seen from behind it is one, too:
      the face model's own presence tells.

    Raises:
      BlazePoseError: a skeleton without those points.

    Source: mediapipe/modules/holistic_landmark/face_landmarks_from_pose_to_recrop_roi.pbtxt.
    """
    points = jnp.asarray(poses.keypoints)[
        :, jnp.asarray(rows_of(skeleton, FACE_POINTS)), :2
    ]  # (N, 11, 2)
    low, high = points.min(1), points.max(1)
    right, left = skeleton.indices(("right_eye", "left_eye"))
    eyes = jnp.asarray(poses.keypoints)[:, left, :2] - jnp.asarray(poses.keypoints)[:, right, :2]
    angle = rois.wrap_angle(jnp.arctan2(eyes[:, 1], eyes[:, 0]))
    side = (high - low).max(-1)
    return ROI((low + high) / 2, scale * side, angle), jnp.asarray(poses.present) & (side > 0)


def rows_of(skeleton: Skeleton, names: tuple[str, ...]) -> tuple[int, ...]:
    """Rows of the points that place a square.

    Raises:
      BlazePoseError: one is not there.
    """
    lacking = [name for name in names if name not in skeleton.keypoints]
    if lacking:
        raise BlazePoseError(
            f"the skeleton {skeleton.name!r} has no point {lacking[0]!r}, which the square of a"
            " hand or face needs: give poses that have it"
        )
    return skeleton.indices(names)


def _down(angle: Array) -> jax.Array:
    """(..., 2) where a turned square's lower edge lies."""
    return jnp.stack([-jnp.sin(angle), jnp.cos(angle)], -1)
