"""Whether values hold still: a card, and the repeats of a session."""

import math

import numpy as np
import pytest
from scipy import stats

from vidmeter.meter.steadiness import (
    POWER_LIMIT_PER_MIN,
    TEMPERATURE_LIMIT_C_PER_MIN,
    autocorrelation,
    drift,
    first_run,
    outliers,
    steady,
)

SECONDS = np.arange(0.0, 300.0, 0.5)


def test_a_temperature_that_still_rises_is_not_steady() -> None:
    found = steady(SECONDS, 40 + SECONDS / 60, limit_per_min=TEMPERATURE_LIMIT_C_PER_MIN)
    assert found is not None
    assert found.slope_per_min == pytest.approx(1.0)
    assert found.error_per_min == pytest.approx(0.0, abs=1e-9)
    assert found.steady is False


def test_a_warm_up_is_over_when_the_last_window_is_flat() -> None:
    warming = 70 - 30 * np.exp(-SECONDS / 40)
    limit = TEMPERATURE_LIMIT_C_PER_MIN
    early = steady(SECONDS[:200], warming[:200], limit_per_min=limit)
    late = steady(SECONDS, warming, limit_per_min=limit)
    assert early is not None and late is not None
    assert (early.steady, late.steady) == (False, True)


def test_only_the_last_window_counts() -> None:
    values = np.where(SECONDS < 200, SECONDS, 200.0)
    found = steady(SECONDS, values, limit_per_min=0.5, window_s=90)
    assert found is not None and found.slope_per_min == 0 and found.steady is True
    longer = steady(SECONDS, values, limit_per_min=0.5, window_s=150)
    assert longer is not None and longer.steady is False


def test_a_power_slope_is_relative_to_the_power() -> None:
    values = 300 * (1 + 0.02 * (SECONDS - SECONDS[-1]) / 60)
    for scale in (1.0, 2.0):
        found = steady(SECONDS, scale * values, limit_per_min=POWER_LIMIT_PER_MIN, relative=True)
        assert found is not None
        assert found.slope_per_min == pytest.approx(0.02, rel=0.02)
        assert found.steady is False


def test_a_load_in_steps_does_not_hide_that_the_card_is_steady() -> None:
    swinging = np.where((SECONDS * 2).astype(int) % 2, 300.0, 700.0)
    found = steady(SECONDS, swinging, limit_per_min=POWER_LIMIT_PER_MIN, relative=True)
    assert found is not None
    assert found.steady is True


def test_a_slope_that_noise_hides_is_neither_steady_nor_not() -> None:
    noise = 100 * np.random.default_rng(0).normal(size=len(SECONDS))
    found = steady(SECONDS, 400 + noise, limit_per_min=POWER_LIMIT_PER_MIN, relative=True)
    assert found is not None
    assert found.steady is None
    assert found.error_per_min > 0.01


def test_a_small_slope_with_a_wide_error_is_not_called_steady() -> None:
    level = np.repeat([1.0, -1.0, -1.0, 1.0], 15)
    for swing, told in ((0.5, None), (0.01, True)):
        found = steady(np.arange(60.0), 50 + swing * level, limit_per_min=0.5)
        assert found is not None
        assert abs(found.slope_per_min) < 0.1
        assert found.steady is told


def test_the_slope_s_error_is_that_of_a_regression_over_parts_of_the_window() -> None:
    random = np.random.default_rng(1)
    times = np.arange(0, 60, 0.1)
    values = random.normal(size=600)
    found = steady(times, values, limit_per_min=1.0)
    line = stats.linregress(times.reshape(12, 50).mean(1), values.reshape(12, 50).mean(1))
    assert found is not None
    assert found.slope_per_min == pytest.approx(60 * line.slope)
    assert found.error_per_min == pytest.approx(60 * line.stderr)


def test_too_little_of_a_series_has_no_slope() -> None:
    assert steady([], [], limit_per_min=0.5) is None
    assert steady(SECONDS[:20], SECONDS[:20], limit_per_min=0.5) is None
    assert steady([0.0, 60.0], [1.0, 1.0], limit_per_min=0.5) is None
    assert steady(SECONDS, np.full(len(SECONDS), math.nan), limit_per_min=0.5) is None
    # Readings at both ends of the window only.
    ends = [0.0, 0.1, 0.2, 0.3, 59.7, 59.8, 59.9, 60.0]
    assert steady(ends, [1.0] * 8, limit_per_min=0.5) is None


def test_readings_every_ten_seconds_are_enough() -> None:
    found = steady(list(range(0, 121, 10)), [50.0] * 13, limit_per_min=0.5)
    assert found is not None and found.steady is True


