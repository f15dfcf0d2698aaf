"""Reader protocols: what training and validation ask of a data set."""

from typing import Any, Protocol, runtime_checkable

import numpy as np

from blazepose_jax.data.labels import Batch
from blazepose_jax.skeleton import Skeleton


class Reader(Protocol):
    """A data set to train on."""

    @property
    def kind(self) -> str:
        """Kind of the network that learns from it: "pose" or "detector"."""
        ...

    @property
    def skeleton(self) -> Skeleton:
        """Skeleton of the keypoints."""
        ...

    @property
    def name(self) -> str:
        """Name for messages."""
        ...

    @property
    def size(self) -> int:
        """R, px per side of a record."""
        ...

    def __len__(self) -> int:
        """Number of records."""
        ...

    def batch(self, step: int, size: int, seed: int, rows: range | None = None) -> Batch:
        """The batch of a step.

        Args:
          step: from 0.
          size: of the whole batch.
          seed: of the run.
          rows: of the batch, for a process that computes a part of it; None for all.

        Returns:
          PoseBatch or SceneBatch.
        """
        ...

    def apart(self) -> "Reader":
        """A reader of the same records whose batches leave this one where it is."""
        ...


@runtime_checkable
class StreamingReader(Reader, Protocol):
    """A reader whose next batch depends on those before; a checkpoint saves its position."""

    def position(self) -> dict[str, Any]:
        """Where the stream is, as plain data for JSON."""
        ...

    def restore(self, position: dict[str, Any]) -> None:
        """Go on from a position."""
        ...


class HeldOut(Protocol):
    """A data set to validate on."""

    @property
    def kind(self) -> str:
        """Kind of the network that it validates: "pose" or "detector"."""
        ...

    def __len__(self) -> int:
        """Number of records."""
        ...

    def take(self, rows: np.ndarray) -> Batch:
        """The records at these positions.

        Args:
          rows: (n,) int.

        Returns:
          PoseBatch or SceneBatch of n records.
        """
        ...
