"""What each phase had for itself, without the phases inside it, in joules and in seconds."""

from collections.abc import Iterator
from typing import NamedTuple

from vidmeter.meter.summary import PhaseSummary, Spans, Summary
from vidmeter.meter.windows import merged

Path = tuple[str, ...]


class Own(NamedTuple):
    """A phase with its own share of the run: `energy_j` is None where it isn't known."""

    phase: PhaseSummary
    energy_j: float | None
    time_s: float


def own_of(summary: Summary) -> list[Own]:
    """Every phase in the order of the summary with what it had for itself.

    Where the summary doesn't state an own energy, it is the phase's less that of the phases inside.
    What one inside had that is below resolution is the own energy of the phase around it.
    """
    inside: dict[Path, list[PhaseSummary]] = {}
    for phase in summary.phases:
        inside.setdefault(phase.path[:-1], []).append(phase)
    known = {
        p.path: j for p in summary.phases if (j := _energy(p, inside.get(p.path, []))) is not None
    }
    for phase in summary.phases:
        if phase.path not in known and phase.self_j is not None:
            around = (phase.path[:n] for n in range(len(phase.path) - 1, 0, -1))
            nearest = next((path for path in around if path in known), None)
            if nearest is not None:
                known[nearest] += phase.self_j
    return [Own(p, known.get(p.path), _time(p, inside)) for p in summary.phases]


def outside_s(summary: Summary) -> float:
    """The time in which no phase was open, s."""
    tops = merged(s for p in summary.phases if len(p.path) == 1 for s in p.windows)
    return max(summary.duration_s - _length_s(tops), 0.0)


def seen_j(phase: PhaseSummary) -> float | None:
    """The energy of a phase as far as it was seen, J; None where that is below resolution."""
    return phase.total.covered_j if phase.resolved or phase.combined else None


def _energy(phase: PhaseSummary, inside: list[PhaseSummary]) -> float | None:
    whole_j = seen_j(phase)
    if whole_j is None:
        return None
    if phase.self_j is not None:
        return phase.self_j
    return max(whole_j - sum(_known(inside)), 0.0)


def _known(phases: list[PhaseSummary]) -> Iterator[float]:
    return (j for p in phases if (j := seen_j(p)) is not None)


def _time(phase: PhaseSummary, inside: dict[Path, list[PhaseSummary]]) -> float:
    children = merged(s for p in inside.get(phase.path, []) for s in p.windows)
    return max(phase.duration_s - _length_s(children), 0.0)


def _length_s(spans: Spans) -> float:
    return sum(end - start for start, end in spans) / 1e9
