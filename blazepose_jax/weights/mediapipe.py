"""Google's .tflite files come in, the name of the network and its folded variables leave."""

import dataclasses
from typing import Any

import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.models import MODELS, LayerConfig, create_model
from blazepose_jax.models.summary import ConvCall, conv_calls
from blazepose_jax.weights.tflite import TFLiteModel, read_tflite

# Output shapes in index order; the contract of MediaPipe Tasks binds by it.
DETECTOR_OUTPUTS = ((1, 2254, 12), (1, 2254, 1))
POSE_OUTPUTS = ((1, 195), (1, 1), (1, 256, 256, 1), (1, 64, 64, 39), (1, 117))
_CANDIDATES = {"detector": ("detector",), "pose": ("lite", "full", "heavy")}


@dataclasses.dataclass(frozen=True)
class Imported:
    """A network read from a .tflite file."""

    name: str  # a key of MODELS
    kind: str  # "detector" or "pose"
    variables: dict[str, Any]  # folded, numpy arrays


def import_tflite(data: bytes, name: str) -> Imported:
    """Turn a released .tflite file into variables.

    Args:
      data: the file's bytes.
      name: what to call it in errors.

    Returns:
      The network, told apart by its shapes.

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
        kernels = [c.kernel.shape for c in model.convolutions]
        if kernels == [call.kernel_shape for call in calls]:
            return Imported(candidate, kind, {"params": _assemble(calls, model)})
    raise BlazePoseError(
        f"{name} has the outputs of a {kind} net but the {len(model.convolutions)} convolutions of"
        f" none known ({', '.join(_CANDIDATES[kind])}): import one of Google's files, or run this"
        " one with --runtime litert"
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
        " mediapipe 0.8.7 or newer, or run this file with --runtime litert"
    )


def _assemble(calls: list[ConvCall], model: TFLiteModel) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for call, conv in zip(calls, model.convolutions, strict=True):
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
