"""Records folders: JPEG squares in one file, and their labels."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from blazepose_jax.data.annotations import Reasons
from blazepose_jax.data.labels import Labels, Row, check_labels
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.files import OutputFolder, write_text
from blazepose_jax.io.json_files import read_json
from blazepose_jax.io.tensors import load_tensors, save_tensors
from blazepose_jax.skeleton import Skeleton

FORMAT = "blazepose_jax records 1"
MAX_SIDE = 4096  # px of a record
MAX_DESCRIPTION = 2**24  # bytes of records.json


def write_records(
    rows: Iterable[Row],
    skeleton: Skeleton,
    output: Path,
    *,
    size: int,
    source: str,
    dropped: Reasons,
    notes: Mapping[str, object] | None = None,
) -> int:
    """Write a records folder; it appears under its name when it is complete.

    Args:
      rows: of ``encode_people``, ``encode_scenes`` or ``rendered_rows``.
      skeleton: of the records.
      output: a new folder.
      size: R, px per side.
      source: name for records.json.
      dropped: complete after the last row; counted in records.json.
      notes: further plain data for records.json.

    Returns:
      Number of records.

    Raises:
      BlazePoseError: the output exists, or there are no rows.
    """
    if output.exists():
        raise BlazePoseError(f"output {str(output)!r} exists: name a new folder")
    labels: list[Row] = []
    folder = OutputFolder(output)
    try:
        with (folder.part / "images.bin").open("wb") as images:
            for row in rows:
                images.write(row["image"])
                label = {name: value for name, value in row.items() if name != "image"}
                labels.append({"length": np.int64(len(row["image"])), **label})
        if not labels:
            why = "; ".join(f"{len(ids)} {reason}" for reason, ids in dropped.items())
            raise BlazePoseError(
                f"there is nobody to write ({why or 'no people'}): a record needs a person with a"
                " ROI; label the points that place it, or name weights that find it with --teacher"
            )
        columns = {name: np.stack([row[name] for row in labels]) for name in labels[0]}
        save_tensors(columns, folder.part / "labels.safetensors")
        description = {
            "format": FORMAT,
            "source": source,
            "size": size,
            "count": len(labels),
            "skeleton": skeleton.to_dict(),
            "dropped": {reason: len(ids) for reason, ids in dropped.items()},
            **(notes or {}),
        }
        write_text(folder.part / "records.json", json.dumps(description, indent=2) + "\n")
        folder.finish()
        return len(labels)
    finally:
        folder.discard()


@dataclasses.dataclass(frozen=True)
class RecordFolder:
    """A records folder with its JPEGs still encoded: random access to rows.

    Attributes:
      described: contents of records.json.
      skeleton: of the keypoints.
      labels: arrays of n rows.
      images: all JPEGs, one after another, mapped from the disk.
      ends: (n,) int, where each of them ends.
    """

    described: dict[str, Any]
    skeleton: Skeleton
    labels: Labels
    images: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        """Number of records."""
        return len(self.ends)

    def __getitem__(self, i: int) -> Row:
        """Row i."""
        start = self.ends[i - 1] if i else 0
        return {
            "image": self.images[start : self.ends[i]].tobytes(),
            **{k: v[i] for k, v in self.labels.items()},
        }


def open_records(folder: str | Path) -> RecordFolder:
    """Open a records folder.

    Raises:
      BlazePoseError: missing, of another format, or damaged.
    """
    folder = Path(folder)
    if not (folder / "records.json").is_file():
        raise BlazePoseError(
            f"{str(folder)!r} is no records folder (it has no records.json): make one with "
            "blazepose data prepare"
        )
    described = read_json(folder / "records.json", MAX_DESCRIPTION)
    try:
        if not isinstance(described, dict) or described.get("format") != FORMAT:
            found = (
                described.get("format") if isinstance(described, dict) else type(described).__name__
            )
            raise BlazePoseError(
                f"{folder} has the format {found!r}, this version reads {FORMAT!r}: prepare it"
                " again"
            )
        skeleton, size = Skeleton.from_dict(described.get("skeleton")), described.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= MAX_SIDE:
            raise ValueError(f"records of {size!r} px")
        labels = load_tensors(folder / "labels.safetensors")
        check_labels(labels, skeleton, size)
        ends = np.cumsum(labels.pop("length"))
        images = np.memmap(folder / "images.bin", np.uint8, "r")
        if len(images) != ends[-1]:
            raise ValueError(f"images.bin has {len(images)} bytes, not {ends[-1]}")
        return RecordFolder(described, skeleton, labels, images, ends)
    except (OSError, ValueError) as error:
        if isinstance(error, BlazePoseError):
            raise
        raise BlazePoseError(f"{folder} is damaged ({error}): prepare it again") from error
