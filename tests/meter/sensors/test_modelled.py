import csv
import importlib.util
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from vidmeter.meter.device import Kind, Provenance
from vidmeter.meter.errors import NoDevice
from vidmeter.meter.processor import Processor, normalized, read_processor
from vidmeter.meter.sample import Quantity
from vidmeter.meter.sensors.modelled import (
    ModelledCpu,
    Reference,
    busy_s,
    codecarbon_ratings,
    pause_ns,
    rate,
    read_reference,
)

TABLE = (
    Reference("Maker Small", 100.0, 10, 20, "maker's page"),
    Reference("Maker Large", 200.0, 100, 200, "maker's page"),
)
RATINGS = {"other one": 64.0}


def bare(model: str | None, threads: int | None = 32) -> Processor:
    return Processor(model, threads, virtual=False)


def watts(
    processor: Processor, cpu_watts: float | None = None, logical_cpus: int = 4
) -> tuple[float, float, float]:
    rating = rate(processor, TABLE, RATINGS, cpu_watts=cpu_watts, logical_cpus=logical_cpus)
    return rating.low_w, rating.middle_w, rating.high_w


def test_stated_watts_are_shared_by_the_logical_cpus() -> None:
    assert watts(bare("Maker Small"), 80.0) == pytest.approx((12, 20, 28))


@pytest.mark.parametrize("stated", [0.0, -5.0, math.nan, math.inf])
def test_watts_that_can_not_be_are_refused(stated: float) -> None:
    with pytest.raises(NoDevice, match="--cpu-watts"):
        watts(bare(None), stated)


def test_a_rated_processor_is_shared_by_its_own_threads() -> None:
    assert watts(bare("Other(R) ONE CPU @ 2.60GHz", 16)) == pytest.approx((2.4, 4, 5.6))


def test_two_sockets_give_the_same_watts_per_cpu_as_one() -> None:
    two_sockets = bare("Other One", 16)
    assert watts(two_sockets, logical_cpus=32) == watts(two_sockets, logical_cpus=16)


def test_a_guest_of_a_known_processor_is_rated_by_the_processors_threads() -> None:
    guest = Processor("Maker Small 10-Core Processor", 2, virtual=True)
    assert watts(guest, logical_cpus=2) == pytest.approx((3, 5, 7))


def test_a_guest_that_hides_the_thread_count_gets_the_general_range() -> None:
    guest = Processor("Other One", 2, virtual=True)
    assert watts(guest) == pytest.approx((1, math.sqrt(10), 10))
    text = rate(guest, TABLE, RATINGS, cpu_watts=None, logical_cpus=2).text
    assert "virtual machine" in text


@pytest.mark.parametrize("model", [None, "", "Other", "Other One X", "Maker Smal"])
def test_no_name_is_matched_loosely(model: str | None) -> None:
    assert watts(bare(model)) == pytest.approx((1, math.sqrt(10), 10))


def test_the_general_range_names_its_ends_and_its_source() -> None:
    rating = rate(bare("Unheard of"), TABLE, {}, cpu_watts=None, logical_cpus=4)
    assert "Maker Large by thread" in rating.text
    assert "Maker Small by core" in rating.text
    assert "Unheard of" in rating.text
    assert "cpu_reference.csv" in rating.source


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("Intel(R) Xeon(R) Platinum 8480+", "intel xeon platinum 8480+"),
        ("Intel(R) Xeon(R) CPU E5-2690 v4 @ 2.60GHz", "intel xeon e5-2690 v4"),
        ("AMD EPYC 7763 64-Core Processor", "amd epyc 7763"),
        ("11th Gen Intel(R) Core(TM) i7-1165G7 @ 2.80GHz", "intel core i7-1165g7"),
        ("AMD Ryzen 7 7840U w/ Radeon 780M Graphics", "amd ryzen 7 7840u"),
        ("AMD Ryzen 9 7950X 16-Core Processor            ", "amd ryzen 9 7950x"),
    ],
)
def test_names_from_the_kernel_meet_the_vendors_names(model: str, name: str) -> None:
    assert normalized(model) == name


def test_the_shipped_table_is_plausible_and_names_its_sources() -> None:
    table = read_reference()
    assert len({normalized(known.name) for known in table}) == len(table) >= 10
    for known in table:
        assert known.threads == 2 * known.cores
        assert 50 < known.tdp_w <= 500
        assert known.name.split()[-1] in known.source


