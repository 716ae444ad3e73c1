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
from vidmeter.meter.steadiness import (
    POWER_LIMIT_PER_MIN,
    TEMPERATURE_LIMIT_C_PER_MIN,
    steady,
)
from vidmeter.meter.steadiness import Steadiness as Slope

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
    """Watches the GPUs of the run that this process is part of, from now on."""

    def __init__(self) -> None:
        self._since_ns = monotonic_ns()
        path = os.environ.get(FILE_ENV)
        self._tail = Tail(Path(path)) if path and Path(path).exists() else None
        self._gpus = {
            d.uuid: d.name
            for d in (self._tail.devices() if self._tail else ())
            if d.kind is Kind.GPU
        }
        self._readings: dict[tuple[str, Quantity], list[tuple[int, float]]] = {}

    def look(self) -> Verdict:
        """The verdict over the last minute."""
        if self._tail is None or not self._gpus:
            return Verdict(None, "no GPU is recorded")
        for series, trace in self._tail.new():
            if series.device in self._gpus and series.quantity in (Quantity.TEMPERATURE, *_POWERS):
                kept = self._readings.setdefault((series.device, series.quantity), [])
                kept.extend(zip(trace.t_ns, trace.value, strict=True))
        doubts = [why for uuid in self._gpus if (why := self._doubt(uuid)) is not None]
        return Verdict(not doubts, "; ".join(doubts) or None)

    def close(self) -> None:
        """Let go of the run file."""
        if self._tail is not None:
            self._tail.close()

    def _doubt(self, uuid: str) -> str | None:
        """Why a card doesn't count as steady; None if it does."""
        degrees = self._slope(uuid, Quantity.TEMPERATURE, TEMPERATURE_LIMIT_C_PER_MIN)
        if degrees is not None and degrees.steady:
            return None
        power = next((q for q in _POWERS if (uuid, q) in self._readings), None)
        watts = self._slope(uuid, power, POWER_LIMIT_PER_MIN, relative=True) if power else None
        if watts is not None and watts.steady:
            return None
        said = []
        if degrees is not None:
            said.append(f"temperature changed by {degrees.slope_per_min:+.1f} °C a minute")
        if watts is not None:
            said.append(f"power by {watts.slope_per_min:+.1%}")
        return f"{self._gpus[uuid]}: {', '.join(said) or 'too few readings to tell'}"

    def _slope(
        self, uuid: str, quantity: Quantity, limit: float, *, relative: bool = False
    ) -> Slope | None:
        kept = self._readings.get((uuid, quantity), [])
        # What came before, loading or idling, is no part of warming up.
        points = [(t / 1e9, value) for t, value in kept if t >= self._since_ns]
        times_s, values = [t for t, _ in points], [value for _, value in points]
        return steady(times_s, values, limit_per_min=limit, relative=relative)
