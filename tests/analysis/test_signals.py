"""Gaps, smoothing and rates."""

import numpy as np
import pytest

from blazepose_jax.analysis import fill_gaps, rate_of_change, smooth
from blazepose_jax.analysis.signals import even_times
from blazepose_jax.errors import BlazePoseError

TIMES = np.arange(90) / 30


def test_short_gaps_are_bridged_and_long_ones_stay():
    values = 2 * TIMES + 1
    holed = values.copy()
    holed[:3] = holed[10:12] = holed[20:40] = holed[-1] = np.nan
    filled = fill_gaps(np.stack([holed, -holed], -1), TIMES, longest=0.11)
    for column, truth in zip(filled.T, (values, -values), strict=True):
        np.testing.assert_allclose(column[3:20], truth[3:20])
        assert np.isnan(column[:3]).all()
        assert np.isnan(column[20:40]).all()
        assert np.isnan(column[-1])
    assert np.isnan(holed[10]), "the input is as it was"


@pytest.mark.parametrize("method", ["savgol", "butterworth"])
def test_smoothing_takes_noise_and_leaves_motion_where_it_is(method):
    rng = np.random.default_rng(0)
    motion = 40 * np.sin(2 * np.pi * 0.7 * TIMES)
    noisy = motion + rng.normal(0, 3, len(TIMES))
    error = smooth(noisy, TIMES, method)[10:-10] - motion[10:-10]
    assert np.sqrt((error**2).mean()) < 2.0
    clean = smooth(motion, TIMES, method)
    # A delay of one frame would be 6 degrees.
    np.testing.assert_allclose(clean[10:-10], motion[10:-10], atol=0.8)


@pytest.mark.parametrize("method", ["savgol", "butterworth"])
def test_gaps_and_short_runs_pass_through(method):
    values = np.sin(TIMES)
    values[30:60] = np.nan
    values[[44, 45]] = 5.0
    found = smooth(values, TIMES, method)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(values))
    np.testing.assert_array_equal(found[[44, 45]], 5.0)


def test_uneven_times_are_taken_as_they_are():
    rng = np.random.default_rng(1)
    times = np.sort(rng.uniform(0, 3, 150))
    line = 10 * times - 4
    np.testing.assert_allclose(smooth(line, times), line, atol=0.6)
    np.testing.assert_allclose(rate_of_change(line, times), 10, atol=1e-9)


def test_even_times_are_a_cameras():
    """Milliseconds of 30 frames a second, of which some were dropped; one frame that came late."""
    whole = np.arange(301) / 30
    rounded = np.floor(whole * 1000) / 1000
    even, step = even_times(rounded)
    assert step == pytest.approx(1 / 30, rel=1e-4)
    assert even is rounded
    kept = np.r_[0:40, 41:100, 103:301]
    even, step = even_times(whole[kept])
    np.testing.assert_allclose(even, whole, atol=1e-9)
    even, step = even_times(np.array([0.0, 0.1, 0.25, 0.3, 0.4]))
    np.testing.assert_allclose(even, np.arange(5) / 10, atol=1e-12)


def test_a_rate_is_the_slope():
    values = np.stack([3 * TIMES, np.where(TIMES < 1, TIMES, np.nan)], -1)
    found = rate_of_change(values, TIMES)
    np.testing.assert_allclose(found[:, 0], 3)
    np.testing.assert_allclose(found[TIMES < 1, 1], 1)
    assert np.isnan(found[TIMES >= 1, 1]).all()


def test_errors_state_the_rule():
    with pytest.raises(BlazePoseError, match="times grow"):
        fill_gaps(np.zeros(3), np.array([0.0, 1.0, 1.0]), 1.0)
    with pytest.raises(BlazePoseError, match="both are above 0"):
        smooth(np.zeros(3), np.arange(3), window=0.0)
    with pytest.raises(BlazePoseError, match="a window ends"):
        smooth(np.zeros(3), np.arange(3), window=np.inf)
    with pytest.raises(BlazePoseError, match="savgol"):
        smooth(np.zeros(3), np.arange(3), "kalman")
