"""Where the joules of a run went: the energy of each phase on each device.

A GPU's energy is taken over the time in which the GPU was at a phase, everything else's over the
program's own, and a phase has no part in GPUs that only other processes use. The parts add up:
every instant of a device is shared out once (`shares`). What is too short for a sensor is found
from its repeats together, if they allow it (`unmix`), and else has no energy.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from vidmeter.meter.books import WORTH_SAYING, Book, Books, SharedOut
from vidmeter.meter.deviceenergy import Meter
from vidmeter.meter.placed import Placed, place
from vidmeter.meter.repeats import first_j, profile
from vidmeter.meter.run import Run, Work
from vidmeter.meter.shares import Tree
from vidmeter.meter.summary import Caution, DeviceEnergy, PhaseSummary, Total
from vidmeter.meter.totals import total_of
from vidmeter.meter.uncertainty import ratio_half_width
from vidmeter.meter.windows import in_order, merged, parents, paths
from vidmeter.meter.work import per_unit, work_done

MOST_NAMES = 6


class Attributed(NamedTuple):
    """The phases of a run, the energy of its total outside all of them, and doubts."""

    phases: tuple[PhaseSummary, ...]
    own_j: Mapping[tuple[str, ...], float]
    unattributed_j: float | None
    cautions: tuple[Caution, ...]


class _Group(NamedTuple):
    """The phases that share a place in the tree: its number, and where each of them is."""

    place: int
    path: tuple[str, ...]
    at: tuple[int, ...]
    """Their numbers among all that were placed, in order of their start."""
    windows: tuple[tuple[int, int], ...]
    work: tuple[Work, ...]


def attribute(
    run: Run,
    meters: Mapping[str, Meter],
    devices: Sequence[DeviceEnergy],
    total: Total,
    *,
    end_ns: int,
    brief: bool = False,
) -> Attributed:
    """The energy of each phase of a run; `devices` and `total` are those of all of it.

    A `brief` one has what each phase took by itself, and nothing else of the phases.
    """
    placed = place(run, run.start_ns, end_ns)
    if not placed:
        return Attributed((), {}, total.energy_j, ())
    places = in_order(one.path for one in placed)
    tree = _tree(run, placed, places)
    books_of = Books(tree, placed, (run.start_ns, end_ns))
    if brief:
        counted = [d for d in devices if d.device.uuid in total.devices]
        shared_out = [books_of.shared_out(meters[d.device.uuid], d) for d in counted]
        return Attributed((), *_own(places, shared_out, total))
    books = [books_of.of(meters[d.device.uuid], d) for d in devices]
    answering = [b for b in books if b.meter.device.uuid in total.devices]
    groups = _groups(run, placed, places, tree)
    return Attributed(
        tuple(_phase(group, placed, books, answering, total) for group in groups),
        *_own(
            places,
            [SharedOut(b.own_j, b.shares.shared_by(WORTH_SAYING)) for b in answering],
            total,
        ),
    )


def _own(
    places: Sequence[tuple[str, ...]], shared_out: Sequence[SharedOut], total: Total
) -> tuple[Mapping[tuple[str, ...], float], float | None, tuple[Caution, ...]]:
    """What each phase took by itself, what is outside all of them, and who had to share."""
    cautions = _overlapping(places, {n for one in shared_out for n in one.sharing})
    if total.energy_j is None:
        return {}, None, cautions
    own_j = {path: sum(float(s.own_j[n]) for s in shared_out) for n, path in enumerate(places)}
    return own_j, sum(float(s.own_j[-1]) for s in shared_out), cautions


def _groups(
    run: Run, placed: Sequence[Placed], places: Sequence[tuple[str, ...]], tree: Tree
) -> list[_Group]:
    where = paths(run.phases) if run.work else {}
    at: list[list[int]] = [[] for _ in places]
    for i, n in enumerate(tree.node.tolist()):
        at[n].append(i)
    spans = [one.gpu or one.host for one in placed]
    windows = [merged(spans[i] for i in mine) for mine in at]
    for n in reversed(range(len(places))):  # those below come after those above
        if tree.up[n] < len(places):
            windows[tree.up[n]] = merged((*windows[tree.up[n]], *windows[n]))
    return [
        _Group(
            n,
            path,
            tuple(at[n]),
            windows[n],
            tuple(w for w in run.work if w.phase in where and _below(where[w.phase], path)),
        )
        for n, path in enumerate(places)
    ]


def _below(path: tuple[str, ...], ancestor: tuple[str, ...]) -> bool:
    return path[: len(ancestor)] == ancestor


def _tree(run: Run, placed: Sequence[Placed], places: Sequence[tuple[str, ...]]) -> Tree:
    number = {path: i for i, path in enumerate(places)}
    here = {one.phase.id: i for i, one in enumerate(placed)}
    around = parents(run.phases)
    up = []
    for one in placed:
        above = around.get(one.phase.id)
        for _ in around:  # one that has no part in the window is passed over
            if above is None or above in here:
                break
            above = around.get(above)
        up.append(here.get(above, -1) if above is not None else -1)
    node = np.asarray([number[one.path] for one in placed], dtype=np.int64)
    return Tree(tuple(places), node, np.asarray(up, dtype=np.int64))


def _phase(
    group: _Group,
    placed: Sequence[Placed],
    books: Sequence[Book],
    answering: Sequence[Book],
    whole: Total,
) -> PhaseSummary:
    n, mine = group.place, [placed[i] for i in group.at]
    devices = tuple(b.of[n] for b in books if n in b.of)
    counted = [d for d in devices if d.device.uuid in whole.devices]
    total = total_of(counted if whole.devices else devices)
    done = work_done(group.work)
    errors = [one.phase.error for one in mine if one.phase.error]
    concurrent = any(n in b.shared for b in answering)
    lags = [(one.gpu[1] - one.host[1]) / 1e9 for one in mine if one.gpu]
    share, share_low, share_high = _share(total, whole)
    summary = PhaseSummary(
        path=group.path,
        count=len(mine),
        windows=group.windows,
        devices=devices,
        total=total,
        share=share,
        work=done,
        per_unit=per_unit(total, done),
        complete=all(one.phase.end_ns is not None for one in mine),
        error=errors[0] if errors else None,
        share_low=share_low,
        share_high=share_high,
        resolved=all(d.resolved for d in counted),
        self_j=None if whole.energy_j is None else sum(float(b.own_j[n]) for b in answering),
        concurrent=concurrent,
        combined=any(n in b.combined for b in answering),
        facts=_shared_facts(mine),
        processes=len({one.phase.pid for one in mine}),
        on_gpu=any(one.gpu for one in mine),
        host_s=sum(b - a for a, b in merged(one.host for one in mine)) / 1e9,
        lag_s=sum(lags) / len(lags) if lags else None,
    )
    return _with_repeats(summary, group, mine, answering) if len(mine) > 1 else summary


def _with_repeats(
    summary: PhaseSummary, group: _Group, mine: Sequence[Placed], books: Sequence[Book]
) -> PhaseSummary:
    """The phase with what its repeats tell; energies only where nothing else was at work."""
    lengths = [(b - a) / 1e9 for a, b in (one.gpu or one.host for one in mine)]
    summary = replace(
        summary, first_s=lengths[0], rest_mean_s=sum(lengths[1:]) / (len(lengths) - 1)
    )
    if summary.concurrent:
        return summary
    return replace(
        summary,
        first_j=first_j(books, group.place, group.at[0]),
        profile=profile(books, group.place, group.at),
    )


def _share(total: Total, whole: Total) -> tuple[float | None, float | None, float | None]:
    """A phase's share of the whole, and its 95 % interval."""
    if not total.energy_j or not whole.energy_j:
        return None, None, None
    share = total.energy_j / whole.energy_j
    half = ratio_half_width(total.energy_j, _widest(total), whole.energy_j, _widest(whole))
    return share, max(0.0, share - half), min(1.0, share + half)


def _widest(total: Total) -> float:
    return max(total.sampling_low_j or 0.0, total.sampling_high_j or 0.0)


def _shared_facts(mine: Sequence[Placed]) -> dict[str, Any]:
    """What is told of all of them alike."""
    first, *others = (one.phase.facts for one in mine)
    return {
        name: value
        for name, value in first.items()
        if all(name in facts and facts[name] == value for facts in others)
    }


def _overlapping(places: Sequence[tuple[str, ...]], sharing: Set[int]) -> tuple[Caution, ...]:
    """One word for all phases that had to share."""
    names = list(dict.fromkeys(places[n][-1] for n in sorted(sharing)))
    if not names:
        return ()
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    text = (
        f"at work at the same time on one device: {', '.join(names[:MOST_NAMES])}{more}; what it"
        " drew then is shared out evenly among them"
    )
    return (
        Caution("overlapping", text, "run them one after the other, or on devices of their own"),
    )
