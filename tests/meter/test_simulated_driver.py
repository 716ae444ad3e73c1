"""The simulated driver against its own truth, and vidmeter against the simulated driver.

Everything runs in processes of its own that load the driver's library as they would load
NVIDIA's. What vidmeter says is compared with the integral of the scripted power over the window
that it says it measured.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulated_driver.driver import Counter, Driver, Gpu, Reading, Ring

ROOT = Path(__file__).parents[2]
S = 1_000_000_000
MS = 1_000_000
Runs = dict[str, tuple[Gpu, dict[str, Any], str]]
Simulated = Callable[[Driver], dict[str, str]]

WAVES = [(0, 120), (0.7, 120), (0.7, 640), (1.3, 610), (2.1, 240), (2.4, 520), (2.87, 120)]
"""Steps and ramps, whose period is no multiple of any refresh."""

SETTLED = [(0, 150), (4, 150), (4, 650), (4.6, 600), (4.9, 300), (5.3, 580), (5.3, 200)]
"""Steps and ramps between 4 and 5.3 s, and even power at both ends of a run around them."""

PRELUDE = """
import json, time, pynvml as n
def code(function, *arguments):
    try:
        function(*arguments)
    except n.NVMLError as error:
        return error.value
    return 0
def now():
    return time.monotonic_ns()
n.nvmlInit()
h = n.nvmlDeviceGetHandleByIndex(0)
"""


def ask(environ: Mapping[str, str], program: str, *, prelude: str = PRELUDE) -> Any:
    """What a program that speaks to the driver leaves in `out`."""
    done = subprocess.run(
        [sys.executable, "-c", f"{prelude}\n{program}\nprint(json.dumps(out))"],
        env=environ, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def wall_clock_offset_ns() -> int:
    return time.time_ns() - time.monotonic_ns()


# ---- the truth ----


def test_the_truth_of_a_ramp_a_step_and_what_is_held_is_known() -> None:
    held = Gpu([(1, 100), (2, 300), (2, 50)], epoch_ns=5 * S)
    assert held.true_energy_j(5 * S, 6 * S) == 100
    assert held.true_energy_j(6 * S, 7 * S) == 200
    assert held.true_energy_j(6 * S, 6 * S + S // 2) == 75
    assert held.true_energy_j(0, 17 * S) == 100 * 6 + 200 + 50 * 10
    again = Gpu([(0, 100), (1, 300)], repeat=True, epoch_ns=5 * S)
    assert again.true_energy_j(0, 10 * S) == pytest.approx(2000, rel=1e-12)
    assert again.true_energy_j(6 * S + S // 2, 7 * S) == pytest.approx(125, rel=1e-12)


@given(st.lists(st.integers(-(20 * S), 20 * S), min_size=3, max_size=3), st.booleans())
def test_the_truth_of_two_windows_that_touch_adds_up(edges: list[int], repeat: bool) -> None:
    a, b, c = sorted(edges)
    gpu = Gpu(WAVES, repeat=repeat, epoch_ns=0)
    parts = gpu.true_energy_j(a, b) + gpu.true_energy_j(b, c)
    assert parts == pytest.approx(gpu.true_energy_j(a, c), rel=1e-9, abs=1e-6)


# ---- the driver against the truth ----


@pytest.mark.parametrize(
    ("name", "reading"),
    [
        ("instant", Reading(100, 100)),
        ("instant", Reading(100, 25)),
        ("average", Reading(20, 1000)),
    ],
)
def test_a_field_is_the_mean_over_the_window_that_ends_at_its_stamp(
    simulated_driver: Simulated, name: str, reading: Reading
) -> None:
    gpu = replace(Gpu(WAVES, repeat=True), **{name: reading})

    seen = ask(
        simulated_driver(Driver([gpu])),
        f"""
