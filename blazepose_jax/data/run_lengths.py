"""Masks as COCO's uncompressed run lengths."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class RunLengths:
    """A mask of an image, as COCO's ``segmentation`` of ``{"size", "counts"}`` has it.

    Attributes:
      size: width, height in px.
      counts: lengths of runs of 0 and 1 in turn, beginning with 0, column by column.
    """

    size: tuple[int, int]
    counts: tuple[int, ...]


def encode(mask: np.ndarray) -> RunLengths:
    """The run lengths of an (H, W) bool mask."""
    height, width = mask.shape
    cells = np.asarray(mask, bool).T.reshape(-1)
    changes = np.flatnonzero(np.diff(cells, prepend=False))
    ends = np.concatenate([changes, [cells.size]])
    return RunLengths((width, height), tuple(np.diff(ends, prepend=0).tolist()))


def decode(runs: RunLengths) -> np.ndarray:
    """(H, W) bool.

    Raises:
      ValueError: the runs do not fill the image.
    """
    width, height = runs.size
    if sum(runs.counts) != width * height or min(runs.counts, default=0) < 0:
        raise ValueError(f"runs of {sum(runs.counts)} px for an image of {width} x {height} px")
    values = np.arange(len(runs.counts)) % 2 == 1
    return np.repeat(values, runs.counts).reshape(width, height).T
