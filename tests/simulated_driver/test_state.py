"""The processes, clock event reasons and properties that the simulated driver tells of."""

from dataclasses import replace

import pytest

from tests.simulated_driver.asking import MS, S, Simulated, ask, wall_clock_offset_ns
from tests.simulated_driver.driver import Driver, Gpu, Process

KINDS = ("Compute", "Graphics", "MPSCompute")


def test_processes_are_listed_by_kind_in_each_version_while_they_run(
    simulated_driver: Simulated,
) -> None:
    gpu = Gpu(
        [(0, 100)],
        processes=[
            Process(101, 1 << 30, 40),
            Process(102, None, 50, from_s=-10, to_s=1000),
            Process(103, 3 << 30, 10, graphics=True),
            Process(104, 4 << 30, 10, mps=True),
            Process(105, 5 << 30, 10, from_s=1000),
            Process(106, 6 << 30, 10, to_s=0),
        ],
        mig=["MIG-1"],
    )

    wrapped, first, parts = ask(
        simulated_driver(Driver([gpu])),
        f"""
from ctypes import Structure, byref, c_uint, c_ulonglong
class First(Structure):
    _fields_ = [("pid", c_uint), ("memory", c_ulonglong)]
wrapped = [[[p.pid, p.usedGpuMemory, p.gpuInstanceId, p.computeInstanceId]
            for p in getattr(n, "nvmlDeviceGet" + kind + "RunningProcesses" + version)(h)]
           for kind in {KINDS} for version in ("", "_v2", "_v3")]
first = []
for kind in {KINDS}:
    fn = n._nvmlGetFunctionPointer("nvmlDeviceGet" + kind + "RunningProcesses")
    count, room = c_uint(4), (First * 4)()
    assert fn(h, byref(count), room) == 0
    first.append([[p.pid, p.memory] for p in room[:count.value]])
part = n.nvmlDeviceGetMigDeviceHandleByIndex(h, 0)
parts = [n.nvmlDeviceGetComputeRunningProcesses(part),
         code(n.nvmlDeviceGetProcessUtilization, h, 0)]
out = [wrapped, first, parts]
""",
    )

    none, everywhere = (1 << 64) - 1, (1 << 32) - 1
    expected: list[list[list[int | None]]] = [
        [[101, 1 << 30], [102, None]],
        [[103, 3 << 30]],
        [[104, 4 << 30]],
    ]
    for kind, listed in enumerate(expected):
        told = [[*process, everywhere, everywhere] for process in listed]
        assert wrapped[3 * kind : 3 * kind + 3] == [told] * 3
        assert first[kind] == [[pid, none if b is None else b] for pid, b in listed]
    assert parts == [[], 3]


def test_a_list_says_how_much_room_it_needs(simulated_driver: Simulated) -> None:
    gpu = Gpu([(0, 100)], processes=[Process(101, 7, 40), Process(102, 8, 50)])
    idle = Gpu([(0, 100)], uuid="GPU-2")

    out = ask(
        simulated_driver(Driver([gpu, idle])),
        """
from ctypes import byref, c_uint
fn = n._nvmlGetFunctionPointer("nvmlDeviceGetComputeRunningProcesses_v3")
g = n.nvmlDeviceGetHandleByIndex(1)
def listed(handle, given, room):
    count = c_uint(given)
    return [fn(handle, byref(count), room), count.value]
one, two = (n.c_nvmlProcessInfo_t * 1)(), (n.c_nvmlProcessInfo_t * 2)()
out = [listed(h, 0, None), listed(h, 1, one), listed(h, 2, two), listed(h, 2, None)[0],
       listed(g, 0, None), fn(h, None, None), two[1].pid]
""",
    )  # fmt: skip

    assert out == [[7, 2], [7, 2], [0, 2], 2, [0, 0], 2, 102]


def test_a_process_appears_and_leaves_at_its_times(simulated_driver: Simulated) -> None:
    gpu = Gpu([(0, 100)], processes=[Process(101, 7, 40, from_s=0.9, to_s=1.1)])

    seen = ask(
        simulated_driver(Driver([gpu])),
        f"""
out = []
while now() < {gpu.epoch_ns} + 1_300_000_000:
    out.append([now(), len(n.nvmlDeviceGetComputeRunningProcesses(h)), now()])
    time.sleep(0.01)
""",
    )

    counts = set()
    for before_ns, count, after_ns in seen:
        before_s, after_s = (before_ns - gpu.epoch_ns) / S, (after_ns - gpu.epoch_ns) / S
        if all(not before_s <= edge <= after_s for edge in (0.9, 1.1)):
            assert count == (0.9 <= before_s < 1.1)
            counts.add(count)
    assert counts == {0, 1}