fields = [n.NVML_FI_DEV_POWER_{name.upper()}]
out, until = [], now() + {S}
while now() < until:
    field = n.nvmlDeviceGetFieldValues(h, fields)[0]
    assert (field.nvmlReturn, field.valueType) == (0, n.NVML_VALUE_TYPE_UNSIGNED_INT)
    out.append([field.timestamp, field.value.uiVal, now()])
    time.sleep(0.005)
""",
    )

    offset_ns, refresh_ns = wall_clock_offset_ns(), int(reading.refresh_ms * MS)
    stamps = set()
    for stamp_us, mw, now_ns in seen:
        t_ns = stamp_us * 1000 - offset_ns
        age_ns = round((t_ns - gpu.epoch_ns) / refresh_ns) * refresh_ns
        at_ns = gpu.epoch_ns + age_ns
        assert abs(at_ns - t_ns) < MS
        assert 0 <= now_ns - at_ns < refresh_ns + 500 * MS
        true_w = gpu.true_mean_w(at_ns - int(reading.window_ms * MS), at_ns)
        assert mw / 1000 == pytest.approx(true_w, abs=0.001)
        stamps.add(stamp_us)
    assert len(stamps) == pytest.approx(S / refresh_ns, rel=0.2)


def test_the_power_reading_without_a_stamp_is_that_of_the_last_refresh(
    simulated_driver: Simulated,
) -> None:
    gpu = Gpu(WAVES, repeat=True, usage=Reading(50, 25))

    seen = ask(
        simulated_driver(Driver([gpu])),
        """
out = []
for _ in range(100):
    out.append([now(), n.nvmlDeviceGetPowerUsage(h), now()])
    time.sleep(0.003)
""",
    )

    compared = 0
    for before_ns, mw, after_ns in seen:
        turns = {(t - gpu.epoch_ns) // (50 * MS) for t in (before_ns, after_ns)}
        if len(turns) == 1:
            at_ns = gpu.epoch_ns + turns.pop() * 50 * MS
            assert mw / 1000 == pytest.approx(gpu.true_mean_w(at_ns - 25 * MS, at_ns), abs=0.001)
            compared += 1
    assert compared > 80


@pytest.mark.parametrize(
    "counter", [Counter(100), Counter(20, start_j=7), Counter(100, broken_w=339)]
)
def test_the_counter_holds_the_energy_up_to_its_last_tick(
    simulated_driver: Simulated, counter: Counter
) -> None:
    gpu = Gpu(WAVES, repeat=True, counter=counter)

    seen = ask(
        simulated_driver(Driver([gpu])),
        """
out = []
for _ in range(60):
    before = now()
    fields = n.nvmlDeviceGetFieldValues(h, [83, 191])
    out.append([before, n.nvmlDeviceGetTotalEnergyConsumption(h),
                *(f.value.ullVal for f in fields), now()])
    time.sleep(0.007)
""",
    )

    tick_ns, compared = int(counter.tick_ms * MS), 0
    for before_ns, *mj, after_ns in seen:
        turns = {(t - gpu.epoch_ns) // tick_ns for t in (before_ns, after_ns)}
        if len(turns) == 1:
            age_ns = turns.pop() * tick_ns
            true_j = gpu.true_energy_j(gpu.epoch_ns, gpu.epoch_ns + age_ns)
            if counter.broken_w is not None:
                true_j = counter.broken_w * age_ns / S
            assert mj == pytest.approx([(counter.start_j + true_j) * 1000] * 3, abs=1.01)
            compared += 1
    assert compared > 40


def test_a_counter_that_is_reset_starts_again_from_zero(simulated_driver: Simulated) -> None:
    gpu = Gpu([(0, 300)], counter=Counter(100, reset_s=0.95))

    seen = ask(
        simulated_driver(Driver([gpu])),
        f"""
out = []
while now() < {gpu.epoch_ns} + {2 * S}:
    before = now()
    out.append([before, n.nvmlDeviceGetTotalEnergyConsumption(h), now()])
    time.sleep(0.01)
