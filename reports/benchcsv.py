"""The repeats of a benchmark as a tidy table, one row each; described in docs/bench.md."""

import csv
import io
from collections.abc import Sequence

from vidmeter.reports.arms import Arm, Repeat

COLUMNS = (
    "arm",
    "task",
    "workload",
    "weights",
    "block",
    "round",
    "repeat",
    "seed",
    "run_id",
    "provenance",
    "devices",
    "energy_j",
    "low_j",
    "high_j",
    "seconds",
    "mean_w",
    "video_seconds",
    "frames",
    "input_tokens",
    "output_tokens",
    "j_per_video_second",
    "wh_per_clip",
    "j_per_frame",
    "j_per_megapixel_frame",
    "j_per_input_token",
    "j_per_output_token",
    "operations",
    "pj_per_flop",
    "tflops",
    "steady",
    "settings",
    "cautions",
)
"""The columns, always all of them and in this order."""


def render(arms: Sequence[Arm]) -> str:
    """Every repeat as a row of CSV (RFC 4180, UTF-8, a line feed after each); unknown is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for arm in arms:
        for repeat in arm.repeats:
            row = _row(arm, repeat)
            writer.writerow([_text(row[name]) for name in COLUMNS])
    return out.getvalue()


def _row(arm: Arm, repeat: Repeat) -> dict[str, object]:
    total, done = repeat.summary.total, repeat.summary.work
    protocol = (repeat.run.workload or {}).get("protocol") or {}
    per_unit = {name: repeat.per_unit.get(name) for name in COLUMNS if name[:2] in ("j_", "wh")}
    return {
        **per_unit,
        "arm": arm.label,
        "task": arm.task,
        "workload": arm.workload,
        "weights": arm.weights,
        "block": repeat.block,
        "round": repeat.round,
        "repeat": repeat.number,
        "seed": repeat.seed,
        "run_id": repeat.run.id,
        "provenance": total.provenance,
        "devices": ";".join(arm.device_names()),
        "energy_j": repeat.energy_j,
        "low_j": total.low_j,
        "high_j": total.high_j,
        "seconds": repeat.seconds,
        "mean_w": repeat.mean_w,
        "video_seconds": done.video_seconds,
        "frames": done.frames,
        "input_tokens": done.units.get("input_tokens"),
        "output_tokens": done.units.get("output_tokens"),
        "operations": repeat.operations,
        "pj_per_flop": repeat.pj_per_flop,
        "tflops": repeat.tflops,
        "steady": protocol.get("steady"),
        "settings": " ".join(f"{k}={v}" for k, v in arm.settings.items()),
        "cautions": ";".join(dict.fromkeys(c.kind for c in repeat.summary.cautions)),
    }


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)
