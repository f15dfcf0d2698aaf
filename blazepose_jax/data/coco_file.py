"""COCO keypoints files in one normal form, whatever tool wrote them.

Ids become text; what should be a number is one, or None; what should be text is text, or "".
"""

import collections
import dataclasses
import math
from pathlib import Path

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.json_files import read_json
from blazepose_jax.sides import recognised_pairs
from blazepose_jax.skeleton import Skeleton

LISTS = ("images", "annotations", "categories")

# An object of a parsed JSON file: nothing is known of its values.
JsonObject = dict[str, object]


@dataclasses.dataclass(frozen=True)
class Category:
    """A category of annotations.

    Attributes:
      name: like ``person``.
      keypoints: their names; empty where the category has none.
      pairs: (left, right) names by the file's flip_indices; None where it has none, or they swap
        nothing.
      bones: pairs of names by the file's skeleton; those that are no pair of its points are left
        out.
    """

    name: str
    keypoints: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...] | None
    bones: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class ImageEntry:
    """A picture as the file describes it.

    Attributes:
      file_name: with forward slashes; "" where it has none.
      size: width and height, or None.
      data_set: where the picture comes from; "" where the file does not say.
      group: of pictures that belong together, such as a film's; training and validation never
        share one.
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
      keypoints: as written, unchecked.
      area: px², or None.
      box: x, y, width, height in px, or None where it has no usable one.
      is_crowd: it stands for several people.
      eval_ok: it is marked as fit for a single-person score; None where it is not marked.
      group: as of ImageEntry.
      is_box: nobody labelled keypoints, which COCO writes as num_keypoints = 0 and zeros for all
        points.
      teacher: the annotation itself, unchecked, where a net has labelled it too
        (``coco_teacher``); else None.
      knows_occlusion: false where it is marked that a flag of 2 says no more than labelled.
    """

    id: object
    image: str | None
    category: str | None
    keypoints: object
    area: float | None
    box: tuple[float, float, float, float] | None
    is_crowd: bool
    eval_ok: bool | None
    group: str
    is_box: bool
    teacher: JsonObject | None = None
    knows_occlusion: bool = True


@dataclasses.dataclass(frozen=True)
class CocoFile:
    """An annotation file.

    Attributes:
      path: of the file.
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
    """Read a file and bring it to the normal form.

    Raises:
      BlazePoseError: no JSON, not COCO's layout, or no category with keypoints.
    """
    data = read_json(path)
    if not isinstance(data, dict) or not all(isinstance(data.get(k), list) for k in LISTS):
        raise BlazePoseError(
            f"{path} lacks the lists images, annotations and categories: it must be in COCO's"
            " format"
        )
    rows = {name: [row for row in data[name] if isinstance(row, dict)] for name in LISTS}
    categories: dict[str, Category] = {}
    for row in rows["categories"]:
        key, category = _key(row.get("id")) or "", _category(row)
        if category.keypoints or key not in categories:
            categories[key] = category
    if not any(category.keypoints for category in categories.values()):
        raise BlazePoseError(
            f"{path} has no category with keypoints: COCO's person_keypoints files have one"
        )
    images: dict[str, ImageEntry] = {}
    ambiguous = set()
    for row in rows["images"]:
        key, image = _key(row.get("id")), _image(row)
        if key is not None:
            first = images.get(key, image)
            if (first.file_name, first.size) != (image.file_name, image.size):
                ambiguous.add(key)
            images[key] = image
    return CocoFile(
        path,
        categories,
        images,
        frozenset(ambiguous),
        tuple(_entry(row) for row in rows["annotations"]),
    )


def _key(value: object) -> str | None:
    """An id as text; 7, 7.0 and "7" are the same."""
    if value is None or isinstance(value, bool | list | dict):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def number_of(value: object) -> float | None:
    """A finite number, or a text of one; else None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _is_set(value: object) -> bool:
    return (
        value is True
        or number_of(value) not in (None, 0.0)
        or str(value).strip().lower() in ("true", "yes")
    )


def _is_duplicate(value: object) -> bool:
    """A mark, or the names of the test images that are meant."""
    return bool(value) if isinstance(value, list) else _is_set(value)


