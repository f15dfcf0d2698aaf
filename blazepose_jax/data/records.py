"""Annotated people come in and become a folder of JPEG squares with labels; the folder comes in, batches leave."""

import dataclasses
import io
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors.numpy import load_file, save_file

from blazepose_jax.data.coco import Annotations, true_roi
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.frames import to_frame
from blazepose_jax.geometry import rois, warp
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import ROI, PoseBatch
from blazepose_jax.video import read_image

FORMAT = "blazepose_jax records 1"
# A record shows 1.4 times the side of its ROI, so that a disturbed crop still sees the surroundings.
CONTEXT = 1.4
# The farthest joint may be unlabelled; then the circle is a lower bound, and this much is added.
PARTIAL_MARGIN = 1.1
# LSP Extended: 74 % of its joints agree with a second annotation within 0.2 torso, where LSP's all do.
WEIGHTS = {"lspet": 0.5}

_square = jax.jit(lambda frame, roi, side: warp.crop(frame, rois.to_affine(roi, side), side, border="replicate"),
                  static_argnums=2)


def prepare(data: Annotations, skeleton: Skeleton, output: Path, people: Iterator[Any], *, size: int = 320,
            quality: int = 92, source: str = "") -> dict[str, Any]:
    """Write a records folder; it appears under its name when it is complete.

    Args:
      data: annotations; points are mapped to the skeleton by name.
      skeleton: of the records.
      output: a new folder.
      people: those of ``data``, perhaps wrapped in a progress bar.
      size: R, px per side.
      quality: of the JPEGs.
      source: for people.

    Returns:
      What records.json says: counts, and what was dropped and why.

    Raises:
      BlazePoseError: the output exists, or nobody has the centre and up points labelled.
    """
    from PIL import Image

    if output.exists():
        raise BlazePoseError(f"output {str(output)!r} exists: name a new folder")
    pairs = [(i, data.names.index(n)) for i, n in enumerate(skeleton.keypoints) if n in data.names]
    here, there = (list(side) for side in zip(*pairs, strict=True)) if pairs else ([], [])
    rows: list[dict[str, Any]] = []
    output.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        with (part / "images.bin").open("wb") as images:
            for person in people:
                roi = true_roi(person, data.names, skeleton)
                if roi is None:
                    data.dropped.setdefault("centre or up points unlabelled", []).append(person.id)
                    continue
                try:
                    frame = to_frame(read_image(person.image))
                except BlazePoseError:
                    data.dropped.setdefault("broken image", []).append(person.id)
                    continue
                complete = (person.flags > 0).all()
                side = roi.side * np.float32(1 if complete else PARTIAL_MARGIN)
                view = ROI(roi.center, side * np.float32(CONTEXT), np.float32(0))
                square = np.asarray(_square(frame, view, size)).astype(np.uint8)
                buffer = io.BytesIO()
                Image.fromarray(square).save(buffer, "JPEG", quality=quality)
                images.write(buffer.getvalue())
                scale = size / view.side
                points = np.zeros((len(skeleton.keypoints), 2), np.float32)
                flags = np.zeros(len(skeleton.keypoints), np.int32)
                points[here] = ((person.keypoints - roi.center) * scale + size / 2)[there]
                flags[here] = person.flags[there]
                rows.append({"length": np.int64(buffer.tell()), "keypoints": points, "flags": flags,
                             "side": np.float32(side * scale), "angle": np.float32(roi.angle),
                             "id": np.int32(person.id),
                             "weight": np.float32(WEIGHTS.get(person.data_set, 1.0)),
                             "knows_occlusion": np.bool_(person.data_set != "lspet")})
        if not rows:
            raise BlazePoseError(f"nobody has {', '.join(skeleton.center + skeleton.up)} labelled: a pose net needs "
                                 "them for its ROI")
        save_file({k: np.stack([row[k] for row in rows]) for k in rows[0]}, part / "labels.safetensors")
        described = {"format": FORMAT, "source": source, "size": size, "count": len(rows),
                     "skeleton": skeleton.to_dict(), "dropped": {k: len(v) for k, v in data.dropped.items()}}
        (part / "records.json").write_text(json.dumps(described, indent=2) + "\n")
        part.chmod(0o755)
        part.rename(output)
        return described
    finally:
        shutil.rmtree(part, ignore_errors=True)


