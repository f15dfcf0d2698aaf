"""Calibration sets: photographs that an export is calibrated with, and others to judge it by."""

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.data.annotations import Annotations, Person, roi_of_box, true_roi
from blazepose_jax.data.coco import read_annotations
from blazepose_jax.data.rendered import Rendered
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.export.graph import Graph
from blazepose_jax.geometry import rois, warp
from blazepose_jax.io.frames import to_frame
from blazepose_jax.io.images import read_image
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton
from blazepose_jax.structs import ROI, Frame

PARITY_CROPS = 8
CALIBRATION_CROPS = 100
RENDERED_SIDE = 320  # px
MEASURED_PEOPLE = 100  # for the PCK drop; none of them calibrates

# Somebody in a picture or in a file of one, (H, W, 3) uint8 RGB.
Photograph = tuple[np.ndarray | Path, ROI]


@dataclasses.dataclass(frozen=True)
class CalibrationSet:
    """Photographs with somebody in them; files are read when they are wanted, one at a time.

    Attributes:
      images: (image, ROI) pairs to calibrate with.
      judged: (image, ROI) pairs that calibrate nothing, to compare the file with JAX on; those of
        ``images`` where there is one person alone.
      measured: people whose truth is known and who calibrate nothing; None without --calibration,
        or where all do.
      files: what was read.
    """

    images: list[Photograph]
    judged: list[Photograph]
    measured: Annotations | None
    files: tuple[Path, ...] = ()


# The square of a photograph that is seen whole.
NOWHERE = ROI(np.zeros(2, np.float32), np.ones((), np.float32), np.zeros((), np.float32))


def read_calibration_set(
    folder: str | None, skeleton: Skeleton | None, pictures: str | None = None
) -> CalibrationSet:
    """Photographs: those of ``folder``, or scikit-image's astronaut.

    Args:
      folder: annotated people, or None.
      skeleton: of the pose net, whose centre and up points place the ROIs; None of a detector
        alone, which sees whole photographs.
      pictures: where the pictures of ``folder`` lie, where it does not say.

    Raises:
      BlazePoseError: no usable people, or no photograph at all.
    """
    if folder is None:
        return _astronaut()
    if skeleton is None:
        return _whole_photographs(folder, pictures)
    data = read_annotations(folder, evaluation=True, images=pictures, skeleton=skeleton)
    # Labels of sets whose ROI is by "face" or "net" give none; the box shows the person as well.
    by_labels = skeleton.roi in ("points", "box")
    people = [
        (person, true_roi(person, data.names, skeleton) if by_labels else roi_of_box(person))
        for person in data.people
    ]
    usable = [(person, square) for person, square in people if square is not None]
    needed = skeleton.center + skeleton.up if skeleton.roi == "points" else ()
    if lacking := [name for name in needed if name not in data.names]:
        raise BlazePoseError(
            f"{folder} has no keypoint {lacking[0]!r}, which places the net's ROI: it has "
            f"{', '.join(data.names[:8])}; rename them"
        )
    if not usable:
        raise BlazePoseError(
            f"nobody in {folder} has {', '.join(skeleton.center + skeleton.up) or 'a box'}"
            " labelled: calibration needs people with a ROI"
        )
    calibrating, others = _halves(usable)
    measured = tuple(person for person, _ in others)
    judged = (others or calibrating)[:PARITY_CROPS]
    return CalibrationSet(
        images=[(person.image, square) for person, square in calibrating],
        judged=[(person.image, square) for person, square in judged],
        measured=dataclasses.replace(data, people=measured) if measured else None,
        files=data.inputs,
    )


def _whole_photographs(folder: str, pictures: str | None) -> CalibrationSet:
    """Each photograph once, whoever is in it."""
    data = read_annotations(folder, images=pictures)
    shown = {person.image: (person, NOWHERE) for person in data.people}
    calibrating, others = _halves(list(shown.values()))
    judged = (others or calibrating)[:PARITY_CROPS]
    return CalibrationSet(
        images=[(person.image, square) for person, square in calibrating],
        judged=[(person.image, square) for person, square in judged],
        measured=None,
        files=data.inputs,
    )


