"""``blazepose data label``: what people did not label in photographs, by a trained net, once."""

import dataclasses
import json
import os
from argparse import Namespace
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from blazepose_jax.cli.label_journal import Journal
from blazepose_jax.cli.label_sources import NO_FINDER, SOURCES, Photographs, content_hash
from blazepose_jax.cli.options import locate
from blazepose_jax.cli.progress import progress
from blazepose_jax.data.annotations import Person, TeacherLabels, labelled_by_hand
from blazepose_jax.data.coco_file import JsonObject
from blazepose_jax.data.coco_writer import annotation_row, box_row, category_row
from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.geometry.boxes import iou
from blazepose_jax.inference.labelling import Labeller, label_picture, load_labeller
from blazepose_jax.io.files import OutputFolder, write_text
from blazepose_jax.io.frames import to_frame
from blazepose_jax.io.images import read_image
from blazepose_jax.skeleton import BLAZEPOSE

TEACHER = "released-heavy"
FORMAT = "blazepose_jax labels 2"
CLAIMS = 0.4  # IoU from which a box of whom no more is known is that of somebody who was found


def label(args: Namespace) -> None:
    """``blazepose data label coco_keypoints|photographs --source DIR --output DIR``."""
    check_name(args.name, SOURCES, "kind of photographs to label")
    if args.skeleton != "blazepose":
        raise BlazePoseError(
            f"--skeleton {args.skeleton!r}: a teacher labels BlazePose's 33 points; points of your"
            " own stay in the labels as they are"
        )
    if args.finder == NO_FINDER and args.name == "photographs":
        raise BlazePoseError(
            "--finder none looks only where people are labelled by hand, and photographs of a plain"
            " folder have nobody: leave it out"
        )
    if args.correct and args.name == "photographs":
        raise BlazePoseError(
            "--correct is for labels by hand, and photographs of a plain folder have none: leave it"
            " out"
        )
    output = Path(args.output)
    if output.exists():
        raise BlazePoseError(f"output {args.output!r} exists: name a new folder")
    output.parent.mkdir(parents=True, exist_ok=True)
    photographs = SOURCES[args.name](args)
    teacher = args.teacher or TEACHER
    made_by = {
        "format": FORMAT,
        "source": Path(args.source).name,
        "teacher": teacher,
        "finder": args.finder,
        "runtime": args.runtime,
        "photographs": len(photographs.people),
        "names": list(photographs.names),
        "corrected": sorted(photographs.corrected),
        "sha256": content_hash(photographs),
    }
    with Journal(output.with_name(f"{output.name}.journal"), made_by) as journal:
        if journal.done:
            count = len(photographs.people)
            print(f"going on with {journal.path}: {len(journal.done)} of {count} photographs")
        finder = None if args.finder == NO_FINDER else locate(args.finder)
        labeller = load_labeller(locate(teacher), finder, args.runtime)
        broken = label_all(labeller, photographs, journal)
        rows = journal.rows()
        people, others = write_labels(rows, photographs, made_by, output)
        journal.path.unlink()
    if broken:
        print(
            f"{len(broken)} photographs cannot be read, and nobody in them is in the labels:"
            f" {', '.join(broken[:10])}"
        )
    print(
        f"labelled {len(rows)} photographs: {people} people with labels by hand,"
        f" {others} others\nwrote {args.output}/annotations.json; the pictures stay in"
        f" {photographs.folder}"
    )


def label_all(labeller: Labeller, photographs: Photographs, journal: Journal) -> list[str]:
    """Label photographs, and append each to the journal.

    Returns:
      Names of those that cannot be read; a run that goes on tries them again.
    """
    # Links keep their names: what they lead to may lie outside of the folder.
    folder, broken = os.path.abspath(photographs.folder), list[str]()
    todo = photographs.people.items()
    for path, people in progress(todo, len(todo), "label", "photographs"):
        name = Path(os.path.relpath(os.path.abspath(path), folder)).as_posix()
        if name in journal.done:
            continue
        row = label_one(labeller, path, people, photographs)
        if row is None:
            broken.append(name)
        else:
            journal.append(name, row)
    return broken


