"""One clock for a video's presentation stamps."""

import math

# Seconds: a stamp that lies farther back than this starts the clock anew from where it is.
MAX_BACKWARD = 0.5


class Clock:
    """Presentation stamps to seconds that begin at 0 and grow, whatever the stamps do."""

    def __init__(self, step: float):
        """Start at 0.

        Args:
          step: seconds that a frame is shown, usually.
        """
        self._step, self._nudged = step, False
        self._origin: float | None = None
        self._last: float | None = None

    def __call__(self, stamp: float | None) -> float:
        """Time of the next frame.

        Args:
          stamp: seconds, or None where the frame has none.

        Returns:
          Seconds since the first frame.
        """
        if stamp is not None and not math.isfinite(stamp):
            stamp = None
        last = -math.inf if self._last is None else self._last
        following = 0.0 if self._last is None else last + self._step
        if stamp is None:
            self._last = following
            return following
        if self._origin is None or stamp - self._origin < last - MAX_BACKWARD:
            self._origin = stamp - following
        time, nudged = stamp - self._origin, stamp - self._origin <= last
        if nudged:
            # Half a frame, so that a stamp that repeats once does not move those after it.
            time = following if self._nudged else last + self._step / 2
        self._last, self._nudged = time, nudged
        return time
