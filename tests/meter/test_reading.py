"""Reading cards through the simulated driver, end to end: what a run file holds afterwards."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tests.simulated_driver.asking import WAVES
from tests.simulated_driver.driver import Counter, Driver, Gpu, Process, Reading, Ring
from vidmeter.meter.conditions import condition_cautions, conditions
from vidmeter.meter.reader import load
from vidmeter.meter.run import Event, Run, Trace
from vidmeter.meter.sample import Quantity

ROOT = Path(__file__).parents[2]
S = 1_000_000_000
Simulated = Callable[[Driver], dict[str, str]]


def start(environ: Mapping[str, str], folder: Path, *command: str) -> subprocess.Popen[str]:
    """Begin to record a command."""
    environ = {**environ, "PYTHONPATH": str(ROOT), "XDG_DATA_HOME": str(folder / "data")}
    return subprocess.Popen(
        [
            sys.executable, "-m", "vidmeter", "run", "--period", "0.05",
            "--output", "a.vidmeter", "--", *command,
        ],
        cwd=folder, env=environ, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def run_of(process: subprocess.Popen[str], folder: Path) -> Run:
    """What was recorded, once the command has ended."""
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    return load(folder / "a.vidmeter")


def slow() -> Driver:
    return Driver([Gpu([(0, 300)], delay_us=50_000, ring=Ring(20, 120))])


def lost() -> Driver:
    gpu = Gpu([(0, 300)], lost_s=2.5, back_s=3.2)
    return Driver([gpu, Gpu([(0, 100)], uuid="GPU-2", pci="00000000:02:00.0")])


def counters() -> Driver:
    """One is reset, one leaps, one goes by its other name only."""
    refused = {"field:83": 3, "nvmlDeviceGetTotalEnergyConsumption": 3}
    return Driver(
        [
            Gpu([(0, 300)], counter=Counter(100, start_j=5000, reset_s=3.05)),
            Gpu([(0, 300)], uuid="GPU-2", counter=Counter(100, jump_s=3.0, jump_j=5000)),
            Gpu([(0, 300)], uuid="GPU-3", counter=Counter(100), answers=refused),
        ]
    )


def zeros() -> Driver:
    return Driver([Gpu([(0, 300)], zero_s=(2.0, 2.5), instant=Reading(100, 100))])


def dying(code: int) -> Driver:
    one = Gpu([(0, 300)], counter=Counter(100, start_j=5000))
    two = Gpu([(0, 100)], uuid="GPU-2", pci="00000000:02:00.0", epoch_ns=one.epoch_ns)
    return Driver([one, two], dead_s=(2.5, 4.0), dead_code=code, reload=True)


def scopes() -> Driver:
    """One card that tells the power of its module and memory only, one that tells its own."""
    memory = Reading(100, 100, factor=0.25)
    module = Gpu(
        [(0, 300)], instant=None, average=None, usage=None, ring=None, counter=None,
        module=Reading(100, 100, factor=1.5), memory=memory,
    )  # fmt: skip
    return Driver([module, Gpu([(0, 300)], uuid="GPU-2", memory=memory)])


def throttled() -> Driver:
    reasons = [(2.5, 3.5, 0x40), (2.0, 100.0, 0x4)]
    counts = Gpu([(0, 300)], clock_reasons=0, reasons=reasons, reason_counters=True)
    return Driver([counts, replace(counts, uuid="GPU-2", reason_counters=False)])


def facts() -> Driver:
    client = Process(os.getpid(), None, 0, mps=True)
    return Driver(
        [
            Gpu([(0, 300)], virtualization=0, processes=[client]),
            Gpu([(0, 300)], uuid="GPU-2", virtualization=1),
            Gpu([(0, 300)], uuid="GPU-3", virtualization=2, power_limit_w=(400, 700)),
        ]
    )


def stepped() -> Driver:
    """The clock is set back, the machine sleeps, the clock is set forward a little."""
    steps = [(2.51, -7003.0), (5.02, 183.0)]
    gpu = Gpu(WAVES, repeat=True, instant=Reading(20, 20))
    return Driver([gpu], clock_steps=steps, suspends=[(4.03, 3600.0)])


SCENARIOS: dict[str, tuple[Callable[[], Driver], float]] = {
    "slow": (slow, 6),
    "lost": (lost, 5),
    "counters": (counters, 4),
    "zeros": (zeros, 3),
    "dying 999": (lambda: dying(999), 7),
    "dying 9": (lambda: dying(9), 7),
    "scopes": (scopes, 1),
    "throttled": (throttled, 5),
    "facts": (facts, 1),
    "stepped": (stepped, 6),
}
"""Drivers, and for how many seconds each is recorded."""
LATE_S = 3


@pytest.fixture(scope="module")
def recordings(
    simulated_driver: Simulated,
    stepped_clocks: Callable[[Mapping[str, str]], dict[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, tuple[Driver, Run]]:
    """All scenarios, recorded side by side; each has begun before the next one starts.

    The drivers' time begins `LATE_S` after they were made: a recording may take that to begin.
    """
    started = []
    for name, (make, seconds) in SCENARIOS.items():
        folder, driver = tmp_path_factory.mktemp("run"), make()
        later = [replace(gpu, epoch_ns=gpu.epoch_ns + LATE_S * S) for gpu in driver.gpus]
        driver = replace(driver, gpus=later)
        environ = simulated_driver(driver)
        if driver.clock_steps:
            environ = stepped_clocks(environ)
        script = f"touch begun; exec sleep {seconds + LATE_S}"
        started.append((name, driver, start(environ, folder, "sh", "-c", script), folder))
        until(lambda at=folder / "begun": at.exists())
        assert time.monotonic_ns() < driver.start_ns(), "the machine is too busy to record"
    return {name: (driver, run_of(process, at)) for name, driver, process, at in started}


def until(true: Callable[[], bool]) -> None:
    """Wait for something."""
    end_s = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end_s, "waited in vain"
        time.sleep(0.02)


Recordings = dict[str, tuple[Driver, Run]]


def trace(run: Run, quantity: Quantity, uuid: str | None = None) -> Trace:
    (found,) = [
        t for s, t in run.traces.items() if s.quantity is quantity and uuid in (None, s.device)
    ]
    return found


def events(run: Run, *kinds: str) -> list[Event]:
    return [e for e in run.events if e.kind in kinds]


def gaps_s(found: Trace) -> list[float]:
    return [(b - a) / S for a, b in pairwise(found.t_ns)]


def test_a_driver_that_takes_50_ms_for_a_call_is_read_in_time(recordings: Recordings) -> None:
    _, run = recordings["slow"]

    assert max(gaps_s(trace(run, Quantity.POWER_RING))) == pytest.approx(0.02, abs=1e-3)
    assert max(gaps_s(trace(run, Quantity.POWER_INSTANT))) < 0.6
    states = [s for s in run.traces if s.quantity.endswith(("_c", "_mhz", "_pct", "reasons"))]
    assert sum(len(run.traces[s].t_ns) for s in states) <= 10
    assert {e.kind for e in run.events} <= {"late", "absent"}


def test_a_gpu_that_was_lost_is_found_again_and_nothing_comes_twice(recordings: Recordings) -> None:
    driver, run = recordings["lost"]
    gpu, stays = driver.gpus

    kinds = [(e.kind, e.device) for e in events(run, "device_lost", "device_back")]
    assert kinds == [("device_lost", gpu.uuid), ("device_back", gpu.uuid)]
    lost, back = events(run, "device_lost", "device_back")
    assert lost.start_ns == pytest.approx(gpu.epoch_ns + 2.5 * S, abs=0.3 * S)
    assert 0.9 * S < back.start_ns - lost.start_ns < 1.3 * S
    power = trace(run, Quantity.POWER_RING, gpu.uuid)
    assert min(gaps_s(power)) > 0.015
    # The driver's ring held what came while it didn't answer.
    assert max(gaps_s(power)) < 0.5
    assert max(gaps_s(trace(run, Quantity.POWER_INSTANT, stays.uuid))) < 0.3


def test_an_energy_counter_that_is_reset_is_an_event_with_its_numbers(
    recordings: Recordings,
) -> None:
    driver, run = recordings["counters"]
    gpu = driver.gpus[0]

    (event,) = events(run, "counter_reset")
    assert event.device == gpu.uuid
    assert "fell from 59" in event.detail
    assert event.start_ns < gpu.epoch_ns + 3.05 * S < event.end_ns + 0.01 * S


def test_field_191_serves_where_field_83_is_refused(recordings: Recordings) -> None:
    driver, run = recordings["counters"]

    energy = trace(run, Quantity.ENERGY, driver.gpus[2].uuid)
    joules = energy.value[-1] - energy.value[0]
    assert joules == pytest.approx(300 * (energy.t_ns[-1] - energy.t_ns[0]) / S, rel=0.01)


def test_zeros_and_refusals_for_a_while_are_faults_of_what_they_touch(
    recordings: Recordings,
) -> None:
    _, run = recordings["zeros"]

    assert {e.kind for e in events(run, "implausible", "read_failed", "device_lost")} == {
        "implausible"
    }
    assert min(trace(run, Quantity.POWER_INSTANT).value) == 300
    assert max(gaps_s(trace(run, Quantity.ENERGY))) < 0.25
    assert max(gaps_s(trace(run, Quantity.TEMPERATURE))) < 0.8


def test_the_age_of_the_newest_stamp_is_kept_once_a_second(recordings: Recordings) -> None:
    _, run = recordings["zeros"]

    ages = trace(run, Quantity.STAMP_AGE)
    assert len(ages.t_ns) == pytest.approx((ages.t_ns[-1] - ages.t_ns[0]) / S + 1, abs=1)
    assert all(-0.001 < age < 0.1 for age in ages.value)


def test_a_card_that_no_process_uses_has_none(recordings: Recordings) -> None:
    _, run = recordings["zeros"]

    found = trace(run, Quantity.PROCESSES)
    assert set(found.value) == {0}
    assert len(found.t_ns) >= 2
    assert events(run, "foreign_process", "processes_untold") == []


@pytest.mark.parametrize("dead_code", [999, 9])
def test_a_driver_that_dies_is_opened_anew_when_it_is_there_again(
    recordings: Recordings, dead_code: int
) -> None:
    driver, run = recordings[f"dying {dead_code}"]

    for gpu in driver.gpus:
        lost, back = (e for e in run.events if e.device == gpu.uuid and "device" in e.kind)
        assert (lost.kind, back.kind) == ("device_lost", "device_back")
        # Tried after 1 s in vain, and again 2 s later.
        assert 2.8 * S < back.start_ns - lost.start_ns < 3.5 * S
        for quantity in (Quantity.POWER_RING, Quantity.POWER_INSTANT, Quantity.TEMPERATURE):
            found = trace(run, quantity, gpu.uuid)
            assert found.t_ns[-1] > back.end_ns + 0.5 * S
            assert min(gaps_s(found)) > 0.015
    assert {e.device for e in events(run, "counter_reset")} == {g.uuid for g in driver.gpus}


def test_another_card_at_the_same_place_is_never_taken_for_the_one_that_was_lost(
    simulated_driver: Simulated, tmp_path: Path
) -> None:
    """The driver comes back with another card at one index, and with less to tell of the other."""
    gone = Gpu([(0, 300)])
    kept = Gpu([(0, 200)], uuid="GPU-2", pci="00000000:02:00.0", epoch_ns=gone.epoch_ns)
    environ = simulated_driver(Driver([gone, kept], dead_s=(2.0, 2.2)))
    process = start(environ, tmp_path, "sleep", "5")
    time.sleep(max(0.0, (gone.epoch_ns + 1.7 * S - time.monotonic_ns()) / S))
    other = Gpu([(0, 50)], uuid="GPU-other", epoch_ns=gone.epoch_ns)
    less = replace(kept, answers={"nvmlDeviceGetTemperature": 3})
    Driver([other, less], dead_s=(2.0, 2.2)).write(Path(environ["VIDMETER_SIM_NVML"]))
    run = run_of(process, tmp_path)

    came_and_went = {e.device: [] for e in run.events if e.device}
    for event in events(run, "device_lost", "device_back"):
        came_and_went[event.device].append(event.kind)
    assert came_and_went == {gone.uuid: ["device_lost"], kept.uuid: ["device_lost", "device_back"]}
    power = trace(run, Quantity.POWER_INSTANT, gone.uuid)
    assert set(power.value) == {300}
    assert power.t_ns[-1] < gone.epoch_ns + 2.1 * S
    assert set(trace(run, Quantity.POWER_INSTANT, kept.uuid).value) == {200}
    told = [e.detail for e in events(run, "read_failed") if e.device == kept.uuid]
    assert "temperature_c is not offered any more since the GPU was lost" in told


def test_a_counter_that_leaps_is_an_event_with_its_numbers(recordings: Recordings) -> None:
    driver, run = recordings["counters"]
    gpu = driver.gpus[1]

    (event,) = events(run, "counter_jump")
    assert event.device == gpu.uuid
    assert "leapt by 5030.0 J" in event.detail
    assert event.start_ns <= gpu.epoch_ns + 3.0 * S <= event.end_ns


def test_where_only_the_module_tells_its_power_that_is_read_and_said(
    recordings: Recordings,
) -> None:
    driver, run = recordings["scopes"]
    gpu, both = driver.gpus

    module, card = (d for d in run.devices if d.kind == "gpu")
    assert module.scope == "the module: GPU and CPU together"
    assert module.facts["power_scopes"] == ["module", "memory"]
    assert set(trace(run, Quantity.POWER_INSTANT, gpu.uuid).value) == {450.0}
    assert card.scope.startswith("the card")
    assert card.facts["power_scopes"] == ["gpu", "memory"]
    assert set(trace(run, Quantity.POWER_INSTANT, both.uuid).value) == {300.0}


def test_processes_of_others_are_told_from_the_runs_own(
    simulated_driver: Simulated, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True
    ) as foreign:
        gpu = Gpu(
            [(0, 300)],
            processes=[
                Process(foreign.pid, 12_300_000_000, 30),
                Process(2**22 + 7, 1_000_000, 0),
            ],
        )
        process = start(simulated_driver(Driver([gpu])), tmp_path, "sleep", "5")
        run = run_of(process, tmp_path)
        foreign.communicate("\n")

    (event,) = events(run, "foreign_process")
    assert event.device == gpu.uuid
    assert f"pid {foreign.pid} (python" in event.detail and "12.3 GB" in event.detail
    assert event.end_ns - event.start_ns > 3 * S
    (untold,) = events(run, "processes_untold")
    assert untold.device == gpu.uuid
    assert set(trace(run, Quantity.PROCESSES).value) == {2}


SESSION = """
import json, os, subprocess, sys, time
import vidmeter
from vidmeter.meter import session
from vidmeter.meter.sample import Quantity
with vidmeter.measure() as m:
    time.sleep(4.2)
