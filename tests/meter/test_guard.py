"""A load that keeps step with a part-time sensor is told of while the run goes on."""

import numpy as np
import pytest

from tests.meter.synthetic import MS, S, Sensor, Wave, card, constant, readings, square
from vidmeter.meter.device import Device
from vidmeter.meter.guard import Doubt, Guard
from vidmeter.meter.run import Phase
from vidmeter.meter.sample import Quantity, Sample, Series

INSTANT, ENERGY, RING = Quantity.POWER_INSTANT, Quantity.ENERGY, Quantity.POWER_RING
AVERAGE = Quantity.POWER_AVERAGE
DEVICE = card("9.0")


def watched(wave: Wave, *quantities: Quantity, device: Device = DEVICE) -> list[Doubt]:
    """What the guard says, fed as the sampler feeds it."""
    rng = np.random.default_rng(0)
    sensors = {
        AVERAGE: Sensor(AVERAGE, 100, 1000),
        INSTANT: Sensor(INSTANT, 100, 25),
        ENERGY: Sensor(ENERGY, 100, stamped=False),
        RING: Sensor(RING, 20, 20),
    }
    samples = []
    for q in quantities:
        trace = readings(wave, sensors[q], rng)
        series = Series(device.uuid, q, S if q is AVERAGE else None)
        samples += [Sample(series, t, v) for t, v in zip(*trace, strict=True)]
    samples.sort(key=lambda s: s.t_ns)
    guard = Guard([device], {})
    said = []
    for i in range(0, len(samples), 20):
        guard.add(samples[i : i + 20])
        said += guard.doubts()
    return said


def test_a_locked_load_is_told_of_once() -> None:
    (doubt,) = watched(Wave(30, square(0.1, phase=0.3)), INSTANT, ENERGY)
    assert doubt.kind == "aliasing" and doubt.device == DEVICE.uuid
    assert "25 % of the time" in doubt.detail


@pytest.mark.parametrize(
    "wave", [Wave(30, constant(400)), Wave(30, square(0.137)), Wave(30, square(2.0))]
)
def test_other_loads_are_not(wave: Wave) -> None:
    assert watched(wave, INSTANT, ENERGY) == []


def test_nothing_is_said_too_soon_or_of_cards_that_miss_nothing() -> None:
    locked = square(0.1, phase=0.3)
    assert watched(Wave(5, locked), INSTANT, ENERGY) == []
    assert watched(Wave(30, locked), INSTANT, ENERGY, RING) == []
    assert watched(Wave(30, locked), INSTANT, ENERGY, device=card("8.9")) == []


def test_a_sensor_that_nothing_confirms_is_told_of_once() -> None:
    (doubt,) = watched(Wave(30, constant(400)), INSTANT)
    assert doubt.kind == "unconfirmed" and "25 % of the time" in doubt.detail
    assert watched(Wave(30, constant(400)), INSTANT, device=card("8.9")) == []
    assert watched(Wave(30, constant(400)), INSTANT, AVERAGE) == []


@pytest.mark.parametrize(("step_ms", "told"), [(100, True), (51, True), (73, False)])
def test_steps_at_the_pace_of_the_sensor_are_told_of(step_ms: int, told: bool) -> None:
    guard = Guard([DEVICE], {})
    guard.mark([Phase(str(i), "step", i * step_ms * MS, None) for i in range(20)])
    said = guard.doubts()
    assert [d.kind for d in said] == (["in_step"] if told else [])
    assert guard.doubts() == []
