"""Over which window a sensor averages, and how late: a fit of its readings to what was true.

What was true is a course (`course`) of power: that of a load, or of a better sensor. Two sorts
of sensor are tried: one that shows the mean of its last window (a box), and one that follows as a
first-order lag (the logarithmic class of Yang, Adámek, Armour, "Part-time Power Measurements",
arXiv 2312.02741). The one that explains more of the readings is taken. Where another width
explains them as well, as with power that hardly changes, nothing is said.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vidmeter.meter.calibrating.course import Course, of_edges
from vidmeter.meter.energy import Floats, Ints

FEWEST = 20
MOST = 1200
"""Of more readings than this, evenly chosen ones are fitted."""
LONGEST_S = 180.0
EXPLAINS = 0.5
"""A fit that leaves more of the variance open than this is none."""
COARSE, EXPLAINS_FINELY = 2.0, 0.999
"""Against a sensor with stretches of its own, a width of less than two of them is told only if
nearly all is explained: what happens within a stretch is a guess."""
GAIN = (0.7, 1.4)
"""Between which factors two sensors of one card may differ; any other slope is a chance fit."""
CLEARLY = 12.0
"""How much worse another width must be, in 2 × log likelihood; half of that is significant
already, but what a fit leaves open is rarely as independent as it should be."""
FLOOR = 1e-4
"""What no fit explains: edges are known to a tenth of a millisecond or so."""
AS_GOOD = 0.25
AS_GOOD_S = 0.005
"""Widths that differ by such a share, and at least so much, must be told apart."""
Shape = Callable[[Floats, float], Floats]
"""What a sensor of a width shows at instants, in the unit of the course's power."""
Best = tuple[float, float, float]
"""A fit: its r², the width and the delay, s."""


class Window(NamedTuple):
    """How a sensor averages: over `window_s`, or with a lag of `lag_s`, and how late it shows it.

    `low_w` and `high_w` are what it shows of the lowest and the highest power of the course; `r2`
    says how much of the readings' variance is explained.
    """

    window_s: float | None
    lag_s: float | None
    delay_s: float
    low_w: float
    high_w: float
    r2: float
    readings: int

    @property
    def rise_s(self) -> float:
        """From 10 to 90 % of a step, s."""
        if self.lag_s is not None:
            return self.lag_s * math.log(9)
        return 0.8 * (self.window_s or 0.0)


def fit(
    course: Course,
    t_ns: ArrayLike,
    power_w: ArrayLike,
    *,
    same: bool,
    within: tuple[int, int] | None = None,
    least_lag_s: float = 0.0,
) -> Window | None:
    """The better of a box and a lag, None where neither explains the readings, or several do.

    A reading first seen at t is taken for the box of [t - delay - window, t - delay], or for the
    lag at t - delay. Give the readings as they are renewed (`renewals`), and a load that doesn't
    keep step with the sensor. `same` says that the course is in watts of the same card. Of the
    readings, those `within` are taken, by default all that the course speaks of. A lag shorter than
    `least_lag_s` is none: a load itself takes some ms to rise.
    """
    t_s, p = _chosen(course, np.asarray(t_ns, np.int64), np.asarray(power_w, np.float64), within)
    if not _enough(p):
        return None
    box, lag = (_search(course, t_s, p, lag=lag) for lag in (False, True))
    is_lag = lag[1] >= least_lag_s and _clearly_better(lag[0], box[0], len(p))
    return _window(course, t_s, p, lag if is_lag else box, lag=is_lag, same=same)


def fit_window(edges_ns: Sequence[int], t_ns: ArrayLike, power_w: ArrayLike) -> Window | None:
    """The window from readings of a load that was switched on and off; see `fit`. Boxes only."""
    course, within = of_edges(edges_ns), (edges_ns[0], edges_ns[-1] + 500_000_000)
    t_s, p = _chosen(course, np.asarray(t_ns, np.int64), np.asarray(power_w, np.float64), within)
    if not _enough(p):
        return None
    return _window(course, t_s, p, _search(course, t_s, p, lag=False), lag=False, same=False)


def _enough(power_w: Floats) -> bool:
    return len(power_w) >= FEWEST and float(np.var(power_w)) > 0


def _clearly_better(one: float, other: float, readings: int) -> bool:
    """Whether one r² is higher than the other by more than chance and small flaws explain."""
    return readings * math.log((1 - other + FLOOR) / (1 - one + FLOOR)) > CLEARLY


