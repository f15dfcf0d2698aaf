"""What a teacher sees of a person, beside labels by hand, and as labels."""

import dataclasses

import jax
import numpy as np

from blazepose_jax.batches import TRUST
from blazepose_jax.data import run_lengths
from blazepose_jax.data.annotations import Person, TeacherLabels
from blazepose_jax.geometry import rois, warp
from blazepose_jax.inference.labelled_roi import MAX_DISTANCE
from blazepose_jax.inference.quality import JOINTS
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.structs import ROI, Array, Frame, Poses

# Share of the disagreements with labels by hand in which the teacher is right (``TRUST``).
RIGHT_IN_DISPUTE = 2 / 3
JOINT_ROWS = np.array(BLAZEPOSE.indices(JOINTS))


@dataclasses.dataclass(frozen=True)
class Look:
    """What the teacher sees of one person.

    Attributes:
      poses: N = 1, numpy leaves.
      next_roi: () where it would look next.
    """

    poses: Poses
    next_roi: ROI


_paste = jax.jit(warp.paste_mask)


def distances(look: Look, person: Person) -> tuple[np.ndarray, np.ndarray]:
    """How far the labels by hand lie from the teacher's points.

    Returns:
      (33,) torsos, by the teacher's torso; and (33,) bool, labelled by hand.
    """
    count = len(BLAZEPOSE.keypoints)
    points = look.poses.keypoints[0, :, :2]
    apart = np.linalg.norm(points - person.keypoints[:count], axis=-1)
    center, up = (
        points[list(BLAZEPOSE.indices(ends))].mean(0) for ends in (BLAZEPOSE.center, BLAZEPOSE.up)
    )
    # Of somebody who bends towards the camera the torso is short.
    least = rois.USUAL_TORSO * float(look.next_roi.side) / 2
    torso = max(float(np.linalg.norm(center - up)), least)
    return apart / torso, person.visibility_flags[:count] > 0


def agrees(look: Look, person: Person) -> bool:
    """Whether the teacher looked at the person who is labelled."""
    apart, known = distances(look, person)
    return bool(known.any() and np.median(apart[known]) < MAX_DISTANCE)


def to_labels(
    look: Look, frame: Frame, person: Person | None, names: tuple[str, ...], corrected: bool = False
) -> TeacherLabels:
    """A look as labels.

    Args:
      look: the teacher's.
      frame: the photograph.
      person: labelled by hand; None for nobody.
      names: of n keypoints, which begin with BlazePose's 33.
      corrected: whether the teacher's points take the place of the person's labels, which then only
        weigh them; else the labels stay.
    """
    more = len(names) - len(BLAZEPOSE.keypoints)  # that the teacher does not know
    poses = look.poses
    assert poses.world is not None
    assert poses.mask is not None

    def column(values: Array) -> np.ndarray:
        found = np.asarray(values, np.float32)
        return np.pad(found, [(0, more)] + [(0, 0)] * (found.ndim - 1))

    # Confidence is calibrated on joints; of other points it knows no more than of the pose.
    confidence = np.minimum(poses.confidence[0], poses.quality[0])
    confidence[JOINT_ROWS] = poses.confidence[0, JOINT_ROWS]
    points, confidence = column(poses.keypoints[0, :, :2]), column(confidence)
    if person is not None:
        by_hand = person.visibility_flags > 0
        apart = np.pad(distances(look, person)[0], (0, more))
        trust = np.select([apart < far for far, _ in TRUST], [weight for _, weight in TRUST])
        if corrected:
            seen = by_hand & (np.arange(len(names)) < len(BLAZEPOSE.keypoints))
            agreed = np.where(trust == 1, 1, confidence * RIGHT_IN_DISPUTE)
            confidence, by_hand = np.where(seen, agreed, confidence), by_hand & ~seen
        confidence = np.where(by_hand, trust, confidence).astype(np.float32)
        points = np.where(by_hand[:, None], person.keypoints, points)
    width, height = (int(n) for n in frame.size)
    pasted = np.asarray(_paste(poses.mask[0], jax.tree.map(lambda a: a[0], poses.roi), frame))
    mask = pasted[: width * height].reshape(height, width) > 0.5
    return TeacherLabels(
        points,
        confidence,
        column(poses.visibility[0]),
        column(poses.keypoints[0, :, 2]),
        column(poses.world[0]),
        look.next_roi,
        float(poses.quality[0]),
        run_lengths.encode(mask),
    )
