"""Rows of the output convolutions, one a keypoint, carried from one keypoint set to another."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import Array

# Heads with rows -> channels of a row; those of landmarks are the net's fields.
WIDTHS = {"heatmap": 1, "world": 3, "offsets": 2}
ROW_HEADS = ("landmarks", *WIDTHS)


@dataclasses.dataclass(frozen=True)
class RowSource:
    """Where a row comes from.

    Attributes:
      name: of the point.
      rows: of the old net; several are averaged, () where nothing is known of the point.
      known: whether the old net predicts this very point.
      near: names of the old rows, where the point is another one.
    """

    name: str
    rows: tuple[int, ...]
    known: bool
    near: tuple[str, ...] = ()


def row_sources(old: Skeleton, new: Skeleton) -> tuple[RowSource, ...]:
    """Find the rows of an old net that a new one starts from.

    Points are the same where both are like the same point of BlazePose's, or have the same name and
    are like none.

    Args:
      old: of the net that there is.
      new: of the net to make.

    Returns:
      One RowSource per keypoint and auxiliary point of ``new``.
    """
    row_of: dict[tuple[str, str], int] = {}
    bodies = (*old.body_names, *("",) * len(old.auxiliary))
    for row, (name, body) in enumerate(zip(old.keypoints + old.auxiliary, bodies, strict=True)):
        row_of[("body", body) if body else ("own", name)] = row
    sources = []
    auxiliary = ("",) * len(new.auxiliary)
    for name, body, near in zip(
        new.keypoints + new.auxiliary,
        (*new.body_names, *auxiliary),
        (*new.near_names, *((),) * len(auxiliary)),
        strict=True,
    ):
        same = row_of.get(("body", body) if body else ("own", name))
        if same is not None:
            sources.append(RowSource(name, (same,), True))
            continue
        places = tuple(p for p in near if ("body", p) in row_of or ("own", p) in row_of)
        rows = tuple(row_of.get(("body", p), row_of.get(("own", p), -1)) for p in places)
        sources.append(RowSource(name, rows, False, places))
    return tuple(sources)


def carry_rows(
    head: Mapping[str, Array],
    fresh: Mapping[str, Array],
    sources: tuple[RowSource, ...],
    old_fields: tuple[str, ...],
    new_fields: tuple[str, ...],
) -> dict[str, np.ndarray]:
    """Make an output convolution of the rows of another one.

    Args:
      head: the old ``kernel`` (h, w, C, n * F) and ``bias`` (n * F,).
      fresh: the new ones, for rows and fields that nothing is known of, (h, w, C, m * F').
      sources: of the m new rows.
      old_fields: F names of a row's channels.
      new_fields: F' names.

    Returns:
      ``kernel`` and ``bias`` of the shapes of ``fresh``, float32.
    """
    shared = [field for field in new_fields if field in old_fields]
    there = [old_fields.index(field) for field in shared]
    here = [new_fields.index(field) for field in shared]
    moved = {}
    for part in ("kernel", "bias"):
        old, new = (np.array(tensors[part], np.float32) for tensors in (head, fresh))
        old = old.reshape(*old.shape[:-1], -1, len(old_fields))
        rows = new.reshape(*new.shape[:-1], -1, len(new_fields))
        for row, source in enumerate(sources):
            if source.rows:
                mean = old[..., list(source.rows), :].mean(-2)
                rows[..., row, here] = mean[..., there]
        moved[part] = rows.reshape(new.shape)
    return moved


def describe_sources(sources: tuple[RowSource, ...]) -> str:
    """One line on which rows were carried over."""
    known = [source.name for source in sources if source.known]
    near = [f"{s.name} between {', '.join(s.near)}" for s in sources if s.rows and not s.known]
    fresh = [source.name for source in sources if not source.rows]
    parts = [f"{len(known)} carried over ({', '.join(known[:6])}{', ...' * (len(known) > 6)})"]
    parts += [f"new ones start where others are: {'; '.join(near)}"] if near else []
    parts += [f"new ones from random: {', '.join(fresh)}"] if fresh else []
    return f"rows: {'; '.join(parts)}"
