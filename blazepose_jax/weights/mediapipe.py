"""MediaPipe's released networks, imported from its files or its installed package."""

import dataclasses
import importlib.util
import io
import json
import math
import zipfile
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.models import MODELS, LayerConfig, create_model
from blazepose_jax.models.summary import ConvCall, conv_calls
from blazepose_jax.skeleton import BLAZEPOSE, ROI_POINTS
from blazepose_jax.structs import Variables
from blazepose_jax.weights.archive import (
    NPM_MEMBERS,
    WHEEL_MEMBERS,
    read_npm,
    read_task,
    read_wheel,
)
from blazepose_jax.weights.description import KINDS, NAME, read_description
from blazepose_jax.weights.directory import StoredNetwork, save_weights
from blazepose_jax.weights.names import LICENCE
from blazepose_jax.weights.tflite import Convolution, read_tflite

# In the .tflite files of blazepose export (export/description.py).
EXPORT_DESCRIPTION = "blazepose.json"
# What reading it from a damaged or foreign file raises.
UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError),
    *(KeyError, NotImplementedError, RuntimeError, ValueError),
)
MAX_DESCRIPTION, MAX_TEXT = 2**20, 2000  # bytes; characters of a source or licence
# What Apache-2.0 wants said of changed files.
CHANGES = (
    "the .tflite is as it came; the .safetensors holds its constants as dense float32, renamed"
)
DEFAULT_POSE = next(iter(NPM_MEMBERS))
# Output shapes in index order, by which MediaPipe Tasks bind (docs/mediapipe.md, 4.2 and 4.3).
DETECTOR_OUTPUTS = ((1, 2254, 12), (1, 2254, 1))
POSE_OUTPUTS = ((1, 195), (1, 1), (1, 256, 256, 1), (1, 64, 64, 39), (1, 117))
_CANDIDATES = {"detector": ("detector",), "pose": ("lite", "full", "heavy")}


@dataclasses.dataclass(frozen=True)
class Imported:
    """A network read from a .tflite file."""

    name: str  # a key of MODELS
    kind: str  # "detector" or "pose"
    variables: Variables  # folded, numpy arrays


def import_tflite(data: bytes, name: str) -> Imported:
    """Turn a released .tflite file into variables.

    Args:
      data: the file's bytes.
      name: what to call it in errors.

    Returns:
      The network, recognised by its shapes.

    Raises:
      BlazePoseError: damaged, or none of the released networks.
    """
    model = read_tflite(data, name)
    kind = tell_kind_of_outputs(model.output_shapes, name)
    for candidate in _CANDIDATES[kind]:
        calls = conv_calls(
            create_model(candidate, LayerConfig("folded", convolution="xla")),
            MODELS[candidate].side,
        )
        # Those of a decode in the graph have shapes that no network has.
        shapes = {call.kernel_shape for call in calls}
        convolutions = [c for c in model.convolutions if c.kernel.shape in shapes]
        if [c.kernel.shape for c in convolutions] == [call.kernel_shape for call in calls]:
            return Imported(candidate, kind, {"params": _assemble(calls, convolutions)})
    raise BlazePoseError(
        f"{name} has the outputs of a {kind} net but the {len(model.convolutions)} convolutions of"
        f" none known ({', '.join(_CANDIDATES[kind])}): import one of Google's files, or run this"
        " one, in a .task, with --runtime litert"
    )


def tell_kind_of_outputs(shapes: tuple[tuple[int, ...], ...], name: str) -> str:
    """Return ``detector`` or ``pose``.

    Args:
      shapes: of the outputs, in index order.
      name: what to call the file in errors.

    Raises:
      BlazePoseError: neither.
    """
    if sorted(shapes) == sorted(DETECTOR_OUTPUTS):
        return "detector"
    if shapes == POSE_OUTPUTS:
        return "pose"
    raise BlazePoseError(
        f"{name} has the outputs {list(shapes)}: a detector has {list(DETECTOR_OUTPUTS)}, a pose"
        f" net {list(POSE_OUTPUTS)}; give pose_detection.tflite or a pose_landmark_*.tflite from"
        " mediapipe 0.8.7 or newer, or run this file, in a .task, with --runtime litert"
    )


def _assemble(calls: list[ConvCall], convolutions: list[Convolution]) -> Variables:
    """Nested parameters from the convolutions, which both sides list in the same order."""
    params: Variables = {}
    for call, conv in zip(calls, convolutions, strict=True):
        node = params
        for part in call.path:
            node = node.setdefault(part, {})
        node["kernel"] = conv.kernel
        if call.has_bias:
            node["bias"] = conv.bias
        elif np.any(conv.bias):
            raise BlazePoseError(
                f"the convolution {'/'.join(call.path)} has a bias where the released net has none"
            )
    return params


def import_weights(
    sources: Sequence[str | Path], directory: str | Path, *, pose: str = DEFAULT_POSE
) -> dict[str, StoredNetwork]:
    """Turn Google's files into a weights directory.

    Args:
      sources: .task, .tflite, mediapipe wheel and npm package (.tgz) files, or the word
        ``mediapipe`` for the installed package.
      directory: where to write.
      pose: which pose net of a .tgz, which has several: ``heavy``, ``full`` or ``lite``.

    Returns:
      What was written, by kind.

    Raises:
      BlazePoseError: unreadable, unknown, or two networks of one kind.
    """
    check_name(pose, NPM_MEMBERS, "pose net")
    files: dict[str, bytes] = {}
    for source in sources:
        for name, data in _read_source(source, pose).items():
            # Model hubs call many a file 1.tflite.
            files[f"{source}: {name}" if name in files else name] = data
    networks = import_files(files)
    _check_replaced(Path(directory), networks)
    save_weights(Path(directory), networks)
    return networks


