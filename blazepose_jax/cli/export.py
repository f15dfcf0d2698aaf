"""Weights come in.

A .tflite, .task, .onnx or SavedModel leaves, with a report of how far it lies from JAX.
"""

import dataclasses
import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from blazepose_jax.errors import BlazePoseError, ParityError, check_name
from blazepose_jax.evaluation.predict import predict, shared_keypoints
from blazepose_jax.evaluation.report import choose_torso, hits_by_person
from blazepose_jax.export import flatbuffer, jax2tf_backend, onnx_backend
from blazepose_jax.export.bundle import task_bytes
from blazepose_jax.export.calibration import CalibrationSet, crops_for, read_calibration_set
from blazepose_jax.export.convert import BACKENDS, to_tflite
from blazepose_jax.export.graph import Graph, make_graph
from blazepose_jax.export.mediapipe_rows import ROWS, left_out
from blazepose_jax.export.parity import Difference, compare, run_jax, run_tflite
from blazepose_jax.export.quantize import PRECISIONS
from blazepose_jax.inference import Settings
from blazepose_jax.inference.jax_engine import JaxEngine
from blazepose_jax.inference.litert import litert_networks
from blazepose_jax.inference.litert_engine import LiteRTEngine
from blazepose_jax.io.files import OutputFolder, write_bytes, write_text
from blazepose_jax.io.output_checks import check_outputs
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.weights import StoredNetwork, TFLiteFile, load_weights, read_stored

ALLOWED_DROP = 1.0  # points of PCK@0.2


@dataclasses.dataclass(frozen=True)
class ExportedNetwork:
    """One exported network.

    Attributes:
      graph: what was exported.
      data: the file's bytes; empty for a SavedModel, which is a folder.
      differences: from JAX.
      operators: {TFLite operator: how many}.
    """

    graph: Graph
    data: bytes
    differences: list[Difference]
    operators: dict[str, int]


def run(args: Namespace) -> None:
    """``blazepose export``."""
    output = Path(args.output)
    check_arguments(args, output)
    nets = read_nets(args)
    skeleton = nets["pose"].skeleton if "pose" in nets else None
    material = read_calibration_set(args.calibration, skeleton or BLAZEPOSE, args.images)
    check_outputs(
        (args.json, args.output if output.suffix else None),
        (args.weights, args.detector, *material.files),
    )
    if output.suffix == "":
        part, place = export_saved_model(next(iter(nets.values())), output, args, material)
        if args.json:
            write_text(
                Path(args.json),
                json.dumps(as_json(args, place, {part.graph.kind: part}, {}), indent=2) + "\n",
            )
        print_report(part, {})
        print(f"wrote {place}")
        if place != output:
            raise ParityError(f"{place} lies too far from JAX: use --backend litert with a .tflite")
        return
    parts = {
        kind: export_part(net, args, material, mediapipe=wants_mediapipe_rows(net, output))
        for kind, net in nets.items()
    }
    data = (
        task_bytes(parts["detector"].data, parts["pose"].data)
        if output.suffix == ".task"
        else next(iter(parts.values())).data
    )
    drop = measure_drop(nets["pose"], parts["pose"], args, material) if "pose" in parts else {}
    bad = [
        f"{d.output}: mean {d.mean:.3g} {d.unit}, allowed {d.allowed:.3g}"
        for part in parts.values()
        for d in part.differences
        if not d.passes
    ]
    if drop and drop["drop"] > ALLOWED_DROP + 2 * drop["standard_error"]:
        bad.append(
            f"PCK@0.2 falls by {drop['drop']:.2f} (standard error {drop['standard_error']:.2f}),"
            f" allowed {ALLOWED_DROP}"
        )
    path = output if not bad else output.with_name(f"{output.stem}.parity-failed{output.suffix}")
    write_bytes(path, data)
    if args.json:
        write_text(Path(args.json), json.dumps(as_json(args, path, parts, drop), indent=2) + "\n")
    for part in parts.values():
        print_report(part, drop if part.graph.kind == "pose" else {})
    print(f"wrote {path}, {len(data):,} bytes")
    if output.suffix == ".task" and args.precision in ("dynamic", "int8"):
        print(f"{args.precision} runs on CPUs; MediaPipe's web GPU takes float32 and float16 alone")
    if bad:
        raise ParityError(
            f"{path} lies too far from JAX ({'; '.join(bad)}): use a higher --precision or more "
            "photographs to calibrate with"
        )


