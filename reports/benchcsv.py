"""A bench as a tidy table, `results.csv`: one row for each repeat, columns as in docs/bench.md."""

import csv
import io
from collections.abc import Sequence

from vidmeter.meter.rows import Row
from vidmeter.reports.arm import Arm, Repeat
from vidmeter.reports.csvfile import cell

COLUMNS = (
    "arm",
    "workload",
    "task",
    "block",
    "round",
    "repeat",
    "seed",
    "weights",
    "settings",
    "video_seconds",
    "frames",
    "input_tokens",
    "output_tokens",
    "energy_j",
    "low_j",
    "high_j",
    "seconds",
    "mean_w",
    "j_per_video_second",
    "wh_per_clip",
    "j_per_output_token",
    "j_per_input_token",
    "j_per_run",
    "operations",
    "pj_per_flop",
    "tflops",
    "devices",
    "provenance",
    "source",
    "gain_low_j",
    "gain_high_j",
    "idle_no_context_w",
    "idle_loaded_w",
    "steady",
    "outlier",
    "trusted",
    "cautions",
    "run_id",
    "run_file",
)
"""The columns that are always there, in this order. New ones are only ever added at the end."""
_WORK = ("video_seconds", "frames", "input_tokens", "output_tokens")


def render(arms: Sequence[Arm]) -> str:
    """Repeats as CSV (RFC 4180, UTF-8, a line feed after each row); what is unknown is empty.

    Work in other units adds a column for each at the end, such as `j_per_token`.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    seen = {name for arm in arms for repeat in arm.repeats for name in repeat.per_unit}
    columns = [*COLUMNS, *sorted(seen - set(COLUMNS))]
    writer.writerow(columns)
    for arm in arms:
        for repeat in arm.repeats:
            row = _row(arm, repeat)
            writer.writerow([cell(row.get(name)) for name in columns])
    return out.getvalue()


def _row(arm: Arm, r: Repeat) -> Row:
    total = r.summary.total
    protocol = r.facts.get("protocol") or {}
    idle_w = protocol.get("idle_w") or {}
    energy_j, operations = r.energy_j, r.operations
    done = r.summary.work
    seen = {"video_seconds": done.video_seconds, "frames": done.frames, **done.units}
    work = r.facts.get("work") or seen
    return {
        **{name: work.get(name) for name in _WORK},
        "arm": arm.label,
        "workload": arm.workload,
        "task": arm.task,
        "block": r.block,
        "round": r.round,
        "repeat": r.number,
        "seed": r.facts.get("seed"),
        "weights": arm.weights,
        "settings": " ".join(f"{name}={value}" for name, value in arm.settings.items()),
        "energy_j": energy_j,
        "low_j": total.low_j,
        "high_j": total.high_j,
        "seconds": r.seconds,
        "mean_w": r.mean_w,
        **r.per_unit,
        "operations": operations,
        "pj_per_flop": energy_j / operations * 1e12 if energy_j and operations else None,
        "tflops": operations / r.seconds / 1e12 if operations and r.seconds else None,
        "devices": ";".join(arm.device_names),
        "provenance": total.provenance,
        "source": total.source,
        "gain_low_j": total.gain_low_j,
        "gain_high_j": total.gain_high_j,
        "idle_no_context_w": idle_w.get("no_context"),
        "idle_loaded_w": idle_w.get("loaded"),
        "steady": protocol.get("steady"),
        "outlier": r.number in arm.outliers,
        "trusted": total.trusted,
        "cautions": ";".join(dict.fromkeys(c.kind for c in r.summary.cautions)),
        "run_id": r.run.id,
        "run_file": r.run.path.name if r.run.path else None,
    }
