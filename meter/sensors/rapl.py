"""CPU packages and their DRAM by RAPL, through the kernel's powercap tree (Intel and AMD alike).

Raw counters are handed on, with the value at which each wraps; at full load some wrap within five
minutes. Only `intel-rapl` is read: `intel-rapl-mmio` shows the same package a second time, and
`psys` contains the packages. The kernel lets root alone read the counters since CVE-2020-8694.
"""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from vidmeter.meter.clock import monotonic_ns
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.errors import NoDevice
from vidmeter.meter.processor import read_processor
from vidmeter.meter.sample import Quantity, Sample, Series
from vidmeter.meter.sensors.base import Fault, Reading

POWERCAP = Path("/sys/class/powercap")
_J_PER_UJ = 1e-6


class _Domain(NamedTuple):
    """A counter in the tree, and what it is the counter of."""

    path: Path
    uuid: str
    kind: Kind
    scope: str


class RaplSensor:
    """The energy counters of CPU packages and DRAM below `root`, J.

    Raises `NoDevice` where there is none, or none that may be read. `notes` names the counters
    that are there and were left out.
    """

    notes: tuple[str, ...]

    def __init__(self, root: Path = POWERCAP) -> None:
        domains = _domains(root)
        if not domains:
            raise NoDevice(
                f"no CPU energy counters (RAPL) in {root}: virtual machines and containers have"
                " none as a rule, elsewhere the kernel module intel_rapl_msr provides them"
            )
        name = read_processor().model or "CPU"
        self._devices: tuple[Device, ...] = ()
        self._counters: list[tuple[int, Series]] = []
        notes = []
        with ExitStack() as opened:
            for domain in domains:
                try:
                    counter = _open(domain.path / "energy_uj")
                except OSError as error:
                    notes.append(f"{domain.uuid} is left out: {error.strerror}: {domain.path}")
                    continue
                opened.callback(os.close, counter)
                wrap_uj = _number(domain.path / "max_energy_range_uj")
                wrap_j = None if wrap_uj is None else wrap_uj * _J_PER_UJ
                self._counters.append((counter, Series(domain.uuid, Quantity.ENERGY, wrap=wrap_j)))
                device = Device(
                    domain.uuid, name, domain.kind, domain.scope, Provenance.MEASURED, "rapl"
                )
                self._devices += (device,)
            if not self._counters:
                raise NoDevice(
                    f"the CPU energy counters (RAPL) in {root} may be read by root only: run as"
                    " root, or let an administrator do"
                    f" `chmod a+r {root}/intel-rapl:*/energy_uj` (a udev rule makes it last)"
                )
            self._close = opened.pop_all().close
        self.notes = tuple(notes)

    @property
    def devices(self) -> tuple[Device, ...]:
        """Packages, each followed by its DRAM."""
        return self._devices

    def read(self, now_ns: int, *, catch_up: bool = False) -> Reading:
        """One value of each counter, J, not unwrapped."""
        reading = Reading([], [])
        for counter, series in self._counters:
            t_ns = monotonic_ns()
            try:
                value_j = int(os.pread(counter, 64, 0)) * _J_PER_UJ
            except (OSError, ValueError) as error:
                fault = Fault("read_failed", series.device, f"RAPL counter: {error}", series)
                reading.faults.append(fault)
            else:
                reading.samples.append(Sample(series, t_ns, value_j))
        return reading

    def close(self) -> None:
        """Close the counters' files."""
        self._counters = []
        self._close()


def _open(path: Path) -> int:
    """A descriptor of a counter that has been read once; opening alone may not show a refusal."""
    counter = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.pread(counter, 64, 0)
    except OSError:
        os.close(counter)
        raise
    return counter


def _domains(root: Path) -> list[_Domain]:
    found: list[_Domain] = []
    packages = sorted(_below(root, levels=1), key=lambda path: int(path.name.split(":")[1]))
    for path in packages:
        package = _text(path / "name")
        if package is None or not package.startswith("package"):
            continue
        where = package.replace("package-", "package ").replace("-die-", ", die ")
        cpu = _Domain(path, f"cpu-{package}", Kind.CPU, f"CPU {where}: cores, caches, controllers")
        found.append(cpu)
        found += [
            _Domain(
                child,
                package.replace("package", "dram", 1),
                Kind.DRAM,
                f"memory attached to CPU {where}",
            )
            for child in sorted(_below(path, levels=2))
            if _text(child / "name") == "dram"
        ]
    return found


def _below(folder: Path, *, levels: int) -> list[Path]:
    return [path for path in folder.glob("intel-rapl:*") if path.name.count(":") == levels]


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text and text.isdecimal() else None
