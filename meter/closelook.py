"""The first seconds with a card that nothing is known of: how fast are its readings renewed?"""

from collections.abc import Iterable

from vidmeter.meter.cadence import refresh_ns
from vidmeter.meter.sample import ENERGY_SOURCES, Quantity, Sample, Series

LOOK_NS = 3_000_000_000
"""How long a card that nothing is known of is looked at closely, at the start of its first run."""
LOOK_PERIOD_NS = 5_000_000


class CloseLook:
    """What a close look at some cards has brought so far."""

    def __init__(self, uuids: set[str]) -> None:
        self.start_ns = 0
        self._uuids = uuids
        self._ticks = 0
        self._seen: dict[Series, tuple[list[int], list[float]]] = {}

    def over(self, now: int) -> bool:
        self.start_ns = self.start_ns or now
        self._ticks += 1
        return now - self.start_ns > LOOK_NS

    def add(self, samples: Iterable[Sample]) -> None:
        for series, t_ns, value in samples:
            if series.device in self._uuids and series.quantity in ENERGY_SOURCES:
                times, values = self._seen.setdefault(series, ([], []))
                times.append(t_ns)
                values.append(value)

    def polled_ns(self, now: int) -> int:
        """How far apart the looks really were."""
        return (now - self.start_ns) // max(1, self._ticks - 1)

    def refreshes_ns(self, now: int) -> list[int]:
        """The periods of what has to be polled for: a card with a ring keeps its own record."""
        rings = {s.device for s in self._seen if s.quantity is Quantity.POWER_RING}
        found = [
            refresh_ns(times, values, polled_ns=self.polled_ns(now))
            for series, (times, values) in self._seen.items()
            if series.device not in rings
        ]
        return [ns for ns in found if ns]
