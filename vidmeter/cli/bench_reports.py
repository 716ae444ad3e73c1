"""What a bench ends with."""

from typing import Any

from vidmeter.workloads.bench import Bench


def report(bench: Bench, pairs: Any, *, color: bool) -> None:
    """Print."""
    for run, summary in pairs:
        w = run.workload
        print(
            w["arm"],
            w["block"],
            w["repeat"],
            summary.total.energy_j,
            summary.per_unit,
            w.get("protocol"),
            w.get("differs"),
            w.get("operations"),
        )
