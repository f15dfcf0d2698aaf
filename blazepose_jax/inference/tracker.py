"""The tracker: the pipeline with its state and a clock."""

import math
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.geometry import warp
from blazepose_jax.inference.engine import load_engine
from blazepose_jax.inference.first_squares import DETECTOR, FirstSquares
from blazepose_jax.inference.settings import Settings
from blazepose_jax.inference.state import initial_state
from blazepose_jax.io.frames import to_frame
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import ROI, Poses, TrackState
from blazepose_jax.weights import Weights
from blazepose_jax.weights.own import ExperimentFile

_paste_mask = jax.jit(warp.paste_mask)


class Tracker:
    """Follows people through a video, in one thread.

    Examples:
      >>> tracker = Tracker("full", download=True)
      >>> for frame in read_media("clip.mp4"):
      ...     poses = tracker(frame.image, frame.time)

    Attributes:
      skeleton: what the keypoints mean.
      model: the networks' names.
      settings: what to look for, and how.
      state: what is remembered; a pytree.
    """

    def __init__(
        self,
        weights: Weights | str | Path,
        detector: Weights | str | Path | None = None,
        *,
        settings: Settings = Settings(),
        runtime: str = "jax",
        threads: int | None = None,
        roi: ROI | Sequence[float] | str = DETECTOR,
        experiment: ExperimentFile | str | Path | None = None,
        download: bool = False,
    ):
        """Load networks and start with an empty memory.

        Args:
          weights: a name (``full``, ``lite``, ``heavy``), a weights directory, a .task, or (by
            the runtime ``jax``) what ``load_weights`` gave.
          detector: another name, directory or .task to take the detector from, or (by the
            runtime ``jax``) what ``load_weights`` gave.
          settings: see ``inference.Settings``.
          runtime: ``jax``, or ``litert`` for the .tflite files.
          threads: of LiteRT; None for as many as there are cores.
          roi: where to look while nobody is followed: ``detector``, where it finds somebody;
            ``whole``, in the letterbox of the image; or a box of x, y, width, height in px, in the
            smallest square round it; or an ROI, for several people with a row for each.
          experiment: the file that brings networks which are none of the zoo, as for
            ``load_weights``.
          download: fetch what is named and not on this machine, once.

        Raises:
          BlazePoseError: bad weights, a missing network, an unknown runtime or setting, no square.
        """
        by_detector = isinstance(roi, str) and roi == DETECTOR
        self._first = None if by_detector else FirstSquares(roi, settings.max_people)
        self._engine = load_engine(
            weights,
            detector,
            settings,
            runtime,
            threads,
            experiment=experiment,
            download=download,
        )
        self.skeleton: Skeleton = self._engine.skeleton
        self.model, self.settings = self._engine.model, settings
        if self._first is None:
            # An error now, and not at the first frame, where there is none.
            _ = self._engine.detector
        self.reset()

    def reset(self) -> None:
        """Forget everybody; ids start again at 0."""
        self.state: TrackState = initial_state(self.skeleton, self.settings.max_people)
        self._time = math.nan

    def __call__(self, image: np.ndarray, time: float | None = None) -> Poses:
        """Track into the next image.

        Args:
          image: (H, W, 3) uint8 RGB, or another that ``frames.as_rgb`` takes. Its size may change;
            where width and height scale alike, it is the same scene (``state.resized``).
          time: seconds; None, a repeated or an earlier time count as 1/30 s after the previous
            frame.

        Returns:
          Poses with numpy leaves; rows where ``present`` is False hold nobody.

        Raises:
          BlazePoseError: not an image, or one that the first square lies outside of.
        """
        frame = to_frame(image)
        first = None if self._first is None else self._first(frame.size)
        now = math.nan if time is None else float(time)
        elapsed, self._time = np.asarray(now - self._time, np.float32), now
        self.state, poses = self._engine.step(self.state, frame, elapsed, first)
        return jax.device_get(poses)

    def masks(self, image: np.ndarray, poses: Poses) -> dict[int, np.ndarray]:
        """The masks of one image's people in the image itself.

        Args:
          image: what was tracked.
          poses: what came back, under ``Settings(mask=True)``.

        Returns:
          {id: (H, W) float32 probability that a pixel belongs to that person}.

        Raises:
          BlazePoseError: ``poses`` has no masks.
        """
        if poses.mask is None:
            raise BlazePoseError("there is no mask: set mask=True, with a net that has a mask head")
        height, width = np.shape(image)[:2]
        frame, found = to_frame(image), {}
        for slot in np.flatnonzero(poses.present):
            roi = jax.tree.map(lambda a, slot=slot: a[slot], poses.roi)
            flat = np.asarray(_paste_mask(poses.mask[slot], roi, frame))
            found[int(poses.ids[slot])] = flat[: height * width].reshape(height, width)
        return found

    @property
    def detector_runs(self) -> int:
        """How often the detector has run since the last reset."""
        return int(self.state.detector_runs)

    @property
    def starts(self) -> int:
        """How often a slot has begun at a fixed first square since the last reset."""
        return int(self.state.starts)
