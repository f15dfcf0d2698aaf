"""The bytes of .tflite files come in, networks that LiteRT runs leave."""

import os
from typing import Any

import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.models import FIELDS, MODELS
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import DetectorOutputs, Network, PoseOutputs
from blazepose_jax.weights.mediapipe import DETECTOR_OUTPUTS, tell_kind_of_outputs


class LiteRTModel:
    """A .tflite file as a callable of (B, S, S, 3) float32 arrays; B images run one by one."""

    def __init__(self, data: bytes, name: str, threads: int | None = None):
        """Load a model.

        Args:
          data: the .tflite file.
          name: what to call it in errors.
          threads: of the CPU; None for as many as there are cores.

        Raises:
          BlazePoseError: LiteRT is missing or refuses the file, or it is neither a detector nor a pose net.
        """
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise BlazePoseError("the litert runtime needs ai-edge-litert: pip install "
                                 "'blazepose_jax[litert]'") from error
        try:
            self._interpreter = Interpreter(model_content=data, num_threads=threads or os.cpu_count())
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise BlazePoseError(f"LiteRT refuses {name} ({reason}): fetch or export the file again") from error
        self._input = self._interpreter.get_input_details()[0]
        self._outputs = [d["index"] for d in self._interpreter.get_output_details()]
        shapes = tuple(tuple(int(n) for n in d["shape"]) for d in self._interpreter.get_output_details())
        self.kind = tell_kind_of_outputs(shapes, name)
        self.side = int(self._input["shape"][1])
        self._swap = self.kind == "detector" and shapes != DETECTOR_OUTPUTS

    def __call__(self, images: np.ndarray) -> Any:
        """Run on (B, S, S, 3) float32 normalised images; returns DetectorOutputs or PoseOutputs of numpy arrays."""
        runs = [self._run(np.asarray(image)[None]) for image in images]
        tensors = runs[0] if len(runs) == 1 else [np.concatenate(parts) for parts in zip(*runs, strict=True)]
        if self.kind == "detector":
            boxes, logits = reversed(tensors) if self._swap else tensors
            return DetectorOutputs(boxes, logits)
        landmarks, probability, mask, heatmap, world = tensors[:5]
        batch = landmarks.shape[0]
        # The file holds a probability where our networks hold a logit.
        p = np.clip(probability.astype(np.float64), 1e-15, 1 - 1e-7)
        logit = np.log(p / (1 - p)).astype(np.float32)
        return PoseOutputs(landmarks.reshape(batch, -1, len(FIELDS)), logit, mask, heatmap, None,
                           world.reshape(batch, -1, 3))

    def _run(self, image: np.ndarray) -> list[np.ndarray]:
        self._interpreter.set_tensor(self._input["index"], image)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


def litert_networks(files: dict[str, tuple[bytes, Skeleton | None]], threads: int | None = None) -> dict[str, Network]:
    """Wrap .tflite files as Networks; these cannot be traced by JAX, ``engine.LiteRTEngine`` calls them."""
    networks = {}
    for kind, (data, skeleton) in files.items():
        model = LiteRTModel(data, f"the {kind} .tflite", threads)
        if model.kind != kind:
            raise BlazePoseError(f"the {kind} .tflite holds a {model.kind} net: swap the two files")
        spec = MODELS["detector" if kind == "detector" else "full"]
        networks[kind] = Network(None, lambda _, images, model=model: model(images), model.side, spec.mean, spec.std,
                                 skeleton, FIELDS if kind == "pose" else ())
    return networks
