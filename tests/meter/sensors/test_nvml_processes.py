"""How often a card is asked who is on it, and how busy each keeps it."""

from dataclasses import dataclass, field

from vidmeter.meter.clock import Anchor
from vidmeter.meter.sample import Quantity
from vidmeter.meter.sensors import nvml_card
from vidmeter.meter.sensors.base import Look, Process, Reading, Use
from vidmeter.meter.sensors.nvml_processes import Activity, Processes
from vidmeter.meter.sensors.nvml_turns import Turns
from vidmeter.meter.sensors.stamps import Clocks

S = 1_000_000_000
MS = 1_000_000
OFFSET = 10**18


@dataclass
class Card:
    """Lists of processes, and a driver's memory of their activity as (pid, stamp, percent)."""

    compute: list[tuple[int, int | None]] = field(default_factory=list)
    graphics: list[tuple[int, int | None]] = field(default_factory=list)
    mps: list[tuple[int, int | None]] = field(default_factory=list)
    activity: list[tuple[int, int, int]] = field(default_factory=list)
    code: int = 0
    now_ns: int = 1000 * S
    asked: list[float] = field(default_factory=list)

    def sources(self) -> tuple[Processes, Activity]:
        def compute() -> tuple[int, list[tuple[int, int | None]]]:
            self.asked.append(self.now_ns / S - 1000)
            return self.code, self.compute

        def activity(seen_us: int) -> tuple[int, list[tuple[int, int, int]]]:
            now_us = (OFFSET + self.now_ns) // 1000
            newer = [one for one in self.activity if seen_us < one[1] <= now_us]
            return (0, newer) if newer else (6, [])

        lists = [
            ("compute", compute),
            ("graphics", lambda: (0, self.graphics)),
            ("mps", lambda: (0, self.mps)),
        ]
        processes = Processes("GPU-0", lists)
        return processes, Activity("GPU-0", activity, processes)

    def run(self, seconds: float) -> list[Look]:
        """The looks of a loop at 20 Hz."""
        sources = self.sources()
        turns = Turns(self.anchor(), lambda: self.now_ns)
        cards = [nvml_card.Card("GPU-0", sources, lambda: sources)]
        looks, end_ns = [], self.now_ns + round(seconds * S)
        while self.now_ns < end_ns:
            looks += turns.read(cards, self.now_ns, self.anchor()).looks
            self.now_ns += 50 * MS
        return looks

    def anchor(self) -> Anchor:
        return Anchor(self.now_ns, self.now_ns + OFFSET)


def test_there_is_a_look_at_once_and_then_ever_more_seldom_down_to_five_seconds() -> None:
    card = Card(compute=[(7, 1)])
    card.run(30)
    assert [round(at, 2) for at in card.asked] == [0, 2, 6, 11, 16, 21, 26]


def test_each_process_is_listed_once_with_the_most_that_any_list_says_of_it() -> None:
    card = Card(compute=[(7, 100), (8, None)], graphics=[(7, 300), (9, 5)], mps=[(8, 50)])
    reading = Reading()
    card.sources()[0].read(Clocks(Anchor(0, 0), lambda: 5), reading)

    (look,) = reading.looks
    assert look.processes == (
        Process(7, 300, "graphics"),
        Process(8, 50, "mps"),
        Process(9, 5, "graphics"),
    )
    (count,) = reading.samples
    assert (count.series.quantity, count.value) == (Quantity.PROCESSES, 3)


def test_activity_is_asked_once_a_second_and_only_while_the_card_is_shared() -> None:
    alone, shared = Card(compute=[(7, 1)]), Card(compute=[(7, 1), (8, 1)])
    assert all(look.uses is None for look in alone.run(12))
    looks = shared.run(10)
    assert len([look for look in looks if look.uses is not None]) == 10
    assert len([look for look in looks if look.processes is not None]) == 3


def test_a_process_that_was_active_in_one_period_of_five_has_a_fifth() -> None:
    card = Card(compute=[(7, 1), (8, 1)])
    start_us = (OFFSET + 1000 * S) // 1000
    for period in range(50):
        stamp_us = start_us + period * 200_000
        card.activity.append((7, stamp_us, 80))
        if period % 5 == 4:
            card.activity.append((8, stamp_us, 50))

    looks = card.run(5)

    uses = [look.uses for look in looks if look.uses][1:]
    assert len(uses) == 4
    assert all(set(one) == {Use(7, 80.0), Use(8, 10.0)} for one in uses)


def test_a_list_that_fails_is_a_fault_and_no_empty_card() -> None:
    card = Card(code=999)
    reading = Reading()
    code = card.sources()[0].read(Clocks(Anchor(0, 0), lambda: 5), reading)
    assert code == 999
    assert (reading.samples, reading.looks) == ([], [])
    assert [fault.kind for fault in reading.faults] == ["read_failed"]
