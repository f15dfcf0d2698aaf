"""``blazepose data``.

Annotation folders, archives or nothing come in, records and contact sheets leave.
"""

import dataclasses
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.cli.progress import progress
from blazepose_jax.codecs.anchors import anchor_centers
from blazepose_jax.data.coco import (
    Annotations,
    describe_changed,
    describe_dropped,
    read_annotations,
    true_roi,
)
from blazepose_jax.data.encode_people import encode_people
from blazepose_jax.data.encode_scenes import by_image, encode_scenes
from blazepose_jax.data.groups import group_people
from blazepose_jax.data.lsp import read_lsp, unpack
from blazepose_jax.data.readers import open_readers
from blazepose_jax.data.records import write_records
from blazepose_jax.data.rendered import rendered_rows
from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.geometry import rois
from blazepose_jax.inference import Settings
from blazepose_jax.inference.engine import load_engine
from blazepose_jax.io.draw import check_picture_name, contact_sheet, draw_points, save_image
from blazepose_jax.io.files import check_outputs
from blazepose_jax.io.frames import to_frame
from blazepose_jax.io.images import read_image
from blazepose_jax.io.json_files import read_json
from blazepose_jax.models import spec_of
from blazepose_jax.skeleton import BLAZEPOSE, SKELETONS, Skeleton, read_skeleton
from blazepose_jax.structs import ROI, SceneBatch
from blazepose_jax.training import DetectorConfig, sample_targets, scene_targets
from blazepose_jax.training.config import load_experiment, override

SHOWN = 32
# Without ROI points of its own: then the circle reaches to the farthest of the 33.
BODY = dataclasses.replace(BLAZEPOSE, auxiliary=())


def run(args: Namespace) -> None:
    """``blazepose data``."""
    {"prepare": prepare, "show": show}[args.action](args)


DATA_SETS = ("coco_keypoints", "lsp", "rendered_people")
FORMATS = ("records", "tfds")


