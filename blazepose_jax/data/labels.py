"""Labels of records: names, shapes and types on disk, and the structs they become.

Names on disk keep the words of the first version, so that records folders and TFDS data sets stay
readable. No other module maps them to fields of structs:

    on disk          struct
    flags            PoseBatch.visibility_flags
    knows_occlusion  PoseBatch.has_occlusion_labels
    side, angle      PoseBatch.roi, whose centre is the middle of the record
    mask             PoseBatch.mask, as packed bits
    has_3d           PoseBatch.has_3d_labels; true of all where it is left out
    confidence, seen, roi_points    PoseBatch.teacher
    kinds            SceneBatch.status
    id               ids of both
    group            none; people of one group are held out together
"""

from typing import Any

import numpy as np

from blazepose_jax.batches import PoseBatch, SceneBatch, TeacherBatch
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import ROI

Batch = PoseBatch | SceneBatch
# Names on disk -> arrays of one row per record.
Labels = dict[str, np.ndarray]
# One record: "image", a JPEG's bytes, and its labels, arrays and numpy scalars by their names on
# disk.
Row = dict[str, Any]
# Names on disk -> shape of one record and type.
Fields = dict[str, tuple[tuple[int, ...], type[np.generic]]]

COMMON: Fields = {"id": ((), np.int32), "group": ((), np.int32), "weight": ((), np.float32)}
# Fields that records may lack.
OPTIONAL = {"group", "has_3d"}


def person_fields(points: int) -> Fields:
    """Labels of a person with so many keypoints."""
    return {
        "keypoints": ((points, 2), np.float32),
        "flags": ((points,), np.int32),
        "side": ((), np.float32),
        "angle": ((), np.float32),
        **COMMON,
        "knows_occlusion": ((), np.bool_),
    }


def teacher_fields(points: int) -> Fields:
    """Further labels of a person whom a teacher labelled."""
    return {
        "confidence": ((points,), np.float32),
        "seen": ((points,), np.float32),
        "roi_points": ((2, 2), np.float32),
    }


