"""A footprint in words and as plain values: for the terminal, the page and JSON.

Grams and money get three digits, as their factors have no more, and every line says what it was
computed with and who says so.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

from vidmeter.reports.footprint import Equivalent, Footprint, Line, Price, Span, Terms
from vidmeter.reports.format import digits, joules, watt_hours

TITLE = "footprint"
_KEYS = ("g_per_kwh", "place", "source", "year")
"""What is said of an intensity."""
_MASSES = (("t", 1e6), ("kg", 1e3), ("g", 0.1), ("mg", 0.0))
_GRAMS = {"t": 1e6, "kg": 1e3, "g": 1.0, "mg": 1e-3}
_BLOCKS = {
    "text": re.compile(rf"\n{TITLE}\n.*", re.DOTALL),
    "html": re.compile(rf'<section aria-labelledby="{TITLE}">.*?</section>\n\n', re.DOTALL),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what, how much with its interval, and from where."""

    name: str
    amount: str
    origin: str


def text(found: Footprint) -> str:
    """The lines for a terminal, with a blank line before them."""
    lines = ["", TITLE]
    if found.metered is None:
        lines.append("  the energy of this run is unknown, so is what depends on it")
    lines += [f"  {_in_line(row)}" for row in metered(found)]
    if stated := added(found):
        lines.append("  not in it, by what was stated:")
        lines += [f"    {_in_line(row)}" for row in stated]
    if alike := everyday(found):
        lines.append("  about as much energy as:")
        lines += [f"    {row.amount} {row.name} ({row.origin})" for row in alike]
    return "\n".join(lines) + "\n"


def without(report: str, form: str) -> str:
    """A report in `text` or `html` as it would be if no footprint had been asked for."""
    return _BLOCKS[form].sub("", report, count=1)


def metered(found: Footprint) -> list[Row]:
    """The metered energy, and what it stands for; nothing if it is unknown."""
    if found.metered is None or found.metered.energy_j is None:
        return []
    line, terms = found.metered, found.terms
    energy_j = found.metered.energy_j
    rows = [Row(f"{line.name} energy", _energy(energy_j), line.factor)]
    if line.g_co2e is not None:
        rows.append(Row("emissions", _mass(line.g_co2e), _intensity(terms)))
    if line.cost is not None and terms.price is not None:
        rows.append(Row("cost", _money(line.cost, terms.price), _price(terms.price)))
    return rows


def added(found: Footprint) -> list[Row]:
    """What was asked to stand beside the metered energy."""
    return [
        Row(
            line.name,
            ", ".join(_amounts(line, found.terms)),
            f"{line.factor}, stated with {line.source}",
        )
        for line in found.added
    ]


def everyday(found: Footprint) -> list[Row]:
    """Everyday things that take about as much energy."""
    return [
        Row(each.unit, f"{digits(float(f'{each.times:.2g}'))} times", _origin(each))
        for each in found.equivalents
    ]


def document(found: Footprint) -> dict[str, Any]:
    """The footprint as plain JSON values; null is not asked for, or not known."""
    intensity, price = found.terms.intensity, found.terms.price
    return {
        "intensity": {k: getattr(intensity, k) for k in _KEYS} if intensity else None,
        "price": price._asdict() if price else None,
        "metered": _values(found.metered) if found.metered else None,
        "added": [_values(line) for line in found.added],
        "equivalents": [each._asdict() for each in found.equivalents],
    }


def _values(line: Line) -> dict[str, Any]:
    parts = {"energy_j": line.energy_j, "g_co2e": line.g_co2e, "cost": line.cost}
    values = {key: part._asdict() if part else None for key, part in parts.items()}
    return {"name": line.name, **values, "factor": line.factor, "source": line.source or None}


def _in_line(row: Row) -> str:
    return f"{row.name}: {row.amount}" + (f": {row.origin}" if row.origin else "")


def _amounts(line: Line, terms: Terms) -> list[str]:
    parts = []
    if line.energy_j is not None:
        parts.append(_energy(line.energy_j))
    if line.g_co2e is not None:
        parts.append(_mass(line.g_co2e))
    if line.cost is not None and terms.price is not None:
        parts.append(_money(line.cost, terms.price))
    return parts


def _energy(energy_j: Span) -> str:
    words = f"{joules(energy_j.value)}, {watt_hours(energy_j.value / 3600)}"
    if energy_j.low is None or energy_j.high is None:
        return words
    return f"{words} ({joules(energy_j.low)} to {joules(energy_j.high)})"


def _mass(g: Span) -> str:
    unit = next(unit for unit, least in _MASSES if g.value >= least)
    return _three(g.times(1 / _GRAMS[unit]), f"{unit} CO2e")


def _money(amount: Span, price: Price) -> str:
    return _three(amount, price.currency)


def _three(of: Span, unit: str) -> str:
    """Three digits and the interval, which is left out where it rounds to the number itself."""
    value, low, high = (None if x is None else _plain(x) for x in of)
    interval = f" ({low} to {high})" if low and high and {low, high} != {value} else ""
    return f"{value} {unit}".rstrip() + interval


def _plain(value: float) -> str:
    """Three significant digits, however small the number is, without an exponent."""
    rounded = float(f"{value:.3g}")
    if rounded == 0 or abs(rounded) >= 0.01:
        return digits(rounded)
    return f"{rounded:.{2 - math.floor(math.log10(abs(rounded)))}f}".rstrip("0")


def _intensity(terms: Terms) -> str:
    if terms.intensity is None:
        return ""
    g_per_kwh, place, source, year, *_ = terms.intensity
    when = "" if source.startswith("stated") else f", {year or 'year not said'}"
    where = "" if source.startswith("stated") else f"{place}, "
    return f"{g_per_kwh:g} g/kWh, {where}{source}{when}"


def _price(price: Price) -> str:
    currency = price.currency or "(no currency said)"
    return f"{digits(price.per_kwh)} {currency} per kWh, stated with --price"


def _origin(each: Equivalent) -> str:
    return f"{each.how}; {each.source}, {each.year}"
