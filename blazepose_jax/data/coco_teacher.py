"""A teacher's labels in a COCO file: one key of an annotation, beside COCO's own.

``keypoints`` holds everything, so that any tool for COCO shows and corrects it; ``teacher`` says
which of it is by hand, and the rest. n is the number of the category's keypoints:

    by_hand       n, 1 where a person labelled the point
    confidences   n, weights from 0 to 1
    visibilities  n, probabilities
    z             n, px
    world         3 n, metres
    roi           center x and y, side in px, angle in radians
    quality       from 0 to 1

The mask is COCO's ``segmentation``, as uncompressed run lengths.
"""

import numpy as np

from blazepose_jax.batches import TRUST
from blazepose_jax.data.annotations import TeacherLabels
from blazepose_jax.data.coco_file import JsonObject
from blazepose_jax.data.run_lengths import RunLengths, decode
from blazepose_jax.structs import ROI

WIDTHS = {"by_hand": 1, "confidences": 1, "visibilities": 1, "z": 1, "world": 3}  # numbers a point


def write_teacher(labels: TeacherLabels, by_hand: np.ndarray) -> JsonObject:
    """The keys of an annotation that hold a teacher's labels, but for ``keypoints``.

    Args:
      labels: n points.
      by_hand: (n,) bool.
    """
    roi = [*labels.roi.center, labels.roi.side, labels.roi.angle]
    found: JsonObject = {
        "teacher": {
            "by_hand": by_hand.astype(int).tolist(),
            "confidences": rounded(labels.confidence, 3),
            "visibilities": rounded(labels.visibility, 3),
            "z": rounded(labels.depth, 2),
            "world": rounded(labels.world, 4),
            "roi": rounded(np.array(roi), 3),
            "quality": round(float(labels.quality), 4),
        }
    }
    if labels.mask is not None:
        width, height = labels.mask.size
        found["segmentation"] = {"size": [height, width], "counts": list(labels.mask.counts)}
    return found


def rounded(values: np.ndarray, digits: int) -> list[float]:
    """All numbers in one list, with so many digits after the point."""
    return [round(v, digits) for v in np.asarray(values, np.float64).reshape(-1).tolist()]


def read_teacher(
    row: JsonObject,
    points: np.ndarray,
    order: list[int],
    scale: tuple[float, float],
    size: tuple[int, int],
) -> tuple[TeacherLabels, np.ndarray]:
    """What ``write_teacher`` wrote.

    Args:
      row: the annotation.
      points: (n, 3) px of the picture and flags, by hand or by the teacher.
      order: the place in the file of each.
      scale: of the file's px to the picture's.
      size: width, height of the picture.

    Returns:
      TeacherLabels, and (n,) bool, which points are by hand; in the order of ``points``.

    Raises:
      ValueError: anything that ``write_teacher`` does not write.
    """
    raw, count = row.get("teacher"), len(order)
    if not isinstance(raw, dict):
        raise ValueError("teacher is no object")
    columns = {}
    for name, width in WIDTHS.items():
        columns[name] = _numbers(raw.get(name), width * count).reshape(count, width)[order]
    by_hand, confidence, visibility = (
        columns[name][:, 0] for name in ("by_hand", "confidences", "visibilities")
    )
    # Of points by hand, ``write_teacher`` has the trust. What is none was moved or added since, and
    # is what the net had said of its own point.
    trusted = np.isin(confidence, [weight for _, weight in TRUST])
    confidence = np.where((by_hand > 0) & ~trusted, 1, confidence)
    shares = np.concatenate([by_hand, confidence, visibility, _numbers([raw.get("quality")], 1)])
    x, y, side, angle = _numbers(raw.get("roi"), 4)
    if not ((shares >= 0) & (shares <= 1)).all() or not side > 0:
        raise ValueError("a share outside of 0 to 1, or a ROI without a side")
    roi = ROI(
        np.array([x * scale[0], y * scale[1]], np.float32),
        np.asarray(side * scale[0], np.float32),
        np.asarray(angle, np.float32),
    )
    labels = TeacherLabels(
        points[:, :2].astype(np.float32),
        np.where(points[:, 2] > 0, confidence, 0).astype(np.float32),
        visibility.astype(np.float32),
        (columns["z"][:, 0] * scale[0]).astype(np.float32),
        columns["world"].astype(np.float32),
        roi,
        float(shares[-1]),
        _mask(row.get("segmentation"), size),
    )
    return labels, by_hand > 0


def _numbers(values: object, count: int) -> np.ndarray:
    """(count,) finite float64."""
    try:
        found = np.asarray(values, np.float64)
    except (TypeError, OverflowError) as error:
        raise ValueError(str(error)) from error
    if found.shape != (count,) or not np.isfinite(found).all():
        raise ValueError(f"not {count} finite numbers")
    return found


def _mask(segmentation: object, size: tuple[int, int]) -> RunLengths | None:
    """None where there is none, or one of another size or kind, such as COCO's polygons."""
    if not isinstance(segmentation, dict):
        return None
    counts, (width, height) = segmentation.get("counts"), size
    if not isinstance(counts, list) or segmentation.get("size") != [height, width]:
        return None
    if not all(isinstance(n, int) for n in counts):
        raise ValueError("runs of a mask that are no whole numbers")
    runs = RunLengths(size, tuple(counts))
    decode(runs)
    return runs
