"""How an imported run is put together, whatever the format: its identity, its clock, its source.

A run's clock starts at 1 s; the anchor beside it tells the time of day where the file does. Where
the file names no card by UUID the identity says so, and is never that of another file's card.
"""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from vidmeter.meter.clock import Anchor
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.errors import BadImport
from vidmeter.meter.run import Event, Run, Trace, Work
from vidmeter.meter.sample import Quantity, Series

S = 1_000_000_000
START_NS = S
JOULES_PER_KWH = 3.6e6
UNKNOWN_MODEL = "unknown model"


class Given(NamedTuple):
    """A file that was read; `period_s` is the time between its rows where it has no times."""

    path: Path
    text: str
    sha256: str
    period_s: float | None = None

    def bad(self, what: str) -> BadImport:
        """An error about this file."""
        return BadImport(f"{self.path}: {what}")

    def no_period(self) -> None:
        """Raise `BadImport` where a period was stated of a file that has times."""
        if self.period_s is not None:
            raise self.bad("it has times of its own: leave --period out")


@dataclass(slots=True)
class Card:
    """A card of a log and its readings, in time order; times in ns from any start."""

    index: int | None = None
    uuid: str | None = None
    name: str = UNKNOWN_MODEL
    facts: dict[str, Any] = field(default_factory=dict)
    readings: dict[Quantity, Trace] = field(default_factory=dict)

    def add(self, quantity: Quantity, t_ns: int, value: float) -> bool:
        """Add a reading; False where it isn't later than the one before."""
        trace = self.readings.setdefault(quantity, Trace(array("q"), array("d")))
        if trace.t_ns and t_ns <= trace.t_ns[-1]:
            return False
        trace.t_ns.append(t_ns)
        trace.value.append(value)
        return True


@dataclass(frozen=True, slots=True)
class Origin:
    """Which part of which file a run is made of, and what else that says of it.

    `real_ns` is when it started, since 1970, None where the file doesn't tell. `detail` is said
    with every result. `row` is the line in the file, None where all of it is one run.
    """

    given: Given
    program: str
    detail: str
    real_ns: int | None = None
    row: int | None = None
    label: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The run's name: the same for the same part of the same file."""
        return self.given.sha256[:24] + f"{self.row or 0:08x}"

    def identity(self, of: str) -> str:
        """What stands for a UUID that the file doesn't tell."""
        return f"unknown:{self.id}:{of}"

    def run(
        self,
        seconds: float,
        devices: Sequence[Device],
        traces: Mapping[Series, Trace],
        *,
        period_ns: int | None = None,
        work: Sequence[Work] = (),
    ) -> Run:
        """The run: `seconds` from its start to its end."""
        duration_ns = round(seconds * S)
        name = self.given.path.name
        where = name if self.row is None else f"{name}, line {self.row}"
        about = {"program": self.program, "file": name, "sha256": self.given.sha256}
        if self.row is not None:
            about["line"] = str(self.row)
        return Run(
            id=self.id,
            command=("imported", name, *self.label),
            start_ns=START_NS,
            end_ns=START_NS + duration_ns,
            exit_code=None,
            period_ns=period_ns or max(1, duration_ns),
            devices=tuple(devices),
            traces=traces,
            work=tuple(work),
            events=(
                Event(
                    "imported",
                    START_NS,
                    START_NS,
                    f"imported from {where} ({self.program}): {self.detail}",
                ),
            ),
            anchors=() if self.real_ns is None else (Anchor(START_NS, self.real_ns),),
            environment={"imported": {**about, **self.facts}},
        )


def stated(seconds: float, joules: float) -> Trace:
    """The energy of a whole run, and nothing of its course."""
    times = array("q", [START_NS, START_NS + round(seconds * S)])
    return Trace(times, array("d", [0.0, joules]))


def gpu(origin: Origin, index: int | None, name: str, **facts: Any) -> Device:
    """A GPU that the file doesn't tell the UUID of; `scope` among the facts is its scope."""
    scope = facts.pop("scope", "the card")
    return Device(
        uuid=origin.identity("gpu" if index is None else f"gpu{index}"),
        name=name,
        kind=Kind.GPU,
        scope=scope,
        provenance=Provenance.MEASURED,
        sensor=origin.program,
        index=index,
        facts=facts,
    )


def run_of_cards(origin: Origin, cards: Sequence[Card], first_ns: int) -> Run:
    """A log of readings as a run, from its first reading of power to its last.

    `first_ns` is the time of `origin.real_ns` on the cards' clock. `BadImport` where no card has
    two readings of power.
    """
    powers = [t for card in cards for q, t in card.readings.items() if q in POWERS]
    long = [t.t_ns for t in powers if len(t.t_ns) > 1]
    if not long:
        raise origin.given.bad("it has fewer than two readings of power of any card")
    start_ns, end_ns = min(t[0] for t in long), max(t[-1] for t in long)
    shift_ns = START_NS - start_ns
    devices, traces = [], {}
    for place, card in enumerate(cards):
        at = place if card.index is None and len(cards) > 1 else card.index
        made = gpu(origin, at, card.name, **card.facts)
        device = made if card.uuid is None else replace(made, uuid=card.uuid)
        devices.append(device)
        for quantity, trace in card.readings.items():
            window_ns = S if quantity is Quantity.POWER_AVERAGE else None
            times = array("q", [t + shift_ns for t in trace.t_ns])
            traces[Series(device.uuid, quantity, window_ns)] = Trace(times, trace.value)
    gaps = sorted(b - a for t in long for a, b in pairwise(t))
    real_ns = None if origin.real_ns is None else origin.real_ns + start_ns - first_ns
    return replace(origin, real_ns=real_ns).run(
        (end_ns - start_ns) / S, devices, traces, period_ns=gaps[len(gaps) // 2]
    )


POWERS = (Quantity.POWER_USAGE, Quantity.POWER_INSTANT, Quantity.POWER_AVERAGE)


def local_ns(when: datetime) -> int:
    """A time of day as the machine's own clock showed it, in ns since 1970.

    These programs write local time without its zone: it is taken to be this machine's.
    """
    second = int(when.replace(microsecond=0).astimezone().timestamp())
    return second * S + when.microsecond * 1000


def number(text: str) -> float | None:
    """A cell's number, with or without a unit behind it; None where it says that it is unknown.

    Raises ValueError for anything else.
    """
    text = text.strip()
    if not text or text.startswith("[") or text.upper() in ("N/A", "-", "NAN", "NONE"):
        return None
    return float(text.split()[0])
