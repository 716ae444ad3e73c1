"""What a card's readings say about its sensors: pure functions from arrays to numbers.

Readings come as three parallel arrays: the instant of the call, the value, the driver's stamp. A
sensor has three properties that are independent of each other: how often it is refreshed, the
window that it averages over, and the delay until a reading can be seen (Yang, Adámek, Armour,
"Part-time Power Measurements", arXiv 2312.02741). Everything here is tested on sensors made up
with known truth. Times are in ns where the name says so and in seconds otherwise.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
_NAMES = tuple(f"q{100 * q:g}" for q in QUANTILES)
_T_95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)
"""Student's t for a two-sided 95 % interval, by degrees of freedom from 1; tables."""


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


def refresh_period(t_ns: ArrayLike, value: ArrayLike) -> Refresh:
    """The refresh period from the instants at which the value was seen to change.

    A renewal that brings the same value again is not seen, so an interval may hold several periods:
    each is divided by the whole number nearest to its ratio to the lower quartile.
    """
    t = np.asarray(t_ns, dtype=np.int64)
    polled_s = float(np.median(np.diff(t))) / 1e9 if len(t) > 1 else math.nan
    at = changes(value)
    intervals = np.diff(t[at]) / 1e9
    found = Refresh(None, polled_s, len(at), quantiles(intervals))
    if len(intervals) < 2 or len(at) > 0.75 * (len(t) - 1):
        return found
    periods = np.maximum(np.round(intervals / np.quantile(intervals, 0.25)), 1)
    return found._replace(period_s=float(intervals.sum() / periods.sum()))


def renewals(t_ns: ArrayLike, value: ArrayLike) -> tuple[Ints, Floats]:
    """The readings as they were renewed: those that changed, and in step with them those between.

    A level that stays the same is renewed as well, and says as much about the load as a change.
    """
    t, v = np.asarray(t_ns, np.int64), np.asarray(value, np.float64)
    period_s = refresh_period(t, v).period_s
    if period_s is None:
        return t, v
    at = changes(v)
    ends = np.append(t[at][1:], t[-1])
    every_ns = period_s * 1e9
    times, values = [], []
    for start, end, level in zip(t[at], ends, v[at], strict=True):
        count = max(1, round((end - start) / every_ns))
        times.append(start + (np.arange(count) * every_ns).astype(np.int64))
        values.append(np.full(count, level))
    return np.concatenate(times), np.concatenate(values)


class Stamps(NamedTuple):
    """What the driver's stamps of a reading mean, and how old they are at the call, s.

    `kind` is `zero` (none is given), `query` (the time of the call), `refresh` (stays with the
    value and moves when it is renewed) or `other`.
    """

    kind: str
    age_s: Mapping[str, float] | None
    distinct: int


def classify_stamps(
    t_ns: ArrayLike, stamp_ns: ArrayLike, *, call_ns: int, slack_ns: int = 200_000
) -> Stamps:
    """What stamps are, on the clock of `t_ns` and 0 where absent; a call took about `call_ns`."""
    t, stamp = np.asarray(t_ns, np.int64), np.asarray(stamp_ns, np.int64)
    given = stamp != 0
    if not given.any():
        return Stamps("zero", None, 0)
    age = (t - stamp)[given]
    distinct = len(np.unique(stamp[given]))
    kind = "other"
    if np.mean(np.abs(age) <= call_ns / 2 + slack_ns) >= 0.9:
        kind = "query"
    elif distinct <= 0.75 * given.sum():
        kind = "refresh"
    return Stamps(kind, quantiles(age / 1e9), distinct)


class Tick(NamedTuple):
    """How a cumulative counter advances, in the unit of the counter."""

    quantum: float | None
    step: Mapping[str, float] | None
    period_s: float | None


def tick(t_ns: ArrayLike, value: ArrayLike, *, unit: float = 0.001) -> Tick:
    """A counter's steps; `quantum` divides all of them and is a whole number of `unit`."""
    v = np.asarray(value, dtype=np.float64)
    steps = np.diff(v)[np.diff(v) > 0]
    whole = [round(s) for s in steps / unit]
    quantum = math.gcd(*whole) * unit if whole else None
    return Tick(quantum, quantiles(steps), refresh_period(t_ns, value).period_s)


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


class Window(NamedTuple):
    """A sensor's averaging window and the delay from its end to the reading, s.

    `r2` says how much of the readings' variance a moving mean of that width explains.
    """

    window_s: float
    delay_s: float
    low_w: float
    high_w: float
    r2: float
    readings: int


