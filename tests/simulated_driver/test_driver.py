"""The simulated driver against its own truth.

Everything runs in processes of its own that load the driver's library as they would load NVIDIA's.
"""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulated_driver.asking import (
    MS,
    PRELUDE,
    WAVES,
    S,
    Simulated,
    ask,
    wall_clock_offset_ns,
)
from tests.simulated_driver.driver import Counter, Driver, Gpu, Reading, Ring

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
