"""A run for speedscope: one profile with joules as weights, one with seconds.

A sampled profile is a list of stacks with weights. The stacks are the places in the tree of phases
in order of their first start, each weighted by what it had for itself. The format is described by
https://www.speedscope.app/file-format-schema.json.
"""

import json
import shlex
from collections.abc import Sequence
from typing import Any

from vidmeter.meter.summary import Summary
from vidmeter.reports.selfenergy import Own, outside_s, own_of

OUTSIDE = "outside phases"
UNKNOWN = "below resolution"
_SCHEMA = "https://www.speedscope.app/file-format-schema.json"
_Weighted = Sequence[tuple[tuple[str, ...], float]]


def render(summary: Summary) -> str:
    """The profiles as JSON."""
    return json.dumps(document(summary), ensure_ascii=False, allow_nan=False) + "\n"


def document(summary: Summary) -> dict[str, Any]:
    """The profiles as plain JSON values; without a known energy, only that of time."""
    owns = own_of(summary)
    joules = _joules(summary, owns)
    seconds = [(o.phase.path, o.time_s) for o in owns] + [((OUTSIDE,), outside_s(summary))]
    names = sorted({name for path, _ in [*joules, *seconds] for name in path})
    numbers = {name: i for i, name in enumerate(names)}
    mark = f", {summary.total.provenance}" if summary.total.provenance else ""
    profiles = [_profile(f"energy in J{mark}", "none", joules, numbers)] if joules else []
    profiles.append(_profile("time in s", "seconds", seconds, numbers))
    return {
        "$schema": _SCHEMA,
        "exporter": "vidmeter",
        "name": shlex.join(summary.command) or summary.run_id,
        "activeProfileIndex": 0,
        "shared": {"frames": [{"name": name} for name in names]},
        "profiles": profiles,
    }


def _joules(summary: Summary, owns: Sequence[Own]) -> list[tuple[tuple[str, ...], float]]:
    """The stacks of energy; what phases below resolution at the top had is one frame of its own."""
    whole_j = summary.total.energy_j
    found = [(o.phase.path, o.energy_j) for o in owns if o.energy_j is not None]
    left_j = summary.unattributed_j
    if left_j is not None:
        found.append(((OUTSIDE,), max(left_j, 0.0)))
    rest_j = (whole_j or 0.0) - sum(weight for _, weight in found)
    if whole_j and rest_j > 1e-6 * whole_j:
        found.append(((UNKNOWN,), rest_j))
    return found


def _profile(name: str, unit: str, stacks: _Weighted, numbers: dict[str, int]) -> dict[str, Any]:
    kept = [(path, weight) for path, weight in stacks if weight > 0]
    return {
        "type": "sampled",
        "name": name,
        "unit": unit,
        "startValue": 0,
        "endValue": sum(weight for _, weight in kept),
        "samples": [[numbers[part] for part in path] for path, _ in kept],
        "weights": [weight for _, weight in kept],
    }
