"""A folder of COCO keypoint annotations comes in, its usable people leave, and a count of what was dropped and why."""

import collections
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.geometry import rois
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton
from blazepose_jax.structs import ROI

MAX_LISTED = 10


@dataclasses.dataclass(frozen=True)
class Person:
    """One annotated person.

    Attributes:
      id: of the annotation.
      image: path of the photograph.
      keypoints: (n, 2) float32 image px; (0, 0) where unlabelled.
      flags: (n,) 2 visible, 1 labelled but occluded, 0 unlabelled.
      area: px², for OKS.
      data_set: what the image says it comes from, or "".
    """

    id: int
    image: Path
    keypoints: np.ndarray
    flags: np.ndarray
    area: float
    data_set: str


@dataclasses.dataclass(frozen=True)
class Annotations:
    """People of one folder.

    Attributes:
      names: of the n keypoints, as the file says.
      people: the usable ones, in the order of the file.
      dropped: {reason: ids}.
    """

    names: tuple[str, ...]
    people: tuple[Person, ...]
    dropped: dict[str, list[Any]]


def describe_dropped(dropped: dict[str, list[Any]]) -> str:
    """One line a reason, with the first ids."""
    lines = []
    for reason, ids in dropped.items():
        shown = ", ".join(str(i) for i in ids[:MAX_LISTED]) + (", ..." if len(ids) > MAX_LISTED else "")
        lines.append(f"{len(ids)} dropped, {reason}: {shown}")
    return "\n".join(lines) or "nobody dropped"


def read_annotations(folder: str | Path, *, strict: bool = False, evaluation: bool = False) -> Annotations:
    """Read ``annotations.json`` of a folder, or a JSON file whose images lie next to it.

    Args:
      folder: a folder or a file.
      strict: any dropped person is an error.
      evaluation: where annotations carry ``eval_ok``, only those count.

    Returns:
      Annotations.

    Raises:
      BlazePoseError: no such file, not COCO keypoints, nobody usable; with ``strict`` anything that was dropped.
    """
    path = Path(folder)
    path = path / "annotations.json" if path.is_dir() else path
    if not path.is_file():
        raise BlazePoseError(f"{str(path)!r} does not exist: give a folder with annotations.json in COCO's format")
    data = _load(path)
    names, images = _read_head(data, path)
    flagged = evaluation and any("eval_ok" in a for a in data["annotations"])
    dropped: dict[str, list[Any]] = collections.defaultdict(list)
    people, seen, missing = [], set(), {}
    for annotation in data["annotations"]:
        reason, person = _read_person(annotation, names, images, path.parent, seen, missing)
        if reason is None and flagged and not annotation.get("eval_ok"):
            reason = "not marked eval_ok"
        if reason is None and person is not None:
            people.append(person)
        else:
            dropped[reason or "unreadable"].append(annotation.get("id"))
    found = Annotations(names, tuple(people), dict(dropped))
    serious = {reason: ids for reason, ids in dropped.items() if reason != "not marked eval_ok"}
    if not people or (strict and serious):
        said = "; ".join(f"{len(ids)} {reason}" for reason, ids in dropped.items()) or "there are none"
        rule = "strict reading allows none to be dropped" if people else "at least one usable person is needed"
        raise BlazePoseError(f"{path}: {said}; {rule}: repair the file" + (" or leave out --strict" if people else ""))
    return found


def _load(path: Path) -> dict[str, Any]:
    try:
        # NaN is no JSON, but Python writes it; such people are dropped one by one, not the file.
        data = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BlazePoseError(f"{path} is no JSON ({error}): export it again") from error
    if not isinstance(data, dict) or not all(isinstance(data.get(k), list) for k in
                                             ("images", "annotations", "categories")):
        raise BlazePoseError(f"{path} lacks the lists images, annotations and categories: it must be in COCO's format")
    return data


