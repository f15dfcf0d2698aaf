"""Batches: the frozen pytrees that networks are trained on.

B records of R px, N people, K keypoints.
"""

import math

from flax import struct

from blazepose_jax.structs import ROI, Array

# SceneBatch.status.
NOBODY, PERSON, IGNORED, BYSTANDER = range(4)
# Weight of a label by hand, by its distance from the teacher's point in torsos. A disagreement is
# the teacher's own error a third of the time, so nothing is dropped.
TRUST = ((0.2, 1.0), (0.5, 0.5), (math.inf, 0.15))


def is_somebody(status: Array) -> Array:
    """Bool of the shape of ``SceneBatch.status``: who is to be found, whoever labelled them."""
    return (status == PERSON) | (status == BYSTANDER)


class TeacherBatch(struct.PyTreeNode):
    """What a teacher wrote down of B people once (``blazepose data label``).

    Attributes:
      confidence: (B, K) float32: weight of each keypoint as a label, whoever labelled it; 0 for
        none.
      visibility: (B, K) float32, probability that the keypoint is not occluded.
      roi_points: (B, 2, 2) float32, record px: centre of the ROI, and the point on its circle.
    """

    confidence: Array
    visibility: Array
    roi_points: Array


class PoseBatch(struct.PyTreeNode):
    """What a pose net is trained on: B person-centred squares of R px, each its own image frame.

    Attributes:
      pixels: (B, R, R, 3) uint8.
      keypoints: (B, K, 2) float32, record px; anything where unlabelled.
      visibility_flags: (B, K) int32, by hand: 2 visible, 1 labelled but occluded, 0 unlabelled.
      roi: (B,) the truth, record px.
      has_occlusion_labels: (B,) bool: flag 2 means visible, not just labelled.
      weight: (B,) float32.
      ids: (B,) int32, for error messages.
      has_3d_labels: (B,) bool: the three below are true of this record. All four are None where no
        record of the batch is of a rendered person or has a teacher's labels.
      depth: (B, K) float32, record px, 0 at the mid-hip, smaller is nearer.
      world: (B, K, 3) float32, metres, origin at the mid-hip, record axes.
      mask: (B, R, R) uint8, 255 where the person is seen.
      teacher: labels by a teacher; None where no record of the batch has any.
    """

    pixels: Array
    keypoints: Array
    visibility_flags: Array
    roi: ROI
    has_occlusion_labels: Array
    weight: Array
    ids: Array
    has_3d_labels: Array | None = None
    depth: Array | None = None
    world: Array | None = None
    mask: Array | None = None
    teacher: TeacherBatch | None = None


class SceneBatch(struct.PyTreeNode):
    """What a detector is trained on: B square scenes of R px with up to N people.

    Attributes:
      pixels: (B, R, R, 3) uint8.
      points: (B, N, 5, 2) float32, px: the four alignment points, then the middle of the face box.
      status: (B, N) int32: 1 a person; 2 somebody labelled too badly to be positive or negative; 3
        somebody whom only a teacher labelled; 0 nobody.
      weight: (B,) float32.
      ids: (B,) int32, for error messages.
    """

    pixels: Array
    points: Array
    status: Array
    weight: Array
    ids: Array
