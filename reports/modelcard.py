"""The carbon block of a Hugging Face model card: YAML, in grams.

Fields: huggingface.co/docs/hub/model-cards-co2. It speaks of training; what a card should say of
inference is joules per unit of work, which no field holds. What isn't stated is left out, with a
comment on what belongs there. Strings are written as JSON, which YAML reads.
"""

import json
from collections import Counter

import vidmeter
from vidmeter.meter.device import Provenance
from vidmeter.meter.errors import BadRun
from vidmeter.meter.summary import Summary
from vidmeter.reports.carbon import Intensity

TRAINING_TYPES = ("pre-training", "fine-tuning")
_MISSING = {
    "training_type": f"{' or '.join(TRAINING_TYPES)} (--training-type)",
    "geographical_location": "where it ran, as precisely as may be told (--location)",
}


def render(
    summary: Summary,
    *,
    intensity: Intensity,
    training_type: str | None = None,
    location: str | None = None,
) -> str:
    """The block between the two lines of dashes; `intensity` is the grid's.

    `BadRun` where the energy isn't known, or is a simulation's.
    """
    total = summary.total
    if summary.simulated:
        raise BadRun(f"run {summary.run_id} is simulated: it says nothing for a model card")
    if total.energy_j is None:
        raise BadRun(f"run {summary.run_id} has no energy to state: see `vidmeter show`")
    grams, low, high = (
        None if j is None else j / 3.6e6 * intensity.g_per_kwh
        for j in (total.energy_j, total.low_j, total.high_j)
    )
    lines = ["---", "co2_eq_emissions:", f"  emissions: {grams!r}  # g CO2eq"]
    if low is not None and high is not None:
        lines[-1] += f", 95 % interval of the energy: {low:.4g} to {high:.4g}"
    lines.append(f"  source: {_text(_source(summary, intensity))}")
    for key, value in (("training_type", training_type), ("geographical_location", location)):
        lines.append(f"  {key}: {_text(value)}" if value else f"  # {key}: {_MISSING[key]}")
    if hardware := _hardware(summary):
        lines.append(f"  hardware_used: {_text(hardware)}")
    return "\n".join([*lines, "---", ""])


def _source(summary: Summary, intensity: Intensity) -> str:
    total = summary.total
    how = (total.provenance or Provenance.MEASURED).value
    imported = summary.environment.get("imported")
    by = f"vidmeter {vidmeter.__version__}"
    if imported:
        by = f"{imported['program']}, imported by {by}"
    kwh = (total.energy_j or 0.0) / 3.6e6
    whose = "as stated"
    if intensity.country or intensity.cloud:
        year = f", {intensity.year}" if intensity.year else ""
        whose = f"({intensity.place}: {intensity.source}{year})"
    grid = f"{intensity.g_per_kwh:g} g CO2eq/kWh {whose}"
    return f"{by}: {kwh:.4g} kWh {how} ({total.boundary}), times {grid}"


def _hardware(summary: Summary) -> str:
    """What the total is made of, as `2 x NVIDIA H100`."""
    inside = set(summary.total.devices)
    counts = Counter(d.device.name for d in summary.devices if d.device.uuid in inside)
    return ", ".join(f"{count} x {name}" if count > 1 else name for name, count in counts.items())


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
