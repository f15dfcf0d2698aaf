"""Weights come in, an engine leaves.

Track, detect, estimate, by JAX or by LiteRT round the same jitted steps.
"""

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.codecs import landmarks
from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.export.convert import to_native_tflite
from blazepose_jax.inference import pipeline
from blazepose_jax.inference.litert import litert_networks
from blazepose_jax.inference.pipeline import Settings
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import (
    ROI,
    Detections,
    DetectorOutputs,
    Frame,
    Network,
    PoseOutputs,
    Poses,
    TrackState,
)
from blazepose_jax.weights import Weights, load_weights, read_tflite_files

RUNTIMES = ("jax", "litert")


class JaxEngine:
    """The networks traced into one program per step.

    Attributes:
      skeleton: what the keypoints mean.
      model: the networks' names.
    """

    def __init__(
        self, detector: Network | None, pose: Network | None, settings: Settings, model: str
    ):
        self._detector, self._pose, self._settings, self.model = (
            detector,
            required(pose, "pose net"),
            settings,
            model,
        )
        if self._pose.skeleton is None:
            raise BlazePoseError(
                "the pose net has no skeleton: its model.json must name its keypoints"
            )
        self.skeleton: Skeleton = self._pose.skeleton
        if settings.flip and not self.skeleton.mirrors:
            warnings.warn(
                f"flip does nothing for {self.skeleton.name!r}: {self.skeleton.describe_sides()}",
                stacklevel=2,
            )

    @property
    def detector(self) -> Network:
        """The detector; an error where the weights hold none."""
        return required(self._detector, "detector")

    def step(self, state: TrackState, frame: Frame, elapsed: Any) -> tuple[TrackState, Poses]:
        """``inference.track``."""
        return pipeline.track(
            self.detector, self._pose, state, frame, elapsed, settings=self._settings
        )

    def detect(self, frame: Frame) -> Detections:
        """``inference.detect``."""
        return pipeline.detect(self.detector, frame, settings=self._settings)

    def estimate(self, frame: Frame, roi: ROI) -> Poses:
        """``inference.estimate``."""
        return pipeline.estimate(self._pose, frame, roi, settings=self._settings)


