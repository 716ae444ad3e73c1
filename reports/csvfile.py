"""Summaries as CSV: the table of `vidmeter.meter.rows`, for other programs (docs/csv.md)."""

import csv
import io
from collections.abc import Sequence

from vidmeter.meter.rows import COLUMNS, Value, rows
from vidmeter.meter.run import Run
from vidmeter.meter.summary import Summary


def render(runs: Sequence[tuple[Run, Summary]]) -> str:
    """Runs as CSV (RFC 4180, UTF-8, a line feed after each row); what is unknown is empty.

    Work in other units than video adds two columns for each unit at the end: `work_tokens` and
    `j_per_token`.
    """
    table = [row for run, summary in runs for row in rows(run, summary)]
    extra = sorted({name for row in table for name in row} - set(COLUMNS))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*COLUMNS, *extra])
    for row in table:
        writer.writerow([cell(row.get(name)) for name in (*COLUMNS, *extra)])
    return out.getvalue()


def cell(value: Value) -> str:
    """A cell: numbers with all their digits, truth as `true` or `false`, the unknown as nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)
