"""Runs in the columns of CodeCarbon's emissions.csv, for what reads such files.

The columns and their order are those of `EmissionsData` in CodeCarbon 3.3
(codecarbon/output_methods/emissions_data.py): kWh, kg, W, s. What is unknown is empty, where that
program would write an assumption. The energies are those of the devices that the run's total is
made of, so that `energy_consumed` is that total.
"""

import csv
import io
import shlex
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from vidmeter.meter.device import Kind
from vidmeter.meter.errors import BadRun
from vidmeter.meter.run import Run
from vidmeter.meter.summary import DeviceEnergy, Summary
from vidmeter.reports.carbon import Intensity

COLUMNS = (
    "timestamp", "project_name", "run_id", "experiment_id", "duration", "emissions",
    "emissions_rate", "cpu_power", "gpu_power", "ram_power", "cpu_energy", "gpu_energy",
    "ram_energy", "energy_consumed", "water_consumed", "country_name", "country_iso_code",
    "region", "cloud_provider", "cloud_region", "os", "python_version", "codecarbon_version",
    "cpu_count", "cpu_model", "gpu_count", "gpu_model", "longitude", "latitude",
    "ram_total_size", "tracking_mode", "cpu_utilization_percent", "gpu_utilization_percent",
    "ram_utilization_percent", "ram_used_gb", "on_cloud", "pue", "wue",
)  # fmt: skip
JOULES_PER_KWH = 3.6e6
_PARTS = {"cpu": Kind.CPU, "gpu": Kind.GPU, "ram": Kind.DRAM}


def render(runs: Sequence[tuple[Run, Summary]], *, intensity: Intensity | None = None) -> str:
    """A row for each run; `intensity` is the grid's, without which emissions are empty.

    `BadRun` for a simulated run, because no column could say that it is one.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for run, summary in runs:
        if summary.simulated:
            raise BadRun(
                f"run {run.id} is simulated, which no column of CodeCarbon could say:"
                " it is not written in that form"
            )
        row = _row(run, summary, intensity)
        writer.writerow({name: "" if value is None else value for name, value in row.items()})
    return out.getvalue()


def _row(run: Run, summary: Summary, intensity: Intensity | None) -> dict[str, Any]:
    told = {part: _of_kind(summary, kind) for part, kind in _PARTS.items()}
    joules = {part: _joules(energies) for part, energies in told.items()}
    seconds = summary.duration_s
    kwh = _kwh(summary.total.energy_j)
    emissions_kg = None if kwh is None or intensity is None else kwh * intensity.g_per_kwh / 1000
    environment = summary.environment
    memory_b = environment.get("memory_b")
    return {
        "timestamp": _ended(summary),
        "project_name": shlex.join(summary.command),
        "run_id": run.id,
        "duration": seconds,
        "emissions": emissions_kg,
        "emissions_rate": None if emissions_kg is None or not seconds else emissions_kg / seconds,
        **{f"{part}_power": _watts(energy_j, seconds) for part, energy_j in joules.items()},
        **{f"{part}_energy": _kwh(energy_j) for part, energy_j in joules.items()},
        "energy_consumed": kwh,
        **_place(intensity),
        "os": environment.get("system"),
        "python_version": environment.get("python"),
        "cpu_count": environment.get("logical_cpus"),
        "cpu_model": environment.get("cpu"),
        "gpu_count": len(told["gpu"]) or None,
        "gpu_model": _models(told["gpu"]),
        "ram_total_size": None if memory_b is None else memory_b / 1e9,
        "tracking_mode": "machine",
        "gpu_utilization_percent": _utilization(summary, told["gpu"]),
    }


def _place(intensity: Intensity | None) -> dict[str, str]:
    """Where it ran, as far as that was stated with the intensity."""
    if intensity is None:
        return {}
    if intensity.cloud:
        provider, region = intensity.cloud
        return {"cloud_provider": provider, "cloud_region": region, "on_cloud": "Y"}
    if intensity.country:
        return {"country_name": intensity.place, "country_iso_code": intensity.country}
    return {}


def _of_kind(summary: Summary, kind: Kind) -> list[DeviceEnergy]:
    inside = set(summary.total.devices)
    return [e for e in summary.devices if e.device.kind is kind and e.device.uuid in inside]


def _joules(energies: Sequence[DeviceEnergy]) -> float | None:
    """Their sum; None where there is none, or one isn't known."""
    known = [e.energy_j for e in energies if e.energy_j is not None]
    return sum(known) if known and len(known) == len(energies) else None


def _kwh(energy_j: float | None) -> float | None:
    return None if energy_j is None else energy_j / JOULES_PER_KWH


def _watts(energy_j: float | None, seconds: float) -> float | None:
    return None if energy_j is None or not seconds else energy_j / seconds


def _ended(summary: Summary) -> str | None:
    """When it ended in local time without a zone, as CodeCarbon has it."""
    if summary.started_real_ns is None:
        return None
    end_ns = summary.started_real_ns + summary.end_ns - summary.start_ns
    return datetime.fromtimestamp(end_ns // 10**9).strftime("%Y-%m-%dT%H:%M:%S")


def _models(energies: Sequence[DeviceEnergy]) -> str | None:
    counts = Counter(e.device.name for e in energies)
    return ", ".join(f"{count} x {name}" for name, count in counts.items()) or None


def _utilization(summary: Summary, energies: Sequence[DeviceEnergy]) -> float | None:
    found = [summary.conditions[e.device.uuid].utilization_pct for e in energies]
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if known and len(known) == len(found) else None
