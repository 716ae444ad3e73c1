"""Two arms: what is claimed of them, and what isn't."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.error_rates import apart, claims, count
from vidmeter.meter.comparing import paired, rounds_needed, unpaired, with_gains

ROUNDS = st.lists(st.tuples(st.floats(90.0, 110.0), st.floats(90.0, 110.0)), min_size=2, max_size=9)
NOT = "not distinguishable"


def test_the_paired_interval_is_the_t_test_of_the_log_ratios() -> None:
    rounds = [(100.0, 103.0), (101.0, 103.5), (99.0, 102.5), (102.0, 104.0), (100.0, 102.0)]
    logs = np.log([b / a for a, b in rounds])
    test = stats.ttest_1samp(logs, 0.0)
    low, high = test.confidence_interval(0.95)
    found = paired(rounds)
    assert found.ratio == pytest.approx(stats.gmean([b / a for a, b in rounds]))
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)))
    assert found.p == pytest.approx(test.pvalue)
    assert (found.rounds, found.verdict) == (5, "higher")


def test_the_unpaired_interval_is_welchs() -> None:
    a, b = [100.0, 101.0, 99.0, 100.5, 99.5], [104.0, 107.0, 104.5, 103.0, 106.0, 105.0]
    test = stats.ttest_ind(np.log(b), np.log(a), equal_var=False)
    low, high = test.confidence_interval(0.95)
    found = unpaired(a, b)
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)))
    assert found.p == pytest.approx(test.pvalue)
    assert found.verdict == "higher"


def test_a_gain_of_the_sensor_falls_out() -> None:
    rounds = [(100.0, 103.0), (101.0, 103.5), (99.0, 102.5), (102.0, 104.0), (100.0, 102.0)]
    one, other = paired(rounds), paired([(0.93 * a, 0.93 * b) for a, b in rounds])
    assert (other.ratio, other.low, other.p) == pytest.approx((one.ratio, one.low, one.p))


@given(ROUNDS)
def test_b_to_a_says_what_a_to_b_says(rounds: list[tuple[float, float]]) -> None:
    for one, other in (
        (paired(rounds), paired([(b, a) for a, b in rounds])),
        (
            unpaired([a for a, _ in rounds], [b for _, b in rounds]),
            unpaired([b for _, b in rounds], [a for a, _ in rounds]),
        ),
    ):
        turned = {"higher": "lower", "lower": "higher", NOT: NOT}
        assert other.ratio == pytest.approx(1 / one.ratio)
        assert other.low == pytest.approx(1 / one.high)
        assert other.aa_spread == pytest.approx(one.aa_spread)
        assert other.detectable == pytest.approx(one.detectable)
        assert other.verdict == turned[one.verdict]


@given(ROUNDS)
def test_what_is_claimed_passes_both_conditions(rounds: list[tuple[float, float]]) -> None:
    found = paired(rounds)
    excludes = found.low > 1 or found.high < 1
    beyond = abs(math.log(found.ratio)) > math.log1p(found.aa_spread)
    assert (found.verdict != NOT) == (excludes and beyond and found.rounds >= 5)


def test_rounds_that_agree_on_a_difference_do_not_help_if_the_arms_are_as_far_from_themselves() -> (
    None
):
    # B is 1 % above A in every round, but both leap by 10 % from round to round.
    level = [100.0, 110.0, 100.0, 110.0, 100.0, 110.0]
    jitter = [1.0101, 1.0099, 1.01, 1.0102, 1.0098, 1.01]
    found = paired([(a, a * j) for a, j in zip(level, jitter, strict=True)])
    assert found.low > 1.009
    assert found.aa_spread > 0.05
    assert found.verdict == NOT


def test_a_slow_drift_is_not_counted_into_the_spread_of_interleaved_arms() -> None:
    random = np.random.default_rng(1)
    noise = 0.003 * random.normal(size=(20, 2))
    drift = np.linspace(0, 0.02, 20)[:, None]
    still, moving = (paired(np.exp(noise + d).tolist()) for d in (0, drift))
    assert moving.aa_spread == pytest.approx(still.aa_spread, rel=0.1)


def test_the_spread_is_what_an_arm_against_itself_would_have() -> None:
    # 95 of 100 A/A comparisons lie within the spread that the arms of another session tell.
    random = np.random.default_rng(2)
    rounds = np.exp(0.01 * random.normal(size=(600, 8, 2)))
    found = [paired(r) for r in rounds.tolist()]
    inside = sum(abs(math.log(c.ratio)) <= math.log1p(c.aa_spread) for c in found)
    assert 0.92 * 600 <= inside <= 0.98 * 600


def test_four_rounds_claim_nothing_however_clear_they_are() -> None:
    found = paired([(100.0, 150.0), (100.0, 151.0), (101.0, 150.0), (100.0, 150.0)])
    assert found.low > 1.4
    assert (found.verdict, found.detectable) == (NOT, None)


def test_one_round_has_a_ratio_and_nothing_else() -> None:
    found = paired([(100.0, 150.0)])
    assert found.ratio == pytest.approx(1.5)
    assert (found.low, found.high, found.p, found.aa_spread) == (None, None, None, None)
    assert found.verdict == NOT


def test_values_without_any_spread_are_told_apart_or_are_the_same() -> None:
    assert paired([(100.0, 103.0)] * 5).verdict == "higher"
    assert paired([(100.0, 97.0)] * 5).verdict == "lower"
    same = paired([(100.0, 100.0)] * 5)
    assert (same.verdict, same.p, same.ratio) == (NOT, 1.0, 1.0)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_values_that_have_no_logarithm_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="positive and finite"):
        paired([(1.0, bad)])
    with pytest.raises(ValueError, match="positive and finite"):
        unpaired([1.0, bad], [1.0, 1.0])
    with pytest.raises(ValueError, match="positive and finite"):
        paired([])


@pytest.mark.parametrize("repeat_sd", [0.005, 0.01])
def test_a_planted_difference_of_3_percent_is_found_in_95_of_100_sessions(repeat_sd: float) -> None:
    found = claims(10, 0.03, repeat_sd=repeat_sd, trials=100)
    assert count(found) >= 95
    assert all(c.verdict != "lower" for c in found)
    assert np.median([c.ratio for c in found]) == pytest.approx(1.03, abs=0.002)


@pytest.mark.parametrize("rounds", [5, 10])
@pytest.mark.parametrize("repeat_sd", [0.005, 0.01])
def test_no_difference_is_claimed_in_95_of_100_sessions_without_one(
    rounds: int, repeat_sd: float
) -> None:
    assert count(claims(rounds, 0.0, repeat_sd=repeat_sd, trials=100)) <= 5


def test_drift_between_arms_that_were_not_interleaved_is_rarely_taken_for_a_difference() -> None:
    # Welch's test alone would claim one in about two of three such sessions.
    found = [unpaired(*apart(10, 0.0, drift=0.02, seed=seed)) for seed in range(200)]
    assert sum(c.low > 1 for c in found) > 100
    assert count(found) <= 20


def test_what_is_detectable_is_found_in_four_of_five_comparisons() -> None:
    random = np.random.default_rng(3)
    noise = 0.01 * random.normal(size=(500, 8, 2))
    detectable = float(np.median([paired(np.exp(x).tolist()).detectable for x in noise[:100]]))
    planted = [paired((np.exp(x) * (1, 1 + detectable)).tolist()) for x in noise[100:]]
    assert 0.7 <= count(planted) / len(planted) <= 0.9


def test_the_rounds_needed_are_those_of_the_noncentral_t() -> None:
    found = rounds_needed(0.01, 0.012)
    assert found is not None
    power = [
        stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, math.log1p(0.01) / 0.012 * math.sqrt(n))
        for n in (found - 1, found)
    ]
    assert power[0] < 0.8 <= power[1]


def test_smaller_differences_and_restless_arms_need_more_rounds() -> None:
    assert rounds_needed(0.5, 0.01) == 5
    assert rounds_needed(0.005, 0.01) > 3 * rounds_needed(0.01, 0.01)
    assert rounds_needed(0.01, 0.01, aa_round_sd=0.03) > rounds_needed(0.01, 0.01)
    assert rounds_needed(1e-9, 0.01) is None
    with pytest.raises(ValueError, match="positive"):
        rounds_needed(0.0, 0.01)


def test_gains_of_two_cards_widen_a_ratio_in_quadrature_and_hold_back_claims() -> None:
    clear = paired([(100 + n, 103 + 1.03 * n) for n in (0, 0.1, 0.2, 0.1, 0.0, 0.3)])
    assert clear.verdict == "higher" and clear.low is not None and clear.high is not None
    exact = with_gains(clear, a=(0.0, 0.0), b=(0.0, 0.0))
    assert (exact.low, exact.high) == pytest.approx((clear.low, clear.high), rel=1e-12)
    assert exact.verdict == "higher"
    wide = with_gains(clear, a=(0.05, 0.05), b=(0.05, 0.05))
    assert wide.low is not None and wide.high is not None
    half = math.hypot(math.log(clear.high / clear.ratio), math.log(1.05), math.log(0.95))
    assert math.log(wide.high / wide.ratio) == pytest.approx(half)
    assert wide.low < 1 < wide.high
    assert (wide.verdict, wide.p) == ("not distinguishable", None)
    assert wide.detectable is not None and wide.detectable > 0.05
    large = paired([(100 + n, 150 + 1.5 * n) for n in (0, 0.1, 0.2, 0.1, 0.0, 0.3)])
    assert with_gains(large, a=(0.05, 0.05), b=(0.05, 0.05)).verdict == "higher"
    with pytest.raises(ValueError, match="isn't negative"):
        with_gains(clear, a=(-0.1, 0.0), b=(0.0, 0.0))


def test_gains_of_two_cards_leave_the_truth_inside_in_93_to_97_of_100_comparisons() -> None:
    """The gains of two sensors are normal around 1; 5 % is the half-width of their 95 %."""
    draw, held, trials, truth = np.random.default_rng(22), 0, 2000, 1.04
    for _ in range(trials):
        gain_a, gain_b = np.exp(draw.normal(0, math.log(1.05) / 1.96, 2))
        a = gain_a * 100 * np.exp(draw.normal(0, 0.02, 6))
        b = gain_b * 100 * truth * np.exp(draw.normal(0, 0.02, 6))
        share = (1 - 1 / 1.05, 0.05)
        found = with_gains(unpaired(a.tolist(), b.tolist()), a=share, b=share)
        assert found.low is not None and found.high is not None
        held += found.low <= truth <= found.high
    assert 0.93 <= held / trials <= 0.97
