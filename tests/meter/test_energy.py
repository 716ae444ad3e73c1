"""The arithmetic against exact truth: curves whose integral is known in closed form."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vidmeter.meter import energy, spans
from vidmeter.meter.sensors.curve import PowerCurve

S = 1_000_000_000
MS = 1_000_000


def grid(start_s: float, end_s: float, step_s: float) -> np.ndarray:
    return np.arange(round(start_s * S), round(end_s * S) + 1, round(step_s * S), dtype=np.int64)


curves = st.lists(st.tuples(st.integers(1, 5000), st.floats(0, 1000)), min_size=2, max_size=30).map(
    lambda steps: (
        np.cumsum([gap for gap, _ in steps]).astype(np.int64) * 1_000_000,
        np.array([w for _, w in steps]),
    )
)


def test_a_constant_power_is_power_times_time() -> None:
    t = grid(0, 10, 0.05)
    curve = energy.points(t, np.full(len(t), 100.0))

    got = energy.energy(curve, 1 * S, 9 * S)

    assert got.covered_j == pytest.approx(800.0, rel=1e-12)
    assert got.coverage == 1.0


@given(curves, st.floats(0, 1), st.floats(0, 1))
def test_straight_lines_between_readings_are_integrated_exactly(
    readings: tuple[np.ndarray, np.ndarray], a: float, b: float
) -> None:
    t, w = readings
    start, end = sorted(round(t[0] + share * (t[-1] - t[0])) for share in (a, b))
    truth = PowerCurve([((x - t[0]) / S, y) for x, y in zip(t.tolist(), w.tolist(), strict=True)])
    # A nominal spacing as long as the longest stretch: nothing of this is a gap.
    curve = energy.points(t, w, nominal_ns=int(np.diff(t).max()))

    got = energy.energy(curve, start, end)

    exact = truth.energy_j((end - t[0]) / S) - truth.energy_j((start - t[0]) / S)
    assert got.covered_j == pytest.approx(exact, rel=1e-9, abs=1e-9)
    assert got.coverage == pytest.approx(1.0)


@given(curves, st.lists(st.floats(-0.2, 1.2), min_size=2, max_size=10))
def test_windows_that_touch_add_up_to_the_whole(
    readings: tuple[np.ndarray, np.ndarray], shares: list[float]
) -> None:
    t, w = readings
    edges = sorted(round(t[0] + share * (t[-1] - t[0])) for share in shares)
    for curve in (energy.points(t, w), energy.counter(t, np.cumsum(w)), energy.boxes(t, w, 10**8)):
        whole = energy.energy(curve, edges[0], edges[-1]).covered_j
        parts = energy.energies(curve, edges[:-1], edges[1:])
        assert sum(p.covered_j for p in parts) == pytest.approx(whole, rel=1e-9, abs=1e-9)


@given(curves)
def test_coverage_is_a_share_and_energy_is_never_negative(
    readings: tuple[np.ndarray, np.ndarray],
) -> None:
    t, w = readings
    for curve in (energy.points(t, w), energy.counter(t, w), energy.counter(t, w, ticking=True)):
        for got in energy.energies(curve, t[:-1], t[1:]):
            assert 0.0 <= got.coverage <= 1.0
            assert got.covered_j >= -1e-9


def test_readings_that_tile_the_time_hold_for_the_stretch_before_them() -> None:
    truth = PowerCurve([(0, 100), (3.05, 100), (3.05, 400), (10, 400)])
    t = grid(0.1, 10, 0.1)
    means = [(truth.energy_j(x / S) - truth.energy_j(x / S - 0.1)) / 0.1 for x in t]

    curve = energy.boxes(t, means, S // 10)

    assert energy.energy(curve, 0, 10 * S).covered_j == pytest.approx(truth.energy_j(10), rel=1e-9)
    assert energy.energy(curve, 2 * S, 5 * S).covered_j == pytest.approx(
        truth.energy_j(5) - truth.energy_j(2), rel=1e-9
    )


def test_a_running_mean_over_a_second_loses_its_delay() -> None:
    truth = PowerCurve([(0, 100), (4, 100), (4, 500), (20, 500)])
    t = grid(1, 20, 0.1)
    means = [truth.energy_j(x / S) - truth.energy_j(x / S - 1.0) for x in t]

    curve = energy.boxes(t, means, S)

    # Over a window that holds the whole step, the delay of half a second would cost 200 J.
    got = energy.energy(curve, 2 * S, 8 * S).covered_j
    assert got == pytest.approx(truth.energy_j(8) - truth.energy_j(2), rel=2e-3)


def test_a_gap_adds_no_energy_to_an_integral_and_lowers_coverage() -> None:
    t = np.concatenate([grid(0, 4, 0.05), grid(6, 10, 0.05)])
    curve = energy.points(t, np.full(len(t), 100.0))

    got = energy.energy(curve, 0, 10 * S)

    assert got.covered_j == pytest.approx(800.0)
    assert got.coverage == pytest.approx(0.8)


def test_a_counter_knows_the_energy_of_a_gap_that_lies_inside_the_window() -> None:
    t = np.concatenate([grid(0, 4, 0.05), grid(6, 10, 0.05)])
    curve = energy.counter(t, t / S * 100.0)

    whole = energy.energy(curve, 0, 10 * S)
    cut = energy.energy(curve, 0, 5 * S)

    assert (whole.covered_j, whole.coverage) == (pytest.approx(1000.0), 1.0)
    assert cut.coverage == pytest.approx(0.8)


def test_a_counter_reset_is_never_bridged() -> None:
    t = grid(0, 10, 0.05)
    joules = np.where(t < 5 * S, 1000 + t / S * 100, (t - 5 * S) / S * 100)

    got = energy.energy(energy.counter(t, joules), 0, 10 * S)

    assert got.covered_j == pytest.approx(995.0)
    assert got.coverage == pytest.approx(1 - 0.05 / 10)


@pytest.mark.parametrize("wrap", [65_532.610987, 262_143.32885])
def test_a_counter_that_wraps_goes_on_where_it_was(wrap: float) -> None:
    t = grid(0, 1000, 0.2)
    joules = (t / S * 250.0 + wrap - 100) % wrap

    got = energy.energy(energy.counter(t, joules, wrap=wrap), 0, 1000 * S)

    assert got.covered_j == pytest.approx(250_000.0, rel=1e-9)
    assert got.coverage == 1.0


def test_a_ticking_counter_is_closed_on_its_ticks() -> None:
    truth = PowerCurve([(0, 100), (2.5, 100), (2.5, 600), (7.5, 600), (7.5, 100), (10, 100)])
    t = grid(0, 10, 0.05) + 7_000_000  # the reader's phase is not the driver's
    joules = [truth.energy_j(np.floor(x / S / 0.1) * 0.1) for x in t]

    got = energy.energy(energy.counter(t, joules, ticking=True), 2 * S, 8 * S)

    exact = truth.energy_j(8) - truth.energy_j(2)
    assert got.covered_j == pytest.approx(exact, abs=0.03 * 600)
    assert got.coverage == 1.0


def test_a_counter_that_stands_still_means_no_energy() -> None:
    t = grid(0, 5, 0.05)

    got = energy.energy(energy.counter(t, np.full(len(t), 42.0), ticking=True), 0, 5 * S)

    assert (got.covered_j, got.coverage) == (0.0, 1.0)


@pytest.mark.parametrize("readings", [0, 1])
def test_too_few_readings_give_no_energy_and_no_coverage(readings: int) -> None:
    t = grid(0, 1, 0.1)[:readings]
    for curve in (energy.points(t, t * 0.0), energy.counter(t, t * 0.0), energy.boxes(t, t, S)):
        assert energy.energy(curve, 0, S) == energy.WindowEnergy(0.0, 0.0)
        assert np.isnan(energy.peaks_w(curve, [0], [S])).all()


def test_a_window_before_all_readings_is_not_covered() -> None:
    t = grid(100, 110, 0.05)
    curve = energy.points(t, np.full(len(t), 50.0))

    assert energy.energy(curve, 0, 50 * S).coverage == 0.0
    assert energy.energy(curve, 99 * S, 101 * S).coverage == pytest.approx(0.5, abs=0.05)


def test_equal_and_backward_stamps_are_left_out() -> None:
    t = np.array([0, 50, 50, 40, 100, 150]) * 1_000_000
    curve = energy.points(t, np.full(6, 10.0))

    assert np.all(np.diff(curve.t_ns) > 0)
    assert energy.energy(curve, 0, 150_000_000).covered_j == pytest.approx(1.5)


def test_the_peak_is_the_highest_power_seen_in_each_window() -> None:
    t = grid(0, 10, 0.1)
    w = np.where(t == 4 * S, 700.0, 100.0)
    kept = (t < 6 * S) | (t > 8 * S)
    curve = energy.points(t[kept], w[kept])

    starts = [0, 5 * S, 3_950_000_000, 6_200_000_000, 20 * S, 4 * S]
    ends = [10 * S, 10 * S, 3_960_000_000, 7_900_000_000, 21 * S, 4 * S]
    peaks = energy.peaks_w(curve, starts, ends)
    assert peaks[[0, 1, 2, 5]].tolist() == pytest.approx([700, 100, 460, 700])
    assert np.isnan(peaks[[3, 4]]).all()


def test_power_in_a_gap_is_not_a_number() -> None:
    t = np.concatenate([grid(0, 1, 0.05), grid(3, 4, 0.05)])
    curve = energy.points(t, np.full(len(t), 5.0))

    assert np.isnan(energy.power_at(curve, [2 * S])[0])
    assert energy.power_at(curve, [S // 2])[0] == 5.0


# ---- readings as a sensor renews them ----


@given(
    refresh_ms=st.sampled_from([20, 100, 500]),
    offset_ms=st.integers(0, 499),
    levels=st.lists(st.integers(100, 700), min_size=8, max_size=30),
    asked_ms=st.sampled_from([5, 7, 10]),
)
def test_readings_asked_for_often_are_those_that_were_renewed(
    refresh_ms: int, offset_ms: int, levels: list[int], asked_ms: int
) -> None:
    assume(any(a != b for a, b in pairwise(levels)))
    refresh, asked = refresh_ms * 1_000_000, asked_ms * 1_000_000
    first = offset_ms * 1_000_000
    came = first + refresh * np.arange(len(levels))
    t = np.arange(first, came[-1] + refresh, asked)
    v = np.asarray(levels)[(t - first) // refresh]
    times, values = energy.renewed(t, v, refresh)
    if len(np.flatnonzero(np.diff(v))) < 2:
        assert (times == t).all()
        return
    exact = energy.boxes(came, levels, refresh, refresh_ns=refresh)
    seen = energy.boxes(times, values, refresh, refresh_ns=refresh)
    a, b = int(came[0]), int(came[-1])
    # Each change is placed to within half of the time between two looks.
    swing = max(levels) - min(levels)
    slack_j = asked / 1e9 * swing * 2
    assert energy.energy(seen, a, b).covered_j == pytest.approx(
        energy.energy(exact, a, b).covered_j, abs=slack_j
    )


def test_nothing_is_renewed_while_nobody_asks() -> None:
    t = np.concatenate((np.arange(0, 2 * S, 50 * MS), np.arange(5 * S, 7 * S, 50 * MS)))
    v = np.where((t // (500 * MS)) % 2 == 0, 300.0, 500.0)
    times, values = energy.renewed(t, v, 100 * MS)
    assert not ((times > 2.2 * S) & (times < 4.9 * S)).any()
    curve = energy.boxes(times, values, 100 * MS, refresh_ns=100 * MS)
    assert energy.energy(curve, S, 6 * S).coverage < 0.5


def test_readings_with_stamps_of_their_own_are_left_as_they_are() -> None:
    t = np.arange(0, 10 * S, 100 * MS)
    v = np.where((t // S) % 2 == 0, 300.0, 500.0)
    times, values = energy.renewed(t, v, 100 * MS)
    assert (times == t).all() and (values == v).all()


def test_a_sluggish_sensor_gives_back_the_energy_that_it_smeared() -> None:
    lag_s, t_s = 0.4, np.arange(0, 10, 0.02)
    true_w = np.where((t_s > 3) & (t_s < 5), 600.0, 100.0)
    shown, level = [], 100.0
    for w in true_w:
        shown.append(level)
        level = w + (level - w) * np.exp(-0.02 / lag_s)
    curve = energy.sluggish(energy.points((t_s * S).astype(np.int64), shown), round(lag_s * S))
    got = energy.energy(curve, int(2.5 * S), int(5.5 * S)).covered_j
    assert got == pytest.approx(100 * 3 + 500 * 2, rel=0.01)


def test_a_leap_is_known_and_costs_only_its_stretch() -> None:
    t = np.arange(0, 10 * S, 100 * MS)
    e = 300.0 * t / S + 5e4 * (t > 4 * S)
    leap = (4 * S, 4 * S + 100 * MS)
    got = energy.energy(energy.counter(t, e, spoiled=[leap]), S, 9 * S)
    assert got.covered_j == pytest.approx(300 * 7.9, rel=1e-9)
    assert got.coverage == pytest.approx(7.9 / 8)


def test_what_a_curve_saw_of_spans_leaves_out_its_gaps_and_what_is_outside() -> None:
    t = np.concatenate((np.arange(0, 2 * S, 50 * MS), np.arange(5 * S, 8 * S, 50 * MS)))
    curve = energy.points(t, np.full(len(t), 100.0))
    gap = (int(1.95 * S), 5 * S)

    def seen(*asked: tuple[int, int]) -> list[tuple[int, int]]:
        return [(int(a), int(b)) for a, b in spans.seen(curve, spans.as_spans(asked))]

    assert seen((S, 6 * S)) == [(S, gap[0]), (gap[1], 6 * S)]
    assert seen((3 * S, 4 * S)) == []
    (only,) = seen((6 * S, 20 * S))
    assert only[0] == 6 * S and only[1] < 8.2 * S
    assert not len(spans.seen(energy.points([], []), spans.as_spans([(0, S)])))


def test_many_spans_at_once_say_what_each_of_them_says_alone() -> None:
    t = np.arange(0, 10 * S, 50 * MS)
    curve = energy.points(t, 100 + 50 * np.sin(t / S))
    several = spans.as_spans([(a * MS, (a + 70) * MS) for a in range(200, 9_000, 130)])
    alone = [energy.energy(curve, int(a), int(b)).covered_j for a, b in several]
    peaks = [energy.peaks_w(curve, [a], [b]).item() for a, b in several]

    assert spans.over(curve, several).covered_j == pytest.approx(sum(alone), rel=1e-12)
    assert spans.peak_w(curve, several) == max(peaks)


def test_time_of_stretches_inside_spans_is_exact_to_the_nanosecond_after_days() -> None:
    origin = 40 * 86_400 * S
    edges = [0, 1, 2, 5 * S, 5 * S + 7, 3_600 * S, 3_601 * S + 1, 86_400 * S]
    several = spans.as_spans(edges) + origin
    starts = np.asarray([-S, 0, 1, 4 * S, 5 * S + 6, 3_000 * S, 86_399 * S, 90_000 * S]) + origin
    ends = np.asarray([0, 2, 2, 6 * S, 5 * S + 8, 3_700 * S, 86_401 * S, 90_001 * S]) + origin

    found = spans.time_inside(several, starts, ends)

    slowly = [
        sum(max(0, min(int(e), int(b)) - max(int(s), int(a))) for a, b in several)
        for s, e in zip(starts, ends, strict=True)
    ]
    assert found.round().astype(np.int64).tolist() == slowly
    assert np.abs(found - slowly).max() < 0.1
    assert not spans.time_inside(several[:0], starts, ends).any()


def test_ticks_seen_at_odd_times_are_placed_on_their_grid() -> None:
    tick = 100 * MS
    t = np.arange(7 * MS, 20 * S, 47 * MS)
    e = 300.0 * (t // tick) * 0.1
    knots = energy.counter(t, e, ticking=True).t_ns[1:-1]
    off = np.abs((knots + tick // 2) % tick - tick // 2)
    assert off.max() < 4 * MS  # the middle between two looks would be off by up to 23 ms
