"""``blazepose data prepare``: annotations, archives or rendered people to records."""

import dataclasses
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from blazepose_jax.cli.data_skeleton import check_names, load_skeleton, with_pairs_of
from blazepose_jax.cli.data_teacher import teacher_rois
from blazepose_jax.cli.options import locate
from blazepose_jax.cli.people_lists import choose_people, whole_pictures
from blazepose_jax.cli.progress import progress
from blazepose_jax.data.annotations import (
    Annotations,
    Reasons,
    describe_changed,
    describe_dropped,
    describe_renamed,
)
from blazepose_jax.data.backgrounds import read_backgrounds
from blazepose_jax.data.coco import read_annotations
from blazepose_jax.data.encode_people import encode_people
from blazepose_jax.data.encode_scenes import by_image, encode_scenes
from blazepose_jax.data.groups import group_people
from blazepose_jax.data.labels import Row
from blazepose_jax.data.lsp import read_lsp, unpack
from blazepose_jax.data.records import MAX_SIDE, write_records
from blazepose_jax.data.rendered import rendered_rows
from blazepose_jax.data.tfds_people import NOBODY, read_tfds
from blazepose_jax.data.tfds_source import parse_mapping
from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton

MIN_SIZE = 64  # px of a record


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Rows to write, and what is noted about them.

    Attributes:
      rows: made one by one, while they are written.
      skeleton: of the rows.
      source: name for records.json.
      dropped: complete after the last row.
      changed: what was read otherwise than it stands there.
      notes: further plain data for records.json.
    """

    rows: Iterator[Row]
    skeleton: Skeleton
    source: str
    dropped: Reasons = dataclasses.field(default_factory=dict)
    changed: Reasons = dataclasses.field(default_factory=dict)
    notes: dict[str, object] = dataclasses.field(default_factory=dict)


def prepare(args: Namespace) -> None:
    """``blazepose data prepare NAME --source DIR --output DIR``."""
    check_arguments(args)
    output = Path(args.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    skeleton = load_skeleton(args.skeleton)
    with TemporaryDirectory() as scratch:
        found = DATA_SETS[args.name](args, skeleton, Path(scratch))
        count = FORMATS[args.format](found, args, output)
    print(describe_dropped(found.dropped))
    if found.changed:
        print(describe_changed(found.changed))
    print(f"wrote {count} {'scenes' if args.scenes else 'people'} to {args.output}")


def check_arguments(args: Namespace) -> None:
    """Everything that can be said before the work starts.

    Raises:
      BlazePoseError: unknown names, an output that exists, options that exclude each other, a count
        or size that is too small.
    """
    check_name(args.name, DATA_SETS, "data set")
    check_name(args.format, FORMATS, "format")
    if Path(args.output).exists():
        raise BlazePoseError(f"output {args.output!r} exists: name a new folder")
    if args.scenes and (args.format != "records" or args.name == "rendered_people"):
        raise BlazePoseError(
            "--scenes makes records of photographs: leave out --format and name coco_keypoints"
            " or lsp"
        )
    if args.scenes and args.teacher:
        raise BlazePoseError(
            "--teacher finds the ROI of people who become records one by one, not in --scenes:"
            " label the photographs first (blazepose data label), which labels everybody"
        )
    if (args.name == "tfds") != (args.mapping is not None):
        raise BlazePoseError(
            "a data set of TFDS's and --mapping go together: say which features are what, like"
            " data prepare tfds --source DIR --mapping image=image,keypoints=points"
        )
    if args.name == "tfds" and args.format != "records":
        raise BlazePoseError("a data set of TFDS's becomes records: leave out --format")
    if args.count < 1 or not MIN_SIZE <= args.size <= MAX_SIDE:
        raise BlazePoseError(
            f"--count {args.count} and --size {args.size}: at least 1 person of {MIN_SIZE} to"
            f" {MAX_SIDE} px is needed"
        )
    if not 0 <= args.seed < 2**32:
        raise BlazePoseError(f"--seed is {args.seed}: it must be from 0 to {2**32 - 1}")


def prepare_coco(args: Namespace, skeleton: Skeleton, scratch: Path) -> Prepared:
    """People of a folder with annotations in COCO's format."""
    return annotated(args, skeleton, read_folder(args, skeleton))


def prepare_lsp(args: Namespace, skeleton: Skeleton, scratch: Path) -> Prepared:
    """People of LSP's archive, of its folder, or of a folder with annotations of LSP's people.

    Raises:
      BlazePoseError: bad data, or an option that the other kind of source has.
    """
    source = source_of(args)
    if (source / "annotations.json").is_file():
        if args.split != args.not_given["split"]:
            raise BlazePoseError(
                f"--split {args.split} is of LSP's archive, and {args.source!r} has an"
                " annotations.json, all of whose people are read: leave it out, or choose by --only"
            )
        return annotated(args, skeleton, read_folder(args, skeleton))
    if args.images is not None:
        raise BlazePoseError(
            "--images is of a folder with annotations.json, and LSP's pictures lie in images/"
            " beside joints.mat: leave it out"
        )
    data = read_lsp(unpack(source, scratch), args.split, skeleton)
    return annotated(args, skeleton, nobody_dropped(args, data))


