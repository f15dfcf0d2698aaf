"""People of a COCO keypoints file.

Which are usable, and a count of what was dropped or changed, and why.
"""

import collections
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.data.coco_file import (
    Category,
    CocoFile,
    Entry,
    choose_category,
    number_of,
    read_coco_file,
)
from blazepose_jax.data.coco_pictures import Pictures, annotation_file, label_scale
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.geometry import rois
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton
from blazepose_jax.structs import ROI

MAX_LISTED = 10
NOT_EVAL_OK = "not marked eval_ok"
# What other annotations of a file are left out for is no fault of theirs, not even under --strict.
HARMLESS = (
    NOT_EVAL_OK,
    "a box without keypoints",
    "category unknown, without keypoints",
    "of a category without keypoints",
    "of another category",
)
MAX_ID = 2**31 - 1
MAX_AREA = 1e12  # px²
QUOTES = "'\""


@dataclasses.dataclass(frozen=True)
class Person:
    """One annotated person.

    Attributes:
      id: of the annotation where all ids are small whole numbers, else a running one.
      image: path of the photograph.
      keypoints: (n, 2) float32 image px; (0, 0) where unlabelled.
      visibility_flags: (n,) 2 visible, 1 labelled but occluded, 0 unlabelled.
      area: px², for OKS.
      data_set: what the image says it comes from, or "".
      group: what the file says it belongs to, such as a film or a subject, or "".
      label: the annotation's id as the file has it, as text.
    """

    id: int
    image: Path
    keypoints: np.ndarray
    visibility_flags: np.ndarray
    area: float
    data_set: str
    group: str = ""
    label: str = ""


@dataclasses.dataclass(frozen=True)
class Annotations:
    """People of one folder.

    Attributes:
      names: of the n keypoints, as the file says.
      people: the usable ones, in the order of the file.
      dropped: {reason: ids}.
      changed: {what was read otherwise than it stands there: ids}.
      pairs: (left, right) names by the file's flip_indices, or None.
      file: of the annotations, or None.
    """

    names: tuple[str, ...]
    people: tuple[Person, ...]
    dropped: dict[str, list[Any]]
    changed: dict[str, list[Any]] = dataclasses.field(default_factory=dict)
    pairs: tuple[tuple[str, str], ...] | None = None
    file: Path | None = None

    @property
    def inputs(self) -> tuple[Path, ...]:
        """All files that were, or will be read."""
        return (
            *([self.file] if self.file else []),
            *dict.fromkeys(person.image for person in self.people),
        )


def describe_dropped(dropped: dict[str, list[Any]]) -> str:
    """One line a reason, with the first ids."""
    return "\n".join(_listed("dropped", dropped)) or "nobody dropped"


def describe_changed(changed: dict[str, list[Any]]) -> str:
    """One line a change, with the first ids; "" for none."""
    return "\n".join(_listed("changed", changed))


def _listed(what: str, reasons: dict[str, list[Any]]) -> list[str]:
    return [
        f"{len(ids)} {what}, {reason}:"
        f" {', '.join(ascii(i).strip(QUOTES)[:40] for i in ids[:MAX_LISTED])}"
        + (", ..." if len(ids) > MAX_LISTED else "")
        for reason, ids in reasons.items()
    ]


