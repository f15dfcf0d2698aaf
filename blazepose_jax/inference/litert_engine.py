"""The engine of LiteRT."""

import copy
from functools import partial
from typing import NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.codecs import landmarks
from blazepose_jax.inference import steps
from blazepose_jax.inference.association import (
    associate,
    candidates,
    no_candidates,
    number,
    start,
)
from blazepose_jax.inference.requirements import (
    any_square,
    check_squares,
    required,
    required_skeleton,
    warn_of_flip,
)
from blazepose_jax.inference.search import TURNS, find, search_settings
from blazepose_jax.inference.settings import Settings
from blazepose_jax.inference.state import initial_state, resized
from blazepose_jax.io.frames import as_frame
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import (
    ROI,
    Array,
    Candidates,
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
        body, wide = _without_call(self._pose), search_settings(settings)
        if detector is not None:
            finder = _without_call(detector)
            self._letterbox = jax.jit(
                partial(steps.detector_input, finder, rounding=settings.rounding)
            )
            self._read_detections = jax.jit(
                partial(steps.read_detections, finder, settings=settings)
            )
            self._read_turned = jax.jit(partial(steps.read_detections, finder, settings=wide))
            self._candidates = jax.jit(candidates)
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
        def admit(state: TrackState, found: Candidates, ran: Array | int) -> TrackState:
            state = state.replace(detector_runs=state.detector_runs + ran)
            return associate(state, found, settings=settings)

        @partial(jax.jit, static_argnames="settings")
        def read_poses(
            outputs: PoseOutputs, roi: ROI, settings: Settings = settings
        ) -> tuple[Poses, ROI]:
            count = roi.side.shape[0]
            active, ids = jnp.ones(count, bool), jnp.arange(count)
            return steps.read_poses(body, outputs, roi, active, ids, settings)

        self._admit, self._read_poses = admit, read_poses

    def with_networks_of(self, other: "LiteRTEngine") -> "LiteRTEngine":
        """The compiled steps of this engine round another's networks, for another thread."""
        found = copy.copy(self)
        found._detector, found._pose = other._detector, other._pose
        return found

    @property
    def detector(self) -> Network:
        """The detector; an error where the weights hold none."""
        return required(self._detector, "detector")

    @property
    def decode(self) -> str:
        """How tensors become points: what the settings' ``decode`` means for the pose net."""
        side = self._pose.side
        outputs = self._pose(np.zeros((1, side, side, 3), np.float32))
        return landmarks.resolve(self._settings.decode, outputs.heatmap is not None)

    def step(
        self,
        state: TrackState,
        frame: Frame | Array,
        elapsed: Array | float,
        first: ROI | None = None,
    ) -> tuple[TrackState, Poses]:
        """One frame, as ``inference.track``."""
        frame, slots = as_frame(frame), state.active.shape[0]
        if not np.array_equal(state.size, frame.size):
            state = resized(state, frame.size)
        if first is not None:
            check_squares(first, "first", slots)
            state = self._start(state, first)
        elif not np.asarray(state.active).all():
            state = self._admit(state, self._find(state, frame), 1)
        elif slots > 1:
            state = self._admit(state, no_candidates(slots), 0)
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
        if not len(roi.side):  # as many poses, of the same form
            return jax.tree.map(lambda a: a[:0], self.estimate(frame, any_square()))
        crops = np.asarray(self._crop(as_frame(frame), roi))
        return self._read_poses(self._run_pose(crops, np.ones(len(crops), bool)), roi)[0]

    def find(self, frame: Frame | Array) -> Candidates:
        """Where people may be, as ``inference.find_people``."""
        state = initial_state(self.skeleton, self._settings.max_people)
        return self._find(state, as_frame(frame))

    def _find(self, state: TrackState, frame: Frame) -> Candidates:
        """Where new people may be."""
        if self._settings.search == "none":
            return self._candidates(self.detect(frame))
        wide = search_settings(self._settings)

        def detect_turned(turn: int) -> Detections:
            outputs = self.detector(np.asarray(self._letterbox(frame, turn)))
            return self._read_turned(outputs, frame, turn)

        def look(roi: ROI, active: Array) -> tuple[Poses, ROI]:
            active = np.asarray(active)
            # Where there is nobody: any answer, which nobody reads.
            chosen = np.flatnonzero(active) if active.any() else np.arange(1)
            seen = [look_into(jax.tree.map(lambda a, i=i: a[i : i + 1], roi)) for i in chosen]

            def spread(*rows: Array) -> np.ndarray:
                out = np.zeros((len(active), *rows[0].shape[1:]), rows[0].dtype)
                out[chosen] = np.concatenate(rows)
                return out

            return jax.tree.map(spread, *seen)

        def look_into(square: ROI) -> tuple[Poses, ROI]:
            outputs = self._needed(self._pose(np.asarray(self._crop(frame, square))))
            return jax.device_get(self._read_poses(outputs, square, settings=wide))

        turned = [detect_turned(turn) for turn in range(TURNS[self._settings.search])]
        found = jax.tree.map(lambda *rows: jnp.stack(rows), *turned)
        return find(look, found, state, frame.size, self.skeleton, self._settings)

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
        )


def _without_call(network: Network) -> Network:
    """The network's facts for a jitted step; LiteRT's callable has no place in a trace."""
    return network.replace(variables=None, apply=_never)


def _never(variables: object, images: Array) -> NoReturn:
    raise AssertionError("the steps round LiteRT do not call the network")
