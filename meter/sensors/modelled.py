"""The CPU where no sensor can be read: its busy time, and a range of watts per busy logical CPU.

Only busy seconds are recorded. The rating stands in the device's facts, so that joules = busy
seconds × watts can be computed later, as a range, and computed anew when a better rating is known.
A rating must be of this very processor (a name that matches exactly, and a thread count that is
the processor's own, which a virtual machine does not show) or of processors in general; nothing
in between is guessed.
"""

import csv
import importlib.util
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from vidmeter.meter.clock import monotonic_ns
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.errors import NoDevice
from vidmeter.meter.processor import Processor, normalized, read_processor
from vidmeter.meter.sample import Quantity, Sample, Series
from vidmeter.meter.sensors.base import Reading

_UUID = "cpu-modelled"
_SPREAD = 0.4
"""Ratings × load are off by up to 40 % against wall meters (Fischer, arXiv 2509.22092)."""


class Reference(NamedTuple):
    """A processor whose rating (`tdp_w`) and threads the vendor states, and where."""

    name: str
    tdp_w: float
    cores: int
    threads: int
    source: str


@dataclass(frozen=True, slots=True)
class Rating:
    """Watts per busy logical CPU: a middle, the range around it, and in words where it is from."""

    low_w: float
    middle_w: float
    high_w: float
    text: str
    source: str

    def facts(self) -> dict[str, Any]:
        """The rating as it stands in a device's facts."""
        return {
            "watts_per_busy_cpu_low": self.low_w,
            "watts_per_busy_cpu": self.middle_w,
            "watts_per_busy_cpu_high": self.high_w,
            "rating": self.text,
            "rating_source": self.source,
        }


def read_reference() -> tuple[Reference, ...]:
    """The table of well known processors that is shipped beside this file."""
    with Path(__file__).with_name("cpu_reference.csv").open(newline="") as table:
        return tuple(
            Reference(
                row["name"],
                float(row["tdp_w"]),
                int(row["cores"]),
                int(row["threads"]),
                row["source"],
            )
            for row in csv.DictReader(table)
        )


def codecarbon_ratings(model: str = "") -> dict[str, float]:
    """The rated watts of processors by normalized name, from codecarbon's data if it is installed.

    The file is read without importing codecarbon, which would load pandas. A name that stands
    there with different watts is left out. Only names that share the longest word of `model` are
    looked at: this is on the way of every start.
    """
    spec = importlib.util.find_spec("codecarbon")
    if spec is None or not spec.submodule_search_locations:
        return {}
    path = Path(spec.submodule_search_locations[0], "data", "hardware", "cpu_power.csv")
    if not path.exists():
        return {}
    word = max(normalized(model).split(), key=len, default="")
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    watts: dict[str, set[float]] = {}
    for row in csv.DictReader([header, *(line for line in lines if word in line.lower())]):
        try:
            watts.setdefault(normalized(row["Name"]), set()).add(float(row["TDP"]))
        except (KeyError, TypeError, ValueError):
            continue  # some rows of that table are damaged, such as "29.32.9"
    return {name: rated.pop() for name, rated in watts.items() if len(rated) == 1}


def rate(
    processor: Processor,
    reference: tuple[Reference, ...],
    ratings: Mapping[str, float],
    *,
    cpu_watts: float | None,
    logical_cpus: int,
) -> Rating:
    """Watts per busy logical CPU, from the best that is known.

    `cpu_watts` is what all `logical_cpus` of this machine draw at full load, as the user states
    it. Else the vendor's rating of this processor over its threads, else the range that the
    processors of `reference` span.
    """
    if cpu_watts is not None:
        if not (math.isfinite(cpu_watts) and cpu_watts > 0):
            raise NoDevice(f"--cpu-watts {cpu_watts:g}: give the watts at full load, more than 0")
        text = f"{cpu_watts:g} W stated for {logical_cpus} logical CPUs"
        return _around(cpu_watts / logical_cpus, text, "stated with --cpu-watts")
    name = normalized(processor.model or "")
    for known in reference:
        if normalized(known.name) == name:
            text = f"{known.name}: {known.tdp_w:g} W rated, {known.threads} threads"
            return _around(known.tdp_w / known.threads, text, known.source)
    tdp_w = ratings.get(name)
    threads = None if processor.virtual else processor.threads_per_socket
    if tdp_w and threads:
        text = f"{processor.model}: {tdp_w:g} W rated, {threads} threads"
        return _around(tdp_w / threads, text, "codecarbon, data/hardware/cpu_power.csv")
    return _generic(processor, reference, tdp_w=tdp_w)