def fit_window(edges_ns: Sequence[int], t_ns: ArrayLike, power_w: ArrayLike) -> Window | None:
    """The window from readings of a load that was switched on and off at `edges_ns`.

    A reading first seen at t is taken as the mean of the load over [t - delay - window, t - delay],
    between two unknown levels; window and delay are those that explain most of the variance. Give
    the readings as they are renewed (`renewals`), and load that doesn't keep step with the sensor.
    None without enough readings, or where the load can't be seen in them.
    """
    t, p = np.asarray(t_ns, np.int64), np.asarray(power_w, np.float64)
    inside = (t >= edges_ns[0]) & (t <= edges_ns[-1] + 500_000_000)
    t_s, p = (t[inside] - edges_ns[0]) / 1e9, p[inside]
    if len(p) < 20 or float(np.var(p)) == 0:
        return None
    on_s = _OnTime(edges_ns)
    delays = np.arange(-0.02, 0.5, 0.005)
    best = _best(on_s, t_s, p, [(float(w), delays) for w in np.geomspace(0.001, 2.5, 61)])
    factor, step = 1.3, 0.008
    for _ in range(9):
        _, window_s, delay_s = best
        # A window's middle is found apart from its width; its delay is not.
        around = [
            (w, delay_s + (window_s - w) / 2 + np.linspace(-step, step, 9))
            for w in (window_s * np.geomspace(1 / factor, factor, 9)).tolist()
        ]
        best = max(best, _best(on_s, t_s, p, around))
        factor, step = factor**0.55, step * 0.55
    r2, window_s, delay_s = best
    if r2 < 0.1:
        return None
    slope, low = np.polyfit(on_s.share(t_s - delay_s, window_s), p, 1)
    return Window(window_s, delay_s, float(low), float(low + slope), r2, len(p))


class _OnTime:
    """How long the load was on, from the first edge."""

    def __init__(self, edges_ns: Sequence[int]) -> None:
        self._t = (np.asarray(edges_ns, np.int64) - edges_ns[0]) / 1e9
        on = np.zeros(len(self._t))
        on[1:] = np.diff(self._t) * (np.arange(len(self._t) - 1) % 2 == 0)
        self._on = np.cumsum(on)

    def share(self, end_s: Floats, window_s: float) -> Floats:
        """The share of the time that the load was on, in windows that end at `end_s`."""
        ends = np.interp(end_s, self._t, self._on)
        starts = np.interp(end_s - window_s, self._t, self._on)
        return np.asarray((ends - starts) / window_s, dtype=np.float64)


def _best(
    on_s: _OnTime, t_s: Floats, power_w: Floats, candidates: Sequence[tuple[float, Floats]]
) -> tuple[float, float, float]:
    """The highest r² among windows, each with some delays; and which ones they are."""
    p = power_w - power_w.mean()
    total = float(p @ p)
    best = (-1.0, 0.0, 0.0)
    for window_s, delays in candidates:
        ends = t_s[None, :] - delays[:, None]
        share = on_s.share(ends, window_s)
        share -= share.mean(axis=1, keepdims=True)
        spread = np.einsum("ij,ij->i", share, share)
        along = share @ p
        # A load that draws less when it is on makes no sense: a falling fit is none.
        r2 = np.where((spread > 0) & (along > 0), along**2 / np.maximum(spread, 1e-12) / total, 0)
        i = int(np.argmax(r2))
        best = max(best, (float(r2[i]), window_s, float(delays[i])))
    return best


class Effect(NamedTuple):
    """A relative change, with its 95 % interval from paired rounds."""

    change: float
    low: float | None
    high: float | None
    rounds: int


def paired_effect(off: Sequence[float], on: Sequence[float]) -> Effect:
    """The relative change of `on` against `off`, round by round; no interval for one round."""
    ratios = np.asarray(on) / np.asarray(off) - 1
    mean, n = float(ratios.mean()), len(ratios)
    if n < 2:
        return Effect(mean, None, None, n)
    half = _T_95[min(n - 1, len(_T_95)) - 1] * float(ratios.std(ddof=1)) / math.sqrt(n)
    return Effect(mean, mean - half, mean + half, n)


def disagreement(energy_j: Mapping[str, float | None], reference: str) -> dict[str, float | None]:
    """Each energy over that of `reference`, less 1; None where either is unknown."""
    base = energy_j.get(reference)
    return {
        name: None if j is None or not base else j / base - 1
        for name, j in energy_j.items()
        if name != reference
    }


def plain(value: Any) -> Any:
    """Values of this module as JSON: tuples with names become objects, what isn't finite None."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.9g}") if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
