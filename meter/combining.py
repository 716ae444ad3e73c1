"""Phases too short for a sensor, combined over their repeats.

Around each phase whose energy is known lie the phases inside that have none. What the readings in
its time tell of these is worked out together (`unmix`), and the energies add up to the known one.
Only what comes out sharply enough is stated; the rest stays below resolution.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vidmeter.meter.deviceenergy import GOOD_COVERAGE, Meter
from vidmeter.meter.energy import Bools, Floats, Ints
from vidmeter.meter.shares import Shares
from vidmeter.meter.sources import Source
from vidmeter.meter.spans import holds, over
from vidmeter.meter.summary import DeviceEnergy
from vidmeter.meter.unmix import Parts, unmix

FEWEST_REPEATS = 20
WIDEST = 0.5
"""An energy whose half-width is more than this share of it isn't stated."""
LEAST_HEARD = 0.5
"""At least this share of a phase's time has to lie in the stretches that were used."""
WHOLLY = 1 - 1e-6


@dataclass(frozen=True, slots=True)
class Repeats:
    """How often each place of the tree comes in a device's time, and how long it is, ns."""

    count: Ints
    mean_ns: Floats


@dataclass(frozen=True, slots=True)
class _Heard:
    """The readings within some spans: their stretches, mean powers, and numbers in their source."""

    source: Source
    starts: Ints
    ends: Ints
    mean_w: Floats


def combine(
    meter: Meter,
    shares: Shares,
    own_j: Floats,
    known: dict[int, DeviceEnergy],
    *,
    up: Sequence[int],
    repeats: Repeats,
    fixed: frozenset[int],
) -> dict[int, DeviceEnergy]:
    """The energies of phases that are known from their repeats only; `own_j` is set right for them.

    `known` has what was integrated, the whole window under the last number; `up` is the place
    above each. Places that are `fixed` share their time with others, and are left as they are.
    """
    found: dict[int, DeviceEnergy] = {}
    inside: dict[int, list[int]] = {}
    for n, above in enumerate(up):
        inside.setdefault(above, []).append(n)
    short = {n for n, e in known.items() if not e.resolved and n not in fixed}
    for n, e in known.items():
        if e.energy_j is not None and n not in fixed:
            block = [n, *_below(n, inside, short)]
            wanted = [
                i for i, p in enumerate(block) if p != n and repeats.count[p] >= FEWEST_REPEATS
            ]
            if wanted:
                found |= _of_block(meter, shares, own_j, e, block, wanted, up, repeats)
    return found


def _below(n: int, inside: dict[int, list[int]], short: set[int]) -> list[int]:
    found = []
    for child in inside.get(n, ()):
        if child in short:
            found += [child, *_below(child, inside, short)]
    return found


def _of_block(
    meter: Meter,
    shares: Shares,
    own_j: Floats,
    around: DeviceEnergy,
    block: list[int],
    wanted: list[int],
    up: Sequence[int],
    repeats: Repeats,
) -> dict[int, DeviceEnergy]:
    """The phases of one block that come out sharply enough; `block` begins with the known one."""
    heard = _heard(meter, shares.spans[block[0]])
    if heard is None or not len(heard.starts):
        return {}
    stretch_ns = float(np.median(heard.ends - heard.starts))
    wanted = [i for i in wanted if repeats.mean_ns[block[i]] < stretch_ns]
    whole_j = float(own_j[block].sum())
    by_source_j = float(shares.own_j(heard.source.curve)[block].sum())
    if not wanted or whole_j <= 0 or by_source_j <= 0:
        return {}
    heard = replace(heard, mean_w=heard.mean_w * (whole_j / by_source_j))
    parts, told = _parts(shares, block, heard, whole_j, 0)
    if parts is None:
        return {}
    place_ns = round(heard.source.place_s * 1e9)
    moved = [_parts(shares, block, heard, whole_j, by)[0] for by in (-place_ns, place_ns)]
    open_share = max(around.sampling_low_j or 0.0, around.sampling_high_j or 0.0) / whole_j
    found = {}
    for i in wanted:
        chosen = _and_below(block, i, up)
        joules = float(parts.joules[chosen].sum())
        apart = max(abs(float(m.joules[chosen].sum()) - joules) if m else math.inf for m in moved)
        half = math.hypot(parts.half_j(chosen), apart, joules * open_share)
        if half <= WIDEST * joules and told[i] >= LEAST_HEARD:
            seconds = float(np.diff(shares.spans[block[i]]).sum()) / 1e9
            found[block[i]] = _stated(meter, heard, around, joules, half, seconds)
    if found:
        own_j[block] = parts.joules
    return found


def _heard(meter: Meter, spans: Ints) -> _Heard | None:
    """The readings of the sharpest source of which it is known what time each speaks of."""
    exact = [s for s in meter.sources if s.exact and over(s.curve, spans).coverage >= GOOD_COVERAGE]
    if not exact:
        return None
    source = min(exact, key=lambda s: s.blur_s)
    starts, ends = source.stretches
    mean_w = source.mean_w
    good = np.flatnonzero(holds(spans, starts, ends) & ~np.isnan(mean_w))[:: source.overlap]
    return _Heard(source, starts[good], ends[good], mean_w[good])


def _parts(
    shares: Shares, block: list[int], heard: _Heard, whole_j: float, later_ns: int
) -> tuple[Parts | None, Floats]:
    """The parts as they are if all readings are that much later, and the share told of each."""
    starts, ends = heard.starts + later_ns, heard.ends + later_ns
    length_s = (ends - starts) / 1e9
    own_s = np.column_stack([shares.own_s(n, starts, ends) for n in block])
    all_s = np.asarray([shares.own_s(n, shares.t_ns[:1], shares.t_ns[-1:])[0] for n in block])
    use = own_s.sum(axis=1) >= WHOLLY * length_s
    share = own_s[use] / own_s[use].sum(axis=1)[:, None]
    told = own_s[use].sum(axis=0) / np.where(all_s > 0, all_s, 1.0)
    return unmix(share, heard.mean_w[use], length_s[use], seconds=all_s, whole_j=whole_j), told


def _and_below(block: list[int], i: int, up: Sequence[int]) -> Bools:
    """Which of a block are the i-th or below it; places come before those below them."""
    chosen = np.zeros(len(block), dtype=np.bool_)
    for j, n in enumerate(block):
        chosen[j] = j == i or (j > i and up[n] in {block[k] for k in np.flatnonzero(chosen)})
    return chosen


def _stated(
    meter: Meter, heard: _Heard, around: DeviceEnergy, joules: float, half_j: float, seconds: float
) -> DeviceEnergy:
    low, high = heard.source.low, heard.source.high
    return DeviceEnergy(
        device=meter.device,
        energy_j=joules,
        low_j=max(0.0, joules - math.hypot(joules * (1 - low), half_j)),
        high_j=joules + math.hypot(joules * (high - 1), half_j),
        covered_j=joules,
        coverage=around.coverage,
        source=heard.source.name,
        mean_w=joules / seconds if seconds else None,
        peak_w=None,
        sampling_low_j=half_j,
        sampling_high_j=half_j,
        gain_low=low,
        gain_high=high,
        readings=len(heard.starts),
        independent=len(heard.starts),
        seen_share=heard.source.seen_share,
        trusted=around.trusted,
        set_aside=around.set_aside,
    )
