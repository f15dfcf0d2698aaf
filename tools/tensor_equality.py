"""The outputs of Google's networks in JAX against LiteRT's and against float64.

    .venv/bin/python tools/tensor_equality.py [--shared ../shared] [--crops 8]

The inputs are person-centred crops of real photographs.
Per output: the largest absolute difference over the output's peak, the worst of all crops.
"""

import argparse
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.geometry import rois, warp
from blazepose_jax.inference.litert import LiteRTModel
from blazepose_jax.io.frames import to_frame
from blazepose_jax.io.images import read_image
from blazepose_jax.models import FOLDED, MODELS, LayerConfig, create_network
from blazepose_jax.structs import ROI, DetectorOutputs, PoseOutputs
from blazepose_jax.weights import TFLiteFile
from blazepose_jax.weights.mediapipe import import_tflite

Tensors = dict[str, np.ndarray]
FILES = ("pose_detection", "pose_landmark_lite", "pose_landmark_full", "pose_landmark_heavy")


def real_crops(shared: Path, side: int, mean: float, std: float, count: int) -> list[np.ndarray]:
    """Squares round the first people of coco_dev that are large and complete.

    Args:
      shared: the folder that holds data/.
      side: S, px.
      mean: crop = (grey level - mean) / std.
      std: as above.
      count: how many.

    Returns:
      (1, S, S, 3) float32 each.
    """
    folder = shared / "data" / "coco_dev"
    data = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    files = {image["id"]: image["file_name"] for image in data["images"]}
    crops = []
    for annotation in [a for a in data["annotations"] if a.get("eval_ok")][:count]:
        x, y, w, h = annotation["bbox"]
        square = ROI(
            jnp.array([x + w / 2, y + h / 2]), jnp.asarray(1.3 * max(w, h)), jnp.asarray(0.1)
        )
        frame = to_frame(read_image(folder / files[annotation["image_id"]]))
        crop = warp.crop(frame, rois.to_affine(square, side), side, border="replicate")
        crops.append((np.asarray(crop)[None] - np.float32(mean)) / np.float32(std))
    return crops


def outputs_of(raw: DetectorOutputs | PoseOutputs) -> Tensors:
    """The tensors that the .tflite file has, pose presence as a probability."""
    found = {
        name: np.asarray(value, np.float64)
        for name, value in vars(raw).items()
        if value is not None
    }
    if "presence" in found:
        found["presence"] = 1 / (1 + np.exp(-found["presence"]))
    return found


def compare(
    data: bytes, name: str, crops: list[np.ndarray], config: LayerConfig = FOLDED
) -> dict[str, dict[str, float]]:
    """Compare one network's outputs, the worst of all crops.

    Args:
      data: Google's .tflite file.
      name: what to call it in errors.
      crops: (1, S, S, 3) float32 normalised each.
      config: of the network in JAX.

    Returns:
      {output: {"ours to litert", "ours to float64", "litert to float64"}}: the largest absolute
      difference over the output's peak.
    """
    imported = import_tflite(data, name)
    litert = LiteRTModel(TFLiteFile(data), name)
    run = jax.jit(lambda net, x: net(x))
    ours = [
        outputs_of(run(create_network(imported.name, imported.variables, config), x)) for x in crops
    ]
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), imported.variables)
        network = create_network(imported.name, wide, LayerConfig("folded", jnp.float64, "xla"))
        exact = [outputs_of(run(network, jnp.asarray(x, jnp.float64))) for x in crops]
    theirs = [outputs_of(litert(x)) for x in crops]

    def worst(a: list[Tensors], b: list[Tensors], output: str) -> float:
        return max(
            float(np.abs(p[output] - q[output]).max() / np.abs(q[output]).max())
            for p, q in zip(a, b, strict=True)
        )

    return {
        output: {
            "ours to litert": worst(ours, theirs, output),
            "ours to float64": worst(ours, exact, output),
            "litert to float64": worst(theirs, exact, output),
        }
        for output in theirs[0]
    }


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--crops", type=int, default=8)
    args = parser.parse_args()
    print("| file | output | ours to LiteRT | ours to float64 | LiteRT to float64 |")
    print("|---|---|---|---|---|")
    for file in FILES:
        path = args.shared / "models" / f"{file}.tflite"
        if not path.is_file():
            print(f"| {file} | not in {path.parent} | | | |")
            continue
        data = path.read_bytes()
        spec = MODELS[import_tflite(data, file).name]
        rows = compare(
            data, file, real_crops(args.shared, spec.side, spec.mean, spec.std, args.crops)
        )
        for output, row in rows.items():
            values = " | ".join(f"{value:.1e}" for value in row.values())
            print(f"| {file} | {output} | {values} |")


if __name__ == "__main__":
    main()
