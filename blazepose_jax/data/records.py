"""Rows come in and become a folder of JPEG squares with labels.

The folder comes in, batches leave.
"""

import dataclasses
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.files import OutputFolder, write_text
from blazepose_jax.io.json_files import read_json
from blazepose_jax.io.tensors import load_tensors, save_tensors
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import ROI, PoseBatch, SceneBatch

FORMAT = "blazepose_jax records 1"
MAX_SIDE = 4096  # px of a record
MAX_DESCRIPTION = 2**24  # bytes of records.json
LARGEST_HELD_OUT = 1 / 3
FLOATS = ("keypoints", "side", "angle", "weight", "points", "depth", "world")


def write_records(
    rows: Iterable[dict[str, Any]],
    skeleton: Skeleton,
    output: Path,
    *,
    size: int,
    source: str,
    dropped: dict[str, list[Any]],
    notes: dict[str, Any] | None = None,
) -> int:
    """Write a records folder; it appears under its name when it is complete.

    Args:
      rows: of ``people.encode_people``.
      skeleton: of the records.
      output: a new folder.
      size: R, px per side.
      source: for people.
      dropped: {reason: ids}, complete after the last row; counted in records.json.
      notes: further plain data for records.json.

    Returns:
      Number of records.

    Raises:
      BlazePoseError: the output exists, or there are no rows.
    """
    if output.exists():
        raise BlazePoseError(f"output {str(output)!r} exists: name a new folder")
    labels: list[dict[str, Any]] = []
    folder = OutputFolder(output)
    try:
        with (folder.part / "images.bin").open("wb") as images:
            for row in rows:
                images.write(row["image"])
                label = {name: value for name, value in row.items() if name != "image"}
                labels.append({"length": np.int64(len(row["image"])), **label})
        if not labels:
            raise BlazePoseError(
                f"nobody has {', '.join(skeleton.center + skeleton.up)} labelled: a pose net needs "
                "them for its ROI"
            )
        save_tensors(
            {k: np.stack([row[k] for row in labels]) for k in labels[0]},
            folder.part / "labels.safetensors",
        )
        text = {
            "format": FORMAT,
            "source": source,
            "size": size,
            "count": len(labels),
            "skeleton": skeleton.to_dict(),
            "dropped": {reason: len(ids) for reason, ids in dropped.items()},
            **(notes or {}),
        }
        write_text(folder.part / "records.json", json.dumps(text, indent=2) + "\n")
        folder.finish()
        return len(labels)
    finally:
        folder.discard()


@dataclasses.dataclass(frozen=True)
class Resident:
    """A data set that lives in memory.

    A batch is a function of seed and step, so there is no position to save.

    Attributes:
      skeleton: of the keypoints.
      pixels: (n, R, R, 3) uint8.
      labels: arrays of n rows.
      name: for people.
    """

    skeleton: Skeleton
    pixels: np.ndarray
    labels: dict[str, np.ndarray]
    name: str = ""

    def __len__(self) -> int:
        """Number of records."""
        return len(self.pixels)

    def take(self, rows: np.ndarray) -> Any:
        """The records at these positions, numpy leaves."""
        return to_batch(
            self.pixels[rows], {name: values[rows] for name, values in self.labels.items()}
        )

    def batch(self, step: int, size: int, seed: int, rows: range | None = None) -> Any:
        """The batch of a step.

        Every epoch visits every record once, in an order drawn from seed and epoch.

        Args:
          step: from 0.
          size: of the whole batch.
          seed: of the orders.
          rows: of the batch, for a process that computes a part of it; None for all.

        Returns:
          PoseBatch or SceneBatch of numpy leaves.
        """
        positions = step * size + np.asarray(range(size) if rows is None else rows)
        epochs = positions // len(self)
        orders = {
            e: np.random.default_rng((seed, int(e))).permutation(len(self))
            for e in np.unique(epochs)
        }
        return self.take(
            np.array([orders[e][p % len(self)] for e, p in zip(epochs, positions, strict=True)])
        )

    def split(self, held_out: int, seed: int = 0) -> tuple["Resident", "Resident"]:
        """(training, validation): ``held_out`` records go to validation; see ``held_out_rows``."""
        chosen = held_out_rows(self.labels["weight"], held_out, seed, self.labels.get("group"))
        rest = np.setdiff1d(np.arange(len(self)), chosen)
        return self._subset(rest), self._subset(chosen)

    def _subset(self, rows: np.ndarray) -> "Resident":
        return Resident(
            self.skeleton,
            self.pixels[rows],
            {k: v[rows] for k, v in self.labels.items()},
            self.name,
        )


def held_out_rows(
    weights: np.ndarray, count: int, seed: int = 0, groups: np.ndarray | None = None
) -> np.ndarray:
    """Positions of records to validate on, chosen by seed among those with full weight.

    Args:
      weights: (n,).
      count: how many at the most.
      seed: of the choice.
      groups: (n,) int; a record brings its whole group along, or stays. Where every group has more
        than ``count``, the smallest one goes, unless it is more than a third of all. None where
        each record is its own.

    Returns:
      (m,) sorted.
    """
    order = np.random.default_rng(seed).permutation(np.flatnonzero(weights >= 1.0))
    if groups is None or len(np.unique(groups)) == len(groups):
        return np.sort(order[:count])
    members: dict[int, list[int]] = {}
    for i, group in enumerate(groups.tolist()):
        members.setdefault(group, []).append(i)
    chosen: dict[int, None] = {}
    held = 0
    for group in groups[order].tolist():
        if group not in chosen and held + len(members[group]) <= count:
            chosen[group] = None
            held += len(members[group])
    if not chosen and count > 0 and len(order):
        smallest = min(groups[order].tolist(), key=lambda group: len(members[group]))
        if len(members[smallest]) <= LARGEST_HELD_OUT * len(groups):
            chosen[smallest] = None
    return np.sort(np.array([i for group in chosen for i in members[group]], int))