def _search(course: Course, t_s: Floats, p: Floats, *, lag: bool) -> Best:
    """The best fit of one sort of sensor, wherever it lies."""
    shape, middle = (course.lag, 1.0) if lag else (course.box, 0.5)
    widths = np.geomspace(0.004, 2.0, 33) if lag else np.geomspace(0.001, 2.5, 61)
    delays = np.arange(-0.02, 0.5, 0.005)
    best = _best(shape, t_s, p, [(float(w), delays) for w in widths])
    return _closer(shape, t_s, p, best, middle=middle)


def _window(
    course: Course, t_s: Floats, p: Floats, best: Best, *, lag: bool, same: bool
) -> Window | None:
    """What a fit says, None if it explains too little or can't be told from others."""
    shape, middle = (course.lag, 1.0) if lag else (course.box, 0.5)
    r2, width_s, delay_s = best
    if r2 < EXPLAINS or (width_s < COARSE * course.coarse_s and r2 < EXPLAINS_FINELY):
        return None
    slope, low = np.polyfit(shape(t_s - delay_s, width_s), p, 1)
    if same and not GAIN[0] < slope < GAIN[1]:
        return None
    if not _telling(shape, t_s, p, best, middle=middle):
        return None
    least, most = float(np.min(course.power)), float(np.max(course.power))
    return Window(
        None if lag else width_s,
        width_s if lag else None,
        delay_s,
        float(low + slope * least),
        float(low + slope * most),
        r2,
        len(p),
    )


def _chosen(
    course: Course, t_ns: Ints, power_w: Floats, within: tuple[int, int] | None
) -> tuple[Floats, Floats]:
    """The readings that the course can explain: within it, and not of its holes."""
    start, end = course.origin_ns, course.origin_ns + int(course.t_s[-1] * 1e9)
    # A window looks back: the first readings are of a time before the course.
    inside = (t_ns >= start + 2_500_000_000) & (t_ns <= min(end, start + int(LONGEST_S * 1e9)))
    if within is not None:
        inside = (t_ns >= within[0]) & (t_ns <= within[1])
    for low, high in course.holes:
        inside &= (t_ns < low) | (t_ns > high + 2_500_000_000)
    at = np.flatnonzero(inside)
    at = at[:: 1 + len(at) // MOST]
    return (t_ns[at] - start) / 1e9, power_w[at]


def _closer(shape: Shape, t_s: Floats, p: Floats, best: Best, *, middle: float) -> Best:
    """The best fit nearby, on ever finer grids."""
    factor, step = 1.3, 0.008
    for _ in range(9):
        _, width_s, delay_s = best
        # The middle of a window is found apart from its width; its delay is not.
        around = [
            (w, delay_s + (width_s - w) * middle + np.linspace(-step, step, 9))
            for w in (width_s * np.geomspace(1 / factor, factor, 9)).tolist()
        ]
        best = max(best, _best(shape, t_s, p, around))
        factor, step = factor**0.55, step * 0.55
    return best


def _telling(shape: Shape, t_s: Floats, p: Floats, best: Best, *, middle: float) -> bool:
    """Whether a clearly longer or shorter width explains the readings clearly worse."""
    r2, width_s, delay_s = best
    off_s = max(AS_GOOD * width_s, AS_GOOD_S)
    for other_s in (width_s - off_s, width_s + off_s):
        if other_s <= 0:
            continue
        other, middle_s = 0.0, delay_s + (width_s - other_s) * middle
        for reach_s in (max(0.02, off_s), max(0.02, off_s) / 15, 0.0002):
            delays = middle_s + np.linspace(-reach_s, reach_s, 41)
            other, _, middle_s = _best(shape, t_s, p, [(other_s, delays)])
        if not _clearly_better(r2, other, len(p)):
            return False
    return True


def _best(
    shape: Shape, t_s: Floats, power_w: Floats, candidates: Sequence[tuple[float, Floats]]
) -> Best:
    """The highest r² among widths, each with some delays; and which ones they are."""
    p = power_w - power_w.mean()
    total = float(p @ p)
    best = (-1.0, 0.0, 0.0)
    for width_s, delays in candidates:
        shown = shape(t_s[None, :] - delays[:, None], width_s)
        shown = shown - shown.mean(axis=1, keepdims=True)
        spread = np.einsum("ij,ij->i", shown, shown)
        along = shown @ p
        # A load that draws less when it is on makes no sense: a falling fit is none.
        r2 = np.where((spread > 0) & (along > 0), along**2 / np.maximum(spread, 1e-12) / total, 0)
        i = int(np.argmax(r2))
        best = max(best, (float(r2[i]), width_s, float(delays[i])))
    return best