def body_fields(points: int, size: int) -> Fields:
    """Further labels of people whose depth is known, in a record of ``size`` px per side."""
    return {
        "depth": ((points,), np.float32),
        "world": ((points, 3), np.float32),
        "mask": ((-(-(size**2) // 8),), np.uint8),
        "has_3d": ((), np.bool_),
    }


def scene_fields(people: int) -> Fields:
    """Labels of a scene of up to so many people."""
    return {"points": ((people, 5, 2), np.float32), "kinds": ((people,), np.int32), **COMMON}


def person_row(
    image: bytes,
    keypoints: np.ndarray,
    visibility_flags: np.ndarray,
    roi: ROI,
    *,
    number: int,
    group: int,
    weight: float,
    has_occlusion_labels: bool,
) -> Row:
    """The row of one person.

    Args:
      image: a JPEG's bytes.
      keypoints: (K, 2) float32, record px.
      visibility_flags: (K,) int32.
      roi: () the truth, record px; its centre is the middle of the record.
      number: id of the person.
      group: of the person.
      weight: in the loss.
      has_occlusion_labels: flag 2 means visible, not just labelled.
    """
    return {
        "image": image,
        "keypoints": keypoints,
        "flags": visibility_flags,
        "side": np.float32(roi.side),
        "angle": np.float32(roi.angle),
        "id": np.int32(number),
        "group": np.int32(group),
        "weight": np.float32(weight),
        "knows_occlusion": np.bool_(has_occlusion_labels),
    }


def scene_row(
    image: bytes, points: np.ndarray, status: np.ndarray, *, number: int, group: int, weight: float
) -> Row:
    """The row of one scene.

    Args:
      image: a JPEG's bytes.
      points: (N, 5, 2) float32, record px.
      status: (N,) int32.
      number: id of the scene.
      group: of the scene.
      weight: in the loss.
    """
    return {
        "image": image,
        "points": points,
        "kinds": status,
        "id": np.int32(number),
        "group": np.int32(group),
        "weight": np.float32(weight),
    }


def kind_of(labels: Labels) -> str:
    """Kind of the network that learns from such labels: "pose" or "detector"."""
    return "detector" if "kinds" in labels else "pose"


def to_batch(pixels: np.ndarray, labels: Labels) -> Batch:
    """Records as the struct that a network is trained on.

    Args:
      pixels: (n, R, R, 3) uint8.
      labels: of n rows.

    Returns:
      SceneBatch where the labels are a scene's, else PoseBatch.
    """
    if kind_of(labels) == "detector":
        return SceneBatch(
            pixels=pixels,
            points=labels["points"],
            status=labels["kinds"],
            weight=labels["weight"],
            ids=labels["id"],
        )
    count, side = pixels.shape[:2]
    batch = PoseBatch(
        pixels=pixels,
        keypoints=labels["keypoints"],
        visibility_flags=labels["flags"],
        roi=ROI(np.full((count, 2), side / 2, np.float32), labels["side"], labels["angle"]),
        has_occlusion_labels=labels["knows_occlusion"],
        weight=labels["weight"],
        ids=labels["id"],
    )
    if "confidence" in labels:
        teacher = TeacherBatch(labels["confidence"], labels["seen"], labels["roi_points"])
        batch = batch.replace(teacher=teacher)
    if "depth" not in labels:
        return batch
    mask = np.unpackbits(labels["mask"], axis=1, count=side * side).reshape(count, side, side)
    return batch.replace(
        has_3d_labels=labels.get("has_3d", np.ones(count, bool)),
        depth=labels["depth"],
        world=labels["world"],
        mask=255 * mask,
    )


def from_rendered(batch: PoseBatch) -> Labels:
    """Labels of rendered people: ``to_batch`` makes the same batch of them.

    Args:
      batch: of numpy leaves, with depth, world and mask.
    """
    mask = np.asarray(batch.mask)
    found = {
        "keypoints": batch.keypoints,
        "flags": batch.visibility_flags,
        "side": batch.roi.side,
        "angle": batch.roi.angle,
        "id": batch.ids,
        "group": batch.ids,
        "weight": batch.weight,
        "knows_occlusion": batch.has_occlusion_labels,
        "depth": batch.depth,
        "world": batch.world,
        "mask": np.packbits(mask.reshape(len(mask), -1) > 0, axis=1),
        "has_3d": np.ones(len(mask), bool),
    }
    return {name: np.asarray(values) for name, values in found.items()}


def check_labels(labels: Labels, skeleton: Skeleton, size: int) -> None:
    """Compare names, shapes, types and values of a folder's labels with what was written.

    Args:
      labels: with ``length``, the bytes of each picture.
      skeleton: of the records.
      size: R, px per side.

    Raises:
      ValueError: the first that is wrong.
    """
    points = len(skeleton.keypoints)
    scenes = kind_of(labels) == "detector"
    people = labels["kinds"].shape[1] if scenes and labels["kinds"].ndim == 2 else 0
    fields: Fields = {"length": ((), np.int64)}
    fields |= scene_fields(people) if scenes else person_fields(points)
    if "depth" in labels:
        fields |= body_fields(points, size)
    if "confidence" in labels:
        fields |= teacher_fields(points)
    if lacking := sorted(fields.keys() - OPTIONAL - labels.keys()):
        raise ValueError(f"labels lack {lacking[0]!r}")
    count = labels["length"].size
    for name, value in labels.items():
        shape, dtype = fields.get(name, (value.shape[1:], value.dtype))
        if value.shape != (count, *shape):
            raise ValueError(f"label {name!r} has the shape {value.shape}, not {(count, *shape)}")
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ValueError(f"label {name!r} holds NaN or infinite values")
        if value.dtype.kind != np.dtype(dtype).kind:
            raise ValueError(f"label {name!r} has the type {value.dtype}")
    if not count or (labels["length"] <= 0).any() or (labels["weight"] < 0).any():
        raise ValueError("a record without a picture, or of negative weight")
    if not scenes and (
        (labels["side"] <= 0).any() or not np.isin(labels["flags"], (0, 1, 2)).all()
    ):
        raise ValueError("a record without a ROI, or with flags other than 0, 1 and 2")
