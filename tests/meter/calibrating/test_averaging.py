"""Window, lag and delay of made-up sensors are recovered from a load or from another sensor."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vidmeter.meter import energy
from vidmeter.meter.calibrating.averaging import Window, fit
from vidmeter.meter.calibrating.course import of_curve, of_edges
from vidmeter.meter.calibrating.response import refresh_period, renewals
from vidmeter.workloads.pulses import program

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MS, S = 1_000_000, 1_000_000_000
LOW_W, HIGH_W = 90.0, 610.0


@dataclass(frozen=True)
class Sensor:
    refresh_ms: float
    window_ms: float | None
    delay_ms: float = 0.0
    lag_ms: float | None = None


CLASSES = [
    Sensor(100, 25), Sensor(100, 100), Sensor(20, 10), Sensor(100, 20), Sensor(100, 1000),
    Sensor(100, None, lag_ms=150), Sensor(20, None, lag_ms=60),
]  # fmt: skip


def edges_of(seconds: float = 50.0, *, seed: int = 0) -> list[int]:
    """The edges of the load that calibrates, ns."""
    at, edges = 5 * S, []
    for length_s, on in program(seconds, seed=seed):
        if on:
            edges += [at, at + round(length_s * S)]
        at += round(length_s * S)
    return edges


def power_knots(edges: Sequence[int]) -> tuple[Floats, Floats]:
    """Seconds, and the power that holds from each on."""
    t = np.concatenate(([0.0], np.asarray(edges) / S))
    return t, np.where(np.arange(len(t)) % 2 == 1, HIGH_W, LOW_W)


def shown(sensor: Sensor, t_s: Floats, w: Floats, at_s: Floats) -> Floats:
    """What a sensor shows of power that steps to w at t: exactly, by plain integration."""
    end_s = at_s - sensor.delay_ms / 1e3
    knots = np.append(t_s, max(t_s[-1], at_s[-1]) + 10)
    joules = np.concatenate(([0.0], np.cumsum(np.diff(knots) * w)))
    if sensor.lag_ms is None:
        assert sensor.window_ms is not None
        window_s = sensor.window_ms / 1e3
        ends, starts = (np.interp(e, knots, joules) for e in (end_s, end_s - window_s))
        return np.asarray((ends - starts) / window_s)
    lag_s, level, out, k = sensor.lag_ms / 1e3, float(w[0]), [], 0
    last = float(t_s[0])
    for end in end_s:
        while k + 1 < len(t_s) and t_s[k + 1] <= end:
            level = w[k] + (level - w[k]) * np.exp(-(t_s[k + 1] - last) / lag_s)
            k, last = k + 1, float(t_s[k + 1])
        level = w[k] + (level - w[k]) * np.exp(-(end - last) / lag_s)
        last = float(end)
        out.append(level)
    return np.asarray(out)


def polled(
    sensor: Sensor, knots: tuple[Floats, Floats], seconds: float, *, seed: int,
    noise_w: float = 0.5, poll_ms: float = 5.0,
) -> tuple[Ints, Floats]:  # fmt: skip
    """What a poller with jitter sees of it, in whole mW, with noise."""
    draw = np.random.default_rng(seed)
    refresh_s = sensor.refresh_ms / 1e3
    renewed = np.arange(0.5 + draw.uniform(0, refresh_s), seconds, refresh_s)
    value = shown(sensor, *knots, renewed) + draw.normal(0, noise_w, len(renewed))
    asked = np.arange(2.0, seconds, poll_ms / 1e3)
    asked = np.sort(asked + draw.uniform(0, 0.2 * poll_ms / 1e3, len(asked)))
    value = np.round(value, 3)[np.searchsorted(renewed, asked, side="right") - 1]
    return np.round(asked * S).astype(np.int64), value


def check(sensor: Sensor, found: Window | None, *, delay_ms: float = 4.0) -> None:
    assert found is not None
    if sensor.lag_ms is not None:
        assert found.window_s is None and found.lag_s is not None
        assert found.lag_s * 1e3 == pytest.approx(sensor.lag_ms, rel=0.1, abs=2)
    else:
        assert found.lag_s is None and found.window_s is not None
        assert found.window_s * 1e3 == pytest.approx(sensor.window_ms, rel=0.1, abs=3)
    assert found.delay_s * 1e3 == pytest.approx(sensor.delay_ms, abs=delay_ms)
    assert found.r2 > 0.97


@pytest.mark.parametrize("sensor", CLASSES, ids=str)
@pytest.mark.parametrize("delay_ms", [0, 15, 60])
def test_the_load_shows_how_a_sensor_works(sensor: Sensor, delay_ms: float) -> None:
    sensor = Sensor(sensor.refresh_ms, sensor.window_ms, delay_ms, sensor.lag_ms)
    edges = edges_of(seed=round(delay_ms))
    t, p = polled(sensor, power_knots(edges), edges[-1] / S + 1, seed=round(delay_ms))
    assert refresh_period(t, p).period_s == pytest.approx(sensor.refresh_ms / 1e3, abs=1e-3)
    check(sensor, fit(of_edges(edges), *renewals(t, p), same=False))


def ring_curve(knots: tuple[Floats, Floats], seconds: float, *, seed: int) -> energy.Curve:
    """The driver's own samples of that power: 20 ms each, stamped at their end, with noise."""
    draw = np.random.default_rng(seed)
    ends = np.arange(0.5, seconds, 0.02)
    value = shown(Sensor(20, 20), *knots, ends) + draw.normal(0, 0.5, len(ends))
    return energy.boxes(np.round(ends * S).astype(np.int64), np.round(value, 3), 20 * MS)


