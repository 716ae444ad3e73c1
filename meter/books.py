"""One device's energy, shared out among the phases: what is each one's own, and with all inside."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from vidmeter.meter import energy
from vidmeter.meter.combining import Account, combine
from vidmeter.meter.deviceenergy import RESOLVED, Meter, device_energy
from vidmeter.meter.energy import Bools, Floats, Ints
from vidmeter.meter.placed import Placed
from vidmeter.meter.shares import Shares, Tree, own_j_of_nested, shares
from vidmeter.meter.spans import over
from vidmeter.meter.summary import DeviceEnergy

ALONE = 1 - 1e-9
"""A phase that keeps this share of the energy of its time shared it with nobody."""
WORTH_SAYING = 0.01
"""Phases that shared less than this of their own time aren't spoken of."""


@dataclass(frozen=True, slots=True)
class Book:
    """The account of one device, by the number of the place in the tree.

    `own_j` is each place's own energy, and last nobody's; `of` is that with all below, for the
    places that have a part in the device. `shared` had to share, `combined` were found from their
    repeats together. `start_ns`, `end_ns` and `here` tell of each phase when, and whether, the
    device was at it.
    """

    meter: Meter
    shares: Shares
    own_j: Floats
    of: dict[int, DeviceEnergy]
    shared: frozenset[int]
    combined: frozenset[int]
    start_ns: Ints
    end_ns: Ints
    here: Bools


class SharedOut(NamedTuple):
    """What each place took of a device by itself, J, last nobody's, and which had to share."""

    own_j: Floats
    sharing: list[int]


class Books:
    """Makes the books of a run's devices; time that several have alike is shared out once."""

    def __init__(self, tree: Tree, placed: Sequence[Placed], window: tuple[int, int]) -> None:
        self._tree, self._placed, self._window = tree, placed, window
        self._known: dict[bytes, Shares] = {}

    def of(self, meter: Meter, whole: DeviceEnergy) -> Book:
        """The book of a device; `whole` is its energy over all of the window."""
        start, end, here = self._at_work(meter)
        shared = self._shared_out(start, end, here)
        curve = _curve_of(meter, whole)
        own_j = self._own_j_of_nested(start, end, here, curve)
        own_j = shared.own_j(curve) if own_j is None else own_j
        found, others = {}, set()
        for n, mine in self._below(here):
            at = shared.spans[n]
            if not len(at):  # no phase of it has any length
                at = np.full((1, 2), start[mine].min())
            found[n] = device_energy(meter, at, prefer=whole.source, fewest=RESOLVED)
            all_j = over(curve, at).covered_j
            kept = float(own_j[np.unique(self._tree.node[mine])].sum()) / all_j if all_j else 1.0
            if kept < ALONE:
                others.add(n)
                found[n] = _scaled(found[n], kept)
        account = Account(meter, shared, own_j, found, frozenset(others))
        repeats = np.bincount(self._tree.node[here], minlength=self._tree.nodes)
        combined = combine(account, whole, up=self._tree.up, repeats=repeats)
        return Book(
            meter, shared, own_j, found | combined, frozenset(others), frozenset(combined),
            start, end, here,
        )  # fmt: skip

    def shared_out(self, meter: Meter, whole: DeviceEnergy) -> SharedOut:
        """What each place took of a device by itself, without its book."""
        start, end, here = self._at_work(meter)
        curve = _curve_of(meter, whole)
        own_j = self._own_j_of_nested(start, end, here, curve)
        if own_j is not None:
            return SharedOut(own_j, [])
        shared = self._shared_out(start, end, here)
        return SharedOut(shared.own_j(curve), shared.shared_by(WORTH_SAYING))

    def _own_j_of_nested(
        self, start: Ints, end: Ints, here: Bools, curve: energy.Curve
    ) -> Floats | None:
        if not here.all():
            return None
        return own_j_of_nested(self._tree, start, end, curve, window=self._window)

    def _at_work(self, meter: Meter) -> tuple[Ints, Ints, Bools]:
        """When each phase was at a device, from and to, ns, and whether it was at all."""
        spans = [one.on(meter.device) for one in self._placed]
        here = np.asarray([span is not None for span in spans])
        edges = np.asarray([span or (0, 0) for span in spans], dtype=np.int64)
        return edges[:, 0], np.maximum(edges[:, 0], edges[:, 1]), here

    def _shared_out(self, start: Ints, end: Ints, here: Bools) -> Shares:
        key = b"".join(each.tobytes() for each in (here, start, end))
        if key not in self._known:
            self._known[key] = shares(self._tree, start, end, here, window=self._window)
        return self._known[key]

    def _below(self, here: Bools) -> Iterator[tuple[int, Ints]]:
        """The places that have a part in a device, and the phases at each or below it."""
        node, phase = self._tree.below[:, here[self._tree.below[1]]]
        phase = phase[np.argsort(node, kind="stable")]
        bounds = np.searchsorted(np.sort(node), np.arange(self._tree.nodes + 1))
        for n in np.flatnonzero(np.diff(bounds)).tolist():
            yield n, phase[bounds[n] : bounds[n + 1]]


def _curve_of(meter: Meter, whole: DeviceEnergy) -> energy.Curve:
    """The curve that the whole is taken from."""
    source = next((s for s in meter.sources if s.name == whole.source), None)
    return source.curve if source else energy.points([], [])


def _scaled(e: DeviceEnergy, by: float) -> DeviceEnergy:
    """The part of an energy that is left after sharing; its errors shrink with it."""

    def part(value: float | None) -> float | None:
        return None if value is None else value * by

    return replace(
        e,
        energy_j=part(e.energy_j),
        low_j=part(e.low_j),
        high_j=part(e.high_j),
        covered_j=part(e.covered_j),
        mean_w=part(e.mean_w),
        second_j=part(e.second_j),
        sampling_low_j=part(e.sampling_low_j),
        sampling_high_j=part(e.sampling_high_j),
        raw_j=part(e.raw_j),
    )
