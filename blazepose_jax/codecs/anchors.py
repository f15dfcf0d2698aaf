"""Anchors of the detectors, and detections from raw tensors."""

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.geometry import nms
from blazepose_jax.geometry.boxes import xyxy_from_cxcywh
from blazepose_jax.structs import Array, Detections, DetectorOutputs

# Input side -> ((cells per side, anchors per cell), ...); docs/mediapipe.md, 3.2.
LAYOUTS = {224: ((28, 2), (14, 2), (7, 6)), 128: ((16, 2), (8, 6))}
# Which of a cell's anchors answer for a person, and how far from the middle of the box, in units of
# the input; 0 is never. Boxes have one size (codecs/alignment.py), so one anchor a cell suffices,
# and none on maps that are too coarse. At 224 these are Google's, as measured by
# tools/detector_conventions.py: the second anchor of the 28x28 map fires within 0.047, the first of
# the 14x14 map within 0.058, and no other ever.
REACH = {224: ((0, 0.047), (0.058, 0), (0,) * 6), 128: ((0.05, 0), (0.09, *(0,) * 5))}


def anchor_centers(side: int) -> np.ndarray:
    """Centres of the anchors of the detector with this input.

    Every anchor has the size of the input.

    Args:
      side: input px.

    Returns:
      (A, 2) float32 in units of the input: x, y; maps from fine to coarse, rows, columns, anchors.

    Raises:
      BlazePoseError: no detector has this input.
    """
    if side not in LAYOUTS:
        raise BlazePoseError(
            f"no anchors for a detector input of {side} px: known are {sorted(LAYOUTS)}"
        )
    centers = []
    for cells, anchors in LAYOUTS[side]:
        steps = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        x, y = np.meshgrid(steps, steps)
        centers.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), anchors, 0))
    return np.concatenate(centers)


def distance_scale(side: int) -> np.ndarray:
    """How near an anchor must lie to the middle of a person's box to be responsible for it.

    Args:
      side: input px.

    Returns:
      (A,) float32 in units of the input; 0 for anchors that answer for nobody.
    """
    maps = zip(LAYOUTS[side], REACH[side], strict=True)
    scales = [np.tile(reaches, cells**2) for (cells, _), reaches in maps]
    return np.concatenate(scales).astype(np.float32)


def map_numbers(side: int) -> np.ndarray:
    """(A,) which map an anchor belongs to, from fine to coarse."""
    return np.repeat(
        np.arange(len(LAYOUTS[side])), [cells**2 * anchors for cells, anchors in LAYOUTS[side]]
    )


def decode(
    outputs: DetectorOutputs, side: int, *, count: int, min_score: float, nms_threshold: float
) -> Detections:
    """Decode the raw tensors of one image (docs/mediapipe.md, 3.3).

    Args:
      outputs: with B = 1.
      side: input px.
      count: N, how many to keep.
      min_score: candidates below it are dropped.
      nms_threshold: IoU above which two faces are one.

    Returns:
      Detections in the crop frame, where the letterboxed image is the unit square.

    Source: mediapipe/calculators/tensor/tensors_to_detections_calculator.cc.
    """
    values = jnp.asarray(outputs.boxes[0]) / side  # (A, 12)
    centers = jnp.asarray(anchor_centers(side))
    # Row 1 is width, height.
    points = values.reshape(-1, 6, 2).at[:, (0, 2, 3, 4, 5)].add(centers[:, None])
    boxes_xyxy = xyxy_from_cxcywh(points[:, :2].reshape(-1, 4))
    scores = jax.nn.sigmoid(jnp.clip(outputs.logits[0, :, 0], -100, 100))
    scores = jnp.where((scores >= min_score) & (points[:, 1] >= 0).all(-1), scores, 0)
    merged = jnp.concatenate([boxes_xyxy, points[:, 2:].reshape(-1, 8)], -1)  # (A, 12)
    means, best = nms.weighted_nms(boxes_xyxy, merged, scores, count, nms_threshold)
    return Detections(means[:, :4], means[:, 4:].reshape(-1, 4, 2), best, best > 0)


def encode(boxes_xyxy: Array, keypoints: Array, side: int) -> jax.Array:
    """The raw values by which every anchor would predict one person; inverse of ``decode``.

    Args:
      boxes_xyxy: (4,) crop frame.
      keypoints: (4, 2) crop frame.
      side: input px.

    Returns:
      (A, 12) float32, input px relative to the anchor.
    """
    centers = jnp.asarray(anchor_centers(side))
    middle, size = (boxes_xyxy[:2] + boxes_xyxy[2:]) / 2, boxes_xyxy[2:] - boxes_xyxy[:2]
    rows = [
        middle - centers,
        jnp.broadcast_to(size, centers.shape),
        *(p - centers for p in keypoints),
    ]
    return jnp.concatenate(rows, -1) * side
