"""Recordings: one person's points over time, as arrays."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.json_files import Json, read_json


@dataclasses.dataclass(frozen=True)
class Recording:
    """One person in T frames; NaN where the person was not found.

    Attributes:
      source: name of what was tracked.
      names: K, of the keypoints.
      bones: pairs of rows.
      size: width, height in px.
      times: (T,) s, growing.
      points: (T, K, 2) px, image frame.
      depth: (T, K) px, smaller is nearer.
      visibility: (T, K) in [0, 1].
      confidence: (T, K) in [0, 1]: how likely the point is right; visibility where a file has none.
      world: (T, K, 3) metres round the mid-hip, x to the right of the picture, y down, z away from
        the camera; or None.
      people: {id: frames} of everybody in the file.
    """

    source: str
    names: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    size: tuple[int, int]
    times: np.ndarray
    points: np.ndarray
    depth: np.ndarray
    visibility: np.ndarray
    confidence: np.ndarray
    world: np.ndarray | None
    people: dict[int, int]


def read_recording(path: str | Path, person: int | None = None) -> Recording:
    """Read what ``blazepose track --json`` has written.

    Args:
      path: of the file.
      person: id; None for whoever is there where no frame has two people, else for the one with the
        most frames.

    Raises:
      BlazePoseError: a file that is none of these, of stills, or without that person.
    """
    content = read_json(Path(path))
    try:
        if content["fps"] == 0 and any("file" in frame for frame in content["frames"]):
            raise BlazePoseError(
                f"{path} is of pictures that have nothing to do with each other: analysis is of"
                " videos, and of folders tracked with --sequence"
            )
        return recording_of(
            str(content["source"]),
            content["keypoint_names"],
            [(int(a), int(b)) for a, b in content["bones"]],
            (int(content["width"]), int(content["height"])),
            content["frames"],
            person,
        )
    except BlazePoseError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise BlazePoseError(
            f"{path} is no result of blazepose track --json ({type(error).__name__}: {error}): give"
            " such a file, or the video"
        ) from error


def recording_of(
    source: str,
    names: Iterable[str],
    bones: Iterable[tuple[int, int]],
    size: tuple[int, int],
    frames: Sequence[Json],
    person: int | None = None,
) -> Recording:
    """A recording of one person in frames as ``blazepose track --json`` has them.

    Args:
      source: as in Recording, as are the next ones.
      names: K.
      bones: pairs of rows.
      size: width, height in px.
      frames: T, of ``time`` and ``people``; those as ``io.results.people`` gives them.
      person: as for ``read_recording``.

    Raises:
      BlazePoseError: no frame, frames without growing times, or no such person.
    """
    names, count = tuple(names), len(frames)
    moments = np.array([float(frame["time"]) for frame in frames], float)
    if not count or not (np.diff(moments) > 0).all():
        raise BlazePoseError(
            f"{source!r} has {count} frames, or times that do not grow: analysis is of videos, and"
            " of folders tracked with --sequence"
        )
    people = Counter(int(p["id"]) for frame in frames for p in frame["people"])
    chosen = _choose(frames, people, person, source)
    rows = [_of(frame, chosen) for frame in frames]
    points = np.full((count, len(names), 5), np.nan)
    confidence = np.full((count, len(names)), np.nan)
    has_world = any(row is not None and "world" in row for row in rows)
    world = np.full((count, len(names), 3), np.nan) if has_world else None
    for i, row in enumerate(rows):
        if row is None:
            continue
        points[i] = row["keypoints"]
        confidence[i] = row.get("confidence", points[i, :, 3])
        if world is not None:
            world[i] = row["world"]
    return Recording(
        source,
        names,
        tuple(bones),
        size,
        moments,
        points[..., :2],
        points[..., 2],
        points[..., 3],
        confidence,
        world,
        dict(people),
    )


def _choose(
    frames: Sequence[Json], counts: Counter[int], person: int | None, name: str
) -> int | None:
    """An id; None for whoever is there."""
    if person is None:
        alone = all(len(frame["people"]) < 2 for frame in frames)
        return None if alone else counts.most_common(1)[0][0]
    if person not in counts:
        raise BlazePoseError(f"{name} has no person {person}: there are {sorted(counts) or 'none'}")
    return person


def _of(frame: Json, person: int | None) -> Json | None:
    return next((p for p in frame["people"] if person is None or p["id"] == person), None)
