"""Phases too short for a sensor, whose true powers are known."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.meter.synthetic import (
    GRID_S,
    MS,
    START,
    S,
    Sensor,
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
    poll_s: float | None = None,
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
    for i, (a, b) in enumerate(pairwise(edges)):
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
    trace = readings(wave, sensor, rng, noise_w=noise_w, poll_s=poll_s or sensor.refresh_ms / 1e3)
    run = run_of(wave, device, {sensor.quantity: trace})
    return replace(run, phases=tuple(phases)), truth


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


def test_a_load_in_step_with_the_readings_stays_below_resolution() -> None:
    for seed in range(10):
        run, _ = alternating(np.random.default_rng(seed), TILES, jitter=0.0)
        found = by_name(run)
        assert found["all"].total.energy_j is not None
        for name in ("p0", "p1"):
            assert found[name].total.energy_j is None
            assert not found[name].resolved and not found[name].combined


def test_too_few_readings_or_repeats_stay_below_resolution() -> None:
    brief, _ = alternating(np.random.default_rng(1), TILES, jitter=0.8, seconds=2.5)
    rare, _ = alternating(
        np.random.default_rng(1), TILES, jitter=0.8, powers=(600.0, 200.0),
        lengths_ms=(25.0, 2500.0), seconds=25.0,
    )  # fmt: skip

    assert by_name(brief)["p0"].total.energy_j is None
    assert by_name(rare)["p0"].total.energy_j is None
    assert by_name(rare)["p1"].total.energy_j is not None


@pytest.mark.parametrize(
    ("sensor", "poll_s"),
    [
        (Sensor(Quantity.ENERGY, 100), None),
        (Sensor(Quantity.ENERGY, 100, stamped=False), 0.02),
        (Sensor(INSTANT, 100, 100, stamped=False), 0.02),
        (Sensor(INSTANT, 100, 1000), None),
    ],
    ids=["ticks", "ticks seen by looking", "readings seen by looking", "means of a second"],
)
def test_every_sort_of_reading_tells_of_its_own_stretch(
    sensor: Sensor, poll_s: float | None
) -> None:
    for seed in range(3):
        run, truth = alternating(
            np.random.default_rng(seed), sensor, jitter=0.8, seconds=60.0, poll_s=poll_s
        )
        for name, phase in by_name(run).items():
            if name in truth:
                (device,) = phase.devices
                assert phase.combined and device.sampling_low_j is not None
                assert phase.total.energy_j == pytest.approx(
                    truth[name], abs=1.5 * device.sampling_low_j
                )
                assert device.sampling_low_j < 0.2 * truth[name]


def test_four_sorts_of_module_are_told_apart_and_add_up_to_what_holds_them() -> None:
    powers, lengths_ms = (650.0, 550.0, 300.0, 500.0), (20.0, 15.0, 5.0, 10.0)
    run, truth = alternating(
        np.random.default_rng(5), TILES, jitter=0.8, seconds=60.0, powers=powers,
        lengths_ms=lengths_ms,
    )  # fmt: skip
    found = by_name(run)

    whole = found.pop("all")
    for name, phase in found.items():
        assert phase.combined and phase.count > 500
        assert phase.total.energy_j == pytest.approx(truth[name], rel=0.05)
        assert phase.self_j == phase.total.energy_j
    assert whole.total.energy_j is not None and whole.self_j is not None
    assert sum(p.total.energy_j or 0 for p in found.values()) + whole.self_j == pytest.approx(
        whole.total.energy_j, rel=1e-9
    )


def test_phases_without_a_parent_are_found_beside_what_is_nobodys() -> None:
    run, truth = alternating(np.random.default_rng(3), TILES, jitter=0.8)
    kept = tuple(replace(p, parent=None) for p in run.phases if p.name == "p0")
    summary = summarize(replace(run, phases=kept))

    (phase,) = summary.phases
    assert phase.combined
    assert phase.total.energy_j == pytest.approx(truth["p0"], rel=0.03)
    assert summary.unattributed_j == pytest.approx(truth["p1"], rel=0.03)
    assert summary.unattributed_j + (phase.self_j or 0) == pytest.approx(
        summary.total.energy_j, rel=1e-9
    )


def test_phases_that_a_few_readings_fit_into_are_not_blurred_by_their_neighbours() -> None:
    """Integrated, 150 ms at 700 W between 100 W come out 19 % short."""
    run, truth = alternating(
        np.random.default_rng(4), TILES, jitter=0.3, seconds=60.0, powers=(700.0, 100.0),
        lengths_ms=(150.0, 150.0),
    )  # fmt: skip
    high = by_name(run)["p0"]

    assert high.devices[0].sampling_low_j is not None
    assert high.combined
    assert high.total.energy_j == pytest.approx(truth["p0"], rel=0.02)
    assert high.devices[0].sampling_low_j < 0.03 * truth["p0"]


shares = st.lists(
    st.lists(st.floats(0.01, 1), min_size=3, max_size=3), min_size=40, max_size=60
).map(lambda rows: np.asarray([np.asarray(r) / sum(r) for r in rows]))
watts = st.lists(st.floats(0, 900), min_size=3, max_size=3).map(np.asarray)


@given(shares, watts, st.floats(0.5, 2))
def test_the_parts_are_never_negative_and_add_up_to_the_whole(
    share: np.ndarray, power_w: np.ndarray, off: float
) -> None:
    length_s = np.full(len(share), 0.1)
    seconds = share.sum(axis=0) * 0.1
    whole_j = float(power_w @ seconds) * off + 1.0

    parts = unmix(share, share @ power_w, length_s, seconds=seconds, whole_j=whole_j)

    assert parts is not None
    assert parts.joules.sum() == pytest.approx(whole_j, rel=1e-6)
    assert (parts.joules >= -1e-9 * whole_j).all()
    assert parts.half_j(np.ones(3, dtype=bool)) < 0.05 * seconds.sum()


def test_exact_readings_give_back_the_powers_they_were_made_of() -> None:
    rng = np.random.default_rng(0)
    share = rng.dirichlet([1.0, 1.0, 1.0], 200)
    power_w, length_s = np.asarray([600.0, 0.0, 90.0]), np.full(200, 0.1)
    seconds = share.sum(axis=0) * 0.1
    truth = power_w * seconds

    parts = unmix(share, share @ power_w, length_s, seconds=seconds, whole_j=float(truth.sum()))

    assert parts is not None
    assert parts.joules == pytest.approx(truth, abs=1e-6)
    first = np.asarray([True, False, False])
    # Each reading is taken to be off by a hundredth, and not by less.
    assert 0 < parts.half_j(first) < 0.05 * truth[0]
    same = np.full((200, 3), 1 / 3)
    assert (
        unmix(same, same @ power_w, length_s, seconds=length_s[:3] * 67, whole_j=4600.0) or parts
    ).half_j(first) > 1e5
    assert (
        unmix(share[:29], share[:29] @ power_w, length_s[:29], seconds=seconds, whole_j=1.0) is None
    )
