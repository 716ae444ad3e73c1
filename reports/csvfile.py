"""Summaries as a tidy table: one row for each run, phase and device, described in docs/csv.md.

There are no rows of totals, so nothing is in the table twice by its form. What overlaps by its
nature (a phase and the phases inside it, measured and modelled devices) is told apart by columns:
the rows that are `in_total` add up to the run's energy, and so do their joules per unit of work.
"""

import csv
import io
import shlex
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from vidmeter.meter.run import Run
from vidmeter.meter.summary import DeviceEnergy, PhaseSummary, Summary, Total, WorkDone
from vidmeter.meter.work import per_unit
from vidmeter.reports.page import weights

COLUMNS = (
    "run_id",
    "started",
    "command",
    "exit_code",
    "phase",
    "phase_depth",
    "phase_count",
    "phase_complete",
    "duration_s",
    "device_uuid",
    "device_name",
    "device_kind",
    "device_index",
    "scope",
    "provenance",
    "in_total",
    "energy_j",
    "low_j",
    "high_j",
    "covered_j",
    "coverage",
    "mean_w",
    "peak_w",
    "source",
    "second_source",
    "second_j",
    "disagreement",
    "clips",
    "video_seconds",
    "frames",
    "megapixel_frames",
    "j_per_video_second",
    "wh_per_clip",
    "j_per_frame",
    "j_per_megapixel_frame",
    "weights",
    "cautions",
    "sampling_low_j",
    "sampling_high_j",
    "gain_low",
    "gain_high",
    "readings",
    "seen_share",
    "raw_j",
    "trusted",
)
"""The columns that are always there, in this order. New ones are only ever added at the end."""

Value = str | int | float | bool | None
Row = dict[str, Value]


def render(runs: Sequence[tuple[Run, Summary]]) -> str:
    """Runs as CSV (RFC 4180, UTF-8, a line feed after each row); what is unknown is empty.

    Work in other units than video adds two columns for each unit at the end: `work_tokens` and
    `j_per_token`.
    """
    table = [row for run, summary in runs for row in _rows(run, summary)]
    extra = sorted({name for row in table for name in row} - set(COLUMNS))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*COLUMNS, *extra])
    for row in table:
        writer.writerow([cell(row.get(name)) for name in (*COLUMNS, *extra)])
    return out.getvalue()


def _rows(run: Run, summary: Summary) -> Iterator[Row]:
    head = _head(run, summary)
    yield from _window(head, summary, None)
    for phase in summary.phases:
        yield from _window(head, summary, phase)


def _head(run: Run, summary: Summary) -> Row:
    kinds = dict.fromkeys(caution.kind for caution in summary.cautions)
    return {
        "run_id": run.id,
        "started": _iso(summary.started_real_ns),
        "command": shlex.join(summary.command),
        "exit_code": summary.exit_code,
        "weights": weights(summary),
        "cautions": ";".join(kinds),
    }


def _window(head: Row, summary: Summary, phase: PhaseSummary | None) -> Iterator[Row]:
    """The rows of one phase, or of the whole run; a window without devices has a row all the same.

    A device's part of the energy for a unit of work is its own energy over the window's work, so
    that these add up over devices as energies do.
    """
    of = phase or summary
    row = head | {
        "phase": "/".join(phase.path) if phase else "",
        "phase_depth": len(phase.path) if phase else 0,
        "phase_count": phase.count if phase else None,
        "phase_complete": phase.complete if phase else None,
        "duration_s": of.duration_s,
        "clips": of.work.clips,
        "video_seconds": of.work.video_seconds,
        "frames": of.work.frames,
        "megapixel_frames": of.work.megapixel_frames,
        **{f"work_{unit}": count for unit, count in of.work.units.items()},
    }
    for e in of.devices:
        in_total = phase is None and e.device.uuid in summary.total.devices
        yield row | _device(e) | {"in_total": in_total} | _per_unit(e, of.work)
    if not of.devices:
        yield row


def _device(e: DeviceEnergy) -> Row:
    return {
        "device_uuid": e.device.uuid,
        "device_name": e.device.name,
        "device_kind": e.device.kind,
        "device_index": e.device.index,
        "scope": e.device.scope,
        "provenance": e.device.provenance,
        "energy_j": e.energy_j,
        "low_j": e.low_j,
        "high_j": e.high_j,
        "covered_j": e.covered_j,
        "coverage": e.coverage,
        "mean_w": e.mean_w,
        "peak_w": e.peak_w,
        "source": e.source,
        "second_source": e.second_source,
        "second_j": e.second_j,
        "disagreement": e.disagreement,
        "sampling_low_j": e.sampling_low_j,
        "sampling_high_j": e.sampling_high_j,
        "gain_low": e.gain_low,
        "gain_high": e.gain_high,
        "readings": e.readings,
        "seen_share": e.seen_share,
        "raw_j": e.raw_j,
        "trusted": e.trusted,
    }


def _per_unit(e: DeviceEnergy, done: WorkDone) -> Row:
    alone = Total(e.energy_j, None, None, None, e.coverage, e.source, None, (e.device.uuid,))
    return {name: unit.value for name, unit in per_unit(alone, done).items()}


def _iso(real_ns: int | None) -> str | None:
    """An instant in UTC by ISO 8601, to the millisecond."""
    if real_ns is None:
        return None
    at = datetime.fromtimestamp(real_ns // 10**9, UTC).replace(tzinfo=None)
    return f"{at.isoformat()}.{real_ns // 10**6 % 1000:03d}Z"


def cell(value: Value) -> str:
    """A cell: numbers with all their digits, truth as `true` or `false`, the unknown as nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)
