"""Repetitions of an exercise, counted in one signal."""

import dataclasses

import numpy as np

from blazepose_jax.analysis.signals import fill_gaps, holes, smooth
from blazepose_jax.errors import BlazePoseError, check_name

RESTS = ("auto", "high", "low")
# Where each exercise's joint rests; others are judged by where they spend their time.
REST_OF = {"knee": "high", "hip": "high", "elbow": "high", "shoulder": "low"}
# A repetition reaches this share of the range of the largest ones.
WHOLE = 0.5
# It begins and ends where this share of its range is left.
EDGE = 0.1
# One that lasts less than this share of the median is none.
QUICK = 0.3
# The recording begins or ends at rest where the signal stays there for so many seconds, and for
# this share of the time to the extreme, so that who is slow is not taken for who rests.
STILL_S, STILL = 0.3, 0.15


@dataclasses.dataclass(frozen=True)
class Repetition:
    """One there and back.

    Attributes:
      start: frame where it leaves its rest.
      turn: frame of the extreme.
      end: frame where it is back.
      start_s: s.
      turn_s: s.
      end_s: s.
      range: from the rest to the extreme, in the signal's unit.
      extreme: the signal there.
      reason: why it does not count; empty where it does.
    """

    start: int
    turn: int
    end: int
    start_s: float
    turn_s: float
    end_s: float
    range: float
    extreme: float
    reason: str = ""

    @property
    def there_s(self) -> float:
        """Seconds to the extreme."""
        return self.turn_s - self.start_s

    @property
    def back_s(self) -> float:
        """Seconds back."""
        return self.end_s - self.turn_s


@dataclasses.dataclass(frozen=True)
class Repetitions:
    """What was counted.

    Attributes:
      counted: whole repetitions, in time.
      rejected: shallow, unfinished or hasty ones, in time.
      rest: ``high`` or ``low``: the end of the signal that it rests at.
      period_s: after which the signal is most like itself; NaN where nothing repeats.
      regularity: the autocorrelation there, at most 1.
    """

    counted: tuple[Repetition, ...]
    rejected: tuple[Repetition, ...]
    rest: str
    period_s: float
    regularity: float


def count_repetitions(
    values: np.ndarray,
    times: np.ndarray,
    *,
    least: float,
    rest: str = "auto",
    window: float = 0.25,
    gap: float = 0.5,
) -> Repetitions:
    """Count how often a signal leaves its rest, goes as far as it does at its best, and comes back.

    Turning points are found with hysteresis: a turn counts once the signal has gone back by a
    threshold, first ``least``, then half of the second largest swing, so that neither noise nor a
    bounce at the bottom divides a repetition. Swings that only the first threshold sees are halves,
    such as the steps of somebody who walks in.

    Args:
      values: (T,) an angle in degrees, or a point's height; NaN where it is unknown.
      times: (T,) s, growing.
      least: the smallest swing that means something, in the unit of the values.
      rest: where the signal rests, one of ``RESTS``; ``auto`` is the end near its median.
      window: s over which the signal is smoothed.
      gap: s without knowledge that are bridged; a longer gap ends what was begun.

    Returns:
      Repetitions.

    Raises:
      BlazePoseError: shapes or times that do not fit, ``least`` not above 0, unknown ``rest``.
    """
    check_name(rest, RESTS, "rest")
    if not least > 0:
        raise BlazePoseError(f"least is {least}: it is a swing above 0, in the unit of the values")
    if np.ndim(values) != 1:
        raise BlazePoseError(f"values have the shape {np.shape(values)}: give (T,), one signal")
    times = np.asarray(times, float)
    signal = smooth(fill_gaps(values, times, gap), times, window=window)
    known = np.flatnonzero(np.isfinite(signal))
    if rest == "auto":
        rest = _rest(signal[known])
    if not len(known):
        return Repetitions((), (), rest, np.nan, np.nan)
    # From here on it rests high.
    counted, rejected = _judged(signal if rest == "high" else -signal, signal, times, least)
    period, regularity = _period(signal, times)
    return Repetitions(counted, rejected, rest, period, regularity)


def _judged(
    upright: np.ndarray, signal: np.ndarray, times: np.ndarray, least: float
) -> tuple[tuple[Repetition, ...], tuple[Repetition, ...]]:
    """Those that count, and those that do not."""
    swings = np.abs(np.diff(upright[_turns(upright, least)]))
    whole = max(least, WHOLE * np.sort(swings)[-2:][0]) if len(swings) else least
    found = _excursions(upright, signal, times, whole)
    shallow = [
        dataclasses.replace(r, reason=r.reason or "shallow")
        for r in _excursions(upright, signal, times, least)
        if not any(one.start <= r.turn <= one.end for one in found)
    ]
    seconds = [r.end_s - r.start_s for r in found if not r.reason]
    hasty = QUICK * float(np.median(seconds)) if seconds else 0.0
    judged = [
        dataclasses.replace(r, reason="hasty")
        if not r.reason and r.end_s - r.start_s < hasty
        else r
        for r in found
    ]
    rejected = sorted([*shallow, *(r for r in judged if r.reason)], key=lambda r: r.turn)
    return tuple(r for r in judged if not r.reason), tuple(rejected)


