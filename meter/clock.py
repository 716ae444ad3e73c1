"""The clocks and the anchors between them.

Inside, time is CLOCK_MONOTONIC in ns: it is the same for every process of the machine and never
steps. Drivers stamp their readings in wall-clock time, so pairs of both clocks (`Anchor`) are kept
through a run.
"""

import time
from typing import NamedTuple

monotonic_ns = time.monotonic_ns


class Anchor(NamedTuple):
    """The two clocks read at one instant, in ns; `real_ns` counts from 1970 (CLOCK_REALTIME)."""

    monotonic_ns: int
    real_ns: int

    def to_monotonic(self, real_ns: int) -> int:
        """The instant `real_ns` of the wall clock on the monotonic clock, in ns."""
        return real_ns - self.real_ns + self.monotonic_ns

    def to_real(self, t_ns: int) -> int:
        """The instant `t_ns` of the monotonic clock in wall-clock time, in ns since 1970."""
        return t_ns - self.monotonic_ns + self.real_ns


def anchor() -> Anchor:
    """Read both clocks at one instant: the tightest of three brackets, good to about 1 µs."""
    brackets = []
    for _ in range(3):
        before = time.monotonic_ns()
        real = time.time_ns()
        after = time.monotonic_ns()
        brackets.append((after - before, (before + after) // 2, real))
    _, middle, real = min(brackets)
    return Anchor(middle, real)


def slept_ns() -> int:
    """How long the machine has slept since it was started, ns; 0 where the system doesn't tell.

    CLOCK_MONOTONIC stands still while it sleeps, CLOCK_BOOTTIME goes on.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    if clock is None:
        return 0
    brackets = []
    for _ in range(3):
        before = time.monotonic_ns()
        boot = time.clock_gettime_ns(clock)
        after = time.monotonic_ns()
        brackets.append((after - before, boot - (before + after) // 2))
    return min(brackets)[1]
