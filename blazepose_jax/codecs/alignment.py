"""The detector's box and alignment points of a person, from the body's keypoints.

They are those that Google's detector predicts (docs/mediapipe.md, 3.3). Constants are calibrated on
615 people of LSP's training half and of COCO photographs by ``tools/calibrate_detector.py``.
"""

import jax
import jax.numpy as jnp

from blazepose_jax.skeleton import BLAZEPOSE

# The "face" box has one size, whatever the person's: a fifth of the letterboxed image.
BOX = 0.2
# Its middle lies this share of the way from the mid-shoulder to the middle of the ears ...
TOWARDS_EARS = 0.461
# ... or, where the ears are unknown, this share of the torso beyond the mid-shoulder as seen from
# the mid-hip.
BEYOND_SHOULDERS = 0.162
# The upper body's circle round the mid-shoulder, over the distance to the farthest of face and
# hips.
UPPER = 1.21

_FACE_AND_HIPS = (*range(11), *BLAZEPOSE.indices(BLAZEPOSE.center))


def from_points(points: jax.Array, labelled: jax.Array, radius: jax.Array) -> jax.Array:
    """Alignment points and box of one person.

    Args:
      points: (33, 2) BlazePose's keypoints, any frame.
      labelled: (33,) bool; hips and shoulders must be.
      radius: () of the circle round the body, same unit.

    Returns:
      (5, 2): mid-hip, a point on the body's circle, mid-shoulder, a point on the upper body's
      circle, both beyond the mid-shoulder as seen from the mid-hip; and the middle of the box.
    """
    hip = points[jnp.array(BLAZEPOSE.indices(BLAZEPOSE.center))].mean(0)
    shoulder = points[jnp.array(BLAZEPOSE.indices(BLAZEPOSE.up))].mean(0)
    ears = jnp.array(BLAZEPOSE.indices(("left_ear", "right_ear")))
    length = jnp.linalg.norm(shoulder - hip)
    up = (shoulder - hip) / jnp.maximum(length, 1e-6)
    known = labelled[ears].all()
    middle = jnp.where(
        known,
        shoulder + TOWARDS_EARS * (points[ears].mean(0) - shoulder),
        shoulder + BEYOND_SHOULDERS * (shoulder - hip),
    )
    some = jnp.array(_FACE_AND_HIPS)
    reach = jnp.where(labelled[some], jnp.linalg.norm(points[some] - shoulder, axis=-1), 0).max()
    return jnp.stack([hip, hip + radius * up, shoulder, shoulder + UPPER * reach * up, middle])


def box_xyxy(middle: jax.Array) -> jax.Array:
    """(..., 2) middle in the crop frame of the letterboxed image to (..., 4) the box round it."""
    return jnp.concatenate([middle - BOX / 2, middle + BOX / 2], -1)
