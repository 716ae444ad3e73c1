"""The one seam to hardware: what a sensor promises, and how it reports what went wrong."""

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from vidmeter.meter.device import Device
from vidmeter.meter.sample import Sample, Series


class Fault(NamedTuple):
    """Something that could not be read just now. A fault is data: it is stored with the run.

    `kind` is a word of a small vocabulary: `read_failed`, `device_lost`, `device_back`,
    `implausible`, `samples_lost`, `counter_reset`, `counter_jump`. The same fault, tick after
    tick, is stored once with its span and count. `since_ns` is where the trouble began if that was
    before the reading that showed it.
    """

    kind: str
    device: str
    detail: str
    series: Series | None = None
    since_ns: int | None = None


class Process(NamedTuple):
    """A process that has a context on a card; `memory_b` of the card's memory, if that is known.

    `sort` is `compute`, `graphics` or `mps` (a client of the Multi-Process Service).
    """

    pid: int
    memory_b: int | None
    sort: str


class Use(NamedTuple):
    """The share of the time in which a process kept a card's multiprocessors busy, in percent."""

    pid: int
    sm_pct: float


@dataclass(frozen=True, slots=True)
class Look:
    """Who is on a card at an instant of CLOCK_MONOTONIC, and how busy each kept it since the last.

    Either is None where it was not asked for; pids are those that the driver names.
    """

    device: str
    t_ns: int
    processes: tuple[Process, ...] | None = None
    uses: tuple[Use, ...] | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What one look at the hardware brought: samples in time order, faults, and who was there."""

    samples: list[Sample] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)


class Sensor(Protocol):
    """A source of readings for one or several devices.

    Opening it (the constructor) raises `NoDevice` when there is nothing to read. It never changes
    a setting of the hardware and needs no privileges.
    """

    @property
    def devices(self) -> tuple[Device, ...]:
        """The devices it reads, in display order; fixed from opening to closing."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about what is read, one sentence each."""
        ...

    def read(self, now_ns: int, *, catch_up: bool = False) -> Reading:
        """All that is new since the last call; `now_ns` is the monotonic time of the call.

        Called at every tick of the sampler. Readings that are dear or change slowly are taken at
        a slower rate of the sensor's own; with `catch_up`, those that tell of energy are taken all
        the same, because a window has ended. Never raises for trouble with the hardware: that is a
        `Fault`. A series that the device doesn't offer yields no samples, ever.
        """
        ...

    def close(self) -> None:
        """Let go of the hardware."""
        ...
