"""A COCO keypoints file in one normal form: ids as text, numbers or None, text or "", whatever the tool wrote."""

import collections
import dataclasses
import math
from pathlib import Path
from typing import Any

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.json_files import read_json
from blazepose_jax.skeleton import recognised_pairs

LISTS = ("images", "annotations", "categories")


@dataclasses.dataclass(frozen=True)
class Category:
    """A kind of thing.

    Attributes:
      name: like ``person``.
      keypoints: their names; empty where the category has none.
      pairs: (left, right) names by the file's flip_indices; None where it has none, or they swap nothing.
    """

    name: str
    keypoints: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...] | None


@dataclasses.dataclass(frozen=True)
class ImageEntry:
    """A picture as the file describes it.

    Attributes:
      file_name: with forward slashes; "" where it has none.
      size: width and height, or None.
      data_set: what the image says it comes from.
      group: of pictures that must not be torn apart, such as a film's.
      is_duplicate: it is marked as a near duplicate of a test image.
    """

    file_name: str
    size: tuple[float, float] | None
    data_set: str
    group: str
    is_duplicate: bool


@dataclasses.dataclass(frozen=True)
class Entry:
    """An annotation as the file describes it.

    Attributes:
      id: as written; None where it has none.
      image: id of its image, as text.
      category: id of its category, as text.
      keypoints: whatever stands there.
      area: px², or None.
      box: x, y, width, height in px, or None where it has no usable one.
      is_crowd: it stands for several people.
      eval_ok: it is marked as fit for a single-person score; None where it says nothing.
      group: as of ImageEntry.
    """

    id: Any
    image: str | None
    category: str | None
    keypoints: Any
    area: float | None
    box: tuple[float, float, float, float] | None
    is_crowd: bool
    eval_ok: bool | None
    group: str


@dataclasses.dataclass(frozen=True)
class CocoFile:
    """A file.

    Attributes:
      path: of it.
      categories: by id, as text.
      images: by id, as text.
      ambiguous: ids that several different images have.
      entries: annotations, in order.
    """

    path: Path
    categories: dict[str, Category]
    images: dict[str, ImageEntry]
    ambiguous: frozenset[str]
    entries: tuple[Entry, ...]


def read_coco_file(path: Path) -> CocoFile:
    """Read and normalise.

    Raises:
      BlazePoseError: no JSON, not COCO's layout, or no category with keypoints.
    """
    data = read_json(path)
    if not isinstance(data, dict) or not all(isinstance(data.get(k), list) for k in LISTS):
        raise BlazePoseError(f"{path} lacks the lists images, annotations and categories: it must be in COCO's format")
    rows = {name: [row for row in data[name] if isinstance(row, dict)] for name in LISTS}
    categories = {_key(row.get("id")) or "": _category(row) for row in rows["categories"]}
    if not any(category.keypoints for category in categories.values()):
        raise BlazePoseError(f"{path} has no category with keypoints: COCO's person_keypoints files have one")
    images: dict[str, ImageEntry] = {}
    ambiguous = set()
    for row in rows["images"]:
        key, image = _key(row.get("id")), _image(row)
        if key is not None:
            if key in images and images[key].file_name != image.file_name:
                ambiguous.add(key)
            images[key] = image
    return CocoFile(path, categories, images, frozenset(ambiguous), tuple(_entry(row) for row in rows["annotations"]))


def _key(value: Any) -> str | None:
    """An id as text; 7, 7.0 and "7" are the same."""
    if value is None or isinstance(value, bool | list | dict):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _number(value: Any) -> float | None:
    if isinstance(value, bool | list | dict) or value is None:
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _is_set(value: Any) -> bool:
    return _number(value) not in (None, 0.0) or value is True


def _category(row: dict[str, Any]) -> Category:
    names = row.get("keypoints")
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names) or len(set(names)) != len(names):
        return Category(_text(row.get("name")), (), None)
    return Category(_text(row.get("name")), tuple(names), _flip_pairs(row.get("flip_indices"), tuple(names)))


def _flip_pairs(flip: Any, names: tuple[str, ...]) -> tuple[tuple[str, str], ...] | None:
    """Names that swap; None unless the indices are a swap of some of them."""
    count = len(names)
    if not isinstance(flip, list) or len(flip) != count or not all(
            isinstance(i, int) and 0 <= i < count for i in flip) or any(flip[flip[i]] != i for i in range(count)):
        return None
    left = {a for a, _ in recognised_pairs(names)[0]}
    pairs = [(names[i], names[j]) for i, j in enumerate(flip) if i < j]
    return tuple((b, a) if b in left else (a, b) for a, b in pairs) or None


def _image(row: dict[str, Any]) -> ImageEntry:
    width, height = _number(row.get("width")), _number(row.get("height"))
    size = (width, height) if width and height and width > 0 and height > 0 else None
    return ImageEntry(_text(row.get("file_name")).replace("\\", "/").strip(), size, _text(row.get("dataset")),
                      _text(row.get("group")), _is_set(row.get("near_duplicate_of_test")))


def _entry(row: dict[str, Any]) -> Entry:
    box = row.get("bbox")
    numbers = [_number(v) for v in box] if isinstance(box, list) and len(box) == 4 else []
    usable = len(numbers) == 4 and None not in numbers and numbers[2] > 0 and numbers[3] > 0
    area = _number(row.get("area"))
    return Entry(row.get("id"), _key(row.get("image_id")), _key(row.get("category_id")), row.get("keypoints"),
                 area if area and area > 0 else None, tuple(numbers) if usable else None, _is_set(row.get("iscrowd")),
                 bool(row["eval_ok"]) if "eval_ok" in row else None, _text(row.get("group")))


def choose_category(file: CocoFile, wanted: tuple[str, ...]) -> Category:
    """The category whose people are meant: it shares most names with ``wanted``, is a person, has most annotations."""
    counts = collections.Counter(entry.category for entry in file.entries if entry.keypoints)
    shared = set(wanted)

    def rank(pair: tuple[str, Category]) -> tuple[int, bool, int]:
        key, category = pair
        return len(shared & set(category.keypoints)), category.name.strip().lower() == "person", counts[key]

    return max(((k, c) for k, c in file.categories.items() if c.keypoints), key=rank)[1]
