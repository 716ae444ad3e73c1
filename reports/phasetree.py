"""The phases of a run as a tree for the terminal: a row for each, its facts below it.

A table longer than a screen is read by nobody: the rows of the least energy are left out, and
their number is told. What is inside a row that stays may go, but nothing stays without the rows
around it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from vidmeter.meter.summary import PhaseSummary, Summary
from vidmeter.meter.windows import merged
from vidmeter.reports.format import joules, percent, seconds, watts
from vidmeter.reports.phasewords import (
    UNRESOLVED,
    company,
    facts_in_words,
    first_in_words,
    interval,
    marks,
)

MOST_ROWS = 40

Path = tuple[str, ...]


class Row(NamedTuple):
    """A line of the table: what stands to the left of its name, cells, and lines below it."""

    lead: str
    cells: tuple[str, ...]
    below: tuple[str, ...] = ()


HEAD = ("phase", "time", "energy", "", "share", "mean", "each", "")


def table(summary: Summary) -> list[str]:
    """The lines of the table, its head first; empty without phases."""
    if not summary.phases:
        return []
    kept, folded = fold(summary.phases)
    leads = _leads([phase.path for phase in kept])
    by_path = {phase.path: phase for phase in kept}
    rows = [_row(phase, by_path.get(phase.path[:-1]), *leads[phase.path]) for phase in kept]
    if folded:
        rows.append(Row("", (f"… {folded} more", *[""] * 7)))
    outside = _outside(summary)
    return _aligned([Row("", HEAD), *rows, *([outside] if outside else [])])


def fold(phases: Sequence[PhaseSummary], most: int = MOST_ROWS) -> tuple[list[PhaseSummary], int]:
    """Those that are shown, at most `most` rows with the one that says how many are not."""
    if len(phases) <= most:
        return list(phases), 0
    by_path = {phase.path: phase for phase in phases}
    chosen: set[Path] = set()
    for phase in sorted(phases, key=_weight, reverse=True):
        around = {phase.path[:n] for n in range(1, len(phase.path) + 1)} & by_path.keys()
        if len(chosen | around) < most:
            chosen |= around
    return [p for p in phases if p.path in chosen], len(phases) - len(chosen)


def _weight(phase: PhaseSummary) -> tuple[float, float]:
    return phase.total.energy_j or 0.0, phase.duration_s


def _leads(paths: Sequence[Path]) -> dict[Path, tuple[str, str]]:
    """What stands before each name, and before the lines below it."""
    last = {path[:-1]: path for path in paths}
    inside = {path[:-1] for path in paths}
    found: dict[Path, tuple[str, str]] = {}
    for path in paths:
        trunk = "".join(
            "   " if last.get(path[:n]) == path[: n + 1] else "│  " for n in range(1, len(path) - 1)
        )
        is_last = last[path[:-1]] == path
        own = "" if len(path) == 1 else "└─ " if is_last else "├─ "
        under = "" if len(path) == 1 else "   " if is_last else "│  "
        found[path] = trunk + own, trunk + under + ("│  " if path in inside else "   ")
    return found


def _row(phase: PhaseSummary, around: PhaseSummary | None, lead: str, under: str) -> Row:
    total, length_s = phase.total, phase.duration_s
    energy_j = total.energy_j
    known = phase.resolved or phase.combined
    words = [word for word in marks(phase) if word != UNRESOLVED]
    words += company(phase, around)
    times = f" ×{phase.count}" if phase.count > 1 else ""
    notes = [facts_in_words(phase.facts), first_in_words(phase)]
    if "," not in notes[0]:  # the class alone, as of a component that was loaded
        words.insert(0, notes.pop(0))
    return Row(
        lead,
        (
            phase.path[-1] + times,
            seconds(length_s),
            joules(energy_j) if known else UNRESOLVED,
            interval(phase),
            percent(phase.share),
            watts(energy_j / length_s if energy_j is not None and length_s else None),
            joules(energy_j / phase.count) if energy_j is not None and phase.count > 1 else "",
            ", ".join(word for word in words if word),
        ),
        tuple(under + note for note in notes if note),
    )


def _outside(summary: Summary) -> Row | None:
    energy_j, whole_j = summary.unattributed_j, summary.total.energy_j
    if energy_j is None or not whole_j:
        return None
    inside = merged(span for p in summary.phases if len(p.path) == 1 for span in p.windows)
    rest_s = max(summary.duration_s - sum(b - a for a, b in inside) / 1e9, 0.0)
    mean_w = watts(energy_j / rest_s) if rest_s else ""
    share = percent(energy_j / whole_j)
    cells = ("outside phases", seconds(rest_s), joules(energy_j), "", share, mean_w, "", "")
    return Row("", cells)


def _aligned(rows: Sequence[Row]) -> list[str]:
    """Columns as wide as they need to be; one that is empty everywhere is left out."""
    cells = [(row.lead + row.cells[0], *row.cells[1:]) for row in rows]
    wide = [max(len(row[i]) for row in cells) for i in range(len(HEAD))]
    lines = []
    for row, texts in zip(rows, cells, strict=True):
        line = "  ".join(
            text.ljust(w) if i in (0, len(HEAD) - 1) else text.rjust(w)
            for i, (text, w) in enumerate(zip(texts, wide, strict=True))
            if w
        )
        lines.append(f"  {line}".rstrip())
        lines += [f"  {text}" for text in row.below]
    return lines
