"""A bench as JSON, for programs: `results.json`. Null is unknown; docs/bench.md has the fields."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from vidmeter.meter.comparing import Comparison
from vidmeter.meter.statistics import Estimate
from vidmeter.reports.arm import Arm, Repeat
from vidmeter.reports.comparison import Compared
from vidmeter.reports.doubts import doubts, of_comparison
from vidmeter.reports.peaks import share_of_peak
from vidmeter.reports.published import comparable, job_of_arm

SCHEMA = 1
"""Grows with each change that an existing reader would stumble over."""


def render(arms: Sequence[Arm], comparisons: Sequence[Compared] = ()) -> str:
    """The arms, and the comparisons with the first where there are any."""
    document = {
        "schema": SCHEMA,
        "arms": [_arm(arm) for arm in arms],
        "comparisons": [_comparison(c) for c in comparisons],
        "cautions": [c._asdict() for c in of_comparison(arms)],
    }
    return json.dumps(_finite(document), indent=2, allow_nan=False) + "\n"


def _comparison(c: Compared) -> dict[str, Any]:
    """Everything of `Comparison` is null where two arms have no ratio; `why` says why not."""
    found: dict[str, Any] = dict.fromkeys(f.name for f in fields(Comparison))
    return {
        "a": c.a.label,
        "b": c.b.label,
        "headline": c.a.headline,
        "interleaved": c.interleaved,
        "with_gain": c.with_gain,
        "why_not": c.why,
        "unlike": list(c.unlike),
        "weights_differ": c.a.weights != c.b.weights,
        **(asdict(c.found) if c.found else found),
        "phases": [
            {"path": list(p.path), "a": p.a, "b": p.b, **asdict(p.difference)} for p in c.phases
        ],
    }


def _arm(arm: Arm) -> dict[str, Any]:
    low, high = arm.gain
    wide = arm.absolute
    return {
        "label": arm.label,
        "task": arm.task,
        "workload": arm.workload,
        "weights": arm.weights,
        "settings": dict(arm.settings),
        "provenance": arm.provenance,
        "devices": list(arm.device_names),
        "headline": arm.headline,
        "unit": arm.unit,
        **_estimate(arm.estimate),
        "gain_low": low,
        "gain_high": high,
        "absolute_low": wide.low if wide else None,
        "absolute_high": wide.high if wide else None,
        "per_unit": {name: _estimate(arm.estimate_of(name)) for name in _units(arm)},
        "energy_j": arm.energy_j,
        "net_j": arm.net_j,
        "seconds": arm.seconds,
        "mean_w": arm.mean_w,
        "operations": arm.middle.facts.get("operations"),
        "pj_per_flop": arm.pj_per_flop,
        "tflops": arm.tflops,
        "peak": _peak(arm),
        "outliers": list(arm.outliers),
        "protocol": arm.protocol,
        "facts": arm.facts,
        "work": arm.work,
        "published": [r._asdict() for r in comparable(job_of_arm(arm)).rows],
        "cautions": [d._asdict() for d in doubts(arm)],
        "repeats": [_repeat(arm, r) for r in arm.repeats],
    }


def _peak(arm: Arm) -> dict[str, Any] | None:
    """The share of the nominal peak that was reached, 0 to 1, and whose figure that is."""
    reached = share_of_peak(arm)
    if reached is None:
        return None
    share, peak = reached
    return {"share": share, **peak._asdict()}


def _estimate(found: Estimate | None) -> dict[str, Any]:
    """Mean, median and interval; all null where nothing is known."""
    names = ("mean", "median", "sd", "n", "blocks", "low", "high", "basis", "blocks_p")
    return {name: getattr(found, name) if found else None for name in names}


def _units(arm: Arm) -> list[str]:
    return list(dict.fromkeys(name for r in arm.repeats for name in r.per_unit))


def _repeat(arm: Arm, r: Repeat) -> dict[str, Any]:
    total = r.summary.total
    return {
        "run": r.run.id,
        "block": r.block,
        "round": r.round,
        "repeat": r.number,
        "seed": r.facts.get("seed"),
        "energy_j": r.energy_j,
        "low_j": total.low_j,
        "high_j": total.high_j,
        "seconds": r.seconds,
        "mean_w": r.mean_w,
        "value": r.per_unit.get(arm.headline),
        "outlier": r.number in arm.outliers,
        "files": r.facts.get("files") or [],
    }


def _finite(value: Any) -> Any:
    """Plain JSON values; numbers that JSON has no word for are null."""
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value
