"""Arms against the first of them: the ratio, what may be claimed, what differs, in which phase.

Pairs are made where the arms' processes took turns, so that a drift of the card falls on both; else
the arms are compared as wholes, which takes a larger difference. What differs beside the energy is
named with every result: the same card, scope, size, weights and settings make like things, and
nothing else is ranked in silence. Measured, modelled and simulated energies have no ratio.
"""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from vidmeter.meter.comparing import (
    Comparison,
    Difference,
    difference,
    difference_in_pairs,
    paired,
    unpaired,
    with_gains,
)
from vidmeter.reports.arm import Arm, Repeat, began
from vidmeter.reports.likeness import NONE, cards, counted, fields

Process = Sequence[Repeat]
"""The repeats of one process, or of one round of a bench."""
OUTSIDE = ("outside phases",)
"""Where the energy went that is in no phase."""


class PhaseDifference(NamedTuple):
    """What a phase takes in A and in B, while none inside it is open, and by how much B takes more.

    All in J per unit of work of the arms' figure. None where the phase isn't in an arm.
    """

    path: tuple[str, ...]
    a: float | None
    b: float | None
    difference: Difference


class Compared(NamedTuple):
    """B against A. `found` is None where they have no ratio, and `why` says why not.

    `interleaved` says that processes of both took turns. `unlike` are fields that differ, in words.
    `with_gain` says that the sensors' gains are in the interval: they fall out on one card alone.
    """

    a: Arm
    b: Arm
    found: Comparison | None
    why: str | None
    interleaved: bool
    unlike: tuple[str, ...]
    phases: tuple[PhaseDifference, ...]
    with_gain: bool = False


def compare(arms: Sequence[Arm]) -> list[Compared]:
    """Every other arm against the first."""
    return [_compared(arms[0], arm) for arm in arms[1:]]


def _compared(a: Arm, b: Arm) -> Compared:
    unlike = tuple(_unlike(a, b))
    why = _why_not(a, b)
    if why is not None:
        return Compared(a, b, None, why, False, unlike, ())
    pairs = _pairs(a, b)
    if pairs:
        found = paired([(a.mean_of(one), b.mean_of(other)) for one, other in pairs])
    else:
        found = unpaired(a.process_means, b.process_means)
    gains = None if _one_sensor(a, b) else _gains(a, b)
    if gains is not None:
        found = with_gains(found, a=gains[0], b=gains[1])
    phases = tuple(_phases(a, b, pairs))
    return Compared(a, b, found, None, bool(pairs), unlike, phases, gains is not None)


def _gains(a: Arm, b: Arm) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """What the gain of both arms' sensors leaves open; None where it isn't known."""
    found = [(low, high) for low, high in (a.gain, b.gain) if low is not None and high is not None]
    return (found[0], found[1]) if len(found) == 2 else None


def _one_sensor(a: Arm, b: Arm) -> bool:
    """Whether the very same devices measured both, so that their gain falls out of a ratio."""
    one, other = ({d.uuid for d in counted(arm.middle.summary)} for arm in (a, b))
    hosts = {arm.middle.run.environment.get("host") for arm in (a, b)}
    return one == other and (len(hosts) == 1 or bool(cards(a.middle.summary)))


def _why_not(a: Arm, b: Arm) -> str | None:
    if a.headline != b.headline:
        return f"one answers in {a.unit}, the other in {b.unit}"
    for arm in (a, b):
        origins = sorted({str(r.summary.total.provenance) for r in arm.known})
        if len(origins) > 1:
            return f"the runs of {arm.label} are {' and '.join(origins)} ones"
    if a.provenance is not b.provenance:
        return f"one is {a.provenance or 'unknown'}, the other {b.provenance or 'unknown'}"
    for arm in (a, b):
        if not arm.process_means:
            return f"the energy of {arm.label} is not known"
        if min(arm.process_means) <= 0:
            return f"{arm.label} has a run without energy"
    return None


