"""Records of whole photographs: JPEG squares with everybody's alignment points."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.batches import BYSTANDER, IGNORED, PERSON
from blazepose_jax.codecs import alignment
from blazepose_jax.data.annotations import Annotations, Person, labelled_by_hand, true_roi
from blazepose_jax.data.encode_people import LEAST_QUALITY, WEIGHTS
from blazepose_jax.data.jpeg import encode_jpeg
from blazepose_jax.data.labels import Row, scene_row
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.geometry import rois, warp
from blazepose_jax.io.frames import to_frame
from blazepose_jax.io.images import read_image
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton
from blazepose_jax.structs import ROI

# People in a scene. Photographs of more are dropped: whoever were left out would be learned as
# background.
MOST = 12

_letterbox = jax.jit(
    lambda frame, side: warp.crop(
        frame, rois.to_affine(rois.whole_image(frame.size), side), side, border="zero"
    ),
    static_argnums=1,
)
_alignment = jax.jit(alignment.from_points)


def by_image(people: Iterable[Person]) -> dict[Path, list[Person]]:
    """People by the photographs that show them."""
    found: dict[Path, list[Person]] = {}
    for person in people:
        found.setdefault(person.image, []).append(person)
    return found


def boxes_by_image(data: Annotations) -> dict[Path, list[np.ndarray]]:
    """(4,) xyxy boxes, px, of whom no more is known, by the photographs that show them."""
    found: dict[Path, list[np.ndarray]] = {}
    for image, box in data.others:
        found.setdefault(image, []).append(box)
    return found


def encode_scenes(
    data: Annotations,
    scenes: Iterable[tuple[Path, list[Person]]],
    size: int,
    groups: Mapping[int, int] | None = None,
    skeleton: Skeleton = BLAZEPOSE,
) -> Iterator[Row]:
    """Letterbox photographs.

    Whoever lacks a point that places the ROI is ignored: the loss leaves out a circle round their
    labelled points, or round the box of somebody who is no further known, as in a crowd.

    Args:
      data: annotations; what is left out is added to ``dropped``.
      scenes: of ``by_image``, perhaps wrapped in a progress bar.
      size: R, px per side.
      groups: by id, of ``group_people``; None where each scene is a group.
      skeleton: whose centre, up points or box place the ROI. Where these are hips and shoulders,
        the detector's box is the face, else it lies round the up points or in the box's middle.

    Returns:
      Rows of ``labels.scene_row``, with N = 12 people; id, group and weight are those of the first
      person.
    """
    groups = groups or {}
    boxes = boxes_by_image(data)
    for image, people in scenes:
        first, others = people[0], boxes.get(image, [])
        if len(people) + len(others) > MOST:
            data.dropped.setdefault(f"more than {MOST} people in a scene", []).append(first.id)
            continue
        try:
            frame = to_frame(read_image(image))
        except BlazePoseError:
            data.dropped.setdefault("broken image", []).append(first.id)
            continue
        whole: ROI = jax.device_get(rois.whole_image(jnp.asarray(frame.size)))
        points = np.zeros((MOST, 5, 2), np.float32)
        status = np.zeros(MOST, np.int32)
        for i, person in enumerate(people):
            points[i], status[i] = _alignment_points(person, data.names, skeleton)
        for i, box in enumerate(others, len(people)):
            points[i], status[i] = _ignored(None, box.reshape(2, 2)), IGNORED
        scale = np.float32(size / whole.side)
        points = ((points - whole.center) * scale + size / 2) * (status > 0)[:, None, None]
        square = np.asarray(_letterbox(frame, size)).astype(np.uint8)
        yield scene_row(
            encode_jpeg(square),
            points.astype(np.float32),
            status,
            number=first.id,
            group=groups.get(first.id, first.id),
            weight=WEIGHTS.get(first.data_set, 1.0),
        )


def _alignment_points(
    person: Person, names: tuple[str, ...], skeleton: Skeleton
) -> tuple[np.ndarray, int]:
    """(5, 2) float32 image px, alignment points and the middle of the box; and the status."""
    roi, teacher = true_roi(person, names, skeleton), person.teacher
    keypoints, labelled = person.keypoints, person.visibility_flags > 0
    if teacher is not None:
        keypoints, labelled = teacher.keypoints, teacher.confidence > 0
        if roi is None and (labelled_by_hand(person) or teacher.quality >= LEAST_QUALITY):
            roi = teacher.roi
    index = {name: i for i, name in enumerate(names)}
    placing = skeleton.center + skeleton.up if by_points(skeleton) else ()
    # Somebody may have deleted a point that the teacher had labelled.
    placed = all(name in index and labelled[index[name]] for name in placing)
    if roi is None or not placed:
        points = keypoints[labelled]
        if roi is None and teacher is not None and not len(points):
            roi = teacher.roi
        return _ignored(roi, points), IGNORED
    status = PERSON if teacher is None or labelled_by_hand(person) else BYSTANDER
    radius = roi.side / (2 * rois.MARGIN)
    if not is_body(skeleton):
        circle = np.asarray(rois.to_alignment(roi))[1]
        middle = roi.center
        if skeleton.roi == "points":
            middle = keypoints[[names.index(name) for name in skeleton.up]].mean(0)
        return np.stack([roi.center, circle, middle, circle, middle]), status
    bodies = dict(zip(skeleton.body_names, skeleton.keypoints, strict=True))
    count = len(BLAZEPOSE.keypoints)
    points, known = np.zeros((count, 2), np.float32), np.zeros(count, bool)
    for i, body in enumerate(BLAZEPOSE.keypoints):
        name = bodies.get(body)
        if name in names and labelled[names.index(name)]:
            points[i], known[i] = keypoints[names.index(name)], True
    return np.asarray(_alignment(points, known, radius)), status


def _ignored(roi: ROI | None, points: np.ndarray) -> np.ndarray:
    """(5, 2) px: the circle of a ROI, or one round (n, 2) points, of somebody who is ignored."""
    if roi is None:
        middle = points.mean(0)
        radius = max(np.linalg.norm(points - middle, axis=-1).max(), 1.0) * 1.5
    else:
        middle, radius = roi.center, roi.side / (2 * rois.MARGIN)
    edge = middle + np.array([0, radius], np.float32)
    return np.stack([middle, edge, middle, edge, middle])


def by_points(skeleton: Skeleton) -> bool:
    """Whether the centre and up points of a set must be labelled to place somebody."""
    return skeleton.roi == "points" or is_body(skeleton)


def is_body(skeleton: Skeleton) -> bool:
    """Whether hips are the centre of a set and shoulders its up points, as in BlazePose's own."""
    bodies = dict(zip(skeleton.keypoints, skeleton.body_names, strict=True))
    return all(
        {bodies[name] for name in own} == set(theirs)
        for own, theirs in ((skeleton.center, BLAZEPOSE.center), (skeleton.up, BLAZEPOSE.up))
    )
