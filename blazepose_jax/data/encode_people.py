"""Records of annotated people: person-centred JPEG squares with labels."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

import jax
import numpy as np

from blazepose_jax.data import run_lengths
from blazepose_jax.data.annotations import (
    LSP_EXTENDED,
    Annotations,
    Person,
    labelled_by_hand,
    true_roi,
)
from blazepose_jax.data.jpeg import encode_jpeg
from blazepose_jax.data.labels import Row, person_row
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.geometry import rois, warp
from blazepose_jax.io.frames import to_frame
from blazepose_jax.io.images import read_image
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton
from blazepose_jax.structs import ROI, Frame

# The farthest joint may be unlabelled; then the circle is a lower bound, and this much is added.
PARTIAL_MARGIN = 1.1
# By data set. On photographs that were annotated twice, 74 % of LSP Extended's joints agree within
# 0.2 torso, where all of LSP's do.
WEIGHTS = {LSP_EXTENDED: 0.5}

# ``Skeleton.roi`` -> why somebody has no ROI.
WITHOUT_ROI = {
    "points": "centre or up points unlabelled",
    "box": "no box, and one labelled place has no size",
    "face": "the teacher's detector found nobody where the labels are",
    "net": "the teacher found nobody where the labels are",
}

# Whoever nobody labelled by hand is no record below this quality of the teacher's pose.
LEAST_QUALITY = 0.6
# Weight of labels by hand in a set labelled by a teacher, of people whom it saw otherwise or not.
UNCONFIRMED = 0.5
POOR = f"labelled by a net alone, of quality below {LEAST_QUALITY}"


@partial(jax.jit, static_argnames=("side", "border"))
def _square(frame: Frame, roi: ROI, side: int, border: str = "replicate") -> jax.Array:
    return warp.crop(frame, rois.to_affine(roi, side), side, border=border)


def encode_people(
    data: Annotations,
    skeleton: Skeleton,
    people: Iterable[Person],
    size: int,
    circles: Mapping[int, ROI] | None = None,
    groups: Mapping[int, int] | None = None,
) -> Iterator[Row]:
    """Cut people out.

    Args:
      data: annotations; points are mapped to the skeleton by name, and who is left out is added to
        ``dropped``.
      skeleton: of the records.
      people: those of ``data``, perhaps wrapped in a progress bar.
      size: R, px per side.
      circles: by id, a teacher's ROI for people whose own labels do not give one.
      groups: by id, of ``group_people``; None where each person is a group.

    Returns:
      Rows of ``labels.person_row``.
    """
    circles, groups = circles or {}, groups or {}
    has_teacher = any(person.teacher is not None for person in data.people)
    pairs = [(i, data.names.index(n)) for i, n in enumerate(skeleton.keypoints) if n in data.names]
    here, there = (list(side) for side in zip(*pairs, strict=True)) if pairs else ([], [])
    for person in people:
        roi, teacher = _roi_of(person, data.names, skeleton, circles), person.teacher
        if isinstance(roi, str):
            data.dropped.setdefault(roi, []).append(person.id)
            continue
        try:
            frame = to_frame(read_image(person.image))
        except BlazePoseError:
            data.dropped.setdefault("broken image", []).append(person.id)
            continue
        view = ROI(roi.center, roi.side * np.float32(rois.CONTEXT), np.zeros((), np.float32))
        square = np.asarray(_square(frame, view, size)).astype(np.uint8)
        scale = size / view.side
        points = np.zeros((len(skeleton.keypoints), 2), np.float32)
        flags = np.zeros(len(skeleton.keypoints), np.int32)
        known = person.keypoints if teacher is None else teacher.keypoints
        points[here] = ((known - roi.center) * scale + size / 2)[there]
        flags[here] = person.visibility_flags[there]
        of_record = ROI(np.full(2, size / 2, np.float32), roi.side * scale, roi.angle)
        row = person_row(
            encode_jpeg(square),
            points,
            flags,
            of_record,
            number=person.id,
            group=groups.get(person.id, person.id),
            weight=_weight(person),
            has_occlusion_labels=teacher is not None or person.labels_occlusion,
        )
        if has_teacher:
            row |= _teacher_labels(person, row, here, there, view, of_record, size)
            # A teacher knows depth and metres of BlazePose's points alone.
            row["has_3d"] &= set(skeleton.keypoints) <= set(BLAZEPOSE.keypoints) & set(data.names)
        yield row


def _roi_of(
    person: Person, names: tuple[str, ...], skeleton: Skeleton, circles: Mapping[int, ROI]
) -> ROI | str:
    """The ROI round a whole person, or why there is none."""
    roi, teacher = true_roi(person, names, skeleton), person.teacher
    if teacher is not None and not labelled_by_hand(person) and teacher.quality < LEAST_QUALITY:
        return POOR
    if roi is not None:
        # The farthest joint may be unlabelled; a box has seen the whole body.
        boxed = skeleton.roi == "box" and person.box_xyxy is not None
        margin = 1 if boxed or (person.visibility_flags > 0).all() else PARTIAL_MARGIN
        return roi.replace(side=roi.side * np.float32(margin))
    if teacher is not None:
        return teacher.roi
    return circles.get(person.id, WITHOUT_ROI[skeleton.roi])


def _weight(person: Person) -> float:
    """How far a person's labels are trusted; below 1 for whoever nobody labelled by hand."""
    if person.teacher is not None and not labelled_by_hand(person):
        return min(person.teacher.quality, 0.99)
    return WEIGHTS.get(person.data_set, 1.0)


def _teacher_labels(
    person: Person,
    row: Row,
    here: list[int],
    there: list[int],
    view: ROI,
    of_record: ROI,
    size: int,
) -> Row:
    """Further labels of a record, of a set in which a teacher labelled anybody.

    Args:
      person: whom it may not have found: then these are the labels by hand, and no depth.
      row: of ``person_row``.
      here: positions of keypoints in the record.
      there: positions of the same in the data.
      view: the square that the record shows, image px.
      of_record: the truth, record px.
      size: R, px per side.
    """
    count, teacher = len(row["flags"]), person.teacher
    labelled = row["flags"] > 0
    found = {
        "confidence": UNCONFIRMED * labelled.astype(np.float32),
        "seen": (row["flags"] == 2).astype(np.float32),
        "roi_points": np.asarray(rois.to_alignment(of_record)),
        "depth": np.zeros(count, np.float32),
        "world": np.zeros((count, 3), np.float32),
        "mask": np.zeros(-(-(size**2) // 8), np.uint8),
        "has_3d": np.bool_(False),
    }
    if teacher is None:
        return found
    scale = float(size / view.side)
    found["confidence"][here] = teacher.confidence[there]
    knows = labelled & person.labels_occlusion
    seen = np.zeros(count, np.float32)
    seen[here] = teacher.visibility[there]
    found["seen"] = np.where(knows, found["seen"], seen)
    found["depth"][here] = (teacher.depth * scale)[there]
    found["world"][here] = teacher.world[there]
    roi_points = np.asarray(rois.to_alignment(teacher.roi))
    found["roi_points"] = (roi_points - np.asarray(view.center)) * scale + size / 2
    if teacher.mask is not None:
        grey = np.repeat(255 * run_lengths.decode(teacher.mask)[..., None].astype(np.uint8), 3, -1)
        mask = np.asarray(_square(to_frame(grey), view, size, border="zero"))[..., 0] >= 128
        found["mask"] = np.packbits(mask.reshape(-1))
        found["has_3d"] = np.bool_(True)
    return found
