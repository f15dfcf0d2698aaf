"""People of a COCO file's entries, with a count of what was dropped or changed, and why."""

import collections
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from blazepose_jax.data.annotations import Person, Reasons, shown_box
from blazepose_jax.data.coco_file import Category, CocoFile, Entry, number_of
from blazepose_jax.data.coco_pictures import Pictures, label_scale
from blazepose_jax.data.coco_teacher import read_teacher

MAX_AREA = 1e12  # px²
DUPLICATE = "duplicate id"


class PeopleReader:
    """Turns entries into people, one by one.

    Attributes:
      people: the usable ones; their ids are still 0.
      dropped: ids of the others, by reason.
      changed: ids of people whose labels were changed, by kind of change.
      others: pictures and boxes of people who were dropped.
    """

    def __init__(self, file: CocoFile, category: Category, pictures: Pictures):
        self._file, self._category, self._pictures = file, category, pictures
        self._seen: set[str] = set()
        # Some files give a confidence in place of COCO's flag; there a 1 is full confidence and not
        # "labelled, but occluded".
        flags = np.array(
            [
                v
                for entry in file.entries
                if isinstance(self._names(entry), tuple)
                for v in _flag_column(entry.keypoints)
            ]
        )
        self._confidences = bool(((flags > 0) & (flags < 1)).any()) and flags.max() <= 1
        # Where there is no 2, a 1 cannot mean "labelled, but occluded".
        self._knows_occlusion = bool((flags == 2).any())
        self.people: list[Person] = []
        self.dropped: Reasons = collections.defaultdict(list)
        self.changed: Reasons = collections.defaultdict(list)
        self.others: list[tuple[Path, np.ndarray]] = []

    def add(self, entry: Entry, reason: str | None) -> None:
        """Add the person of an entry, or count why there is none.

        Args:
          entry: of the file.
          reason: a known one to drop the entry for; where the entry itself gives another, that one
            is counted.
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
            if found != DUPLICATE:
                self.others.extend(self._box_of(entry))

    def drop(self, reason: str, unwanted: Callable[[Person], bool]) -> None:
        """Drop people who have been read."""
        if ids := [person.label for person in self.people if unwanted(person)]:
            self.dropped[reason].extend(ids)
            self.people = [person for person in self.people if not unwanted(person)]

    def _read(self, entry: Entry, changes: list[str]) -> Person | str:
        """The person of an entry, or why there is none; appends to ``changes``."""
        names = self._names(entry)
        if isinstance(names, str):
            return names
        label = "" if entry.id is None else str(entry.id)
        if label and label in self._seen:
            return DUPLICATE
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
        rows, teacher = rows[order], None
        if entry.teacher is not None:
            try:
                teacher, by_hand = read_teacher(entry.teacher, rows, order, scale, size)
                rows = np.where(by_hand[:, None], rows, 0)
            except ValueError as error:
                return f"a teacher's labels that are none ({error})"
        labelled = rows[rows[:, 2] > 0]
        if not len(labelled) and teacher is None:
            return "no labelled keypoint"
        stated = entry.area or (entry.box[2] * entry.box[3] if entry.box else 0)
        area = stated * scale[0] * scale[1]
        if not 0 < area < MAX_AREA and len(labelled):
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
            _box_xyxy(entry, scale, size),
            teacher,
            self._knows_occlusion and entry.knows_occlusion,
            entry.eval_ok,
        )

    def _box_of(self, entry: Entry) -> Iterator[tuple[Path, np.ndarray]]:
        """Where somebody stands of whom no more is known."""
        image = self._file.images.get(entry.image or "")
        category = self._file.categories.get(entry.category or "", self._category)
        if (
            category != self._category
            or image is None
            or not image.file_name
            or entry.image in self._file.ambiguous
        ):
            return
        found = self._pictures.find(image.file_name)
        if isinstance(found, str):
            return
        path, size, turned = found
        scale = label_scale(image.size, size, turned)
        box = None if scale is None else _box_xyxy(entry, scale, size)
        if box is not None and (box[2:] > box[:2]).all():
            yield path, box

    def _names(self, entry: Entry) -> tuple[str, ...] | str:
        """Keypoint names of the entry's own category, or why the entry is left out."""
        needed = self._category.keypoints
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
        if not set(needed) <= set(category.keypoints):
            return f"of another category, {category.name!r}"
        return category.keypoints

    def _normalised(
        self,
        rows: np.ndarray,
        scale: tuple[float, float],
        size: tuple[int, int],
        changes: list[str],
    ) -> np.ndarray | str:
        """Rows in px of the picture with flags 0, 1 and 2, or why there are none."""
        flags = rows[:, 2]
        if not np.isfinite(flags).all():
            return "NaN or infinite coordinates"
        if ((flags > 0) & (flags != np.round(flags))).any():
            changes.append("visibility between 0 and 1, taken as visible")
        if (flags > 2).any():
            changes.append("visibility above 2, taken as visible")
        if (flags == 1).any() and not (self._knows_occlusion or self._confidences):
            changes.append("visibility never above 1, taken as visible")
        occluded = (flags == 1) & self._knows_occlusion
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


def _box_xyxy(entry: Entry, scale: tuple[float, float], size: tuple[int, int]) -> np.ndarray | None:
    """(4,) float32 px of the picture; None without a box, or for one that shows nothing of it."""
    if entry.box is None:
        return None
    x, y, width, height = entry.box
    return shown_box(np.array([x, y, x + width, y + height]) * (*scale, *scale), size)


def _flag_column(keypoints: object) -> list[float]:
    """The third numbers of a flat or nested list of points, as far as they are numbers."""
    if not isinstance(keypoints, list):
        return []
    flat = [v for row in keypoints for v in (row if isinstance(row, list) else [row])]
    return [v for v in map(number_of, flat[2::3]) if v is not None]


def _rows(keypoints: object, count: int) -> np.ndarray | str:
    """(count, 3) float64, or why it is not that."""
    try:
        rows = np.asarray(keypoints, np.float64)
    except (TypeError, ValueError, OverflowError):
        return "keypoints are no numbers"
    return rows.reshape(-1, 3) if rows.size == 3 * count else f"not {3 * count} keypoint numbers"
