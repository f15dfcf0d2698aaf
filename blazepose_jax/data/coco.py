"""Annotations of COCO keypoints files."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from blazepose_jax.data.annotations import (
    Annotations,
    Person,
    in_names_of,
    labelled_by_hand,
)
from blazepose_jax.data.coco_file import choose_category, read_coco_file
from blazepose_jax.data.coco_people import PeopleReader
from blazepose_jax.data.coco_pictures import Pictures, annotation_file
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton

NOT_EVAL_OK = "not marked eval_ok"
BY_NET = "labelled by a net alone"
# Reasons that are no fault of the file; they are allowed even under --strict.
HARMLESS = (
    NOT_EVAL_OK,
    BY_NET,
    "a box without keypoints",
    "category unknown, without keypoints",
    "of a category without keypoints",
    "of another category",
)
MAX_ID = 2**31 - 1  # ids of records are int32


def read_annotations(
    folder: str | Path,
    *,
    strict: bool = False,
    evaluation: bool = False,
    images: str | Path | None = None,
    skeleton: Skeleton = BLAZEPOSE,
) -> Annotations:
    """Read the annotations of a folder.

    They are in its ``annotations.json``, in COCO's own layout, or in its only JSON file.

    Args:
      folder: a folder or a file.
      strict: any dropped person is an error.
      evaluation: where annotations carry ``eval_ok``, only those count.
      images: where the pictures lie; by default beside the file, in ``images`` there, or as COCO
        lays them out. What the file names outside of these is read only if it lies in here.
      skeleton: whose names the file's points get where they are the same points of the body, and
        whose people are used where the file has several categories with keypoints.

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
    category = choose_category(file, skeleton)
    reader = PeopleReader(file, category, Pictures(file, images))
    flagged = evaluation and any(entry.eval_ok is not None for entry in file.entries)
    for entry in file.entries:
        reader.add(entry, NOT_EVAL_OK if flagged and not entry.eval_ok else None)
    if evaluation:
        reader.drop(BY_NET, lambda person: not labelled_by_hand(person))
    _check_usable(path, reader, strict)
    found = Annotations(
        category.keypoints,
        _numbered(reader.people),
        dict(reader.dropped),
        dict(reader.changed),
        category.pairs,
        path,
        others=tuple(reader.others),
    )
    return in_names_of(found, skeleton)


def _check_usable(path: Path, reader: PeopleReader, strict: bool) -> None:
    """Raise where nobody is usable, or where strict reading forbids what was dropped."""
    faults = [reason for reason in reader.dropped if not reason.startswith(HARMLESS)]
    if reader.people and not (strict and faults):
        return
    counts = (
        "; ".join(f"{len(ids)} {reason}" for reason, ids in reader.dropped.items())
        or "there are none"
    )
    rule = (
        "strict reading allows none to be dropped"
        if reader.people
        else "at least one usable person is needed"
    )
    remedy = "repair the file" + (" or leave out --strict" if reader.people else "")
    raise BlazePoseError(f"{path}: {counts}; {rule}: {remedy}")


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
