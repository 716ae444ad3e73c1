"""A summary as JSON, for programs. The schema is described in docs/summary.md; null is unknown."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vidmeter.meter.summary import Conditions, DeviceEnergy, PhaseSummary, Summary, Total, WorkDone

if TYPE_CHECKING:
    from vidmeter.reports.footprint import Footprint

SCHEMA = "vidmeter-summary/1"
"""Grows with each change that an existing reader would stumble over."""


def render(summary: Summary, footprint: "Footprint | None" = None) -> str:
    """The summary as one JSON document, with a footprint where one was asked for."""
    asked = None
    if footprint:
        from vidmeter.reports import footprintwords

        asked = footprintwords.document(footprint)
    whole = document(summary) | {"footprint": asked}
    return json.dumps(whole, indent=2, allow_nan=False) + "\n"


def document(summary: Summary) -> dict[str, Any]:
    """The summary as plain JSON values."""
    return {
        "schema": SCHEMA,
        "run": summary.run_id,
        "command": list(summary.command),
        "window": {
            "start_ns": summary.start_ns,
            "end_ns": summary.end_ns,
            "duration_s": summary.duration_s,
            "started_real_ns": summary.started_real_ns,
        },
        "devices": [
            _device(e) | {"conditions": _conditions(summary.conditions.get(e.device.uuid))}
            for e in summary.devices
        ],
        "total": _total(summary.total),
        "phases": [_phase(p) for p in summary.phases],
        "unattributed_j": summary.unattributed_j,
        "work": _work(summary.work),
        **_per_unit(summary),
        "idle": [i._asdict() for i in summary.idle],
        "net": summary.net._asdict() if summary.net else None,
        "gpu_time": summary.gpu_time._asdict() if summary.gpu_time else None,
        "cautions": [c._asdict() for c in summary.cautions],
        "exit_code": summary.exit_code,
        "environment": dict(summary.environment),
        "workload": summary.workload,
    }


def _device(e: DeviceEnergy) -> dict[str, Any]:
    return {
        "uuid": e.device.uuid,
        "name": e.device.name,
        "kind": e.device.kind,
        "index": e.device.index,
        "scope": e.device.scope,
        "provenance": e.device.provenance,
        "sensor": e.device.sensor,
        "energy_j": e.energy_j,
        "low_j": e.low_j,
        "high_j": e.high_j,
        "sampling_low_j": e.sampling_low_j,
        "sampling_high_j": e.sampling_high_j,
        "gain_low": e.gain_low,
        "gain_high": e.gain_high,
        "raw_j": e.raw_j,
        "covered_j": e.covered_j,
        "coverage": e.coverage,
        "source": e.source,
        "readings": e.readings,
        "independent": e.independent,
        "resolved": e.resolved,
        "seen_share": e.seen_share,
        "second_source": e.second_source,
        "second_j": e.second_j,
        "disagreement": e.disagreement,
        "trusted": e.trusted,
        "set_aside": dict(e.set_aside),
        "mean_w": e.mean_w,
        "peak_w": e.peak_w,
        "facts": dict(e.device.facts),
    }


def _conditions(found: Conditions | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return asdict(found) | {"throttled": dict(found.throttled), "foreign": list(found.foreign)}


def _total(total: Total) -> dict[str, Any]:
    return {
        "energy_j": total.energy_j,
        "low_j": total.low_j,
        "high_j": total.high_j,
        "sampling_low_j": total.sampling_low_j,
        "sampling_high_j": total.sampling_high_j,
        "gain_low_j": total.gain_low_j,
        "gain_high_j": total.gain_high_j,
        "covered_j": total.covered_j,
        "coverage": total.coverage,
        "source": total.source,
        "readings": total.readings,
        "boundary": total.boundary,
        "trusted": total.trusted,
        "provenance": total.provenance,
        "devices": list(total.devices),
    }


def _phase(phase: PhaseSummary) -> dict[str, Any]:
    return {
        "name": phase.path[-1],
        "path": list(phase.path),
        "count": phase.count,
        "start_ns": phase.windows[0][0],
        "end_ns": phase.windows[-1][1],
        "windows": [list(span) for span in phase.windows],
        "duration_s": phase.duration_s,
        **_total(phase.total),
        "share": phase.share,
        "share_low": phase.share_low,
        "share_high": phase.share_high,
        "resolved": phase.resolved,
        "self_j": phase.self_j,
        "concurrent": phase.concurrent,
        "combined": phase.combined,
        "facts": _finite(phase.facts),
        "processes": phase.processes,
        "on_gpu": phase.on_gpu,
        "host_s": phase.host_s,
        "lag_s": phase.lag_s,
        "first_s": phase.first_s,
        "first_j": phase.first_j,
        "rest_mean_s": phase.rest_mean_s,
        "profile": None if phase.profile is None else list(phase.profile),
        "by_device": [
            {k: v for k, v in _device(e).items() if k not in ("facts", "scope")}
            for e in phase.devices
        ],
        "work": _work(phase.work),
        **_per_unit(phase),
        "complete": phase.complete,
        "error": phase.error,
    }


def _finite(facts: Mapping[str, Any]) -> Any:
    """What programs say of themselves, without the numbers that JSON has no word for."""
    return json.loads(json.dumps(dict(facts)), parse_constant=lambda _: None)


def _work(work: WorkDone) -> dict[str, Any]:
    return {
        "clips": work.clips,
        "video_seconds": work.video_seconds,
        "frames": work.frames,
        "megapixel_frames": work.megapixel_frames,
        "units": dict(work.units),
        "origin": work.origin,
        "paths": list(work.paths),
    }


_ALWAYS = ("j_per_video_second", "wh_per_clip", "j_per_frame", "j_per_megapixel_frame")


def _per_unit(of: Summary | PhaseSummary) -> dict[str, Any]:
    """Values by name, those of video always there, and their intervals under the same names."""
    values = dict.fromkeys(_ALWAYS) | {name: unit.value for name, unit in of.per_unit.items()}
    spans = {name: [unit.low, unit.high] for name, unit in of.per_unit.items()}
    return {"per_unit": values, "per_unit_interval": spans}