""",
    )

    ages = [((a - gpu.epoch_ns) / S, mj / 1000, (b - gpu.epoch_ns) / S) for a, mj, b in seen]
    assert all(j >= 1e6 for _, j, after in ages if after < 0.95)
    assert all(j <= 300 * (after - 0.95) + 1e-3 for before, j, after in ages if before > 0.95)
    assert ages[-1][1] == pytest.approx(300 * 0.95, abs=100)


def test_the_ring_gives_each_sample_once_and_in_order(simulated_driver: Simulated) -> None:
    gpu = Gpu(WAVES, repeat=True, ring=Ring(20, 40))

    first, more, size = ask(
        simulated_driver(Driver([gpu])),
        """
def read(last):
    kind, found = n.nvmlDeviceGetSamples(h, n.NVML_TOTAL_POWER_SAMPLES, last)
    assert kind == n.NVML_VALUE_TYPE_UNSIGNED_INT
    return [[s.timeStamp, s.sampleValue.uiVal] for s in found]
first = read(0)
more, last = [], first[-1][0]
for _ in range(8):
    time.sleep(0.13)
    new = read(last)
    last = new[-1][0]
    more += new
none = code(read, last)
from ctypes import byref, c_uint, c_ulonglong
kind, count = c_uint(), c_uint(3)
buffer = (n.c_nvmlSample_t * 3)()
fn = n._nvmlGetFunctionPointer("nvmlDeviceGetSamples")
small = fn(h, c_uint(0), c_ulonglong(0), byref(kind), byref(count), buffer)
sized = fn(h, c_uint(0), c_ulonglong(0), byref(kind), byref(count), None)
out = [first, more, [none, small, sized, count.value]]
""",
    )

    assert size == [6, 7, 0, 40]
    assert len(first) == 40
    offset_ns, samples = wall_clock_offset_ns(), first + more
    assert len(more) >= 8 * 130 / 20 - 1
    ages = [round((us * 1000 - offset_ns - gpu.epoch_ns) / (20 * MS)) for us, _ in samples]
    assert ages == list(range(ages[0], ages[0] + len(samples)))
    for age, (_, mw) in zip(ages, samples, strict=True):
        at_ns = gpu.epoch_ns + age * 20 * MS
        assert mw / 1000 == pytest.approx(gpu.true_mean_w(at_ns - 20 * MS, at_ns), abs=0.001)


def test_what_a_card_does_not_offer_is_refused(simulated_driver: Simulated) -> None:
    bare = Gpu([(0, 100)], instant=None, average=None, usage=None, counter=None, ring=None)
    answers = {"nvmlDeviceGetTemperature": 3, "nvmlDeviceGetName": 999, "field:83": 2}
    environ = simulated_driver(Driver([bare, replace(bare, counter=Counter(9), answers=answers)]))

    refused, named = ask(
        environ,
        """
g = n.nvmlDeviceGetHandleByIndex(1)
fields = lambda h: [f.nvmlReturn for f in n.nvmlDeviceGetFieldValues(h, [186, 185, 83, 191, 7])]
out = [[code(n.nvmlDeviceGetPowerUsage, h), code(n.nvmlDeviceGetTotalEnergyConsumption, h),
        code(n.nvmlDeviceGetSamples, h, 0, 0), *fields(h)],
       [code(n.nvmlDeviceGetTemperature, g, 0), code(n.nvmlDeviceGetName, g), *fields(g)]]
""",
    )

    assert refused == [3] * 8
    assert named == [3, 999, 3, 3, 2, 0, 3]


@pytest.mark.parametrize("stamps", ["zero", "query"])
def test_fields_may_carry_no_stamp_or_that_of_the_question(
    simulated_driver: Simulated, stamps: str
) -> None:
    environ = simulated_driver(Driver([Gpu([(0, 100)], stamps=stamps)]))

    before_us, stamp_us, after_us = ask(
        environ,
        "out = [time.time_ns() // 1000, n.nvmlDeviceGetFieldValues(h, [186])[0].timestamp,"
        " time.time_ns() // 1000]",
    )

    if stamps == "zero":
        assert stamp_us == 0
    else:
        assert before_us - 1000 <= stamp_us <= after_us + 1000


def test_a_lost_gpu_answers_that_to_every_call_until_it_is_back(
    simulated_driver: Simulated,
) -> None:
    gpu = Gpu([(0, 100)], lost_s=1.0, back_s=1.5)

    seen = ask(
        simulated_driver(Driver([gpu])),
        f"""
