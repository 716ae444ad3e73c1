"""The calls of a driver, and the samples that their answers become.

The calls come in as plain functions that return NVML's code, with their arguments bound before:
a tick must cost microseconds, and no exception. Milliwatts, millijoules and nanoseconds end here.

Drivers stamp readings in wall-clock µs. A stamp is believed if it lies within ten seconds before
the call; a stamp inside the call is the query's own time, and then the middle of the call, taken
on the monotonic clock, serves as well.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from vidmeter.meter.sample import Quantity, Sample, Series
from vidmeter.meter.sensors.base import Fault, Reading
from vidmeter.meter.sensors.nvml_counter import CounterWatch
from vidmeter.meter.sensors.nvml_errors import LOST, SUCCESS, words
from vidmeter.meter.sensors.stamps import Clocks

S = 1_000_000_000
_SET_BACK_NS = 1_000_000_000
"""A stamp so much older than the one before is of a driver's clock that was set by itself."""
_OLDEST_NS = 10 * S
_POWERS = frozenset(
    {
        Quantity.POWER_RING,
        Quantity.POWER_INSTANT,
        Quantity.POWER_AVERAGE,
        Quantity.POWER_USAGE,
    }
)
_MEMBERS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
"""The member of NVML's value union, by nvmlValueType_t."""


def number(union: Any, value_type: int) -> float:
    """What NVML's value union holds, by its type (nvmlValueType_t in nvml.h)."""
    value: float = getattr(union, _MEMBERS[value_type])
    return value


class Source(Protocol):
    """One call of the driver, or a few, and how often it is worth making.

    `power` says that it tells of energy: it comes before all others, and at the end of a window.
    `at_end` says that it is worth making at the end of a window if the last is a second old.
    """

    every_ns: int
    power: bool
    at_end: bool

    @property
    def series(self) -> tuple[Series, ...]:
        """What it brings."""
        ...

    def read(self, clocks: Clocks, into: Reading) -> int | None:
        """Ask, add what is new to `into`, and return the driver's code; None if it wasn't asked."""
        ...


@dataclass(slots=True)
class Memory:
    """What of a card outlives its being lost: no sample comes twice, no reset goes unseen.

    `age` is the series that holds the age of the newest stamp; None until a source takes it.
    """

    counter: CounterWatch
    newest_ns: dict[Series, int] = field(default_factory=dict)
    next_age_ns: int = 0

    def note_age(self, series: Series, stamp_us: int, clocks: Clocks, into: Reading) -> None:
        """Once a second: how old the newest stamp was when it came, s."""
        now_ns = clocks.clock()
        if stamp_us and now_ns >= self.next_age_ns:
            self.next_age_ns = now_ns + S
            age_s = clocks.age_ns(stamp_us, now_ns) / S
            into.samples.append(Sample(series, now_ns, age_s))


