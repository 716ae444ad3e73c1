"""Pure arithmetic: from readings to joules.

Every source of energy, whatever it reads, becomes one `Curve`: cumulative energy against time, with
power constant or linear between its knots, and a mark on each stretch that nobody saw. A window's
energy is the curve's difference between two instants, so windows that touch add up by
construction, and edges between two readings are interpolated exactly for power that runs straight
between them.

Nothing is bridged silently. A stretch without readings is `unseen`: it adds no energy to an
integral of power. A counter knows the energy of a stretch that it was not read in, though not its
course (`whole`): such a stretch counts when a window holds all of it. A counter that fell back to
0 knows nothing of the stretch in which it did.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidmeter.meter.cadence import ALL_NEW, SINGLE

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

GAP_FACTOR = 2.5
"""A stretch longer than this many usual spacings is a gap."""
GAP_NS = 200_000_000
"""No stretch shorter than this is a gap."""
MOST_FOR_MEDIAN = 100_000
"""The usual spacing of a long series is that of so many of its readings."""
TILING = 0.05
"""Windows that differ by less than this share from the distance of their ends tile the time."""
FEWEST_FOR_GRID = 8
GRID_FITS = 0.98
GRID_SLACK_NS = 1_000_000
"""Values come on a grid if nearly all do so between the two readings that they came between."""
AT_ONCE = 1 << 16
"""So many instants are looked up at once."""
EDGE_TICKS = 1.5
"""How many usual spacings the first and last reading may be held beyond themselves."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Cumulative energy of one device from one source.

    `t_ns` holds n knots, ascending; the other arrays describe the n - 1 stretches between them:
    power at their start and end in W (linear between), whether they were `seen`, and whether the
    energy of the `whole` stretch is known. `at_j` is the cumulative energy at the knots, J.
    """

    t_ns: Ints
    start_w: Floats
    end_w: Floats
    seen: Bools
    whole: Bools
    at_j: Floats

    @property
    def even(self) -> bool:
        """Whether power is known to be constant between any two knots."""
        return self.start_w is self.end_w

    @property
    def empty(self) -> bool:
        """Whether there is no stretch at all."""
        return len(self.t_ns) < 2


@dataclass(frozen=True, slots=True)
class WindowEnergy:
    """What a curve says of a window: energy of the covered part, J, and the covered share, 0-1."""

    covered_j: float
    coverage: float


def usual_spacing_ns(t_ns: Ints) -> int:
    """The median distance of neighbouring readings, ns; 0 for fewer than two."""
    if len(t_ns) < 2:
        return 0
    step = 1 + len(t_ns) // MOST_FOR_MEDIAN
    apart = t_ns[1::step] - t_ns[:-1:step]
    # np.median takes longer than all of the rest for a short run.
    low, high = (len(apart) - 1) // 2, len(apart) // 2
    ordered = np.partition(apart, (low, high))
    return (int(ordered[low]) + int(ordered[high])) // 2


def longest_bridge_ns(every_ns: int, nominal_ns: int) -> int:
    """The longest stretch between two readings that is not a gap, ns.

    2.5 usual spacings, of the readings or of the sampler's period, whichever is longer, but at
    least 200 ms: the course of power is taken as known across that much.
    """
    return int(max(GAP_FACTOR * max(every_ns, nominal_ns), GAP_NS))


def _apart(values: Any) -> Any:
    """What np.diff gives, which takes three times as long for a short run."""
    return values[1:] - values[:-1]


def _curve(
    t_ns: Ints, start_w: Floats, end_w: Floats, seen: Bools, whole: Bools | None = None
) -> Curve:
    known = seen if whole is None or whole is seen else seen | whole
    if not known.all():
        even = start_w is end_w
        start_w = np.where(known, start_w, 0.0)
        end_w = start_w if even else np.where(known, end_w, 0.0)
    joules = _apart(t_ns) * (0.5e-9 * (start_w + end_w))
    at_j = np.empty(len(t_ns))
    at_j[0] = 0.0
    np.cumsum(joules, out=at_j[1:])
    return Curve(t_ns, start_w, end_w, seen, known, at_j)


def _ascending(t_ns: ArrayLike, value: ArrayLike) -> tuple[Ints, Floats]:
    """Both as arrays; a reading that isn't later than all before it is left out."""
    t = np.asarray(t_ns, dtype=np.int64)
    v = np.asarray(value, dtype=np.float64)
    if len(t) > 1 and not (t[1:] > t[:-1]).all():
        later = np.concatenate(([True], t[1:] > np.maximum.accumulate(t)[:-1]))
        t, v = t[later], v[later]
    return t, v