class LiteRTEngine(JaxEngine):
    """The pipeline's own steps, jitted one by one, round calls of LiteRT."""

    def __init__(
        self, detector: Network | None, pose: Network | None, settings: Settings, model: str
    ):
        super().__init__(detector, pose, settings, model)
        eyes, body = _without_calls(detector), _without_calls(pose)
        self._letterbox = jax.jit(lambda frame: pipeline.detector_input(eyes, frame))
        self._crop = jax.jit(lambda frame, roi: pipeline.pose_input(body, frame, roi))
        self._mirror = jax.jit(landmarks.mirror)

        @jax.jit
        def found(outputs: DetectorOutputs, frame: Frame) -> Detections:
            return pipeline.read_detections(eyes, outputs, frame, settings=settings)

        @jax.jit
        def admit(state: TrackState, detections: Detections, ran: Any) -> TrackState:
            state = state.replace(detector_runs=state.detector_runs + ran)
            return pipeline.associate(state, detections, settings=settings)

        @jax.jit
        def follow(
            state: TrackState, outputs: PoseOutputs, elapsed: Any
        ) -> tuple[TrackState, Poses]:
            return pipeline.follow(body, state, outputs, elapsed, settings=settings)

        @jax.jit
        def read(outputs: PoseOutputs, roi: ROI) -> Poses:
            count = roi.side.shape[0]
            return pipeline.read_poses(
                body, outputs, roi, jnp.ones(count, bool), jnp.arange(count), settings
            )[0]

        @jax.jit
        def average(outputs: PoseOutputs, mirrored: PoseOutputs) -> PoseOutputs:
            return landmarks.average_mirrored(
                outputs, mirrored, body.skeleton.flip, body.fields, body.side
            )

        self._found, self._admit, self._follow, self._read, self._average = (
            found,
            admit,
            follow,
            read,
            average,
        )

    def step(self, state: TrackState, frame: Frame, elapsed: Any) -> tuple[TrackState, Poses]:
        """One frame, as ``inference.track``."""
        slots = state.active.shape[0]
        if not np.asarray(state.active).all():
            state = self._admit(state, self.detect(frame), 1)
        elif slots > 1:
            state = self._admit(state, pipeline.no_detections(slots), 0)
        crops = np.asarray(self._crop(frame, state.roi))
        outputs = self._run(crops, np.asarray(state.active))
        return self._follow(state, outputs, np.float32(elapsed))

    def detect(self, frame: Frame) -> Detections:
        """As ``inference.detect``."""
        return self._found(self.detector(np.asarray(self._letterbox(frame))), frame)

    def estimate(self, frame: Frame, roi: ROI) -> Poses:
        """As ``inference.estimate``."""
        crops = np.asarray(self._crop(frame, roi))
        return self._read(self._run(crops, np.ones(len(crops), bool)), roi)

    def _run(self, crops: np.ndarray, active: np.ndarray) -> PoseOutputs:
        """The pose net on the crops of active slots; the others get zeros."""
        wanted = crops if active.all() else crops[active]
        if not len(wanted):
            # nobody: any answer, which nobody reads
            wanted, active = (
                crops[:1],
                np.arange(len(crops)) < 1,
            )
        outputs = self._drop(self._pose(wanted))
        if self._settings.flip and self.skeleton.mirrors:
            outputs = self._average(
                outputs, self._drop(self._pose(np.asarray(self._mirror(wanted))))
            )

        def spread(rows: Any) -> np.ndarray:
            out = np.zeros((len(active), *rows.shape[1:]), rows.dtype)
            out[active] = rows
            return out

        return outputs if active.all() else jax.tree.map(spread, outputs)

    def _drop(self, outputs: PoseOutputs) -> PoseOutputs:
        """Leave out what the settings do not ask for, rather than copy it to JAX."""
        return outputs.replace(
            mask=outputs.mask if self._settings.mask else None,
            world=outputs.world if self._settings.world else None,
            heatmap=None if self._settings.decode == "regression" else outputs.heatmap,
        )


def load_engine(
    weights: Weights | str | Path,
    detector: str | Path | None,
    settings: Settings,
    runtime: str = "jax",
    threads: int | None = None,
) -> JaxEngine:
    """Load networks.

    Args:
      weights: a weights directory, a .task, or what ``load_weights`` gave.
      detector: another directory or .task to take the detector from.
      settings: static.
      runtime: ``jax``, or ``litert`` for the .tflite files; networks without one are converted in
        memory.
      threads: of LiteRT; None for as many as there are cores.

    Returns:
      An engine.

    Raises:
      BlazePoseError: bad weights, no pose net, an unknown runtime.
    """
    check_name(runtime, RUNTIMES, "runtime")
    if runtime == "litert":
        if isinstance(weights, Weights):
            raise BlazePoseError(
                "the litert runtime reads .tflite files: give the path of the weights"
            )
        nets = litert_networks(read_tflite_files(weights, detector, to_native_tflite), threads)
        return LiteRTEngine(
            nets.get("detector"), nets.get("pose"), settings, f"{Path(weights).name} (litert)"
        )
    if not isinstance(weights, Weights):
        loaded = load_weights(weights, detector)
    elif detector is None:
        loaded = weights
    else:
        loaded = dataclasses.replace(
            weights, detector=required(load_weights(detector).detector, "detector")
        )
    return JaxEngine(loaded.detector, loaded.pose, settings, loaded.name)


def required(network: Network | None, kind: str) -> Network:
    """The network, or an error that says how to give one."""
    if network is None:
        option = "--detector" if kind == "detector" else "--weights"
        raise BlazePoseError(f"the weights hold no {kind}: give one that does with {option}")
    return network


def _without_calls(network: Network | None) -> Any:
    """The network's facts for a jitted step; LiteRT's callable has no place in a trace."""
    return None if network is None else network.replace(variables=None, apply=_never)


def _never(variables: Any, images: Any) -> Any:
    raise AssertionError("the steps round LiteRT do not call the network")
