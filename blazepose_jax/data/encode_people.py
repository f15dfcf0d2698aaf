"""Records of annotated people: person-centred JPEG squares with labels."""

from collections.abc import Iterable, Iterator, Mapping

import jax
import numpy as np

from blazepose_jax.data.annotations import LSP_EXTENDED, Annotations, Person, true_roi
from blazepose_jax.data.jpeg import encode_jpeg
from blazepose_jax.data.labels import Row, person_row
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.geometry import rois, warp
from blazepose_jax.io.frames import to_frame
from blazepose_jax.io.images import read_image
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import ROI

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

_square = jax.jit(
    lambda frame, roi, side: warp.crop(frame, rois.to_affine(roi, side), side, border="replicate"),
    static_argnums=2,
)


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
    pairs = [(i, data.names.index(n)) for i, n in enumerate(skeleton.keypoints) if n in data.names]
    here, there = (list(side) for side in zip(*pairs, strict=True)) if pairs else ([], [])
    for person in people:
        roi = true_roi(person, data.names, skeleton)
        # The farthest joint may be unlabelled; a box or a teacher has seen the whole body.
        boxed = skeleton.roi == "box" and person.box_xyxy is not None
        margin = 1 if boxed or (person.visibility_flags > 0).all() else PARTIAL_MARGIN
        if roi is None and person.id in circles:
            roi, margin = circles[person.id], 1
        if roi is None:
            data.dropped.setdefault(WITHOUT_ROI[skeleton.roi], []).append(person.id)
            continue
        try:
            frame = to_frame(read_image(person.image))
        except BlazePoseError:
            data.dropped.setdefault("broken image", []).append(person.id)
            continue
        side = roi.side * np.float32(margin)
        view = ROI(roi.center, side * np.float32(rois.CONTEXT), np.zeros((), np.float32))
        square = np.asarray(_square(frame, view, size)).astype(np.uint8)
        scale = size / view.side
        points = np.zeros((len(skeleton.keypoints), 2), np.float32)
        flags = np.zeros(len(skeleton.keypoints), np.int32)
        points[here] = ((person.keypoints - roi.center) * scale + size / 2)[there]
        flags[here] = person.visibility_flags[there]
        yield person_row(
            encode_jpeg(square),
            points,
            flags,
            ROI(np.full(2, size / 2, np.float32), side * scale, roi.angle),
            number=person.id,
            group=groups.get(person.id, person.id),
            weight=WEIGHTS.get(person.data_set, 1.0),
            has_occlusion_labels=person.data_set != LSP_EXTENDED,
        )
