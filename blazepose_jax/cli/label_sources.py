"""What ``data label`` looks at: photographs, and the labels by hand that they have."""

import dataclasses
import hashlib
import os
from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path

import jax
import numpy as np

from blazepose_jax.cli.data_prepare import source_of
from blazepose_jax.cli.people_lists import choose_people, whole_pictures
from blazepose_jax.data.annotations import (
    Annotations,
    Person,
    describe_dropped,
    labelled_box,
    labelled_by_hand,
)
from blazepose_jax.data.coco import read_annotations
from blazepose_jax.data.encode_scenes import boxes_by_image, by_image
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.folders import list_pictures
from blazepose_jax.skeleton import BLAZEPOSE

NO_FINDER = "none"
# Of a teacher's labels, a row a point.
BY_POINT = ("keypoints", "visibility", "confidence", "depth", "world")


@dataclasses.dataclass(frozen=True)
class Photographs:
    """What is to be labelled.

    Attributes:
      people: by their photographs, those whom a net alone labelled among them; nobody where nobody
        labelled a photograph.
      names: of their keypoints: BlazePose's 33, then others of the source.
      folder: that the photographs' names start in.
      taken: ids of annotations that the source has, those of people left out among them.
      corrected: data sets whose labels by hand give way to the teacher's.
      others: (4,) xyxy boxes in px of whom no more is known, by photograph.
      pairs: (left, right) names by the source's flip_indices, or None.
    """

    people: Mapping[Path, list[Person]]
    names: tuple[str, ...]
    folder: Path
    taken: frozenset[str]
    corrected: frozenset[str] = frozenset()
    others: Mapping[Path, list[np.ndarray]] = dataclasses.field(default_factory=dict)
    pairs: tuple[tuple[str, str], ...] | None = None


def annotated_photographs(args: Namespace) -> Photographs:
    """Photographs with annotations in COCO's format, which are kept."""
    source = source_of(args)
    data = read_annotations(source, strict=args.strict, images=args.images)
    ids = {person.label for person in data.people}
    ids |= {str(i) for dropped in data.dropped.values() for i in dropped}
    if data.dropped:
        print(describe_dropped(data.dropped))
    everybody, (data, said) = data, choose_people(data, args)
    if args.finder != NO_FINDER:  # which would find whoever is left out, under another id
        data, more_said = whole_pictures(data, everybody)
        said += more_said
    print("\n".join(said), end="\n" if said else "")
    more = tuple(name for name in data.names if name not in BLAZEPOSE.keypoints)
    data = in_order(data, BLAZEPOSE.keypoints + more)
    folder = Path(args.images) if args.images else source if source.is_dir() else source.parent
    corrected = data_sets_of(data, args.correct)
    people, others = by_image(data.people), boxes_by_image(data)
    for image, box in left_out(everybody, data):
        if image in people:
            others.setdefault(image, []).append(box)
    return Photographs(people, data.names, folder, frozenset(ids), corrected, others, data.pairs)


def left_out(everybody: Annotations, data: Annotations) -> Iterator[tuple[Path, np.ndarray]]:
    """Pictures and boxes of people who are not in ``data``: they are no background."""
    chosen = {person.id for person in data.people}
    for person in everybody.people:
        if person.id not in chosen:
            labels = labelled_box(person) if labelled_by_hand(person) else None
            box = labels if person.box_xyxy is None else person.box_xyxy
            if box is not None:
                yield person.image, box


def data_sets_of(data: Annotations, listed: str | None) -> frozenset[str]:
    """The data sets that ``--correct`` names.

    Raises:
      BlazePoseError: one that no photograph is of.
    """
    wanted = frozenset(filter(None, (listed or "").split(",")))
    known = {person.data_set for person in data.people} - {""}
    if unknown := wanted - known:
        raise BlazePoseError(
            f"--correct {sorted(unknown)[0]!r}: no photograph is of that data set; those of the"
            f" file (key dataset of its images): {', '.join(sorted(known)) or 'none'}"
        )
    return wanted


def in_order(data: Annotations, names: tuple[str, ...]) -> Annotations:
    """Annotations with these keypoints, unlabelled where the data has none."""
    rows = [data.names.index(name) if name in data.names else None for name in names]
    here = np.array([row is not None for row in rows])
    there = [row for row in rows if row is not None]

    def placed(values: np.ndarray) -> np.ndarray:
        found = np.zeros((len(names), *values.shape[1:]), values.dtype)
        found[here] = values[there]
        return found

    def widened(person: Person) -> Person:
        teacher = person.teacher
        if teacher is not None:
            new = {field: placed(getattr(teacher, field)) for field in BY_POINT}
            teacher = dataclasses.replace(teacher, **new)
        return dataclasses.replace(
            person,
            keypoints=placed(person.keypoints),
            visibility_flags=placed(person.visibility_flags),
            teacher=teacher,
        )

    people = tuple(map(widened, data.people))
    return dataclasses.replace(data, names=names, people=people)


def plain_photographs(args: Namespace) -> Photographs:
    """A folder of pictures that nobody labelled."""
    folder = source_of(args)
    if not folder.is_dir():
        raise BlazePoseError(f"source {str(folder)!r} is no folder: name one with photographs")
    found: dict[Path, list[Person]] = {path: [] for path in list_pictures(folder)}
    return Photographs(found, BLAZEPOSE.keypoints, folder, frozenset())


def content_hash(photographs: Photographs) -> str:
    """sha256 of the photographs' names and of all that is known of the people in them."""
    digest = hashlib.sha256(repr(photographs.pairs).encode())
    for path, people in photographs.people.items():
        digest.update(os.fsencode(path.name))
        for person in people:
            marks = person.id, person.data_set, person.group, person.eval_ok, person.knows_occlusion
            digest.update(repr((*marks, float(person.area))).encode())
            teacher = person.teacher
            known = [person.keypoints, person.visibility_flags]
            known += [] if person.box_xyxy is None else [person.box_xyxy]
            if teacher is not None:
                known += [getattr(teacher, field) for field in BY_POINT]
                known += [*jax.tree.leaves(teacher.roi), teacher.quality]
            for values in known:
                digest.update(np.asarray(values, np.float32).tobytes())
        for box in photographs.others.get(path, []):
            digest.update(np.asarray(box, np.float32).tobytes())
    return digest.hexdigest()


SOURCES = {"coco_keypoints": annotated_photographs, "photographs": plain_photographs}
