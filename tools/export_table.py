"""The cost of each precision: bytes, operators, speed, distance from JAX, PCK.

    .venv/bin/python tools/export_table.py [--shared ../shared] [--people 1000] [--trade]

Speed is measured in LiteRT with XNNPACK, all files of a net taking turns in one run; a ratio is the
median over rounds of (this file's time / the time of Google's file in the same round). int8 weights
are calibrated on lsp_train, PCK is that of lsp_test with the truth's ROI. ``--trade`` shows instead
what int8 loses by which layers, for Full.
"""

import argparse
import dataclasses
import time
from pathlib import Path

import jax
import numpy as np

from blazepose_jax.data.annotations import Annotations
from blazepose_jax.data.coco import read_annotations
from blazepose_jax.evaluation.predict import predict, shared_keypoints
from blazepose_jax.evaluation.report import TORSOS, report
from blazepose_jax.export import flatbuffer, jax2tf_backend, parity, quantize
from blazepose_jax.export.calibration import crops_for, read_calibration_set
from blazepose_jax.export.graph import make_graph
from blazepose_jax.inference import Settings
from blazepose_jax.inference.litert import litert_networks
from blazepose_jax.inference.litert_engine import LiteRTEngine
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.weights import StoredNetwork, TFLiteFile
from blazepose_jax.weights.mediapipe import import_tflite

ROUNDS = 60
GOOGLE = "Google's file"
# What int8 leaves to float32, step by step.
TRADE = {
    "nothing": "",
    "heads": r"heads/",
    "heads, regression encoder": r"heads/|/regression_",
    "heads, regression encoder, stem": r"heads/|/regression_|/(stem|half)/",
    "heads, regression encoder, encoder to 1/8": quantize.KEPT_FLOAT,
}


def milliseconds(files: dict[str, bytes], image: np.ndarray, threads: int) -> dict[str, np.ndarray]:
    """Time files in LiteRT; they take turns.

    Args:
      files: by name.
      image: (1, S, S, 3) float32 normalised.
      threads: of the CPU.

    Returns:
      (ROUNDS,) milliseconds per file.
    """
    from ai_edge_litert.interpreter import Interpreter

    loaded = {}
    for name, data in files.items():
        loaded[name] = interpreter = Interpreter(model_content=data, num_threads=threads)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    found: dict[str, list[float]] = {name: [] for name in files}
    for i in range(ROUNDS + 5):
        for name, interpreter in loaded.items():
            began = time.perf_counter()
            interpreter.invoke()
            if i >= 5:
                found[name].append(1e3 * (time.perf_counter() - began))
    return {name: np.array(values) for name, values in found.items()}


def pck(data: bytes, people: Annotations, decode: str) -> float:
    """PCK@0.2 of a file, in percent, the truth's ROI."""
    networks = litert_networks({"pose": TFLiteFile(data, BLAZEPOSE)})
    engine = LiteRTEngine(None, networks["pose"], Settings(decode=decode), "file")
    return report(
        predict(engine, people, "truth", people.people),
        people,
        shared_keypoints(engine, people.names),
        TORSOS["lsp"],
    )["pck@0.2"]


def points_px(data: bytes, net: StoredNetwork, crops: np.ndarray) -> tuple[float, float]:
    """Mean and largest distance of the points from JAX on (N, S, S, 3) crops, px of the crop."""
    reference = make_graph(net, convolution="auto")
    row = parity.compare(
        reference,
        parity.run_tflite(data, reference, crops),
        parity.run_jax(reference, crops),
        "int8",
    )[0]
    return row.mean, row.largest


def files_of(
    original: bytes, net: StoredNetwork, images: np.ndarray, *, trade: bool
) -> dict[str, bytes]:
    """Google's file, and ours by precision or, with ``trade``, by what int8 leaves to float32.

    Args:
      original: Google's file.
      net: imported from it.
      images: (N, S, S, 3) float32 normalised, to calibrate with.
      trade: show what int8 loses by which layers.
    """
    graph = make_graph(net)
    data = flatbuffer.finish(jax2tf_backend.convert(graph), graph)
    if not trade:
        return {GOOGLE: original} | {
            precision: quantize.quantize(data, precision, images[:, None])
            for precision in quantize.PRECISIONS
        }
    return {GOOGLE: original} | {
        f"{label}; biases {'corrected' if corrected else 'as they were'}": quantize.quantize(
            data, "int8", images[:, None], kept, corrected
        )
        for label, kept in TRADE.items()
        for corrected in (False, True)
    }


def print_table(
    name: str,
    files: dict[str, bytes],
    net: StoredNetwork,
    images: np.ndarray,
    people: Annotations,
) -> None:
    """Print a row per file.

    Args:
      name: of the network.
      files: from ``files_of``.
      net: what JAX runs.
      images: (N, S, S, 3) float32 normalised; the last eight measure the distance from JAX.
      people: to measure PCK on.
    """
    times = {threads: milliseconds(files, images[:1], threads) for threads in (1, 2)}
    print(
        f"| {name} | bytes | operators | ms, 1 thread | ratio | ms, 2 threads | ratio | "
        "points from JAX, px: mean, largest | PCK@0.2 regression | refine |\n|" + "---|" * 10
    )
    for label, file in files.items():
        speed = " | ".join(
            f"{np.median(times[n][label]):.1f} | "
            f"{np.median(times[n][label] / times[n][GOOGLE]):.2f}"
            for n in (1, 2)
        )
        mean, largest = points_px(file, net, images[-8:])
        print(
            f"| {label} | {len(file):,} | {sum(flatbuffer.histogram(file).values())} | {speed}"
            f" | {mean:.2g}, {largest:.2g} | {pck(file, people, 'regression')} |"
            f" {pck(file, people, 'refine')} |",
            flush=True,
        )
    print()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--people", type=int, default=1000, help="of lsp_test")
    parser.add_argument("--trade", action="store_true", help="which layers int8 should leave alone")
    args = parser.parse_args()
    people = read_annotations(args.shared / "data" / "lsp_test", evaluation=True)
    people = dataclasses.replace(people, people=people.people[: args.people])
    calibration = read_calibration_set(str(args.shared / "data" / "lsp_train"), BLAZEPOSE)
    print(f"jax {jax.__version__}, {jax.default_backend()}; {len(people.people)} people\n")
    for name in ("full",) if args.trade else ("full", "lite"):
        original = (args.shared / "models" / f"pose_landmark_{name}.tflite").read_bytes()
        net = StoredNetwork(
            name, "folded", import_tflite(original, name).variables, {}, "", "", BLAZEPOSE
        )
        images = crops_for(make_graph(net), calibration.images)
        files = files_of(original, net, images, trade=args.trade)
        print_table(name, files, net, images, people)


if __name__ == "__main__":
    main()
