"""The results of a benchmark as JSON, for other programs; described in docs/bench.md."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from vidmeter.meter.comparing import Comparison
from vidmeter.reports.arms import Arm, Repeat
from vidmeter.reports.published import beside

SCHEMA = 1


def render(arms: Sequence[Arm], comparison: Comparison | None = None) -> str:
    """Arms and their comparison; what is unknown is null."""
    table = {
        "schema": SCHEMA,
        "arms": [_arm(arm) for arm in arms],
        "comparison": None if comparison is None else asdict(comparison),
    }
    return json.dumps(table, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _arm(arm: Arm) -> dict[str, Any]:
    found, gain = arm.estimate(), arm.gain()
    absolute = arm.with_gain()
    return {
        "arm": arm.label,
        "task": arm.task,
        "workload": arm.workload,
        "weights": arm.weights,
        "provenance": arm.provenance,
        "devices": list(arm.device_names()),
        "unit": arm.unit,
        "estimate": None if found is None else {**asdict(found), "relative": found.relative},
        "gain": {"below": gain[0], "above": gain[1]},
        "absolute": None if absolute is None else asdict(absolute),
        "per_unit": {
            unit: None if (e := arm.estimate(unit)) is None else asdict(e) for unit in _units(arm)
        },
        "energy_j": arm.mean("energy_j"),
        "net_j": arm.net_j(),
        "seconds": arm.mean("seconds"),
        "mean_w": arm.mean_w(),
        "idle_w": arm.idle_w(),
        "pj_per_flop": arm.mean("pj_per_flop"),
        "tflops": arm.mean("tflops"),
        "peak_share": arm.peak_share(),
        "settings": dict(arm.settings),
        "facts": dict(arm.facts),
        "protocols": [dict(p) for p in arm.protocols],
        "cautions": [asdict(doubt) for doubt in arm.doubts],
        "published": [asdict(row) for row in beside(arm)],
        "repeats": [_repeat(repeat) for repeat in arm.repeats],
    }


def _units(arm: Arm) -> list[str]:
    names: dict[str, None] = {}
    for repeat in arm.stated:
        names |= dict.fromkeys(repeat.per_unit)
    return list(names)


def _repeat(repeat: Repeat) -> dict[str, Any]:
    return {
        "block": repeat.block,
        "round": repeat.round,
        "repeat": repeat.number,
        "seed": repeat.seed,
        "run_id": repeat.run.id,
        "energy_j": repeat.energy_j,
        "seconds": repeat.seconds,
        "mean_w": repeat.mean_w,
        "per_unit": dict(repeat.per_unit),
        "operations": repeat.operations,
    }
