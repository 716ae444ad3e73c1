"""Whose turn it is when calls are cheap, and when each takes its time, in made-up time."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from vidmeter.meter.clock import Anchor
from vidmeter.meter.sensors.base import Reading
from vidmeter.meter.sensors.nvml_card import Card
from vidmeter.meter.sensors.nvml_turns import Turns
from vidmeter.meter.sensors.stamps import Clocks

S = 1_000_000_000
MS = 1_000_000


class World:
    """Time, which passes only by what is done."""

    now_ns = 1000 * S


@dataclass
class Call:
    """A source that takes its time; `reads` are when it was read, in s."""

    world: World
    every_ns: int = 0
    cost_s: float = 0.0
    power: bool = True
    at_end: bool = False
    reads: list[float] = field(default_factory=list)

    def read(self, clocks: Clocks, into: Reading) -> int:
        self.reads.append(self.world.now_ns / S)
        self.world.now_ns += round(self.cost_s * S)
        return 0


class Loop:
    """Ticks as the sampler makes them: at deadlines, those that went by left out."""

    def __init__(self, world: World, *cards: list[Call]) -> None:
        self.world = world
        self.turns = Turns(self.anchor(), lambda: world.now_ns)
        self.cards = [
            Card(f"GPU-{i}", calls, lambda calls=calls: calls) for i, calls in enumerate(cards)
        ]

    def anchor(self) -> Anchor:
        return Anchor(self.world.now_ns, self.world.now_ns + 10**18)

    def tick(self, *, catch_up: bool = False) -> float:
        """How long it took, s."""
        now_ns = self.world.now_ns
        self.turns.read(self.cards, now_ns, self.anchor(), catch_up=catch_up)
        return (self.world.now_ns - now_ns) / S

    def run(self, seconds: float, period_ns: int = 50 * MS) -> list[float]:
        """How long each tick took, s."""
        start_ns = deadline_ns = self.world.now_ns
        took = []
        while self.world.now_ns < start_ns + seconds * S:
            self.world.now_ns = max(self.world.now_ns, deadline_ns)
            deadline_ns += period_ns * (1 + (self.world.now_ns - deadline_ns) // period_ns)
            took.append(self.tick())
        return took


def states(world: World, cost_s: float) -> list[Call]:
    return [Call(world, S // 2, cost_s, power=False) for _ in range(8)]


def gaps(call: Call) -> list[float]:
    return [b - a for a, b in pairwise(call.reads)]


@pytest.mark.parametrize("period_ns", [50 * MS, 5 * MS])
@pytest.mark.parametrize("cost_s", [0.02, 0.05, 0.1])
def test_dear_calls_leave_ring_and_power_on_time_and_are_spread(
    cost_s: float, period_ns: int
) -> None:
    world, seconds = World(), 120.0
    ring, power, state = Call(world, S // 4, cost_s), Call(world, 0, cost_s), states(world, cost_s)

    took = Loop(world, [*state, power, ring]).run(seconds, period_ns)

    # Half the depth of the usual ring is 1.2 s; a reading of power is renewed every 100 ms.
    assert max(gaps(ring)) < 0.3 + 4 * cost_s
    assert max(gaps(power)) < 0.05 + 6 * cost_s
    assert cost_s * (len(ring.reads) + len(power.reads)) <= 0.5 * seconds + 0.1 + cost_s
    spent_s = cost_s * sum(len(call.reads) for call in state)
    # 20 ms are saved up at the start, and the last call may be paid for afterwards.
    assert 0.04 * seconds <= spent_s <= 0.05 * seconds + 0.02 + cost_s
    assert max(took) <= 0.026 + 1.01 * cost_s
    counts = [len(call.reads) for call in state]
    assert max(counts) - min(counts) <= 1


def test_cheap_calls_are_all_made_in_time() -> None:
    world = World()
    ring, power, state = Call(world, S // 4, 3e-5), Call(world, 0, 2e-5), states(world, 1e-5)
    took = Loop(world, [ring, power, *state]).run(9.95)
    assert (len(power.reads), len(ring.reads)) == (200, 40)
    assert {len(call.reads) for call in state} == {20}
    assert max(took) < 0.001


def test_a_stall_does_not_stop_the_readings_of_power_for_longer_than_it_lasted() -> None:
    world = World()
    power = Call(world, 0, 1.5)
    loop = Loop(world, [power])
    loop.tick()
    power.cost_s, ended_s = 0.0, world.now_ns / S
    loop.run(5)
    assert power.reads[1] - ended_s < 1.5


def test_at_the_end_of_a_window_power_is_read_whatever_it_costs() -> None:
    world = World()
    power, listing = Call(world, 0, 0.06), Call(world, 60 * S, power=False, at_end=True)
    loop = Loop(world, [power, listing, *states(world, 0.001)])
    for _ in range(10):
        world.now_ns += 10 * MS
        loop.tick(catch_up=True)
    assert (len(power.reads), len(listing.reads)) == (10, 1)
    world.now_ns += S
    loop.tick(catch_up=True)
    assert len(listing.reads) == 2


def test_of_eight_cards_none_is_starved_by_another() -> None:
    world = World()
    cards = [[Call(world, 0, 0.03), *states(world, 0.001)] for _ in range(8)]
    Loop(world, *cards).run(60)
    counts = [len(calls[0].reads) for calls in cards]
    assert min(counts) > 100
    assert max(counts) - min(counts) <= 2
