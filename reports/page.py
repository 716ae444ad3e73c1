"""What a page says of a run's energy: the answer, and the rows of its tables."""

import shlex
from datetime import UTC, datetime
from typing import NamedTuple

from vidmeter.meter.device import Provenance
from vidmeter.meter.sample import Quantity
from vidmeter.meter.sources import NAMES
from vidmeter.meter.summary import (
    Caution,
    Conditions,
    DeviceEnergy,
    PerUnit,
    PhaseSummary,
    Summary,
)
from vidmeter.meter.windows import merged
from vidmeter.reports import phasewords, shared
from vidmeter.reports.chart import Chart, tones_of
from vidmeter.reports.course import Course, course
from vidmeter.reports.format import digits, percent
from vidmeter.reports.phasewords import both
from vidmeter.reports.terminal import net_in_words, unit_name

_MARKS = {
    Provenance.SIMULATED: "No hardware was read: these numbers come from a script and mean nothing",
    Provenance.MODELLED: "Not measured: computed from the processor's load and a rating",
}


LEAST_TOLD = 5e-5
"""Disagreements below a two-hundredth of a percent are no news."""


class Figure(NamedTuple):
    """A number that answers the question, with its 95 % interval; `unit` in words."""

    number: str
    unit: str
    interval: str


class PhaseRow(NamedTuple):
    """One line of the table of phases. `share` is 0 to 1, for the bar; `about` are its facts."""

    name: str
    depth: int
    tone: str
    note: str
    about: str
    phase: PhaseSummary
    mean_w: float | None
    each_j: float | None
    share: float
    units: tuple[Figure, ...]
    resolved: bool
    course: Course | None


class Outside(NamedTuple):
    """What no phase accounts for."""

    time_s: float
    energy_j: float
    share: float
    mean_w: float | None


class DeviceRow(NamedTuple):
    """One line of the table of devices. `badge` marks what was not measured."""

    e: DeviceEnergy
    badge: str
    label: str
    disagreement: str
    conditions: str
    error: str


def title(summary: Summary) -> str:
    """The command as it would be typed, shortened in its middle; of a bench's repeat its name."""
    told = summary.workload or {}
    if told.get("workload") and told.get("arm"):
        return f"{told['arm']}, repeat {told.get('repeat')}"
    command = shlex.join(summary.command) or summary.run_id
    return command if len(command) <= 240 else f"{command[:160]} … {command[-70:]}"


