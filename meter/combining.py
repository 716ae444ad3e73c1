"""Phases too short for a sensor, combined over their repeats.

Around each phase whose energy is known lie the phases inside that have none. What the readings in
its time tell of these is worked out together (`unmix`), and the energies add up to the known one.
Only what comes out sharply enough is stated; the rest stays below resolution.

The same is done for phases that a few readings fit into each time: at each edge a reading mixes
them with what is around, always in the same direction, and thousands of edges don't average out.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vidmeter.meter.deviceenergy import GOOD_COVERAGE, Meter
from vidmeter.meter.energy import Bools, Floats, Ints
from vidmeter.meter.shares import Shares
from vidmeter.meter.sources import Source
from vidmeter.meter.spans import over, time_inside
from vidmeter.meter.summary import DeviceEnergy
from vidmeter.meter.unmix import Parts, unmix

FEWEST_REPEATS = 20
BLURRED = 5
"""A phase that is on average shorter than this many readings is too blurred at its edges."""
HAIRLINE = 0.02
"""A gap shorter than this share of a reading divides nothing."""
WIDEST = 0.5
"""An energy whose half-width is more than this share of it isn't stated."""
LEAST_HEARD = 0.5
"""At least this share of a phase's time has to lie in the stretches that were used."""
LEAST_OPEN = 0.002
"""How far the whole and the readings are apart at least, as a share of it."""
MOST_MOVED = 5000
"""So many readings tell well enough what their place in time matters."""
WHOLLY = 0.995
"""A reading tells of a block of phases alone if they hold this share of its time."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """The readings within some spans: their stretches and mean powers."""

    source: Source
    starts: Ints
    ends: Ints
    mean_w: Floats

    @property
    def stretch_ns(self) -> float:
        """How long a reading speaks of, or how far apart they are, usually."""
        return self.source.blur_s * 1e9

    @property
    def blurred_ns(self) -> float:
        """What is shorter has edges that count."""
        return BLURRED * self.stretch_ns


@dataclass(frozen=True, slots=True)
class Account:
    """One device's energy as it was integrated, by the number of the place in the tree.

    `own_j` is each place's own energy, and last nobody's; `of` is that with all below, for the
    places that have a part in the device. `shared` are those that had to share it.
    """

    meter: Meter
    shares: Shares
    own_j: Floats
    of: Mapping[int, DeviceEnergy]
    shared: frozenset[int]


def combine(
    book: Account, whole: DeviceEnergy, *, up: Sequence[int], repeats: Ints
) -> dict[int, DeviceEnergy]:
    """The energies of phases that are known from their repeats; `own_j` is set right for them.

    `whole` is the energy of the whole window, `up` the place above each, and `repeats` how often
    each place comes. Places that share their time with others are left as they are.
    """
    nobody = len(up)
    inside: dict[int, list[int]] = {}
    for n, above in enumerate(up):
        inside.setdefault(above, []).append(n)
    known = {**book.of, nobody: whole}
    alone = {n for n in known if n not in book.shared}
    short = {n for n in alone if not known[n].resolved}
    often = {n for n in alone if n != nobody and repeats[n] >= FEWEST_REPEATS}
    found: dict[int, DeviceEnergy] = {}
    for n in sorted(alone - short, key=lambda n: (n != nobody, n)):
        if n in found or known[n].energy_j is None:
            continue
        heard = _heard(book.meter, book.shares.spans[n])
        if heard is None:
            continue
        open_here = short | {
            p for p in often if _span_ns(book.shares.spans[p], heard) < heard.blurred_ns
        }
        while True:
            block = [n, *_below(n, inside, open_here)]
            wanted = [i for i, p in enumerate(block) if i and p in often]
            parts = _of_block(book, heard, known[n], block, wanted, up) if wanted else {}
            lost = {p for p in block[1:] if p not in short and p not in parts}
            if not lost:
                break
            open_here -= lost  # these keep what was integrated, and are no longer asked for
        found |= parts
    return found


def _below(n: int, inside: dict[int, list[int]], short: set[int]) -> list[int]:
    found = []
    for child in inside.get(n, ()):
        if child in short:
            found += [child, *_below(child, inside, short)]
    return found


def _span_ns(spans: Ints, heard: _Heard) -> float:
    """How long a phase goes on in one piece, on average."""
    if not len(spans):
        return 0.0
    apart = spans[1:, 0] - spans[:-1, 1] > HAIRLINE * heard.stretch_ns
    return float((spans[:, 1] - spans[:, 0]).sum()) / (1 + int(apart.sum()))


def _of_block(
    book: Account,
    heard: _Heard,
    around: DeviceEnergy,
    block: list[int],
    wanted: list[int],
    up: Sequence[int],
) -> dict[int, DeviceEnergy]:
    """The phases of one block that come out sharply enough; `block` begins with the known one."""
    shares, whole_j = book.shares, float(book.own_j[block].sum())
    by_source_j = float(shares.own_j(heard.source.curve)[block].sum())
    if whole_j <= 0 or by_source_j <= 0:
        return {}
    heard = replace(heard, mean_w=heard.mean_w * (whole_j / by_source_j))
    parts, told = _parts(shares, block, heard, whole_j, 0)
    if parts is None:
        return {}
    around_j = max(around.sampling_low_j or 0.0, around.sampling_high_j or 0.0)
    moved = _moved(shares, block, heard, whole_j, max(around_j, LEAST_OPEN * whole_j))
    found = {}
    for i in wanted:
        chosen = _and_below(block, i, up)
        joules = float(parts.joules[chosen].sum())
        half = math.hypot(parts.half_j(chosen), *np.abs(moved[:, chosen].sum(axis=1)))
        if half <= WIDEST * joules and told[i] >= LEAST_HEARD:
            seconds = float((shares.spans[block[i]][:, 1] - shares.spans[block[i]][:, 0]).sum())
            found[block[i]] = _stated(book.meter, heard, around, joules, half, seconds / 1e9)
    if found:
        book.own_j[block] = parts.joules
    return found


def _heard(meter: Meter, spans: Ints) -> _Heard | None:
    """The readings of the sharpest source of which it is known what time each speaks of."""
    exact = [s for s in meter.sources if s.exact and over(s.curve, spans).coverage >= GOOD_COVERAGE]
    if not exact:
        return None
    source = min(exact, key=lambda s: s.blur_s)
    starts, ends = source.stretches
    mean_w = source.mean_w
    good = np.flatnonzero(
        (time_inside(spans, starts, ends) >= WHOLLY * (ends - starts)) & ~np.isnan(mean_w)
    )[:: source.overlap]
    return _Heard(source, starts[good], ends[good], mean_w[good]) if len(good) else None


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


def _moved(
    shares: Shares, block: list[int], heard: _Heard, whole_j: float, open_j: float
) -> Floats:
    """How far the parts move, J, by what isn't known of all readings together.

    These are their place in time, and how much the whole is beside them: where the shares hardly
    change, a little of either moves the parts by a lot.
    """
    step = 1 + len(heard.starts) // MOST_MOVED
    some = _Heard(heard.source, heard.starts[::step], heard.ends[::step], heard.mean_w[::step])
    place_ns = round(heard.source.place_s * 1e9)
    still, early, late, more = (
        _parts(shares, block, some, all_j, by)[0]
        for all_j, by in (
            (whole_j, 0), (whole_j, -place_ns), (whole_j, place_ns), (whole_j + open_j, 0),
        )
    )  # fmt: skip
    if not (still and early and late and more):
        return np.full((1, len(block)), np.inf)
    in_time = np.maximum(np.abs(early.joules - still.joules), np.abs(late.joules - still.joules))
    return np.stack((in_time, more.joules - still.joules))


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
