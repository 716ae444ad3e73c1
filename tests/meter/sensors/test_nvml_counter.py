"""Energy counters that fall or leap, and those that merely tick unevenly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidmeter.meter.sample import Quantity, Sample, Series
from vidmeter.meter.sensors.base import Reading
from vidmeter.meter.sensors.nvml_counter import CounterWatch

S = 1_000_000_000
ENERGY = Series("GPU-0", Quantity.ENERGY)


def watched(values: list[tuple[float, float]], limit_w: float | None = 700) -> Reading:
    """The faults of a counter that says these (s, J)."""
    watch, reading = CounterWatch(limit_w), Reading()
    for t_s, joules in values:
        watch.watch(Sample(ENERGY, round(t_s * S), joules), reading)
    return reading


def test_a_counter_that_falls_was_reset_and_its_numbers_are_told() -> None:
    (fault,) = watched([(10.0, 5000.0), (10.1, 5030.0), (10.2, 12.5), (10.3, 42.5)]).faults
    assert (fault.kind, fault.series) == ("counter_reset", ENERGY)
    assert "from 5030.0 J to 12.5 J" in fault.detail
    assert fault.since_ns == round(10.1 * S)


def test_a_leap_beyond_what_the_card_can_draw_is_told() -> None:
    ticks = [(10 + i * 0.1, 5000.0 + 50 * i + (1000 if i >= 20 else 0)) for i in range(40)]
    (fault,) = watched(ticks).faults
    assert fault.kind == "counter_jump"
    assert "1050.0 J" in fault.detail
    assert "700 W" in fault.detail
    assert fault.since_ns == round(11.9 * S)


@given(
    tick_ms=st.integers(10, 1000),
    look_ms=st.integers(5, 200),
    watts=st.floats(1, 700),
    late=st.lists(st.booleans(), min_size=20, max_size=20),
)
def test_a_card_at_its_limit_is_never_suspected_whatever_its_tick(
    tick_ms: int, look_ms: int, watts: float, late: list[bool]
) -> None:
    """A tick may also be published a whole tick late, with the energy of both."""
    values = []
    for look in range(200):
        ticks = 1000 + look * look_ms // tick_ms
        if late[ticks % len(late)] and not late[(ticks - 1) % len(late)]:
            ticks -= 1
        values.append((look * look_ms / 1000, ticks * tick_ms / 1000 * watts))
    assert watched(values).faults == []


def test_a_pause_of_the_readings_is_no_leap() -> None:
    assert watched([(10.0, 0.0), (10.1, 70.0), (70.1, 42_070.0)]).faults == []


@pytest.mark.parametrize(("leap_j", "told"), [(2000.0, False), (20_000.0, True)])
def test_a_card_that_tells_no_limit_is_given_the_benefit_of_the_doubt(
    leap_j: float, told: bool
) -> None:
    faults = watched([(0.0, 0.0), (0.5, 100.0), (1.0, 100.0 + leap_j)], limit_w=None).faults
    assert bool(faults) is told
