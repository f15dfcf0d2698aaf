"""``blazepose data show``: a picture of what a network sees, after augmentation."""

from argparse import Namespace
from pathlib import Path

import jax
import numpy as np

from blazepose_jax.batches import PoseBatch, SceneBatch, is_somebody
from blazepose_jax.codecs.anchors import anchor_centers
from blazepose_jax.data.readers import open_readers
from blazepose_jax.io.draw import check_picture_name, contact_sheet, draw_points, save_image
from blazepose_jax.io.draw_labels import draw_labels, legend
from blazepose_jax.io.output_checks import check_outputs
from blazepose_jax.models import spec_of
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.training import AugmentConfig, DetectorConfig, sample_targets, scene_targets
from blazepose_jax.training.config import configure
from blazepose_jax.training.experiments import read_own_parts

SHOWN, COLUMNS = 32, 8
# Of the alignment points, in their order.
COLOURS = ((0, 220, 120), (255, 200, 0), (0, 200, 255), (255, 60, 255))
WHITE = (255, 255, 255)


def show(args: Namespace) -> None:
    """``blazepose data show EXPERIMENT --output PICTURE``."""
    config = configure(args.name, args.overrides)
    check_outputs((args.output,), (config.data.records or None,))
    check_picture_name(Path(args.output))
    spec = spec_of(read_own_parts(args.name).network(config.model.name))
    data, _ = open_readers(config.data, spec.kind, keep=False)
    batch = data.batch(0, SHOWN, config.seed)
    keys = jax.random.split(jax.random.key(config.seed), SHOWN)
    path = Path(args.output)
    if isinstance(batch, SceneBatch):
        show_scenes(batch, keys, spec.side, config.detector, path)
    else:
        show_people(batch, keys, data.skeleton, config.model.side, config.augment, path)


def show_people(
    batch: PoseBatch,
    keys: jax.Array,
    skeleton: Skeleton,
    side: int,
    config: AugmentConfig,
    path: Path,
) -> None:
    """Write a contact sheet of people with their bones and sides, and a legend of the names.

    Args:
      batch: of B records.
      keys: (B,).
      skeleton: of the records.
      side: S, px of a crop.
      config: of the augmentation.
      path: of the picture.
    """
    targets = jax.device_get(
        jax.jit(jax.vmap(lambda key, record: sample_targets(key, record, skeleton, side, config)))(
            keys, batch
        )
    )
    count = len(skeleton.keypoints)
    people = [
        (image.astype(np.uint8), points[:count] * side, labels[:count] > 0, visible[:count] > 0.5)
        for image, points, labels, visible in zip(
            targets.image,
            targets.keypoints_crop,
            targets.label_weight,
            targets.visible,
            strict=True,
        )
    ]
    sheet = contact_sheet([draw_labels(*person, skeleton) for person in people], COLUMNS)
    example = max(people, key=lambda person: int(person[3].sum()))
    names = legend(*example, skeleton, sheet.shape[1])
    save_image(np.concatenate([sheet, names]), path)
    print(
        f"{skeleton.describe_sides()}\nwrote {path}: left orange, right cyan, others white; discs"
        " are visible, rings hidden, covered or outside; the person with the most visible points is"
        " shown large"
    )


def show_scenes(
    batch: SceneBatch, keys: jax.Array, side: int, config: DetectorConfig, path: Path
) -> None:
    """Write a contact sheet of scenes: positive anchors white, alignment points in colour.

    Args:
      batch: of B scenes.
      keys: (B,).
      side: S, px of the detector's input.
      config: of the targets.
      path: of the picture.
    """
    targets = jax.device_get(
        jax.jit(
            jax.vmap(lambda key, p, xy, status: scene_targets(key, p, xy, status, side, config))
        )(keys, batch.pixels, batch.points, batch.status)
    )
    centers, tiles = anchor_centers(side) * side, []
    for image, points_crop, status, positive in zip(
        targets.image, targets.points_crop, targets.status, targets.positive, strict=True
    ):
        tile = draw_points(image.astype(np.uint8), centers[positive > 0], WHITE)
        for i, colour in enumerate(COLOURS):
            tile = draw_points(tile, points_crop[is_somebody(status), i] * side, colour)
        tiles.append(tile)
    save_image(contact_sheet(tiles, COLUMNS), path)
    print(f"wrote {path}: mid-hip green, circle yellow, mid-shoulder blue, upper circle pink")