def natural(seconds: float, *, seed: int) -> tuple[Floats, Floats]:
    """Power that varies by itself: levels that last 0.05 to 0.6 s."""
    draw = np.random.default_rng(seed)
    t = np.concatenate(([0.0], np.cumsum(draw.uniform(0.05, 0.6, round(seconds / 0.3)))))
    return t, draw.uniform(200, 400, len(t))


@pytest.mark.parametrize("sensor", [c for c in CLASSES if c.window_ms != 10], ids=str)
def test_the_drivers_own_samples_show_it_too_without_a_load(sensor: Sensor) -> None:
    sensor = Sensor(sensor.refresh_ms, sensor.window_ms, 12, sensor.lag_ms)
    knots = natural(40, seed=1)
    t, p = polled(sensor, knots, 38, seed=2)
    found = fit(of_curve(ring_curve(knots, 38, seed=3)), *renewals(t, p), same=True)
    check(sensor, found, delay_ms=5)


def test_a_load_that_rises_slowly_does_not_make_a_lag_of_a_short_window() -> None:
    edges = edges_of()
    t_s = np.arange(0, edges[-1] / S + 2, 0.002)
    busy = np.searchsorted(np.asarray(edges) / S, t_s, side="right") % 2 == 1
    w, level = np.empty(len(t_s)), LOW_W
    for i, goal in enumerate(np.where(busy, HIGH_W, LOW_W)):
        level = goal + (level - goal) * np.exp(-2 / 6)
        w[i] = level
    t, p = polled(Sensor(20, 10), (t_s, w), edges[-1] / S + 1, seed=0)
    found = fit(of_edges(edges), *renewals(t, p), same=False, least_lag_s=0.02)
    assert found is not None
    assert found.lag_s is None and found.window_s is not None
    assert found.window_s < 0.02  # it looks part of the time, and is said to


@pytest.mark.parametrize("seed", range(5))
def test_a_window_of_half_a_sample_is_found_right_or_not_at_all(seed: int) -> None:
    knots = natural(40, seed=seed)
    t, p = polled(Sensor(20, 10, 12), knots, 38, seed=seed)
    found = fit(of_curve(ring_curve(knots, 38, seed=seed)), *renewals(t, p), same=True)
    if found is not None:
        check(Sensor(20, 10, 12), found)


@pytest.mark.parametrize("noise_w", [0.0, 0.5, 5.0])
def test_steady_power_tells_nothing(noise_w: float) -> None:
    knots = (np.zeros(1), np.full(1, 300.0))
    t, p = polled(Sensor(100, 25), knots, 40, seed=1, noise_w=noise_w)
    assert fit(of_curve(ring_curve(knots, 38, seed=2)), *renewals(t, p), same=True) is None


def test_power_that_changes_slowly_does_not_tell_a_window() -> None:
    t_s = np.arange(0, 40, 0.02)
    knots = (t_s, 300 + 100 * np.sin(t_s / 5))
    t, p = polled(Sensor(100, 25), knots, 38, seed=1)
    assert fit(of_curve(ring_curve(knots, 38, seed=2)), *renewals(t, p), same=True) is None


@pytest.mark.parametrize("seed", range(4))
def test_power_that_keeps_step_with_the_sensor_does_not_tell_a_window(seed: int) -> None:
    levels = np.random.default_rng(seed).uniform(200, 400, 80)
    knots = (np.arange(80) * 0.5, levels)
    t, p = polled(Sensor(100, 40, 10), knots, 38, seed=seed)
    curve = ring_curve(knots, 38, seed=seed)
    assert fit(of_curve(curve), *renewals(t, p), same=True) is None


def test_readings_of_another_card_are_not_explained() -> None:
    mine, other = natural(40, seed=1), natural(40, seed=9)
    t, p = polled(Sensor(100, 25), other, 38, seed=1)
    assert fit(of_curve(ring_curve(mine, 38, seed=2)), *renewals(t, p), same=True) is None


def test_what_the_reference_did_not_see_is_left_out() -> None:
    knots = natural(60, seed=4)
    curve = ring_curve(knots, 58, seed=5)
    ends, watts = curve.t_ns[1:], curve.end_w
    kept = (ends < 20 * S) | (ends > 24 * S)
    holed = energy.boxes(ends[kept], watts[kept], 20 * MS)
    assert not holed.seen.all()
    sensor = Sensor(100, 25, 12)
    check(sensor, fit(of_curve(holed), *renewals(*polled(sensor, knots, 58, seed=6)), same=True))


@given(
    window_ms=st.floats(10, 300),
    delay_ms=st.floats(0, 100),
    refresh_ms=st.sampled_from([20.0, 50.0, 100.0, 106.3]),
    seed=st.integers(0, 10_000),
)
@settings(deadline=None, max_examples=10)
def test_any_window_is_found(
    window_ms: float, delay_ms: float, refresh_ms: float, seed: int
) -> None:
    sensor = Sensor(refresh_ms, window_ms, delay_ms)
    edges = edges_of(seed=seed)
    t, p = polled(sensor, power_knots(edges), edges[-1] / S + 1, seed=seed)
    assert refresh_period(t, p).period_s == pytest.approx(refresh_ms / 1e3, abs=1e-3)
    check(sensor, fit(of_edges(edges), *renewals(t, p), same=False))


def test_the_program_takes_no_longer_than_it_may_and_keeps_step_with_nothing() -> None:
    stretches = list(program(50))
    assert sum(s.seconds for s in stretches) < 52
    assert stretches[0] == (10.6, False)
    assert max(s.seconds for s in stretches if s.on) >= 10
    halves = [a.seconds + b.seconds for a, b in pairwise(stretches[11:-1])]
    assert np.std(halves) > 0.02
