"""From readings to rows, from rows to a table and a verdict. Arithmetic and text, nothing else.

Each window is metered once in every round; a row states for each meter the error of its worst
round, so that nobody is best by one lucky draw. A meter that states no energy in any of the rounds
has no error, and never the smallest one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

OURS = "vidmeter"
METERS = (OURS, "ZeusMonitor", "Zeus PowerMonitor", "CodeCarbon", "nvitop")
TIE_PCT = 0.05
"""Errors that differ by no more than so many points count as equal."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one meter said of one window of one card, and the true energy of that very window."""

    round: int
    sensor_class: str
    waveform: str
    meter: str
    truth_j: float
    energy_j: float | None
    reason: str | None = None
    """Why there is no energy."""
    low_j: float | None = None
    high_j: float | None = None
    source: str | None = None

    @property
    def error_pct(self) -> float | None:
        return None if self.energy_j is None else 100 * (self.energy_j / self.truth_j - 1)

    @property
    def interval_pct(self) -> float | None:
        """Half the width of the stated interval, % of the energy."""
        if self.energy_j is None or self.low_j is None or self.high_j is None:
            return None
        return 50 * (self.high_j - self.low_j) / self.energy_j

    @property
    def holds(self) -> bool | None:
        """Whether the truth lies in the stated interval."""
        if self.low_j is None or self.high_j is None:
            return None
        return self.low_j <= self.truth_j <= self.high_j


class Cell(NamedTuple):
    """A meter in a row: the error of its worst round, or why it has none."""

    error_pct: float | None
    reason: str | None


class Row(NamedTuple):
    """A class and a waveform. The interval is the widest of the rounds, and holds if all do."""

    sensor_class: str
    waveform: str
    cells: Mapping[str, Cell]
    source: str | None
    interval_pct: float | None
    holds: bool | None

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Self:
        cells = {meter: Cell(**cell) for meter, cell in entry["cells"].items()}
        return cls(**{**entry, "cells": cells})

    def as_json(self) -> dict[str, Any]:
        return self._asdict() | {"cells": {k: c._asdict() for k, c in self.cells.items()}}


class Verdict(NamedTuple):
    """In how many rows vidmeter has the smallest error, and an interval that holds the truth."""

    rows: int
    smallest: int
    holds: int

    def __str__(self) -> str:
        return (
            f"vidmeter has the smallest error in {self.smallest} of {self.rows} rows"
            f" (within {TIE_PCT} points), and its interval holds the truth in {self.holds}."
        )


def rows(readings: Sequence[Reading]) -> list[Row]:
    """One row for each class and waveform, in the order in which they appear."""
    found: dict[tuple[str, str], list[Reading]] = {}
    for reading in readings:
        found.setdefault((reading.sensor_class, reading.waveform), []).append(reading)
    order = list(dict.fromkeys(reading.sensor_class for reading in readings))
    return [_row(*key, found[key]) for key in sorted(found, key=lambda k: order.index(k[0]))]


def verdict(table: Sequence[Row]) -> Verdict:
    """Count the rows."""
    return Verdict(
        len(table),
        sum(OURS in best(row) for row in table),
        sum(row.holds is True for row in table),
    )


def best(row: Row) -> set[str]:
    """The meters with the smallest error, those that tie with it included."""
    sizes = {m: abs(c.error_pct) for m, c in row.cells.items() if c.error_pct is not None}
    return {m for m, size in sizes.items() if size <= min(sizes.values()) + TIE_PCT}


def markdown(table: Sequence[Row]) -> str:
    """The whole table, its notes, and the verdict."""
    meters = [meter for meter in METERS if any(meter in row.cells for row in table)]
    others = [meter for meter in meters if meter != OURS]
    reasons = list(dict.fromkeys(c.reason for row in table for c in row.cells.values() if c.reason))
    lines = [
        f"| sensor | true power | {OURS} | its source | its interval | {' | '.join(others)} |",
        f"|---|---|---:|---|---:|{'---:|' * len(others)}",
    ]
    previous = None
    for row in table:
        sensor = "" if row.sensor_class == previous else row.sensor_class
        previous = row.sensor_class
        cells = [sensor, row.waveform, _shown(row, OURS, reasons), row.source or "–"]
        cells += [_interval(row), *(_shown(row, meter, reasons) for meter in others)]
        lines.append(f"| {' | '.join(cells)} |")
    notes = [f"<sup>{n}</sup> {reason}." for n, reason in enumerate(reasons, 1)]
    return "\n\n".join(["\n".join(lines), *notes, str(verdict(table))])


def by_class(table: Sequence[Row]) -> str:
    """A line for each class: the largest error over all waveforms."""
    meters = [meter for meter in METERS if any(meter in row.cells for row in table)]
    lines = [f"| sensor | {' | '.join(meters)} |", f"|---|{'---:|' * len(meters)}"]
    for name in dict.fromkeys(row.sensor_class for row in table):
        of_class = [row for row in table if row.sensor_class == name]
        worst = {m: _worst([r.cells[m] for r in of_class if m in r.cells]) for m in meters}
        row = Row(name, "", worst, None, None, None)
        lines.append(f"| {name} | {' | '.join(_shown(row, m, []) for m in meters)} |")
    return "\n".join([*lines, "", str(verdict(table))])


def _row(sensor_class: str, waveform: str, readings: Sequence[Reading]) -> Row:
    meters = dict.fromkeys(reading.meter for reading in readings)
    cells = {
        meter: _worst([Cell(r.error_pct, r.reason) for r in readings if r.meter == meter])
        for meter in meters
    }
    ours = [reading for reading in readings if reading.meter == OURS]
    widths = [r.interval_pct for r in ours if r.interval_pct is not None]
    holds = [r.holds is True for r in ours]
    return Row(
        sensor_class,
        waveform,
        cells,
        " / ".join(dict.fromkeys(r.source for r in ours if r.source)) or None,
        max(widths) if widths else None,
        all(holds) if holds else None,
    )


def _worst(cells: Sequence[Cell]) -> Cell:
    """The largest error; none at all if one of them is missing."""
    missing = next((cell for cell in cells if cell.error_pct is None), None)
    return missing or max(cells, key=lambda cell: abs(cell.error_pct or 0.0))


def _shown(row: Row, meter: str, reasons: Sequence[str]) -> str:
    cell = row.cells.get(meter)
    if cell is None:
        return ""
    if cell.error_pct is None:
        return f"–<sup>{reasons.index(cell.reason) + 1}</sup>" if cell.reason in reasons else "–"
    text = f"{cell.error_pct:+.2f} %"
    return f"**{text}**" if meter in best(row) else text


def _interval(row: Row) -> str:
    if row.interval_pct is None:
        return "–"
    return f"± {row.interval_pct:.2g} %" + ("" if row.holds else ", MISSES")
