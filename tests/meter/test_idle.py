"""What is drawn without the command, and the energy beyond it."""

from array import array
from dataclasses import replace

import numpy as np
import pytest

from tests.meter.synthetic import START, S, Sensor, Wave, card, readings, run_of
from vidmeter.meter.run import Run, Trace
from vidmeter.meter.sample import Quantity, Series
from vidmeter.meter.summarize import summarize

ENERGY, RING = Quantity.ENERGY, Quantity.POWER_RING


def recorded(*, before_w: float = 80.0, after_w: float = 110.0, processes: bool = True) -> Run:
    """5 s idle, 10 s at 500 W, 5 s idle; a process is on the card in the last idle window."""
    wave = Wave(20, lambda t: np.where(t < 5, before_w, np.where(t < 15, 500.0, after_w)))
    rng = np.random.default_rng(0)
    run = run_of(wave, card(), {RING: readings(wave, Sensor(RING, 20, 20), rng)})
    traces = dict(run.traces)
    if processes:
        looks = array("q", [START + i * S + S // 2 for i in range(20)])
        counts = array("d", [0.0 if i < 5 else 1.0 for i in range(20)])
        traces[Series(card().uuid, Quantity.PROCESSES)] = Trace(looks, counts)
    return replace(
        run,
        traces=traces,
        start_ns=START + 5 * S,
        end_ns=START + 15 * S,
        idle=((START, START + 5 * S), (START + 15 * S, START + 20 * S)),
    )


def test_each_idle_window_is_told_with_what_was_on_the_card() -> None:
    before, after = summarize(recorded()).idle
    assert before.mean_w == pytest.approx(80, rel=0.01) and before.loaded is False
    assert after.mean_w == pytest.approx(110, rel=0.01) and after.loaded is True


def test_the_gross_energy_stays_and_the_net_energy_names_what_was_taken_off() -> None:
    summary = summarize(recorded())
    assert summary.total.energy_j == pytest.approx(5000, rel=0.002)
    assert summary.net is not None
    assert summary.net.energy_j == pytest.approx(5000 - 800, rel=0.005)
    assert summary.net.low_j < 4200 < summary.net.high_j
    assert summary.net.how == "idle before the command, no context on the card"


def test_idle_with_a_context_is_named_so() -> None:
    run = recorded()
    summary = summarize(replace(run, idle=run.idle[1:]))
    assert summary.net is not None
    assert "a context loaded on the card" in summary.net.how
    unknown = summarize(recorded(processes=False)).net
    assert unknown is not None and "unknown" in unknown.how


def test_without_idle_windows_there_is_no_net_energy() -> None:
    summary = summarize(replace(recorded(), idle=()))
    assert summary.net is None and summary.idle == ()


def test_a_machine_that_was_not_idle_is_told_of() -> None:
    summary = summarize(recorded(before_w=600, after_w=600))
    assert summary.net is not None and summary.net.energy_j < 0
    assert "not_idle" in {c.kind for c in summary.cautions}


def test_an_idle_card_without_a_context_goes_before_a_loaded_one() -> None:
    run = recorded(before_w=110, after_w=80)
    traces = {
        series: Trace(trace.t_ns, trace.value[::-1])
        if series.quantity is Quantity.PROCESSES
        else trace
        for series, trace in run.traces.items()
    }
    # The looks run backwards: a context before the command and while it ran, none after it.
    summary = summarize(replace(run, traces=traces))
    assert [i.loaded for i in summary.idle] == [True, False]
    assert summary.net is not None and summary.net.idle_w == pytest.approx(80, rel=0.01)
    assert summary.net.how == "idle after the command, no context on the card"