def to_batch(pixels: np.ndarray, labels: dict[str, np.ndarray]) -> Any:
    """(n, R, R, 3) squares and n rows of labels as a PoseBatch, or a SceneBatch where they are
    scenes.
    """
    if "kinds" in labels:
        return SceneBatch(
            pixels=pixels,
            points=labels["points"],
            status=labels["kinds"],
            weight=labels["weight"],
            ids=labels["id"],
        )
    count, side = pixels.shape[:2]
    body = {}
    if "depth" in labels:  # rendered people; masks are kept as bits
        mask = np.unpackbits(labels["mask"], axis=1, count=side * side).reshape(count, side, side)
        body = {
            "has_3d_labels": np.ones(count, bool),
            "depth": labels["depth"],
            "world": labels["world"],
            "mask": 255 * mask,
        }
    center = np.full((count, 2), side / 2, np.float32)
    return PoseBatch(
        pixels=pixels,
        keypoints=labels["keypoints"],
        visibility_flags=labels["flags"],
        roi=ROI(center, labels["side"], labels["angle"]),
        has_occlusion_labels=labels["knows_occlusion"],
        weight=labels["weight"],
        ids=labels["id"],
        **body,
    )


def decode_jpeg(data: bytes) -> np.ndarray:
    """A JPEG file's bytes to (R, R, 3) uint8.

    Raises:
      BlazePoseError: damaged, or no such picture.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            if image.mode != "RGB" or image.width != image.height:
                raise ValueError(f"{image.mode} of {image.width}x{image.height}")
            return np.asarray(image)
    except Exception as error:  # whatever a damaged picture makes the decoder raise
        raise BlazePoseError(
            f"a record's picture is damaged ({error}): prepare the records again"
        ) from error


@dataclasses.dataclass(frozen=True)
class RecordFolder:
    """A records folder with its JPEGs still encoded: random access to rows.

    Attributes:
      described: what records.json says.
      skeleton: of the keypoints.
      labels: arrays of n rows.
      images: all JPEGs, one after another, mapped from the disk.
      ends: (n,) where each of them ends.
    """

    described: dict[str, Any]
    skeleton: Skeleton
    labels: dict[str, np.ndarray]
    images: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        """Number of records."""
        return len(self.ends)

    def __getitem__(self, i: int) -> dict[str, Any]:
        """Row i: ``image`` (a JPEG's bytes) and its labels."""
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


def check_labels(labels: dict[str, np.ndarray], skeleton: Skeleton, size: int) -> None:
    """Compare names, shapes, types and values of a folder's labels with what was written.

    Raises:
      ValueError: the first that is wrong.
    """
    scenes, points = "kinds" in labels, len(skeleton.keypoints)
    shapes: dict[str, tuple[int, ...]] = {"length": (), "id": (), "weight": ()}
    people = labels["kinds"].shape[1] if scenes and labels["kinds"].ndim == 2 else 0
    shapes |= (
        {"points": (people, 5, 2), "kinds": (people,)}
        if scenes
        else {
            "keypoints": (points, 2),
            "flags": (points,),
            "side": (),
            "angle": (),
            "knows_occlusion": (),
        }
    )
    if "depth" in labels:
        shapes |= {"depth": (points,), "world": (points, 3), "mask": (-(-(size**2) // 8),)}
    if lacking := sorted(shapes.keys() - labels.keys()):
        raise ValueError(f"labels lack {lacking[0]!r}")
    count = labels["length"].size
    for name, value in labels.items():
        wanted = (count, *({"group": ()} | shapes).get(name, value.shape[1:]))
        if value.shape != wanted:
            raise ValueError(f"label {name!r} has the shape {value.shape}, not {wanted}")
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ValueError(f"label {name!r} holds NaN or infinite values")
        kind = (
            "f"
            if name in FLOATS
            else "u"
            if name == "mask"
            else "b"
            if name == "knows_occlusion"
            else "i"
        )
        if name in (*shapes, "group") and value.dtype.kind != kind:
            raise ValueError(f"label {name!r} has the type {value.dtype}")
    if not count or (labels["length"] <= 0).any() or (labels["weight"] < 0).any():
        raise ValueError("a record without a picture, or of negative weight")
    if not scenes and (
        (labels["side"] <= 0).any() or not np.isin(labels["flags"], (0, 1, 2)).all()
    ):
        raise ValueError("a record without a ROI, or with flags other than 0, 1 and 2")


def read_records(folder: str | Path) -> Resident:
    """Read a records folder into memory.

    Raises:
      BlazePoseError: missing, of another format, or damaged.
    """
    found = open_records(folder)
    shape = (found.described["size"],) * 2 + (3,)
    pixels: np.ndarray | None = None
    for i in range(len(found)):
        try:
            picture = decode_jpeg(found[i]["image"])
        except BlazePoseError as error:
            raise BlazePoseError(
                f"{folder} is damaged (record {i}: {error}): prepare it again"
            ) from error
        if picture.shape != shape:
            raise BlazePoseError(
                f"{folder} is damaged (record {i} has the shape {picture.shape}, not {shape}): "
                "prepare it again"
            )
        if pixels is None:
            try:
                pixels = np.empty((len(found), *shape), np.uint8)
            except MemoryError as error:
                raise BlazePoseError(
                    f"{folder} does not fit into memory ({len(found)} records of {shape}): stream"
                    " it with data.reader=grain"
                ) from error
        pixels[i] = picture
    assert pixels is not None  # a records folder has records
    return Resident(found.skeleton, pixels, found.labels, Path(folder).name)
