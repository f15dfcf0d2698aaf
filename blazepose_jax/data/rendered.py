"""Rendered people and scenes as data sets without end."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.batches import PoseBatch, SceneBatch
from blazepose_jax.data.jpeg import encode_jpeg
from blazepose_jax.data.labels import Row, from_rendered
from blazepose_jax.data.resident import Resident
from blazepose_jax.rendering.scene import render_records, render_scenes
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton

# Records of one chunk: on accelerators, where they are rendered together, and on CPU.
AT_ONCE = 32
CHUNK_ON_CPU = 8
# First word of the keys of rendered people; that of jax.random.key(seed), which training uses, is
# 0.
SERIES = 1

B = TypeVar("B", PoseBatch, SceneBatch)


def series_key(seed: int) -> jax.Array:
    """The key of a series of rendered people.

    It differs from every key of a training run with the same seed.
    """
    return jax.random.wrap_key_data(jnp.array([SERIES, seed], jnp.uint32), impl="threefry2x32")


@dataclasses.dataclass(frozen=True)
class Rendered:
    """Rendered people by number: record i of a seed is always the same person.

    Attributes:
      count: records; batches begin again after the last.
      size: R, px.
      seed: of the people; another seed gives other people.
      skeleton: of the keypoints.
      name: for messages.
      pictures: as for ``render_records``.
    """

    count: int
    size: int = 256
    seed: int = 0
    skeleton: Skeleton = BLAZEPOSE
    name: str = "rendered people"
    pictures: jax.Array | None = dataclasses.field(default=None, compare=False, repr=False)

    @property
    def kind(self) -> str:
        """As for ``Reader.kind``."""
        return "pose"

    def __len__(self) -> int:
        """Number of records."""
        return self.count

    def take(self, rows: np.ndarray) -> PoseBatch:
        """The records at these positions, on the device."""
        return _in_chunks(
            rows,
            lambda ids, at_once: render_records(
                series_key(self.seed),
                ids,
                side=self.size,
                at_once=at_once,
                pictures=self.pictures,
            ),
        )

    def apart(self) -> "Rendered":
        """As for ``Reader.apart``: there is no position."""
        return self

    def batch(self, step: int, size: int, seed: int, rows: range | None = None) -> PoseBatch:
        """The batch of a step: the next ``size`` people, whatever the seed of the run.

        Args: as for ``Reader.batch``.
        """
        return self.take(_next_rows(self.count, step, size, rows))


@dataclasses.dataclass(frozen=True)
class RenderedScenes:
    """Scenes of rendered people for a detector, likewise by number.

    Attributes:
      count: records; batches begin again after the last.
      size: R, px.
      seed: of the scenes.
      skeleton: of the people.
      name: for messages.
      most: people in a scene.
      pictures: as for ``render_records``.
    """

    count: int
    size: int = 256
    seed: int = 0
    skeleton: Skeleton = BLAZEPOSE
    name: str = "rendered scenes"
    most: int = 3
    pictures: jax.Array | None = dataclasses.field(default=None, compare=False, repr=False)

    @property
    def kind(self) -> str:
        """As for ``Reader.kind``."""
        return "detector"

    def __len__(self) -> int:
        """Number of records."""
        return self.count

    def take(self, rows: np.ndarray) -> SceneBatch:
        """The scenes at these positions, on the device."""
        return _in_chunks(
            rows,
            lambda ids, at_once: render_scenes(
                series_key(self.seed),
                ids,
                side=self.size,
                most=self.most,
                at_once=at_once,
                pictures=self.pictures,
            ),
        )

    def apart(self) -> "RenderedScenes":
        """As for ``Reader.apart``: there is no position."""
        return self

    def batch(self, step: int, size: int, seed: int, rows: range | None = None) -> SceneBatch:
        """The batch of a step: the next ``size`` scenes, whatever the seed of the run.

        Args: as for ``Reader.batch``.
        """
        return self.take(_next_rows(self.count, step, size, rows))


def _next_rows(count: int, step: int, size: int, rows: range | None) -> np.ndarray:
    return (step * size + np.asarray(range(size) if rows is None else rows)) % count


def _in_chunks(rows: np.ndarray, render: Callable[[jax.Array, int | None], B]) -> B:
    """Render rows in chunks of one size, so that a program is compiled once whatever the batch."""
    on_cpu = jax.default_backend() == "cpu"
    chunk, at_once = (CHUNK_ON_CPU, None) if on_cpu else (AT_ONCE, AT_ONCE)
    ids = np.resize(np.asarray(rows, np.int32), -(-len(rows) // chunk) * chunk)
    parts = [render(jnp.asarray(ids[i : i + chunk]), at_once) for i in range(0, len(ids), chunk)]
    return jax.tree.map(lambda *a: jnp.concatenate(a)[: len(rows)], *parts)


def rendered_rows(
    count: int, size: int, seed: int = 0, pictures: jax.Array | None = None
) -> Iterator[Row]:
    """Rows of rendered people: those of ``labels.person_row``, and depth, world and mask.

    Args:
      count: of the people.
      size: R, px.
      seed: of the people.
      pictures: as for ``render_records``.
    """
    source = Rendered(count, size, seed, pictures=pictures)
    for start in range(0, count, CHUNK_ON_CPU):
        batch = jax.device_get(source.take(np.arange(start, min(start + CHUNK_ON_CPU, count))))
        labels = from_rendered(batch)
        for i, square in enumerate(batch.pixels):
            yield {
                "image": encode_jpeg(square),
                **{name: values[i] for name, values in labels.items()},
            }


def render_all(source: Rendered) -> Resident:
    """Render every record once and keep it in memory."""
    starts = range(0, source.count, CHUNK_ON_CPU)
    parts = [
        jax.device_get(source.take(np.arange(i, min(i + CHUNK_ON_CPU, source.count))))
        for i in starts
    ]
    columns = [from_rendered(part) for part in parts]
    labels = {name: np.concatenate([column[name] for column in columns]) for name in columns[0]}
    return Resident(
        source.skeleton, np.concatenate([part.pixels for part in parts]), labels, source.name
    )
