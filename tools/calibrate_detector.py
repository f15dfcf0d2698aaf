"""How Google's detector places its box and alignment points, measured against the points of
Google's pose net.

    python tools/calibrate_detector.py --weights W --data DIR [--data DIR ...]

W holds Google's .tflite files (`blazepose import`), DIR annotated photographs. Prints the constants
of ``codecs/alignment.py`` as fitted, and the residuals of what that file makes of the same points.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.cli.progress import progress
from blazepose_jax.codecs import alignment
from blazepose_jax.data.coco import read_annotations
from blazepose_jax.data.encode_scenes import by_image
from blazepose_jax.geometry import rois
from blazepose_jax.inference import Settings
from blazepose_jax.inference.engine import load_engine
from blazepose_jax.io.frames import to_frame
from blazepose_jax.io.images import read_image
from blazepose_jax.skeleton import BLAZEPOSE

MIN_PRESENCE = 0.8  # only people of whose points the pose net is sure


def gather(weights: str, folders: list[str], limit: int) -> tuple[np.ndarray, ...]:
    """Sides of the letterboxed images (n,), boxes (n, 4), alignment points (n, 4, 2), keypoints
    (n, 33, 2).
    """
    engine = load_engine(
        weights, None, Settings(max_people=8, min_detection_confidence=0.6), "litert", 1
    )
    rows = []
    for folder in folders:
        data = read_annotations(folder)
        images = list(by_image(p for p in data.people if p.data_set != "lspet"))[:limit]
        for path in progress(images, len(images), folder, "photographs"):
            image = read_image(path)
            frame = to_frame(image)
            found = jax.device_get(engine.detect(frame))
            for i in np.flatnonzero(found.valid):
                points = found.keypoints[i]
                roi = rois.from_alignment(jnp.asarray(points[:1]), jnp.asarray(points[1:2]))
                poses = jax.device_get(engine.estimate(frame, roi))
                if poses.presence[0] >= MIN_PRESENCE:
                    rows.append(
                        (
                            max(image.shape[:2]),
                            found.boxes_xyxy[i],
                            points,
                            poses.keypoints[0, :, :2],
                        )
                    )
    sides, boxes, points, keypoints = (np.stack(column) for column in zip(*rows, strict=True))
    return sides, boxes, points, keypoints


def share(a: np.ndarray, b: np.ndarray) -> float:
    """The factor that brings vectors ``b`` nearest to ``a``, outliers aside.

    Both (n, 2) and in the same unit.
    """
    factor = 0.0
    keep = np.ones(len(a), bool)
    for _ in range(6):
        factor = float((a[keep] * b[keep]).sum() / (b[keep] ** 2).sum())
        error = np.linalg.norm(a - factor * b, axis=-1)
        keep = error <= np.percentile(error, 85)
    return factor


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", required=True)
    parser.add_argument("--data", action="append", required=True)
    parser.add_argument("--limit", type=int, default=500, help="photographs per folder")
    args = parser.parse_args()
    sides, boxes, points, keypoints = gather(args.weights, args.data, args.limit)
    index = BLAZEPOSE.indices
    hip, shoulder = (
        keypoints[:, list(index(names))].mean(1) for names in (BLAZEPOSE.center, BLAZEPOSE.up)
    )
    ears = keypoints[:, list(index(("left_ear", "right_ear")))].mean(1)
    width = (boxes[:, 2:] - boxes[:, :2]).mean(-1)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    radius = np.linalg.norm(keypoints - hip[:, None], axis=-1).max(1)
    some = [*range(11), *index(BLAZEPOSE.center)]
    reach = np.linalg.norm(keypoints[:, some] - shoulder[:, None], axis=-1).max(1)
    unit = width[:, None]
    print(f"{len(sides)} people")
    print(
        f"box over image: median {np.median(width / sides):.4f} (5 to 95 %: "
        f"{np.percentile(width / sides, 5):.4f} to {np.percentile(width / sides, 95):.4f})"
    )
    up, aside = (shoulder - hip) / unit, (ears - shoulder) / unit
    print(
        "box's middle from mid-shoulder towards the ears:"
        f" {share((middle - shoulder) / unit, aside):.3f}"
    )
    print(f"box's middle beyond the mid-shoulder: {share((middle - shoulder) / unit, up):.3f}")
    circle, upper = (np.linalg.norm(points[:, i + 1] - points[:, i], axis=-1) for i in (0, 2))
    print(f"circle over farthest point: median {np.median(circle / radius):.3f}")
    print(f"upper circle over farthest of face and hips: median {np.median(upper / reach):.3f}")

    made = jax.vmap(alignment.from_points)(
        jnp.asarray(keypoints), jnp.ones(keypoints.shape[:2], bool), jnp.asarray(radius)
    )
    print("\n| what | residual over | median | 90 % |\n|---|---|---|---|")
    for i, name in enumerate(
        ("mid-hip", "circle", "mid-shoulder", "upper circle", "middle of the box")
    ):
        true, per = (middle, width) if i == 4 else (points[:, i], circle)
        error = np.linalg.norm(np.asarray(made[:, i]) - true, axis=-1) / per
        print(
            f"| {name} | {'box' if i == 4 else 'circle'} | {np.median(error):.3f} |"
            f" {np.percentile(error, 90):.3f} |"
        )


if __name__ == "__main__":
    main()
