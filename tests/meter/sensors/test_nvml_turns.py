"""Whose turn it is when calls are cheap, and when each takes its time."""

import time
from dataclasses import dataclass, field

import pytest

from vidmeter.meter.clock import anchor, monotonic_ns
from vidmeter.meter.sensors.base import Reading
from vidmeter.meter.sensors.nvml_card import Card
from vidmeter.meter.sensors.nvml_turns import Turns
from vidmeter.meter.sensors.stamps import Clocks

S = 1_000_000_000
MS = 1_000_000


@dataclass
class Call:
    """A source that takes its time; `reads` are when it was read, in s."""

    every_ns: int = 0
    cost_s: float = 0.0
    power: bool = True
    at_end: bool = False
    reads: list[float] = field(default_factory=list)

    def read(self, clocks: Clocks, into: Reading) -> int:
        self.reads.append(monotonic_ns() / S)
        time.sleep(self.cost_s)
        return 0


def states(cost_s: float) -> list[Call]:
    return [Call(S // 2, cost_s, power=False) for _ in range(8)]


def loop(calls: list[Call], seconds: float) -> list[float]:
    """Ticks at 20 Hz as the sampler makes them; how long each took, s."""
    turns, cards = Turns(anchor()), [Card("GPU-0", calls, lambda: calls)]
    start_ns = deadline_ns = monotonic_ns()
    took = []
    while (now_ns := monotonic_ns()) < start_ns + seconds * S:
        if now_ns < deadline_ns:
            time.sleep((deadline_ns - now_ns) / S)
            continue
        deadline_ns += 50 * MS * (1 + (now_ns - deadline_ns) // (50 * MS))
        turns.read(cards, now_ns, anchor())
        took.append((monotonic_ns() - now_ns) / S)
    return took


def gaps(call: Call) -> list[float]:
    return [b - a for a, b in zip(call.reads, call.reads[1:], strict=False)]


def test_calls_of_50_ms_leave_ring_and_power_on_time_and_are_spread() -> None:
    ring, power, state = Call(S // 4, 0.05), Call(0, 0.05), states(0.05)
    seconds = 6.0

    took = loop([*state, power, ring], seconds)

    # Half the depth of the usual ring is 1.2 s; a reading of power is renewed every 100 ms.
    assert max(gaps(ring)) < 0.6
    assert max(gaps(power)) < 0.35
    spent_power = 0.05 * (len(ring.reads) + len(power.reads))
    spent_state = 0.05 * sum(len(call.reads) for call in state)
    assert spent_power <= 0.5 * seconds + 0.2
    # 20 ms are saved up at the start, and the last call may be paid for afterwards.
    assert spent_state <= 0.05 * seconds + 0.07
    assert spent_state >= 0.05 * 0.05 * seconds
    assert sorted(took)[-2] < 0.13


def test_every_state_has_its_turn_when_all_are_dear() -> None:
    state = states(0.02)
    loop([Call(0, 0.001), *state], 4.5)
    counts = [len(call.reads) for call in state]
    assert min(counts) >= 1
    assert max(counts) - min(counts) <= 1


def test_cheap_calls_are_all_made_in_time() -> None:
    ring, power, state = Call(S // 4), Call(0), states(0.0)
    took = loop([ring, power, *state], 1.95)
    assert len(power.reads) == pytest.approx(39, abs=2)
    assert len(ring.reads) == pytest.approx(8, abs=1)
    assert {len(call.reads) for call in state} == {4}
    assert sum(took) < 0.2


def test_one_long_stall_does_not_stop_the_readings_of_power_for_longer() -> None:
    stall = Call(0, 0.8)
    turns, cards = Turns(anchor()), [Card("GPU-0", [stall], lambda: [stall])]
    for _ in range(2):
        turns.read(cards, monotonic_ns(), anchor())
    stall.cost_s, began = 0.0, monotonic_ns()
    while len(stall.reads) < 3:
        time.sleep(0.02)
        turns.read(cards, monotonic_ns(), anchor())
    assert (monotonic_ns() - began) / S < 2.2


def test_at_the_end_of_a_window_power_is_read_whatever_it_costs() -> None:
    power, listing, state = Call(0, 0.06), Call(60 * S, power=False, at_end=True), states(0.0)
    turns, cards = Turns(anchor()), [Card("GPU-0", [power, listing, *state], list)]
    now_ns = monotonic_ns()
    for i in range(10):
        turns.read(cards, now_ns + i * 10 * MS, anchor(), catch_up=True)
    assert (len(power.reads), len(listing.reads)) == (10, 1)
    turns.read(cards, now_ns + 2 * S, anchor(), catch_up=True)
    assert len(listing.reads) == 2


def test_of_two_cards_none_is_starved_by_the_other() -> None:
    calls = [Call(0, 0.03), Call(0, 0.03)]
    cards = [Card(f"GPU-{i}", [call], list) for i, call in enumerate(calls)]
    turns, start_ns = Turns(anchor()), monotonic_ns()
    while (now_ns := monotonic_ns()) < start_ns + 2 * S:
        turns.read(cards, now_ns, anchor())
        time.sleep(0.02)
    counts = [len(call.reads) for call in calls]
    assert min(counts) > 8
    assert max(counts) - min(counts) <= 2
