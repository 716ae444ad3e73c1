"""What readings say of the sensor that gave them."""

from dataclasses import replace

import numpy as np
import pytest

from tests.meter.synthetic import MS, START, S, Sensor, Wave, card, jittered, readings, run_of
from vidmeter.meter.cadence import in_step, refresh_ns, usual_step_ns
from vidmeter.meter.cards import Known, with_known
from vidmeter.meter.probing import observe, probe
from vidmeter.meter.quality import Origin, SeriesQuality, Verdict
from vidmeter.meter.run import Trace
from vidmeter.meter.sample import Quantity

INSTANT, USAGE, ENERGY = Quantity.POWER_INSTANT, Quantity.POWER_USAGE, Quantity.ENERGY


@pytest.mark.parametrize("stamped", [True, False])
@pytest.mark.parametrize("period_ms", [20.0, 100.0, 106.0, 500.0])
@pytest.mark.parametrize("quantity", [INSTANT, ENERGY])
def test_the_refresh_period_is_found_to_a_millisecond(
    quantity: Quantity, period_ms: float, stamped: bool
) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        wave = Wave(6, jittered(rng, 0.31, 0.2, 6))
        sensor = Sensor(quantity, period_ms, stamped=stamped)
        trace = readings(wave, sensor, rng, noise_w=0.5, poll_s=0.005, jitter_s=0.001)
        found = refresh_ns(trace.t_ns, trace.value, polled_ns=5 * MS)
        assert found == pytest.approx(period_ms * MS, abs=MS)


def test_the_period_is_found_where_looks_and_renewals_keep_no_step() -> None:
    t = list(range(7 * MS, 20 * S, 47 * MS))
    values = [float(at // (100 * MS)) for at in t]
    assert refresh_ns(t, values, polled_ns=47 * MS) == pytest.approx(100 * MS, abs=MS)


def test_readings_that_never_change_tell_no_period() -> None:
    t = list(range(0, 5 * S, 5 * MS))
    assert refresh_ns(t, [300.0] * len(t), polled_ns=5 * MS) is None
    assert refresh_ns(t[:3], [1.0, 2.0, 3.0], polled_ns=5 * MS) is None


def test_readings_that_are_always_new_are_renewed_faster_than_asked() -> None:
    t = list(range(0, 5 * S, 5 * MS))
    assert refresh_ns(t, [float(i) for i in range(len(t))], polled_ns=5 * MS) is None


def test_the_close_look_at_the_start_tells_of_a_whole_run() -> None:
    rng = np.random.default_rng(1)
    wave = Wave(20, jittered(rng, 0.31, 0.2, 20))
    sensor = Sensor(USAGE, 20, stamped=False)
    close = readings(wave, sensor, rng, poll_s=0.005)
    run = run_of(wave, card("7.5"), {USAGE: close})
    looked = replace(run, close_look=(START, START + 3 * S, 5 * MS))
    assert probe(looked, looked.devices[0]).of(USAGE).refresh_ns == pytest.approx(20 * MS, abs=MS)


def test_a_card_is_asked_for_everything_and_what_is_missing_is_absent() -> None:
    rng = np.random.default_rng(1)
    wave = Wave(5, jittered(rng, 0.31, 0.2, 5))
    run = run_of(wave, card(), {INSTANT: readings(wave, Sensor(INSTANT, 100, 25), rng)})
    quality = observe(run, run.devices[0])
    verdicts = {s.quantity: s.verdict for s in quality.series}
    assert verdicts.pop(INSTANT) is Verdict.WORKS
    assert set(verdicts.values()) == {Verdict.ABSENT} and len(verdicts) == 4
    assert quality.of(INSTANT).window_origin is Origin.PUBLISHED


def test_a_documented_second_that_readings_outrun_is_not_believed() -> None:
    rng = np.random.default_rng(1)
    wave = Wave(20, jittered(rng, 1.7, 0.2, 20))
    for window_ms, believed in ((1000, True), (100, False)):
        trace = readings(wave, Sensor(USAGE, 100, window_ms, stamped=False), rng, noise_w=0.5)
        run = run_of(wave, card(None), {USAGE: trace}, window_ns={USAGE: S})
        found = observe(run, run.devices[0]).of(USAGE)
        assert (found.window_ns == S) is believed


def test_what_a_calibration_found_goes_before_what_a_run_shows() -> None:
    rng = np.random.default_rng(1)
    wave = Wave(5, jittered(rng, 0.31, 0.2, 5))
    trace: Trace = readings(wave, Sensor(INSTANT, 100, 25), rng)
    seen = observe(run_of(wave, card(), {INSTANT: trace}), card())
    known = replace(
        seen,
        series=(
            SeriesQuality(
                INSTANT,
                Verdict.WORKS,
                refresh_ns=100 * MS,
                window_ns=40 * MS,
                window_origin=Origin.MEASURED,
            ),
        ),
    )
    device = with_known(card(), Known(known))
    found = probe(run_of(wave, device, {INSTANT: trace}), device)
    assert found.of(INSTANT).window_ns == 40 * MS
    assert found.of(ENERGY).verdict is Verdict.ABSENT


@pytest.mark.parametrize(
    ("period_ms", "k"),
    [(100, 1), (50, 2), (33.3, 3), (25.2, 4), (104.9, 1), (106, None), (37, None), (200, None)],
)
def test_a_load_keeps_step_near_a_whole_part_of_the_refresh_period(
    period_ms: float, k: int | None
) -> None:
    assert in_step(period_ms * MS, 100 * MS) == k


def test_the_pace_of_steps_is_their_median_distance() -> None:
    assert usual_step_ns([0, 10, 20, 31, 40, 500]) == 10
    assert usual_step_ns([0, 10, 20, 30]) is None
