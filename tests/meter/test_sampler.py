"""The loop on sensors whose truth is known, and on sensors that fail."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from vidmeter.meter.clock import Anchor, monotonic_ns
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.markreader import MarkReader
from vidmeter.meter.reader import load
from vidmeter.meter.run import Run
from vidmeter.meter.sample import Quantity, Sample, Series
from vidmeter.meter.sampler import Sampler, clock_events
from vidmeter.meter.sensors.base import Fault, Look, Process, Reading, Sensor, Use
from vidmeter.meter.sensors.fake import FakeSensor
from vidmeter.meter.store import RunWriter
from vidmeter.meter.summarize import summarize

S = 1_000_000_000
STEP = {"devices": [{"name": "Step", "curve": [[0, 100], [0.6, 100], [0.6, 400]]}]}


def record(tmp_path: Path, sensor: Sensor, seconds: float, *, stall_s: float = 0) -> Run:
    """Sample a sensor for a while, with one pause of the loop in the middle."""
    path = tmp_path / "a.vidmeter"
    start = monotonic_ns()
    facts = {"id": "x", "command": [], "start_ns": start, "period_ns": 20_000_000}
    writer = RunWriter.create(path, facts)
    for device in sensor.devices:
        writer.add_device(device)
    sampler = Sampler([sensor], writer, MarkReader(tmp_path), period_ns=20_000_000)
    stalled = False
    while (now := monotonic_ns()) - start < seconds * 1e9:
        if stall_s and not stalled and now - start > seconds * 5e8:
            time.sleep(stall_s)
            stalled = True
        time.sleep(sampler.wait_s())
        sampler.tick()
    end = monotonic_ns()
    sampler.settle(end)
    writer.put(end_ns=end)
    assert sampler.finish()
    return load(path)


def test_the_energy_of_a_known_curve_is_found(tmp_path: Path) -> None:
    start = monotonic_ns()
    sensor = FakeSensor(STEP, start_ns=start)

    run = record(tmp_path, sensor, 1.5)

    total = summarize(run).total
    t0, t1 = (run.start_ns - start) / 1e9, (run.end_ns or 0 - start) / 1e9 - start / 1e9
    exact = 100 * (0.6 - t0) + 400 * (t1 - 0.6)
    # Readings come every 20 ms: a step between two of them is placed in their middle.
    assert total.energy_j == pytest.approx(exact, abs=0.011 * 300)
    assert total.low_j is not None and total.high_j is not None
    assert total.low_j < exact < total.high_j


def test_ticks_keep_to_their_deadlines_without_drift(tmp_path: Path) -> None:
    class Slow(Reader):
        def read(self, now_ns: int, *, catch_up: bool = False) -> Reading:
            time.sleep(0.005)
            return Reading([Sample(self.power, now_ns, 1.0)], [])

    run = record(tmp_path, Slow(), 1.0)

    (trace,) = run.traces.values()
    assert len(trace.t_ns) == pytest.approx(50, abs=5)


def test_a_late_tick_is_an_event_and_missed_ones_are_not_made_up_for(tmp_path: Path) -> None:
    run = record(tmp_path, Reader(), 0.6, stall_s=0.5)

    late = [e for e in run.events if e.kind == "late"]
    (trace,) = run.traces.values()
    gaps = [b - a for a, b in zip(trace.t_ns, trace.t_ns[1:], strict=False)]
    assert late
    assert max(gaps) > 450e6
    # A fresh burst would show readings closer than half a period.
    assert sum(gap < 8e6 for gap in gaps) <= 2
    summary = summarize(run)
    assert summary.devices[0].coverage < 0.9
    assert summary.total.energy_j is None
    assert summary.total.covered_j is not None


def test_a_sensor_that_raises_does_not_stop_the_others(tmp_path: Path) -> None:
    class Broken(Reader):
        def read(self, now_ns: int, *, catch_up: bool = False) -> Reading:
            raise ZeroDivisionError("a bug")

    run = record(tmp_path, Broken(), 0.3)

    (event,) = [e for e in run.events if e.kind == "sensor_failed"]
    assert "a bug" in event.detail
    assert event.count >= 10


def test_the_same_fault_tick_after_tick_is_one_event_with_a_count(tmp_path: Path) -> None:
    class Failing(Reader):
        def read(self, now_ns: int, *, catch_up: bool = False) -> Reading:
            return Reading([], [Fault("read_failed", "X", "no answer", self.power)])

    run = record(tmp_path, Failing(), 0.4)

    (event,) = [e for e in run.events if e.kind == "read_failed"]
    assert event.count >= 15
    assert event.end_ns - event.start_ns > 0.3e9
    assert event.device == "X"


def test_both_clocks_are_kept_while_it_runs(tmp_path: Path) -> None:
    run = record(tmp_path, Reader(), 1.3)

    assert len(run.anchors) >= 2
    for anchor in run.anchors:
        assert abs(anchor.to_real(monotonic_ns()) - time.time_ns()) < 50e6


class Reader:
    """A constant watt, read when asked."""

    notes: tuple[str, ...] = ()
    power = Series("X", Quantity.POWER_INSTANT)

    @property
    def devices(self) -> tuple[Device, ...]:
        return (Device("X", "X", Kind.GPU, "test", Provenance.SIMULATED, "test"),)

    def read(self, now_ns: int, *, catch_up: bool = False) -> Reading:
        return Reading([Sample(self.power, now_ns, 1.0)], [])

    def close(self) -> None:
        pass


def test_the_shipped_script_plays(tmp_path: Path) -> None:
    sensor: Any = FakeSensor.open(None)

    assert sensor.devices[0].provenance is Provenance.SIMULATED
    assert sensor.read(monotonic_ns()).samples


def test_a_step_of_the_wall_clock_and_a_sleep_are_told_apart_with_their_size() -> None:
    before = Anchor(100 * S, 1_000_000 * S)

    def after(step_s: float, slept_s: float = 0.0, seconds: float = 1.0) -> list[tuple[str, str]]:
        t_ns = before.monotonic_ns + round(seconds * S)
        real_ns = before.real_ns + round((seconds + step_s + slept_s) * S)
        return clock_events(before, Anchor(t_ns, real_ns), round(slept_s * S))

    assert after(0.004) == []
    assert after(0.2) == [("clock_step", "the wall clock was moved by +200.0 ms")]
    assert after(-3600) == [("clock_step", "the wall clock was moved by -3600000.0 ms")]
    ((kind, detail),) = after(0, slept_s=90)
    assert (kind, "90.0 s" in detail) == ("suspend", True)
    assert [kind for kind, _ in after(-0.5, slept_s=90)] == ["suspend", "clock_step"]
    # A session rests between its windows, while clocks drift apart as they may.
    assert after(0.2, seconds=600) == []
    assert [kind for kind, _ in after(0.5, seconds=600)] == ["clock_step"]


def test_a_fault_that_began_earlier_spans_the_time_since(tmp_path: Path) -> None:
    class Leaping(Reader):
        def read(self, now_ns: int, *, catch_up: bool = False) -> Reading:
            fault = Fault("counter_jump", "X", "it leapt", self.power, now_ns - S)
            return Reading([], [fault])

    run = record(tmp_path, Leaping(), 0.2)

    (event,) = [e for e in run.events if e.kind == "counter_jump"]
    assert event.end_ns - event.start_ns >= S


def test_a_process_that_stays_is_one_event_whose_span_grows(tmp_path: Path) -> None:
    class Shared(Reader):
        def read(self, now_ns: int, *, catch_up: bool = False) -> Reading:
            looks = [Look("X", now_ns, (Process(os.getpid(), 2_000_000_000, "compute"),))]
            looks.append(Look("X", now_ns, uses=(Use(os.getpid(), 40.0),)))
            return Reading(looks=looks)

    run = record(tmp_path, Shared(), 0.4)

    (event,) = [e for e in run.events if e.kind == "foreign_process"]
    assert f"pid {os.getpid()}" in event.detail and "2.0 GB" in event.detail
    assert event.end_ns - event.start_ns > 0.3e9
    (trace,) = [t for s, t in run.traces.items() if s.quantity is Quantity.FOREIGN_SM]
    assert set(trace.value) == {40.0}


def test_what_a_driver_overwrote_between_two_windows_of_a_session_is_no_loss(
    tmp_path: Path,
) -> None:
    class Losing(Reader):
        def read(self, now_ns: int, *, catch_up: bool = False) -> Reading:
            fault = Fault("samples_lost", "X", "overwritten", self.power, now_ns - S)
            return Reading([], [fault])

    facts = {"id": "x", "command": [], "start_ns": monotonic_ns(), "period_ns": 1}
    writer = RunWriter.create(tmp_path / "a.vidmeter", facts)
    writer.add_device(Losing().devices[0])
    sampler = Sampler([Losing()], writer, MarkReader(tmp_path), period_ns=20_000_000)
    sampler.restart()
    sampler.tick()
    sampler.finish()
    assert "samples_lost" not in {e.kind for e in load(tmp_path / "a.vidmeter").events}
    assert "samples_lost" in {e.kind for e in record(tmp_path / "b", Losing(), 0.1).events}


def test_what_is_marked_last_is_not_late_by_the_wait_for_the_last_readings(tmp_path: Path) -> None:
    class Behind(Reader):
        def read(self, now_ns: int, *, catch_up: bool = False) -> Reading:
            time.sleep(0.2 if catch_up else 0)
            return Reading([Sample(self.power, now_ns, 1.0)], [])

    path, shared = tmp_path / "a.vidmeter", tmp_path / "shared.jsonl"
    facts = {"id": "x", "command": [], "start_ns": monotonic_ns(), "period_ns": 20_000_000}
    writer = RunWriter.create(path, facts)
    writer.add_device(Behind().devices[0])
    sampler = Sampler([Behind()], writer, MarkReader(tmp_path), period_ns=20_000_000)
    shared.write_text("begin a\n")
    sampler.tick()
    shared.write_text("begin a\nend a\nbegin without an end of the line")
    end = monotonic_ns()
    sampler.settle(end)
    assert sampler.finish()

    run = load(path)
    (phase,) = run.phases
    assert (phase.end_ns or 0) - end < 100_000_000
    assert [e.count for e in run.events if e.kind == "bad_marks"] == [1]
