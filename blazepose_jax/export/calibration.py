"""Photographs that an export is calibrated with, and others that it is judged by."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.data.coco import Annotations, read_annotations, true_roi
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.export.graph import Graph
from blazepose_jax.geometry import rois, warp
from blazepose_jax.io.frames import to_frame
from blazepose_jax.io.images import read_image
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import ROI

PARITY_CROPS = 8
CALIBRATION_CROPS = 100
MEASURED_PEOPLE = 100  # for the PCK drop; none of them calibrates


@dataclasses.dataclass(frozen=True)
class CalibrationSet:
    """Photographs with somebody in them.

    Attributes:
      images: (image, its ROI) pairs to calibrate with.
      judged: (image, its ROI) pairs that calibrate nothing, to compare the file with JAX on; of one
        person alone, hers.
      measured: people whose truth is known and who calibrate nothing; None without --calibration,
        or where all do.
      files: what was read.
    """

    images: list[tuple[np.ndarray, ROI]]
    judged: list[tuple[np.ndarray, ROI]]
    measured: Annotations | None
    files: tuple[Path, ...] = ()


def read_calibration_set(
    folder: str | None, skeleton: Skeleton, pictures: str | None = None
) -> CalibrationSet:
    """Photographs: those of ``folder``, or scikit-image's astronaut.

    Args:
      folder: annotated people, or None.
      skeleton: of the pose net, whose centre and up points place the ROIs.
      pictures: where the pictures of ``folder`` lie, where it does not say.

    Raises:
      BlazePoseError: no usable people, or no photograph at all.
    """
    if folder is None:
        try:
            from skimage.data import astronaut
        except ImportError as error:
            raise BlazePoseError(
                "the parity report needs a photograph: give --calibration DIR, or pip install "
                "scikit-image"
            ) from error
        image, rng, found = astronaut(), np.random.default_rng(0), []
        for _ in range(2 * PARITY_CROPS):
            x, y = rng.integers(0, 100, 2)  # cut off the photograph, so that no two are the same
            center = np.array([225 - x, 330 - y], np.float32) + rng.normal(0, 15, 2).astype(
                np.float32
            )
            square = ROI(
                center, np.float32(600 * rng.uniform(0.8, 1.2)), np.float32(rng.normal(0, 0.2))
            )
            found.append((np.ascontiguousarray(image[y:, x:]), square))
        return CalibrationSet(found[PARITY_CROPS:], found[:PARITY_CROPS], None)
    data = read_annotations(folder, evaluation=True, images=pictures, skeleton=skeleton)
    people = [(person, true_roi(person, data.names, skeleton)) for person in data.people]
    usable = [(person, square) for person, square in people if square is not None]
    if lacking := [name for name in skeleton.center + skeleton.up if name not in data.names]:
        raise BlazePoseError(
            f"{folder} has no keypoint {lacking[0]!r}, which places the net's ROI: it has "
            f"{', '.join(data.names[:8])}; rename them"
        )
    if not usable:
        raise BlazePoseError(
            f"nobody in {folder} has {', '.join(skeleton.center + skeleton.up)} labelled:"
            " calibration needs people with a ROI"
        )
    # At most half of the photographs calibrate, so that others are left to judge by; of a single
    # one half its people.
    alone = len({person.image for person, _ in usable}) == 1
    keys = [person.id if alone else person.image for person, _ in usable]
    distinct = list(dict.fromkeys(keys))
    order = np.random.default_rng(0).permutation(len(distinct)).tolist()
    place = {distinct[i]: rank for rank, i in enumerate(order)}
    ranked = sorted(zip((place[key] for key in keys), usable, strict=True), key=lambda row: row[0])
    half = (len(distinct) + 1) // 2
    rows = [pair for rank, pair in ranked if rank < half][:CALIBRATION_CROPS]
    judges = [pair for rank, pair in ranked if rank >= half][:MEASURED_PEOPLE]
    images, judged = (
        [(read_image(person.image), square) for person, square in some]
        for some in (rows, (judges or rows)[:PARITY_CROPS])
    )
    measured = tuple(person for person, _ in judges)
    return CalibrationSet(
        images,
        judged,
        dataclasses.replace(data, people=measured) if measured else None,
        data.inputs,
    )


def crops_for(graph: Graph, images: list[tuple[np.ndarray, ROI]]) -> np.ndarray:
    """(N, S, S, 3) float32 normalised.

    People for a pose net, letterboxed photographs for a detector.
    """

    @jax.jit
    def crop(frame, square):
        border = "replicate" if graph.kind == "pose" else "zero"
        pixels = warp.crop(frame, rois.to_affine(square, graph.side), graph.side, border=border)
        return (pixels - graph.mean) / graph.std

    found = []
    for image, square in images:
        frame = to_frame(image)
        found.append(
            np.asarray(
                crop(
                    frame,
                    square if graph.kind == "pose" else rois.whole_image(jnp.asarray(frame.size)),
                ),
                np.float32,
            )
        )
    return np.stack(found)