run = session._session.run(m.start_ns, m.end_ns)
found = {str(s.quantity): list(t.value) for s, t in run.traces.items() if s.device == sys.argv[1]}
events = [[e.kind, e.detail] for e in run.events]
print(json.dumps([os.getpid(), found, events]))
"""


@pytest.mark.parametrize("mig", [False, True])
def test_a_session_knows_its_own_share_of_the_multiprocessors(
    simulated_driver: Simulated, tmp_path: Path, mig: bool
) -> None:
    environ = {**simulated_driver(Driver([])), "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    gate = "import sys; sys.stdin.readline()\n"
    with subprocess.Popen(
        [sys.executable, "-c", gate + SESSION, Gpu([(0, 1)]).uuid],
        env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as program:  # fmt: skip
        processes = [Process(program.pid, 10**9, 60), Process(os.getpid(), 10**9, 20)]
        gpu = Gpu([(0, 300)], processes=processes, mig=["MIG-a"] if mig else ())
        Driver([gpu]).write(Path(environ["VIDMETER_SIM_NVML"]))
        out, _ = program.communicate("\n", timeout=30)

    pid, found, seen = json.loads(out)
    assert pid == program.pid
    assert set(found["processes"]) == {2}
    foreign = [detail for kind, detail in seen if kind == "foreign_process"]
    assert len(foreign) == 1 and f"pid {os.getpid()} " in foreign[0]
    if mig:
        assert "sm_own_pct" not in found
    else:
        assert len(found["sm_own_pct"]) >= 3
        assert found["sm_own_pct"] == pytest.approx([60] * len(found["sm_own_pct"]), abs=13)
        assert found["sm_foreign_pct"] == pytest.approx([20] * len(found["sm_own_pct"]), abs=5)


def test_throttling_is_counted_where_the_driver_counts_it_and_else_told_by_the_mask(
    recordings: Recordings,
) -> None:
    driver, run = recordings["throttled"]
    counts, tells = driver.gpus

    assert run.end_ns is not None
    start_s, end_s = ((t - counts.epoch_ns) / S for t in (run.start_ns, run.end_ns))
    for gpu in (counts, tells):
        (device,) = (d for d in run.devices if d.uuid == gpu.uuid)
        found = conditions(run, device, ((run.start_ns, run.end_ns),)).throttled
        capped = (end_s - max(start_s, 2.0)) / (end_s - start_s)
        assert found["sw_power_cap"] == pytest.approx(capped, abs=0.12)
        hot = max(0, 3.5 - max(2.5, start_s)) / (end_s - start_s)
        assert found["hw_thermal"] == pytest.approx(hot, abs=0.12)
        assert found["power_brake"] == 0
    counted = {s.quantity for s in run.traces if s.device == counts.uuid}
    assert Quantity.SW_POWER_CAP in counted
    assert Quantity.SW_POWER_CAP not in {s.quantity for s in run.traces if s.device == tells.uuid}


def test_what_a_card_is_part_of_is_among_its_facts(recordings: Recordings) -> None:
    driver, run = recordings["facts"]
    gpus = driver.gpus

    told = [d.facts for d in run.devices if d.kind == "gpu"]
    assert [f["virtualization"] for f in told] == ["none", "passthrough", "vgpu"]
    assert [f["mps"] for f in told] == [True, False, False]
    assert [e.device for e in events(run, "mps")] == [gpus[0].uuid]
    (_, _, last) = (d for d in run.devices if d.kind == "gpu")
    found = conditions(run, last, ((run.start_ns, run.end_ns or 0),))
    assert {c.kind for c in condition_cautions(last, found)} >= {"vgpu", "power_limit"}


def test_across_steps_of_the_clock_and_a_sleep_no_reading_is_lost_doubled_or_misplaced(
    recordings: Recordings,
) -> None:
    driver, run = recordings["stepped"]
    (gpu,) = driver.gpus

    power = trace(run, Quantity.POWER_RING)
    assert gaps_s(power) == pytest.approx([0.02] * (len(power.t_ns) - 1), abs=1e-3)
    for t_ns, watts in zip(*power, strict=True):
        assert watts == pytest.approx(gpu.true_mean_w(t_ns - S // 50, t_ns), abs=1.5)
    instant = trace(run, Quantity.POWER_INSTANT)
    for t_ns, watts in zip(*instant, strict=True):
        assert watts == pytest.approx(gpu.true_mean_w(t_ns - S // 50, t_ns), abs=1.5)
    assert events(run, "samples_lost", "read_failed", "device_lost") == []


def test_steps_and_sleep_are_events_with_their_size(recordings: Recordings) -> None:
    driver, run = recordings["stepped"]

    back, forward = events(run, "clock_step")
    (sleep,) = events(run, "suspend")
    for event, at_s in ((back, 2.51), (sleep, 4.03), (forward, 5.02)):
        assert event.start_ns <= driver.start_ns() + at_s * S <= event.end_ns + 0.01 * S
    assert "-7003.0 ms" in back.detail
    assert "+183.0 ms" in forward.detail
    assert "3600.0 s" in sleep.detail