def _astronaut() -> CalibrationSet:
    """Cut-outs of scikit-image's photograph, no two of them the same."""
    try:
        from skimage.data import astronaut
    except ImportError as error:
        raise BlazePoseError(
            "the parity report needs a photograph: give --calibration DIR, or pip install "
            "scikit-image"
        ) from error
    image, rng, found = astronaut(), np.random.default_rng(0), []
    for _ in range(2 * PARITY_CROPS):
        x, y = rng.integers(0, 100, 2)
        center = np.array([225 - x, 330 - y], np.float32) + rng.normal(0, 15, 2).astype(np.float32)
        side = np.asarray(600 * rng.uniform(0.8, 1.2), np.float32)
        square = ROI(center, side, np.asarray(rng.normal(0, 0.2), np.float32))
        found.append((np.ascontiguousarray(image[y:, x:]), square))
    return CalibrationSet(found[PARITY_CROPS:], found[:PARITY_CROPS], None)


def _halves(people: list[tuple[Person, ROI]]) -> tuple[list[tuple[Person, ROI]], ...]:
    """People to calibrate with, and others.

    At most half of the photographs calibrate, so that others are left to judge by; of a single
    photograph half of its people.
    """
    alone = len({person.image for person, _ in people}) == 1
    keys = [person.id if alone else person.image for person, _ in people]
    distinct = list(dict.fromkeys(keys))
    order = np.random.default_rng(0).permutation(len(distinct)).tolist()
    place = {distinct[i]: rank for rank, i in enumerate(order)}
    ranked = sorted(zip((place[key] for key in keys), people, strict=True), key=lambda row: row[0])
    half = (len(distinct) + 1) // 2
    calibrating = [pair for rank, pair in ranked if rank < half]
    others = [pair for rank, pair in ranked if rank >= half]
    return calibrating[:CALIBRATION_CROPS], others[:MEASURED_PEOPLE]


def rendered_crops(graph: Graph) -> np.ndarray:
    """Inputs of a pose net where nobody gives photographs: rendered people.

    Raises:
      BlazePoseError: none of the net's keypoints is one of theirs.
    """
    skeleton = graph.skeleton or BLAZEPOSE
    if not any(skeleton.body_names):
        raise BlazePoseError(
            f"int8 is calibrated on rendered people, who have no {skeleton.keypoints[0]}: track in"
            " float32"
        )
    rows = np.arange(CALIBRATION_CROPS)
    people = jax.device_get(Rendered(CALIBRATION_CROPS, RENDERED_SIDE).take(rows))
    squares = [jax.tree.map(lambda a, i=i: a[i], people.roi) for i in range(len(people.pixels))]
    return crops_for(graph, list(zip(people.pixels, squares, strict=True)))


def crops_for(graph: Graph, images: Sequence[Photograph]) -> np.ndarray:
    """Inputs of a network: people for a pose net, letterboxed photographs for a detector.

    Args:
      graph: of the network.
      images: (image, ROI) pairs.

    Returns:
      (N, S, S, 3) float32 normalised; a picture that cannot be read is left out, with a warning.

    Raises:
      BlazePoseError: none can be read.
    """
    is_pose = graph.kind == "pose"

    @jax.jit
    def crop(frame: Frame, square: ROI) -> jax.Array:
        border = "replicate" if is_pose else "zero"
        pixels = warp.crop(frame, rois.to_affine(square, graph.side), graph.side, border=border)
        return (pixels - graph.mean) / graph.std

    found = []
    for source, square in images:
        try:
            image = read_image(source) if isinstance(source, Path) else source
        except BlazePoseError as error:
            warnings.warn(f"left out: {error}", stacklevel=2)
            continue
        frame = to_frame(image)
        place = square if is_pose else rois.whole_image(jnp.asarray(frame.size))
        found.append(np.asarray(crop(frame, place), np.float32))
    if not found:
        raise BlazePoseError(f"none of {len(images)} pictures can be read: see the warnings")
    return np.stack(found)