def _rest(known: np.ndarray) -> str:
    """The end of the range that the median lies nearer to."""
    if not len(known):
        return "high"
    return "high" if np.median(known) >= (known.min() + known.max()) / 2 else "low"


def _turns(signal: np.ndarray, threshold: float) -> list[int]:
    """Frames of turning points: each differs from the next by ``threshold`` or more."""
    turns: list[int] = []
    low = high = -1
    direction = 0  # of the swing under way: 1 up, -1 down, 0 not known yet
    for i in map(int, np.flatnonzero(np.isfinite(signal))):
        if low < 0:
            low = high = i
        if signal[i] > signal[high]:
            high = i
        if signal[i] < signal[low]:
            low = i
        if direction >= 0 and signal[high] - signal[i] >= threshold:
            turns.append(high)
            direction, low = -1, i
        elif direction <= 0 and signal[i] - signal[low] >= threshold:
            turns.append(low)
            direction, high = 1, i
    if direction:
        turns.append(high if direction > 0 else low)
    return turns


def _excursions(
    upright: np.ndarray, signal: np.ndarray, times: np.ndarray, threshold: float
) -> list[Repetition]:
    """Every low between two highs; one without the second, cut, or across a gap, is unfinished."""
    found, turns = [], _turns(upright, threshold)
    known = [int(i) for i in np.flatnonzero(np.isfinite(upright))]
    missing = holes(times)
    for place, turn in enumerate(turns):
        before = turns[place - 1] if place else None
        after = turns[place + 1] if place + 1 < len(turns) else None
        tops = [upright[t] for t in (before, after) if t is not None]
        if not tops or upright[turn] > tops[0]:
            continue
        depth = max(tops) - upright[turn]
        # Where the signal begins or ends on the way, that is no top, but how far it had come.
        is_cut = any(
            t in (known[0], known[-1])
            and max(tops) - upright[t] > EDGE * depth
            and not _rests(upright, times, t, turn, EDGE * depth)
            for t in (before, after)
            if t is not None
        )
        depth = depth if is_cut else min(tops) - upright[turn]
        edge = min(tops) - EDGE * depth
        start = known[0] if before is None else _last_above(upright, before, turn, edge)
        end = known[-1] if after is None else _first_above(upright, turn, after, edge)
        broken = before is None or after is None or not np.isfinite(upright[start : end + 1]).all()
        broken = broken or is_cut or missing[start:end].any()
        found.append(
            Repetition(
                start,
                turn,
                end,
                float(times[start]),
                float(times[turn]),
                float(times[end]),
                float(depth),
                float(signal[turn]),
                "unfinished" if broken else "",
            )
        )
    return found


def _rests(signal: np.ndarray, times: np.ndarray, edge: int, turn: int, within: float) -> bool:
    """Whether the signal stays where it begins or ends, and is not on its way to or from a turn."""
    inwards = np.arange(edge, turn, 1 if edge < turn else -1)
    stays = np.abs(signal[inwards] - signal[edge]) <= within
    last = inwards[int(np.argmin(np.append(stays, False))) - 1]
    seconds, whole = abs(times[[last, turn]] - times[edge])
    return bool(seconds >= max(STILL_S, STILL * whole))


def _last_above(signal: np.ndarray, start: int, stop: int, level: float) -> int:
    above = np.flatnonzero(signal[start:stop] >= level)
    return start + int(above[-1]) if len(above) else start


def _first_above(signal: np.ndarray, start: int, stop: int, level: float) -> int:
    above = np.flatnonzero(signal[start : stop + 1] >= level)
    return start + int(above[0]) if len(above) else stop


def _period(signal: np.ndarray, times: np.ndarray) -> tuple[float, float]:
    """The shift in s of the largest autocorrelation after its first trough, and its value."""
    from scipy.signal import correlate

    known = np.isfinite(signal)
    if known.sum() < 4:
        return np.nan, np.nan
    step = float(np.median(np.diff(times)))
    even = np.arange(times[known][0], times[known][-1] + step / 2, step)
    centred = np.interp(even, times[known], signal[known])
    centred = centred - centred.mean()
    product = np.asarray(correlate(centred, centred, "full", "fft"))[len(centred) - 1 :]
    power = np.cumsum(centred**2)
    # Of the parts that overlap, so that a long shift is not worth less than a short one.
    both = np.sqrt(power[::-1] * (power[-1] - np.concatenate([[0.0], power[:-1]])))
    half = len(centred) // 2
    likeness = product[:half] / np.maximum(both[:half], 1e-12)
    troughs = np.flatnonzero(np.diff(likeness) > 0)
    if not len(troughs) or power[-1] <= 0:
        return np.nan, np.nan
    best = int(troughs[0] + np.argmax(likeness[troughs[0] :]))
    return best * step, float(likeness[best])
