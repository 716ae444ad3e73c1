"""Runs as a tidy table: one row for each run, phase and device, described in docs/csv.md.

There are no rows of totals, so nothing is in the table twice by its form. What overlaps by its
nature (a phase and the phases inside it, measured and modelled devices) is told apart by columns:
the rows that are `in_total` add up to the run's energy, and so do their joules per unit of work.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidmeter.meter.errors import BadRun
from vidmeter.meter.reader import load
from vidmeter.meter.run import Run
from vidmeter.meter.runfile import SUFFIX
from vidmeter.meter.summarize import summarize
from vidmeter.meter.summary import DeviceEnergy, PhaseSummary, Summary, Total, WorkDone
from vidmeter.meter.work import per_unit

if TYPE_CHECKING:
    import pandas as pd

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


def rows(run: Run, summary: Summary) -> Iterator[Row]:
    """The rows of a run: those of the whole run, then of each of its phases. Unknown is None.

    Work in other units than video has two columns for each unit beside `COLUMNS`: `work_tokens`
    and `j_per_token`.
    """
    head = _head(run, summary)
    yield from _window(head, summary, None)
    for phase in summary.phases:
        yield from _window(head, summary, phase)


def frame(runs: Sequence[Run]) -> "pd.DataFrame":
    """The rows of runs as a DataFrame with `COLUMNS`, and a unit's own columns after them.

    Numbers are numbers, truth is truth, the unknown is pandas' NA or NaN, never 0.
    """
    import pandas as pd

    table = [row for run in runs for row in rows(run, summarize(run))]
    extra = sorted({name for row in table for name in row} - set(COLUMNS))
    return pd.DataFrame(table, columns=[*COLUMNS, *extra]).convert_dtypes()


def load_all(folder: Path | str) -> "pd.DataFrame":
    """All runs of a folder and of what is nested in it, the oldest first, as `Run.to_frame`.

    Of a benchmark's folder come its repeats, and not the blocks that they were cut out of. Raises
    BadRun if there is none, or one can't be read.
    """
    found = [p for p in Path(folder).rglob(f"*{SUFFIX}") if p.parent.name != "blocks"]
    if not found:
        raise BadRun(f"there is no run in {folder}")
    loaded = [load(path) for path in sorted(found)]
    return frame(sorted(loaded, key=_began))


def _began(run: Run) -> int:
    return run.anchors[0].to_real(run.start_ns) if run.anchors else run.start_ns


def _head(run: Run, summary: Summary) -> Row:
    kinds = dict.fromkeys(caution.kind for caution in summary.cautions)
    return {
        "run_id": run.id,
        "started": _iso(summary.started_real_ns),
        "command": shlex.join(summary.command),
        "exit_code": summary.exit_code,
        "weights": weights(summary.workload),
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


def weights(workload: Mapping[str, Any] | None) -> str | None:
    """Which weights a reference workload had, such as `random`; None for other programs."""
    facts = (workload or {}).get("facts")
    found = facts.get("weights") if isinstance(facts, Mapping) else None
    return found if isinstance(found, str) else None