out = []
while now() < {gpu.epoch_ns} + {2 * S}:
    out.append([now(), code(n.nvmlDeviceGetPowerUsage, h), code(n.nvmlDeviceGetUUID, h),
                code(n.nvmlDeviceGetFieldValues, h, [186]),
                code(n.nvmlDeviceGetHandleByIndex, 0), now()])
    time.sleep(0.02)
""",
    )

    answers = set()
    for before_ns, *codes, after_ns in seen:
        before_s, after_s = (before_ns - gpu.epoch_ns) / S, (after_ns - gpu.epoch_ns) / S
        if all(not before_s <= edge <= after_s for edge in (1.0, 1.5)):
            assert codes == [15 if 1.0 <= before_s < 1.5 else 0] * 4
            answers.add(codes[0])
    assert answers == {0, 15}


def test_power_reads_zero_while_it_is_told_to(simulated_driver: Simulated) -> None:
    environ = simulated_driver(Driver([Gpu([(0, 100)], zero_s=(0, 1000))]))

    out = ask(
        environ,
        "f = n.nvmlDeviceGetFieldValues(h, [186, 185, 83]);"
        "out = [n.nvmlDeviceGetPowerUsage(h), f[0].value.uiVal, f[1].value.uiVal,"
        " f[2].value.ullVal > 0, f[0].nvmlReturn]",
    )

    assert out == [0, 0, 0, True, 0]


def test_instances_lead_to_their_card_and_have_no_power(simulated_driver: Simulated) -> None:
    parts = ("MIG-aaaa0000-0000-5000-8000-000000000000", "MIG-bbbb0000-0000-5000-8000-000000000000")
    environ = simulated_driver(Driver([Gpu([(0, 100)], mig=parts)]))

    out = ask(
        environ,
        f"""
part = n.nvmlDeviceGetHandleByUUID({parts[1]!r})
parent = n.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(part)
by_index = [n.nvmlDeviceGetMigDeviceHandleByIndex(h, i) for i in range(2)]
out = [n.nvmlDeviceGetMigMode(h), n.nvmlDeviceGetMaxMigDeviceCount(h),
       [n.nvmlDeviceGetUUID(p) for p in by_index], n.nvmlDeviceGetUUID(part),
       n.nvmlDeviceGetUUID(parent) == n.nvmlDeviceGetUUID(h),
       code(n.nvmlDeviceGetMigDeviceHandleByIndex, h, 2),
       code(n.nvmlDeviceGetPowerUsage, part), code(n.nvmlDeviceGetTotalEnergyConsumption, part),
       n.nvmlDeviceGetFieldValues(part, [186])[0].nvmlReturn]
""",
    )

    assert out == [[1, 1], 7, list(parts), parts[1], True, 6, 3, 3, 3]


def test_cards_are_found_by_index_uuid_and_bus_and_tell_what_they_are(
    simulated_driver: Simulated,
) -> None:
    other = Gpu([(0, 1)], uuid="GPU-2", name="NVIDIA Other One", pci="00000000:C1:00.0")
    environ = simulated_driver(Driver([Gpu([(0, 1)]), other], version="570.1", cuda=12080))

    out = ask(
        environ,
        """
