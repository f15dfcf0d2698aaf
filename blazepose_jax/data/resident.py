"""Data sets that live in memory."""

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from blazepose_jax.data.held_out import held_out_rows
from blazepose_jax.data.jpeg import decode_jpeg
from blazepose_jax.data.labels import Batch, Labels, kind_of, to_batch
from blazepose_jax.data.records import open_records
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.skeleton import Skeleton


@dataclasses.dataclass(frozen=True)
class Resident:
    """A data set in memory, for training and for validation.

    A batch is a function of seed and step, so there is no position to save.

    Attributes:
      skeleton: of the keypoints.
      pixels: (n, R, R, 3) uint8.
      labels: arrays of n rows.
      name: for messages.
      trusted: share of a batch that is drawn from the records of full weight; 0 draws from all.
    """

    skeleton: Skeleton
    pixels: np.ndarray
    labels: Labels
    name: str = ""
    trusted: float = 0.0

    @property
    def kind(self) -> str:
        """As for ``Reader.kind``."""
        return kind_of(self.labels)

    @property
    def size(self) -> int:
        """As for ``Reader.size``."""
        return self.pixels.shape[1]

    def __len__(self) -> int:
        """Number of records."""
        return len(self.pixels)

    def take(self, rows: np.ndarray) -> Batch:
        """The records at these positions, numpy leaves."""
        return to_batch(
            self.pixels[rows], {name: values[rows] for name, values in self.labels.items()}
        )

    def batch(self, step: int, size: int, seed: int, rows: range | None = None) -> Batch:
        """The batch of a step, numpy leaves.

        Every epoch visits every record once, in an order drawn from seed and epoch; with
        ``trusted`` the first rows are those of full weight, and they have epochs of their own.

        Args: as for ``Reader.batch``.
        """
        places = np.asarray(range(size) if rows is None else rows)
        if not self.trusted:
            return self.take(_shuffled(np.arange(len(self)), step * size + places, (seed,)))
        full = self.labels["weight"] >= 1
        first = round(self.trusted * size)
        sure, unsure = places[places < first], places[places >= first] - first
        return self.take(
            np.concatenate(
                [
                    _shuffled(np.flatnonzero(full), step * first + sure, (seed, 1)),
                    _shuffled(np.flatnonzero(~full), step * (size - first) + unsure, (seed, 0)),
                ]
            )
        )

    def apart(self) -> "Resident":
        """As for ``Reader.apart``: there is no position."""
        return self

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


def _shuffled(members: np.ndarray, positions: np.ndarray, seed: tuple[int, ...]) -> np.ndarray:
    """Those of ``members`` at these positions of an endless series of shuffled epochs."""
    epochs = positions // len(members)
    orders = {
        e: np.random.default_rng((*seed, int(e))).permutation(len(members))
        for e in np.unique(epochs)
    }
    return members[
        np.array(
            [orders[e][p % len(members)] for e, p in zip(epochs, positions, strict=True)], np.int64
        )
    ]


def read_records(folder: str | Path) -> Resident:
    """Read a records folder into memory.

    Raises:
      BlazePoseError: missing, of another format, damaged, or larger than memory.
    """
    found = open_records(folder)
    shape = (found.described["size"],) * 2 + (3,)
    try:
        pixels = np.empty((len(found), *shape), np.uint8)
    except MemoryError as error:
        raise BlazePoseError(
            f"{folder} does not fit into memory ({len(found)} records of {shape}): stream it with"
            " data.reader=grain"
        ) from error

    def decode(i: int) -> None:
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
        pixels[i] = picture

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for _ in threads.map(decode, range(len(found))):
            pass
    return Resident(found.skeleton, pixels, found.labels, Path(folder).name)
