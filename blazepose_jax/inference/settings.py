"""Settings of the pipeline."""

import dataclasses
import math
import numbers
from typing import TypeGuard

from blazepose_jax.codecs.landmarks import BEST, DECODES
from blazepose_jax.errors import BlazePoseError, check_name

MIN_SCORE = 0.5
# Google's detector has a good candidate in 93.5 % of the photographs of LSP's test half from this
# score on, in 88.7 % from 0.5 on.
MIN_SEARCH_SCORE = 0.2
PROBABILITIES = (
    "min_detection_confidence",
    "min_presence_confidence",
    "nms_threshold",
    "association_threshold",
)


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a real number, also one of numpy's, and no truth value."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


@dataclasses.dataclass(frozen=True)
class SmoothingConfig:
    """The filters over time; the defaults are MediaPipe's (docs/mediapipe.md, 3.9).

    Speeds of keypoints are measured in ROI sides per second, those of world landmarks in metres
    per second.

    Attributes:
      keypoints_min_cutoff: Hz, One-Euro cutoff of keypoints at rest; lower is steadier and lags
        more. MediaPipe: ``min_cutoff`` of the image landmarks.
      keypoints_beta: Hz per unit of speed; higher lags less in motion. MediaPipe: ``beta`` of the
        image landmarks.
      world_min_cutoff: Hz, likewise for world landmarks.
      world_beta: Hz per unit of speed, likewise for world landmarks.
      visibility_alpha: weight of the new value in the moving average of visibility. MediaPipe:
        the visibility low-pass of the image landmarks.
      derivative_cutoff: Hz, low pass of the speeds. MediaPipe: ``derivate_cutoff`` of both streams.

    Raises:
      BlazePoseError: a constant that is not finite, not positive or, for a weight, above 1.
    """

    keypoints_min_cutoff: float = 0.05
    keypoints_beta: float = 80.0
    world_min_cutoff: float = 0.1
    world_beta: float = 40.0
    visibility_alpha: float = 0.1
    derivative_cutoff: float = 1.0

    def __post_init__(self) -> None:
        """Check the values."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not (is_number(value) and value > 0 and math.isfinite(value)):
                raise BlazePoseError(
                    f"{field.name} is {value!r}: it must be a finite number above 0"
                )
        if self.visibility_alpha > 1:
            raise BlazePoseError(
                f"visibility_alpha is {self.visibility_alpha}: it must be at most 1, where nothing"
                " is averaged"
            )


# Name -> what it does, for help texts.
SEARCHES = {
    "none": "the best detections, as in MediaPipe",
    "quick": "more detections, at a lower score, each looked at twice and judged by its pose",
    "thorough": "the same in the image turned by 90, 180 and 270 degrees, too; for stills",
}


# Likewise.
PRECISIONS = {
    "float32": "as trained",
    "int8": "int8 where that costs little, by the runtime litert",
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to look for, and how; fixed at compile time.

    Attributes:
      max_people: N, slots.
      min_detection_confidence: score from which a detection counts; None: ``MIN_SCORE``, or
        ``MIN_SEARCH_SCORE`` in a search, since that looks at what it finds.
      min_presence_confidence: probability of a person below which a slot is lost.
      nms_threshold: IoU above which two faces are one person.
      association_threshold: IoU above which a detection is a person who is tracked already.
      decode: one of ``codecs.landmarks.DECODES``; or ``video`` or ``stills``, the best that the net
        has for them.
      search: one of ``SEARCHES``: how people are found, and whether a pose of low quality is lost.
      flip: average with the mirrored crop; twice the work, for stills.
      smoothing: One-Euro filter on points, low pass on visibility.
      world: return world landmarks where the net has them.
      mask: return masks where the net has them; costs a third of Full, half of Lite.
      filters: constants of ``smoothing``.
      rounding: crops are rounded as MediaPipe's are (``warp.crop``); without it points have
        gradients by the picture and by the ROI.
      precision: one of ``PRECISIONS``: how the pose net computes.

    Raises:
      BlazePoseError: a probability outside of [0, 1], fewer than one person, an unknown name.
    """

    max_people: int = 1
    min_detection_confidence: float | None = None
    min_presence_confidence: float = 0.5
    nms_threshold: float = 0.5
    association_threshold: float = 0.5
    decode: str = "video"
    search: str = "quick"
    flip: bool = False
    smoothing: bool = True
    world: bool = True
    mask: bool = False
    filters: SmoothingConfig = SmoothingConfig()
    rounding: bool = True
    precision: str = "float32"

    def __post_init__(self) -> None:
        """Check what types do not."""
        check_name(self.decode, (*DECODES, *BEST), "decode")
        check_name(self.search, SEARCHES, "search")
        check_name(self.precision, PRECISIONS, "precision")
        people = self.max_people
        if not isinstance(people, numbers.Integral) or isinstance(people, bool) or people < 1:
            raise BlazePoseError(f"max_people is {people!r}: it must be a whole number, at least 1")
        for name in PROBABILITIES:
            value = getattr(self, name)
            is_default = value is None and name == "min_detection_confidence"
            if not is_default and not (is_number(value) and 0 <= value <= 1):
                raise BlazePoseError(f"{name} is {value!r}: it must lie between 0 and 1")
        if not isinstance(self.filters, SmoothingConfig):
            raise BlazePoseError(
                f"filters is {self.filters!r}: give a SmoothingConfig, or smoothing=False"
            )


# What MediaPipe does: its decode, and its best detection.
MEDIAPIPE = Settings(decode="refine", search="none")