def prepare(args: Namespace) -> None:
    """``blazepose data prepare NAME --source DIR --output DIR``."""
    check_name(args.name, DATA_SETS, "data set")
    check_name(args.format, FORMATS, "format")
    output = Path(args.output)
    if output.exists():
        raise BlazePoseError(f"output {args.output!r} exists: name a new folder")
    if args.scenes and (args.format != "records" or args.name == "rendered_people"):
        raise BlazePoseError(
            "--scenes makes records of photographs: leave out --format and name coco_keypoints"
            " or lsp"
        )
    if args.count < 1 or args.size < 64:
        raise BlazePoseError(
            f"--count {args.count} and --size {args.size}: at least 1 person of 64 px is needed"
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    skeleton = load_skeleton(args.skeleton)
    with TemporaryDirectory() as scratch:
        if args.name == "rendered_people":
            skeleton, dropped, changed, notes, source = (
                BLAZEPOSE,
                {},
                {},
                {},
                f"rendered, seed {args.seed}",
            )
            rows = progress(
                rendered_rows(args.count, args.size, args.seed), args.count, args.name, "people"
            )
        else:
            data = read_people(args, skeleton, Path(scratch))
            skeleton = with_pairs_of(skeleton, data)
            groups, how = group_people(data.people)
            print(how if args.scenes else f"{skeleton.describe_sides()}\n{how}")
            notes = {
                "groups": how,
                "changed": {reason: len(ids) for reason, ids in data.changed.items()},
            }
            if args.scenes:
                check_names(BLAZEPOSE, data)
                found = by_image(data.people)
                rows = encode_scenes(
                    data,
                    progress(found.items(), len(found), args.name, "scenes"),
                    args.size,
                    groups,
                )
            else:
                check_names(skeleton, data)
                people = progress(data.people, len(data.people), args.name, "people")
                circles = teacher_circles(args.teacher, data) if args.teacher else {}
                rows = encode_people(data, skeleton, people, args.size, circles, groups)
            dropped, changed = data.dropped, data.changed
            source = Path(args.source).name
        if args.format == "tfds":
            from blazepose_jax.data.tfds_builders import PeopleConfig, write_tfds

            config = PeopleConfig(
                name=f"{skeleton.name}_{args.size}px", skeleton=skeleton, size=args.size
            )
            count = write_tfds(rows, args.name, config, output)
        else:
            count = write_records(
                rows, skeleton, output, size=args.size, source=source, dropped=dropped, notes=notes
            )
    print(describe_dropped(dropped))
    if changed:
        print(describe_changed(changed))
    print(f"wrote {count} {'scenes' if args.scenes else 'people'} to {args.output}")


def load_skeleton(name: str) -> Skeleton:
    """A skeleton by name, or from a JSON file.

    Raises:
      BlazePoseError: unknown, unreadable or inconsistent.
    """
    if name.lower().endswith(".json"):
        try:
            return Skeleton.from_dict(read_json(Path(name)))
        except BlazePoseError as error:
            raise BlazePoseError(
                str(error) if name in str(error) else f"{name}: {error}"
            ) from error
    return read_skeleton(name)


def with_pairs_of(skeleton: Skeleton, data: Annotations) -> Skeleton:
    """An own set without ``pairs`` takes those that the annotations' flip_indices tell."""
    if data.pairs is None or skeleton.pairs is not None or skeleton.name in SKELETONS:
        return skeleton
    names = set(skeleton.keypoints)
    if any(len(names & set(pair)) == 1 for pair in data.pairs):
        # one side of something: its mirror image is none of the set
        return dataclasses.replace(skeleton, pairs=())
    told = tuple(pair for pair in data.pairs if set(pair) <= names)
    if not told or {frozenset(pair) for pair in told} == {
        frozenset(pair) for pair in skeleton.left_right
    }:
        return skeleton
    return dataclasses.replace(skeleton, pairs=told)


def check_names(skeleton: Skeleton, data: Annotations) -> None:
    """Say that points which place the ROI are not in the data at all, rather than that nobody
    has them labelled.

    Raises:
      BlazePoseError: such a point.
    """
    if lacking := [name for name in skeleton.center + skeleton.up if name not in data.names]:
        raise BlazePoseError(
            f"the data has no keypoint {lacking[0]!r}, which places the ROI of the set "
            f"{skeleton.name!r}: it has {', '.join(data.names[:8])}; name a set of these with "
            "--skeleton FILE.json, or rename them"
        )


def read_people(args: Namespace, skeleton: Skeleton, scratch: Path) -> Annotations:
    """People of the folder or archive that ``--source`` names."""
    if args.source is None:
        raise BlazePoseError(
            "data prepare needs --source: name a folder with annotations.json, or LSP's archive"
        )
    source = Path(args.source)
    if args.name == "lsp" and not (source / "annotations.json").is_file():
        return read_lsp(unpack(source, scratch), args.split)
    return read_annotations(source, strict=args.strict, images=args.images, skeleton=skeleton)


def teacher_circles(weights: str, data: Annotations) -> dict[int, ROI]:
    """ROIs that a trained net sees round people whose hips or shoulders nobody labelled.

    It labels nothing else.

    Args:
      weights: directory or .task with a pose net of BlazePose's 33 points.
      data: annotations.

    Returns:
      {id: ROI}; people of whose labelled points the teacher's lie half a torso away or more are
      left out.
    """
    engine = load_engine(weights, None, Settings(decode="heatmap"))
    names = [name for name in engine.skeleton.keypoints if name in data.names]
    mine = [data.names.index(name) for name in names]
    theirs = list(engine.skeleton.indices(tuple(names)))
    lacking = [
        person for person in data.people if true_roi(person, data.names, engine.skeleton) is None
    ]
    found = {}
    for person in progress(lacking, len(lacking), "teacher", "people"):
        labelled = person.keypoints[person.visibility_flags > 0]
        low, high = labelled.min(0), labelled.max(0)
        square = ROI(
            (low + high)[None] / 2,
            np.asarray([1.5 * (high - low).max() + 1], np.float32),
            np.zeros(1, np.float32),
        )
        try:
            frame = to_frame(read_image(person.image))
        except BlazePoseError:
            continue
        for _ in range(2):  # the second look is through the first one's ROI
            poses = engine.estimate(frame, square)
            points = jnp.asarray(poses.keypoints[..., :2])
            square = rois.from_keypoints(points, BODY)
        known = person.visibility_flags[mine] > 0
        ends = (points[0, jnp.array(BODY.indices(side))].mean(0) for side in (BODY.center, BODY.up))
        torso = float(jnp.linalg.norm(next(ends) - next(ends)))
        apart = np.linalg.norm(np.asarray(points[0])[theirs] - person.keypoints[mine], axis=-1)[
            known
        ]
        if float(poses.presence[0]) > 0.5 and len(apart) and np.median(apart) < 0.5 * torso:
            found[person.id] = jax.tree.map(lambda a: np.asarray(a[0]), square)
    return found


def show(args: Namespace) -> None:
    """``blazepose data show EXPERIMENT --output PICTURE``.

    What the network sees, after augmentation.
    """
    config = override(load_experiment(args.name), args.overrides)
    check_outputs((args.output,), (config.data.records or None,))
    check_picture_name(Path(args.output))
    spec = spec_of(config.model.name)
    data, _ = open_readers(config.data, spec.kind)
    batch = data.batch(0, SHOWN, config.seed)
    keys = jax.random.split(jax.random.key(config.seed), SHOWN)
    if spec.kind == "detector":
        show_scenes(batch, keys, spec.side, config.detector, Path(args.output))
        return
    targets = jax.jit(
        jax.vmap(
            lambda key, record: sample_targets(
                key, record, data.skeleton, config.model.side, config.augment
            )
        )
    )(keys, batch)
    tiles = []
    for image, points, labelled, visible in zip(
        *(np.asarray(targets[k]) for k in ("image", "points", "labelled", "visible")), strict=True
    ):
        tile, px = image.astype(np.uint8), points * config.model.side
        tile = draw_points(tile, px[labelled & ~visible], (255, 160, 0))
        tiles.append(draw_points(tile, px[labelled & visible], (0, 220, 120)))
    save_image(contact_sheet(tiles, 8), Path(args.output))
    print(f"wrote {args.output}: green is visible, orange is hidden, covered or outside")


def show_scenes(
    batch: SceneBatch, keys: jax.Array, side: int, config: DetectorConfig, path: Path
) -> None:
    """A contact sheet of scenes.

    Anchors that are to find somebody in white, alignment points in colour.
    """
    targets = jax.jit(
        jax.vmap(lambda key, p, xy, status: scene_targets(key, p, xy, status, side, config))
    )(keys, batch.pixels, batch.points, batch.status)
    centers, tiles = anchor_centers(side) * side, []
    for image, points, status, wanted in zip(
        *(np.asarray(targets[k]) for k in ("image", "points", "status", "wanted")), strict=True
    ):
        tile = draw_points(image.astype(np.uint8), centers[wanted > 0], (255, 255, 255))
        for i, colour in enumerate(((0, 220, 120), (255, 200, 0), (0, 200, 255), (255, 60, 255))):
            tile = draw_points(tile, points[status == 1, i] * side, colour)
        tiles.append(tile)
    save_image(contact_sheet(tiles, 8), path)
    print(f"wrote {path}: mid-hip green, circle yellow, mid-shoulder blue, upper circle pink")