def _held(t_ns: Ints, every_ns: int) -> Ints:
    """The instants, usually `every_ns` apart, with one more at either end.

    A reading stands for a little time around it: without this, a window that opens one tick
    before the first reading would count as uncovered there.
    """
    hold_ns = int(EDGE_TICKS * every_ns)
    held = np.empty(len(t_ns) + 2, dtype=np.int64)
    held[0], held[1:-1], held[-1] = t_ns[0] - hold_ns, t_ns, t_ns[-1] + hold_ns
    return held


def _ends_doubled(values: Any) -> Any:
    """The values with the first and the last once more."""
    return np.concatenate((values[:1], values, values[-1:]))


def _steps(t: Ints, power: Floats, seen: Bools, whole: Bools, every_ns: int) -> Curve:
    """A curve of power that is constant between its knots."""
    power, held = _ends_doubled(power), _ends_doubled(seen)
    known = held if whole is seen else _ends_doubled(whole)
    return _curve(_held(t, every_ns), power, power, held, known)


def points(t_ns: ArrayLike, power_w: ArrayLike, *, nominal_ns: int = 0) -> Curve:
    """The integral of readings of power at instants: straight lines between them (trapezoids)."""
    t, p = _ascending(t_ns, power_w)
    if len(t) < 2:
        return _nothing()
    every_ns = usual_spacing_ns(t)
    seen = _ends_doubled(_apart(t) <= longest_bridge_ns(every_ns, nominal_ns))
    p = _ends_doubled(p)
    return _curve(_held(t, every_ns), p[:-1], p[1:], seen)


def tiles(window_ns: int, every_ns: int) -> bool:
    """Whether windows that end so far apart fill the time, and none overlaps another."""
    return abs(every_ns - window_ns) <= TILING * window_ns


