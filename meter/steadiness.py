"""Whether values hold still: a card before it is measured, and the repeats of a session.

Each check is a value with the figures that a sentence about it needs. None of them changes a
result: an outlier is flagged and stays in, a drift is stated. None of the checks is needed for an
interval to hold; they tell where its assumptions are in doubt.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vidmeter.meter.energy import Floats
from vidmeter.meter.statistics import t_quantile

TEMPERATURE_LIMIT_C_PER_MIN = 0.5
POWER_LIMIT_PER_MIN = 0.01
"""Relative slope of power, a share per minute."""
PARTS = 12
"""A window is averaged in so many parts before a line is laid through it: what a load swings by
within seconds isn't a slope, and neighbouring readings aren't independent."""
LEAST_PARTS = 6
LEAST_WINDOW = 0.8
"""The share of the window that readings have to span."""
OUTLYING = 3.5
"""Modified z beyond which a value is flagged (Iglewicz and Hoaglin, How to Detect and Handle
Outliers, 1993)."""


@dataclass(frozen=True, slots=True)
class Steadiness:
    """The slope of a series over its last window, per minute, with its standard error.

    `steady` is None where the error is too wide to tell: the 95 % interval of the slope has the
    limit inside. `parts` is how many parts of the window had readings.
    """

    slope_per_min: float
    error_per_min: float
    limit_per_min: float
    steady: bool | None
    parts: int


@dataclass(frozen=True, slots=True)
class Drift:
    """A straight line through values: the change from first to last as a share of their mean.

    `per_x` is the relative slope in the unit of x (per second for times), `p` that of no slope.
    """

    change: float
    per_x: float
    error_per_x: float
    p: float
    n: int


@dataclass(frozen=True, slots=True)
class FirstRun:
    """By what share the first repeats of blocks lie above the others, and p of no such effect."""

    excess: float
    p: float
    blocks: int


@dataclass(frozen=True, slots=True)
class Outlier:
    """A value far from the median; `z` is its modified z, with its sign."""

    index: int
    value: float
    z: float


@dataclass(frozen=True, slots=True)
class Autocorrelation:
    """How much a value resembles the one before it, and the range that chance explains."""

    r: float
    low: float
    high: float
    n: int

    @property
    def beyond_chance(self) -> bool:
        """The coefficient lies outside what 95 % of independent series have."""
        return not self.low <= self.r <= self.high


def steady(
    times_s: ArrayLike,
    values: ArrayLike,
    *,
    limit_per_min: float,
    window_s: float = 60.0,
    relative: bool = False,
) -> Steadiness | None:
    """Whether a series stands still over its last window; None with too little of it.

    The slope is in the unit of the values per minute, or with `relative` a share of their mean.
    Values that are NaN are left out.
    """
    t, y = np.asarray(times_s, dtype=np.float64), np.asarray(values, dtype=np.float64)
    t, y = t[np.isfinite(y)], y[np.isfinite(y)]
    if not len(t):
        return None
    inside = t > t.max() - window_s
    t, y = t[inside], y[inside]
    if len(t) < LEAST_PARTS or np.ptp(t) < LEAST_WINDOW * window_s:
        return None
    part = np.minimum(((t - t.min()) / np.ptp(t) * PARTS).astype(np.int64), PARTS - 1)
    counts = np.bincount(part, minlength=PARTS)
    filled = counts > 0
    parts = int(filled.sum())
    mean = float(y.mean())
    if parts < LEAST_PARTS or (relative and mean == 0):
        return None
    at = np.bincount(part, weights=t, minlength=PARTS)[filled] / counts[filled]
    level = np.bincount(part, weights=y, minlength=PARTS)[filled] / counts[filled]
    slope, error = _line(at, level)
    scale = 60 / abs(mean) if relative else 60.0
    slope, error = slope * scale, error * scale
    reach = t_quantile(parts - 2) * error
    told: bool | None = None
    if abs(slope) + reach <= limit_per_min:
        told = True
    elif abs(slope) - reach > limit_per_min:
        told = False
    return Steadiness(slope, error, limit_per_min, told, parts)


def drift(x: ArrayLike, values: ArrayLike) -> Drift | None:
    """Whether values go up or down with x: seconds, or the temperature at the start of each.

    Least squares; p by Student's t. None with fewer than four values, one x, or a mean of 0.
    """
    at, y = np.asarray(x, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if len(y) < 4 or not np.ptp(at) or not y.mean():
        return None
    slope, error = _line(at, y)
    mean = abs(float(y.mean()))
    p = _two_sided(slope, error, len(y) - 2)
    change = slope * float(np.ptp(at)) / mean
    return Drift(change, slope / mean, error / mean, p, len(y))


def first_run(blocks: Sequence[Sequence[float]]) -> FirstRun | None:
    """Whether the first repeat of a block differs from those after it.

    The mean over blocks of first less the mean of the rest, against the spread of the rest within
    their blocks; what blocks differ by falls out. None if no block has three repeats.
    """
    groups = [np.asarray(b, dtype=np.float64) for b in blocks if len(b) >= 2]
    degrees = sum(len(g) - 2 for g in groups)
    if not degrees:
        return None
    rest = [g[1:] for g in groups]
    variance = sum(float(((r - r.mean()) ** 2).sum()) for r in rest) / degrees
    level = float(np.mean([r.mean() for r in rest]))
    excess = float(np.mean([g[0] - r.mean() for g, r in zip(groups, rest, strict=True)]))
    error = math.sqrt(variance * sum(1 + 1 / len(r) for r in rest)) / len(groups)
    if not level:
        return None
    return FirstRun(excess / abs(level), _two_sided(excess, error, degrees), len(groups))


def outliers(values: Sequence[float]) -> tuple[Outlier, ...]:
    """The values whose modified z is beyond 3.5, flagged and never dropped; needs three values.

    Where more than half of the values are the same, the mean absolute deviation stands in for the
    median one.
    """
    y = np.asarray(values, dtype=np.float64)
    if len(y) < 3:
        return ()
    off = y - np.median(y)
    scale = 1.482602 * float(np.median(np.abs(off))) or 1.253314 * float(np.abs(off).mean())
    if not scale:
        return ()
    z = off / scale
    return tuple(
        Outlier(int(i), float(y[i]), float(z[i])) for i in np.flatnonzero(np.abs(z) > OUTLYING)
    )


def autocorrelation(values: Sequence[float]) -> Autocorrelation | None:
    """The lag-1 autocorrelation; None with fewer than five values, or if all are the same.

    Independent values have -1/n on average, and lie within 1.96/√n of that in 95 % of series.
    """
    y = np.asarray(values, dtype=np.float64)
    n = len(y)
    if n < 5 or not np.ptp(y):
        return None
    off = y - y.mean()
    r = float((off[1:] * off[:-1]).sum() / (off**2).sum())
    reach = 1.959964 / math.sqrt(n)
    return Autocorrelation(r, -1 / n - reach, -1 / n + reach, n)


def _line(x: Floats, y: Floats) -> tuple[float, float]:
    """The slope of the least-squares line, and its standard error."""
    dx = x - x.mean()
    square = float((dx**2).sum())
    slope = float((dx * (y - y.mean())).sum()) / square
    left = y - y.mean() - slope * dx
    return slope, math.sqrt(float((left**2).sum()) / (len(x) - 2) / square)


def _two_sided(value: float, error: float, degrees: int) -> float:
    from scipy import special

    return float(2 * special.stdtr(degrees, -abs(value) / error)) if error else float(value == 0)
