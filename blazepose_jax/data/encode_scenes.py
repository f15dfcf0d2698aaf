"""Annotated photographs come in, whole scenes with everybody's alignment points leave, one by
one.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.codecs import alignment
from blazepose_jax.data.coco import Annotations, Person, true_roi
from blazepose_jax.data.encode_people import WEIGHTS, encode_jpeg
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.geometry import rois, warp
from blazepose_jax.io.frames import to_frame
from blazepose_jax.io.images import read_image
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.structs import ROI

# people in a scene; further ones are left out, and with them the scene's certainty about what is
# nobody
MOST = 12
PERSON, UNSURE = 1, 2  # as in structs.SceneBatch

_letterbox = jax.jit(
    lambda frame, side: warp.crop(
        frame, rois.to_affine(rois.whole_image(frame.size), side), side, border="zero"
    ),
    static_argnums=1,
)
_alignment = jax.jit(alignment.from_points)


def by_image(people: Iterable[Person]) -> dict[Path, list[Person]]:
    """People in the photographs that show them."""
    found: dict[Path, list[Person]] = {}
    for person in people:
        found.setdefault(person.image, []).append(person)
    return found


def encode_scenes(
    data: Annotations,
    scenes: Iterable[tuple[Path, list[Person]]],
    size: int,
    groups: dict[int, int] | None = None,
) -> Iterator[dict[str, Any]]:
    """Letterbox photographs.

    Args:
      data: annotations; what is dropped is added to ``dropped``.
      scenes: of ``by_image``, perhaps wrapped in a progress bar.
      size: R, px per side.
      groups: by id, of ``groups.group_people``; None where each is its own.

    Returns:
      Rows: ``image`` (a JPEG's bytes), points (12, 5, 2) px, kinds (12,), id, group, weight.
        Whoever lacks a hip or a
      shoulder is neither wanted nor refused: a circle round the labelled points is left out of the
      loss.
    """
    groups = groups or {}
    for image, people in scenes:
        if len(people) > MOST:
            data.dropped.setdefault(f"more than {MOST} people in a scene", []).append(people[0].id)
            continue
        try:
            frame = to_frame(read_image(image))
        except BlazePoseError:
            data.dropped.setdefault("broken image", []).append(people[0].id)
            continue
        whole: ROI = jax.device_get(rois.whole_image(jnp.asarray(frame.size)))
        points = np.zeros((MOST, 5, 2), np.float32)
        status = np.zeros(MOST, np.int32)
        for i, person in enumerate(people):
            points[i], status[i] = _person(person, data.names)
        scale = np.float32(size / whole.side)
        points = ((points - whole.center) * scale + size / 2) * (status > 0)[:, None, None]
        square = np.asarray(_letterbox(frame, size)).astype(np.uint8)
        yield {
            "image": encode_jpeg(square),
            "points": points.astype(np.float32),
            "kinds": status,
            "id": np.int32(people[0].id),
            "group": np.int32(groups.get(people[0].id, people[0].id)),
            "weight": np.float32(WEIGHTS.get(people[0].data_set, 1.0)),
        }


def _person(person: Person, names: tuple[str, ...]) -> tuple[np.ndarray, int]:
    points = np.zeros((33, 2), np.float32)
    labelled = np.zeros(33, bool)
    for i, name in enumerate(BLAZEPOSE.keypoints):
        if name in names and person.visibility_flags[names.index(name)] > 0:
            points[i], labelled[i] = person.keypoints[names.index(name)], True
    roi = true_roi(person, names)
    if roi is not None:
        return np.asarray(_alignment(points, labelled, roi.side / (2 * rois.MARGIN))), PERSON
    known = person.keypoints[person.visibility_flags > 0]
    middle = known.mean(0)
    edge = middle + np.array(
        [0, max(np.linalg.norm(known - middle, axis=-1).max(), 1.0) * 1.5], np.float32
    )
    return np.stack([middle, edge, middle, edge, middle]), UNSURE
