"""Phases as windows of time: merged, nested, gathered by their place in the tree."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from vidmeter.meter.run import Phase
from vidmeter.meter.summary import Spans


@dataclass(slots=True)
class PathGroup:
    """The phases that share a place in the tree, in order of their start."""

    path: tuple[str, ...]
    phases: list[Phase] = field(default_factory=list)


def merged(spans: Iterable[tuple[int, int]]) -> Spans:
    """The union of spans (ns), ascending; those that touch or overlap become one."""
    out: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return tuple(out)


def paths(phases: Sequence[Phase], *, inside: str | None = None) -> dict[str, tuple[str, ...]]:
    """Where each phase (by id) stands in the tree: the names from the outermost down to its own.

    With `inside` (an id), only the phases within that one, and their paths start below it. A
    phase whose parent is unknown stands at the top.
    """
    by_id = {phase.id: phase for phase in phases}
    found: dict[str, tuple[str, ...]] = {}
    for phase in phases:
        names: list[str] = []
        node: Phase | None = phase
        within = inside is None
        while node is not None and len(names) <= len(by_id):
            if node.id == inside:
                within = True
                break
            names.append(node.name)
            node = by_id.get(node.parent) if node.parent else None
        if within and names:
            found[phase.id] = tuple(reversed(names))
    return found


def by_path(phases: Sequence[Phase]) -> list[PathGroup]:
    """Phases gathered by path, parents before their children, else in order of first start."""
    where = paths(phases)
    groups: dict[tuple[str, ...], PathGroup] = {}
    for phase in sorted(phases, key=lambda p: p.start_ns):
        path = where[phase.id]
        groups.setdefault(path, PathGroup(path)).phases.append(phase)
    order = {path: i for i, path in enumerate(groups)}
    return sorted(
        groups.values(),
        key=lambda g: [order.get(g.path[: depth + 1], 0) for depth in range(len(g.path))],
    )


def spans_of(group: PathGroup, start_ns: int, end_ns: int) -> Spans:
    """When one of the group's phases was open, within a window; an open end is the window's."""
    spans = [(max(p.start_ns, start_ns), min(p.end_ns or end_ns, end_ns)) for p in group.phases]
    return merged((a, b) for a, b in spans if a <= b)
