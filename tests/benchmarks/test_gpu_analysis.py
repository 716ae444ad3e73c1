"""The analysis finds the known properties of made-up sensors."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.gpu import analysis
from tests.benchmarks.made_up import HIGH_W, LOW_W, MS, polled_sensor, square

# Refresh and window of real cards, ms: Yang et al., arXiv 2312.02741, and reports of users.
SENSORS = [(100.0, 25.0), (100.0, 100.0), (20.0, 10.0), (100.3, 24.0), (106.0, 20.0)]


def telegraph(seconds: float, *, start_ns: int = 0) -> list[int]:
    """Stretches of 10 to 60 ms, as the load makes them."""
    draw = np.random.default_rng(1)
    edges = np.cumsum(draw.uniform(10 * MS, 60 * MS, round(seconds / 0.035))).astype(int)
    return [start_ns + int(e) for e in edges[: len(edges) // 2 * 2]]


@pytest.mark.parametrize(
    ("refresh_ms", "poll_ms"), [(100, 1), (20, 1), (500, 1), (106.3, 2), (10, 1), (200, 5)]
)
def test_the_refresh_period_is_found_within_a_millisecond(
    refresh_ms: float, poll_ms: float
) -> None:
    edges = square(12_000, seconds=12)
    t, p = polled_sensor(edges, refresh_ms=refresh_ms, window_ms=refresh_ms, poll_ms=poll_ms)
    found = analysis.refresh_period(t, p)
    assert found.period_s == pytest.approx(refresh_ms / 1e3, abs=1e-3)
    assert found.polled_every_s == pytest.approx(poll_ms / 1e3, rel=0.2)


@given(hidden=st.floats(0.0, 0.45), seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=25)
def test_renewals_that_bring_the_same_value_do_not_lengthen_the_period(
    hidden: float, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    t = np.arange(0, 8_000, dtype=np.int64) * MS
    renewed = np.cumsum(draw.random(t[-1] // (100 * MS) + 1) >= hidden)
    value = renewed[t // (100 * MS)]
    found = analysis.refresh_period(t, value)
    assert found.period_s == pytest.approx(0.1, abs=1e-3)


def test_a_reading_that_is_new_at_every_call_has_no_period() -> None:
    found = analysis.refresh_period(np.arange(1000) * MS, np.arange(1000))
    assert found.period_s is None
    assert found.polled_every_s == pytest.approx(1e-3)


def test_a_reading_that_never_changes_has_no_period() -> None:
    assert analysis.refresh_period(np.arange(1000) * MS, np.ones(1000)).period_s is None


@pytest.mark.parametrize(("refresh_ms", "window_ms"), SENSORS)
def test_the_window_is_found_from_fast_waves(refresh_ms: float, window_ms: float) -> None:
    edges = telegraph(8)
    for period_ms in (100, 50, 37, 20):
        edges += square(period_ms, seconds=8, start_ns=edges[-1] + 1_200 * MS)
    t, p = polled_sensor(edges, refresh_ms=refresh_ms, window_ms=window_ms, delay_ms=12, noise_w=3)
    found = analysis.fit_window(edges, *analysis.renewals(t, p))
    assert found is not None
    assert found.window_s == pytest.approx(window_ms / 1e3, rel=0.1, abs=2e-3)
    assert found.delay_s == pytest.approx(0.012, abs=3e-3)
    assert found.low_w == pytest.approx(LOW_W, abs=15)
    assert found.high_w == pytest.approx(HIGH_W, abs=15)
    assert found.r2 > 0.98


def test_levels_that_stay_the_same_count_as_readings() -> None:
    # Without noise a level never changes, and ramps alone would fit many a window.
    edges = square(2000, seconds=8)
    t, p = polled_sensor(edges, refresh_ms=20, window_ms=400, noise_w=0)
    renewed_ns, level_w = analysis.renewals(t, p)
    assert np.diff(renewed_ns) / MS == pytest.approx(20, abs=1.5)
    assert len(level_w) == pytest.approx((t[-1] - t[0]) / (20 * MS), rel=0.1)
    found = analysis.fit_window(edges, renewed_ns, level_w)
    assert found is not None
    assert found.window_s == pytest.approx(0.4, rel=0.02)


def test_a_window_of_one_second_is_found_from_slow_steps() -> None:
    edges = square(12_000, seconds=36)
    t, p = polled_sensor(edges, refresh_ms=100, window_ms=1000, delay_ms=30, poll_ms=2)
    found = analysis.fit_window(edges, *analysis.renewals(t, p))
    assert found is not None
    assert found.window_s == pytest.approx(1.0, rel=0.05)
    assert found.delay_s == pytest.approx(0.03, abs=0.02)


def test_readings_that_do_not_follow_the_load_have_no_window() -> None:
    edges, draw = telegraph(8), np.random.default_rng(0)
    t = np.arange(0, 8_000 * MS, 100 * MS)
    assert analysis.fit_window(edges, t, 300 + draw.normal(0, 5, len(t))) is None
    assert analysis.fit_window(edges, t, np.full(len(t), 300.0)) is None
    assert analysis.fit_window(edges, t[:5], np.arange(5.0)) is None


@pytest.mark.parametrize(("window_ms", "delay_ms"), [(1000, 0), (1000, 100), (200, 50)])
def test_delay_and_rise_of_a_moving_mean(window_ms: float, delay_ms: float) -> None:
    # A moving mean crosses half height half a window after the edge; 10 to 90 % take 0.8 windows.
    edges = square(12_000, seconds=36)
    t, p = polled_sensor(edges, refresh_ms=5, window_ms=window_ms, delay_ms=delay_ms)
    for up in (True, False):
        found = analysis.step_response(t, p, edges, up=up)
        assert found is not None
        assert found.delay_s == pytest.approx((window_ms / 2 + delay_ms) / 1e3, abs=0.012)
        assert found.rise_s == pytest.approx(0.8 * window_ms / 1e3, abs=0.02)
        assert (found.low_w, found.high_w) == pytest.approx((LOW_W, HIGH_W), abs=2)
        assert found.edges == (3 if up else 2)


def test_a_step_that_nobody_read_has_no_response() -> None:
    assert analysis.step_response([], [], square(12_000, seconds=24), up=True) is None


def test_a_load_that_cannot_be_seen_has_no_delay() -> None:
    t = np.arange(0, 24_000 * MS, 10 * MS)
    found = analysis.step_response(t, np.full(len(t), 50.0), square(12_000, seconds=24), up=True)
    assert found is not None
    assert (found.delay_s, found.rise_s) == (None, None)


def test_the_tick_of_a_counter_is_found() -> None:
    t = np.arange(0, 10_000, dtype=np.int64) * MS
    energy_mj = 123_456_789 + (t // (106 * MS)) * 36  # 340 mJ would be 3.2 W
    found = analysis.tick(t, energy_mj / 1e3)
    assert found.quantum == pytest.approx(0.036)
    assert found.period_s == pytest.approx(0.106, abs=1e-3)


@given(quantum=st.integers(1, 50), factors=st.lists(st.integers(1, 40), min_size=2, max_size=30))
def test_the_quantum_divides_every_step_of_a_counter(quantum: int, factors: list[int]) -> None:
    counter = np.cumsum([10**9, *(quantum * f for f in factors)]) / 1e3
    found = analysis.tick(np.arange(len(counter)) * 100 * MS, counter)
    assert found.quantum == pytest.approx(quantum * math.gcd(*factors) / 1e3)


def test_spacing_and_depth_of_a_ring_are_found() -> None:
    found = analysis.ring(np.arange(120) * 20 * MS)
    assert found.spacing_s == pytest.approx(0.02)
    assert found.entries == 120
    assert found.span_s == pytest.approx(2.38)
    assert analysis.ring([]).spacing_s is None


def test_stamps_are_told_apart() -> None:
    t = np.arange(1, 5_001, dtype=np.int64) * MS
    kinds = {
        "zero": np.zeros(len(t), dtype=np.int64),
        "query": t + 3_000,
        "refresh": t // (100 * MS) * 100 * MS + 1,
        "other": t - 40 * MS,
    }
    for kind, stamps in kinds.items():
        assert analysis.classify_stamps(t, stamps, call_ns=20_000).kind == kind
    age = analysis.classify_stamps(t, kinds["refresh"], call_ns=20_000).age_s
    assert age is not None
    assert age["q50"] == pytest.approx(0.05, abs=2e-3)


def test_an_effect_has_an_interval_that_holds_the_truth() -> None:
    draw, held = np.random.default_rng(0), 0
    for _ in range(400):
        off = 1000 * (1 + 0.01 * draw.standard_normal(3))
        on = 995 * (1 + 0.01 * draw.standard_normal(3))
        found = analysis.paired_effect(off.tolist(), on.tolist())
        assert found.low is not None and found.high is not None
        held += found.low <= -0.005 <= found.high
    assert 0.92 <= held / 400 <= 0.98


def test_one_round_has_no_interval() -> None:
    found = analysis.paired_effect([100.0], [98.0])
    assert found.change == pytest.approx(-0.02)
    assert (found.low, found.high, found.rounds) == (None, None, 1)


def test_disagreement_is_relative_to_the_reference_and_unknown_stays_unknown() -> None:
    found = analysis.disagreement({"energy_j": 200.0, "ring": 210.0, "gone": None}, "energy_j")
    assert found == {"ring": pytest.approx(0.05), "gone": None}
    assert analysis.disagreement({"ring": 1.0}, "energy_j") == {"ring": None}


def test_findings_are_plain_json() -> None:
    t, p = polled_sensor(telegraph(2), refresh_ms=20, window_ms=10)
    found = {"refresh": analysis.refresh_period(t, p), 50: [np.int64(3), np.float64("nan")]}
    again = json.loads(json.dumps(analysis.plain(found), allow_nan=False))
    assert again["50"] == [3, None]
    assert set(again["refresh"]) == set(analysis.Refresh._fields)


def test_quantiles_of_nothing_are_nothing() -> None:
    assert analysis.quantiles([]) is None
    found = analysis.quantiles([3.0, 1.0])
    assert found is not None and (found["q0"], found["q50"], found["q100"]) == (1.0, 2.0, 3.0)