def label_one(
    labeller: Labeller, path: Path, people: list[Person], photographs: Photographs
) -> JsonObject | None:
    """The journal's row of one photograph, without its name; None if it cannot be read."""
    try:
        image = read_image(path)
    except BlazePoseError:
        return None
    corrected, by_hand = photographs.corrected, list(filter(labelled_by_hand, people))
    labels, others = label_picture(labeller, to_frame(image), by_hand, photographs.names, corrected)
    rows = [
        annotation_row(
            person.id,
            0,
            given_way(person) if found and person.data_set in corrected else person,
            found,
        )
        for person, found in zip(by_hand, labels, strict=True)
    ]
    if labeller.finder is None:  # whom only a net has labelled so far is not looked for anew
        by_net = [person for person in people if not labelled_by_hand(person)]
        rows += [annotation_row(person.id, 0, person, person.teacher) for person in by_net]
    rows += [annotation_row(-1, 0, None, found) for found in others]
    boxes = unclaimed(photographs.others.get(path, []), others)
    rows += [box_row(-1, 0, box) for box in boxes]
    height, width = image.shape[:2]
    data_set = people[0].data_set if people else ""
    size = {"width": width, "height": height, **({"dataset": data_set} if data_set else {})}
    return {**size, "annotations": rows}


def unclaimed(boxes: list[np.ndarray], found: list[TeacherLabels]) -> list[np.ndarray]:
    """Boxes of people without those of people who were found: each takes the one it fits best."""
    left = list(boxes)
    for labels in found:
        points = labels.keypoints[labels.confidence > 0]
        if not (left and len(points)):
            continue
        around = jnp.asarray(np.concatenate([points.min(0), points.max(0)]))
        overlaps = np.asarray(iou(around, jnp.asarray(np.stack(left))))
        if overlaps.max() >= CLAIMS:
            left.pop(int(overlaps.argmax()))
    return left


def given_way(person: Person) -> Person:
    """A person without the labels by hand that a teacher's take the place of."""
    flags = np.where(
        np.arange(len(person.visibility_flags)) < len(BLAZEPOSE.keypoints),
        0,
        person.visibility_flags,
    )
    return dataclasses.replace(person, visibility_flags=flags)


def write_labels(
    rows: list[JsonObject], photographs: Photographs, made_by: JsonObject, output: Path
) -> tuple[int, int]:
    """Write the folder with ``annotations.json``.

    Returns:
      How many people have labels by hand, and how many others there are.
    """
    images, annotations = [], []
    numbers = [int(i) for i in photographs.taken if i.isascii() and i.isdecimal()]
    following = max(
        [0, *numbers, *(p.id for people in photographs.people.values() for p in people)]
    )
    hands = {p.id for people in photographs.people.values() for p in people if labelled_by_hand(p)}
    new, boxes = 0, 0
    for number, row in enumerate(rows, 1):
        found = row.pop("annotations")
        images.append({"id": number, **row})
        assert isinstance(found, list)
        for annotation in found:
            if annotation["id"] < 0:
                new += 1
                boxes += "teacher" not in annotation
                annotation["id"] = following + new
            annotations.append({**annotation, "image_id": number})
    file = {
        "info": made_by,
        "images": images,
        "annotations": annotations,
        "categories": [category_row(photographs.names, photographs.pairs)],
    }
    folder = OutputFolder(output)
    try:
        write_text(folder.part / "annotations.json", json.dumps(file) + "\n")
        folder.finish()
    finally:
        folder.discard()
    by_hand = sum(annotation["id"] in hands for annotation in annotations)
    return by_hand, len(annotations) - by_hand - boxes
