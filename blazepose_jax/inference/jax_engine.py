"""The engine of JAX."""

import jax
import jax.numpy as jnp

from blazepose_jax.codecs.landmarks import resolve
from blazepose_jax.inference import pipeline
from blazepose_jax.inference.requirements import required, required_skeleton, warn_of_flip
from blazepose_jax.inference.settings import Settings
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import (
    ROI,
    Array,
    Candidates,
    Detections,
    Frame,
    Network,
    Poses,
    TrackState,
)


class JaxEngine:
    """The networks and the pipeline traced into one program per function.

    Attributes:
      skeleton: what the keypoints mean.
      model: the networks' names.
      pose: the pose net.
    """

    def __init__(
        self, detector: Network | None, pose: Network | None, settings: Settings, model: str
    ):
        """Check what is needed.

        Args:
          detector: None where neither ``detect`` nor a ``step`` without ``first`` is called.
          pose: with a skeleton.
          settings: static.
          model: what to call the networks.

        Raises:
          BlazePoseError: no pose net, or one without a skeleton.
        """
        self._detector, self.pose = detector, required(pose, "pose net")
        self._settings, self.model = settings, model
        self.skeleton: Skeleton = required_skeleton(self.pose)
        if settings.flip:
            warn_of_flip(self.skeleton)

    @property
    def detector(self) -> Network:
        """The detector; an error where the weights hold none."""
        return required(self._detector, "detector")

    @property
    def decode(self) -> str:
        """How tensors become points: what the settings' ``decode`` means for the pose net."""
        crops = jax.ShapeDtypeStruct((1, self.pose.side, self.pose.side, 3), jnp.float32)
        outputs = jax.eval_shape(lambda images: self.pose(images), crops)
        return resolve(self._settings.decode, outputs.heatmap is not None)

    def step(
        self,
        state: TrackState,
        frame: Frame | Array,
        elapsed: Array | float,
        first: ROI | None = None,
    ) -> tuple[TrackState, Poses]:
        """One frame: ``inference.track``."""
        return pipeline.step(
            self._detector, self.pose, state, frame, elapsed, settings=self._settings, first=first
        )

    def detect(self, frame: Frame | Array) -> Detections:
        """People by their faces: ``inference.detect``."""
        return pipeline.detect(self.detector, frame, settings=self._settings)

    def find(self, frame: Frame | Array) -> Candidates:
        """Where people may be: ``inference.find_people``."""
        return pipeline.find_people(self.detector, self.pose, frame, settings=self._settings)

    def estimate(self, frame: Frame | Array, roi: ROI) -> Poses:
        """Poses in (N,) ROIs: ``inference.estimate``."""
        return pipeline.estimate(self.pose, frame, roi, settings=self._settings)