class Fields:
    """Several fields with stamps of their own, by one call of nvmlDeviceGetFieldValues.

    `slots` are the driver's structures (nvmlFieldValue_t) that `call` fills, each with its series
    and what a unit of it is in the series' unit. `ages` has the ages of their stamps noted.
    """

    at_end = False

    def __init__(
        self,
        call: Callable[[], int],
        slots: Sequence[tuple[Any, Series]],
        memory: Memory,
        *,
        every_ns: int = 0,
        unit: float = 1e-3,
        power: bool = True,
        ages: Series | None = None,
    ) -> None:
        self.every_ns = every_ns
        self.power = power
        self._call = call
        self._per_unit = round(1 / unit)
        self._memory = memory
        self._ages = ages
        # The union of a structure is looked up once; it shares the structure's memory.
        self._slots = [(slot, slot.value, series) for slot, series in slots]
        self._stamps = [0] * len(slots)
        self._values: list[float] = [-1.0] * len(slots)

    @property
    def series(self) -> tuple[Series, ...]:
        return tuple(series for _, _, series in self._slots)

    def read(self, clocks: Clocks, into: Reading) -> int:
        before_ns = clocks.clock()
        code = self._call()
        after_ns = clocks.clock()
        if code != SUCCESS:
            into.faults.extend(failed(series, code) for _, _, series in self._slots)
            return code
        refused = []
        for i, (slot, union, series) in enumerate(self._slots):
            if slot.nvmlReturn != SUCCESS:
                into.faults.append(failed(series, slot.nvmlReturn))
                refused.append(slot.nvmlReturn)
                continue
            stamp_us, value = slot.timestamp, number(union, slot.valueType)
            stood_still = stamp_us == self._stamps[i] != 0
            if stood_still and value == self._values[i]:
                continue
            newest_ns = self._memory.newest_ns.get(series, 0)
            t_ns = place(
                stamp_us, clocks, before_ns=before_ns, after_ns=after_ns, last_ns=newest_ns
            )
            self._stamps[i], self._values[i] = (stamp_us if t_ns is not None else 0), value
            # A new value under an old stamp: the stamp is not that of the reading.
            if t_ns is None or stood_still or t_ns < newest_ns - _SET_BACK_NS:
                t_ns = (before_ns + after_ns) // 2
            if self._ages is not None and not stood_still:
                self._memory.note_age(self._ages, stamp_us, clocks, into)
            if t_ns > newest_ns:
                self._memory.newest_ns[series] = t_ns
                add(Sample(series, t_ns, value / self._per_unit), self._memory, into)
        gone = LOST.intersection(refused)
        if gone or len(refused) == len(self._slots):
            return min(gone or refused)
        return SUCCESS


class Getter:
    """One reading by a call of its own, stamped with the middle of the call."""

    at_end = False

    def __init__(
        self,
        call: Callable[[], int],
        series: Series,
        value: Callable[[], float],
        memory: Memory,
        *,
        every_ns: int,
    ) -> None:
        self.every_ns = every_ns
        self.power = every_ns == 0
        self._call = call
        self._series = series
        self._value = value
        self._memory = memory

    @property
    def series(self) -> tuple[Series, ...]:
        return (self._series,)

    def read(self, clocks: Clocks, into: Reading) -> int:
        before_ns = clocks.clock()
        code = self._call()
        after_ns = clocks.clock()
        if code == SUCCESS:
            sample = Sample(self._series, (before_ns + after_ns) // 2, self._value())
            add(sample, self._memory, into)
        else:
            into.faults.append(failed(self._series, code))
        return code


def place(
    stamp_us: int, clocks: Clocks, *, before_ns: int, after_ns: int, last_ns: int = 0
) -> int | None:
    """The monotonic instant of a driver's stamp; None if the stamp can't be true.

    `before_ns` and `after_ns` enclose the call that brought it, `last_ns` is the last one's.
    """
    found = [t for t in clocks.instants(stamp_us, after_ns) if t >= before_ns - _OLDEST_NS]
    if not found:
        return None
    t_ns = next((t for t in found if t > last_ns), found[0])
    return (before_ns + after_ns) // 2 if before_ns <= t_ns <= after_ns else t_ns


def add(sample: Sample, memory: Memory, into: Reading) -> None:
    """Take a sample, or say why not: no card that answers draws exactly 0 W."""
    if sample.value == 0 and sample.series.quantity in _POWERS:
        detail = f"{sample.series.quantity} read exactly 0 W"
        fault = Fault("implausible", sample.series.device, detail, sample.series)
        into.faults.append(fault)
        return
    if sample.series.quantity is Quantity.ENERGY:
        memory.counter.watch(sample, into)
    into.samples.append(sample)


def failed(series: Series, code: int) -> Fault:
    """The fault of a reading that answered a code."""
    detail = f"{series.quantity} could not be read: {words(code)}"
    return Fault("read_failed", series.device, detail, series)
