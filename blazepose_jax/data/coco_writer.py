"""A COCO file of people labelled by hand, by a teacher, or by both."""

from collections.abc import Sequence

import numpy as np

from blazepose_jax.data.annotations import Person, TeacherLabels
from blazepose_jax.data.coco_file import JsonObject
from blazepose_jax.data.coco_teacher import rounded, write_teacher
from blazepose_jax.skeleton import BLAZEPOSE

CATEGORY = 1
VISIBLE = 0.5  # probability from which a point counts as visible


def annotation_row(
    number: int, image: int, person: Person | None, labels: TeacherLabels | None
) -> JsonObject:
    """The annotation of one person.

    Args:
      number: id of the annotation.
      image: id of its image.
      person: labelled by hand, in n keypoints; None for nobody.
      labels: by a teacher, of n keypoints; None where it did not find the person.

    Raises:
      ValueError: neither is given.
    """
    row: JsonObject = {"id": number, "image_id": image, "category_id": CATEGORY, "iscrowd": 0}
    if person is not None:
        points, flags = person.keypoints, person.visibility_flags
    elif labels is not None:
        points, flags = labels.keypoints, np.zeros(len(labels.keypoints), int)
    else:
        raise ValueError("nobody labelled this person")
    by_hand = flags > 0
    if labels is not None:
        points = labels.keypoints
        by_net = np.where(labels.visibility >= VISIBLE, 2, 1) * (labels.confidence > 0)
        flags = np.where(by_hand, flags, by_net)
    labelled = points[flags > 0]
    low, high = labelled.min(0), labelled.max(0)
    stated = None if person is None else person.box_xyxy
    box = _xywh(np.concatenate([low, high]) if stated is None else stated)
    rows = np.column_stack([points, flags])
    rows[flags == 0] = 0
    row |= {
        "keypoints": rounded(rows, 2),
        "num_keypoints": int((flags > 0).sum()),
        "bbox": rounded(box, 2),
        "area": round(float(np.prod(high - low)) if person is None else person.area, 1),
    }
    if person is not None:
        row |= {"group": person.group} if person.group else {}
        row |= {} if person.eval_ok is None else {"eval_ok": person.eval_ok}
        row |= {} if person.knows_occlusion else {"knows_occlusion": False}
    return row if labels is None else row | write_teacher(labels, by_hand)


def box_row(number: int, image: int, box_xyxy: np.ndarray) -> JsonObject:
    """The annotation of somebody of whom a (4,) xyxy box in px is known, and no keypoint.

    Args: as for ``annotation_row``.
    """
    xywh = _xywh(box_xyxy)
    return {
        "id": number,
        "image_id": image,
        "category_id": CATEGORY,
        "iscrowd": 0,
        "keypoints": [],
        "num_keypoints": 0,
        "bbox": rounded(xywh, 2),
        "area": round(float(xywh[2] * xywh[3]), 1),
    }


def _xywh(box: np.ndarray) -> np.ndarray:
    return np.array([*box[:2], *(box[2:] - box[:2])])


def category_row(
    names: Sequence[str], pairs: tuple[tuple[str, str], ...] | None = None
) -> JsonObject:
    """The category of people with these keypoints.

    Args:
      names: that begin with BlazePose's 33.
      pairs: (left, right) of the others, where a file said so by ``flip_indices``.
    """
    flips: JsonObject = {}
    if pairs is not None:
        known = {name for pair in BLAZEPOSE.left_right for name in pair}
        own = [pair for pair in pairs if not known & set(pair)]
        partner = {a: b for pair in (*BLAZEPOSE.left_right, *own) for a, b in (pair, pair[::-1])}
        flips = {"flip_indices": [names.index(partner.get(name, name)) for name in names]}
    bones = [[names.index(a) + 1, names.index(b) + 1] for a, b in BLAZEPOSE.bones]
    return {
        "id": CATEGORY,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(names),
        "skeleton": bones,
        **flips,
    }
