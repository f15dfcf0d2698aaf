"""``blazepose data label``: what people did not label in photographs, by a trained net, once."""

import dataclasses
import hashlib
import json
import os
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from blazepose_jax.cli.data_prepare import source_of
from blazepose_jax.cli.label_journal import Journal
from blazepose_jax.cli.options import locate
from blazepose_jax.cli.people_lists import choose_people, whole_pictures
from blazepose_jax.cli.progress import progress
from blazepose_jax.data.annotations import (
    Annotations,
    Person,
    describe_dropped,
    labelled_by_hand,
)
from blazepose_jax.data.coco import read_annotations
from blazepose_jax.data.coco_file import JsonObject
from blazepose_jax.data.coco_writer import annotation_row, box_row, category_row
from blazepose_jax.data.encode_scenes import boxes_by_image, by_image
from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.inference.labelling import Labeller, label_picture, load_labeller
from blazepose_jax.io.files import OutputFolder, write_text
from blazepose_jax.io.folders import list_pictures
from blazepose_jax.io.frames import to_frame
from blazepose_jax.io.images import read_image
from blazepose_jax.skeleton import BLAZEPOSE

TEACHER = "released-heavy"
FORMAT = "blazepose_jax labels 1"
NO_FINDER = "none"


@dataclasses.dataclass(frozen=True)
class Photographs:
    """What is to be labelled.

    Attributes:
      people: by their photographs; nobody where nobody labelled a photograph.
      names: of their keypoints: BlazePose's 33, then others of the source.
      folder: that the photographs' names start in.
      taken: ids of annotations that the source has, those of people left out among them.
      corrected: data sets whose labels by hand give way to the teacher's.
      others: (4,) xyxy boxes in px of whom no more is known, by photograph.
    """

    people: Mapping[Path, list[Person]]
    names: tuple[str, ...]
    folder: Path
    taken: frozenset[str]
    corrected: frozenset[str] = frozenset()
    others: Mapping[Path, list[np.ndarray]] = dataclasses.field(default_factory=dict)


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
    # Whom only a net has labelled so far is looked for anew.
    data = dataclasses.replace(data, people=tuple(filter(labelled_by_hand, data.people)))
    print("\n".join(said), end="\n" if said else "")
    more = tuple(name for name in data.names if name not in BLAZEPOSE.keypoints)
    data = in_order(data, BLAZEPOSE.keypoints + more)
    folder = Path(args.images) if args.images else source if source.is_dir() else source.parent
    corrected = data_sets_of(data, args.correct)
    people, others = by_image(data.people), boxes_by_image(data)
    return Photographs(people, data.names, folder, frozenset(ids), corrected, others)


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

    def widened(person: Person) -> Person:
        points, flags = np.zeros((len(names), 2), np.float32), np.zeros(len(names), np.int32)
        points[here], flags[here] = person.keypoints[there], person.visibility_flags[there]
        return dataclasses.replace(person, keypoints=points, visibility_flags=flags)

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
    """sha256 of the photographs' names and of the labels that they have."""
    digest = hashlib.sha256()
    for path, people in photographs.people.items():
        digest.update(os.fsencode(path.name))
        for person in people:
            digest.update(f"{person.id} {person.data_set}".encode())
            digest.update(np.asarray(person.keypoints, np.float32).tobytes())
            digest.update(np.asarray(person.visibility_flags, np.int32).tobytes())
        for box in photographs.others.get(path, []):
            digest.update(np.asarray(box, np.float32).tobytes())
    return digest.hexdigest()


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
    corrected = photographs.corrected
    labels, others = label_picture(labeller, to_frame(image), people, photographs.names, corrected)
    rows = [
        annotation_row(
            person.id,
            0,
            given_way(person) if found and person.data_set in corrected else person,
            found,
        )
        for person, found in zip(people, labels, strict=True)
    ]
    rows += [annotation_row(-1, 0, None, found) for found in others]
    rows += [box_row(-1, 0, box) for box in photographs.others.get(path, [])]
    height, width = image.shape[:2]
    data_set = people[0].data_set if people else ""
    size = {"width": width, "height": height, **({"dataset": data_set} if data_set else {})}
    return {**size, "annotations": rows}


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
    others, boxes = 0, 0
    for number, row in enumerate(rows, 1):
        found = row.pop("annotations")
        images.append({"id": number, **row})
        assert isinstance(found, list)
        for annotation in found:
            if annotation["id"] < 0:
                others += "teacher" in annotation
                boxes += "teacher" not in annotation
                annotation["id"] = following + others + boxes
            annotations.append({**annotation, "image_id": number})
    file = {
        "info": made_by,
        "images": images,
        "annotations": annotations,
        "categories": [category_row(photographs.names)],
    }
    folder = OutputFolder(output)
    try:
        write_text(folder.part / "annotations.json", json.dumps(file) + "\n")
        folder.finish()
    finally:
        folder.discard()
    return len(annotations) - others - boxes, others


SOURCES = {"coco_keypoints": annotated_photographs, "photographs": plain_photographs}
