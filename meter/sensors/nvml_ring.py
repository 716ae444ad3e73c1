"""The driver's own ring of power samples: emptied in time, nothing of it lost or taken twice.

It is asked for what is newer than the last stamp seen. Where the wall clock was set in between, it
is asked for more, and what has been taken before is told by its stamp.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

from vidmeter.meter.sample import Sample, Series
from vidmeter.meter.sensors.base import Fault, Reading
from vidmeter.meter.sensors.nvml_errors import NOT_FOUND, SUCCESS
from vidmeter.meter.sensors.nvml_sources import Memory, S, add, failed
from vidmeter.meter.sensors.stamps import Clocks

_SAME_NS = 100_000
"""Two samples that are closer are the same one, placed by clocks read at two instants."""
_LOSS = 2.5
"""A gap of so many spacings in a ring that came back full: readings were overwritten."""


class Ring:
    """The driver's own ring of stamped power samples, read as far as it is new.

    `ask` takes the stamp (µs) of the last one seen and returns NVML's code and the newer ones as
    (µs, mW); `depth` is how many the ring holds. The first read takes all that it holds. It is
    drained when half of it can be new at the latest.
    """

    power = True
    at_end = False
    every_ns = S // 4

    def __init__(
        self,
        series: Series,
        ask: Callable[[int], tuple[int, list[tuple[int, float]]]],
        depth: int,
        memory: Memory,
        *,
        ages: Series | None = None,
    ) -> None:
        self._series = series
        self._ask = ask
        self._depth = depth
        self._memory = memory
        self._ages = ages
        self._seen_us = 0
        self._keep = max(256, 2 * depth)
        self._recent: dict[tuple[int, float], None] = {}
        self._spacing_ns = 0.0

    @property
    def series(self) -> tuple[Series, ...]:
        return (self._series,)

    def read(self, clocks: Clocks, into: Reading) -> int:
        last_ns = self._memory.newest_ns.get(self._series)
        code, entries = self._ask(self._from_us(clocks, last_ns))
        if code == NOT_FOUND:
            return SUCCESS
        if code != SUCCESS:
            into.faults.append(failed(self._series, code))
            return code
        placed = self._place(entries, clocks, last_ns)
        if not placed:
            return code
        self._measure(placed)
        if last_ns is not None:
            self._report_loss(placed, len(entries), last_ns, into)
        for t_ns, stamp_us, value_mw in placed:
            self._recent[stamp_us, value_mw] = None
            add(Sample(self._series, t_ns, value_mw / 1000), self._memory, into)
        while len(self._recent) > self._keep:
            del self._recent[next(iter(self._recent))]
        self._memory.newest_ns[self._series], self._seen_us, _ = placed[-1]
        if self._ages is not None:
            self._memory.note_age(self._ages, self._seen_us, clocks, into)
        return code

    def _from_us(self, clocks: Clocks, last_ns: int | None) -> int:
        """The stamp to ask from: of the last sample, or lower where the wall clock was set."""
        if last_ns is None or not self._seen_us:
            return 0
        return min([self._seen_us, *clocks.stamps_after(last_ns)])

    def _place(
        self, entries: Sequence[tuple[int, float]], clocks: Clocks, last_ns: int | None
    ) -> list[tuple[int, int, float]]:
        """What is new, as instant, stamp and mW in time order."""
        newest_ns = clocks.clock()
        floor_ns = -(1 << 62) if last_ns is None else last_ns + _SAME_NS
        near_ns = None if last_ns is None else last_ns + self._spacing_ns
        placed = []
        for stamp_us, value_mw in entries:
            if (stamp_us, value_mw) in self._recent:
                continue
            # A stamp of the future is from clocks that nobody has seen, or no stamp at all.
            found = [t for t in clocks.instants(stamp_us, newest_ns) if t >= floor_ns]
            if found:
                t_ns = found[0] if near_ns is None else _nearest(found, near_ns)
                near_ns = t_ns + self._spacing_ns
                placed.append((t_ns, stamp_us, value_mw))
        placed.sort()
        return placed

    def _measure(self, placed: Sequence[tuple[int, int, float]]) -> None:
        if len(placed) > 2:
            gaps = sorted(b[0] - a[0] for a, b in pairwise(placed))
            self._spacing_ns = gaps[len(gaps) // 2]
        if self._depth and self._spacing_ns:
            self.every_ns = min(Ring.every_ns, round(self._depth * self._spacing_ns / 2))

    def _report_loss(
        self, placed: Sequence[tuple[int, int, float]], count: int, last_ns: int, into: Reading
    ) -> None:
        if not 0 < self._depth <= count or len(placed) < 2:
            return
        spacing_ns = (placed[-1][0] - placed[0][0]) / (len(placed) - 1)
        gap_ns = placed[0][0] - last_ns
        if gap_ns > _LOSS * spacing_ns:
            detail = f"the driver overwrote {gap_ns / 1e6:.0f} ms of power samples before the read"
            into.faults.append(
                Fault("samples_lost", self._series.device, detail, self._series, last_ns),
            )


def _nearest(instants: Sequence[int], near_ns: float) -> int:
    return min(instants, key=lambda t_ns: abs(t_ns - near_ns))
