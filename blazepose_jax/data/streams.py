"""Streams of records through grain, whose position can be saved."""

import importlib.util
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

from blazepose_jax.data.held_out import held_out_rows
from blazepose_jax.data.jpeg import decode_jpeg
from blazepose_jax.data.labels import Batch, Labels, Row, kind_of, to_batch
from blazepose_jax.data.records import open_records
from blazepose_jax.data.resident import Resident
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.tensors import load_tensors
from blazepose_jax.skeleton import Skeleton

# Beside a data set that write_tfds wrote: weight and group of every row.
COLUMNS = "columns.safetensors"


class Source(Protocol):
    """Random access to rows."""

    def __len__(self) -> int:
        """Number of rows."""
        ...

    def __getitem__(self, index: int, /) -> Row:
        """One row."""
        ...


class Stream:
    """Batches in grain's order.

    Shuffled anew every epoch, sharded by process, read ahead by threads.

    Attributes:
      kind: as for ``Reader.kind``.
      skeleton: of the keypoints.
      name: for messages.
    """

    def __init__(self, source: Source, rows: np.ndarray, kind: str, skeleton: Skeleton, name: str):
        """Nothing is read yet.

        Args:
          source: of the rows.
          rows: positions to read.
          kind: of the network that learns from them.
          skeleton: of the keypoints.
          name: for messages.
        """
        self._source, self._rows = source, rows
        self.kind, self.skeleton, self.name = kind, skeleton, name
        self._iterator: Any = None
        self._restored: dict[str, Any] | None = None

    def __len__(self) -> int:
        """Number of records."""
        return len(self._rows)

    @property
    def size(self) -> int:
        """As for ``Reader.size``."""
        return len(decode_jpeg(self._source[int(self._rows[0])]["image"]))

    def batch(self, step: int, size: int, seed: int, rows: range | None = None) -> Batch:
        """The next batch.

        The first call fixes the size, and which share of it is this process's.

        Args: as for ``Reader.batch``; ``step`` is where the stream is, or where it begins.
        """
        if self._iterator is None:
            self._iterator = self._open(step, size if rows is None else len(rows), seed)
        found = next(self._iterator)
        return to_batch(found.pop("pixels"), found)

    def apart(self) -> "Stream":
        """As for ``Reader.apart``: a stream of its own, from the beginning."""
        return Stream(self._source, self._rows, self.kind, self.skeleton, self.name)

    def position(self) -> dict[str, Any]:
        """Where the stream is, as plain data for JSON."""
        return {} if self._iterator is None else self._iterator.get_state()

    def restore(self, position: dict[str, Any]) -> None:
        """Go on from a position."""
        self._restored = position

    def _open(self, step: int, size: int, seed: int) -> Iterator[Labels]:
        """An iterator over batches of labels and ``pixels``."""
        import grain

        picked = (
            grain.MapDataset.source(_Picked(self._source, self._rows)).seed(seed).shuffle().repeat()
        )
        shard = picked[jax.process_index() :: jax.process_count()]
        batches = shard.map(partial(_decode, size=self.size)).batch(size)
        iterator = iter(
            batches.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=2 * size))
        )
        if self._restored:
            iterator.set_state(self._restored)
        elif step:
            iterator.set_state({"next_index": step})
        return iterator


class _Picked:
    """Some rows of a source, as a source."""

    def __init__(self, source: Source, rows: np.ndarray):
        self._source, self._rows = source, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Row:
        return self._source[int(self._rows[index])]


def _decode(row: Row, size: int | None = None) -> Labels:
    """A row with its picture as ``pixels``, (size, size, 3) uint8; None allows any size."""
    pixels = decode_jpeg(row["image"])
    if size is not None and len(pixels) != size:
        raise BlazePoseError(
            f"the record {int(row['id'])} has {len(pixels)} px, not {size}: prepare the records"
            " again"
        )
    return {"pixels": pixels, **{k: np.asarray(v) for k, v in row.items() if k != "image"}}


def open_stream(
    folder: str | Path, held_out: int | Callable[[int], int]
) -> tuple[Stream, Resident]:
    """Open a records folder, or a data set that TFDS wrote, for streaming.

    Args:
      folder: with records.json, or with TFDS's dataset_info.json.
      held_out: records kept back for validation, which are read into memory; or a function of the
        number of records.

    Returns:
      (training, validation).

    Raises:
      BlazePoseError: grain or TFDS is not installed; neither kind of folder.
    """
    if importlib.util.find_spec("grain") is None:
        raise BlazePoseError(
            "data.reader=grain needs grain: pip install 'blazepose_jax[train]', or use "
            "data.reader=resident"
        )
    folder = Path(folder)
    source: Source
    if (folder / "dataset_info.json").is_file():
        source, skeleton, columns = _open_tfds(folder)
    else:
        source = open_records(folder)
        skeleton, columns = source.skeleton, source.labels
    kept = held_out_rows(
        columns["weight"],
        held_out(len(source)) if callable(held_out) else held_out,
        groups=columns.get("group"),
    )
    rest = np.setdiff1d(np.arange(len(source)), kept)
    # Where nobody is held out, one row tells names and shapes.
    rows = [_decode(source[int(i)]) for i in kept] or [_decode(source[0])]
    labels = {name: np.stack([row[name] for row in rows])[: len(kept)] for name in rows[0]}
    validation = Resident(skeleton, labels.pop("pixels"), labels, folder.name)
    return Stream(source, rest, kind_of(labels), skeleton, folder.name), validation


def _open_tfds(folder: Path) -> tuple[Source, Skeleton, Labels]:
    """Rows, their skeleton, and weight and perhaps group of all rows."""
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise BlazePoseError(
            f"{folder} was written by TFDS: pip install 'blazepose_jax[train]' to read it"
        ) from error
    try:
        builder = tfds.builder_from_directory(str(folder))
        read: Any = builder.as_data_source
        source = read(split="train", decoders={"image": tfds.decode.SkipDecoding()})
        metadata: Any = builder.info.metadata
        skeleton = Skeleton.from_dict(metadata["skeleton"])
        columns = (
            load_tensors(folder / COLUMNS) if (folder / COLUMNS).is_file() else read_columns(source)
        )
        if (
            any(column.shape != (len(source),) for column in columns.values())
            or "weight" not in columns
        ):
            raise ValueError(f"{COLUMNS} is of another data set")
        return source, skeleton, columns
    except BlazePoseError:
        raise
    except Exception as error:  # whatever TFDS makes of a damaged or foreign folder
        reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        raise BlazePoseError(
            f"{folder} is damaged, or no data set of ours ({reason}): prepare it again"
        ) from error


def read_columns(source: Source) -> Labels:
    """Weight and group of every row, which decide who is held out.

    For a TFDS data set this reads its pictures, too.
    """
    rows = [
        {name: row[name] for name in ("weight", "group") if name in row}
        for row in (source[i] for i in range(len(source)))
    ]
    return {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else ())}
