"""NVML's edge without a card: what a driver's answers become, and what is said if it won't open.

The whole path through a driver's library is tested against the simulated driver.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidmeter.meter.clock import Anchor, anchor, monotonic_ns
from vidmeter.meter.sample import Quantity, Series
from vidmeter.meter.sensors.base import Reading
from vidmeter.meter.sensors.nvml_card import Card
from vidmeter.meter.sensors.nvml_counter import CounterWatch
from vidmeter.meter.sensors.nvml_errors import why_no_gpu, words
from vidmeter.meter.sensors.nvml_ring import Ring
from vidmeter.meter.sensors.nvml_sources import Fields, Getter, Memory, Source, place
from vidmeter.meter.sensors.nvml_turns import Turns
from vidmeter.meter.sensors.stamps import Clocks

GPU = "GPU-0000"
INSTANT = Series(GPU, Quantity.POWER_INSTANT)
ENERGY = Series(GPU, Quantity.ENERGY)
RING = Series(GPU, Quantity.POWER_RING)
HEAT = Series(GPU, Quantity.TEMPERATURE)
S = 1_000_000_000
UNSIGNED, LONG = 1, 3


def field(value: int, value_type: int = LONG, stamp_us: int = 0, code: int = 0) -> SimpleNamespace:
    """A structure as the driver fills it; every other member of the union holds another number."""
    union = SimpleNamespace(dVal=-1.0, uiVal=-1, ulVal=-1, ullVal=-1, sllVal=-1, siVal=-1, usVal=-1)
    setattr(union, {UNSIGNED: "uiVal", LONG: "ullVal"}[value_type], value)
    return SimpleNamespace(nvmlReturn=code, timestamp=stamp_us, valueType=value_type, value=union)


def now_us(offset_s: float = 0.0) -> int:
    return (anchor().to_real(monotonic_ns()) + round(offset_s * S)) // 1000


def read(source: Source) -> Reading:
    reading = Reading()
    source.read(Clocks(anchor()), reading)
    return reading


def memory(limit_w: float | None = None) -> Memory:
    return Memory(CounterWatch(limit_w))


def fields(*slots: tuple[SimpleNamespace, Series]) -> Fields:
    return Fields(lambda: 0, slots, memory())


def one_field(slot: SimpleNamespace, series: Series = INSTANT) -> Fields:
    return fields((slot, series))


def test_milliwatts_and_millijoules_become_watts_and_joules() -> None:
    slots = [(field(345_678, UNSIGNED), INSTANT), (field(2**40 + 1, LONG), ENERGY)]
    samples = read(fields(*slots)).samples
    assert [(sample.series, sample.value) for sample in samples] == [
        (INSTANT, 345.678),
        (ENERGY, (2**40 + 1) / 1000),
    ]


def test_a_sample_stands_at_the_drivers_own_time() -> None:
    slot = field(100_000, stamp_us=now_us(-0.080))
    taken_ns = monotonic_ns()
    (sample,) = read(one_field(slot)).samples
    assert sample.t_ns == pytest.approx(taken_ns - 80_000_000, abs=2_000_000)


@pytest.mark.parametrize("offset_s", [None, -11.0, 0.5, 3600.0])
def test_an_unbelievable_stamp_gives_way_to_the_middle_of_the_call(offset_s: float | None) -> None:
    slot = field(100_000, stamp_us=0 if offset_s is None else now_us(offset_s))
    before_ns = monotonic_ns()
    (sample,) = read(one_field(slot)).samples
    assert before_ns <= sample.t_ns <= monotonic_ns()


def test_a_reading_with_the_same_stamp_is_not_new() -> None:
    slot = field(100_000, stamp_us=now_us(-0.1))
    source = one_field(slot)
    assert len(read(source).samples) == 1
    assert read(source).samples == []
    slot.timestamp += 20_000
    assert len(read(source).samples) == 1


def test_equal_values_with_new_stamps_are_all_kept() -> None:
    slot = field(100_000, stamp_us=now_us(-0.5))
    source = one_field(slot)
    values = []
    for _ in range(3):
        values += [sample.value for sample in read(source).samples]
        slot.timestamp += 100_000
    assert values == [100.0] * 3


def test_readings_without_stamps_are_all_new() -> None:
    source = one_field(field(100_000))
    assert len(read(source).samples) == len(read(source).samples) == 1


def test_samples_of_a_series_never_go_back_in_time() -> None:
    slot = field(100_000, stamp_us=now_us(-0.1))
    source = one_field(slot)
    read(source)
    slot.timestamp -= 50_000
    assert read(source).samples == []


def test_a_driver_whose_own_clock_is_set_back_is_read_on_by_ours() -> None:
    slot = field(100_000, stamp_us=now_us(-0.01))
    source = one_field(slot)
    read(source)
    slot.timestamp -= 5_000_000
    slot.value.ullVal += 1
    before_ns = monotonic_ns()
    (sample,) = read(source).samples
    assert before_ns <= sample.t_ns <= monotonic_ns()


@given(
    st.integers(-(20 * S), 20 * S),
    st.integers(0, 10_000_000),
    st.integers(-(10**15), 10**15),
)
def test_a_stamp_is_believed_within_ten_seconds_before_the_call_only(
    age_ns: int, took_ns: int, offset_ns: int
) -> None:
    before_ns, after_ns = 10**15, 10**15 + took_ns
    true_ns = (before_ns - age_ns) // 1000 * 1000
    clocks = Anchor(10**15, 10**15 + 10**18 + offset_ns // 1000 * 1000)
    t_ns = place(
        clocks.to_real(true_ns) // 1000, Clocks(clocks), before_ns=before_ns, after_ns=after_ns
    )
    if before_ns - 10 * S <= true_ns < before_ns:
        assert t_ns == true_ns
    elif before_ns <= true_ns <= after_ns:
        assert t_ns == (before_ns + after_ns) // 2
    elif true_ns < before_ns - 10 * S or true_ns > after_ns + 5_000_000:
        assert t_ns is None


def test_exactly_zero_watts_is_a_fault_and_no_sample() -> None:
    reading = read(fields((field(0), INSTANT), (field(0), ENERGY)))
    assert [sample.series for sample in reading.samples] == [ENERGY]
    assert [(fault.kind, fault.series) for fault in reading.faults] == [("implausible", INSTANT)]


def test_one_refused_field_leaves_the_others_alone() -> None:
    reading = read(fields((field(1, code=999), INSTANT), (field(5_000), ENERGY)))
    assert [sample.value for sample in reading.samples] == [5.0]
    assert [(fault.kind, fault.series) for fault in reading.faults] == [("read_failed", INSTANT)]


class Driver:
    """A ring that holds what was put into it, up to its depth, as the driver's does."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.entries: list[tuple[int, float]] = []
        self.code = 0

    def ask(self, seen_us: int) -> tuple[int, list[tuple[int, float]]]:
        newer = [entry for entry in self.entries[-self.depth :] if entry[0] > seen_us]
        return (self.code, newer) if newer or self.code else (6, [])


