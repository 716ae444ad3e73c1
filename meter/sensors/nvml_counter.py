"""Whether an energy counter can be believed from one look to the next.

A counter that falls was set to zero: the driver was reloaded, or the GPU was reset. One that leaps
by more than three times what the card may draw never counted that: a card exceeds its enforced
limit for milliseconds only, and a tick that is published late brings two ticks' energy at most, so
three leaves room for both. The time since the look before the last change counts, which holds the
tick itself, whatever its length.
"""

from vidmeter.meter.sample import Sample
from vidmeter.meter.sensors.base import Fault, Reading

MARGIN = 3
_UNKNOWN_LIMIT_W = 3000.0
"""Above every card there is, for those that don't tell their limit."""
_FIRST_TICK_NS = 1_000_000_000
"""How long ago the counter may have changed last when it is first looked at."""


class CounterWatch:
    """Watches one counter; `limit_w` is the power limit in force, None if it is unknown."""

    def __init__(self, limit_w: float | None = None) -> None:
        self._limit_w = limit_w or _UNKNOWN_LIMIT_W
        self._last: Sample | None = None
        self._changed_ns = 0

    def watch(self, sample: Sample, into: Reading) -> None:
        """Compare a sample with the one before, and report what can't be."""
        last, self._last = self._last, sample
        if last is None:
            self._changed_ns = sample.t_ns - _FIRST_TICK_NS
            return
        if sample.value == last.value:
            return
        rise_j, span_s = sample.value - last.value, (sample.t_ns - self._changed_ns) / 1e9
        self._changed_ns = last.t_ns
        if rise_j < 0:
            kind, detail = (
                "counter_reset",
                (
                    f"the energy counter fell from {last.value:.1f} J to {sample.value:.1f} J:"
                    " the driver was reloaded, or the GPU was reset"
                ),
            )
        elif rise_j > MARGIN * self._limit_w * span_s:
            kind, detail = (
                "counter_jump",
                (
                    f"the energy counter leapt by {rise_j:.1f} J within {span_s:.2f} s, which is"
                    f" {rise_j / span_s:.0f} W on a card limited to {self._limit_w:.0f} W"
                ),
            )
        else:
            return
        into.faults.append(Fault(kind, sample.series.device, detail, sample.series, last.t_ns))
