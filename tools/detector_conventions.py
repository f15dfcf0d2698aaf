"""Whether this package's targets for a detector are those that Google's detector was trained on.

    python tools/detector_conventions.py --weights W --data DIR [--people 80] [--records OUT]

W holds Google's detector (`blazepose import`), DIR annotated photographs. Prints which anchors fire
by where they lie, and the losses of Google's own detector on the photographs labelled by its own
detections, which is what conventions cost, and by people, which is real disagreement as well.
OUT gets its own detections as records of scenes: a detector that begins with the same weights and
learns from them must stay what it is.
"""

import argparse
import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.batches import SceneBatch
from blazepose_jax.codecs import anchors
from blazepose_jax.data.annotations import Annotations
from blazepose_jax.data.coco import read_annotations
from blazepose_jax.data.encode_scenes import MOST, by_image, encode_scenes
from blazepose_jax.data.jpeg import decode_jpeg
from blazepose_jax.data.labels import Row
from blazepose_jax.data.records import write_records
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.structs import DetectorOutputs, Network
from blazepose_jax.training import DetectorConfig, detector_objective
from blazepose_jax.weights import load_weights

SIZE = 256
DISTANCES = (0, 0.02, 0.035, 0.045, 0.055, 0.07, 0.1, 0.15)  # of the input
AS_IT_IS = DetectorConfig(
    zoom_in=1.0, zoom_out=1.0, shift=0.0, angle=0.0, any_angle=0.0, flip=0.0, colour=0.0
)


def scenes_of(data: Annotations, count: int) -> list[Row]:
    """The first photographs, letterboxed, with their people."""
    return list(encode_scenes(data, list(by_image(data.people).items())[:count], SIZE))


def batch_of(row: Row) -> SceneBatch:
    """A scene as a batch of one."""
    return SceneBatch(
        decode_jpeg(row["image"])[None],
        row["points"][None],
        row["kinds"][None],
        np.ones(1, np.float32),
        np.zeros(1, np.int32),
    )


def labelled_by_itself(net: Network, scene: SceneBatch) -> tuple[SceneBatch, DetectorOutputs]:
    """The scene with the net's own detections in place of people's labels, and its outputs."""
    outputs, found = _detect(net, scene.pixels[0])
    points, status = np.zeros((1, MOST, 5, 2), np.float32), np.zeros((1, MOST), np.int32)
    valid = np.flatnonzero(found.valid)[:MOST]
    boxes, keypoints = np.asarray(found.boxes_xyxy)[valid], np.asarray(found.keypoints)[valid]
    points[0, : len(valid), :4] = SIZE * keypoints
    points[0, : len(valid), 4] = SIZE * (boxes[:, :2] + boxes[:, 2:]) / 2
    status[0, : len(valid)] = 1
    return scene.replace(points=points, status=status), outputs


@jax.jit
def _detect(net: Network, pixels: jax.Array) -> tuple:
    image = jax.image.resize(
        jnp.asarray(pixels, jnp.float32), (net.side, net.side, 3), "linear", antialias=False
    )
    outputs = net(net.normalise(image[None]))
    return outputs, anchors.decode(outputs, net.side, count=MOST, min_score=0.5, nms_threshold=0.3)


@jax.jit
def losses_of(net: Network, scene: SceneBatch) -> dict[str, jax.Array]:
    """Every part of the detector's loss, unweighted, on one scene as it is."""

    def apply(_, pixels):
        return net(net.normalise(pixels)), {}

    return detector_objective(apply, {}, scene, jax.random.key(0), side=net.side, config=AS_IT_IS)[
        1
    ][0]


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--people", type=int, default=80, help="photographs")
    parser.add_argument("--records", type=Path, metavar="OUT", help="new folder")
    args = parser.parse_args()
    net = load_weights(args.weights).detector
    if net is None:
        raise SystemExit(f"{args.weights} holds no detector")
    centers, maps = anchors.anchor_centers(net.side), anchors.map_numbers(net.side)
    of_cell = np.concatenate(
        [np.tile(np.arange(n), cells**2) for cells, n in anchors.LAYOUTS[net.side]]
    )
    near, fires, rows = [], [], {"its own detections": [], "people": []}
    own_rows = []
    for row in scenes_of(read_annotations(args.data), args.people):
        scene = batch_of(row)
        own, outputs = labelled_by_itself(net, scene)
        rows["people"].append(jax.device_get(losses_of(net, scene)))
        own_rows.append(row | {"points": own.points[0], "kinds": own.status[0]})
        if own.status.any():
            rows["its own detections"].append(jax.device_get(losses_of(net, own)))
            middles = own.points[0, own.status[0] == 1, 4] / SIZE
            near.append(np.linalg.norm(centers[:, None] - middles, axis=-1).min(1))
            fires.append(np.asarray(jax.nn.sigmoid(outputs.logits[0, :, 0])) > 0.5)
    if args.records:
        write_records(own_rows, BLAZEPOSE, args.records, size=SIZE, source=args.weights, dropped={})
    distance, fired = np.stack(near), np.stack(fires)
    print("share of anchors that fire, by distance from the middle of the box\n")
    print(
        "| map | anchor | "
        + " | ".join(f"to {d}" for d in DISTANCES[1:])
        + " |\n|"
        + "---|" * (len(DISTANCES) + 1)
    )
    for number, (cells, count) in enumerate(anchors.LAYOUTS[net.side]):
        for k in range(count):
            of = (maps == number) & (of_cell == k)
            shares = [
                fired[:, of][(distance[:, of] >= low) & (distance[:, of] < high)].mean()
                for low, high in itertools.pairwise(DISTANCES)
            ]
            print(
                f"| {cells}x{cells} | {k + 1} of {count} | "
                + " | ".join(f"{s:.2f}" for s in shares)
                + " |"
            )
    print(
        "\n| labels | scenes | score | boxes | keypoints | recall of its anchors"
        " |\n|---|---|---|---|---|---|"
    )
    for name, found in rows.items():
        mean = {
            part: np.mean([row[part] for row in found])
            for part in ("score", "boxes", "keypoints", "recall")
        }
        print(
            f"| {name} | {len(found)} | {mean['score']:.4f} | {mean['boxes']:.4f} |"
            f" {mean['keypoints']:.4f} | {mean['recall']:.0f} % |"
        )


if __name__ == "__main__":
    main()