def boxes(
    t_ns: ArrayLike,
    power_w: ArrayLike,
    window_ns: int,
    *,
    refresh_ns: int | None = None,
    nominal_ns: int = 0,
) -> Curve:
    """The integral of readings that are means over `window_ns`, stamped at the window's end.

    Where windows tile the time (they come every `refresh_ns`, by default their usual spacing, and
    average as long), each reading holds exactly for the stretch that ends at it. Otherwise (a
    running mean, or a sensor that looks only part of the time) a reading stands for the middle of
    its window.
    """
    t, p = _ascending(t_ns, power_w)
    if len(t) < 2:
        return _nothing()
    every_ns = refresh_ns or usual_spacing_ns(t)
    if not tiles(window_ns, every_ns):
        return points(t - window_ns // 2, p, nominal_ns=nominal_ns)
    t = np.concatenate(([t[0] - every_ns], t))
    apart_ns = usual_spacing_ns(t)
    seen = _apart(t) <= longest_bridge_ns(apart_ns, nominal_ns)
    return _steps(t, p, seen, seen, apart_ns)


def renewed(t_ns: ArrayLike, value: ArrayLike, refresh_ns: int) -> tuple[Ints, Floats]:
    """The readings as the sensor renewed them, from one that was asked more often than that.

    A level that stays is renewed as well, every `refresh_ns`, for as long as it was asked for:
    there is no reading where nobody asked. Readings as far apart as they are renewed carry the
    sensor's own stamps, and are left as they are; so are readings that are new nearly every time.
    """
    t, v = _ascending(t_ns, value)
    new = np.flatnonzero(v[1:] != v[:-1]) + 1
    asked_ns = usual_spacing_ns(t)
    if len(new) < 2 or len(new) > ALL_NEW * (len(v) - 1) or asked_ns > ALL_NEW * refresh_ns:
        return t, v
    silent_ns = max(int(GAP_FACTOR * asked_ns), GAP_NS)
    came = _came(t, new, silent_ns)
    # The value that was there at first came at some refresh before the first change.
    back = max(1, int((came[0] - t[0]) // refresh_ns))
    came = np.concatenate(([came[0] - back * refresh_ns], came))
    level = np.concatenate((v[:1], v[new]))
    until = np.concatenate((came[1:], [t[-1]]))
    count = np.maximum(1, np.round((until - came) / refresh_ns).astype(np.int64))
    turn = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    times, levels = np.repeat(came, count) + turn * refresh_ns, np.repeat(level, count)
    # Where nobody asked for longer than a gap, nothing is known to have come.
    after = np.clip(np.searchsorted(t, times), 1, len(t) - 1)
    heard = (turn == 0) | (t[after] - t[after - 1] <= silent_ns)
    return times[heard], levels[heard]


def sluggish(curve: Curve, lag_ns: int) -> Curve:
    """The course of power behind a sensor that follows with a first-order lag.

    Such a sensor shows r where r + lag × dr/dt is true, so that the energy of a window is the
    integral of r and, beyond it, lag times what r rose by.
    """
    if curve.empty:
        return curve
    slope_w = (curve.end_w - curve.start_w) / (_apart(curve.t_ns) / lag_ns)
    slope_w = np.where(curve.seen, slope_w, 0.0)
    return _curve(curve.t_ns, curve.start_w + slope_w, curve.end_w + slope_w, curve.seen)


def counter(
    t_ns: ArrayLike,
    energy_j: ArrayLike,
    *,
    wrap: float | None = None,
    ticking: bool = False,
    nominal_ns: int = 0,
    spoiled: Sequence[tuple[int, int]] = (),
) -> Curve:
    """The course of a cumulative energy counter, J.

    `ticking` says that the driver advances it in steps that may be longer than the time between
    readings, as NVIDIA's does (about 100 ms): the knots are then the ticks that were observed. A
    fall is a wrap if the counter is known to start again at `wrap`, and a reset otherwise. Of the
    stretches `spoiled` (ns) it knows nothing: it leapt there.
    """
    t, e = _ascending(t_ns, energy_j)
    if len(t) < 2:
        return _nothing()
    every_ns = usual_spacing_ns(t)
    bridge_ns = longest_bridge_ns(every_ns, nominal_ns)
    if ticking:
        t, e = _ticks(t, e, bridge_ns)
        every_ns = usual_spacing_ns(t)
        bridge_ns = max(bridge_ns, longest_bridge_ns(every_ns, nominal_ns))
    delta, apart_ns = _apart(e), _apart(t)
    if wrap is not None:
        delta = np.where(delta < 0, delta + wrap, delta)
    whole = delta >= 0
    for start, end in spoiled:
        whole &= (t[1:] <= start) | (t[:-1] >= end)
    power = np.where(whole, delta / (apart_ns / 1e9), 0.0)
    seen = whole & (apart_ns <= bridge_ns)
    return _steps(t, power, seen, whole, every_ns)


def stated(t_ns: ArrayLike, energy_j: ArrayLike) -> Curve:
    """Energies of whole stretches, with nothing known of the course of power within them, J."""
    t, e = _ascending(t_ns, energy_j)
    if len(t) < 2:
        return _nothing()
    power = _apart(e) / (_apart(t) / 1e9)
    return _curve(t, power, power, np.zeros(len(power), np.bool_), np.ones(len(power), np.bool_))


def _ticks(t: Ints, e: Floats, bridge_ns: int) -> tuple[Ints, Floats]:
    """The instants at which a counter was seen to advance, and its values from there on.

    A counter that is new at nearly every reading ticks faster
    than it is read, and its readings are taken as they are.
    """
    news = (e[1:] != e[:-1]).nonzero()[0] + 1
    if len(news) < 2 or len(news) > ALL_NEW * (len(e) - 1):
        return t, e
    return _came(t, news, bridge_ns), e[news]


def _came(t: Ints, new: Ints, silent_ns: int) -> Ints:
    """When values came that were seen at the readings `new`.

    Between that reading and the one before: the middle is taken, or the reading itself after a
    silence. Where all of that fits an even grid, they came on the grid: looks at different times
    tell together more than each alone.
    """
    apart = t[new] - t[new - 1]
    came = np.where(apart <= silent_ns, t[new] - apart // 2, t[new])
    if len(came) < FEWEST_FOR_GRID:
        return came
    apart_ns = _apart(came)
    # One period, seen by looking, may be a look shorter or longer: the mean of those is not.
    single_ns = apart_ns[apart_ns <= SINGLE * np.quantile(apart_ns, 0.25)].mean()
    turn = np.concatenate(([0.0], np.cumsum(np.maximum(1, np.round(apart_ns / single_ns)))))
    sure = 1 / np.maximum(apart, 1)
    slope, first = np.polyfit(turn, (came - came[0]).astype(np.float64), 1, w=sure)
    grid = came[0] + np.round(first + slope * turn).astype(np.int64)
    fits = (grid <= t[new] + GRID_SLACK_NS) & (grid >= t[new - 1] - GRID_SLACK_NS)
    return grid if fits.mean() >= GRID_FITS and (_apart(grid) > 0).all() else came


def _nothing() -> Curve:
    none = np.zeros(0)
    false = np.zeros(0, dtype=np.bool_)
    return Curve(np.zeros(0, dtype=np.int64), none, none, false, false, np.zeros(1))


def scaled(curve: Curve, factor: float, *, offset_w: float = 0.0) -> Curve:
    """The curve of (power - offset_w) × factor: a rating in W per busy CPU, a calibration."""
    start_w = (curve.start_w - offset_w) * factor
    end_w = start_w if curve.even else (curve.end_w - offset_w) * factor
    return curve if curve.empty else _curve(curve.t_ns, start_w, end_w, curve.seen, curve.whole)


def _in_parts(of: Callable[[Curve, Ints], Floats], curve: Curve, t_ns: Ints) -> Floats:
    """A function of many instants, some at a time: what it makes on its way stays small."""
    if len(t_ns) <= AT_ONCE:
        return of(curve, t_ns)
    some = range(0, len(t_ns), AT_ONCE)
    return np.concatenate([of(curve, t_ns[i : i + AT_ONCE]) for i in some])


def _cumulative_j(curve: Curve, t_ns: Ints) -> Floats:
    """The curve's value at any instants, J; flat outside its knots."""
    return _in_parts(_cumulative_j_of_some, curve, t_ns)


def _cumulative_j_of_some(curve: Curve, t_ns: Ints) -> Floats:
    # Not np.clip, which takes ten times as long as these for a handful of instants.
    t = np.minimum(np.maximum(t_ns, curve.t_ns[0]), curve.t_ns[-1])
    i = np.minimum(curve.t_ns.searchsorted(t, side="right") - 1, len(curve.t_ns) - 2)
    x_s = (t - curve.t_ns[i]) / 1e9
    span_s = (curve.t_ns[i + 1] - curve.t_ns[i]) / 1e9
    slope = (curve.end_w[i] - curve.start_w[i]) / span_s
    inside = curve.at_j[i] + (curve.start_w[i] + 0.5 * slope * x_s) * x_s
    found: Floats = np.where(t == curve.t_ns[i + 1], curve.at_j[i + 1], inside)
    return found


def power_at(curve: Curve, t_ns: ArrayLike) -> Floats:
    """Power at instants, W; NaN where it was not seen."""
    t = np.asarray(t_ns, dtype=np.int64)
    if curve.empty:
        return np.full(t.shape, np.nan)
    return _in_parts(_power_at_some, curve, t)


def _power_at_some(curve: Curve, t: Ints) -> Floats:
    i = curve.t_ns.searchsorted(t, side="right") - 1
    i = np.minimum(np.maximum(i, 0), len(curve.t_ns) - 2)
    span_ns = curve.t_ns[i + 1] - curve.t_ns[i]
    share = (t - curve.t_ns[i]) / span_ns
    power = curve.start_w[i] + (curve.end_w[i] - curve.start_w[i]) * share
    outside = (t < curve.t_ns[0]) | (t > curve.t_ns[-1])
    return np.where(outside | ~curve.seen[i], np.nan, power)


def energies(curve: Curve, start_ns: ArrayLike, end_ns: ArrayLike) -> list[WindowEnergy]:
    """The energy of many windows at once; starts and ends in ns, each end at or after its start."""
    parts = [part.tolist() for part in window_arrays(curve, start_ns, end_ns)]
    return [WindowEnergy(*each) for each in zip(*parts, strict=True)]


def window_arrays(curve: Curve, start_ns: ArrayLike, end_ns: ArrayLike) -> tuple[Floats, Floats]:
    """The same as two arrays: the covered energy, J, and the covered share, 0-1."""
    a, b = np.asarray(start_ns, dtype=np.int64), np.asarray(end_ns, dtype=np.int64)
    if curve.empty:
        return np.zeros(len(a)), np.zeros(len(a))
    upto = _cumulative_j(curve, np.concatenate((a, b)))
    joules = upto[len(a) :] - upto[: len(a)]
    covered_ns = np.maximum(np.minimum(b, curve.t_ns[-1]) - np.maximum(a, curve.t_ns[0]), 0)
    for i in (~curve.seen).nonzero()[0].tolist():
        lo, hi = curve.t_ns[i], curve.t_ns[i + 1]
        overlap = np.maximum(np.minimum(b, hi) - np.maximum(a, lo), 0)
        held_whole = (a <= lo) & (b >= hi) & curve.whole[i]
        covered_ns -= np.where(held_whole, 0, overlap)
    length_ns = b - a
    if length_ns.all():
        return joules, covered_ns / length_ns
    share = np.where(length_ns > 0, covered_ns / np.where(length_ns > 0, length_ns, 1), 1.0)
    return joules, share


def cumulative_j(curve: Curve, t_ns: Ints) -> Floats:
    """The energy up to instants, J, from any start; flat where the curve tells nothing."""
    return np.zeros(len(t_ns)) if curve.empty else _cumulative_j(curve, t_ns)


def energy(curve: Curve, start_ns: int, end_ns: int) -> WindowEnergy:
    """The energy of one window."""
    return energies(curve, [start_ns], [end_ns])[0]


def peaks_w(curve: Curve, start_ns: ArrayLike, end_ns: ArrayLike) -> Floats:
    """The highest power seen in each of many windows, W; NaN where nothing was."""
    a, b = np.asarray(start_ns, dtype=np.int64), np.asarray(end_ns, dtype=np.int64)
    at_edges = power_at(curve, np.concatenate((a, b)))
    found = np.fmax(at_edges[: len(a)], at_edges[len(a) :])
    if curve.empty:
        return found
    # The stretches that lie wholly in each window, from the first up to the last, left out.
    first = curve.t_ns.searchsorted(a, side="left")
    last = curve.t_ns.searchsorted(b, side="right") - 1
    some = last > first
    if some.any():
        most_w = np.full(len(curve.t_ns), np.nan)
        np.maximum(curve.start_w, curve.end_w, out=most_w[:-1], where=curve.seen)
        turns = np.stack((first[some], last[some]), axis=1).ravel()
        inside = np.fmax.reduceat(most_w, turns)[::2]
        found[some] = np.fmax(found[some], inside)
    return found
