"""The same pipeline round two engines: networks and a frame come in, poses leave."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from blazepose_jax import inference
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference import Settings
from blazepose_jax.models import FIELDS, MODELS
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import DetectorOutputs, Frame, Network, PoseOutputs, Poses, TrackState
from blazepose_jax.weights.mediapipe import DETECTOR_OUTPUTS, tell_kind_of_outputs

# (state, frame, seconds since the previous frame) -> (state, poses)
Step = Callable[[TrackState, Frame, Any], tuple[TrackState, Poses]]


def jax_step(detector: Network, pose: Network, settings: Settings) -> Step:
    """One frame through ``inference.track``."""
    return partial(_jax_step, detector, pose, settings)


def _jax_step(detector: Network, pose: Network, settings: Settings, state: TrackState, frame: Frame,
              elapsed: float) -> tuple[TrackState, Poses]:
    return inference.track(detector, pose, state, frame, elapsed, settings=settings)


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
    """Wrap .tflite files as Networks; these cannot be traced by JAX, ``litert_step`` runs them."""
    networks = {}
    for kind, (data, skeleton) in files.items():
        model = LiteRTModel(data, f"the {kind} .tflite", threads)
        if model.kind != kind:
            raise BlazePoseError(f"the {kind} .tflite holds a {model.kind} net: swap the two files")
        spec = MODELS["detector" if kind == "detector" else "full"]
        networks[kind] = Network(None, lambda _, images, model=model: model(images), model.side, spec.mean, spec.std,
                                 skeleton, FIELDS if kind == "pose" else ())
    return networks


def litert_step(detector: Network, pose: Network, settings: Settings) -> Step:
    """One frame through LiteRT: the pipeline's own steps, jitted, round two calls.

    Args:
      detector: from ``litert_networks``.
      pose: from ``litert_networks``.
      settings: as for ``inference.track``; ``flip`` is not supported.

    Returns:
      A Step.

    Raises:
      BlazePoseError: ``flip`` is set.
    """
    if settings.flip:
        raise BlazePoseError("flip averaging runs in JAX only: leave out --flip or use --runtime jax")
    plain = {kind: net.replace(variables=None, apply=_no_network) for kind, net in
             (("detector", detector), ("pose", pose))}
    prepare_detection = jax.jit(partial(inference.detector_input, plain["detector"]))
    prepare_pose = jax.jit(partial(inference.pose_input, plain["pose"]))

    @jax.jit
    def admit(state: TrackState, outputs: DetectorOutputs, frame: Frame) -> TrackState:
        found = inference.read_detections(plain["detector"], outputs, frame, settings=settings)
        state = state.replace(detector_runs=state.detector_runs + 1)
        return inference.associate(state, found, settings=settings)

    @jax.jit
    def follow(state: TrackState, outputs: PoseOutputs, elapsed: float) -> tuple[TrackState, Poses]:
        return inference.follow(plain["pose"], state, outputs, elapsed, settings=settings)

    needed = {"mask": settings.mask, "world": settings.world, "heatmap": settings.decode != "regression"}

    def step(state: TrackState, frame: Frame, elapsed: float) -> tuple[TrackState, Poses]:
        if not np.asarray(state.active).all():
            state = admit(state, detector(np.asarray(prepare_detection(frame))), frame)
        elif state.active.shape[0] > 1:
            nobody = inference.no_detections(settings.max_people)
            state = inference.associate(state, nobody, settings=settings)
        crops = np.asarray(prepare_pose(frame, state.roi))
        outputs = run_active(pose, crops, np.asarray(state.active))
        outputs = outputs.replace(**{name: None for name, wanted in needed.items() if not wanted})
        return follow(state, outputs, np.float32(elapsed))

    return step


def run_active(pose: Network, crops: np.ndarray, active: np.ndarray) -> PoseOutputs:
    """Run the pose net on the crops of active slots; the others get zeros."""
    if active.all():
        return pose(crops)
    some = pose(crops[active] if active.any() else crops[:1] * 0)

    def spread(rows: np.ndarray) -> np.ndarray:
        out = np.zeros((len(active), *rows.shape[1:]), rows.dtype)
        if active.any():
            out[active] = rows
        return out

    return jax.tree.map(spread, some)


def _no_network(variables: Any, images: Any) -> Any:
    raise AssertionError("the LiteRT steps never call the network")
