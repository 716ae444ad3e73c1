"""One GPU, tick by tick: what a driver's answers become, and what happens when they stop.

The calls come in as plain functions that return NVML's code, with their arguments bound before:
a tick must cost microseconds, and no exception. Milliwatts and millijoules end here.

Drivers stamp readings in wall-clock µs. A stamp is believed if it lies within ten seconds before
the call; a stamp inside the call is the query's own time, and then the middle of the call, taken
on the monotonic clock, serves as well.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from vidmeter.meter.clock import Anchor, monotonic_ns
from vidmeter.meter.sample import Quantity, Sample, Series
from vidmeter.meter.sensors.base import Fault, Reading
from vidmeter.meter.sensors.nvml_errors import DEAD, LOST, NOT_FOUND, SUCCESS, words

S = 1_000_000_000
_SLACK_NS = 5_000_000
"""A tick of the sampler that comes a little early still counts as the next."""
_OLDEST_NS = 10 * S
_NEWEST_NS = 5_000_000
_STEP_NS = 5_000_000
_STRIKES = 3
_LONGEST_WAIT_NS = 60 * S
_LOSS = 2.5
"""A gap of so many spacings in a ring that came back full: readings were overwritten."""
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


def place(stamp_us: int, clocks: Anchor, *, before_ns: int, after_ns: int) -> int | None:
    """The monotonic instant of a driver's stamp; None if the stamp can't be true.

    `before_ns` and `after_ns` enclose the call that brought it.
    """
    t_ns = clocks.to_monotonic(stamp_us * 1000)
    if t_ns > after_ns + _NEWEST_NS or t_ns < before_ns - _OLDEST_NS:
        return None
    return (before_ns + after_ns) // 2 if before_ns <= t_ns <= after_ns else t_ns


class Source(Protocol):
    """One call of the driver, how often it is worth making, and the series it brings."""

    every_ns: int

    def read(self, clocks: Anchor, into: Reading) -> int:
        """Ask, add what is new to `into`, and return the driver's code."""
        ...


class Fields:
    """Several fields with stamps of their own, by one call of nvmlDeviceGetFieldValues.

    `slots` are the driver's structures (nvmlFieldValue_t) that `call` fills, mW or mJ.
    """

    every_ns = 0

    def __init__(self, call: Callable[[], int], slots: Sequence[tuple[Any, Series]]) -> None:
        self._call = call
        # The union of a structure is looked up once; it shares the structure's memory.
        self._slots = [(slot, slot.value, series) for slot, series in slots]
        self._stamps = [0] * len(slots)
        self._values: list[float] = [-1.0] * len(slots)
        self._last_ns = [0] * len(slots)

    def read(self, clocks: Anchor, into: Reading) -> int:
        before_ns = monotonic_ns()
        code = self._call()
        after_ns = monotonic_ns()
        if code != SUCCESS:
            into.faults.extend(_failed(series, code) for _, _, series in self._slots)
            return code
        failed = []
        for i, (slot, union, series) in enumerate(self._slots):
            if slot.nvmlReturn != SUCCESS:
                into.faults.append(_failed(series, slot.nvmlReturn))
                failed.append(slot.nvmlReturn)
                continue
            stamp_us, value = slot.timestamp, number(union, slot.valueType)
            stood_still = stamp_us == self._stamps[i] != 0
            if stood_still and value == self._values[i]:
                continue
            t_ns = place(stamp_us, clocks, before_ns=before_ns, after_ns=after_ns)
            self._stamps[i], self._values[i] = (stamp_us if t_ns is not None else 0), value
            # A new value under an old stamp: the stamp is not that of the reading.
            if t_ns is None or stood_still:
                t_ns = (before_ns + after_ns) // 2
            if t_ns > self._last_ns[i]:
                self._last_ns[i] = t_ns
                _add(into, Sample(series, t_ns, value / 1000))
        gone = LOST.intersection(failed)
        if gone or len(failed) == len(self._slots):
            return min(gone or failed)
        return SUCCESS


