"""The mean of repeats in blocks, when it is enough, and what it says of true joules."""

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.error_rates import covered
from vidmeter.meter.statistics import Lack, absolute, enough, estimate

VALUES = st.floats(1.0, 1e6)
BLOCKS = st.lists(st.lists(VALUES, min_size=1, max_size=5), min_size=1, max_size=5)


def test_the_interval_is_students_t_of_the_block_means() -> None:
    blocks = [[101.0, 103.0], [99.0, 98.0], [104.0, 105.0]]
    means = [102.0, 98.5, 104.5]
    low, high = stats.t.interval(0.95, 2, loc=np.mean(means), scale=stats.sem(means))
    found = estimate(blocks)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.mean == pytest.approx(np.mean(means))
    assert (found.basis, found.degrees, found.n, found.blocks) == ("blocks", 2, 6, 3)
    assert found.median == 102.0
    assert found.sd == pytest.approx(np.std(np.concatenate(blocks), ddof=1))


def test_blocks_of_one_repeat_are_a_plain_t_interval() -> None:
    values = [10.0, 11.0, 12.5, 9.5, 10.5]
    low, high = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    found = estimate([[v] for v in values])
    assert (found.low, found.high) == pytest.approx((low, high))
    assert (found.repeat_sd, found.block_sd, found.blocks_p) == (None, None, None)


def test_one_block_has_an_interval_that_says_it_knows_one_process_only() -> None:
    found = estimate([[10.0, 11.0, 12.0]])
    low, high = stats.t.interval(0.95, 2, loc=11, scale=stats.sem([10, 11, 12]))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert (found.basis, found.blocks) == ("repeats", 1)
    assert (found.block_sd, found.blocks_p) == (None, None)


def test_one_value_has_no_interval() -> None:
    found = estimate([[42.0]])
    assert (found.mean, found.median, found.sd) == (42.0, 42.0, None)
    assert (found.low, found.high, found.half_width, found.relative) == (None, None, None, None)
    assert (found.basis, found.degrees) == (None, 0)


@pytest.mark.parametrize("blocks", [[], [[]], [[1.0, math.nan]], [[math.inf]]])
def test_no_values_and_broken_ones_are_refused(blocks: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="at least one value"):
        estimate(blocks)


def test_the_block_effects_p_is_that_of_a_one_way_analysis_of_variance() -> None:
    blocks = [[101.0, 103.0, 102.0], [99.0, 98.0], [104.0, 105.0, 103.0, 106.0]]
    found = estimate(blocks)
    assert found.blocks_p == pytest.approx(stats.f_oneway(*blocks).pvalue)
    within = sum(np.var(b) * len(b) for b in blocks) / (9 - 3)
    assert found.repeat_sd == pytest.approx(math.sqrt(within))


def test_repeat_and_block_sd_are_found_again() -> None:
    random = np.random.default_rng(0)
    values = 100 + 2 * random.normal(size=(400, 1)) + random.normal(size=(400, 5))
    found = estimate(values.tolist())
    assert found.repeat_sd == pytest.approx(1.0, rel=0.05)
    assert found.block_sd == pytest.approx(2.0, rel=0.1)


def test_blocks_that_are_alike_have_no_sd_of_their_own() -> None:
    assert estimate([[1.0, 3.0], [3.0, 1.0]]).block_sd == 0.0


@pytest.mark.parametrize("design", [(3, 3), (3, 3, 3), (1,) * 5, (1,) * 10], ids=str)
@pytest.mark.parametrize("block_ratio", [0.0, 0.5, 1.0])
def test_95_of_100_intervals_hold_the_truth(design: tuple[int, ...], block_ratio: float) -> None:
    # Four binomial standard deviations of 800 trials are 3.1 points; benchmarks/ has them all.
    assert 800 * 0.92 <= covered(design, block_ratio, 800) <= 800 * 0.98


@given(BLOCKS, st.floats(1e-3, 1e3))
def test_the_unit_of_the_values_does_not_matter(blocks: list[list[float]], unit: float) -> None:
    one, other = estimate(blocks), estimate([[v * unit for v in block] for block in blocks])
    assert other.mean == pytest.approx(one.mean * unit)
    assert (one.low is None) == (other.low is None)
    if one.half_width is not None and other.half_width is not None:
        # What cancels leaves rounding of the mean behind.
        slack = 1e-9 * one.mean
        assert other.half_width / unit == pytest.approx(one.half_width, rel=1e-6, abs=slack)


@given(BLOCKS, st.randoms(use_true_random=False))
def test_the_order_of_blocks_and_of_repeats_in_them_does_not_matter(
    blocks: list[list[float]], random: Random
) -> None:
    shuffled = [list(block) for block in blocks]
    for block in shuffled:
        random.shuffle(block)
    random.shuffle(shuffled)
    one, other = estimate(blocks), estimate(shuffled)
    assert (one.median, one.n, one.basis) == (other.median, other.n, other.basis)
    assert other.mean == pytest.approx(one.mean)
    assert other.half_width == pytest.approx(one.half_width, abs=1e-9 * one.mean)


def test_enough_is_five_repeats_two_blocks_a_minute_and_two_percent() -> None:
    sharp = estimate([[100.0, 100.1, 100.0], [100.0, 100.1]])
    assert enough(sharp, 60.0).holds
    assert enough(sharp, 59.0).lacks == (Lack("seconds", 59.0, 60.0),)
    few = estimate([[100.0, 100.1], [100.0, 100.1]])
    assert enough(few, 60.0).lacks == (Lack("repeats", 4, 5),)
    assert enough(few, 60.0, least_repeats=3).holds
    one = estimate([[100.0, 100.1, 100.0, 100.1, 100.0]])
    assert enough(one, 60.0).lacks == (Lack("blocks", 1, 2),)
    wide = estimate([[100.0, 100.1, 100.0], [110.0, 110.1]])
    assert enough(wide, 60.0).lacks == (Lack("half-width", wide.relative, 0.02),)
    assert wide.relative is not None and wide.relative > 0.5


def test_a_single_value_lacks_everything_and_its_width_is_not_known() -> None:
    lacks = enough(estimate([[1.0]]), 0.0).lacks
    assert [lack.what for lack in lacks] == ["repeats", "blocks", "seconds", "half-width"]
    assert lacks[-1].has is None


def test_an_absolute_claim_has_repeats_and_gain_in_quadrature() -> None:
    found = absolute(200.0, 3.0, gain_low=0.02, gain_high=0.05)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((195.0, 200 + math.sqrt(109)))


def test_repeats_never_make_the_gain_smaller() -> None:
    found = absolute(200.0, 0.0, gain_low=0.05, gain_high=0.05)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((190.0, 210.0))


def test_an_absolute_claim_needs_a_statistical_interval_and_a_gain_that_can_be() -> None:
    assert absolute(200.0, None, gain_low=0.05, gain_high=0.05) is None
    with pytest.raises(ValueError, match="gain"):
        absolute(200.0, 1.0, gain_low=-0.05, gain_high=0.05)
