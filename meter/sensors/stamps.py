"""When a driver's stamp was: its wall-clock time on CLOCK_MONOTONIC, also across a step.

The wall clock may be set while a run goes on, and the machine may sleep (CLOCK_MONOTONIC stands
still then). What was stamped before and is read after belongs to the clocks of before. So the
offsets between both clocks are kept as eras, each with the span in which it can have held, and a
stamp is placed by an era whose span holds the instant that it gives.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vidmeter.meter.clock import Anchor, monotonic_ns

STEP_NS = 5_000_000
"""The clocks drift apart by less than this between two looks; more is a step, and a new era."""
NEWEST_NS = 5_000_000
"""A stamp may lie so far in the future: the clocks of driver and program are read one by one."""
_EDGE_NS = 1_000_000
_KEPT = 8


@dataclass(slots=True)
class _Era:
    """Wall clock minus CLOCK_MONOTONIC; it began after `begin_ns` and had ended by `end_ns`."""

    offset_ns: int
    begin_ns: int
    end_ns: int | None = None


class Clocks:
    """Both clocks as they are now, and as they were; `clock` reads CLOCK_MONOTONIC, ns."""

    def __init__(self, now: Anchor, clock: Callable[[], int] = monotonic_ns) -> None:
        self.now = now
        self.clock = clock
        self._eras = [_Era(now.real_ns - now.monotonic_ns, -(1 << 62))]

    def follow(self, now: Anchor) -> None:
        """Take in both clocks as they are now."""
        era, offset_ns = self._eras[-1], now.real_ns - now.monotonic_ns
        if abs(offset_ns - era.offset_ns) > STEP_NS:
            era.end_ns = now.monotonic_ns
            self._eras = [*self._eras[1 - _KEPT :], _Era(offset_ns, self.now.monotonic_ns)]
        else:
            era.offset_ns = offset_ns
        self.now = now

    def instants(self, stamp_us: int, newest_ns: int) -> list[int]:
        """Where a stamp can stand on CLOCK_MONOTONIC, by the clocks of now first; often once.

        None of them is later than `newest_ns`, but for what two clocks may differ.
        """
        found = []
        for era in reversed(self._eras):
            t_ns = stamp_us * 1000 - era.offset_ns
            end_ns = newest_ns + NEWEST_NS
            if era.end_ns is not None:
                end_ns = min(end_ns, era.end_ns + _EDGE_NS)
            if era.begin_ns - _EDGE_NS <= t_ns <= end_ns:
                found.append(t_ns)
        return found

    def stamps_after(self, t_ns: int) -> Iterator[int]:
        """The least stamps, µs, that what came after an instant can carry, by each era in play.

        Empty while the clocks have not stepped since.
        """
        eras = [era for era in self._eras if era.end_ns is None or era.end_ns > t_ns]
        if len(eras) > 1:
            for era in eras:
                yield (max(t_ns, era.begin_ns) + era.offset_ns) // 1000 - 1

    def age_ns(self, stamp_us: int, at_ns: int) -> int:
        """How old a stamp is at an instant by the clocks of now, believable or not."""
        return at_ns - self.now.to_monotonic(stamp_us * 1000)
