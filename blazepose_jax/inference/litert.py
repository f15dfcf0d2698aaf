"""Networks that LiteRT runs, from the bytes of .tflite files."""

import hashlib
import os
from collections.abc import Collection
from functools import partial
from typing import Any

import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.export.flatbuffer import prune
from blazepose_jax.export.graph import OUTPUTS
from blazepose_jax.io.cache import graphs_cache, remembered
from blazepose_jax.models import MODELS
from blazepose_jax.structs import DetectorOutputs, Network, PoseOutputs
from blazepose_jax.weights import TFLiteFile
from blazepose_jax.weights.mediapipe import DETECTOR_OUTPUTS, tell_kind_of_outputs
from blazepose_jax.weights.tflite import load_schema
from blazepose_jax.weights.tflite_check import check_tflite


class LiteRTModel:
    """A .tflite file as a callable of (B, S, S, 3) float32 arrays; B images run one by one."""

    def __init__(
        self,
        file: TFLiteFile,
        name: str,
        threads: int | None = None,
        without: Collection[str] = (),
    ):
        """Load a model.

        Args:
          file: the .tflite file.
          name: what to call it in errors.
          threads: of the CPU; None for as many as there are cores.
          without: outputs that nobody asks for, such as ``mask``, and all that only they need.

        Raises:
          BlazePoseError: LiteRT is missing or refuses the file, or it is neither a detector nor a
            pose net.
        """
        check_tflite(file.data, name, load_schema())
        interpreter = open_interpreter(file.data, name, threads)
        self.kind, self._outputs = _outputs_of(interpreter, name)
        if not self._outputs.keys().isdisjoint(without):
            kept = {key: i for key, i in self._outputs.items() if key not in without}
            interpreter = open_interpreter(_pruned(file.data, kept), name, threads)
            self.kind, self._outputs = _outputs_of(interpreter, name)
        self._interpreter, self._fields = interpreter, file.fields
        self._input = self._interpreter.get_input_details()[0]
        self.side = int(self._input["shape"][1])
        if int(self._input["shape"][0]) != 1:
            raise BlazePoseError(
                f"{name} takes {self._input['shape'][0]} images at once: the tracker needs one; "
                "export it with --batch 1"
            )

    def __call__(self, images: np.ndarray) -> DetectorOutputs | PoseOutputs:
        """Run the file.

        Args:
          images: (B, S, S, 3) float32, normalised.

        Returns:
          DetectorOutputs or PoseOutputs of numpy arrays, by ``kind``.
        """
        runs = [self._run(np.asarray(image, np.float32)[None]) for image in images]
        tensors = (
            runs[0]
            if len(runs) == 1
            else [np.concatenate(parts) for parts in zip(*runs, strict=True)]
        )
        found = dict(zip(self._outputs, tensors, strict=True))
        if self.kind == "detector":
            return DetectorOutputs(found["boxes"], found["scores"])
        batch = len(images)
        # The file holds a probability where our networks hold a logit.
        p = np.clip(found["presence"].astype(np.float64), 1e-15, 1 - 1e-7)
        logit = np.log(p / (1 - p)).astype(np.float32)
        world = found.get("world")
        return PoseOutputs(
            found["landmarks"].reshape(batch, -1, len(self._fields)),
            logit,
            found.get("mask"),
            found.get("heatmap"),
            None,
            None if world is None else world.reshape(batch, -1, 3),
        )

    def _run(self, image: np.ndarray) -> list[np.ndarray]:
        self._interpreter.set_tensor(self._input["index"], image)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs.values()]


def open_interpreter(data: bytes, name: str, threads: int | None) -> Any:
    """LiteRT's Interpreter of a checked file; see ``LiteRTModel``."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise BlazePoseError(
            "the litert runtime needs ai-edge-litert: pip install 'blazepose_jax[litert]'"
        ) from error
    try:
        interpreter = Interpreter(model_content=data, num_threads=threads or os.cpu_count())
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BlazePoseError(
            f"LiteRT refuses {name} ({reason}): fetch or export the file again"
        ) from error
    return interpreter


def _outputs_of(interpreter: Any, name: str) -> tuple[str, dict[str, int]]:
    """The kind of a file, and {output's name: its tensor's index}.

    Our files name their outputs, and leave out what the net does not predict; Google's go by their
    order.
    """
    details = interpreter.get_output_details()
    named = _named_outputs(interpreter, details)
    for kind, names in OUTPUTS.items():
        if names[0] in named:
            return kind, {key: named[key] for key in names if key in named}
    shapes = tuple(tuple(int(n) for n in d["shape"]) for d in details)
    kind = tell_kind_of_outputs(shapes, name)
    swapped = kind == "detector" and shapes != DETECTOR_OUTPUTS
    names = OUTPUTS[kind][::-1] if swapped else OUTPUTS[kind]
    return kind, {key: int(d["index"]) for key, d in zip(names, details, strict=False)}


def _named_outputs(interpreter: Any, details: list[dict[str, Any]]) -> dict[str, int]:
    """{output's name: its tensor's index}.

    Names are those of the file's signature, as a quantiser renames tensors; without exactly one
    signature, those of the tensors.
    """
    keys = list(interpreter.get_signature_list())
    if len(keys) != 1:
        return {str(d["name"]): int(d["index"]) for d in details}
    signed = interpreter.get_signature_runner(keys[0]).get_output_details()
    return {name: int(detail["index"]) for name, detail in signed.items()}


def _pruned(data: bytes, outputs: dict[str, int]) -> bytes:
    """A .tflite for these outputs, named, alone; made once and kept in the cache."""
    key = f"{hashlib.sha256(data).hexdigest()[:32]}-{'-'.join(outputs)}.tflite"
    return remembered(graphs_cache() / key, lambda: prune(data, outputs))


def litert_networks(
    files: dict[str, TFLiteFile], threads: int | None = None, without: Collection[str] = ()
) -> dict[str, Network]:
    """Wrap .tflite files as Networks, which JAX cannot trace: ``LiteRTEngine`` calls them.

    Args:
      files: by kind, ``detector`` and ``pose``.
      threads: of the CPU; None for as many as there are cores.
      without: outputs that nobody asks for; see ``LiteRTModel``.

    Returns:
      {kind: Network}.

    Raises:
      BlazePoseError: LiteRT is missing or refuses a file, or a file holds the other kind.
    """
    networks = {}
    for kind, file in files.items():
        model = LiteRTModel(file, f"the {kind} .tflite", threads, without)
        if model.kind != kind:
            raise BlazePoseError(f"the {kind} .tflite holds a {model.kind} net: swap the two files")
        google = MODELS["detector" if kind == "detector" else "full"]
        mean, std = file.normalisation or (google.mean, google.std)
        networks[kind] = Network(
            None,
            partial(_call, model),
            model.side,
            mean,
            std,
            file.skeleton,
            file.fields if kind == "pose" else (),
            file.decode,
        )
    return networks


def _call(model: LiteRTModel, variables: None, images: np.ndarray) -> DetectorOutputs | PoseOutputs:
    """``Network.apply`` of a file, which holds its variables itself."""
    return model(images)
