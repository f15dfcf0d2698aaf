"""Signals over time: gaps, smoothing and rates.

Time is seconds, the first axis of every array; NaN is what is not known, and stays it unless a gap
is short enough to be filled.
"""

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from blazepose_jax.errors import BlazePoseError, check_name

# Times that differ from even ones by less than this share of a step are even enough for a filter.
UNEVEN = 0.05
# A step is a hole from so many seconds and median steps on.
LEAST_HOLE, MANY_STEPS = 0.5, 4


def holes(times: np.ndarray) -> np.ndarray:
    """(T - 1,) bool: steps in which frames are missing, as where a camera was away.

    Args:
      times: (T,) s, growing.
    """
    steps = np.diff(np.asarray(times, float))
    usual = float(np.median(steps)) if len(steps) else 0.0
    return steps > max(LEAST_HOLE, MANY_STEPS * usual)


def fill_gaps(values: np.ndarray, times: np.ndarray, longest: float) -> np.ndarray:
    """Bridge short gaps by straight lines.

    Args:
      values: (T, ...) with NaN.
      times: (T,) s, growing.
      longest: s between the known values on both sides of a gap; a longer one stays.

    Returns:
      (T, ...); what lies before the first or after the last known value stays NaN.

    Raises:
      BlazePoseError: times that do not grow, or another number of them than of values.
    """
    times = _checked(values, times)
    out = np.array(values, float, order="C")
    for column in _columns(out):
        known = np.flatnonzero(np.isfinite(column))
        for before, after in itertools.pairwise(known):
            if after - before > 1 and times[after] - times[before] <= longest:
                inside = slice(before + 1, after)
                column[inside] = np.interp(
                    times[inside], times[[before, after]], column[[before, after]]
                )
    return out


def smooth(
    values: np.ndarray,
    times: np.ndarray,
    method: str = "savgol",
    *,
    window: float = 0.3,
    cutoff: float = 6.0,
) -> np.ndarray:
    """Smooth without delay, each run of known values by itself.

    Args:
      values: (T, ...) with NaN.
      times: (T,) s, growing. Where they are uneven, values are interpolated onto even times and
        back.
      method: one of ``METHODS``: ``savgol``, parabolas fitted in a window (Savitzky and Golay); or
        ``butterworth``, of second order, run forwards and backwards.
      window: s, of ``savgol``.
      cutoff: Hz, of ``butterworth``; what is faster goes.

    Returns:
      (T, ...); runs that are too short for the filter stay as they are.

    Raises:
      BlazePoseError: an unknown method, or a window or cutoff that is not above 0; times as for
        ``fill_gaps``.
    """
    check_name(method, METHODS, "method")
    if not (0 < window < np.inf and cutoff > 0):
        raise BlazePoseError(
            f"window is {window} s and cutoff {cutoff} Hz: both are above 0, and a window ends"
        )
    times = _checked(values, times)
    out = np.array(values, float, order="C")
    for column in _columns(out):
        for run in _runs(np.isfinite(column)):
            if run.stop - run.start < 3:
                continue
            moments = times[run]
            even, step = even_times(moments)
            signal = METHODS[method](np.interp(even, moments, column[run]), step, window, cutoff)
            column[run] = np.interp(moments, even, signal)
    return out


def even_times(times: np.ndarray) -> tuple[np.ndarray, float]:
    """The even times that are nearest: a camera's, which dropped frames or rounded its clock.

    Args:
      times: (T,) s, growing, T >= 2.

    Returns:
      (T',) s, ``times`` themselves where they are even enough; and the step, s.
    """
    gaps = np.diff(times) / np.median(np.diff(times))
    # Dropped frames are counted, so that they don't make the step longer; late ones are not.
    steps = int(np.maximum(np.floor(gaps + 0.25), 1).sum())
    step = float(times[-1] - times[0]) / steps
    even = times[0] + step * np.arange(steps + 1)
    if len(even) == len(times) and np.abs(even - times).max() < UNEVEN * step:
        return times, step
    return even, step


def rate_of_change(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Change per second, by central differences; the angular velocity of an angle.

    Args:
      values: (T, ...) with NaN; smooth them first, since differences make noise large.
      times: (T,) s, growing.

    Returns:
      (T, ...) unit of the values per second; NaN where a value is not known or stands alone.

    Raises:
      BlazePoseError: times as for ``fill_gaps``.
    """
    times = _checked(values, times)
    values = np.ascontiguousarray(values, float)
    out = np.full_like(values, np.nan)
    for source, column in zip(_columns(values), _columns(out), strict=True):
        for run in _runs(np.isfinite(source)):
            if run.stop - run.start > 1:
                column[run] = np.gradient(source[run], times[run])
    return out


def _savgol(signal: np.ndarray, step: float, window: float, cutoff: float) -> np.ndarray:
    from scipy.signal import savgol_filter

    length = 2 * round(window / step / 2) + 1
    if not 3 <= length <= len(signal):
        return signal
    return np.asarray(savgol_filter(signal, length, min(2, length - 1)))


def _butterworth(signal: np.ndarray, step: float, window: float, cutoff: float) -> np.ndarray:
    from scipy.signal import butter, sosfiltfilt

    if 2 * cutoff * step >= 1 or len(signal) < 10:
        # Nothing that the sampling can hold is faster than the cutoff.
        return signal
    return np.asarray(sosfiltfilt(butter(2, 2 * cutoff * step, output="sos"), signal))


METHODS: dict[str, Callable[[np.ndarray, float, float, float], np.ndarray]] = {
    "savgol": _savgol,
    "butterworth": _butterworth,
}


def _checked(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    times = np.asarray(times, float)
    if np.shape(values)[:1] != times.shape or not (np.diff(times) > 0).all():
        raise BlazePoseError(
            f"values have the shape {np.shape(values)} and times {times.shape}: the first axis is"
            " time, and times grow"
        )
    return times


def _columns(values: np.ndarray) -> Iterator[np.ndarray]:
    """The (T,) columns as views."""
    flat = values.reshape(len(values), -1)
    return iter(flat.T)


def _runs(known: np.ndarray) -> Iterator[slice]:
    """Stretches that are known throughout."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], known.astype(int), [0]])))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        yield slice(int(start), int(stop))
