"""``blazepose skeleton``: files that describe a keypoint set."""

import json
import re
from argparse import ArgumentParser, Namespace
from pathlib import Path

from blazepose_jax.cli.data_skeleton import load_skeleton
from blazepose_jax.data.coco_file import Category, CocoFile, choose_category, read_coco_file
from blazepose_jax.data.coco_pictures import annotation_file
from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.io.files import write_text
from blazepose_jax.io.json_files import Json
from blazepose_jax.io.output_checks import check_outputs
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton


def add_arguments(parser: ArgumentParser) -> None:
    """The options."""
    parser.add_argument(
        "action",
        choices=ACTIONS,
        help="init FILE, write a skeleton file for annotations; show FILE, say what one means",
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        help="of init: COCO annotations, or their folder; of show: a skeleton file",
    )
    parser.add_argument(
        "--output",
        metavar="S.json",
        help="of init: the skeleton file to write (default: the category's name)",
    )
    parser.add_argument(
        "--category", metavar="NAME", help="of init: which category, where there are several"
    )


def run(args: Namespace) -> None:
    """``blazepose skeleton``."""
    ACTIONS[args.action](args)


def init(args: Namespace) -> None:
    """``blazepose skeleton init FROM.json``: what can be recognised, as a file to go on from."""
    path = annotation_file(Path(args.file))
    category = category_of(read_coco_file(path), args.category)
    name = "_".join(re.findall(r"\w+", category.name)) or "own"
    output = Path(args.output or f"{name}.json")
    check_outputs((str(output),), (path,))
    if output.exists():
        raise BlazePoseError(f"{output} exists: name a new file with --output, or remove it")
    fields = recognised_fields(category, name)
    skeleton = Skeleton.from_dict(fields)
    write_text(output, as_text(fields))
    print(f"{describe(skeleton)}\nwrote {output}: correct what was recognised wrongly")


def show(args: Namespace) -> None:
    """``blazepose skeleton show S.json``."""
    print(describe(load_skeleton(args.file)))


ACTIONS = {"init": init, "show": show}


def category_of(file: CocoFile, name: str | None) -> Category:
    """The category of a name; without one, that which ``data prepare`` would read.

    Raises:
      BlazePoseError: there is none of that name with keypoints.
    """
    if name is None:
        return choose_category(file, BLAZEPOSE)
    found = {c.name: c for c in file.categories.values() if c.keypoints}
    return found[check_name(name, found, "category with keypoints")]


def recognised_fields(category: Category, name: str) -> dict[str, Json]:
    """The fields of a skeleton file, as far as names and the annotation file tell.

    Args:
      category: of the annotation file.
      name: of the set.
    """
    draft = Skeleton(
        name, category.keypoints, category.bones, (), (), pairs=category.pairs, roi="box"
    )
    rows = list(zip(draft.keypoints, draft.body_names, draft.near_names, strict=True))
    mine = {body: own for own, body, _ in rows if body}
    fields: dict[str, Json] = {"name": name, "keypoints": draft.keypoints, "bones": draft.bones}
    if all(body in mine for body in BLAZEPOSE.center + BLAZEPOSE.up):
        fields["center"] = [mine[body] for body in BLAZEPOSE.center]
        fields["up"] = [mine[body] for body in BLAZEPOSE.up]
    else:
        fields["roi"] = "box"
    # Written out they would say that a point with one side alone has no side.
    if draft.left_right and not draft.one_sided:
        fields["pairs"] = draft.left_right
    if like := {own: body for own, body, _ in rows if body and body != own}:
        fields["like"] = like
    if near := {own: places for own, _, places in rows if places}:
        fields["near"] = near
    return fields


def as_text(fields: dict[str, Json]) -> str:
    """JSON with a line for each field."""
    lines = [
        f"  {json.dumps(key)}: {json.dumps(v, ensure_ascii=False)}" for key, v in fields.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def describe(skeleton: Skeleton) -> str:
    """Lines on what a set is: size, sides, likeness, ROI, and what OKS measures by."""
    lines = [
        f"{skeleton.name}: {len(skeleton.keypoints)} keypoints, {len(skeleton.bones)} bones",
        skeleton.describe_sides(),
        skeleton.describe_likeness(),
        describe_roi(skeleton),
    ]
    if skeleton.sigmas is not None:
        given = zip(skeleton.keypoints, skeleton.sigmas, strict=True)
        lines.append(f"sigmas: {', '.join(f'{name} {sigma:g}' for name, sigma in given)}")
    return "\n".join(lines)


def describe_roi(skeleton: Skeleton) -> str:
    """One line on where the ROI of a labelled person comes from."""
    rules = {
        "points": f"centre {'+'.join(skeleton.center)}, up {'+'.join(skeleton.up)}",
        "box": "upright, round the annotated box, else round the labelled points",
        "face": "of the detection that fits the labelled points best",
        "net": "where a pose net looks next, which sees the labelled points",
    }
    return f"ROI: {rules[skeleton.roi]}"