g = n.nvmlDeviceGetHandleByUUID("GPU-2")
same = n.nvmlDeviceGetHandleByPciBusId("00000000:C1:00.0")
pci, memory = n.nvmlDeviceGetPciInfo(g), n.nvmlDeviceGetMemoryInfo(g)
memory2 = n.nvmlDeviceGetMemoryInfo(g, version=n.nvmlMemory_v2)
use = n.nvmlDeviceGetUtilizationRates(g)
out = [n.nvmlDeviceGetCount(), n.nvmlDeviceGetIndex(g), n.nvmlDeviceGetIndex(same),
       n.nvmlDeviceGetName(g), n.nvmlSystemGetDriverVersion(),
       n.nvmlSystemGetCudaDriverVersion_v2(), pci.busId, pci.bus, memory.used + memory.free,
       memory.total, memory2.used == memory.used, use.gpu, use.memory,
       n.nvmlDeviceGetTemperature(g, 0), n.nvmlDeviceGetTemperatureV(g, 0),
       n.nvmlDeviceGetClockInfo(g, n.NVML_CLOCK_SM), n.nvmlDeviceGetMaxClockInfo(g, 1),
       n.nvmlDeviceGetEnforcedPowerLimit(g), n.nvmlDeviceGetPowerManagementDefaultLimit(g),
       n.nvmlDeviceGetCurrentClocksEventReasons(g), n.nvmlDeviceGetCurrentClocksThrottleReasons(g),
       n.nvmlDeviceGetNumGpuCores(g), n.nvmlDeviceGetCudaComputeCapability(g),
       n.nvmlDeviceGetEccMode(g), n.nvmlDeviceGetPersistenceMode(g),
       n.nvmlDeviceGetComputeRunningProcesses(g), n.nvmlDeviceGetArchitecture(g),
       code(n.nvmlDeviceGetHandleByIndex, 2), code(n.nvmlDeviceGetHandleByUUID, "GPU-3"),
       n.nvmlErrorString(15)]
""",
    )

    total_b = 80 << 30
    assert out == [
        2, 1, 1, "NVIDIA Other One", "570.1", 12080, "00000000:C1:00.0", 0xC1, total_b, total_b,
        True, 97, 41, 61, 61, 1755, 1980, 700_000, 700_000, 4, 4, 16896, [9, 0], [1, 1], 1, [], 9,
        2, 6, "GPU is lost",
    ]  # fmt: skip


def test_a_call_may_take_its_time(simulated_driver: Simulated) -> None:
    environ = simulated_driver(Driver([Gpu([(0, 100)], delay_us=30_000)]))
    took_s = ask(environ, "t = now(); n.nvmlDeviceGetPowerUsage(h); out = (now() - t) / 1e9")
    assert 0.03 <= took_s < 3


def test_opening_the_driver_may_fail_and_count_no_card(simulated_driver: Simulated) -> None:
    prelude = PRELUDE.split("n.nvmlInit()")[0]
    failing, empty = simulated_driver(Driver(init=9)), simulated_driver(Driver())
    assert ask(failing, "out = code(n.nvmlInit)", prelude=prelude) == 9
    assert ask(empty, "n.nvmlInit(); out = n.nvmlDeviceGetCount()", prelude=prelude) == 0
    assert ask(empty, "n._LoadNvmlLibrary(); out = code(n.nvmlDeviceGetCount)", prelude=prelude)


def test_a_script_that_makes_no_sense_is_refused(simulated_driver: Simulated) -> None:
    environ = simulated_driver(Driver([Gpu([(0, 100)])]))
    with Path(environ["VIDMETER_SIM_NVML"]).open("a") as script:
        script.write("refresh often\n")
    prelude = PRELUDE.split("n.nvmlInit()")[0]
    assert ask(environ, "out = code(n.nvmlInit)", prelude=prelude) == 999


# ---- vidmeter against the driver ----


def vidmeter(
    environ: Mapping[str, str], folder: Path, *command: str, visible: str | None = None
) -> subprocess.Popen[str]:
    """Start `vidmeter run` on a command."""
    folder.mkdir(exist_ok=True)
    environ = {**environ, "PYTHONPATH": str(ROOT), "XDG_DATA_HOME": str(folder / "data")}
    if visible is not None:
        environ["CUDA_VISIBLE_DEVICES"] = visible
    return subprocess.Popen(
        [sys.executable, "-m", "vidmeter", "run", "--json", "s.json", "--", *command],
        cwd=folder, env=environ, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def summary_of(process: subprocess.Popen[str], folder: Path) -> tuple[dict[str, Any], str]:
    """The summary that the command wrote, and what it said."""
    _, said = process.communicate(timeout=90)
    assert process.returncode == 0, said
    return json.loads((folder / "s.json").read_text()), said


def metered(
    environ: Mapping[str, str], folder: Path, seconds: float, *, visible: str | None = None
) -> tuple[dict[str, Any], str]:
    process = vidmeter(environ, folder, "sleep", str(seconds), visible=visible)
    return summary_of(process, folder)


def gpus_of(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [device for device in summary["devices"] if device["kind"] == "gpu"]


def true_j(gpu: Gpu, summary: Mapping[str, Any]) -> float:
    return gpu.true_energy_j(summary["window"]["start_ns"], summary["window"]["end_ns"])


@dataclass(frozen=True, slots=True)
class Sort:
    """A sort of driver: the card, the source that has to be named, and how far off it may be."""

    gpu: Callable[[], Gpu]
    source: str
    within: float = 0.01


def only(curve: list[tuple[float, float]], **offered: Any) -> Callable[[], Gpu]:
    """A card with nothing but this. A repeated curve has begun earlier: a run ends on its ramps."""
    nothing: dict[str, Any] = dict.fromkeys(("instant", "average", "usage", "counter", "ring"))
    begun_ns = 0 if curve is SETTLED else 1_400 * MS
    return lambda: Gpu(
        curve,
        **{**nothing, **offered},
        repeat=curve is not SETTLED,
        epoch_ns=time.monotonic_ns() - begun_ns,
    )


FAST = [(0, 200), (0.0185, 200), (0.0185, 600), (0.037, 600)]
"""A load of 37 ms, which doesn't beat with a refresh of 100 ms."""

