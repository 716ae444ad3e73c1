"""The geometry of the energy flame graph: phases inside each other, as wide as their energy.

The whole run is the top row, and every phase hangs below the one around it, in order of time. What
a phase drew for itself is the blank beside the phases inside it. Widths are sums of own energies,
so that phases which ran at the same time aren't drawn wider than what holds them. Repetitions are
one box, so the picture stays small whatever the program does.
"""

from typing import NamedTuple

from vidmeter.meter.summary import PhaseSummary, Summary
from vidmeter.reports.chart import tones_of
from vidmeter.reports.format import joules, seconds, share, watts
from vidmeter.reports.phasewords import company, marks
from vidmeter.reports.selfenergy import own_of, seen_j

NARROWEST = 0.05
"""Percent of the width: what is narrower isn't drawn."""

Path = tuple[str, ...]


class FlameBox(NamedTuple):
    """A phase: where it is in percent of the width, how deep, and what there is to say of it.

    `about` is the sentence for those who point at it or hear it, `energy_j` the width's energy.
    """

    left: float
    width: float
    depth: int
    name: str
    tone: str
    energy_j: float
    about: str
    path: Path


class Flame(NamedTuple):
    """The picture: its boxes from top to bottom and left to right. `rows` is how deep it is.

    `whole` says what the top row is; `left_out` counts phases too small or without an energy.
    """

    boxes: tuple[FlameBox, ...]
    rows: int
    whole: str
    energy_j: float
    left_out: int


def flame(summary: Summary) -> Flame | None:
    """The flame graph of a summary; None without an energy, or where no phase has one inside."""
    whole_j = summary.total.energy_j
    if not whole_j or not any(len(phase.path) > 1 for phase in summary.phases):
        return None
    widths = widths_of(summary)
    tones = tones_of([phase.path for phase in summary.phases])
    full_j = max(whole_j, sum(j for path, j in widths.items() if len(path) == 1))
    by_path = {phase.path: phase for phase in summary.phases}
    next_j: dict[Path, float] = {(): 0.0}
    boxes = []
    for phase in summary.phases:
        path, energy_j = phase.path, widths[phase.path]
        start_j = next_j.get(path[:-1], 0.0)
        next_j[path[:-1]] = start_j + energy_j
        next_j[path] = start_j
        width = 100 * energy_j / full_j
        if width < NARROWEST:
            continue
        words = _about(phase, by_path.get(path[:-1]))
        left = round(100 * start_j / full_j, 3)
        boxes.append(
            FlameBox(left, round(width, 3), len(path), path[-1], tones[path], energy_j, words, path)
        )
    boxes.sort(key=lambda b: (b.depth, b.left))
    return Flame(
        boxes=tuple(boxes),
        rows=1 + max((b.depth for b in boxes), default=0),
        whole=f"all of it: {joules(whole_j)} in {seconds(summary.duration_s)}",
        energy_j=full_j,
        left_out=len(summary.phases) - len(boxes),
    )


def widths_of(summary: Summary) -> dict[Path, float]:
    """The energy that each phase's width stands for, J: its own, and that of all inside it."""
    owns = own_of(summary)
    widths = {own.phase.path: max(own.energy_j or 0.0, 0.0) for own in owns}
    for path in sorted(widths, key=len, reverse=True):
        if path[:-1] in widths:
            widths[path[:-1]] += widths[path]
    return widths


def _about(phase: PhaseSummary, around: PhaseSummary | None) -> str:
    energy_j, length_s, seen = phase.total.energy_j, phase.duration_s, seen_j(phase)
    parts = [seconds(length_s), *marks(phase), *company(phase, around)]
    if energy_j is not None:
        each = f"{joules(energy_j / phase.count)} each" if phase.count > 1 else ""
        mean = watts(energy_j / length_s) if length_s else ""
        of_all = share(phase.share) if phase.share is not None else ""
        parts = [joules(energy_j), of_all, each, parts[0], mean, *parts[1:]]
    elif seen is not None:
        parts.insert(0, f"{joules(seen)} seen")
    times = f" ×{phase.count}" if phase.count > 1 else ""
    return f"{' › '.join(phase.path)}{times}: {', '.join(p for p in parts if p)}"