def test_readings_that_failed_are_left_out() -> None:
    values = 40 + SECONDS / 60
    values[::7] = math.nan
    found = steady(SECONDS, values, limit_per_min=0.5)
    assert found is not None and found.slope_per_min == pytest.approx(1.0)


def test_drift_is_a_regression_of_the_values_over_time() -> None:
    times = [0.0, 30.0, 65.0, 90.0, 130.0, 150.0]
    values = [100.0, 100.4, 101.2, 101.0, 102.1, 102.0]
    line = stats.linregress(times, values)
    found = drift(times, values)
    assert found is not None
    assert found.p == pytest.approx(line.pvalue)
    assert found.per_x == pytest.approx(line.slope / np.mean(values))
    assert found.error_per_x == pytest.approx(line.stderr / np.mean(values))
    assert found.change == pytest.approx(150 * line.slope / np.mean(values))
    assert found.n == 6


def test_drift_needs_four_values_at_more_than_one_x() -> None:
    assert drift([0, 1, 2], [1.0, 2.0, 3.0]) is None
    assert drift([60, 60, 60, 60], [1.0, 2.0, 3.0, 4.0]) is None


def test_values_that_do_not_move_have_no_drift() -> None:
    found = drift([0, 1, 2, 3], [5.0, 5.0, 5.0, 5.0])
    assert found is not None and (found.change, found.p) == (0.0, 1.0)


def test_a_first_repeat_that_costs_more_is_seen_through_the_blocks_own_levels() -> None:
    blocks = [[105.0, 100.0, 100.2], [114.9, 110.1, 109.9], [95.1, 90.0, 90.1]]
    found = first_run(blocks)
    assert found is not None
    assert found.excess == pytest.approx(0.0493, abs=0.0005)
    assert found.p < 0.001
    assert found.blocks == 3


def test_in_one_block_the_first_repeat_is_held_against_the_t_test_of_the_others() -> None:
    found = first_run([[103.0, 100.0, 101.0, 100.5, 99.5]])
    rest = [100.0, 101.0, 100.5, 99.5]
    assert found is not None
    assert found.p == pytest.approx(stats.ttest_ind([103.0], rest).pvalue)


def test_chance_makes_a_first_run_effect_in_one_of_twenty_sessions() -> None:
    random = np.random.default_rng(4)
    values = 100 + random.normal(size=(600, 3, 1)) + random.normal(size=(600, 3, 4))
    found = [first_run(session) for session in values.tolist()]
    assert 0.02 <= np.mean([f is not None and f.p < 0.05 for f in found]) <= 0.08


def test_a_first_run_effect_needs_two_others_in_a_block() -> None:
    assert first_run([[1.0], [2.0]]) is None
    assert first_run([[1.0, 2.0], [2.0, 3.0]]) is None


def test_an_outlier_is_told_by_its_modified_z() -> None:
    values = [100.0, 101.0, 99.0, 100.5, 99.5, 108.0]
    (found,) = outliers(values)
    center = np.median(values)
    deviation = stats.median_abs_deviation(values, scale="normal")
    assert (found.index, found.value) == (5, 108.0)
    assert found.z == pytest.approx((108 - center) / deviation, rel=1e-5)


def test_values_that_mostly_agree_still_have_their_outlier() -> None:
    (found,) = outliers([10.0] * 9 + [9.0])
    assert (found.index, found.value) == (9, 9.0)
    assert found.z < -3.5


def test_no_outlier_among_values_that_are_alike_or_too_few() -> None:
    assert outliers([5.0] * 6) == ()
    assert outliers([1.0, 100.0]) == ()
    assert outliers([100.0, 101.0, 99.0, 100.5, 99.5]) == ()


def test_lag_1_autocorrelation_is_the_textbook_s() -> None:
    values = [1.0, 2.0, 4.0, 3.0, 5.0, 6.0]
    off = np.array(values) - np.mean(values)
    found = autocorrelation(values)
    assert found is not None
    assert found.r == pytest.approx(np.correlate(off[1:], off[:-1])[0] / np.dot(off, off))


def test_independent_values_are_rarely_called_autocorrelated_and_dependent_ones_mostly() -> None:
    random = np.random.default_rng(5)
    white = random.normal(size=(500, 40))
    smooth = white.copy()
    for i in range(1, 40):
        smooth[:, i] = 0.7 * smooth[:, i - 1] + white[:, i]

    def share(series: np.ndarray) -> float:
        found = [autocorrelation(row) for row in series.tolist()]
        return float(np.mean([f is not None and f.beyond_chance for f in found]))

    assert share(white) <= 0.08
    assert share(smooth) >= 0.9


def test_a_series_without_changes_has_no_autocorrelation() -> None:
    assert autocorrelation([1.0] * 10) is None
    assert autocorrelation([1.0, 2.0, 1.0]) is None