def read_annotations(
    folder: str | Path,
    *,
    strict: bool = False,
    evaluation: bool = False,
    images: str | Path | None = None,
    skeleton: Skeleton = BLAZEPOSE,
) -> Annotations:
    """Read the annotations of a folder.

    Its ``annotations.json``, COCO's own layout, or its only JSON file.

    Args:
      folder: a folder or a file.
      strict: any dropped person is an error.
      evaluation: where annotations carry ``eval_ok``, only those count.
      images: where the pictures lie; by default beside the file, in ``images`` there, or as COCO
        lays them out. What the file names outside of these is read only if it lies in here.
      skeleton: whose people are wanted where the file has several categories with keypoints.

    Returns:
      Annotations.

    Raises:
      BlazePoseError: no such file, not COCO keypoints, nobody usable; with ``strict`` anything that
        was dropped.
    """
    path = annotation_file(Path(folder))
    if images is not None and not os.path.isdir(images):
        raise BlazePoseError(
            f"picture folder {str(images)!r} does not exist: name the one that the file's names"
            " start in"
        )
    file = read_coco_file(path)
    category = choose_category(file, skeleton.keypoints)
    reader = _Reader(file, category, Pictures(file, images))
    flagged = evaluation and any(entry.eval_ok is not None for entry in file.entries)
    for entry in file.entries:
        reader.add(entry, NOT_EVAL_OK if flagged and not entry.eval_ok else None)
    serious = {
        reason: ids for reason, ids in reader.dropped.items() if not reason.startswith(HARMLESS)
    }
    if not reader.people or (strict and serious):
        said = (
            "; ".join(f"{len(ids)} {reason}" for reason, ids in reader.dropped.items())
            or "there are none"
        )
        rule = (
            "strict reading allows none to be dropped"
            if reader.people
            else "at least one usable person is needed"
        )
        raise BlazePoseError(
            f"{path}: {said}; {rule}: repair the file"
            + (" or leave out --strict" if reader.people else "")
        )
    return Annotations(
        category.keypoints,
        _numbered(reader.people),
        dict(reader.dropped),
        dict(reader.changed),
        category.pairs,
        path,
    )


def _numbered(people: Sequence[Person]) -> tuple[Person, ...]:
    """Ids of the file where all are small whole numbers, else running ones from 1."""
    labels = [person.label for person in people]
    whole = all(
        label.isascii() and label.isdecimal() and len(label) <= 10 and int(label) <= MAX_ID
        for label in labels
    )
    if whole and len({int(label) for label in labels}) == len(labels):
        return tuple(dataclasses.replace(person, id=int(person.label)) for person in people)
    return tuple(dataclasses.replace(person, id=i) for i, person in enumerate(people, 1))


class _Reader:
    """Turns entries into people, one by one."""

    def __init__(self, file: CocoFile, category: Category, pictures: Pictures):
        self._file, self._category, self._pictures = file, category, pictures
        self._seen: set[str] = set()
        # In these files a 1 is a full confidence, and not COCO's "labelled, but occluded".
        flags = np.array(
            [
                v
                for entry in file.entries
                if isinstance(self._names(entry), tuple)
                for v in _flag_column(entry.keypoints)
            ]
        )
        self._confidences = bool(((flags > 0) & (flags < 1)).any()) and flags.max() <= 1
        self.people: list[Person] = []
        self.dropped: dict[str, list[Any]] = collections.defaultdict(list)
        self.changed: dict[str, list[Any]] = collections.defaultdict(list)

    def add(self, entry: Entry, reason: str | None) -> None:
        """Add the person of an entry, or count why there is none.

        ``reason`` is one that is known already.
        """
        changes: list[str] = []
        found = self._read(entry, changes)
        if reason is not None and isinstance(found, Person):
            found = reason
        if isinstance(found, Person):
            self.people.append(found)
            for change in changes:
                self.changed[change].append(entry.id)
        else:
            self.dropped[found].append(entry.id)

    def _read(self, entry: Entry, changes: list[str]) -> Person | str:
        names = self._names(entry)
        if isinstance(names, str):
            return names
        label = "" if entry.id is None else str(entry.id)
        if label and label in self._seen:
            return "duplicate id"
        self._seen.add(label)
        image = self._file.images.get(entry.image or "")
        if image is None or not image.file_name:
            return "image unknown"
        if entry.image in self._file.ambiguous:
            return "image unknown: its id is used twice"
        if image.is_duplicate:
            return "near duplicate of a test image"
        found = self._pictures.find(image.file_name)
        if isinstance(found, str):
            return found
        if entry.is_crowd:
            return "crowd"
        rows = _rows(entry.keypoints, len(names))
        if isinstance(rows, str):
            return rows
        path, size, turned = found
        scale = label_scale(image.size, size, turned)
        if scale is None:
            return "the picture has another shape than the file says"
        rows = self._normalised(rows, scale, size, changes)
        if isinstance(rows, str):
            return rows
        order = [names.index(name) for name in self._category.keypoints]
        rows = rows[order]
        labelled = rows[rows[:, 2] > 0]
        if not len(labelled):
            return "no labelled keypoint"
        stated = entry.area or (entry.box[2] * entry.box[3] if entry.box else 0)
        area = stated * scale[0] * scale[1]
        if not 0 < area < MAX_AREA:
            area = float(np.prod(np.ptp(labelled[:, :2], axis=0)))
        return Person(
            0,
            path,
            rows[:, :2].astype(np.float32),
            rows[:, 2].astype(np.int32),
            area,
            image.data_set,
            entry.group or image.group,
            label,
        )

    def _names(self, entry: Entry) -> tuple[str, ...] | str:
        """Keypoint names of the entry's own category, or why it is not meant."""
        wanted = self._category.keypoints
        with_points = [c for c in self._file.categories.values() if c.keypoints]
        category = self._file.categories.get(entry.category or "")
        if category is None and len(with_points) == 1:
            category = with_points[0]
        if entry.keypoints is None or entry.keypoints == [] or entry.is_box:
            return "a box without keypoints" if category else "category unknown, without keypoints"
        if category is None:
            return "category unknown"
        if not category.keypoints:
            return "of a category without keypoints"
        if not set(wanted) <= set(category.keypoints):
            return f"of another category, {category.name!r}"
        return category.keypoints

    def _normalised(
        self,
        rows: np.ndarray,
        scale: tuple[float, float],
        size: tuple[int, int],
        changes: list[str],
    ) -> np.ndarray | str:
        """Rows in px of the picture with flags 0, 1 and 2."""
        flags = rows[:, 2]
        if not np.isfinite(flags).all():
            return "NaN or infinite coordinates"
        if ((flags > 0) & (flags != np.round(flags))).any():
            changes.append("visibility between 0 and 1, taken as visible")
        if (flags > 2).any():
            changes.append("visibility above 2, taken as visible")
        occluded = (flags == 1) & (not self._confidences)
        flags = np.where(flags <= 0, 0, np.where(occluded, 1, 2))
        if not np.isfinite(rows[flags > 0, :2]).all():
            return "NaN or infinite coordinates"
        if scale != (1.0, 1.0):
            changes.append("labels scaled to the picture's size")
        xy = np.where((flags > 0)[:, None], rows[:, :2], 0) * scale
        reach = max(size)
        far = ((xy < -reach) | (xy > np.array(size) + reach)).any(1) & (flags > 0)
        if far.any():
            if far.sum() == (flags > 0).sum():
                return "coordinates far outside"
            changes.append("points far outside of the image, taken as unlabelled")
        flags, xy = np.where(far, 0, flags), np.where(far[:, None], 0, xy)
        return np.concatenate([xy, flags[:, None]], 1)


