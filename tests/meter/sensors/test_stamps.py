"""Drivers' stamps on CLOCK_MONOTONIC, also across steps of the wall clock, in made-up time."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidmeter.meter.clock import Anchor
from vidmeter.meter.sample import Quantity, Sample, Series
from vidmeter.meter.sensors.base import Reading
from vidmeter.meter.sensors.nvml_counter import CounterWatch
from vidmeter.meter.sensors.nvml_ring import Ring
from vidmeter.meter.sensors.nvml_sources import Fields, Memory
from vidmeter.meter.sensors.stamps import Clocks

S = 1_000_000_000
MS = 1_000_000
RING = Series("GPU-0", Quantity.POWER_RING)
AGE = Series("GPU-0", Quantity.STAMP_AGE)
INSTANT = Series("GPU-0", Quantity.POWER_INSTANT)


@dataclass
class World:
    """A machine whose wall clock is set at some instants, and a driver that stamps by it.

    `steps` are (ns, ns): when, and by how much. The driver takes a sample every `spacing_ns` and
    keeps the last `depth`; the value of each is its true time in ms.
    """

    steps: list[tuple[int, int]]
    spacing_ns: int = 20 * MS
    depth: int = 120
    phase_ns: int = 0
    now_ns: int = 1000 * S
    memory: Memory = field(default_factory=lambda: Memory(CounterWatch()))

    def offset_ns(self, t_ns: int) -> int:
        return 10**18 + sum(by for at, by in self.steps if at <= t_ns)

    def anchor(self) -> Anchor:
        return Anchor(self.now_ns, self.now_ns + self.offset_ns(self.now_ns))

    def stamps(self) -> list[tuple[int, float]]:
        newest = (self.now_ns - self.phase_ns) // self.spacing_ns
        times = [
            i * self.spacing_ns + self.phase_ns for i in range(newest - self.depth + 1, newest + 1)
        ]
        return [((t + self.offset_ns(t)) // 1000, t / MS * 1000) for t in times]

    def ask(self, seen_us: int) -> tuple[int, list[tuple[int, float]]]:
        newer = [one for one in self.stamps() if one[0] > seen_us]
        return (0, newer) if newer else (6, [])

    def run(self, seconds: float, tick_ns: int = 50 * MS) -> list[Sample]:
        """What a ring brings that is read when it is due."""
        ring = Ring(RING, self.ask, self.depth, self.memory)
        clocks = Clocks(self.anchor(), lambda: self.now_ns)
        samples: list[Sample] = []
        due_ns = 0
        for _ in range(round(seconds * S / tick_ns)):
            self.now_ns += tick_ns
            clocks.follow(self.anchor())
            if self.now_ns >= due_ns:
                reading = Reading()
                ring.read(clocks, reading)
                due_ns = self.now_ns + ring.every_ns
                assert reading.faults == []
                samples += [s for s in reading.samples if s.series == RING]
        return samples


STEPS = st.one_of(
    st.integers(-120 * S, -200 * MS), st.integers(200 * MS, 120 * S), st.integers(-100, 100).map(
        lambda ms: ms * MS
    ),
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    by_ns=STEPS,
    at_ns=st.integers(1001 * S, 1003 * S),
    phase_ns=st.integers(0, 20 * MS - 1),
)
def test_across_a_step_of_the_wall_clock_no_sample_of_the_ring_is_lost_or_doubled(
    by_ns: int, at_ns: int, phase_ns: int
) -> None:
    world = World([(at_ns, by_ns)], phase_ns=phase_ns)
    samples = world.run(5)

    true_ns = [round(sample.value * MS) for sample in samples]
    gaps = {b - a for a, b in pairwise(true_ns)}
    assert gaps == {20 * MS}
    assert true_ns[-1] > world.now_ns - 300 * MS
    # A step that is shorter than a look can hide where it was: within it, by the step at most.
    worst_ns = max(abs(s.t_ns - t) for s, t in zip(samples, true_ns, strict=True))
    assert worst_ns <= (2 * MS if abs(by_ns) > 100 * MS else abs(by_ns) + 2 * MS)


@pytest.mark.parametrize("by_s", [-3600, -1, 1, 3600])
def test_two_steps_in_a_row_and_back_are_told_apart(by_s: int) -> None:
    world = World([(1001 * S, by_s * S), (1001 * S + 120 * MS, -by_s * S), (1003 * S, by_s * S)])
    samples = world.run(6)
    assert [s.t_ns for s in samples] == [pytest.approx(s.value * MS, abs=2000) for s in samples]
    gaps = {round(b.value - a.value) for a, b in pairwise(samples)}
    assert gaps == {20}


def test_after_a_sleep_the_ring_goes_on() -> None:
    """CLOCK_MONOTONIC stands still in a sleep, so the wall clock seems to leap by its length."""
    world = World([(1002 * S, 8 * 3600 * S)])
    samples = world.run(4)
    assert max(abs(s.t_ns - s.value * MS) for s in samples) < 2 * MS
    assert samples[-1].t_ns > 1003.5 * S


@pytest.mark.parametrize(("depth", "every_ms"), [(120, 250), (20, 200), (8, 80)])
def test_the_ring_is_drained_before_half_of_it_is_new(depth: int, every_ms: int) -> None:
    world = World([], depth=depth)
    ring = Ring(RING, world.ask, depth, world.memory)
    ring.read(Clocks(world.anchor(), lambda: world.now_ns), Reading())
    assert ring.every_ns == every_ms * MS


@pytest.mark.parametrize("by_ns", [-30 * S, -83 * MS, 83 * MS, 5 * S])
def test_a_field_stamped_before_a_step_stands_where_it_was(by_ns: int) -> None:
    world = World([(1000 * S + 120 * MS, by_ns)])

    class Slot:
        nvmlReturn, valueType, timestamp = 0, 1, 0

        class value:
            uiVal = 100_000

    source = Fields(lambda: 0, [(Slot(), INSTANT)], world.memory)
    clocks = Clocks(world.anchor(), lambda: world.now_ns)
    seen = []
    for read_ms, stamped_ms in ((100, 90), (150, 110), (200, 190)):
        world.now_ns = 1000 * S + read_ms * MS
        clocks.follow(world.anchor())
        true_ns = 1000 * S + stamped_ms * MS
        Slot.timestamp = (true_ns + world.offset_ns(true_ns)) // 1000
        reading = Reading()
        source.read(clocks, reading)
        seen += [round((s.t_ns - 1000 * S) / MS) for s in reading.samples]

    assert seen == [90, 110, 190]


def test_once_a_second_the_age_of_the_newest_stamp_is_noted_also_of_a_clock_that_is_wrong() -> None:
    world = World([], phase_ns=7 * MS)
    late_us = 3_000_000

    def ask(seen_us: int) -> tuple[int, list[tuple[int, float]]]:
        """Stamps from a driver whose clock is three seconds slow."""
        code, entries = world.ask(seen_us + late_us if seen_us else 0)
        return code, [(stamp_us - late_us, value) for stamp_us, value in entries]

    ring = Ring(RING, ask, world.depth, world.memory, ages=AGE)
    clocks = Clocks(world.anchor(), lambda: world.now_ns)
    ages = []
    for _ in range(100):
        world.now_ns += 50 * MS
        clocks.follow(world.anchor())
        reading = Reading()
        ring.read(clocks, reading)
        ages += [s.value for s in reading.samples if s.series == AGE]

    assert len(ages) == 5
    assert ages == [pytest.approx(3.003, abs=0.011)] * 5
