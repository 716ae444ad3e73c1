"""Runs as tables for a page or a paper: what each took in all, and each of its phases."""

import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vidmeter.meter.summary import PhaseSummary, Summary, Total
from vidmeter.reports import shared, tables
from vidmeter.reports.format import digits, joules, percent, seconds, watts
from vidmeter.reports.phasewords import UNRESOLVED, marks
from vidmeter.reports.terminal import provenance_in_words, unit_name, work_in_words

if TYPE_CHECKING:
    import pandas as pd


def frame(summary: Summary) -> "pd.DataFrame":
    """A row for the run and one for each phase, every cell a text for people."""
    import pandas as pd

    total, length_s = summary.total, summary.duration_s
    marked = " ".join(["in all", *_marks(summary)])
    whole = 1.0 if total.energy_j else None
    rows = [_row(marked, length_s, total, joules(total.energy_j), whole)]
    rows += [_of_phase(phase) for phase in summary.phases]
    outside_j = summary.unattributed_j
    if summary.phases and outside_j is not None and total.energy_j:
        cells = ("outside phases", "", joules(outside_j), "", "")
        rows.append(dict(zip(_HEAD, (*cells, percent(outside_j / total.energy_j)), strict=True)))
    return pd.DataFrame(rows, columns=_HEAD).fillna("")


def markdown(summaries: Sequence[Summary]) -> str:
    """A table of GitHub's Markdown for each run, and under it how it is to be read."""
    return "\n".join(tables.as_markdown(frame(s), list(_notes(s))) for s in summaries)


def latex(summaries: Sequence[Summary]) -> str:
    """A `tabular` with the rules of booktabs for each run, and under it how it is to be read."""
    return "\n".join(tables.as_latex(frame(s), list(_notes(s))) for s in summaries)


_HEAD = ("", "time", "energy", "95 % interval", "mean power", "share")


def _of_phase(phase: PhaseSummary) -> dict[str, str]:
    known = phase.resolved or phase.combined
    words = [word for word in marks(phase) if word != UNRESOLVED]
    name = " › ".join(phase.path) + (f" ×{phase.count}" if phase.count > 1 else "")
    energy = joules(phase.total.energy_j) if known else UNRESOLVED
    label = ", ".join([name, *words])
    return _row(label, phase.duration_s, phase.total, energy, phase.share)


def _row(
    label: str, length_s: float, total: Total, energy: str, share: float | None
) -> dict[str, str]:
    known, interval = total.energy_j is not None, ""
    if total.low_j is not None and total.high_j is not None:
        interval = f"{joules(total.low_j)} to {joules(total.high_j)}"
    mean_w = total.energy_j / length_s if total.energy_j is not None and length_s else None
    cells = (label, seconds(length_s), energy, interval)
    told = (*cells, watts(mean_w) if known else "", percent(share) if share is not None else "")
    return dict(zip(_HEAD, told, strict=True))


def _marks(summary: Summary) -> list[str]:
    """What stands beside a number that wasn't measured, or is in doubt."""
    told = (provenance_in_words(summary.total), "" if summary.total.trusted else "NOT TRUSTED")
    return [mark for mark in told if mark]


def _notes(summary: Summary) -> Iterator[str]:
    """What a table must not be quoted without: the answer, what was measured, the doubts."""
    for name, unit in summary.per_unit.items():
        if unit.value is not None:
            between = ""
            if unit.low is not None and unit.high is not None:
                between = f" ({digits(unit.low)} to {digits(unit.high)})"
            yield f"{digits(unit.value)} {unit_name(name)}{between}"
    if work := work_in_words(summary.work):
        yield work
    yield f"of {shlex.join(summary.command)}"
    for e in summary.devices:
        seen = f"from {e.source}, {percent(e.coverage)} seen" if e.source else "no readings"
        counted = "" if e.device.uuid in summary.total.devices else ", not in the total"
        yield f"{e.device.label}: {e.device.scope}, {seen}{counted}"
    for caution in shared.cautions(summary):
        yield f"Caution: {caution.text}."