def test_the_use_of_a_process_is_its_share_of_its_last_200_ms(simulated_driver: Simulated) -> None:
    gpu = Gpu(
        [(0, 100)],
        processes=[
            Process(101, 7, 40),
            Process(102, 7, 80, to_s=-4.85),
            Process(103, 7, 90, to_s=-20),
            Process(104, 7, 0),
            Process(105, 7, 60, from_s=-0.05, to_s=0.0001),
        ],
    )

    before_ns, samples, again, small, none, after_ns = ask(
        simulated_driver(Driver([gpu, replace(gpu, processes=(), uuid="GPU-2")])),
        """
from ctypes import byref, c_uint, c_ulonglong
before = now()
samples = [[s.pid, s.timeStamp, s.smUtil] for s in n.nvmlDeviceGetProcessUtilization(h, 0)]
middle = min(stamp for _, stamp, _ in samples)
again = [s.pid for s in n.nvmlDeviceGetProcessUtilization(h, middle)]
count, room = c_uint(1), (n.c_nvmlProcessUtilizationSample_t * 1)()
small = [n._nvmlGetFunctionPointer("nvmlDeviceGetProcessUtilization")(h, room, byref(count),
                                                                      c_ulonglong(0)), count.value]
none = [code(n.nvmlDeviceGetProcessUtilization, n.nvmlDeviceGetHandleByIndex(1), 0),
        code(n.nvmlDeviceGetProcessUtilization, h, 1 << 62)]
out = [before, samples, again, small, none, now()]
""",
    )

    offset_ns = wall_clock_offset_ns()
    ages = [(stamp_us * 1000 - offset_ns - gpu.epoch_ns) / S for _, stamp_us, _ in samples]
    assert [(pid, use) for pid, _, use in samples] == [(101, 40), (102, 60), (105, 15)]
    assert ages[0] / 0.2 == pytest.approx(round(ages[0] / 0.2), abs=0.01)
    assert before_ns - 200 * MS < gpu.epoch_ns + ages[0] * S < after_ns + MS
    assert ages[1:] == pytest.approx([-4.8, 0], abs=0.001)
    assert again == [101, 105]
    assert small == [7, 3]
    assert none == [6, 6]


REASONS = [(0.3, 0.9, 0x20), (0.5, 0.8, 0x40), (0.8, 1.1, 0x80), (1.05, 1.2, 0x10 | 0x40)]
FIELDS = {74: 0x04, 76: 0x10, 269: 0x20, 270: 0x40, 271: 0x80}


def test_reasons_change_and_their_time_is_counted(simulated_driver: Simulated) -> None:
    gpu = Gpu([(0, 100)], reasons=REASONS, reason_counters=True)

    seen = ask(
        simulated_driver(Driver([gpu])),
        f"""
out = []
while now() < {gpu.epoch_ns} + 1_500_000_000:
    before = now()
    masks = [n.nvmlDeviceGetCurrentClocksEventReasons(h),
             n.nvmlDeviceGetCurrentClocksThrottleReasons(h)]
    between = now()
    fields = n.nvmlDeviceGetFieldValues(h, {list(FIELDS)})
    assert {{f.valueType for f in fields}} == {{n.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG}}
    out.append([before, masks, between, [f.value.ullVal for f in fields], fields[0].timestamp])
    time.sleep(0.004)
""",
    )

    def mask_at(t_s: float) -> int:
        masks = [mask for a, b, mask in REASONS if a <= t_s < b]
        return sum({bit for bit in FIELDS.values() if any(bit & mask for mask in masks)} or [4])

    edges = {edge for a, b, _ in REASONS for edge in (a, b)}
    offset_ns, seen_masks = wall_clock_offset_ns(), set()
    for before_ns, masks, between_ns, counted_ns, stamp_us in seen:
        before_s, after_s = (before_ns - gpu.epoch_ns) / S, (between_ns - gpu.epoch_ns) / S
        if all(not before_s <= edge <= after_s for edge in edges):
            assert masks == [mask_at(before_s)] * 2
            seen_masks.update(masks)
        steps = round((stamp_us * 1000 - offset_ns - gpu.epoch_ns) / (100 * MS))
        # Nothing changes but on multiples of 50 ms, so the sum of these slices is exact.
        middles = [mask_at((i + 0.5) * 0.05) for i in range(2 * steps)]
        expected_ns = [50 * MS * sum(bool(m & bit) for m in middles) for bit in FIELDS.values()]
        assert counted_ns == pytest.approx(expected_ns, abs=2)
    assert {4, 0x80, 0x50} <= seen_masks


def test_no_reason_is_counted_unless_told(simulated_driver: Simulated) -> None:
    quiet = Gpu([(0, 100)], clock_reasons=1, virtualization=2)
    out = ask(
        simulated_driver(Driver([quiet, Gpu([(0, 100)], uuid="GPU-2")])),
        f"""
g = n.nvmlDeviceGetHandleByIndex(1)
out = [[f.nvmlReturn for f in n.nvmlDeviceGetFieldValues(h, {list(FIELDS)})],
       [n.nvmlDeviceGetCurrentClocksEventReasons(i) for i in (h, g)],
       [n.nvmlDeviceGetVirtualizationMode(i) for i in (h, g)]]
""",
    )
    assert out == [[3] * 5, [1, 4], [2, 0]]
