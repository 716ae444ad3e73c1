"""The one seam to hardware: what a sensor promises, and how it reports what went wrong."""

from typing import NamedTuple, Protocol

from vidmeter.meter.device import Device
from vidmeter.meter.sample import Sample, Series


class Fault(NamedTuple):
    """Something that could not be read just now. A fault is data: it is stored with the run.

    `kind` is a word of a small vocabulary: `read_failed`, `device_lost`, `device_back`,
    `implausible`, `samples_lost`. The same fault, tick after tick, is stored once with its span
    and count.
    """

    kind: str
    device: str
    detail: str
    series: Series | None = None


class Reading(NamedTuple):
    """What one look at the hardware brought: new samples in time order, and faults."""

    samples: list[Sample]
    faults: list[Fault]


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
