"""Phases too short for a sensor, whose true powers are known."""

import numpy as np
import pytest

from tests.meter.synthetic import (
    GRID_S,
    MS,
    START,
    Sensor,
    S,
    Wave,
    card,
    readings,
    run_of,
)
from vidmeter.meter.cards import Known, with_known
from vidmeter.meter.quality import Quality, SeriesQuality, Verdict
from vidmeter.meter.run import Phase, Run
from vidmeter.meter.sample import Quantity
from vidmeter.meter.summarize import summarize
from vidmeter.meter.summary import PhaseSummary
from vidmeter.meter.unmix import unmix

INSTANT = Quantity.POWER_INSTANT
TILES = Sensor(INSTANT, 100, 100)


def alternating(
    rng: np.random.Generator,
    sensor: Sensor,
    *,
    jitter: float,
    seconds: float = 20.0,
    powers: tuple[float, ...] = (600.0, 200.0),
    lengths_ms: tuple[float, ...] = (25.0, 75.0),
    noise_w: float = 1.0,
) -> tuple[Run, dict[str, float]]:
    """Phases p0, p1 … in turn inside one called all, and the true energy of each."""
    edges, at = [0.0], 0
    while edges[-1] < seconds:
        length_s = lengths_ms[at % len(lengths_ms)] / 1e3
        length_s *= 1 + jitter * rng.uniform(-1, 1)
        edges.append(edges[-1] + max(1, round(length_s / GRID_S)) * GRID_S)
        at += 1
    seconds, count = edges[-1], len(powers)
    t_s = np.asarray(edges)

    def power_w(t: np.ndarray) -> np.ndarray:
        i = np.searchsorted(t_s, t, side="right") - 1
        inside = (t >= 0) & (t < seconds)
        return np.where(inside, np.asarray(powers)[np.maximum(i, 0) % count], 100.0)

    wave = Wave(seconds, power_w)
    phases = [Phase("all", "all", START, START + round(seconds * S))]
    truth: dict[str, float] = {f"p{i}": 0.0 for i in range(count)}
    for i, (a, b) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        name = f"p{i % count}"
        span = START + round(a * S), START + round(b * S)
        phases.append(Phase(str(i), name, *span, "all"))
        truth[name] += float(wave.energy_j(b) - wave.energy_j(a))
    found = SeriesQuality(
        sensor.quantity,
        Verdict.WORKS,
        refresh_ns=round(sensor.refresh_ms * MS),
        window_ns=round((sensor.window_ms or sensor.refresh_ms) * MS),
    )
    device = card()
    quality = Quality(device.uuid, "1", "1", "2026-01-01", 60.0, (found,))
    device = with_known(device, Known(quality))
    trace = readings(wave, sensor, rng, noise_w=noise_w, poll_s=sensor.refresh_ms / 1e3)
    run = run_of(wave, device, {sensor.quantity: trace})
    return Run(**{f: getattr(run, f) for f in run.__slots__} | {"phases": tuple(phases)}), truth


def by_name(run: Run) -> dict[str, PhaseSummary]:
    return {p.path[-1]: p for p in summarize(run).phases}


@pytest.mark.slow
def test_short_phases_in_irregular_turn_are_found_within_their_interval() -> None:
    held = stated = 0
    for seed in range(200):
        run, truth = alternating(np.random.default_rng(seed), TILES, jitter=0.8)
        for name in ("p0", "p1"):
            phase = by_name(run)[name]
            (device,) = phase.devices
            if phase.total.energy_j is None:
                continue
            assert phase.combined and phase.resolved
            assert device.sampling_low_j is not None
            stated += 1
            held += abs(phase.total.energy_j - truth[name]) <= device.sampling_low_j
    assert stated >= 380
    assert held / stated >= 0.93
