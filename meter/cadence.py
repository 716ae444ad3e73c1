"""How often readings are renewed, and whether a load keeps step with them.

Plain Python, because the sampler asks while it runs: how fast a card has to be polled follows from
how fast its readings are renewed.
"""

from collections.abc import Iterable, Sequence
from itertools import compress, pairwise
from operator import ne, sub

ASKED_OFTENER = 1.6
"""Readings this much further apart than they were asked for are stamped by the driver."""
FEWEST = 5
"""Renewals from which a period can be told."""
ALL_NEW = 0.75
"""Where more of the readings than this are new, they are renewed faster than they were read."""

SINGLE = 1.6
"""Intervals up to so many times the shorter ones are of one period."""
NEAR = 0.05
"""How near a load's period must be to the k-th part of the sensor's for the two to keep step."""
PARTS = (1, 2, 3, 4)


def median(values: Iterable[int]) -> float:
    """The middle one; the module `statistics` takes 5 ms to import."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def refresh_ns(
    t_ns: Sequence[int], value: Sequence[float], *, polled_ns: int, fewest: int = FEWEST
) -> int | None:
    """The refresh period of a series that was asked every `polled_ns`; None if it can't be told.

    A renewal that brings the same value again may not be seen, so an interval may hold several
    periods: each counts as the whole number nearest to its ratio to the shortest ones.
    """
    if len(t_ns) < fewest:
        return None
    apart: list[int] = list(map(sub, t_ns[1:], t_ns))
    if median(apart) <= ASKED_OFTENER * polled_ns:
        changed = list(map(ne, value[1:], value))
        count = sum(changed)
        if count < fewest or count > ALL_NEW * len(changed):
            return None
        new = list(compress(t_ns[1:], changed))
        apart = list(map(sub, new[1:], new))
    quarter = sorted(apart)[len(apart) // 4]
    if quarter <= 0:
        return None
    # Seen by looking, one period may be a look shorter or longer: the mean of the shortest is not.
    shortest = [a for a in apart if a <= SINGLE * quarter]
    unit = sum(shortest) / len(shortest)
    return round(sum(apart) / sum(max(1, round(a / unit)) for a in apart))


def in_step(period_ns: float, refreshed_ns: float) -> int | None:
    """The k for which a load of this period keeps step with a sensor, None if it doesn't.

    It does where the period is within 5 % of the refresh period, or of its half, third or fourth
    part (k = 1 to 4): a sensor that looks only part of the time then sees the same part of each
    cycle.
    """
    for k in PARTS:
        if abs(period_ns * k / refreshed_ns - 1) <= NEAR:
            return k
    return None


def usual_step_ns(starts_ns: Sequence[int]) -> int | None:
    """The median distance of things that repeat, such as steps, ns; None for fewer than five."""
    if len(starts_ns) < FEWEST:
        return None
    return round(median(b - a for a, b in pairwise(starts_ns)))