def prepare_tfds(args: Namespace, skeleton: Skeleton, scratch: Path) -> Prepared:
    """People of any TFDS data set, whose features ``--mapping`` names."""
    mapping = parse_mapping(args.mapping)
    data = read_tfds(str(source_of(args)), args.split, mapping, skeleton, scratch)
    return annotated(args, skeleton, nobody_dropped(args, data))


def nobody_dropped(args: Namespace, data: Annotations) -> Annotations:
    """The people.

    Raises:
      BlazePoseError: somebody was dropped, which ``--strict`` does not allow.
    """
    faults = {reason: ids for reason, ids in data.dropped.items() if reason != NOBODY}
    if args.strict and faults:
        raise BlazePoseError(
            f"{args.source}: {'; '.join(describe_dropped(faults).splitlines())};"
            " strict reading allows none to be dropped: repair the data or leave out --strict"
        )
    return data


def prepare_rendered(args: Namespace, skeleton: Skeleton, scratch: Path) -> Prepared:
    """Rendered people, which have the 33 points whatever ``skeleton`` is."""
    folder = args.backgrounds
    pictures = None if folder is None else read_backgrounds(folder)
    behind = "" if folder is None else f", before pictures of {Path(folder).name}"
    rows = progress(
        rendered_rows(args.count, args.size, args.seed, pictures), args.count, args.name, "people"
    )
    return Prepared(rows, BLAZEPOSE, f"rendered, seed {args.seed}{behind}")


def source_of(args: Namespace) -> Path:
    """The path of ``--source``.

    Raises:
      BlazePoseError: it was left out.
    """
    if args.source is None:
        raise BlazePoseError(
            f"data {args.action} needs --source: name a folder with annotations.json, or of"
            " photographs, or LSP's archive"
        )
    return Path(args.source)


def read_folder(args: Namespace, skeleton: Skeleton) -> Annotations:
    """People of the folder that ``--source`` names."""
    return read_annotations(
        source_of(args), strict=args.strict, images=args.images, skeleton=skeleton
    )


def annotated(args: Namespace, skeleton: Skeleton, data: Annotations) -> Prepared:
    """Annotated people, cut out one by one, or, with ``--scenes``, their whole photographs."""
    everybody, (data, said) = data, choose_people(data, args)
    if args.scenes:  # in which whoever is left out would be learned as nobody
        data, more = whole_pictures(data, everybody)
        said += more
    skeleton = with_pairs_of(skeleton, data)
    groups, how = group_people(data.people)
    renamed = describe_renamed(data, skeleton)
    own = [] if args.scenes else [skeleton.describe_sides(), skeleton.describe_likeness()]
    print("\n".join([*said, *filter(None, [renamed]), *own, how]))
    check_names(skeleton, data, bool(args.teacher) and not args.scenes)
    if args.scenes:
        found = by_image(data.people)
        scenes = progress(found.items(), len(found), args.name, "scenes")
        rows = encode_scenes(data, scenes, args.size, groups, skeleton)
    else:
        circles = teacher_rois(locate(args.teacher), data, skeleton) if args.teacher else {}
        people = progress(data.people, len(data.people), args.name, "people")
        rows = encode_people(data, skeleton, people, args.size, circles, groups)
    changed = {reason: len(ids) for reason, ids in data.changed.items()}
    given = {"only": args.only, "left_out": args.leave_out}
    lists = {key: Path(path).name for key, path in given.items() if path}
    return Prepared(
        rows,
        skeleton,
        source_of(args).name,
        data.dropped,
        data.changed,
        {"groups": how, "changed": changed, **lists},
    )


def write_folder(found: Prepared, args: Namespace, output: Path) -> int:
    """Write a records folder; returns how many records it has."""
    return write_records(
        found.rows,
        found.skeleton,
        output,
        size=args.size,
        source=found.source,
        dropped=found.dropped,
        notes=found.notes,
    )


def write_tfds(found: Prepared, args: Namespace, output: Path) -> int:
    """Write an array_record data set of TFDS; returns how many records it has."""
    # Here, as TFDS is an extra.
    from blazepose_jax.data import tfds_builders

    config = tfds_builders.PeopleConfig(
        name=f"{found.skeleton.name}_{args.size}px", skeleton=found.skeleton, size=args.size
    )
    return tfds_builders.write_tfds(found.rows, args.name, config, output)


DATA_SETS = {
    "coco_keypoints": prepare_coco,
    "lsp": prepare_lsp,
    "tfds": prepare_tfds,
    "rendered_people": prepare_rendered,
}
FORMATS = {"records": write_folder, "tfds": write_tfds}