def test_the_ring_brings_what_it_held_before_and_then_only_what_is_new() -> None:
    driver = Driver(depth=120)
    start_us = now_us(-3.0)
    driver.entries = [(start_us + 20_000 * i, 1000.0 * (i + 1)) for i in range(50)]
    source = Ring(RING, driver.ask, driver.depth, memory())
    first = read(source)
    assert [sample.value for sample in first.samples] == [float(i + 1) for i in range(50)]
    spacings = {b.t_ns - a.t_ns for a, b in zip(first.samples, first.samples[1:], strict=False)}
    assert spacings == {20_000_000}
    assert read(source) == Reading([], [])
    driver.entries.append((start_us + 20_000 * 50, 7000.0))
    second = read(source)
    assert [sample.value for sample in second.samples] == [7.0]
    assert second.faults == []


def test_samples_that_the_ring_lost_are_reported() -> None:
    driver = Driver(depth=10)
    start_us = now_us(-9.0)
    driver.entries = [(start_us + 20_000 * i, 1000.0) for i in range(200)]
    source = Ring(RING, driver.ask, driver.depth, memory())
    assert read(source).faults == []
    driver.entries += [(start_us + 20_000 * i, 1000.0) for i in range(200, 215)]
    (fault,) = read(source).faults
    assert (fault.kind, fault.series) == ("samples_lost", RING)
    assert "120 ms" in fault.detail


def test_a_ring_that_is_just_full_lost_nothing() -> None:
    driver = Driver(depth=10)
    start_us = now_us(-9.0)
    source = Ring(RING, driver.ask, driver.depth, memory())
    for batch in range(3):
        driver.entries += [(start_us + 20_000 * (10 * batch + i), 1000.0) for i in range(10)]
        reading = read(source)
        assert (len(reading.samples), reading.faults) == (10, [])


