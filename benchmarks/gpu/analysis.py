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
from numpy.typing import ArrayLike

from vidmeter.meter.calibrating.averaging import Window, fit_window
from vidmeter.meter.calibrating.response import (
    Refresh,
    Ring,
    Step,
    Tick,
    changes,
    quantiles,
    refresh_period,
    renewals,
    ring,
    step_response,
    tick,
)

__all__ = [
    "Effect",
    "Refresh",
    "Ring",
    "Stamps",
    "Step",
    "Tick",
    "Window",
    "changes",
    "classify_stamps",
    "disagreement",
    "fit_window",
    "paired_effect",
    "plain",
    "quantiles",
    "refresh_period",
    "renewals",
    "ring",
    "step_response",
    "tick",
]

_T_95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)
"""Student's t for a two-sided 95 % interval, by degrees of freedom from 1; tables."""


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
