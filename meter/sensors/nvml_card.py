"""One GPU: its sources with their times, and its coming and going.

A GPU is lost when a call says so, or when every call fails as calls to a dead driver do, several
ticks in a row: that is what a container sees whose access was taken away. It is then opened anew
after 1, 2, 4 … 60 s, because handles of a driver that was reloaded lead nowhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vidmeter.meter.sensors.base import Fault, Reading
from vidmeter.meter.sensors.nvml_errors import DEAD, LOST, SUCCESS, words
from vidmeter.meter.sensors.nvml_sources import S, Source
from vidmeter.meter.sensors.stamps import Clocks

SLACK_NS = 5_000_000
"""A tick of the sampler that comes a little early still counts as the next."""
_STRIKES = 3
_LONGEST_WAIT_NS = 60 * S

Reopen = Callable[[], Sequence[Source] | int]
"""Opens a card anew: its sources, or the driver's code if it is still gone."""


@dataclass(slots=True)
class Job:
    """A source of a card, when it was read and when it is due."""

    card: "Card"
    source: Source
    due_ns: int = 0
    read_ns: int = -S


@dataclass(slots=True)
class Card:
    """The sources of one GPU. `lost` while it is gone."""

    uuid: str
    sources: Sequence[Source]
    reopen: Reopen
    lost: bool = False
    jobs: list[Job] = field(init=False)
    _reading: Reading = field(init=False, default_factory=Reading)
    _codes: list[int] = field(init=False, default_factory=list)
    _strikes: int = field(init=False, default=0)
    _wait_ns: int = field(init=False, default=0)
    _retry_ns: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._bind(self.sources)

    @property
    def failing(self) -> bool:
        """Whether a call of this tick has said that the GPU is gone."""
        return bool(self._codes) and self._codes[-1] in LOST

    def begin(self, now_ns: int) -> None:
        """Begin a tick; a GPU that is lost is opened anew if it is time for that."""
        self._reading, self._codes = Reading(), []
        if not self.lost or self.jobs or now_ns < self._retry_ns:
            return
        opened = self.reopen()
        if isinstance(opened, int):
            self._wait(now_ns)
        else:
            self._bind(opened)

    def take(self, job: Job, now_ns: int, clocks: Clocks) -> None:
        """Read one source."""
        job.read_ns = now_ns
        code = job.source.read(clocks, self._reading)
        if code is not None:
            self._codes.append(code)
        job.due_ns = now_ns + job.source.every_ns - SLACK_NS

    def end(self, now_ns: int, into: Reading) -> None:
        """End a tick: hand on what it brought, and see whether the GPU is still there."""
        gone = self._gone()
        into.samples.extend(self._reading.samples)
        into.looks.extend(self._reading.looks)
        if gone is None:
            into.faults.extend(self._reading.faults)
            if self.lost and SUCCESS in self._codes:
                self.lost, self._wait_ns = False, 0
                into.faults.append(Fault("device_back", self.uuid, "the GPU answers again"))
            return
        if not self.lost:
            into.faults.append(Fault("device_lost", self.uuid, words(gone)))
        self.lost, self.jobs = True, []
        self._wait(now_ns)

    def _bind(self, sources: Sequence[Source]) -> None:
        self.jobs = [Job(self, source) for source in sources]

    def _wait(self, now_ns: int) -> None:
        self._wait_ns = min(2 * self._wait_ns or S, _LONGEST_WAIT_NS)
        self._retry_ns = now_ns + self._wait_ns - SLACK_NS

    def _gone(self) -> int | None:
        """The code that says that the GPU is gone; None while it is there."""
        for code in self._codes:
            if code in LOST:
                return code
        if not self._codes:
            return None
        if any(code not in DEAD for code in self._codes):
            self._strikes = 0
            return None
        self._strikes += 1
        return self._codes[0] if self.lost or self._strikes >= _STRIKES else None
