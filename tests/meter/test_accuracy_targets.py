"""The accuracy that is promised, on sensors made up with known truth: all seeded, no sleeping.

Each class of sensor of arXiv 2312.02741 is tried with waveforms whose integral is known. What is
asserted are the project's targets, not what the arithmetic happens to reach.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.meter.synthetic import (
    CARD,
    MS,
    Floats,
    Sensor,
    Wave,
    card,
    constant,
    jittered,
    readings,
    run_of,
    square,
)
from vidmeter.meter.cards import Known, with_known
from vidmeter.meter.device import Device
from vidmeter.meter.quality import Origin, Quality, SeriesQuality, Verdict
from vidmeter.meter.sample import Quantity
from vidmeter.meter.summarize import summarize
from vidmeter.meter.summary import DeviceEnergy

INSTANT, USAGE, AVERAGE = Quantity.POWER_INSTANT, Quantity.POWER_USAGE, Quantity.POWER_AVERAGE
RING, ENERGY = Quantity.POWER_RING, Quantity.ENERGY
Make = Callable[[np.random.Generator], Callable[[Floats], Floats]]


def known(sensor: Sensor, *, delay: bool = True) -> Device:
    """A card on which a calibration found what the sensor is like."""
    series = SeriesQuality(
        sensor.quantity,
        Verdict.WORKS,
        refresh_ns=round(sensor.refresh_ms * MS),
        window_ns=round(sensor.window_ms * MS) if sensor.window_ms else None,
        window_origin=Origin.MEASURED,
        delay_ns=round(sensor.delay_ms * MS) if delay else None,
        lag_ns=round(sensor.lag_ms * MS) if sensor.lag_ms else None,
    )
    return with_known(card(None), Known(Quality(CARD, "1", "1", "2026-01-01", 60.0, (series,))))


CLASSES: dict[str, Sensor] = {
    "25/100": Sensor(INSTANT, 100, 25),
    "25/100 late by 40": Sensor(INSTANT, 100, 25, delay_ms=40),
    "100/100": Sensor(INSTANT, 100, 100),
    "100/100 unstamped": Sensor(USAGE, 100, 100, stamped=False),
    "10/20": Sensor(INSTANT, 20, 10),
    "20/100": Sensor(INSTANT, 100, 20),
    "1000/100": Sensor(AVERAGE, 100, 1000),
    "1000/100 unstamped": Sensor(USAGE, 100, 1000, stamped=False),
    "500 ms cache": Sensor(INSTANT, 500, 500),
    "logarithmic": Sensor(INSTANT, 100, lag_ms=300),
    "ring": Sensor(RING, 20, 20),
    "counter": Sensor(ENERGY, 100, stamped=False),
    "counter stamped": Sensor(ENERGY, 100),
    "counter of 20 ms": Sensor(ENERGY, 20, stamped=False),
}
PART_TIME = {"25/100", "25/100 late by 40", "10/20", "20/100"}
FULL_TIME = sorted(CLASSES.keys() - PART_TIME)


def measured(
    name: str, wave: Wave, rng: np.random.Generator, *, noise_w: float = 0.5
) -> DeviceEnergy:
    sensor = CLASSES[name]
    noise_w = 0.0 if sensor.quantity is ENERGY else noise_w
    poll_s = min(0.05, sensor.refresh_ms / 2e3)
    trace = readings(wave, sensor, rng, noise_w=noise_w, poll_s=poll_s, jitter_s=0.002)
    run = run_of(wave, known(sensor), {sensor.quantity: trace}, period_s=poll_s)
    (device,) = summarize(run).devices
    return device


def errors(name: str, seconds: float, make: Make, trials: int) -> Floats:
    """Relative errors of as many trials, each with a wave of its own."""
    found = []
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        wave = Wave(seconds, make(rng))
        device = measured(name, wave, rng)
        assert device.energy_j is not None and device.coverage > 0.99
        assert device.low_j is not None and device.high_j is not None
        assert device.low_j <= wave.truth_j <= device.high_j
        found.append(device.energy_j / wave.truth_j - 1)
    return np.abs(found)


@pytest.mark.parametrize("name", CLASSES)
def test_even_power_is_right_to_a_thousandth(name: str) -> None:
    assert errors(name, 10, lambda _: constant(412.0), 20).max() <= 0.001


@pytest.mark.parametrize("name", CLASSES)
def test_a_ramp_is_right_to_two_thousandths(name: str) -> None:
    up = errors(name, 20, lambda _: lambda t: 100 + 30 * np.clip(t, 0, 20), 20)
    down = errors(name, 20, lambda _: lambda t: 700 - 30 * np.clip(t, 0, 20), 20)
    assert max(up.max(), down.max()) <= 0.002


WAVES = {
    "137 ms": (0.137, 0.02),
    "37 ms": (0.037, 0.02),
    "1 s": (1.0, 0.05),
}


@pytest.mark.parametrize("wave", WAVES)
@pytest.mark.parametrize("name", FULL_TIME)
def test_a_square_wave_over_a_minute_is_right_to_two_thousandths(name: str, wave: str) -> None:
    period_s, jitter = WAVES[wave]
    found = errors(name, 60, lambda rng: jittered(rng, period_s, jitter, 60), 20)
    limit = 0.003 if CLASSES[name].window_ms in (1000, 500) and wave == "1 s" else 0.002
    assert np.quantile(found, 0.95) <= limit


@pytest.mark.parametrize("wave", WAVES)
@pytest.mark.parametrize("name", sorted(PART_TIME))
def test_a_part_time_sensor_is_right_to_a_hundredth_if_nothing_keeps_step(
    name: str, wave: str
) -> None:
    period_s, jitter = WAVES[wave]
    found = errors(name, 60, lambda rng: jittered(rng, period_s, jitter, 60), 60)
    assert np.quantile(found, 0.95) <= 0.01


@pytest.mark.parametrize("name", CLASSES)
def test_a_second_of_load_within_ten_is_right_to_a_hundredth(name: str) -> None:
    def step(rng: np.random.Generator) -> Callable[[Floats], Floats]:
        start = rng.uniform(2, 7)
        return lambda t: np.where((t > start) & (t < start + 1), 700.0, 150.0)

    assert errors(name, 10, step, 30).max() <= 0.01


def locked_trial(seed: int, *, refresh_ms: float, window_ms: float) -> tuple[bool, float]:
    """One load in step with a part-time sensor; whether the interval holds, and the error."""
    rng = np.random.default_rng(seed)
    part = rng.integers(1, 5)
    jitter = rng.choice([0.0, 1e-4, 0.01])
    seconds = float(rng.choice([5.0, 20.0]))
    low_w, high_w = np.sort(rng.uniform(80, 690, 2))
    wave = Wave(seconds, jittered(rng, refresh_ms / 1e3 / part, jitter, seconds, low_w, high_w))
    sensor = Sensor(INSTANT, refresh_ms, window_ms)
    trace = readings(wave, sensor, rng, noise_w=0.5)
    run = run_of(wave, known(sensor), {INSTANT: trace}, period_s=refresh_ms / 2e3)
    (device,) = summarize(run).devices
    assert device.energy_j and device.low_j is not None and device.high_j is not None
    held = device.low_j <= wave.truth_j <= device.high_j
    return held, abs(device.energy_j / wave.truth_j - 1)


@pytest.mark.parametrize(("refresh_ms", "window_ms"), [(100.0, 25.0), (20.0, 10.0)])
def test_a_load_in_step_with_a_part_time_sensor_lies_in_the_interval(
    refresh_ms: float, window_ms: float
) -> None:
    trials = [locked_trial(i, refresh_ms=refresh_ms, window_ms=window_ms) for i in range(500)]
    held = [h for h, _ in trials]
    assert sum(held) >= 0.93 * len(held)
    # The case is the hard one: with the gain's ±5 % alone the truth would often lie outside.
    assert np.mean([error > 0.05 for _, error in trials]) > 0.15


def test_the_locked_case_of_two_levels_holds_in_93_of_100_trials() -> None:
    """300 and 700 W in equal halves of 100 ms, 25 ms of which are seen, at any phase."""
    held, wrong = 0, 0
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        wave = Wave(5.0, square(0.1, phase=float(rng.uniform())))
        trace = readings(wave, CLASSES["25/100"], rng, noise_w=0.5)
        run = run_of(wave, known(CLASSES["25/100"]), {INSTANT: trace})
        (device,) = summarize(run).devices
        assert device.energy_j and device.low_j is not None and device.high_j is not None
        held += device.low_j <= wave.truth_j <= device.high_j
        wrong += abs(device.energy_j / wave.truth_j - 1) > 0.2
    assert held >= 930
    assert wrong > 300


def test_a_load_out_of_step_leaves_a_narrow_interval() -> None:
    rng = np.random.default_rng(1)
    wave = Wave(60, jittered(rng, 0.137, 0.02, 60))
    device = measured("25/100", wave, rng)
    assert device.sampling_high_j is not None and device.energy_j
    assert device.sampling_high_j < 0.05 * device.energy_j
    assert not device.in_step


def test_a_counter_answers_where_the_instant_power_is_part_time() -> None:
    rng = np.random.default_rng(3)
    wave = Wave(20, square(0.1, phase=0.1))
    traces = {
        INSTANT: readings(wave, Sensor(INSTANT, 100, 25), rng),
        ENERGY: readings(wave, Sensor(ENERGY, 100, stamped=False), rng),
    }
    summary = summarize(run_of(wave, card("9.0"), traces))
    (device,) = summary.devices
    assert device.source == "energy counter" and device.second_source == "instant power"
    assert device.energy_j == pytest.approx(wave.truth_j, rel=0.002)
    assert device.disagreement is not None and abs(device.disagreement) > 0.15
    assert not device.trusted
    assert "not_trusted" in {c.kind for c in summary.cautions}


def test_windows_that_touch_add_up() -> None:
    rng = np.random.default_rng(5)
    wave = Wave(20, jittered(rng, 0.7, 0.1, 20))
    for name in CLASSES:
        sensor = CLASSES[name]
        trace = readings(wave, sensor, rng)
        whole = run_of(wave, known(sensor), {sensor.quantity: trace})
        cut = whole.start_ns + 7_123_456_789
        parts = [replace(whole, end_ns=cut), replace(whole, start_ns=cut)]
        total = summarize(whole).total.energy_j
        halves = [summarize(part).total.energy_j for part in parts]
        assert None not in halves
        assert sum(h or 0.0 for h in halves) == pytest.approx(total, rel=1e-9), name
