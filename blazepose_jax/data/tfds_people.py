"""People of any TFDS data set, by a mapping of its features; read without TensorFlow."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np

from blazepose_jax.data.annotations import Annotations, Person, Reasons, shown_box
from blazepose_jax.data.tfds_source import Mapping, feature_of, open_examples
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.images import has_orientation, picture_size
from blazepose_jax.skeleton import Skeleton

# A normalised point lies in the picture, or a little outside of it.
FAR = 2.0
# As far outside of a picture, in its longer sides, a point counts as unlabelled.
REACH = 1.0
# Why nobody is there; no fault of a set, whose examples may be padded to one number of people.
NOBODY = "no labelled keypoint"
SUFFIXES = {b"\xff\xd8": ".jpg", b"\x89P": ".png"}


def read_tfds(
    source: str, split: str, mapping: Mapping, skeleton: Skeleton, pictures: Path
) -> Annotations:
    """Read the people of a TFDS data set.

    Args:
      source: the folder with its dataset_info.json, or the name of a set that TFDS has prepared.
      split: like ``train`` or ``train[:10%]``.
      mapping: of its features.
      skeleton: of its keypoints, in their order.
      pictures: where the pictures are written.

    Returns:
      Annotations in the skeleton's names.

    Raises:
      BlazePoseError: no such data set, split or feature, another number of points, other units than
        the mapping says, nobody usable.
    """
    examples, box_form = open_examples(source, split, mapping)
    reader = _Reader(mapping, box_form, skeleton, pictures, source)
    for number, example in enumerate(examples, 1):
        reader.add(number, example)
    return reader.finish()


class _Reader:
    """Turns examples into people; what the units and flags mean shows when all were seen."""

    def __init__(
        self, mapping: Mapping, box_form: str, skeleton: Skeleton, pictures: Path, source: str
    ):
        self._mapping, self._box_form, self._skeleton = mapping, box_form, skeleton
        self._pictures, self._source = pictures, source
        self._people: list[Person] = []
        self._others: list[tuple[Path, np.ndarray]] = []
        self._dropped: Reasons = {}
        self._changed: Reasons = {}
        self._largest_flag, self._largest_value = 0.0, 0.0
        self._given = bool(mapping.visibility)

    def add(self, number: int, example: dict[str, Any]) -> None:
        """Add the people of an example; its picture is written where there are any."""
        m, count = self._mapping, len(self._skeleton.keypoints)
        points = self._points(
            np.asarray(feature_of(example, m.keypoints), np.float64)
        )  # (n, K, 2 or 3)
        n = len(points)
        flags = points[..., 2] if points.shape[-1] == 3 else None
        if m.visibility:
            flags = np.asarray(feature_of(example, m.visibility), np.float64).reshape(-1, count)
        boxes = np.asarray(feature_of(example, m.box), np.float64).reshape(-1, 4) if m.box else None
        for name, rows in (("visibility", flags), ("box", boxes)):
            if rows is not None and len(rows) != n:
                raise BlazePoseError(
                    f"example {number} of {self._source} has {n} people by {m.keypoints!r} and"
                    f" {len(rows)} by its {name}: map features of the same people"
                )
        if not n:
            return
        try:
            path = self._picture(number, feature_of(example, m.image))
            size = np.array(picture_size(path), np.float64)
        except BlazePoseError:
            self._dropped.setdefault("broken image", []).append(number)
            return
        group = _text(feature_of(example, m.group)) if m.group else ""
        for i in range(n):
            label = f"{number}" if n == 1 else f"{number}.{i + 1}"
            found = self._person(
                points[i, :, :2],
                None if flags is None else flags[i],
                None if boxes is None else boxes[i],
                size,
            )
            if isinstance(found, str):
                self._dropped.setdefault(found, []).append(label)
                box = None if boxes is None else self._box(boxes[i], size)
                self._others += [] if box is None else [(path, box)]
                continue
            keypoints, status, box = found
            labelled = keypoints[status > 0]
            span = np.ptp(labelled, axis=0) if box is None else box[2:] - box[:2]
            person = Person(
                len(self._people) + 1,
                path,
                keypoints,
                status,
                float(span.prod()),
                "",
                group,
                label,
                box,
            )
            self._people.append(person)

    def finish(self) -> Annotations:
        """Everybody."""
        m = self._mapping
        if not self._people:
            reasons = "; ".join(f"{len(ids)} {reason}" for reason, ids in self._dropped.items())
            raise BlazePoseError(
                f"{self._source} has nobody usable ({reasons or 'no people'}): check the mapping"
            )
        if m.units == "pixels" and self._largest_value <= 1:
            raise BlazePoseError(
                f"no number of {m.keypoints!r} is above 1, as of points that are shares of the"
                " picture: add units=normalised to the mapping"
            )
        if self._given and self._largest_flag <= 1:
            # There is no 2, so that 1 cannot mean "labelled, but hidden".
            self._changed["visibility never above 1, taken as visible"] = [
                person.label for person in self._people
            ]
            self._people = [
                dataclasses.replace(p, visibility_flags=np.where(p.visibility_flags > 0, 2, 0))
                for p in self._people
            ]
        people = tuple(
            dataclasses.replace(
                p,
                visibility_flags=p.visibility_flags.astype(np.int32),
                knows_occlusion=self._given and self._largest_flag > 1,
            )
            for p in self._people
        )
        return Annotations(
            self._skeleton.keypoints,
            people,
            self._dropped,
            self._changed,
            others=tuple(self._others),
        )

    def _points(self, values: np.ndarray) -> np.ndarray:
        """Keypoints of whatever layout as (n, K, 2 or 3)."""
        count = len(self._skeleton.keypoints)
        if values.ndim >= 2 and values.shape[-1] in (2, 3) and values.shape[-2] == count:
            found = values.reshape(-1, count, values.shape[-1])
        elif values.ndim in (1, 2) and values.shape[-1] in (2 * count, 3 * count):
            found = values.reshape(-1, count, values.shape[-1] // count)
        elif not values.size:
            found = np.zeros((0, count, 2))
        else:
            raise BlazePoseError(
                f"{self._mapping.keypoints!r} has the shape {values.shape}, the set"
                f" {self._skeleton.name!r} {count} points: it must end in ({count}, 2) or"
                f" ({count}, 3); give a --skeleton with the points of the data, in their order"
            )
        self._given = self._given or found.shape[-1] == 3
        return found

    def _person(
        self, xy: np.ndarray, flags: np.ndarray | None, box: np.ndarray | None, size: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None] | str:
        """Points in px, flags and box of one person, or why there is none."""
        if flags is None:
            # What sets write for a point that nobody labelled.
            status = np.where(np.isfinite(xy).all(1) & (xy >= 0).all(1) & (xy > 0).any(1), 2.0, 0.0)
        elif not np.isfinite(flags).all():
            return "visibility that is no number"
        else:
            self._largest_flag = max(self._largest_flag, float(flags.max()))
            whole = flags == np.round(flags)
            status = np.where(flags <= 0, 0.0, np.where(whole, np.minimum(flags, 2), 2.0))
        labelled = status > 0
        if not np.isfinite(xy[labelled]).all():
            return "NaN or infinite coordinates"
        xy = np.where(labelled[:, None], xy, 0)
        self._largest_value = max(self._largest_value, float(np.abs(xy).max()))
        xy = xy[:, ::-1] if self._mapping.order == "yx" else xy
        if self._mapping.units == "normalised":
            if np.abs(xy).max() > FAR:
                raise BlazePoseError(
                    f"{self._mapping.keypoints!r} holds {np.abs(xy).max():g}, the mapping says"
                    " units=normalised, from 0 to 1: leave that out if they are pixels"
                )
            xy = xy * size
        if not (status > 0).any():
            return NOBODY
        reach = REACH * size.max()
        status = np.where(((xy < -reach) | (xy > size + reach)).any(1), 0, status)
        if not (status > 0).any():
            return "every keypoint far outside of the picture"
        xy = np.where((status > 0)[:, None], xy, 0)
        return xy.astype(np.float32), status, None if box is None else self._box(box, size)

    def _box(self, box: np.ndarray, size: np.ndarray) -> np.ndarray | None:
        """(4,) float32 xyxy, px; None for one that is none."""
        form, is_feature = self._box_form or self._mapping.box_form, bool(self._box_form)
        box = box[[1, 0, 3, 2]] if form == "yxyx" else box
        box = np.concatenate([box[:2], box[:2] + box[2:]]) if form == "xywh" else box
        if is_feature or self._mapping.units == "normalised":
            box = box * np.tile(size, 2)
        valid = np.isfinite(box).all() and (box[2:] > box[:2]).all()
        return shown_box(box, size) if valid else None

    def _picture(self, number: int, image: bytes | np.ndarray) -> Path:
        """Write the picture of an example as TFDS would show it, without EXIF's orientation."""
        from PIL import Image

        if isinstance(image, bytes):
            path = self._pictures / f"{number:08d}{SUFFIXES.get(image[:2], '.img')}"
            path.write_bytes(image)
            if not has_orientation(path):
                return path
            path.unlink()
            image = np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] not in (1, 3):
            raise BlazePoseError(
                f"{self._mapping.image!r} of {self._source} holds {image.dtype} of the shape"
                f" {image.shape}: pictures are uint8, (H, W, 3)"
            )
        path = self._pictures / f"{number:08d}.png"
        Image.fromarray(np.broadcast_to(image, (*image.shape[:2], 3))).save(path)
        return path


def _text(value: bytes | str | np.ndarray) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
