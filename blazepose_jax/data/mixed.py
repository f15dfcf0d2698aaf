"""Real records mixed with rendered people."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.batches import PoseBatch, SceneBatch, TeacherBatch
from blazepose_jax.data.labels import Batch
from blazepose_jax.data.protocols import Reader
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.geometry import rois
from blazepose_jax.skeleton import Skeleton


@dataclasses.dataclass(frozen=True)
class Mixed:
    """Real records with a share of rendered people.

    Attributes:
      real: a reader of real records for the 33 points.
      rendered: a reader of rendered ones.
      share: of rendered people in a batch.
    """

    real: Reader
    rendered: Reader
    share: float

    @property
    def kind(self) -> str:
        """As for ``Reader.kind``."""
        return self.real.kind

    @property
    def skeleton(self) -> Skeleton:
        """Skeleton of the real records."""
        return self.real.skeleton

    @property
    def name(self) -> str:
        """Name for messages."""
        return f"{self.real.name} with {self.share:.0%} rendered people"

    @property
    def size(self) -> int:
        """As for ``Reader.size``."""
        return self.real.size

    def __len__(self) -> int:
        """Number of real records."""
        return len(self.real)

    def apart(self) -> "Mixed":
        """As for ``Reader.apart``."""
        return dataclasses.replace(self, real=self.real.apart(), rendered=self.rendered.apart())

    def batch(self, step: int, size: int, seed: int, rows: range | None = None) -> Batch:
        """The batch of a step, whose last rows are rendered.

        Args: as for ``Reader.batch``.

        Raises:
          BlazePoseError: a single row, which cannot be of each kind.
        """
        rows = range(size) if rows is None else rows
        if len(rows) < 2:
            raise BlazePoseError(
                f"a process has {len(rows)} of the {size} people of a batch, and data.rendered"
                " wants one of each kind: give a larger optimizer.batch_size"
            )
        # At least one of each, also where a process or a look at the data takes few rows.
        drawn = min(max(round(self.share * len(rows)), 1), len(rows) - 1)
        # Each kind counts its own, so that an epoch of either leaves nobody out.
        parts, place = size // len(rows), rows.start // len(rows)

        def draw(reader: Reader, count: int) -> Batch:
            own = range(place * count, (place + 1) * count)
            return reader.batch(step, parts * count, seed, rows=own)

        real = draw(self.real, len(rows) - drawn)
        rendered = draw(self.rendered, drawn)
        return jax.tree.map(
            lambda a, b: np.concatenate([np.asarray(a), np.asarray(b)]), *_alike(real, rendered)
        )


def _alike(real: Batch, rendered: Batch) -> tuple[Batch, Batch]:
    """Both with the same fields and slots, so that they can be concatenated."""
    if isinstance(real, PoseBatch):
        assert isinstance(rendered, PoseBatch)
        if real.teacher is not None:
            rendered = _with_teacher(rendered)
        return real if real.depth is not None else _with_body(real), rendered
    assert isinstance(rendered, SceneBatch)
    more = real.status.shape[1] - rendered.status.shape[1]
    return real, rendered.replace(
        points=jnp.pad(rendered.points, ((0, 0), (0, more), (0, 0), (0, 0))),
        status=jnp.pad(rendered.status, ((0, 0), (0, more))),
    )


def _with_body(batch: PoseBatch) -> PoseBatch:
    """Real records with empty fields for what only rendered people have."""
    count, points = batch.visibility_flags.shape
    return batch.replace(
        has_3d_labels=np.zeros(count, bool),
        depth=np.zeros((count, points), np.float32),
        world=np.zeros((count, points, 3), np.float32),
        mask=np.zeros(batch.pixels.shape[:3], np.uint8),
    )


def _with_teacher(batch: PoseBatch) -> PoseBatch:
    """Rendered people in the form of labels by a teacher: the truth, fully trusted."""
    flags = np.asarray(batch.visibility_flags)
    return batch.replace(
        teacher=TeacherBatch(
            (flags > 0).astype(np.float32),
            (flags == 2).astype(np.float32),
            np.asarray(rois.to_alignment(batch.roi)),
        )
    )