def codecarbon_table() -> Path:
    spec = importlib.util.find_spec("codecarbon")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("codecarbon is not installed")
    return Path(spec.submodule_search_locations[0], "data/hardware/cpu_power.csv")


def test_the_shipped_table_agrees_with_codecarbons() -> None:
    with codecarbon_table().open(newline="", encoding="utf-8") as file:
        theirs = {row["Name"]: row["TDP"] for row in csv.DictReader(file)}
    for known in read_reference():
        assert float(theirs[known.name]) == known.tdp_w


def test_codecarbons_ratings_are_found_by_the_kernels_names() -> None:
    codecarbon_table()
    ratings = codecarbon_ratings()
    assert len(ratings) > 3000
    for model in ("AMD EPYC 9754 128-Core Processor", "Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz"):
        assert codecarbon_ratings(model)[normalized(model)] == ratings[normalized(model)]
    assert ratings[normalized("AMD EPYC 9754 128-Core Processor")] == 360.0
    assert ratings[normalized("Intel(R) Xeon(R) Platinum 8380 CPU @ 2.30GHz")] == 270.0


def test_codecarbon_is_read_without_being_imported() -> None:
    code = (
        "import sys\n"
        "from vidmeter.meter.sensors.modelled import codecarbon_ratings\n"
        "codecarbon_ratings()\n"
        "print([name for name in ('codecarbon', 'pandas', 'numpy') if name in sys.modules])\n"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_the_processor_is_read_from_the_kernels_description(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(
        "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel\t\t: 85\n"
        "model name\t: Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz\nsiblings\t: 40\n"
        "cpu cores\t: 20\nflags\t\t: fpu vme sse hypervisor\n\n"
    )
    expected = Processor("Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz", 40, virtual=True)
    assert read_processor(path) == expected
    path.write_text("processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\n")
    assert read_processor(path) == Processor(None, None, virtual=False)
    assert read_processor(tmp_path / "absent") == Processor(None, None, virtual=False)


def test_a_busy_loop_is_counted_in_busy_seconds() -> None:
    sensor = ModelledCpu()
    (first,) = sensor.read(time.monotonic_ns()).samples
    used_before_s = time.process_time()
    while time.process_time() - used_before_s < 0.5:
        pass
    (last,) = sensor.read(time.monotonic_ns()).samples
    busy_s = last.value - first.value
    elapsed_s = (last.t_ns - first.t_ns) / 1e9
    logical_cpus = sensor.devices[0].facts["logical_cpus"]
    # The kernel counts in hundredths of a second.
    assert 0.4 <= busy_s <= elapsed_s * logical_cpus + 0.02 * logical_cpus
    assert first.series.quantity is Quantity.CPU_BUSY


def test_busy_are_all_columns_but_those_of_waiting_and_of_others() -> None:
    told = b"cpu  100 20 300 4000 5000 60 70 800 90 10\ncpu0 1 1 1 1 1 1 1 1 1 1\nintr 5\n"
    assert busy_s(told) == (100 + 20 + 300 + 60 + 70) / os.sysconf("SC_CLK_TCK")
    times = psutil.cpu_times()
    theirs = times.user + times.nice + times.system + times.irq + times.softirq
    (sample,) = ModelledCpu().read(time.monotonic_ns()).samples
    assert sample.value == pytest.approx(theirs, abs=1.0)


def test_a_look_that_takes_long_is_followed_by_a_longer_pause() -> None:
    ms = 1_000_000
    assert [pause_ns(took) for took in (0, ms // 10, 2 * ms, 100 * ms)] == [
        45 * ms, 45 * ms, 400 * ms, 1000 * ms,
    ]  # fmt: skip


def test_it_is_new_at_every_tick() -> None:
    sensor = ModelledCpu()
    start_ns = time.monotonic_ns()
    ticks_ns = range(start_ns, start_ns + 1_000_000_000, 50_000_000)

    assert sum(len(sensor.read(tick).samples) for tick in ticks_ns) == 20


def test_the_device_is_marked_modelled_and_carries_its_rating() -> None:
    (device,) = ModelledCpu(cpu_watts=100.0).devices
    assert (device.kind, device.provenance) == (Kind.CPU, Provenance.MODELLED)
    facts = device.facts
    assert facts["watts_per_busy_cpu"] * facts["logical_cpus"] == pytest.approx(100.0)
    assert facts["watts_per_busy_cpu_low"] < facts["watts_per_busy_cpu"]
    assert facts["watts_per_busy_cpu"] < facts["watts_per_busy_cpu_high"]
    assert facts["rating_source"].startswith("stated with --cpu-watts")