def test_a_pause_of_the_driver_is_no_loss() -> None:
    driver = Driver(depth=10)
    start_us = now_us(-9.0)
    driver.entries = [(start_us + 20_000 * i, 1000.0) for i in range(10)]
    source = Ring(RING, driver.ask, driver.depth, memory())
    read(source)
    driver.entries += [(start_us + 2_000_000 + 20_000 * i, 1000.0) for i in range(5)]
    assert read(source).faults == []


class Call:
    """A driver's call whose answer can be changed."""

    def __init__(self, code: int = 0) -> None:
        self.code = code
        self.asked = 0

    def __call__(self) -> int:
        self.asked += 1
        return self.code


def getter(call: Callable[[], int], every_ns: int = 0, uuid: str = GPU) -> Getter:
    return Getter(
        call, Series(uuid, Quantity.TEMPERATURE), lambda: 40.0, memory(), every_ns=every_ns
    )


class Bench:
    """Cards with their turns, at 20 Hz of a clock of its own; each can be opened anew."""

    def __init__(self, *sources: Source, reopened: Callable[[], int | list[Source]] | None = None):
        self.cards = [Card(GPU, sources, reopened or (lambda: list(sources)))]
        self.turns = Turns(anchor())
        self.readings: list[tuple[float, Reading]] = []

    def ticks(self, seconds: float, start_s: float = 0.0) -> list[tuple[float, str]]:
        """The faults, with their time in s."""
        seen = []
        for tick in range(round(start_s * 20), round((start_s + seconds) * 20)):
            reading = self.turns.read(self.cards, S + tick * S // 20, anchor())
            self.readings.append((tick / 20, reading))
            seen += [(tick / 20, fault.kind) for fault in reading.faults]
        return seen


def test_slow_readings_are_taken_at_their_own_rate() -> None:
    fast, slow = Call(), Call()
    Bench(getter(fast), getter(slow, every_ns=S // 2)).ticks(3.0)
    assert (fast.asked, slow.asked) == (60, 6)


def test_a_lost_gpu_is_reported_once_and_opened_anew_after_1_2_4_to_60_seconds() -> None:
    tried = []
    bench = Bench(getter(Call(15)), reopened=lambda: tried.append(len(bench.readings)) or 15)
    assert bench.ticks(200.0) == [(0.0, "device_lost")]
    assert [tick / 20 for tick in tried] == [1, 3, 7, 15, 31, 63, 123, 183]


def test_one_that_opens_and_answers_no_better_waits_ever_longer() -> None:
    call = Call(15)
    bench = Bench(getter(call))
    assert bench.ticks(200.0) == [(0.0, "device_lost")]
    # 0, then after 1, 2, 4, 8, 16, 32, 60 and 60 s
    assert call.asked == 9


def test_a_gpu_that_comes_back_is_reported_and_read_on_from_what_was_opened_anew() -> None:
    call, anew = Call(), Call()
    bench = Bench(getter(call), reopened=lambda: [getter(anew)])
    assert bench.ticks(1.0) == []
    call.code = 15
    assert bench.ticks(0.5, start_s=1.0) == [(1.0, "device_lost")]
    asked = call.asked
    assert bench.ticks(2.0, start_s=1.5) == [(2.0, "device_back")]
    assert (call.asked, anew.asked) == (asked, 30)
    assert len(bench.readings[-1][1].samples) == 1


def test_after_it_was_back_a_second_loss_is_reported_again() -> None:
    call = Call(15)
    bench = Bench(getter(call))
    bench.ticks(0.5)
    call.code = 0
    bench.ticks(1.0, start_s=0.5)
    call.code = 15
    assert bench.ticks(1.0, start_s=1.5) == [(1.5, "device_lost")]


@pytest.mark.parametrize("code", [1, 9, 16, 999])
def test_a_gpu_whose_every_call_fails_without_end_is_taken_for_lost(code: int) -> None:
    bench = Bench(getter(Call(code)), getter(Call(code)), reopened=lambda: code)
    kinds = [kind for _, kind in bench.ticks(1.0)]
    assert kinds.count("device_lost") == 1
    assert kinds[-1] == "device_lost"


def test_a_call_that_fails_beside_one_that_works_is_only_a_failed_reading() -> None:
    bench = Bench(getter(Call(999)), getter(Call()))
    assert {kind for _, kind in bench.ticks(2.0)} == {"read_failed"}


def test_what_is_refused_for_a_while_does_not_make_a_card_lost() -> None:
    call = Call(3)
    bench = Bench(getter(call), getter(call))
    assert {kind for _, kind in bench.ticks(2.0)} == {"read_failed"}
    call.code = 0
    assert bench.ticks(1.0, start_s=2.0) == []


def test_a_field_that_reports_the_loss_is_enough() -> None:
    bench = Bench(one_field(field(1, code=15)), getter(Call()), reopened=lambda: 15)
    assert [kind for _, kind in bench.ticks(0.5)] == ["device_lost"]


def test_one_lost_gpu_leaves_the_other_undisturbed() -> None:
    bench = Bench(getter(Call(15)), reopened=lambda: 15)
    bench.cards.append(Card("GPU-2", [getter(Call(), uuid="GPU-2")], lambda: 15))
    assert bench.ticks(1.0) == [(0.0, "device_lost")]
    assert sum(len(reading.samples) for _, reading in bench.readings) == 20


@pytest.mark.parametrize("code", [1, 4, 15, 999, 12345])
def test_every_code_has_words_and_keeps_its_number(code: int) -> None:
    assert f"NVML error {code}" in words(code)


@pytest.mark.parametrize(
    ("code", "there", "said"),
    [
        (12, [], "no NVIDIA driver here"),
        (12, [".dockerenv"], "docker run --gpus all"),
        (12, ["proc/driver/nvidia/version"], "install the library"),
        (12, ["proc/driver/nvidia/version", ".dockerenv"], "NVIDIA_DRIVER_CAPABILITIES"),
        (9, [], "modprobe nvidia"),
        (9, ["proc/driver/nvidia/version"], "nvidia-modprobe"),
        (9, ["run/.containerenv"], "no device node"),
        (18, [], "reboot"),
        (4, [], "/dev/nvidia*"),
        (0, [], "shows no GPU"),
        (999, [".dockerenv"], "daemon-reload"),
        (999, [], "NVML error 999"),
    ],
)
def test_why_no_gpu_opens_is_said_with_what_to_do(
    tmp_path: Path, code: int, there: list[str], said: str
) -> None:
    for name in there:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    line = why_no_gpu(code, root=tmp_path)
    assert said in line
    assert "\n" not in line


OPEN = """
from vidmeter.meter.errors import NoDevice
from vidmeter.meter.sensors.nvml import NvmlSensor
try:
    NvmlSensor(environ={})
except NoDevice as error:
    print(error)
"""


def open_with(library_folder: Path) -> str:
    result = subprocess.run(
        [sys.executable, "-c", OPEN],
        env={**os.environ, "LD_LIBRARY_PATH": str(library_folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


def build_library(folder: Path, *, init: int, count: int) -> None:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs gcc to build a library that refuses")
    source = folder / "refuses.c"
    source.write_text(
        f"int nvmlInitWithFlags(unsigned flags) {{ return {init}; }}\n"
        f"int nvmlShutdown(void) {{ return 0; }}\n"
        f"int nvmlDeviceGetCount_v2(unsigned *count) {{ *count = {count}; return 0; }}\n"
        f"int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **device) {{ return 15; }}\n"
    )
    library = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)


def test_a_library_that_can_not_be_loaded_is_a_missing_driver(tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").write_text("no library")
    assert "libnvidia-ml.so.1" in open_with(tmp_path)


@pytest.mark.parametrize(
    ("init", "count", "said"),
    [
        (18, 0, "was updated while it ran"),
        (4, 0, "no permission"),
        (0, 0, "shows no GPU"),
        (0, 1, "GPU 0 is left out: the GPU is lost"),
    ],
)
def test_a_driver_that_refuses_is_one_line(
    tmp_path: Path, init: int, count: int, said: str
) -> None:
    build_library(tmp_path, init=init, count=count)
    line = open_with(tmp_path)
    assert said in line
    assert line.count("\n") == 1


def test_a_new_value_under_an_old_stamp_is_a_reading_of_now() -> None:
    class Slot:
        fieldId, nvmlReturn, valueType = 186, 0, 1
        timestamp = time.time_ns() // 1000 - 1000

        class value:
            uiVal = 100_000

    slot = Slot()
    source = Fields(lambda: 0, [(slot, Series("X", Quantity.POWER_INSTANT))], memory())
    values = []
    for milliwatts in (100_000, 100_000, 150_000):
        Slot.value.uiVal = milliwatts
        values.append([s.value for s in read(source).samples])

    assert values == [[100.0], [], [150.0]]
