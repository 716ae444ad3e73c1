"""Does a run still say what was said of it? Every figure is computed anew and compared.

When a summary is printed, its figures are kept in the run file together with a digest of the raw
samples. `check` does the arithmetic again from the samples and compares number by number, to the
last bit. Reports on disk are rendered again in their own form and compared as well.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import vidmeter
from vidmeter.meter.run import Run
from vidmeter.meter.summary import Summary
from vidmeter.reports import beside, csvfile, footprintwords, htmlpage, jsonfile
from vidmeter.reports.statement import digest, figures


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was compared: what it is, and what doesn't hold (nothing if all does)."""

    what: str
    figures: int
    wrong: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing differs."""
        return not self.wrong


def check(run: Run, summary: Summary) -> list[Finding]:
    """The run file itself: its samples, and the figures that were stated of it."""
    found = [_samples(run)]
    stated = run.stated
    if stated is None:
        return found
    if stated.get("samples_sha256") != digest(run):
        changed = "the samples are not those that the figures were computed from"
        found.append(Finding("digest of the samples", 1, (changed,)))
    else:
        found.append(Finding("digest of the samples", 1))
    now = dict(figures(jsonfile.document(summary)))
    said: Mapping[str, Any] = stated.get("figures", {})
    by = stated.get("vidmeter")
    what = f"figures stated by vidmeter {by}"
    if by != vidmeter.__version__:
        what += f" (this is {vidmeter.__version__})"
    found.append(Finding(what, len(said), tuple(_differences(said, now))))
    return found


def check_report(name: str, form: str, text: str, run: Run, summary: Summary) -> Finding:
    """A report on disk (`form` is html, csv, json or text) against the same rendered anew."""
    if form == "json":
        import json

        try:
            said = dict(figures(json.loads(text)))
        except ValueError:
            return Finding(name, 0, ("it is not JSON",))
        now = dict(figures(jsonfile.document(summary)))
        return Finding(name, len(said), tuple(_differences(said, now)))
    if form == "csv":
        rows = [r for r in csv.DictReader(io.StringIO(text)) if r.get("run_id") == run.id]
        fresh = list(csv.DictReader(io.StringIO(csvfile.render([(run, summary)]))))
        if len(rows) != len(fresh):
            return Finding(name, 0, (f"{len(rows)} rows of this run instead of {len(fresh)}",))
        wrong = [
            difference
            for i, (row, new) in enumerate(zip(rows, fresh, strict=True), 1)
            for difference in _differences(
                {f"row {i}, {k}": v for k, v in row.items()},
                {f"row {i}, {k}": v for k, v in new.items()} | _left_empty(row, new, i),
            )
        ]
        return Finding(name, sum(len(row) for row in rows), tuple(wrong))
    bare = footprintwords.without(text, form)
    if bare != text:
        name, text = f"{name}, all but its footprint", bare
    fresh_text = htmlpage.render(run, summary) if form == "html" else beside.text(run, summary)
    lines, new_lines = text.splitlines(), fresh_text.splitlines()
    wrong = [
        f"line {i}: {old.strip()[:80]!r} is now {new.strip()[:80]!r}"
        for i, (old, new) in enumerate(zip(lines, new_lines, strict=False), 1)
        if old != new
    ]
    if len(lines) != len(new_lines):
        wrong.append(f"{len(lines)} lines instead of {len(new_lines)}")
    return Finding(name, len(lines), tuple(wrong))


def _left_empty(row: Mapping[str, str], new: Mapping[str, str], i: int) -> dict[str, str]:
    """Columns of other runs in a common table: empty for this one."""
    return {f"row {i}, {key}": "" for key in row if key not in new}


def _samples(run: Run) -> Finding:
    """Samples that can be what was recorded: as many times as values, in ascending order."""
    wrong, count = [], 0
    known = {d.uuid for d in run.devices}
    for series, (t_ns, value) in run.traces.items():
        count += len(t_ns)
        name = f"{series.quantity} of {series.device}"
        if len(t_ns) != len(value):
            wrong.append(f"{name}: {len(t_ns)} times for {len(value)} values")
        if (np.diff(np.asarray(t_ns)) < 0).any():
            wrong.append(f"{name}: its samples are not in order of time")
        if series.device not in known:
            wrong.append(f"{name}: no such device in this run")
    return Finding("raw samples", count, tuple(wrong))


def _differences(said: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for key, value in said.items():
        if key not in now:
            yield f"{key}: {value} was stated, and is not computed now"
        elif now[key] != value:
            yield f"{key}: {value} was stated, {now[key]} is computed"