def check_arguments(args: Namespace, output: Path) -> None:
    """Everything that can be said before the work starts.

    Raises:
      BlazePoseError: unknown names, an unknown suffix, a folder, options that exclude each other.
    """
    check_name(args.precision, PRECISIONS, "precision")
    check_name(args.backend, BACKENDS, "backend")
    if args.part is not None:
        check_name(args.part, ("pose", "detector"), "part")
    if output.suffix not in (".tflite", ".task", ".onnx", ""):
        raise BlazePoseError(
            f"output {args.output!r} ends in {output.suffix!r}: known are .tflite, .task, .onnx,"
            " and a new path without suffix for a SavedModel"
        )
    if output.suffix == ".onnx" and args.precision != "float32":
        raise BlazePoseError(f"an .onnx is float32: name a .tflite for {args.precision}")
    check_outputs(
        (args.json, args.output if output.suffix else None), (args.weights, args.detector)
    )
    if output.suffix == "":
        if output.exists():
            raise BlazePoseError(
                f"output {args.output!r} exists: a SavedModel is a new folder; name one"
            )
        if not output.absolute().parent.is_dir():
            raise BlazePoseError(
                f"output {args.output!r} lies in a folder that does not exist: make it first"
            )
        if args.precision != "float32" or args.backend != "jax2tf":
            raise BlazePoseError(
                "a SavedModel is float32 and written by --backend jax2tf: name a .tflite for "
                f"{args.precision} by {args.backend}"
            )
    if (
        not (args.batch.isascii() and args.batch.isdigit() and len(args.batch) < 6)
        or int(args.batch) < 1
    ):
        raise BlazePoseError(
            f"batch is {args.batch!r:.40}: it must be a whole number of at least 1"
        )
    if output.suffix == ".task" and int(args.batch) != 1:
        raise BlazePoseError(
            f"batch is {args.batch}: MediaPipe gives a .task one image at a time; leave --batch"
            " out, or export a .tflite"
        )
    if output.suffix == ".task" and args.part is not None:
        raise BlazePoseError(
            f"a .task holds both networks: leave out --part {args.part}, or name a .tflite"
        )
    if args.precision == "int8" and args.calibration is None:
        raise BlazePoseError(
            "int8 needs the ranges of activations on real people: give --calibration DIR, a folder "
            "with annotations.json in COCO's format"
        )


def read_nets(args: Namespace) -> dict[str, StoredNetwork]:
    """The networks to export, detector first.

    Raises:
      BlazePoseError: one that is wanted is missing.
    """
    nets = read_stored(args.weights, args.detector)
    if Path(args.output).suffix == ".task":
        if lacking := [kind for kind in ("detector", "pose") if kind not in nets]:
            option = "--detector W" if lacking[0] == "detector" else "--weights W"
            raise BlazePoseError(
                f"{args.weights} holds no {lacking[0]}: a .task needs both networks; give one with "
                f"{option}"
            )
        return {kind: nets[kind] for kind in ("detector", "pose")}
    part = args.part or ("pose" if "pose" in nets else "detector")
    if part not in nets:
        raise BlazePoseError(f"{args.weights} holds no {part}: it has {', '.join(nets)}")
    return {part: nets[part]}


def wants_mediapipe_rows(net: StoredNetwork, output: Path) -> bool:
    """A .task always; a .tflite where the rows are MediaPipe's anyway."""
    own = net.skeleton is not None and net.skeleton.keypoints != BLAZEPOSE.keypoints
    return output.suffix == ".task" or (net.skeleton is not None and not own)


def export_part(
    net: StoredNetwork, args: Namespace, material: CalibrationSet, *, mediapipe: bool
) -> ExportedNetwork:
    """Convert one network and compare the file with JAX."""
    if mediapipe and net.skeleton is not None and (lost := left_out(net)):
        print(f"MediaPipe has no row for {', '.join(lost)}: left out")
    graph = make_graph(net, batch=int(args.batch), mediapipe=mediapipe)
    crops = crops_for(graph, material.images)
    data = to_tflite(
        graph, backend=args.backend, precision=args.precision, crops=crops, licence=net.licence
    )
    reference = make_graph(net, batch=int(args.batch), mediapipe=mediapipe, convolution="auto")
    few = crops_for(graph, material.judged)
    operators = dict(flatbuffer.histogram(data).most_common())
    if Path(args.output).suffix == ".onnx":
        data = onnx_backend.convert(data)
        found = onnx_backend.run(data, graph, few)
    else:
        found = run_tflite(data, graph, few)
    differences = compare(graph, found, run_jax(reference, few), args.precision)
    return ExportedNetwork(graph, data, differences, operators)


