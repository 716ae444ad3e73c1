"""Sources are held against each other, and one that can't be true is not used."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.meter.synthetic import (
    START,
    S,
    Sensor,
    Wave,
    card,
    constant,
    jittered,
    readings,
    run_of,
)
from vidmeter.meter.cards import recall, with_known
from vidmeter.meter.learning import judged, learn
from vidmeter.meter.quality import Verdict
from vidmeter.meter.run import Event, Run, Trace
from vidmeter.meter.sample import Quantity
from vidmeter.meter.summarize import summarize
from vidmeter.meter.summary import DeviceEnergy

RING, INSTANT, ENERGY = Quantity.POWER_RING, Quantity.POWER_INSTANT, Quantity.ENERGY
USAGE, AVERAGE = Quantity.POWER_USAGE, Quantity.POWER_AVERAGE
SENSORS = {
    RING: Sensor(RING, 20, 20),
    INSTANT: Sensor(INSTANT, 100, 100),
    AVERAGE: Sensor(AVERAGE, 100, 1000),
    ENERGY: Sensor(ENERGY, 100, stamped=False),
}


def recorded(wave: Wave, *quantities: Quantity, capability: str = "8.9", seed: int = 0) -> Run:
    rng = np.random.default_rng(seed)
    traces = {
        q: readings(wave, SENSORS[q], rng, noise_w=0.0 if q is ENERGY else 0.3) for q in quantities
    }
    return run_of(wave, card(capability), traces, window_ns={AVERAGE: S})


def with_counter(run: Run, change: object) -> Run:
    """The run with another course of its counter: `change` takes seconds and joules."""
    traces = {}
    for series, (t, v) in run.traces.items():
        if series.quantity is ENERGY:
            seconds = (np.asarray(t) - START) / S
            values = change(seconds, np.asarray(v))  # type: ignore[operator]
            v = type(v)("d", values.tolist())
        traces[series] = Trace(t, v)
    return replace(run, traces=traces)


def stuck_at(power_w: float) -> object:
    """A counter that ticks one power at any load, in steps of 100 ms."""
    return lambda t, _: 1e5 + power_w * 0.1 * np.floor((t + 5) / 0.1)


def device_of(run: Run) -> DeviceEnergy:
    (device,) = summarize(run).devices
    return device


def varied(seconds: float, seed: int = 0) -> Wave:
    return Wave(seconds, jittered(np.random.default_rng(seed), 1.3, 0.3, seconds, 150, 650))


@pytest.mark.parametrize("seconds", [3.0, 10.0, 30.0])
def test_a_counter_that_knows_no_load_is_set_aside(seconds: float) -> None:
    run = with_counter(recorded(varied(seconds), RING, ENERGY), stuck_at(250))
    device = device_of(run)
    assert device.source == "driver's power samples"
    assert device.second_source is None and device.trusted
    assert "J where the driver's power samples say" in device.set_aside["energy counter"]
    assert "quarantined" in {c.kind for c in summarize(run).cautions}


def test_a_counter_that_is_right_on_average_by_accident_is_set_aside() -> None:
    wave = varied(30)
    run = with_counter(recorded(wave, RING, ENERGY), stuck_at(wave.truth_j / 30))
    assert "energy counter" in device_of(run).set_aside


def test_a_counter_that_reads_187_joules_for_327_is_set_aside() -> None:
    run = recorded(Wave(5, constant(65.4)), RING, ENERGY)
    wrong = with_counter(run, lambda _, j: j[0] + (j - j[0]) * 187 / 327)
    (reason,) = device_of(wrong).set_aside.values()
    assert "-43 %" in reason


@pytest.mark.parametrize("seed", range(20))
def test_a_sound_counter_is_never_set_aside(seed: int) -> None:
    for seconds in (2.5, 5.0, 20.0):
        device = device_of(recorded(varied(seconds, seed), RING, ENERGY, seed=seed))
        assert device.set_aside == {}
        assert device.second_source == "energy counter" and device.trusted
        assert abs(device.disagreement or 1) < 0.02


def test_without_a_ring_two_full_time_readings_set_a_counter_aside() -> None:
    run = with_counter(recorded(varied(20), INSTANT, AVERAGE, ENERGY), stuck_at(250))
    device = device_of(run)
    assert "energy counter" in device.set_aside
    assert device.source == "instant power" and device.trusted


def test_one_reading_against_a_counter_leaves_no_trust_and_an_interval_that_holds_both() -> None:
    wave = varied(20)
    device = device_of(with_counter(recorded(wave, INSTANT, ENERGY), stuck_at(250)))
    assert device.set_aside == {} and not device.trusted
    assert device.low_j is not None and device.high_j is not None
    assert device.low_j < min(wave.truth_j, 250 * 20)
    assert device.high_j > max(wave.truth_j, 250 * 20)


def test_a_disagreement_of_three_percent_is_a_caution_and_no_more() -> None:
    run = recorded(varied(60), INSTANT, ENERGY)
    summary = summarize(with_counter(run, lambda _, j: j[0] + (j - j[0]) * 1.03))
    kinds = {c.kind for c in summary.cautions}
    assert "disagreement" in kinds and "not_trusted" not in kinds
    assert summary.total.trusted


def test_a_counter_that_was_caught_stays_set_aside_in_a_run_too_short_to_catch_it(
    tmp_path: Path,
) -> None:
    learn(with_counter(recorded(varied(20), RING, ENERGY), stuck_at(250)), where=tmp_path)
    known = recall(card("8.9"), where=tmp_path)
    assert known.quality is not None
    assert known.quality.of(ENERGY).verdict is Verdict.BROKEN
    short = recorded(varied(1.5), ENERGY, INSTANT)
    short = replace(short, devices=(with_known(short.devices[0], known),))
    device = device_of(short)
    assert device.source == "instant power"
    assert device.set_aside["energy counter"].startswith("found broken before: it says")


def test_a_first_run_teaches_and_a_later_one_that_agrees_teaches_nothing(tmp_path: Path) -> None:
    run = recorded(varied(20), RING, ENERGY)
    (path,) = learn(run, where=tmp_path)
    known = recall(card("8.9"), where=tmp_path)
    assert known.quality == judged(run, run.devices[0])
    again = replace(run, devices=(with_known(run.devices[0], known),))
    assert learn(again, where=tmp_path) == []
    assert path.exists()


def test_a_run_of_a_moment_teaches_nothing(tmp_path: Path) -> None:
    assert learn(recorded(varied(1), RING, ENERGY), where=tmp_path) == []


def test_a_leap_of_the_counter_is_left_out_of_its_energy() -> None:
    wave = Wave(20, constant(300))
    leap = with_counter(recorded(wave, ENERGY), lambda t, j: j + 9e4 * (t > 8.02))
    trace = next(iter(leap.traces.values()))
    after = next(i for i, t in enumerate(trace.t_ns) if t > START + 8.02 * S)
    event = Event("counter_jump", trace.t_ns[after - 1], trace.t_ns[after], "leapt", card().uuid)
    device = device_of(replace(leap, events=(event,)))
    assert device.covered_j == pytest.approx(300 * 20 * device.coverage, rel=0.001)
    assert 0.98 < device.coverage < 1


def test_time_between_the_readings_explains_small_differences_of_short_runs() -> None:
    for seed in range(30):
        device = device_of(recorded(varied(1.2, seed), RING, ENERGY, seed=seed))
        assert device.trusted, device.disagreement


def test_a_hole_in_the_second_source_is_no_disagreement() -> None:
    run = recorded(varied(30), RING, ENERGY)
    traces = {}
    for series, (t, v) in run.traces.items():
        keep = range(len(t))
        if series.quantity is RING:
            keep = [i for i in keep if not 10 * S < t[i] - START < 11.5 * S]
        traces[series] = Trace(
            type(t)("q", [t[i] for i in keep]), type(v)("d", [v[i] for i in keep])
        )
    device = device_of(replace(run, traces=traces))
    assert device.source == "energy counter"
    assert device.second_source == "driver's power samples"
    assert abs(device.disagreement or 1) < 0.005


def test_a_counter_that_breaks_later_is_marked_on_a_card_that_was_known(tmp_path: Path) -> None:
    run = recorded(varied(20), RING, ENERGY)
    learn(run, where=tmp_path)
    known = recall(card("8.9"), where=tmp_path)
    assert known.quality is not None and known.quality.of(ENERGY).verdict is Verdict.WORKS
    broken = with_counter(recorded(varied(20), RING, ENERGY), stuck_at(250))
    learn(replace(broken, devices=(with_known(run.devices[0], known),)), where=tmp_path)
    again = recall(card("8.9"), where=tmp_path)
    assert again.quality is not None and again.quality.of(ENERGY).verdict is Verdict.BROKEN
    assert again.quality.of(RING).verdict is Verdict.WORKS