def started(summary: Summary) -> str | None:
    """When the window began, in UTC."""
    if summary.started_real_ns is None:
        return None
    at = datetime.fromtimestamp(summary.started_real_ns // 10**9, UTC)
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def marks(summary: Summary) -> list[tuple[str, str]]:
    """What can't be overlooked: numbers that were not measured."""
    found = [p for p in (Provenance.SIMULATED,) if summary.simulated]
    if summary.total.provenance is Provenance.MODELLED:
        found.append(Provenance.MODELLED)
    told = [(p.upper(), _MARKS[p]) for p in found]
    if not summary.total.trusted:
        told.append(("NOT TRUSTED", "Two readings of one card contradict each other, see below"))
    return told


def answer(summary: Summary) -> list[Figure]:
    """The figures that the run was made for, the first one the most wanted."""
    found = [_figure(name, unit) for name, unit in summary.per_unit.items()]
    figures = [figure for figure in found if figure is not None]
    total = summary.total
    whole = PerUnit(total.energy_j, total.low_j, total.high_j)
    joules, kilo = ("kJ", 1e3) if (total.covered_j or 0.0) >= 1e4 else ("J", 1.0)
    if total.energy_j is not None:
        figures.append(
            Figure(digits(total.energy_j / kilo), f"{joules} in all", _interval(whole, 1 / kilo))
        )
        if summary.work.clips != 1:  # of one clip, the same figure stands there already
            wh = digits(total.energy_j / 3600)
            figures.append(Figure(wh, "Wh in all", _interval(whole, 1 / 3600)))
    elif total.covered_j:
        seen = digits(total.covered_j / kilo)
        figures.append(Figure(seen, f"{joules} were seen; the rest is unknown", ""))
    return figures


def trust(summary: Summary) -> str:
    """How far the answer can be relied upon, in a few words."""
    total = summary.total
    parts = [e for e in summary.devices if e.device.uuid in total.devices]
    if not parts:
        return "Nothing could be measured."
    words = []
    if total.energy_j and total.low_j is not None and total.high_j is not None:
        below, above = total.low_j / total.energy_j - 1, total.high_j / total.energy_j - 1
        if abs(below + above) < 0.002:
            words.append(f"±{above * 100:.2g} % (95 % interval, sensor error included)")
        else:
            words.append(f"−{-below * 100:.0f} % to +{above * 100:.0f} % (95 % interval)")
    names = sorted({e.source for e in parts if e.source})
    if names:
        words.append(f"from {' and '.join(names)}")
    words.append(f"{percent(total.coverage)} of the time is covered")
    opinions = [e for e in parts if e.disagreement is not None]
    if opinions:
        worst = max(opinions, key=lambda e: abs(e.disagreement or 0.0))
        words.append(
            f"{worst.second_source} as a second source: {_signed(worst.disagreement)}"
            + (" at most" if len(opinions) > 1 else "")
        )
    else:
        words.append("no second source to compare with")
    return sentence("; ".join(words))


def cautions(summary: Summary) -> list[Caution]:
    """The doubts; that all is simulated stands above everything already."""
    return [caution for caution in shared.cautions(summary) if caution.kind != "simulated"]


def gap_legend(chart: Chart, summary: Summary) -> str:
    """What the hatching means; empty where there is none."""
    sources = {row.source for row in chart.rows if row.gaps}
    if not sources:
        return ""
    whole = all(e.coverage >= 1 for e in summary.devices)
    by_counter = sources == {NAMES[Quantity.ENERGY]}
    counted = "; the energy counter counts on" if by_counter and whole else ""
    return f"hatched: power was not read there{counted}"


def sentence(text: str) -> str:
    """A text with a capital in front and a full stop behind."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"


def phase_rows(summary: Summary) -> list[PhaseRow]:
    """The table of phases, parents before their children."""
    tones = tones_of([phase.path for phase in summary.phases])
    by_path = {phase.path: phase for phase in summary.phases}
    rows = []
    for phase in summary.phases:
        energy_j, time_s = phase.total.energy_j, phase.duration_s
        about = (
            *phasewords.company(phase, by_path.get(phase.path[:-1])),
            phasewords.facts_in_words(phase.facts),
            phasewords.first_in_words(phase),
        )
        figures = [_figure(name, unit) for name, unit in phase.per_unit.items()]
        rows.append(
            PhaseRow(
                name=phase.path[-1],
                depth=len(phase.path) - 1,
                tone=tones[phase.path],
                note=", ".join(w for w in phasewords.marks(phase) if w != phasewords.UNRESOLVED),
                about="; ".join(text for text in about if text),
                phase=phase,
                mean_w=energy_j / time_s if energy_j is not None and time_s else None,
                each_j=energy_j / phase.count if energy_j is not None else None,
                share=min(max(phase.share or 0.0, 0.0), 1.0),
                units=tuple(f for f in figures if f is not None),
                resolved=phase.resolved or phase.combined,
                course=course(phase),
            )
        )
    return rows


def device_rows(summary: Summary) -> list[DeviceRow]:
    """The table of devices."""
    rows = []
    for e in summary.devices:
        measured = e.device.provenance is Provenance.MEASURED
        index = "" if e.device.index is None else f" {e.device.index}"
        label = f"{e.device.kind.upper()}{index}"
        badge = "" if measured else e.device.provenance.upper()
        found = summary.conditions.get(e.device.uuid)
        about = conditions(found) if found else ""
        rows.append(DeviceRow(e, badge, label, _signed(e.disagreement), about, errors(e)))
    return rows


def errors(e: DeviceEnergy) -> str:
    """The two errors of an energy apart: what the gain leaves open, and what the readings do."""
    if not e.energy_j or e.gain_low is None or e.gain_high is None:
        return ""
    words = [f"gain {both(e.gain_low - 1, e.gain_high - 1)}"]
    if e.raw_j is not None:
        words[0] += f", calibrated; {digits(e.raw_j)} J as read"
    low, high = (e.sampling_low_j or 0.0) / e.energy_j, (e.sampling_high_j or 0.0) / e.energy_j
    words.append(f"readings {both(-low, high)} ({e.readings} of them)")
    return "; ".join(words)


def conditions(found: Conditions) -> str:
    """The circumstances of a device in a line: heat, clocks, limit, what held it down."""
    parts = []
    if found.temperature_c is not None:
        parts.append(f"{found.temperature_c:.0f} °C")
        if found.max_temperature_c and found.max_temperature_c > found.temperature_c + 1:
            parts[-1] += f" (up to {found.max_temperature_c:.0f})"
    if found.sm_clock_mhz is not None:
        parts.append(f"{found.sm_clock_mhz:.0f} MHz")
    if found.power_limit_w is not None:
        default = found.power_limit_default_w
        parts.append(
            f"limit {found.power_limit_w:.0f} W" + (f" of {default:.0f} W" if default else "")
        )
    held = {reason: share for reason, share in found.throttled.items() if share >= 0.01}
    for reason, share in sorted(held.items(), key=lambda item: -item[1]):
        parts.append(f"{reason.replace('_', ' ')} {share * 100:.0f} % of the time")
    if found.max_memory_b:
        parts.append(f"{found.max_memory_b / 1e9:.1f} GB in use")
    return " · ".join(parts)


def net(summary: Summary) -> str:
    """The energy beyond idle, where idle was measured; empty otherwise."""
    return sentence(net_in_words(summary.net)) if summary.net else ""


def outside(summary: Summary) -> Outside | None:
    """The energy outside every phase; None where there is no such number, or no phase."""
    energy_j, whole_j = summary.unattributed_j, summary.total.energy_j
    if not summary.phases or energy_j is None or not whole_j:
        return None
    inside = merged(span for p in summary.phases if len(p.path) == 1 for span in p.windows)
    time_s = summary.duration_s - sum(b - a for a, b in inside) / 1e9
    mean_w = energy_j / time_s if time_s > 0 else None
    return Outside(time_s, energy_j, max(energy_j / whole_j, 0.0), mean_w)


def mean_w(summary: Summary) -> float | None:
    """The total's mean power over the window, W."""
    energy_j = summary.total.energy_j
    return energy_j / summary.duration_s if energy_j and summary.duration_s else None


def not_added(summary: Summary) -> str:
    """Which devices the total leaves out, since energies of different provenance don't add up."""
    names = [e.device.name for e in summary.devices if e.device.uuid not in summary.total.devices]
    if not names or summary.total.provenance is None:
        return ""
    left = " and ".join(names)
    return f"The total holds what was {summary.total.provenance}; {left} is not added to it."


def _figure(name: str, unit: PerUnit) -> Figure | None:
    if unit.value is None:
        return None
    return Figure(digits(unit.value), unit_name(name), _interval(unit, 1.0))


def _interval(of: PerUnit, factor: float) -> str:
    if of.low is None or of.high is None:
        return ""
    return f"{digits(of.low * factor)} to {digits(of.high * factor)}"


def _signed(share: float | None) -> str:
    if share is not None and abs(share) < LEAST_TOLD:
        return "the same"
    return "" if share is None else f"{share * 100:+.2g} %".replace("-", "−")