def export_saved_model(
    net: StoredNetwork, output: Path, args: Namespace, material: CalibrationSet
) -> tuple[ExportedNetwork, Path]:
    """Write a SavedModel and compare it.

    What was written, and where, as one that fails gets a name that says so.
    """
    graph = make_graph(
        net, batch=int(args.batch), convolution="xla", mediapipe=wants_mediapipe_rows(net, output)
    )
    crops, folder = crops_for(graph, material.judged), OutputFolder(output)
    try:
        jax2tf_backend.save(graph, folder.part)
        rows = compare(
            graph,
            jax2tf_backend.run_saved(folder.part, graph, crops),
            run_jax(graph, crops),
            "float32",
        )
        passes = all(row.passes for row in rows)
        if not passes:
            folder.path = output.with_name(f"{output.name}.parity-failed")
        folder.finish(replace=not passes)
    finally:
        folder.discard()
    return ExportedNetwork(graph, b"", rows, {}), output if passes else folder.path


def measure_drop(
    net: StoredNetwork, part: ExportedNetwork, args: Namespace, material: CalibrationSet
) -> dict[str, Any]:
    """PCK@0.2 of the file and of float32 JAX, on the people that calibrated nothing.

    Empty where it says nothing.
    """
    if material.measured is None or args.precision == "float32" or part.graph.batch != 1:
        return {}
    settings = Settings(decode="refine")
    skeleton = BLAZEPOSE if part.graph.keypoints == ROWS else net.skeleton
    file = TFLiteFile(part.data, skeleton, part.graph.fields)
    weights = load_weights(args.weights)
    hits, total = {}, np.zeros(0)
    for name, engine in (
        ("jax", JaxEngine(None, weights.pose, settings, net.model)),
        ("file", LiteRTEngine(None, litert_networks({"pose": file})["pose"], settings, net.model)),
    ):
        names = shared_keypoints(engine, material.measured.names)
        predictions = predict(engine, material.measured, "truth", material.measured.people)
        torso = choose_torso("lsp", material.measured.names, engine.skeleton)
        hits[name], total = hits_by_person(predictions, material.measured, names, torso)
    rates = {name: round(100 * float(found.sum() / total.sum()), 2) for name, found in hits.items()}
    # People differ: of a few, a difference of a point or two is chance.
    lost = hits["jax"] - hits["file"]
    error = 100 * float(np.sqrt(((lost - lost.mean()) ** 2).sum()) / total.sum())
    return {
        **rates,
        "drop": rates["jax"] - rates["file"],
        "standard_error": error,
        "people": len(total),
    }


def print_report(part: ExportedNetwork, drop: dict[str, Any]) -> None:
    """Print the report of one part."""
    size = (
        f", {len(part.data):,} bytes, {sum(part.operators.values())} operators" if part.data else ""
    )
    print(f"{part.graph.kind} ({part.graph.model}){size}; against JAX on real crops:")
    for row in part.differences:
        print(f"  {row.output:<12} mean {row.mean:.2g}, largest {row.largest:.2g} {row.unit}")
    if drop:
        print(
            f"  PCK@0.2 {drop['file']} where float32 in JAX has {drop['jax']} ({drop['people']}"
            f" people, standard error of the difference {drop['standard_error']:.2f})"
        )


def as_json(
    args: Namespace, path: Path, parts: dict[str, ExportedNetwork], drop: dict[str, Any]
) -> dict[str, Any]:
    """The report as plain data."""
    return {
        "output": path.name,
        "precision": args.precision,
        "backend": args.backend,
        "pck@0.2": drop or None,
        "parts": {
            kind: {
                "model": part.graph.model,
                "bytes": len(part.data),
                "operators": part.operators,
                "differences": [dataclasses.asdict(row) for row in part.differences],
            }
            for kind, part in parts.items()
        },
    }
