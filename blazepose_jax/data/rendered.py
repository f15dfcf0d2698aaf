"""A seed comes in, endless batches of rendered people leave.

The same interface as resident records.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.data.encode_people import encode_jpeg
from blazepose_jax.data.records import Resident
from blazepose_jax.rendering.scene import render_records, render_scenes
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton
from blazepose_jax.structs import PoseBatch, SceneBatch

AT_ONCE = 32  # on accelerators
# first word of the keys of rendered people; jax.random.key(seed), which training uses, has a 0
# there
SERIES = 1


def series_key(seed: int) -> jax.Array:
    """The key of a series of rendered people, unlike every key of a training run with the same
    seed.
    """
    return jax.random.wrap_key_data(jnp.array([SERIES, seed], jnp.uint32), impl="threefry2x32")


@dataclasses.dataclass(frozen=True)
class Rendered:
    """Rendered people by number: record i of a seed is always the same person.

    Attributes:
      count: records; batches begin again after the last.
      size: R, px.
      seed: of the people; another seed is other people.
      skeleton: of the keypoints.
      name: for people.
    """

    count: int
    size: int = 256
    seed: int = 0
    skeleton: Skeleton = BLAZEPOSE
    name: str = "rendered people"

    def __len__(self) -> int:
        """Number of records."""
        return self.count

    def take(self, rows: np.ndarray) -> Any:
        """The records at these positions, on the device."""
        return _in_chunks(
            rows,
            lambda ids, at_once: render_records(
                series_key(self.seed), ids, side=self.size, at_once=at_once
            ),
        )

    def batch(self, step: int, size: int, seed: int, rows: range | None = None) -> Any:
        """The batch of a step: the next ``size`` people, whatever the seed of the run.

        Args: as for ``Resident.batch``.
        """
        return self.take(
            (step * size + np.asarray(range(size) if rows is None else rows)) % self.count
        )


@dataclasses.dataclass(frozen=True)
class RenderedScenes(Rendered):
    """Scenes of rendered people for a detector, likewise by number.

    Attributes:
      most: people in a scene.
    """

    name: str = "rendered scenes"
    most: int = 3

    def take(self, rows: np.ndarray) -> SceneBatch:
        """The scenes at these positions, on the device."""
        return _in_chunks(
            rows,
            lambda ids, at_once: render_scenes(
                series_key(self.seed), ids, side=self.size, most=self.most, at_once=at_once
            ),
        )


@dataclasses.dataclass(frozen=True)
class Mixed:
    """Real records with a share of rendered people.

    Attributes:
      real: a reader of real records for the 33 points.
      rendered: the others.
      share: of rendered people in a batch.
    """

    real: Any
    rendered: Rendered
    share: float

    @property
    def skeleton(self) -> Skeleton:
        """That of the real records."""
        return self.real.skeleton

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.real.name} with {self.share:.0%} rendered people"

    def __len__(self) -> int:
        """Number of real records."""
        return len(self.real)

    def batch(self, step: int, size: int, seed: int, rows: range | None = None) -> Any:
        """The batch of a step; its last rows are rendered. Args: as for ``Resident.batch``."""
        rows = range(size) if rows is None else rows
        drawn = round(self.share * len(rows))
        real = self.real.batch(step, size, seed, rows=range(rows.start, rows.stop - drawn))
        rendered = self.rendered.batch(step, size, seed, rows=range(rows.stop - drawn, rows.stop))
        return jax.tree.map(
            lambda a, b: np.concatenate([np.asarray(a), np.asarray(b)]), *_alike(real, rendered)
        )


def _alike(real: Any, rendered: Any) -> tuple[Any, Any]:
    """Both with the same places, so that they can be put together."""
    if isinstance(real, PoseBatch):
        return _widened(real), rendered
    more = real.status.shape[1] - rendered.status.shape[1]
    return real, rendered.replace(
        points=jnp.pad(rendered.points, ((0, 0), (0, more), (0, 0), (0, 0))),
        status=jnp.pad(rendered.status, ((0, 0), (0, more))),
    )


def _in_chunks(rows: np.ndarray, render: Callable[[jax.Array, int | None], Any]) -> Any:
    """Render rows in chunks of one size, so that a program is compiled once whatever the batch."""
    chunk, at_once = (8, None) if jax.default_backend() == "cpu" else (AT_ONCE, AT_ONCE)
    ids = np.resize(np.asarray(rows, np.int32), -(-len(rows) // chunk) * chunk)
    parts = [render(jnp.asarray(ids[i : i + chunk]), at_once) for i in range(0, len(ids), chunk)]
    return jax.tree.map(lambda *a: jnp.concatenate(a)[: len(rows)], *parts)


def _widened(batch: PoseBatch) -> PoseBatch:
    """Real records with empty places for what only rendered ones know."""
    count, points = batch.visibility_flags.shape
    return batch.replace(
        has_3d_labels=np.zeros(count, bool),
        depth=np.zeros((count, points), np.float32),
        world=np.zeros((count, points, 3), np.float32),
        mask=np.zeros(batch.pixels.shape[:3], np.uint8),
    )


def rendered_rows(count: int, size: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Rows of rendered people, as ``people.encode_people`` gives them of real ones, and what
    only a renderer knows.
    """
    source, at_once = Rendered(count, size, seed), 8
    for start in range(0, count, at_once):
        batch = jax.device_get(source.take(np.arange(start, min(start + at_once, count))))
        labels = labels_of(batch)
        for i, square in enumerate(batch.pixels):
            yield {
                "image": encode_jpeg(square),
                **{name: values[i] for name, values in labels.items()},
            }


def labels_of(batch: PoseBatch) -> dict[str, np.ndarray]:
    """What ``records.to_batch`` makes a batch of, but for the pixels; masks as bits."""
    mask: Any = batch.mask
    return {
        "keypoints": batch.keypoints,
        "flags": batch.visibility_flags,
        "side": batch.roi.side,
        "angle": batch.roi.angle,
        "id": batch.ids,
        "group": batch.ids,
        "weight": batch.weight,
        "knows_occlusion": batch.has_occlusion_labels,
        "depth": np.asarray(batch.depth),
        "world": np.asarray(batch.world),
        "mask": np.packbits(mask.reshape(len(mask), -1) > 0, axis=1),
    }


def render_all(source: Rendered, people: Iterable[int]) -> Resident:
    """Render every record once and keep it.

    Args:
      source: how many, and which.
      people: their numbers in eights, ``range(0, count, 8)``, perhaps wrapped in a progress bar.
    """
    parts = [jax.device_get(source.take(np.arange(i, min(i + 8, source.count)))) for i in people]
    columns = [labels_of(part) for part in parts]
    labels = {name: np.concatenate([column[name] for column in columns]) for name in columns[0]}
    return Resident(
        source.skeleton, np.concatenate([part.pixels for part in parts]), labels, source.name
    )
