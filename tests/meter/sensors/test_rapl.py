from pathlib import Path

import pytest

from vidmeter.meter.device import Kind, Provenance
from vidmeter.meter.errors import NoDevice
from vidmeter.meter.sample import Quantity
from vidmeter.meter.sensors.rapl import RaplSensor

INTEL_WRAP_UJ = 262_143_328_850


def domain(
    folder: Path, name: str, energy_uj: str | None, wrap_uj: int | None = INTEL_WRAP_UJ
) -> Path:
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    if energy_uj is None:
        # Opening works and reading fails, also for root, who may read any mere file.
        (folder / "energy_uj").symlink_to(folder)
    else:
        (folder / "energy_uj").write_text(f"{energy_uj}\n")
    if wrap_uj is not None:
        (folder / "max_energy_range_uj").write_text(f"{wrap_uj}\n")
    return folder


def energies(sensor: RaplSensor) -> dict[str, float]:
    reading = sensor.read(0)
    assert reading.faults == []
    return {sample.series.device: sample.value for sample in reading.samples}


def test_packages_and_their_memory_are_read_in_joules(tmp_path: Path) -> None:
    for socket in (0, 1):
        package = domain(
            tmp_path / f"intel-rapl:{socket}", f"package-{socket}", str(1_000_000 * (socket + 1))
        )
        domain(package / f"intel-rapl:{socket}:0", "core", "7")
        domain(package / f"intel-rapl:{socket}:1", "dram", "2500000")
    sensor = RaplSensor(tmp_path)
    assert energies(sensor) == {
        "cpu-package-0": 1.0,
        "dram-0": 2.5,
        "cpu-package-1": 2.0,
        "dram-1": 2.5,
    }
    kinds = [device.kind for device in sensor.devices]
    assert kinds == [Kind.CPU, Kind.DRAM, Kind.CPU, Kind.DRAM]
    assert {device.provenance for device in sensor.devices} == {Provenance.MEASURED}
    sensor.close()


def test_the_value_at_which_a_counter_wraps_goes_with_its_series(tmp_path: Path) -> None:
    domain(tmp_path / "intel-rapl:0", "package-0", "5", 65_532_610_987)
    domain(tmp_path / "intel-rapl:1", "package-1", "5", None)
    sensor = RaplSensor(tmp_path)
    series = [sample.series for sample in sensor.read(0).samples]
    assert [one.wrap for one in series] == [pytest.approx(65_532.610987), None]
    assert {one.quantity for one in series} == {Quantity.ENERGY}
    sensor.close()


def test_a_counter_is_read_anew_each_time(tmp_path: Path) -> None:
    package = domain(tmp_path / "intel-rapl:0", "package-0", "262143000000")
    sensor = RaplSensor(tmp_path)
    assert energies(sensor) == {"cpu-package-0": 262_143.0}
    (package / "energy_uj").write_text("12000000\n")
    assert energies(sensor) == {"cpu-package-0": 12.0}
    sensor.close()


def test_what_repeats_or_contains_a_package_is_ignored(tmp_path: Path) -> None:
    domain(tmp_path / "intel-rapl:0", "package-0", "1000000")
    domain(tmp_path / "intel-rapl:1", "psys", "9000000")
    domain(tmp_path / "intel-rapl-mmio:0", "package-0", "1000000")
    (tmp_path / "intel-rapl").mkdir()
    # The class folder of sysfs shows subdomains a second time, beside the packages.
    domain(tmp_path / "intel-rapl:0:0", "dram", "1000000")
    sensor = RaplSensor(tmp_path)
    assert [device.uuid for device in sensor.devices] == ["cpu-package-0"]
    sensor.close()


def test_the_dies_of_one_package_are_devices_of_their_own(tmp_path: Path) -> None:
    for die in (0, 1):
        package = domain(tmp_path / f"intel-rapl:{die}", f"package-0-die-{die}", "1000000")
        domain(package / f"intel-rapl:{die}:0", "dram", "1000000")
    sensor = RaplSensor(tmp_path)
    assert [device.uuid for device in sensor.devices] == [
        "cpu-package-0-die-0",
        "dram-0-die-0",
        "cpu-package-0-die-1",
        "dram-0-die-1",
    ]
    assert "die 1" in sensor.devices[2].scope
    sensor.close()


def test_ten_packages_are_listed_by_number(tmp_path: Path) -> None:
    for socket in range(11):
        domain(tmp_path / f"intel-rapl:{socket}", f"package-{socket}", "1")
    sensor = RaplSensor(tmp_path)
    assert [d.uuid for d in sensor.devices] == [f"cpu-package-{socket}" for socket in range(11)]
    sensor.close()


def test_one_unreadable_counter_is_left_out_and_named(tmp_path: Path) -> None:
    package = domain(tmp_path / "intel-rapl:0", "package-0", "1000000")
    domain(package / "intel-rapl:0:0", "dram", None)
    sensor = RaplSensor(tmp_path)
    assert energies(sensor) == {"cpu-package-0": 1.0}
    assert len(sensor.notes) == 1
    assert "dram-0" in sensor.notes[0]
    sensor.close()


def test_counters_for_root_alone_are_refused_with_the_remedy(tmp_path: Path) -> None:
    domain(tmp_path / "intel-rapl:0", "package-0", None)
    with pytest.raises(NoDevice, match=r"chmod a\+r"):
        RaplSensor(tmp_path)


@pytest.mark.parametrize("name", ["", "nothing/here"])
def test_a_machine_without_counters_is_refused_with_the_reason(tmp_path: Path, name: str) -> None:
    with pytest.raises(NoDevice, match="virtual machines and containers"):
        RaplSensor(tmp_path / name)


def test_a_counter_that_stops_is_a_fault_and_the_others_go_on(tmp_path: Path) -> None:
    first = domain(tmp_path / "intel-rapl:0", "package-0", "1000000")
    domain(tmp_path / "intel-rapl:1", "package-1", "2000000")
    sensor = RaplSensor(tmp_path)
    (first / "energy_uj").write_text("")
    reading = sensor.read(0)
    assert [sample.value for sample in reading.samples] == [2.0]
    assert [(fault.kind, fault.device) for fault in reading.faults] == [
        ("read_failed", "cpu-package-0")
    ]
    sensor.close()


def test_closing_lets_go_of_every_file(tmp_path: Path) -> None:
    domain(tmp_path / "intel-rapl:0", "package-0", "1000000")
    before = sorted(Path("/proc/self/fd").iterdir())
    sensor = RaplSensor(tmp_path)
    sensor.close()
    with pytest.raises(NoDevice):
        domain(tmp_path / "other/intel-rapl:0", "package-0", None)
        RaplSensor(tmp_path / "other")
    assert sorted(Path("/proc/self/fd").iterdir()) == before
