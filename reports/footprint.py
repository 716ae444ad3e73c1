"""What an energy stands for beyond joules: CO2e, money, and what a user wants added to it.

The headline is the energy as it was metered, times a carbon intensity and a price, its interval
with it. What lies outside the meter's reach (the rest of the machine, cooling, manufacture) is
never multiplied into it: each is a line of its own, there only if the user stated its factor, and
there is no sum of measured and stated. A part without a number is absent, not 0.
"""

import csv
import math
from functools import cache
from pathlib import Path
from typing import NamedTuple

from vidmeter.meter.summary import Summary
from vidmeter.reports.carbon import Intensity

J_PER_KWH = 3.6e6
FEWEST, MOST, SHOWN = 0.5, 500.0, 3
"""Between how many units an everyday equivalent says something, and how many are shown."""
_EASIEST = 10.0
_TABLE = Path(__file__).with_name("data") / "equivalents.csv"


class Span(NamedTuple):
    """A number and, where it has one, its 95 % interval."""

    value: float
    low: float | None = None
    high: float | None = None

    def times(self, factor: float) -> "Span":
        """This times a factor that is taken as exact and is not negative."""
        return Span(self.value * factor, *(_times(side, factor) for side in (self.low, self.high)))

    def plus(self, amount: float) -> "Span":
        """This and an amount that is taken as exact."""
        return Span(self.value + amount, *(_plus(side, amount) for side in (self.low, self.high)))


class Price(NamedTuple):
    """Money for a kilowatt-hour; `currency` as the user wrote it, empty if not."""

    per_kwh: float
    currency: str


class Terms(NamedTuple):
    """What a user asks for; None is not asked. `pue` is at least 1."""

    intensity: Intensity | None = None
    price: Price | None = None
    pue: float | None = None
    host_overhead_w: float | None = None
    embodied_g_per_hour: float | None = None


class Line(NamedTuple):
    """One part: its energy in J, grams of CO2e and cost; None is not asked for, or not known.

    `factor` is what a stated part was computed from and `source` who states it; of the metered
    energy `factor` is what is in it.
    """

    name: str
    energy_j: Span | None
    g_co2e: Span | None
    cost: Span | None
    factor: str
    source: str


class Equivalent(NamedTuple):
    """An everyday thing, and how many of it an energy is; `joules_per_unit` by `how`."""

    times: float
    unit: str
    joules_per_unit: float
    how: str
    source: str
    url: str
    year: int


class Footprint(NamedTuple):
    """A metered energy in grams and money, and what was asked to stand beside it.

    `metered` is None where the energy is unknown. `added` are not part of it, nor of each other.
    """

    terms: Terms
    metered: Line | None
    added: tuple[Line, ...]
    equivalents: tuple[Equivalent, ...]


def of(summary: Summary, *, terms: Terms) -> Footprint:
    """The footprint of a run's total, whatever that holds."""
    total = summary.total
    energy_j = None
    if total.energy_j is not None:
        energy_j = Span(total.energy_j, total.low_j, total.high_j)
    name = " ".join((*([] if total.trusted else ["NOT TRUSTED"]), total.provenance or "unknown"))
    return footprint(
        energy_j, summary.duration_s, terms=terms, name=name, boundary=total.boundary or ""
    )


def footprint(
    energy_j: Span | None, duration_s: float, *, terms: Terms, name: str, boundary: str = ""
) -> Footprint:
    """The footprint of an energy that was metered over `duration_s`.

    `name` says how it was found, such as `measured`, and `boundary` what is in it.
    """
    metered = None
    if energy_j is not None:
        metered = _line(name, energy_j, terms, factor=boundary, source="")
    return Footprint(
        terms,
        metered,
        tuple(line for line in _added(energy_j, duration_s, terms) if line is not None),
        equivalents(energy_j.value) if energy_j is not None else (),
    )


def grams(energy_j: Span, intensity: Intensity) -> Span:
    """Grams of CO2e of an energy."""
    return energy_j.times(intensity.g_per_kwh / J_PER_KWH)


def cost(energy_j: Span, price: Price) -> Span:
    """Money for an energy, in the price's currency."""
    return energy_j.times(price.per_kwh / J_PER_KWH)


def equivalents(energy_j: float) -> tuple[Equivalent, ...]:
    """Up to three everyday things of which an energy is between 0.5 and 500, each of another sort.

    Of each sort the unit is taken of which there are nearest to ten; so are the three.
    """
    best: dict[str, Equivalent] = {}
    for name, unit in everyday():
        found = unit._replace(times=energy_j / unit.joules_per_unit)
        if FEWEST <= found.times <= MOST and (
            name not in best or _unease(found) < _unease(best[name])
        ):
            best[name] = found
    return tuple(sorted(best.values(), key=_unease)[:SHOWN])


@cache
def everyday() -> tuple[tuple[str, Equivalent], ...]:
    """One of each unit in data/equivalents.csv, with the sort of thing it is."""
    with _TABLE.open(newline="", encoding="utf-8") as file:
        return tuple(
            (
                row["name"],
                Equivalent(
                    1.0,
                    row["unit"],
                    float(row["joules_per_unit"]),
                    row["how"],
                    row["source"],
                    row["url"],
                    int(row["year"]),
                ),
            )
            for row in csv.DictReader(file)
        )


def _times(side: float | None, factor: float) -> float | None:
    return None if side is None else side * factor


def _plus(side: float | None, amount: float) -> float | None:
    return None if side is None else side + amount


def _unease(equivalent: Equivalent) -> float:
    """How far a count is from one that is easily imagined."""
    return abs(math.log(equivalent.times / _EASIEST))


def _added(energy_j: Span | None, duration_s: float, terms: Terms) -> list[Line | None]:
    """What the user wants beside the metered energy, each by the factor that was stated."""
    lines: list[Line | None] = []
    host_j = 0.0
    if terms.host_overhead_w is not None:
        host_j = terms.host_overhead_w * duration_s
        factor = f"{terms.host_overhead_w:g} W for {duration_s:.4g} s"
        lines.append(
            _line("host overhead", Span(host_j), terms, factor=factor, source="--host-overhead-w")
        )
    if terms.pue is not None and energy_j is not None:
        extra_j = energy_j.plus(host_j).times(terms.pue - 1)
        of = "the metered energy" + (" and the host overhead" if host_j else "")
        factor = f"PUE {terms.pue:g}: {terms.pue - 1:.4g} of {of}"
        lines.append(_line("facility", extra_j, terms, factor=factor, source="--pue"))
    if terms.embodied_g_per_hour is not None:
        made = Span(terms.embodied_g_per_hour * duration_s / 3600)
        factor = f"{terms.embodied_g_per_hour:g} g/h for {duration_s:.4g} s"
        lines.append(Line("embodied", None, made, None, factor, "--embodied-g-per-hour"))
    return lines


def _line(name: str, energy_j: Span, terms: Terms, *, factor: str, source: str) -> Line:
    return Line(
        name,
        energy_j,
        grams(energy_j, terms.intensity) if terms.intensity else None,
        cost(energy_j, terms.price) if terms.price else None,
        factor,
        source,
    )
