"""How often a sensor is renewed and how it answers a step: pure functions from arrays to numbers.

Readings come as parallel arrays: the instant of a call, or the driver's stamp, and the value. A
sensor has properties that are independent of each other: how often it is renewed, the window that
it averages over (`averaging`), and the delay until a reading can be seen (Yang, Adámek, Armour,
"Part-time Power Measurements", arXiv 2312.02741). Times are in ns where the name says so and in
seconds otherwise.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vidmeter.meter.cadence import ASKED_OFTENER, refresh_ns
from vidmeter.meter.energy import Floats, Ints, renewed

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
_NAMES = tuple(f"q{100 * q:g}" for q in QUANTILES)
FEWEST = 3


def quantiles(values: ArrayLike) -> dict[str, float] | None:
    """A distribution thinned to nine quantiles, in the unit of the values; None if it is empty."""
    v = np.asarray(values, dtype=np.float64)
    if not v.size:
        return None
    return dict(zip(_NAMES, np.quantile(v, QUANTILES).tolist(), strict=True))


def changes(value: ArrayLike) -> Ints:
    """The indices of the readings that differ from the one before."""
    return np.flatnonzero(np.diff(np.asarray(value)) != 0).astype(np.int64) + 1


class Refresh(NamedTuple):
    """How often a reading is renewed. `period_s` is None where every call found a new value."""

    period_s: float | None
    polled_every_s: float
    changes: int
    interval_s: Mapping[str, float] | None


def refresh_period(t_ns: ArrayLike, value: ArrayLike, *, asked_s: float | None = None) -> Refresh:
    """The refresh period from the instants at which the value was seen to change.

    A renewal that brings the same value again is not seen, so that an interval may hold several
    periods (`cadence.refresh_ns`). Readings that are further apart than they were asked for
    (`asked_s`) are the renewals themselves.
    """
    t, v = np.asarray(t_ns, dtype=np.int64), np.asarray(value, dtype=np.float64)
    apart_ns = float(np.median(np.diff(t))) if len(t) > 1 else math.nan
    asked_ns = apart_ns if asked_s is None else asked_s * 1e9
    stamped = apart_ns > ASKED_OFTENER * asked_ns
    at = np.arange(len(t)) if stamped else changes(v)
    period_ns = None
    if len(t) > 1:
        period_ns = refresh_ns(t.tolist(), v.tolist(), polled_ns=round(asked_ns), fewest=FEWEST)
    return Refresh(
        None if period_ns is None else period_ns / 1e9,
        (asked_ns if stamped else apart_ns) / 1e9,
        len(at),
        quantiles(np.diff(t[at]) / 1e9),
    )


def renewals(
    t_ns: ArrayLike, value: ArrayLike, *, asked_s: float | None = None
) -> tuple[Ints, Floats]:
    """The readings as they were renewed: `energy.renewed` with the period that they show."""
    period_s = refresh_period(t_ns, value, asked_s=asked_s).period_s
    if period_s is None:
        return np.asarray(t_ns, np.int64), np.asarray(value, np.float64)
    return renewed(t_ns, value, round(period_s * 1e9))


class Tick(NamedTuple):
    """How a cumulative counter advances, in the unit of the counter."""

    quantum: float | None
    step: Mapping[str, float] | None
    period_s: float | None


def tick(
    t_ns: ArrayLike, value: ArrayLike, *, unit: float = 0.001, asked_s: float | None = None
) -> Tick:
    """A counter's steps; `quantum` divides all of them and is a whole number of `unit`."""
    v = np.asarray(value, dtype=np.float64)
    steps = np.diff(v)[np.diff(v) > 0]
    whole = [round(s) for s in steps / unit]
    quantum = math.gcd(*whole) * unit if whole else None
    period_s = refresh_period(t_ns, value, asked_s=asked_s).period_s
    return Tick(quantum, quantiles(steps), period_s)


class Ring(NamedTuple):
    """The spacing of the driver's own samples, s, and how much of them it holds."""

    spacing_s: float | None
    interval_s: Mapping[str, float] | None
    entries: int
    span_s: float


def ring(stamp_ns: ArrayLike) -> Ring:
    """The ring from the stamps of one reading of all that it holds."""
    stamps = np.unique(np.asarray(stamp_ns, dtype=np.int64))
    if len(stamps) < 2:
        return Ring(None, None, len(stamps), 0.0)
    intervals = np.diff(stamps) / 1e9
    span = float(stamps[-1] - stamps[0]) / 1e9
    return Ring(float(np.median(intervals)), quantiles(intervals), len(stamps), span)


class Step(NamedTuple):
    """The answer to a sudden change of load, medians over all of one direction, s and W.

    `delay_s` is from the edge to half height, `rise_s` from 10 to 90 % of it.
    """

    delay_s: float | None
    rise_s: float | None
    low_w: float
    high_w: float
    edges: int


def step_response(
    t_ns: ArrayLike, power_w: ArrayLike, edges_ns: Sequence[int], *, up: bool
) -> Step | None:
    """The response to the edges `edges_ns`, which alternate between load on and load off.

    The level before and after an edge is the median of the last quarter of the stretch. None if no
    edge has readings on both sides.
    """
    t, p = np.asarray(t_ns, np.int64), np.asarray(power_w, np.float64)
    found = []
    for i in range(0 if up else 1, len(edges_ns), 2):
        edge = edges_ns[i]
        length = (edges_ns[i + 1] - edge) if i + 1 < len(edges_ns) else edge - edges_ns[i - 1]
        before = p[(t >= edge - length // 4) & (t < edge)]
        after = (t >= edge) & (t < edge + length)
        settled = p[(t >= edge + 3 * length // 4) & (t < edge + length)]
        if len(before) and len(settled):
            first, last = float(np.median(before)), float(np.median(settled))
            found.append((first, last, *_crossings(t[after] - edge, p[after], first, last)))
    if not found:
        return None
    tenth, half, most = (_median([one[i] for one in found]) for i in (2, 3, 4))
    rise = None if tenth is None or most is None else most - tenth
    levels = np.median([one[:2] for one in found], axis=0).tolist()
    return Step(half, rise, min(levels), max(levels), len(found))


def _crossings(
    after_ns: Ints, power_w: Floats, first: float, last: float
) -> tuple[float | None, float | None, float | None]:
    if first == last:
        return None, None, None
    height = (power_w - first) / (last - first)
    times: list[float | None] = []
    for level in (0.1, 0.5, 0.9):
        over = np.flatnonzero(height >= level)
        times.append(float(after_ns[over[0]]) / 1e9 if len(over) else None)
    return times[0], times[1], times[2]


def _median(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.median(known)) if known else None