def _read_head(data: dict[str, Any], path: Path) -> tuple[tuple[str, ...], dict[Any, dict[str, Any]]]:
    category = next((c for c in data["categories"] if isinstance(c, dict) and c.get("keypoints")), None)
    if category is None:
        raise BlazePoseError(f"{path} has no category with keypoints: COCO's person_keypoints files have one")
    return tuple(category["keypoints"]), {image["id"]: image for image in data["images"] if "id" in image}


def _read_person(annotation: dict[str, Any], names: tuple[str, ...], images: dict[Any, dict[str, Any]], root: Path,
                 seen: set[Any], missing: dict[Path, bool]) -> tuple[str | None, Person | None]:
    image = images.get(annotation.get("image_id"))
    if annotation.get("id") in seen:
        return "duplicate id", None
    seen.add(annotation.get("id"))
    if image is None or "file_name" not in image:
        return "image unknown", None
    if image.get("near_duplicate_of_test"):
        return "near duplicate of a test image", None
    file = root / image["file_name"]
    if file not in missing:
        missing[file] = not file.is_file()
    if missing[file]:
        return "image file missing", None
    if annotation.get("iscrowd"):
        return "crowd", None
    try:
        rows = np.asarray(annotation.get("keypoints", []), np.float64)
    except (TypeError, ValueError):
        return "keypoints are no numbers", None
    if rows.size != 3 * len(names):
        return f"not {3 * len(names)} keypoint numbers", None
    rows = rows.reshape(-1, 3)
    if not np.isfinite(rows).all():
        return "NaN or infinite coordinates", None
    labelled = rows[:, 2] > 0
    if not labelled.any():
        return "no labelled keypoint", None
    if (rows[labelled, :2] < -max(image.get("width", 1e9), image.get("height", 1e9))).any():
        return "coordinates far outside", None
    box = annotation.get("bbox")
    if box is not None and not _box_meets_image(box, image):
        return "box outside of the image", None
    area = float(annotation.get("area") or (box[2] * box[3] if box else 0) or _extent(rows[labelled]))
    return None, Person(annotation["id"], file, rows[:, :2].astype(np.float32), rows[:, 2].astype(np.int32), area,
                        str(image.get("dataset", "")))


def _box_meets_image(box: Any, image: dict[str, Any]) -> bool:
    try:
        x, y, w, h = (float(v) for v in box)
    except (TypeError, ValueError):
        return False
    width, height = image.get("width", math.inf), image.get("height", math.inf)
    return all(map(math.isfinite, (x, y, w, h))) and w > 0 and h > 0 and x < width and y < height \
        and x + w > 0 and y + h > 0


def _extent(rows: np.ndarray) -> float:
    return float(np.prod(np.ptp(rows[:, :2], axis=0)))


def true_roi(person: Person, names: tuple[str, ...], skeleton: Skeleton = BLAZEPOSE) -> ROI | None:
    """The ROI that the labels tell: centre points (mid-hip), the farthest labelled point, up points (mid-shoulder).

    Args:
      person: the annotation.
      names: of its keypoints.
      skeleton: which points are its centre and up points.

    Returns:
      ROI of numpy leaves; None where a centre or up point is unlabelled.
    """
    index = {name: i for i, name in enumerate(names)}
    needed = [index[name] for name in skeleton.center + skeleton.up if name in index]
    if len(needed) < len(skeleton.center + skeleton.up) or (person.flags[needed] == 0).any():
        return None
    center = person.keypoints[[index[n] for n in skeleton.center]].mean(0)
    up = person.keypoints[[index[n] for n in skeleton.up]].mean(0) - center
    labelled = person.keypoints[person.flags > 0]
    radius = np.linalg.norm(labelled - center, axis=-1).max()
    length = np.linalg.norm(up)
    if not (radius > 0 and length > 0):
        return None
    circle = center + radius * up / length
    return jax.tree.map(np.asarray, rois.from_alignment(jnp.asarray(center), jnp.asarray(circle)))