def _category(row: JsonObject) -> Category:
    names = row.get("keypoints")
    if (
        not isinstance(names, list)
        or not all(isinstance(n, str) for n in names)
        or len(set(names)) != len(names)
    ):
        return Category(_text(row.get("name")), (), None)
    return Category(
        _text(row.get("name")),
        tuple(names),
        _flip_pairs(row.get("flip_indices"), tuple(names)),
        _bones(row.get("skeleton"), tuple(names)),
    )


def _bones(skeleton: object, names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Names that are linked. COCO counts from 1; a file with a 0 counts from 0."""
    links = [
        (link[0], link[1])
        for link in (skeleton if isinstance(skeleton, list) else [])
        if isinstance(link, list)
        and len(link) == 2
        and all(isinstance(i, int) and not isinstance(i, bool) for i in link)
    ]
    first = 0 if any(0 in link for link in links) else 1
    found = [(a - first, b - first) for a, b in links]
    return tuple(
        (names[a], names[b])
        for a, b in found
        if a != b and all(0 <= i < len(names) for i in (a, b))
    )


def _flip_pairs(flip: object, names: tuple[str, ...]) -> tuple[tuple[str, str], ...] | None:
    """Names that swap; None unless the indices are a swap of some of them."""
    count = len(names)
    if (
        not isinstance(flip, list)
        or len(flip) != count
        or not all(isinstance(i, int) and 0 <= i < count for i in flip)
        or any(flip[flip[i]] != i for i in range(count))
    ):
        return None
    left = {a for a, _ in recognised_pairs(names)[0]}
    pairs = [(names[i], names[j]) for i, j in enumerate(flip) if i < j]
    return tuple((b, a) if b in left else (a, b) for a, b in pairs) or None


def _image(row: JsonObject) -> ImageEntry:
    width, height = number_of(row.get("width")), number_of(row.get("height"))
    size = (width, height) if width and height and width > 0 and height > 0 else None
    return ImageEntry(
        _text(row.get("file_name")).replace("\\", "/").strip(),
        size,
        _text(row.get("dataset")),
        _text(row.get("group")),
        _is_duplicate(row.get("near_duplicate_of_test")),
    )


def _entry(row: JsonObject) -> Entry:
    area = number_of(row.get("area"))
    return Entry(
        row.get("id"),
        _key(row.get("image_id")),
        _key(row.get("category_id")),
        row.get("keypoints"),
        area if area and area > 0 else None,
        _box(row.get("bbox")),
        _is_set(row.get("iscrowd")),
        None if row.get("eval_ok") is None else _is_set(row["eval_ok"]),
        _text(row.get("group")),
        number_of(row.get("num_keypoints")) == 0 and not _any_flag(row.get("keypoints")),
        row if "teacher" in row else None,
        row.get("knows_occlusion") is not False,
    )


def _any_flag(keypoints: object) -> bool:
    """Whether anything is labelled, as far as a flat list tells."""
    return not isinstance(keypoints, list) or any(number_of(v) != 0 for v in keypoints[2::3])


def _box(value: object) -> tuple[float, float, float, float] | None:
    if not isinstance(value, list) or len(value) != 4:
        return None
    numbers = [number for number in map(number_of, value) if number is not None]
    if len(numbers) < 4 or numbers[2] <= 0 or numbers[3] <= 0:
        return None
    return numbers[0], numbers[1], numbers[2], numbers[3]


def choose_category(file: CocoFile, skeleton: Skeleton) -> Category:
    """The category to read.

    Of those with keypoints: annotated ones first, then by how many points they share with the
    skeleton, whatever both call them, then one called "person", then by number of annotations.
    """
    counts = collections.Counter(entry.category for entry in file.entries if entry.keypoints)
    own = set(skeleton.keypoints)

    def rank(pair: tuple[str, Category]) -> tuple[bool, int, bool, int]:
        key, category = pair
        person = category.name.strip().lower() == "person"
        shared = own & set(skeleton.names_of(category.keypoints))
        return counts[key] > 0, len(shared), person, counts[key]

    return max(((k, c) for k, c in file.categories.items() if c.keypoints), key=rank)[1]
