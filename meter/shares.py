"""Whose an instant is: the time of one device, shared out among the phases that were open in it.

All edges of phases cut the window into cells. In each, the energy is that of the innermost open
phases; where several stacks of phases are open at once (threads, ranks), they share it evenly, and
the same place in the tree counts once. Time that nobody claims is somebody's too, the last node's:
so the shares of all nodes add up to the whole, whatever the phases look like.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vidmeter.meter import energy
from vidmeter.meter.energy import Bools, Curve, Floats, Ints

ROUNDING = 1e-12
"""A difference of energies that is less than this share of them is none."""


@dataclass(frozen=True)
class Tree:
    """Phases and the places where they stand, as numbers.

    `places` are the paths, `node` is the place of each phase and `around` the number of the phase
    around it, -1 for those at the top.
    """

    places: tuple[tuple[str, ...], ...]
    node: Ints
    around: Ints

    @property
    def nodes(self) -> int:
        """How many places there are; it also stands for nobody's."""
        return len(self.places)

    @cached_property
    def up(self) -> tuple[int, ...]:
        """The place above each place, `nodes` for those at the top."""
        return tuple(self.nodes if n < 0 else n for n in self._over)

    @cached_property
    def nested(self) -> Ints:
        """Each phase with every one around it: row 0 around, row 1 inside."""
        found = _pairs(self.around, self.around, np.arange(len(self.node)))
        return found[:, found[0] != found[1]]  # marks gone wrong may go round in a circle

    @cached_property
    def below(self) -> Ints:
        """Each place (row 0) with every phase at it or below it (row 1)."""
        return _pairs(np.asarray(self._over), self.node, np.arange(len(self.node)))

    @cached_property
    def _over(self) -> list[int]:
        number = {path: i for i, path in enumerate(self.places)}
        return [_next_above(path, number) for path in self.places]


@dataclass(frozen=True, slots=True)
class Shares:
    """The time of one device, shared out.

    `t_ns` are the edges of its cells, `sharing` says how many nodes share each of them (at least
    1). Stretch i, from edge `low[i]` to edge `high[i]`, is `owner[i]`'s own, ascending by owner and
    time. `spans` are those of each node with all below it: starts and ends, ns.
    """

    t_ns: Ints
    sharing: Ints
    owner: Ints
    low: Ints
    high: Ints
    spans: tuple[Ints, ...]

    def own_j(self, curve: Curve) -> Floats:
        """The energy of each node by itself; the last one is nobody's. Together it is all."""
        upto = _running(np.diff(energy.cumulative_j(curve, self.t_ns)) / self.sharing)
        part = upto[self.high] - upto[self.low]
        return np.bincount(self.owner, part, len(self.spans)).astype(np.float64)

    def own_s(self, node: int, starts: Ints, ends: Ints) -> Floats:
        """How much of each stretch of time is a node's own, s, in even shares."""
        first, last = np.searchsorted(self.owner, [node, node + 1])
        low, high = self.low[first:last], self.high[first:last]
        if not len(low):
            return np.zeros(len(starts))
        edges = (self.t_ns - self.t_ns[0]).astype(np.float64)
        uneven = bool(self.sharing.max(initial=1) > 1)
        shared = _running(np.diff(edges) / self.sharing) if uneven else edges
        before = _running(shared[high] - shared[low])

        def upto(t_ns: Ints) -> Floats:
            i = np.searchsorted(self.t_ns[low], t_ns, side="right") - 1
            at = np.clip(i, 0, len(low) - 1)
            t = np.minimum(t_ns, self.t_ns[high[at]]) - self.t_ns[0]
            inside = (np.interp(t, edges, shared) if uneven else t) - shared[low[at]]
            return np.where(i < 0, 0.0, before[at] + inside)

        first_ns, last_ns = upto(starts), upto(ends)
        return (last_ns - first_ns) / 1e9

    def shared_by(self, least: float) -> list[int]:
        """The nodes that shared more of their own time with others than `least`, 0-1."""
        cell_ns = np.diff(self.t_ns).astype(np.float64)
        of_own = [_running(cell_ns), _running(np.where(self.sharing > 1, cell_ns, 0.0))]
        own, shared = (
            np.bincount(self.owner, weights=upto[self.high] - upto[self.low]) for upto in of_own
        )
        return [int(n) for n in np.flatnonzero(shared > least * own)]