SORTS = {
    "everything": Sort(
        only(
            WAVES,
            instant=Reading(100, 100),
            average=Reading(100, 1000),
            usage=Reading(100, 1000),
            counter=Counter(100),
            ring=Ring(20, 120),
        ),
        "driver's power samples",
        0.003,
    ),
    "ring only": Sort(only(WAVES, ring=Ring(20, 120)), "driver's power samples", 0.003),
    "stamped instant": Sort(only(WAVES, instant=Reading(100, 100)), "instant power"),
    "counter only": Sort(only(WAVES, counter=Counter(100)), "energy counter"),
    "usage only": Sort(only(SETTLED, usage=Reading(100, 1000)), "power reading"),
    "no stamps": Sort(only(SETTLED, instant=Reading(100, 100), stamps="zero"), "instant power"),
    "stamps of the query": Sort(
        only(SETTLED, instant=Reading(100, 100), stamps="query"), "instant power"
    ),
    "part of the time": Sort(only(FAST, instant=Reading(100, 25)), "instant power"),
    "average only": Sort(only(SETTLED, average=Reading(100, 1000)), "1 s average power"),
}


@pytest.fixture(scope="module")
def runs(simulated_driver: Simulated, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A run of six seconds on each sort of driver, side by side."""
    started = []
    for name, sort in SORTS.items():
        folder, gpu = tmp_path_factory.mktemp("run"), sort.gpu()
        process = vidmeter(simulated_driver(Driver([gpu])), folder, "sleep", "6")
        started.append((name, gpu, process, folder))
        time.sleep(0.5)
    return {name: (gpu, *summary_of(p, folder)) for name, gpu, p, folder in started}


@pytest.mark.parametrize("name", SORTS)
def test_the_energy_of_a_run_is_the_true_one(runs: Runs, name: str) -> None:
    gpu, summary, said = runs[name]
    total, (device,) = summary["total"], gpus_of(summary)
    truth_j = true_j(gpu, summary)
    print(f"{name}: {100 * (total['covered_j'] / truth_j - 1):+.6f} % {total['coverage']}")

    assert device["source"] == SORTS[name].source
    assert total["provenance"] == device["provenance"] == "measured"
    assert total["coverage"] == 1
    assert total["energy_j"] == pytest.approx(truth_j, rel=SORTS[name].within)
    assert total["low_j"] < truth_j < total["high_j"]
    assert summary["window"]["duration_s"] == pytest.approx(6, abs=0.5)
    assert SORTS[name].source in said


def test_a_counter_that_knows_no_load_is_not_taken_for_the_truth(
    simulated_driver: Simulated, tmp_path: Path
) -> None:
    gpu = only(WAVES, ring=Ring(20, 120), counter=Counter(100, broken_w=339))()

    summary, _ = metered(simulated_driver(Driver([gpu])), tmp_path, 3)

    (device,) = gpus_of(summary)
    assert device["energy_j"] == pytest.approx(true_j(gpu, summary), rel=0.005)
    assert device["second_source"] is None
    (why,) = device["set_aside"].values()
    assert "energy counter" in device["set_aside"] and " J where the driver's power samples" in why
    assert "quarantined" in {c["kind"] for c in summary["cautions"]}
    assert device["trusted"]


def test_a_reset_of_the_counter_is_missing_and_never_bridged(
    simulated_driver: Simulated, tmp_path: Path
) -> None:
    gpu = only([(0, 300), (1, 300)], counter=Counter(100, reset_s=4.05))()

    summary, _ = metered(simulated_driver(Driver([gpu])), tmp_path, 4)

    (device,) = gpus_of(summary)
    truth_j = true_j(gpu, summary)
    # One stretch between two looks is missing: 50 ms, or up to a tick and a late look more.
    assert truth_j - 300 * 0.25 < device["covered_j"] < truth_j - 300 * 0.03
    assert device["coverage"] == pytest.approx(device["covered_j"] / truth_j, abs=0.008)
    assert "coverage" in {c["kind"] for c in summary["cautions"]}


def test_zeros_are_no_power(simulated_driver: Simulated, tmp_path: Path) -> None:
    gpu = only([(0, 300), (1, 300)], instant=Reading(100, 100), zero_s=(3.0, 3.3))()

    summary, _ = metered(simulated_driver(Driver([gpu])), tmp_path, 3)

    (device,) = gpus_of(summary)
    assert device["covered_j"] / device["coverage"] == pytest.approx(
        true_j(gpu, summary), rel=0.001
    )
    assert device["mean_w"] == pytest.approx(300, rel=0.001)
    assert device["energy_j"] is None
    assert {"implausible", "incomplete"} <= {c["kind"] for c in summary["cautions"]}


def test_a_lost_gpu_has_no_energy_and_the_other_has(
    simulated_driver: Simulated, tmp_path: Path
) -> None:
    stays = Gpu(WAVES, repeat=True)
    goes = Gpu([(0, 200)], uuid="GPU-2", pci="00000000:02:00.0", lost_s=2.5)

    summary, said = metered(simulated_driver(Driver([stays, goes])), tmp_path, 3)

    kept, gone = gpus_of(summary)
    assert kept["energy_j"] == pytest.approx(true_j(stays, summary), rel=0.005)
    assert gone["energy_j"] is None
    seen_s = goes.epoch_ns / S + 2.5 - summary["window"]["start_ns"] / S
    assert gone["covered_j"] == pytest.approx(200 * seen_s, abs=200 * 0.4)
    assert summary["total"]["energy_j"] is None
    assert {"device_lost", "incomplete"} <= {c["kind"] for c in summary["cautions"]}
    assert "lost" in said


PARTS = ("MIG-aaaa0000-0000-5000-8000-000000000000", "MIG-bbbb0000-0000-5000-8000-000000000000")
CARDS = {
    "small": {"uuid": "GPU-aaaa1111", "pci": "00000000:01:00.0", "cores": 4096},
    "large": {"uuid": "GPU-aaaa2222", "pci": "00000000:02:00.0", "cores": 16896},
    "cut": {"uuid": "GPU-bbbb3333", "pci": "00000000:03:00.0", "cores": 8192, "mig": PARTS},
}


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, ["small", "large", "cut"]),
        ("0", ["large"]),
        ("2,0", ["small", "large"]),
        ("GPU-aaaa1", ["small"]),
        (PARTS[1], ["cut"]),
        ("", []),
    ],
)
def test_what_the_program_can_see_is_metered(
    simulated_driver: Simulated, tmp_path: Path, visible: str | None, expected: list[str]
) -> None:
    cards = {
        name: Gpu([(0, watts)], name=f"NVIDIA {name}", **CARDS[name])
        for name, watts in zip(CARDS, (100, 230, 370), strict=True)
    }

    summary, said = metered(
        simulated_driver(Driver(list(cards.values()))), tmp_path, 0.7, visible=visible
    )

    found = gpus_of(summary)
    assert [device["name"] for device in found] == [f"NVIDIA {name}" for name in expected]
    for name, device in zip(expected, found, strict=True):
        truth_j = true_j(cards[name], summary)
        assert device["energy_j"] == pytest.approx(truth_j, rel=0.001)
        assert ("MIG" in device["scope"]) == (name == "cut")
    if expected:
        whole_j = sum(true_j(cards[name], summary) for name in expected)
        assert summary["total"]["energy_j"] == pytest.approx(whole_j, rel=0.001)
    else:
        assert "CUDA_VISIBLE_DEVICES hides every GPU" in said
        assert summary["total"]["provenance"] != "measured"


@pytest.mark.parametrize(
    ("driver", "reason"),
    [(Driver(), "no GPU"), (Driver(init=9), "driver"), (Driver([Gpu([(0, 9)], lost_s=0)]), "lost")],
)
def test_without_a_gpu_that_answers_the_reason_is_said_and_the_command_runs(
    simulated_driver: Simulated, tmp_path: Path, driver: Driver, reason: str
) -> None:
    summary, said = metered(simulated_driver(driver), tmp_path, 0.3)

    first = said.splitlines()[0]
    assert first.startswith("vidmeter: no GPU is measured: ")
    assert reason in first
    assert gpus_of(summary) == []
    assert summary["total"]["provenance"] != "measured"


VIDEO = """
import sys, time
import av, numpy
time.sleep(float(sys.argv[1]))
with av.open("clip.mp4", "w") as out:
    stream = out.add_stream("libx264", rate=16)
    stream.width, stream.height, stream.pix_fmt = 192, 128, "yuv420p"
    for i in range(80):
        frame = av.VideoFrame.from_ndarray(numpy.full((128, 192, 3), i * 3, "uint8"))
        out.mux(stream.encode(frame))
    out.mux(stream.encode())
"""


@pytest.mark.slow
def test_joules_per_second_of_video_are_the_true_ones(
    simulated_driver: Simulated, tmp_path: Path
) -> None:
    gpu = Gpu(WAVES, repeat=True)
    (tmp_path / "generate.py").write_text(VIDEO)
    environ = simulated_driver(Driver([gpu]))

    process = vidmeter(environ, tmp_path, sys.executable, "generate.py", "30")
    summary, said = summary_of(process, tmp_path)

    assert summary["work"]["video_seconds"] == 5
    assert summary["window"]["duration_s"] > 30
    per_second = summary["per_unit"]["j_per_video_second"]
    print(f"video: {100 * (per_second / (true_j(gpu, summary) / 5) - 1):+.6f} %")
    assert per_second == pytest.approx(true_j(gpu, summary) / 5, rel=0.01)
    assert "J per second of video" in said