def _check_replaced(directory: Path, networks: dict[str, StoredNetwork]) -> None:
    """Refuse to write over networks that are not imported now, or that were trained."""
    try:
        before = read_description(directory) if (directory / NAME).is_file() else {}
    except BlazePoseError:  # of damaged weights nothing is lost
        return
    for kind, entry in before.items():
        if kind not in networks or "tflite" not in entry:
            what = "trained" if kind in networks else "not among the files"
            raise BlazePoseError(
                f"{directory} holds a {kind} net that is {what} and would be lost: name another"
                " folder, or import all files in one command"
            )


def import_files(files: dict[str, bytes]) -> dict[str, StoredNetwork]:
    """Turn the contents of released .tflite files into networks.

    Args:
      files: by name, which is kept as the source.

    Returns:
      {kind: StoredNetwork}.

    Raises:
      BlazePoseError: damaged, unknown, or two networks of one kind.
    """
    networks: dict[str, StoredNetwork] = {}
    for name, data in files.items():
        net = import_tflite(data, name)
        if net.kind in networks:
            raise BlazePoseError(
                f"{name} is a second {net.kind} net next to {networks[net.kind].source}: a weights "
                f"directory holds at most one of each of {', '.join(KINDS)}"
            )
        _check_rows(data, name)
        source, licence = _told_by(data)
        networks[net.kind] = StoredNetwork(
            net.name,
            "folded",
            net.variables,
            {},
            f"{name} ({source})" if source else name,
            licence or LICENCE,
            BLAZEPOSE if net.kind == "pose" else None,
            data,
            changes=CHANGES,
        )
    return networks


def _told_by(data: bytes) -> tuple[str, str]:
    """Source and licence in the description that this package's exports carry; "" without one.

    Networks that were fine-tuned, exported and imported again keep the notice of what they came
    from.
    """
    told = _description(data)
    texts = [
        text[:MAX_TEXT] for key in ("source", "licence") if isinstance(text := told.get(key), str)
    ]
    return (texts[0], texts[1]) if len(texts) == 2 else ("", "")


def _check_rows(data: bytes, name: str) -> None:
    """Refuse an export whose graph computes the ROI's rows, which its network does not predict."""
    names = _description(data).get("own_names")
    rows = range(len(BLAZEPOSE.keypoints), len(BLAZEPOSE.keypoints + ROI_POINTS))
    if isinstance(names, list) and any(names[i : i + 1] == [""] for i in rows):
        raise BlazePoseError(
            f"{name} computes the points of the next ROI from others, which its network predicts:"
            " run it with --runtime litert, or take the weights that it was made of"
        )


def input_of(data: bytes) -> tuple[float, float] | None:
    """(mean, std) of grey levels that one of this package's exports states; None in others."""
    told = _description(data).get("input")
    values = [told.get(key) for key in ("mean", "std")] if isinstance(told, dict) else []
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    try:
        mean, std = map(float, numbers)
    except (OverflowError, ValueError):  # of more digits than a float takes; of other values
        return None
    return (mean, std) if math.isfinite(mean) and math.isfinite(std) and std > 0 else None


def decode_of(data: bytes) -> str:
    """What x and y of a pose .tflite's landmarks are: ``heatmap`` where its graph decodes them."""
    decode = _description(data).get("decode")
    is_decoded = isinstance(decode, dict) and decode.get("landmarks") == "heatmap"
    return "heatmap" if is_decoded else "regression"


def _description(data: bytes) -> dict[str, Any]:
    """The description in one of this package's exports; empty for any other file."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if archive.getinfo(EXPORT_DESCRIPTION).file_size > MAX_DESCRIPTION:
                return {}
            told = json.loads(archive.read(EXPORT_DESCRIPTION))
    except UNREADABLE:
        return {}
    return told if isinstance(told, dict) else {}


def _read_source(source: str | Path, pose: str) -> dict[str, bytes]:
    path = Path(source)
    if str(source) == "mediapipe" and not path.exists():
        return _read_installed()
    if not path.is_file():
        raise BlazePoseError(
            f"source {str(source)!r} is no file: give a .task, a .tflite, a mediapipe wheel, the"
            " .tgz of @mediapipe/pose, or the word mediapipe for the installed package"
        )
    readers = {".task": read_task, ".whl": read_wheel, ".tgz": partial(read_npm, pose=pose)}
    if path.suffix in readers:
        return {f"{path.name}:{kind}": data for kind, data in readers[path.suffix](path).items()}
    if path.suffix == ".tflite":
        return {path.name: path.read_bytes()}
    raise BlazePoseError(
        f"source {str(source)!r} ends in {path.suffix!r}: known are .task, .tflite, .whl and .tgz"
    )


def _read_installed() -> dict[str, bytes]:
    spec = importlib.util.find_spec("mediapipe")
    if spec is None or not spec.submodule_search_locations:
        raise BlazePoseError(
            "the package mediapipe is not installed: pip install mediapipe==0.10.21, or give a file"
        )
    root = Path(spec.submodule_search_locations[0]).parent
    paths = [root / member for member in WHEEL_MEMBERS.values()]
    if lacking := [p for p in paths if not p.is_file()]:
        raise BlazePoseError(
            f"the installed mediapipe has no {lacking[0].name}: versions after 0.10.21 ship no "
            "models; give its wheel or a .task"
        )
    return {p.name: p.read_bytes() for p in paths}