class Getter:
    """One reading by a call of its own, stamped with the middle of the call."""

    def __init__(
        self,
        call: Callable[[], int],
        series: Series,
        value: Callable[[], float],
        *,
        every_ns: int,
    ) -> None:
        self.every_ns = every_ns
        self._call = call
        self._series = series
        self._value = value

    def read(self, clocks: Anchor, into: Reading) -> int:
        before_ns = monotonic_ns()
        code = self._call()
        after_ns = monotonic_ns()
        if code == SUCCESS:
            _add(into, Sample(self._series, (before_ns + after_ns) // 2, self._value()))
        else:
            into.faults.append(_failed(self._series, code))
        return code


class Ring:
    """The driver's own ring of stamped power samples, read as far as it is new.

    `ask` takes the stamp (µs) of the last one seen and returns NVML's code and the newer ones as
    (µs, mW); `depth` is how many the ring holds. The first read takes all that it holds.
    """

    every_ns = S // 4

    def __init__(
        self, series: Series, ask: Callable[[int], tuple[int, list[tuple[int, float]]]], depth: int
    ) -> None:
        self._series = series
        self._ask = ask
        self._depth = depth
        self._seen_us = 0
        self._last_ns: int | None = None
        self._offset_ns: int | None = None

    def read(self, clocks: Anchor, into: Reading) -> int:
        self._follow(clocks)
        code, entries = self._ask(self._seen_us)
        newest_ns = monotonic_ns() + _NEWEST_NS
        if code == NOT_FOUND:
            return SUCCESS
        if code != SUCCESS:
            into.faults.append(_failed(self._series, code))
            return code
        placed = []
        for stamp_us, value_mw in entries:
            t_ns = clocks.to_monotonic(stamp_us * 1000)
            # A stamp of the future is from before a step of the wall clock, or no stamp at all.
            if stamp_us > self._seen_us and t_ns <= newest_ns:
                placed.append((t_ns, value_mw))
                self._seen_us = stamp_us
        if self._last_ns is not None:
            self._report_loss(placed, len(entries), into)
        for t_ns, value_mw in placed:
            if self._last_ns is None or t_ns > self._last_ns:
                self._last_ns = t_ns
                _add(into, Sample(self._series, t_ns, value_mw / 1000))
        return code

    def _follow(self, clocks: Anchor) -> None:
        """When the wall clock was set back, "newer than the last" must start anew from now."""
        offset_ns = clocks.real_ns - clocks.monotonic_ns
        if self._offset_ns is not None and offset_ns < self._offset_ns - _STEP_NS:
            self._seen_us = min(self._seen_us, clocks.real_ns // 1000)
        self._offset_ns = offset_ns

    def _report_loss(self, placed: list[tuple[int, float]], count: int, into: Reading) -> None:
        if not 0 < self._depth <= count or len(placed) < 2 or self._last_ns is None:
            return
        spacing_ns = (placed[-1][0] - placed[0][0]) / (len(placed) - 1)
        gap_ns = placed[0][0] - self._last_ns
        if gap_ns > _LOSS * spacing_ns:
            detail = f"the driver overwrote {gap_ns / 1e6:.0f} ms of power samples before the read"
            into.faults.append(
                Fault("samples_lost", self._series.device, detail, self._series),
            )


class Card:
    """The sources of one GPU, each read when it is due, and the GPU's coming and going.

    A GPU that is lost is reported once, then tried again after 1, 2, 4 … 60 s.
    """

    def __init__(self, uuid: str, sources: Sequence[Source]) -> None:
        self.uuid = uuid
        self._sources = sources
        self._due_ns = [0] * len(sources)
        self._strikes = 0
        self._wait_ns = 0
        self._retry_ns = 0

    def read(self, now_ns: int, clocks: Anchor, into: Reading, *, catch_up: bool = False) -> None:
        """Add what is new to `into`; with `catch_up`, also from a ring that isn't due yet."""
        if self._wait_ns and now_ns < self._retry_ns:
            return
        faults_before = len(into.faults)
        codes = []
        for i, source in enumerate(self._sources):
            if now_ns >= self._due_ns[i] or (catch_up and source.every_ns <= Ring.every_ns):
                self._due_ns[i] = now_ns + source.every_ns - _SLACK_NS
                codes.append(source.read(clocks, into))
        lost = self._lost(codes)
        if lost is not None:
            del into.faults[faults_before:]
            if not self._wait_ns:
                into.faults.append(Fault("device_lost", self.uuid, words(lost)))
            self._wait_ns = min(2 * self._wait_ns or S, _LONGEST_WAIT_NS)
            self._retry_ns = now_ns + self._wait_ns - _SLACK_NS
            self._due_ns = [0] * len(self._sources)
        elif self._wait_ns and SUCCESS in codes:
            self._wait_ns = 0
            into.faults.append(Fault("device_back", self.uuid, "the GPU answers again"))

    def _lost(self, codes: list[int]) -> int | None:
        """The code that says that the GPU is gone; None while it is there."""
        for code in codes:
            if code in LOST:
                return code
        if not codes or any(code not in DEAD for code in codes):
            self._strikes = 0
            return None
        self._strikes += 1
        return codes[0] if self._wait_ns or self._strikes >= _STRIKES else None


def _add(into: Reading, sample: Sample) -> None:
    if sample.value == 0 and sample.series.quantity in _POWERS:
        detail = f"{sample.series.quantity} read exactly 0 W"
        fault = Fault("implausible", sample.series.device, detail, sample.series)
        into.faults.append(fault)
    else:
        into.samples.append(sample)


def _failed(series: Series, code: int) -> Fault:
    detail = f"{series.quantity} could not be read: {words(code)}"
    return Fault("read_failed", series.device, detail, series)