def _flag_column(keypoints: Any) -> list[float]:
    if not isinstance(keypoints, list):
        return []
    flat = [v for row in keypoints for v in (row if isinstance(row, list) else [row])]
    return [v for v in map(number_of, flat[2::3]) if v is not None]


def _rows(keypoints: Any, count: int) -> np.ndarray | str:
    try:
        rows = np.asarray(keypoints, np.float64)
    except (TypeError, ValueError, OverflowError):
        return "keypoints are no numbers"
    return rows.reshape(-1, 3) if rows.size == 3 * count else f"not {3 * count} keypoint numbers"


def true_roi(person: Person, names: tuple[str, ...], skeleton: Skeleton = BLAZEPOSE) -> ROI | None:
    """The ROI that the labels tell.

    Centre points (mid-hip), the farthest labelled point, up points (mid-shoulder).

    Args:
      person: the annotation.
      names: of its keypoints.
      skeleton: which points are its centre and up points.

    Returns:
      ROI of numpy leaves; None where a centre or up point is unlabelled.
    """
    index = {name: i for i, name in enumerate(names)}
    needed = [index[name] for name in skeleton.center + skeleton.up if name in index]
    if (
        len(needed) < len(skeleton.center + skeleton.up)
        or (person.visibility_flags[needed] == 0).any()
    ):
        return None
    center = person.keypoints[[index[n] for n in skeleton.center]].mean(0)
    up = person.keypoints[[index[n] for n in skeleton.up]].mean(0) - center
    labelled = person.keypoints[person.visibility_flags > 0]
    radius = np.linalg.norm(labelled - center, axis=-1).max()
    length = np.linalg.norm(up)
    if not (radius > 0 and length > 0):
        return None
    circle = center + radius * up / length
    return jax.tree.map(np.asarray, rois.from_alignment(jnp.asarray(center), jnp.asarray(circle)))
