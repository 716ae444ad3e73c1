"""Which of a card's sources can't be true, found by holding them against each other.

Counters exist that advance by the same 33.9 J every 100 ms whatever the card does, and that read
187 J where the card's own samples say 327 J (docs/measurement.md names the reports). A counter that
contradicts the driver's ring by more than 3 % is set aside, with the reason. Without a ring it
takes two readings of power that look all of the time and agree with each other.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vidmeter.meter import energy
from vidmeter.meter.energy import Floats
from vidmeter.meter.quality import Quality, Verdict
from vidmeter.meter.sample import Quantity
from vidmeter.meter.sources import Source

CONTRADICTS = 0.03
AGREE = 0.02
SHORTEST_S = 2.0
"""No source is set aside on less time than this."""
SHORTEST_WITHOUT_RING_S = 10.0
BLOCK_S = 0.5
BLOCKS = 120
FEWEST_BLOCKS = 6
WHOLLY = 0.99
"""Stretches that both saw less of than this tell nothing."""
WRONG_SHARE = 1 / 3
"""A counter that is off in more of the stretches than this follows no load."""
SLUGGISH_S = 0.05
"""What drivers may differ by in time between two of their own readings; a ring was seen to follow
a step of the load within 45 ms."""


class Contradiction(NamedTuple):
    """How a counter differs from a reference: energies of the stretch that both saw, J and s."""

    counter_j: float
    reference_j: float
    seconds: float
    wrong_blocks: int
    blocks: int


def set_aside(sources: Sequence[Source], quality: Quality | None) -> Mapping[Quantity, str]:
    """The sources that must not be used, and why, in one line each."""
    found = {}
    for known in quality.series if quality else ():
        if known.verdict is Verdict.BROKEN:
            found[known.quantity] = f"found broken before: {known.reason}"
    by = {s.quantity: s for s in sources}
    counter = by.get(Quantity.ENERGY)
    if counter is None or Quantity.ENERGY in found:
        return found
    reference = _reference(by)
    if reference is None:
        return found
    wrong = contradiction(counter, reference)
    shortest_s = SHORTEST_S
    if reference.quantity is not Quantity.POWER_RING:
        shortest_s = SHORTEST_WITHOUT_RING_S
    if wrong is not None and wrong.seconds >= shortest_s:
        found[Quantity.ENERGY] = (
            f"it says {wrong.counter_j:.4g} J where the {reference.name} say"
            f" {wrong.reference_j:.4g} J ({wrong.counter_j / wrong.reference_j * 100 - 100:+.0f} %"
            f" over {wrong.seconds:.0f} s"
            + (
                f", off by more than 3 % in {wrong.wrong_blocks} of {wrong.blocks} stretches)"
                if wrong.wrong_blocks
                else ")"
            )
        )
    return found


def contradiction(counter: Source, reference: Source) -> Contradiction | None:
    """Where a counter differs from a reference by more than 3 % and what time may explain.

    Over the whole that both saw, or in many of its stretches: a counter that ticks at one power
    may be right on average by accident.
    """
    starts = _blocks(counter.raw, reference.raw)
    if starts is None:
        return None
    mine, heard = energy.window_arrays(counter.raw, starts[:-1], starts[1:])
    theirs, seen = energy.window_arrays(reference.raw, starts[:-1], starts[1:])
    both = (heard > WHOLLY) & (seen > WHOLLY)
    if not both.any():
        return None
    mine, theirs = mine[both], theirs[both]
    peaks_w = energy.peaks_w(reference.raw, starts[:-1], starts[1:])[both]
    block_s = float(starts[1] - starts[0]) / 1e9
    apart_s = reference.place_s + reference.blur_s / 2 + SLUGGISH_S

    def slack_j(reference_j: Floats, peak_w: Floats) -> Floats:
        """What time explains, at two edges: all power for a tick, its changes for a delay."""
        swing_w = np.maximum(peak_w - reference_j / block_s, 0.1 * peak_w)
        return 2 * (counter.place_s * peak_w + apart_s * swing_w)

    off = np.abs(mine - theirs) > CONTRADICTS * theirs + slack_j(theirs, peaks_w)
    count, wrong = len(off), int(np.count_nonzero(off))
    counter_j, reference_j = float(mine.sum()), float(theirs.sum())
    slack = float(slack_j(theirs.mean(), peaks_w.max()))
    whole = abs(counter_j - reference_j) > CONTRADICTS * reference_j + slack
    many = count >= FEWEST_BLOCKS and wrong > WRONG_SHARE * count
    if whole or many:
        return Contradiction(counter_j, reference_j, block_s * count, wrong, count)
    return None


def _reference(by: Mapping[Quantity, Source]) -> Source | None:
    """What a counter can be held against: the ring, or two full-time readings that agree."""
    if Quantity.POWER_RING in by:
        return by[Quantity.POWER_RING]
    powers = (Quantity.POWER_INSTANT, Quantity.POWER_USAGE, Quantity.POWER_AVERAGE)
    full = [by[q] for q in powers if q in by and by[q].full_time]
    if len(full) < 2:
        return None
    starts = _blocks(full[0].raw, full[1].raw)
    if starts is None:
        return None
    one, two = (energy.energy(s.raw, int(starts[0]), int(starts[-1])).covered_j for s in full[:2])
    return full[0] if two and abs(one / two - 1) <= AGREE else None


def _blocks(a: energy.Curve, b: energy.Curve) -> energy.Ints | None:
    """The edges (ns) of equal stretches of the time that two curves have in common."""
    if a.empty or b.empty:
        return None
    start, end = max(a.t_ns[0], b.t_ns[0]), min(a.t_ns[-1], b.t_ns[-1])
    seconds = (end - start) / 1e9
    if seconds < SHORTEST_S:
        return None
    count = int(np.clip(seconds // BLOCK_S, 1, BLOCKS))
    return np.linspace(start, end, count + 1).astype(np.int64)