def shares(
    tree: Tree, start_ns: Ints, end_ns: Ints, here: Bools, *, window: tuple[int, int]
) -> Shares:
    """Share out a window among phases, each at work from its start to its end, if it was `here`."""
    t_ns = np.unique(np.concatenate((start_ns[here], end_ns[here], window)))
    low, high = np.searchsorted(t_ns, start_ns), np.searchsorted(t_ns, end_ns)
    cells = len(t_ns) - 1
    around, inside = tree.nested[:, here[tree.nested].all(axis=0)]
    each = np.flatnonzero(here)
    phase, a, b = _where((each, low[each], high[each]), (around, low[inside], high[inside]), cells)
    nothing = (phase[:0], phase[:0], phase[:0])
    owner, a, b = _where((tree.node[phase], a, b), nothing, cells)
    turns = np.bincount(a, minlength=cells + 1) - np.bincount(b, minlength=cells + 1)
    claimed = np.cumsum(turns[:-1])
    c, d = np.flatnonzero(np.diff(claimed == 0, prepend=False, append=False)).reshape(-1, 2).T
    node, of = tree.below[:, here[tree.below[1]]]
    held, e, f = _where((node, low[of], high[of]), nothing, cells)
    bounds = np.searchsorted(held, np.arange(tree.nodes + 1))
    spans = np.column_stack((t_ns[e], t_ns[f]))
    return Shares(
        t_ns=t_ns,
        sharing=np.maximum(claimed, 1),
        owner=np.concatenate((owner, 0 * c + tree.nodes)),
        low=np.concatenate((a, c)),
        high=np.concatenate((b, d)),
        spans=(*np.split(spans, bounds[1:-1]), np.asarray([window], dtype=np.int64)),
    )


def own_j_of_nested(
    tree: Tree, start_ns: Ints, end_ns: Ints, curve: Curve, *, window: tuple[int, int]
) -> Floats | None:
    """`Shares.own_j` where every phase was there and phases only nest; None where they don't.

    Each has to lie within the one around it, and to end before the next one beside it begins. Then
    every instant has one owner, and a phase's own energy is that of its time, less that of the
    phases in it.
    """
    n = len(start_ns)
    around = np.where(tree.around < 0, n, tree.around)  # the window is around those at the top
    start, end = np.append(start_ns, window[0]), np.append(end_ns, window[1])
    order = np.lexsort((end_ns, start_ns, around))
    beside = around[order[1:]] == around[order[:-1]]
    after = start_ns[order[1:]] >= end_ns[order[:-1]]
    inside = (start_ns >= start[around]) & (end_ns <= end[around])
    if not (inside.all() and after[beside].all()):
        return None
    upto = energy.cumulative_j(curve, np.concatenate((start, end)))
    all_j = upto[n + 1 :] - upto[: n + 1]
    own_j = all_j - np.bincount(around, all_j[:n], n + 1)
    own_j[np.abs(own_j) < ROUNDING * np.abs(all_j)] = 0.0
    node = np.append(tree.node, tree.nodes)
    return np.bincount(node, own_j, tree.nodes + 1).astype(np.float64)


def _next_above(path: tuple[str, ...], number: dict[tuple[str, ...], int]) -> int:
    lengths = range(len(path) - 1, 0, -1)
    return next((number[path[:n]] for n in lengths if path[:n] in number), -1)


def _pairs(up: Ints, first: Ints, of: Ints) -> Ints:
    """Each of `of` with its `first`, and with all that is above that one."""
    found = []
    for _ in range(len(up)):
        there = first >= 0
        first, of = first[there], of[there]
        if not len(first):
            break
        found.append(np.stack((first, of)))
        first = up[first]
    return np.concatenate(found, axis=1) if found else np.zeros((2, 0), dtype=np.int64)


def _where(
    plus: tuple[Ints, Ints, Ints], minus: tuple[Ints, Ints, Ints], cells: int
) -> tuple[Ints, Ints, Ints]:
    """For each key the stretches that a `plus` holds and no `minus`: keys, lows, highs, sorted.

    All keys are laid one behind the other on one line, and the line is walked once.
    """
    stride = cells + 2
    at = np.concatenate([key * stride + edge for key, *edges in (plus, minus) for edge in edges])
    n, m = len(plus[0]), len(minus[0])
    step = np.repeat([1, -1, 0, 0], [n, n, m, m])
    less = np.repeat([0, 0, 1, -1], [n, n, m, m])
    order = np.argsort(at, kind="stable")
    at = at[order]
    last = np.append(at[1:] != at[:-1], True)[: len(at)]
    on = (np.cumsum(step[order])[last] > 0) & (np.cumsum(less[order])[last] == 0)
    turns = at[last][np.flatnonzero(np.diff(np.concatenate(([False], on))))]
    key = turns[0::2] // stride
    return key, turns[0::2] - key * stride, turns[1::2] - key * stride


def _running(values: Floats | Ints | Bools) -> Floats:
    """The sums of the first 0, 1, 2 … values."""
    out = np.zeros(len(values) + 1)
    np.cumsum(values, out=out[1:])
    return out
