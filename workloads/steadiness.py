"""Whether the card has warmed up, as its own readings tell while the run is being recorded.

A card that still warms up draws more power from minute to minute, because leakage grows with
temperature. It counts as steady when over the last minute its temperature rose by less than half a
degree, or its mean power changed by less than 1 % (docs/bench.md has the reasons).
"""

import os
from pathlib import Path
from typing import NamedTuple

from vidmeter.meter.clock import monotonic_ns
from vidmeter.meter.device import Kind
from vidmeter.meter.marks import FILE_ENV
from vidmeter.meter.reader import Tail
from vidmeter.meter.sample import Quantity

WINDOW_S = 60.0
LEAST_S = 45.0
"""Less than this of the window tells no slope."""
DEGREES_PER_MIN = 0.5
POWER_PER_MIN = 0.01
_POWERS = (
    Quantity.POWER_RING,
    Quantity.POWER_INSTANT,
    Quantity.POWER_AVERAGE,
    Quantity.POWER_USAGE,
)


class Verdict(NamedTuple):
    """Whether the cards are steady, and in words why not; None: it can't be told here."""

    steady: bool | None
    why: str | None


class Steadiness:
    """Watches the GPUs of the run that this process is part of."""

    def __init__(self) -> None:
        path = os.environ.get(FILE_ENV)
        self._tail = Tail(Path(path)) if path and Path(path).exists() else None
        self._gpus = {
            d.uuid: d.name
            for d in (self._tail.devices() if self._tail else ())
            if d.kind is Kind.GPU
        }
        self._readings: dict[tuple[str, Quantity], list[tuple[int, float]]] = {}

    @property
    def can_tell(self) -> bool:
        """Whether there is a card whose readings can be seen."""
        return bool(self._gpus)

    def look(self) -> Verdict:
        """The verdict over the last minute."""
        if self._tail is None or not self._gpus:
            return Verdict(None, "no GPU is recorded")
        for series, trace in self._tail.new():
            if series.device in self._gpus and series.quantity in (Quantity.TEMPERATURE, *_POWERS):
                kept = self._readings.setdefault((series.device, series.quantity), [])
                kept.extend(zip(trace.t_ns, trace.value, strict=True))
        since_ns = monotonic_ns() - int(WINDOW_S * 1e9)
        doubts = [why for uuid in self._gpus if (why := self._doubt(uuid, since_ns)) is not None]
        return Verdict(not doubts, "; ".join(doubts) or None)

    def close(self) -> None:
        """Let go of the run file."""
        if self._tail is not None:
            self._tail.close()

    def _doubt(self, uuid: str, since_ns: int) -> str | None:
        degrees = self._slope(uuid, Quantity.TEMPERATURE, since_ns)
        if degrees is not None and abs(degrees[0]) < DEGREES_PER_MIN:
            return None
        for quantity in _POWERS:
            watts = self._slope(uuid, quantity, since_ns)
            if watts is not None and watts[1] > 0:
                share = watts[0] / watts[1]
                if abs(share) < POWER_PER_MIN:
                    return None
                if degrees is None:
                    return f"{self._gpus[uuid]}: power changed by {share:+.1%} a minute"
                break
        if degrees is None:
            return f"{self._gpus[uuid]}: less than {LEAST_S:g} s of readings"
        return f"{self._gpus[uuid]}: temperature changed by {degrees[0]:+.1f} °C a minute"

    def _slope(self, uuid: str, quantity: Quantity, since_ns: int) -> tuple[float, float] | None:
        """How fast a reading changes, per minute, and its mean; by least squares."""
        kept = self._readings.get((uuid, quantity), [])
        points = [(t / 60e9, value) for t, value in kept if t >= since_ns]
        if len(points) < 3 or (points[-1][0] - points[0][0]) * 60 < LEAST_S:
            return None
        n = len(points)
        mean_t = sum(t for t, _ in points) / n
        mean = sum(value for _, value in points) / n
        spread = sum((t - mean_t) ** 2 for t, _ in points)
        return sum((t - mean_t) * (value - mean) for t, value in points) / spread, mean