def _around(middle_w: float, text: str, source: str) -> Rating:
    return Rating(
        middle_w * (1 - _SPREAD),
        middle_w,
        middle_w * (1 + _SPREAD),
        f"{text}, ± {_SPREAD:.0%}",
        f"{source}; range: arXiv 2509.22092",
    )


def _generic(
    processor: Processor, reference: tuple[Reference, ...], *, tdp_w: float | None
) -> Rating:
    least = min(reference, key=lambda known: known.tdp_w / known.threads)
    most = max(reference, key=lambda known: known.tdp_w / known.cores)
    low_w, high_w = least.tdp_w / least.threads, most.tdp_w / most.cores
    if tdp_w:
        why = f"a virtual machine does not show how many threads share the {tdp_w:g} W"
    else:
        why = f"no rating known for {processor.model or 'this processor'}"
    text = (
        f"{why}; {low_w:.2g} to {high_w:.2g} W per busy logical CPU, the range of"
        f" {len(reference)} common processors, from {least.name} by thread to {most.name} by core"
    )
    return Rating(low_w, math.sqrt(low_w * high_w), high_w, text, "vidmeter's cpu_reference.csv")


EVERY_NS = 45_000_000
LONGEST_NS = 1_000_000_000
PAUSES = 200
"""A look is followed by at least so many times what it took: 0.5 % of a core at most.

On machines with hundreds of CPUs the kernel takes milliseconds to sum up their interrupts."""
_TICKS = os.sysconf("SC_CLK_TCK")


class ModelledCpu:
    """The busy seconds of all logical CPUs, with the rating that turns them into a range of joules.

    `cpu_watts`: what the CPUs of this machine draw at full load, W, as stated by the user.
    """

    def __init__(self, cpu_watts: float | None = None) -> None:
        processor = read_processor()
        logical_cpus = os.cpu_count() or 1
        rating = rate(
            processor,
            read_reference(),
            {} if cpu_watts is not None else codecarbon_ratings(processor.model or ""),
            cpu_watts=cpu_watts,
            logical_cpus=logical_cpus,
        )
        device = Device(
            uuid=_UUID,
            name=processor.model or "CPU",
            kind=Kind.CPU,
            scope="processors by their busy time, all programs of this machine; no DRAM",
            provenance=Provenance.MODELLED,
            sensor="modelled",
            facts={"logical_cpus": logical_cpus, **rating.facts()},
        )
        self._devices = (device,)
        self._series = Series(_UUID, Quantity.CPU_BUSY)
        self._due_ns = 0
        try:
            self._stat = os.open("/proc/stat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise NoDevice(f"the CPUs' time can't be read: /proc/stat: {error.strerror}") from None

    notes = ()

    @property
    def devices(self) -> tuple[Device, ...]:
        """The one device: all processors of this machine together."""
        return self._devices

    def read(self, now_ns: int, *, catch_up: bool = False) -> Reading:
        """The busy seconds until now; the kernel counts in ticks of 10 ms, so not too often."""
        if now_ns < self._due_ns and not catch_up:
            return Reading()
        before_ns, worked_ns = monotonic_ns(), time.thread_time_ns()
        told = os.pread(self._stat, 512, 0)
        t_ns, took_ns = (before_ns + monotonic_ns()) // 2, time.thread_time_ns() - worked_ns
        self._due_ns = now_ns + pause_ns(took_ns)
        return Reading([Sample(self._series, t_ns, busy_s(told))])

    def close(self) -> None:
        """Let go of the kernel's file."""
        os.close(self._stat)


def pause_ns(took_ns: int) -> int:
    """How long to leave the kernel alone after a look that took so much of a core, ns."""
    return max(EVERY_NS, min(PAUSES * took_ns, LONGEST_NS))


def busy_s(stat: bytes) -> float:
    """The seconds for which all CPUs together were busy, from the first line of /proc/stat.

    Its columns (proc_stat(5)) are user, nice, system, idle, iowait, irq, softirq, steal, guest and
    guest_nice, in clock ticks. Guests are counted inside user and nice; waiting for I/O and stolen
    time burn nothing here.
    """
    user, nice, system, _, _, irq, softirq, *_ = stat.partition(b"\n")[0].split()[1:]
    return sum(map(int, (user, nice, system, irq, softirq))) / _TICKS
