"""The course of power within one repeat of a phase, as a small curve for its row in the table."""

from collections.abc import Sequence
from typing import NamedTuple

from vidmeter.meter.summary import PhaseSummary
from vidmeter.reports.format import watts

WIDTH, HEIGHT = 120, 22


class Course(NamedTuple):
    """Stretches of a curve as the points of polylines, and what it says in words."""

    lines: tuple[str, ...]
    words: str


def course(phase: PhaseSummary) -> Course | None:
    """The course of a phase whose repeats tell it; None for others.

    The curve begins at 0 W, so that flat ones look flat. A part with too few readings is a gap.
    """
    powers = phase.profile
    known = [w for w in powers or () if w is not None]
    if powers is None or not known:
        return None
    top = max(known) or 1.0
    step = WIDTH / len(powers)
    lines = []
    for first, last in _stretches(powers):
        points = []
        for i in range(first, last):
            y = HEIGHT * (1 - (powers[i] or 0.0) / top)
            points += [f"{i * step:.4g},{y:.4g}", f"{(i + 1) * step:.4g},{y:.4g}"]
        lines.append(" ".join(points))
    low, high = watts(min(known)), watts(max(known))
    return Course(tuple(lines), low if low == high else f"{low} to {high}")


def _stretches(powers: Sequence[float | None]) -> list[tuple[int, int]]:
    """From where to where powers are known."""
    edges = [i for i in range(len(powers) + 1) if _known(powers, i) != _known(powers, i - 1)]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _known(powers: Sequence[float | None], i: int) -> bool:
    return 0 <= i < len(powers) and powers[i] is not None
