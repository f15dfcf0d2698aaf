"""``blazepose data``: annotation folders come in, records folders and contact sheets leave."""

from argparse import Namespace
from pathlib import Path

import jax
import numpy as np

from blazepose_jax.configs import load_experiment, override
from blazepose_jax.data import records
from blazepose_jax.data.coco import read_annotations
from blazepose_jax.draw import contact_sheet, draw_points, save_image
from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.objectives import sample_targets
from blazepose_jax.progress import progress
from blazepose_jax.results import check_output
from blazepose_jax.skeleton import read_skeleton

SHOWN = 32


def run(args: Namespace) -> None:
    """``blazepose data``."""
    {"prepare": prepare, "show": show}[args.action](args)


def prepare(args: Namespace) -> None:
    """``blazepose data prepare coco_keypoints --source DIR --output DIR``."""
    check_name(args.name, ("coco_keypoints",), "data set")
    if args.source is None:
        raise BlazePoseError("data prepare needs --source: name a folder with annotations.json")
    data = read_annotations(args.source, strict=args.strict)
    words = Path(args.skeleton).read_text() if args.skeleton.endswith(".json") else args.skeleton
    skeleton = read_skeleton(words)
    people = progress(data.people, len(data.people), Path(args.source).name, "people")
    described = records.prepare(data, skeleton, Path(args.output), people, source=Path(args.source).name)
    print(data.summary().split("\n", 1)[-1] if data.dropped else "nobody dropped")
    print(f"wrote {described['count']} people to {args.output}")


def show(args: Namespace) -> None:
    """``blazepose data show EXPERIMENT --output PICTURE``: what the network sees, after augmentation."""
    check_output(args.output)
    config = override(load_experiment(args.name), args.overrides)
    data = records.read_records(config.data.records)
    batch = data.batch(0, SHOWN, config.seed)
    keys = jax.random.split(jax.random.key(config.seed), SHOWN)
    targets = jax.jit(jax.vmap(lambda key, record: sample_targets(
        key, record, data.skeleton, config.model.side, config.augment)))(keys, batch)
    tiles = []
    for image, points, labelled, visible in zip(*(np.asarray(targets[k]) for k in (
            "image", "points", "labelled", "visible")), strict=True):
        tile, px = image.astype(np.uint8), points * config.model.side
        tile = draw_points(tile, px[labelled & ~visible], (255, 160, 0))
        tiles.append(draw_points(tile, px[labelled & visible], (0, 220, 120)))
    save_image(contact_sheet(tiles, 8), Path(args.output))
    print(f"wrote {args.output}: green is visible, orange is hidden, covered or outside")
