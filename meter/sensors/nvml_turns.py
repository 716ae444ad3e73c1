"""Whose turn it is: what a tick asks the driver, when a call may take microseconds or 50 ms.

Time with the driver is spent from two purses that fill as time passes: readings of energy may take
half of it, all others a twentieth. A call is made when it is due and its purse isn't empty, and is
paid for afterwards by what it cost; a dear one so waits for its purse to fill again. After 25 ms
nothing new is begun in a tick. Cheap calls never notice any of this.
"""

from collections.abc import Callable, Sequence

from vidmeter.meter.clock import Anchor, monotonic_ns
from vidmeter.meter.sensors.base import Reading
from vidmeter.meter.sensors.nvml_card import SLACK_NS, Card, Job
from vidmeter.meter.sensors.stamps import Clocks

POWER_SHARE, STATE_SHARE = 0.5, 0.05
_MS = 1_000_000
TURN_NS = 25 * _MS
"""What a tick may have spent for another call to be begun: half of the default period."""
_AGAIN_NS = 1_000_000_000


class Purse:
    """Time that may be spent: `share` of what passes, saved up to `most_ns`."""

    def __init__(self, share: float, *, most_ns: int, debt_ns: int) -> None:
        self.left_ns: float = most_ns
        self._share = share
        self._most_ns = most_ns
        self._debt_ns = debt_ns
        self._last_ns: int | None = None

    def fill(self, now_ns: int) -> None:
        """Add the share of the time that has passed."""
        if self._last_ns is not None:
            earned_ns = max(0, now_ns - self._last_ns) * self._share
            self.left_ns = min(self._most_ns, self.left_ns + earned_ns)
        self._last_ns = now_ns

    def pay(self, cost_ns: int) -> None:
        """Take out what a call cost, also more than there is."""
        self.left_ns = max(self.left_ns - cost_ns, -self._debt_ns)


class Turns:
    """Reads cards, each source when it is due and can be afforded.

    `clock` reads CLOCK_MONOTONIC, ns.
    """

    def __init__(self, clocks: Anchor, clock: Callable[[], int] = monotonic_ns) -> None:
        self._clocks = Clocks(clocks, clock)
        # One long stall must not stop the readings of energy for longer than it lasted.
        self._power = Purse(POWER_SHARE, most_ns=100 * _MS, debt_ns=1000 * _MS)
        self._state = Purse(STATE_SHARE, most_ns=20 * _MS, debt_ns=3_600_000 * _MS)

    def read(
        self,
        cards: Sequence[Card],
        now_ns: int,
        clocks: Anchor,
        *,
        catch_up: bool = False,
    ) -> Reading:
        """What is new of all cards; with `catch_up`, all readings of energy whatever they cost."""
        self._clocks.follow(clocks)
        self._power.fill(now_ns)
        self._state.fill(now_ns)
        for card in cards:
            card.begin(now_ns)
        jobs = [
            job
            for card in cards
            for job in card.jobs
            if now_ns >= job.due_ns or (catch_up and _wanted(job, now_ns))
        ]
        # What has waited longest comes first; the order of equals is that of the card.
        jobs.sort(key=lambda job: (not job.source.power, job.due_ns))
        spent_ns = 0
        for job in jobs:
            purse = self._power if job.source.power else self._state
            all_the_same = catch_up and job.source.power
            if not all_the_same and purse.left_ns <= 0:
                continue
            if not catch_up and spent_ns > TURN_NS:
                continue
            if job.card.failing:
                continue
            began_ns = self._clocks.clock()
            job.card.take(job, now_ns, self._clocks)
            cost_ns = self._clocks.clock() - began_ns
            spent_ns += cost_ns
            if not all_the_same:
                purse.pay(cost_ns)
        whole = Reading()
        for card in cards:
            card.end(now_ns, whole)
        return whole


def _wanted(job: Job, now_ns: int) -> bool:
    """Whether a reading is wanted though it isn't due, because a window has ended."""
    source = job.source
    return source.power or (source.at_end and now_ns >= job.read_ns + _AGAIN_NS - SLACK_NS)
