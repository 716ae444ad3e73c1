"""Watches, while a run goes on, for a load that keeps step with a sensor that looks part-time.

Such a load is misread by up to its whole swing (see `aliasing`), and the time to say so is before
an hour of it is recorded. Two signs are watched for: the energy counter and the instant power
part ways, and the steps that the program marks come at the pace of the sensor's readings. Where
there is nothing to hold such a sensor against, that is said.
Plain Python, because the sampler runs it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from vidmeter.meter.cadence import in_step, usual_step_ns
from vidmeter.meter.device import Device
from vidmeter.meter.quality import Quality, SeriesQuality, Verdict, published_window_ns
from vidmeter.meter.run import Phase
from vidmeter.meter.sample import Quantity, Sample

SOONEST_NS = 10_000_000_000
"""Both sources are watched for so long before anything is said."""
APART = 0.05
MOST_STARTS = 200


class Doubt(NamedTuple):
    """Something to be said while the run goes on."""

    kind: str
    device: str
    detail: str


@dataclass(slots=True)
class _Watched:
    """One card: what its instant power and its counter have added up to."""

    refresh_ns: int
    share: float
    power_ns: int = 0
    power_w: float = 0.0
    power_j: float = 0.0
    power_from_ns: int = 0
    alone: bool = True
    first: tuple[int, float] | None = None
    last: tuple[int, float] = (0, 0.0)
    said: set[str] = field(default_factory=set)


class Guard:
    """Holds the part-time cards of a run; `qualities` is what is known of them by uuid."""

    def __init__(self, devices: Iterable[Device], qualities: Mapping[str, Quality | None]) -> None:
        self._cards: dict[str, _Watched] = {}
        for device in devices:
            found = _part_time(device, qualities.get(device.uuid))
            if found is not None and found.refresh_ns and found.seen_share:
                self._cards[device.uuid] = _Watched(found.refresh_ns, found.seen_share)
        self._starts: dict[str, list[int]] = {}

    def add(self, samples: Iterable[Sample]) -> None:
        """Take in new samples, in time order within each series."""
        for (uuid, quantity, window_ns, _), t_ns, value in samples:
            card = self._cards.get(uuid)
            if card is None:
                continue
            if quantity is Quantity.POWER_RING:
                del self._cards[uuid]  # it answers, and misses nothing
            elif quantity is Quantity.POWER_INSTANT:
                if card.power_ns:
                    span_s = (t_ns - card.power_ns) / 1e9
                    card.power_j += (value + card.power_w) / 2 * span_s
                else:
                    card.power_from_ns = t_ns
                card.power_ns, card.power_w = t_ns, value
            elif window_ns and window_ns >= card.refresh_ns:
                card.alone = False  # a mean over a second misses nothing
            elif quantity is Quantity.ENERGY and value != card.last[1]:
                card.alone = False
                if card.first is None or value < card.last[1]:
                    card.first = (t_ns, value)
                card.last = (t_ns, value)

    def mark(self, phases: Iterable[Phase]) -> None:
        """Take in phases that have begun or ended."""
        for phase in phases:
            starts = self._starts.setdefault(phase.name, [])
            if phase.end_ns is None and len(starts) < MOST_STARTS:
                starts.append(phase.start_ns)

    def doubts(self) -> list[Doubt]:
        """What there is to say now; each thing is said once."""
        found = []
        for uuid, card in self._cards.items():
            said = (
                ("aliasing", _apart(card)),
                ("in_step", self._steps(card)),
                ("unconfirmed", _unconfirmed(card)),
            )
            for kind, detail in said:
                if detail and kind not in card.said:
                    card.said.add(kind)
                    found.append(Doubt(kind, uuid, detail))
        return found

    def _steps(self, card: _Watched) -> str | None:
        for name, starts in self._starts.items():
            step_ns = usual_step_ns(sorted(starts))
            if step_ns and (k := in_step(step_ns, card.refresh_ns)):
                return (
                    f"{name!r} begins every {step_ns / 1e6:.1f} ms, {k} times for each reading of a"
                    f" sensor that looks {card.share * 100:.0f} % of the time: it may see the same"
                    " part of each"
                )
        return None


def _part_time(device: Device, quality: Quality | None) -> SeriesQuality | None:
    """What is known of a card's instant power, if it is known to look part of the time only."""
    known = quality.of(Quantity.POWER_INSTANT) if quality else None
    if known is None or known.window_ns is None:
        capability = device.facts.get("compute_capability")
        refresh_ns = (known.refresh_ns if known else None) or 100_000_000
        window_ns = published_window_ns(capability, Quantity.POWER_INSTANT, refresh_ns)
        known = SeriesQuality(
            Quantity.POWER_INSTANT, Verdict.WORKS, refresh_ns=refresh_ns, window_ns=window_ns
        )
    share = known.seen_share
    return known if share is not None and share < 0.95 else None


def _apart(card: _Watched) -> str | None:
    """What the instant power says on average against the counter, if they part ways."""
    if card.first is None:
        return None
    span_ns = min(card.last[0] - card.first[0], card.power_ns - card.power_from_ns)
    if span_ns < SOONEST_NS:
        return None
    counted_w = (card.last[1] - card.first[1]) / (card.last[0] - card.first[0]) * 1e9
    read_w = card.power_j / (card.power_ns - card.power_from_ns) * 1e9
    if counted_w <= 0 or abs(read_w / counted_w - 1) <= APART:
        return None
    return (
        f"instant power says {read_w:.0f} W on average, the energy counter {counted_w:.0f} W: the"
        f" sensor looks {card.share * 100:.0f} % of the time, and the load keeps step with it"
    )


def _unconfirmed(card: _Watched) -> str | None:
    """That no other reading would show it."""
    if not card.alone or card.power_ns - card.power_from_ns < SOONEST_NS:
        return None
    return (
        f"the card's only reading looks {card.share * 100:.0f} % of the time: nothing would show"
        " that the load keeps step with it"
    )
