"""The engine of LiteRT."""

from functools import partial
from typing import NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.codecs import landmarks
from blazepose_jax.inference import steps
from blazepose_jax.inference.association import associate, no_detections, number, start
from blazepose_jax.inference.requirements import (
    check_squares,
    required,
    required_skeleton,
    warn_of_flip,
)
from blazepose_jax.inference.settings import Settings
from blazepose_jax.io.frames import as_frame
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import (
    ROI,
    Array,
    Detections,
    Frame,
    Network,
    PoseOutputs,
    Poses,
    TrackState,
)


class LiteRTEngine:
    """The pipeline's own steps, jitted one by one, round calls of LiteRT.

    Attributes:
      skeleton: what the keypoints mean.
      model: the networks' names.
    """

    def __init__(
        self, detector: Network | None, pose: Network | None, settings: Settings, model: str
    ):
        """Jit the steps; they are compiled when they are first called.

        Args:
          detector: from ``litert_networks``; None where neither ``detect`` nor a ``step`` without
            ``first`` is called.
          pose: from ``litert_networks``, with a skeleton.
          settings: static.
          model: what to call the networks.

        Raises:
          BlazePoseError: no pose net, or one without a skeleton.
        """
        self._detector, self._pose = detector, required(pose, "pose net")
        self._settings, self.model = settings, model
        self.skeleton: Skeleton = required_skeleton(self._pose)
        if settings.flip:
            warn_of_flip(self.skeleton)
        body = _without_call(self._pose)
        if detector is not None:
            finder = _without_call(detector)
            self._letterbox = jax.jit(
                partial(steps.detector_input, finder, rounding=settings.rounding)
            )
            self._read_detections = jax.jit(
                partial(steps.read_detections, finder, settings=settings)
            )
        self._crop = jax.jit(partial(steps.pose_input, body, rounding=settings.rounding))
        self._mirror = jax.jit(landmarks.mirror)
        self._average = jax.jit(
            partial(
                landmarks.average_mirrored,
                flip=self.skeleton.flip,
                fields=body.fields,
                side=body.side,
            )
        )
        self._follow = jax.jit(partial(steps.follow, body, settings=settings))
        self._start = jax.jit(partial(start, settings=settings))
        self._number = jax.jit(number)

        @jax.jit
        def admit(state: TrackState, found: Detections, ran: Array | int) -> TrackState:
            state = state.replace(detector_runs=state.detector_runs + ran)
            return associate(state, found, settings=settings)

        @jax.jit
        def read_poses(outputs: PoseOutputs, roi: ROI) -> Poses:
            count = roi.side.shape[0]
            active, ids = jnp.ones(count, bool), jnp.arange(count)
            return steps.read_poses(body, outputs, roi, active, ids, settings)[0]

        self._admit, self._read_poses = admit, read_poses

    @property
    def detector(self) -> Network:
        """The detector; an error where the weights hold none."""
        return required(self._detector, "detector")

    def step(
        self,
        state: TrackState,
        frame: Frame | Array,
        elapsed: Array | float,
        first: ROI | None = None,
    ) -> tuple[TrackState, Poses]:
        """One frame, as ``inference.track``."""
        frame, slots = as_frame(frame), state.active.shape[0]
        if first is not None:
            check_squares(first, "first", slots)
            state = self._start(state, first)
        elif not np.asarray(state.active).all():
            state = self._admit(state, self.detect(frame), 1)
        elif slots > 1:
            state = self._admit(state, no_detections(slots), 0)
        crops = np.asarray(self._crop(frame, state.roi))
        outputs = self._run_pose(crops, np.asarray(state.active))
        state, poses = self._follow(state, outputs, np.asarray(elapsed, np.float32))
        return state if first is None else self._number(state, poses), poses

    def detect(self, frame: Frame | Array) -> Detections:
        """People by their faces, as ``inference.detect``."""
        frame = as_frame(frame)
        outputs = self.detector(np.asarray(self._letterbox(frame)))
        return self._read_detections(outputs, frame)

    def estimate(self, frame: Frame | Array, roi: ROI) -> Poses:
        """Poses in (N,) ROIs, as ``inference.estimate``."""
        check_squares(roi, "roi")
        crops = np.asarray(self._crop(as_frame(frame), roi))
        return self._read_poses(self._run_pose(crops, np.ones(len(crops), bool)), roi)

    def _run_pose(self, crops: np.ndarray, active: np.ndarray) -> PoseOutputs:
        """The pose net on the crops of active slots; the others get zeros."""
        used = crops if active.all() else crops[active]
        if not len(used):
            # There is nobody: any answer, which nobody reads.
            used, active = crops[:1], np.arange(len(crops)) < 1
        outputs = self._needed(self._pose(used))
        if self._settings.flip and self.skeleton.mirrors:
            mirrored = self._needed(self._pose(np.asarray(self._mirror(used))))
            outputs = self._average(outputs, mirrored)

        def spread(rows: Array) -> np.ndarray:
            out = np.zeros((len(active), *rows.shape[1:]), rows.dtype)
            out[active] = rows
            return out

        return outputs if active.all() else jax.tree.map(spread, outputs)

    def _needed(self, outputs: PoseOutputs) -> PoseOutputs:
        """Leave out what the settings do not ask for, rather than copy it to JAX."""
        return outputs.replace(
            mask=outputs.mask if self._settings.mask else None,
            world=outputs.world if self._settings.world else None,
            heatmap=None if self._settings.decode == "regression" else outputs.heatmap,
        )


def _without_call(network: Network) -> Network:
    """The network's facts for a jitted step; LiteRT's callable has no place in a trace."""
    return network.replace(variables=None, apply=_never)


def _never(variables: object, images: Array) -> NoReturn:
    raise AssertionError("the steps round LiteRT do not call the network")