@dataclasses.dataclass(frozen=True)
class Resident:
    """A data set that lives in memory; a batch is a function of seed and step, so there is no position to save.

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

    def take(self, rows: np.ndarray) -> PoseBatch:
        """The records at these positions, numpy leaves."""
        label = {name: values[rows] for name, values in self.labels.items()}
        center = np.full((len(rows), 2), self.pixels.shape[1] / 2, np.float32)
        return PoseBatch(pixels=self.pixels[rows], keypoints=label["keypoints"], flags=label["flags"],
                         roi=ROI(center, label["side"], label["angle"]), knows_occlusion=label["knows_occlusion"],
                         weight=label["weight"], ids=label["id"])

    def batch(self, step: int, size: int, seed: int, rows: range | None = None) -> PoseBatch:
        """The batch of a step: every epoch visits every record once, in an order drawn from seed and epoch.

        Args:
          step: from 0.
          size: of the whole batch.
          seed: of the orders.
          rows: of the batch, for a process that computes a part of it; None for all.

        Returns:
          PoseBatch of numpy leaves.
        """
        positions = step * size + np.asarray(range(size) if rows is None else rows)
        epochs = positions // len(self)
        orders = {e: np.random.default_rng((seed, int(e))).permutation(len(self)) for e in np.unique(epochs)}
        return self.take(np.array([orders[e][p % len(self)] for e, p in zip(epochs, positions, strict=True)]))

    def split(self, held_out: int, seed: int = 0) -> tuple["Resident", "Resident"]:
        """(training, validation): ``held_out`` records with full weight go to validation, chosen by seed."""
        trusted = np.flatnonzero(self.labels["weight"] >= 1.0)
        chosen = np.random.default_rng(seed).permutation(trusted)[:held_out]
        rest = np.setdiff1d(np.arange(len(self)), chosen)
        return self._subset(rest), self._subset(np.sort(chosen))

    def _subset(self, rows: np.ndarray) -> "Resident":
        return Resident(self.skeleton, self.pixels[rows], {k: v[rows] for k, v in self.labels.items()}, self.name)


def read_records(folder: str | Path) -> Resident:
    """Read a records folder into memory.

    Raises:
      BlazePoseError: missing, of another format, or damaged.
    """
    from PIL import Image

    folder = Path(folder)
    if not (folder / "records.json").is_file():
        raise BlazePoseError(f"{str(folder)!r} is no records folder (it has no records.json): make one with "
                             "blazepose data prepare")
    try:
        described = json.loads((folder / "records.json").read_text())
        if described["format"] != FORMAT:
            raise BlazePoseError(f"{folder} has the format {described['format']!r}, this version reads {FORMAT!r}: "
                                 "prepare it again")
        labels = load_file(folder / "labels.safetensors")
        ends = np.cumsum(labels.pop("length"))
        data = (folder / "images.bin").read_bytes()
        if len(data) != ends[-1]:
            raise ValueError(f"images.bin has {len(data)} bytes, not {ends[-1]}")
        size = described["size"]
        pixels = np.empty((len(ends), size, size, 3), np.uint8)
        for i, end in enumerate(ends):
            start = ends[i - 1] if i else 0
            with Image.open(io.BytesIO(data[start:end])) as image:
                pixels[i] = np.asarray(image)
        return Resident(Skeleton.from_dict(described["skeleton"]), pixels, labels, folder.name)
    except (OSError, ValueError, KeyError, json.JSONDecodeError) as error:
        if isinstance(error, BlazePoseError):
            raise
        raise BlazePoseError(f"{folder} is damaged ({error}): prepare it again") from error