def _pairs(a: Arm, b: Arm) -> list[tuple[Process, Process]]:
    """The processes of both in pairs, if they took turns on one machine; none otherwise."""
    one, other = _by_round(a), _by_round(b)
    if one and other and _bench(a) == _bench(b):
        return [(one[n], other[n]) for n in sorted(one.keys() & other.keys())]
    hosts = {r.run.environment.get("host") for arm in (a, b) for r in arm.known}
    if len(hosts) > 1 or any(r.summary.started_real_ns is None for x in (a, b) for r in x.known):
        return []
    placed = sorted(
        ((side, block) for side, arm in enumerate((a, b)) for block in arm.processes),
        key=lambda entry: (began(entry[1]), entry[0]),
    )
    couples = [
        sorted(two, key=lambda entry: entry[0])
        for two in zip(placed[::2], placed[1::2], strict=False)
    ]
    turns = all((one[0], other[0]) == (0, 1) for one, other in couples)
    if len(placed) % 2 or len(couples) < 2 or not turns:
        return []
    return [(one[1], other[1]) for one, other in couples]


def _by_round(arm: Arm) -> dict[int, Process]:
    """The repeats of each round of a bench; empty for runs that weren't made by one."""
    found: dict[int, list[Repeat]] = {}
    for repeat in arm.known:
        if "round" not in repeat.facts:
            return {}
        found.setdefault(repeat.round, []).append(repeat)
    return dict(found)


def _bench(arm: Arm) -> set[str]:
    return {str(r.run.path.parent) if r.run.path else "" for r in arm.known}


def _unlike(a: Arm, b: Arm) -> Iterator[str]:
    """What isn't alike beside the energy, each in words with both values."""
    one, other = (fields(arm.middle.run, arm.middle.summary) for arm in (a, b))
    mine, yours = (cards(arm.middle.summary) for arm in (a, b))
    skipped = {"provenance"}  # whether they can be compared at all is said apart
    if (a.task, b.task) == ("command", "command"):
        skipped.add("workload")
    if mine == yours and mine:
        skipped.add("machine")  # containers get another name each time
    versions = _versions(a).keys() ^ _versions(b).keys()
    for name in dict.fromkeys([*one, *other]):
        left, right = one.get(name, NONE), other.get(name, NONE)
        if left != right and name not in skipped | versions:
            yield f"{name}: {left} and {right}"
        elif name == "card" and mine and yours and mine != yours:
            yield f"card: {_apart(mine - yours)} and {_apart(yours - mine)}, of one name"


def _apart(uuids: frozenset[str]) -> str:
    """Cards that only one side has."""
    first, *more = sorted(uuids) or ["none"]
    return f"{first} and {len(more)} more" if more else first


def _versions(arm: Arm) -> Mapping[str, str]:
    found: Mapping[str, str] = arm.facts.get("versions") or {}
    return found


def _phases(a: Arm, b: Arm, pairs: Sequence[tuple[Process, Process]]) -> Iterator[PhaseDifference]:
    """Phases of both, the largest difference first; with what is outside they add up to all.

    They are told by processes, and in pairs where these are.
    """
    if pairs:
        every = [(_own(a, one), _own(b, other)) for one, other in pairs]
        both = [(one, other) for one, other in every if one and other]
        mine, yours = [one for one, _ in both], [other for _, other in both]
    else:
        mine = [own for block in a.processes if (own := _own(a, block))]
        yours = [own for block in b.processes if (own := _own(b, block))]
    paths = dict.fromkeys(path for own in (*mine, *yours) for path in own)
    if not (mine and yours) or paths.keys() <= {OUTSIDE}:
        return
    held = difference_in_pairs if pairs else difference
    found = []
    for path in paths:
        in_a, in_b = ([own.get(path, 0.0) for own in arm] for arm in (mine, yours))
        found.append(
            PhaseDifference(
                path,
                fmean(in_a) if any(path in own for own in mine) else None,
                fmean(in_b) if any(path in own for own in yours) else None,
                held(in_a, in_b),
            )
        )
    yield from sorted(found, key=lambda phase: -abs(phase.difference.value))


def _own(arm: Arm, repeats: Process) -> dict[tuple[str, ...], float]:
    """What each phase took by itself in a process, in J per unit of work, on average.

    Empty where the energy of its repeats can't be shared out among phases.
    """
    known = [r for r in repeats if r.summary.unattributed_j is not None and r.energy_j]
    found: dict[tuple[str, ...], float] = {}
    for repeat in known:
        scale = repeat.per_unit[arm.headline] / (repeat.energy_j or 1.0) / len(known)
        parts: dict[tuple[str, ...], float] = {OUTSIDE: repeat.summary.unattributed_j or 0.0}
        parts |= repeat.summary.own_j
        for path, energy_j in parts.items():
            found[path] = found.get(path, 0.0) + energy_j * scale
    return found
