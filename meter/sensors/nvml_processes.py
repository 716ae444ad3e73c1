"""Who is on a card, as far as the driver tells: pids, their memory, how busy each keeps the card.

A list of processes is the dearest of NVML's calls: 4.5 ms on an RTX 4090 laptop, with a lock held
that programs need to submit work (MangoHud pull request 2104). So there is a look at the start,
then ever more seldom, down to every five seconds, and one at the end of a window. Whose processes
they are is not known here.
"""

from collections.abc import Callable, Sequence

from vidmeter.meter.sample import Quantity, Sample, Series
from vidmeter.meter.sensors.base import Look, Process, Reading, Use
from vidmeter.meter.sensors.nvml_errors import NOT_FOUND, SUCCESS
from vidmeter.meter.sensors.nvml_sources import S, failed
from vidmeter.meter.sensors.stamps import Clocks

SELDOM_NS = 5 * S
_FIRST_US = 1_000_000

Lists = Sequence[tuple[str, Callable[[], tuple[int, list[tuple[int, int | None]]]]]]
"""Sorts of processes, each with the call that returns NVML's code and (pid, bytes)."""
Activities = Callable[[int], tuple[int, list[tuple[int, int, int]]]]
"""Takes the last stamp seen and returns NVML's code and (pid, stamp, percent)."""


class Processes:
    """The processes of one card. `shared` is whether there were several at the last look."""

    power = False
    at_end = True
    every_ns = S

    def __init__(self, uuid: str, lists: Lists) -> None:
        self.shared = False
        self._uuid = uuid
        self._lists = lists
        self._count = Series(uuid, Quantity.PROCESSES)

    @property
    def series(self) -> tuple[Series, ...]:
        return (self._count,)

    def read(self, clocks: Clocks, into: Reading) -> int:
        now_ns = clocks.clock()
        self.every_ns = min(2 * self.every_ns, SELDOM_NS)
        found: dict[int, Process] = {}
        for sort, ask in self._lists:
            code, entries = ask()
            if code != SUCCESS:
                into.faults.append(failed(self._count, code))
                return code
            for pid, memory_b in entries:
                known = found.get(pid)
                if known is None or (memory_b or 0) > (known.memory_b or 0) or sort == "mps":
                    found[pid] = Process(pid, memory_b, sort)
        self.shared = len(found) > 1
        into.samples.append(Sample(self._count, now_ns, len(found)))
        into.looks.append(Look(self._uuid, now_ns, tuple(found.values())))
        return SUCCESS


class Activity:
    """How busy each process kept a card since the last look; asked only while they are several."""

    power = False
    at_end = False
    every_ns = S

    def __init__(self, uuid: str, ask: Activities, processes: Processes) -> None:
        self._uuid = uuid
        self._ask = ask
        self._processes = processes
        self._seen_us = 0

    @property
    def series(self) -> tuple[Series, ...]:
        return (Series(self._uuid, Quantity.OWN_SM), Series(self._uuid, Quantity.FOREIGN_SM))

    def read(self, clocks: Clocks, into: Reading) -> int | None:
        """The driver lists a process only for the periods in which it was active, so the sum of
        its percents is shared by all periods, which are as many as the busiest's.
        """
        if not self._processes.shared:
            return None
        now_ns = clocks.clock()
        now_us = clocks.now.to_real(now_ns) // 1000
        # Never from the future, where the wall clock was set back.
        code, entries = self._ask(min(self._seen_us or now_us - _FIRST_US, now_us))
        if code not in (SUCCESS, NOT_FOUND):
            into.faults.append(failed(Series(self._uuid, Quantity.OWN_SM), code))
            return code
        self._seen_us = max([stamp for _, stamp, _ in entries], default=now_us)
        sums: dict[int, list[int]] = {}
        for pid, _, percent in entries:
            sums.setdefault(pid, []).append(percent)
        periods = max(map(len, sums.values()), default=1)
        uses = tuple(Use(pid, sum(percents) / periods) for pid, percents in sums.items())
        into.looks.append(Look(self._uuid, now_ns, uses=uses))
        return SUCCESS
