"""Phases as windows of time: merged, nested, gathered by their place in the tree."""

from bisect import insort
from collections.abc import Iterable, Mapping, Sequence

from vidmeter.meter.run import Phase
from vidmeter.meter.summary import Spans

SHARED = 0
"""The process that phases from the file of marks that all programs share are filed under."""


def merged(spans: Iterable[tuple[int, int]]) -> Spans:
    """The union of spans (ns), ascending; those that touch or overlap become one."""
    out: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return tuple(out)


def parents(phases: Sequence[Phase]) -> dict[str, str]:
    """The phase around each phase, both by id; a phase at the top has none.

    A phase at the top of its process that lies wholly within phases of the shared file of marks
    belongs to the innermost of these: a shell script marks what its programs are started for.
    """
    known = {phase.id for phase in phases}
    found = {p.id: p.parent for p in phases if p.parent is not None and p.parent in known}
    shared = [p for p in phases if p.pid == SHARED]
    if shared:
        tops = [p for p in phases if p.pid != SHARED and p.id not in found]
        found |= _within_shared(tops, shared)
    return found


def paths(phases: Sequence[Phase], *, inside: str | None = None) -> dict[str, tuple[str, ...]]:
    """Where each phase (by id) stands in the tree: the names from the outermost down to its own.

    With `inside` (an id), only the phases within that one, and their paths start below it. A
    phase whose parent is unknown stands at the top.
    """
    names = {phase.id: phase.name for phase in phases}
    around = parents(phases)
    found: dict[str, tuple[str, ...]] = {}
    for phase in phases:
        path: list[str] = []
        node: str | None = phase.id
        within = inside is None
        while node is not None and len(path) <= len(names):
            if node == inside:
                within = True
                break
            path.append(names[node])
            node = around.get(node)
        if within and path:
            found[phase.id] = tuple(reversed(path))
    return found


def in_order(found: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Paths without repetition, parents before their children, else in the order they come in."""
    first: Mapping[tuple[str, ...], int] = {path: i for i, path in enumerate(dict.fromkeys(found))}
    return sorted(first, key=lambda path: [first.get(path[: n + 1], 0) for n in range(len(path))])


def _within_shared(tops: Iterable[Phase], shared: Iterable[Phase]) -> dict[str, str]:
    """For each of the phases `tops` the shared one that it lies in, the one that began last."""
    found: dict[str, str] = {}
    open_now: list[tuple[int, str, float]] = []
    waiting = sorted(shared, key=lambda p: p.start_ns, reverse=True)
    for phase in sorted(tops, key=lambda p: p.start_ns):
        while waiting and waiting[-1].start_ns <= phase.start_ns:
            one = waiting.pop()
            insort(open_now, (one.start_ns, one.id, _end(one)))
        open_now = [o for o in open_now if o[2] >= phase.start_ns]
        around = [o for o in open_now if o[2] >= _end(phase)]
        if around:
            innermost = max(around, key=lambda o: (o[0], -o[2]))
            found[phase.id] = innermost[1]
    return found


def _end(phase: Phase) -> float:
    return float("inf") if phase.end_ns is None else phase.end_ns
