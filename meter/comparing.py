"""Whether one arm draws more than another: the ratio of two arms, and what may be claimed of it.

Arms are compared on logarithms, so that A to B and B to A say the same and a sensor's gain falls
out. Two conditions have to be met before a difference is claimed: the 95 % interval of the ratio
excludes 1, and the ratio is further from 1 than an arm was from itself in the same session on the
same card (the A/A spread). That spread is taken from the arms as they were measured. Interleaved
arms share the session's slow drift, so it is left out by taking successive rounds; for arms taken
one after the other nothing takes drift out, so the halves of each are held against each other.
"Not distinguishable" is an answer, and what could have been seen stands with it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from vidmeter.meter.energy import Floats
from vidmeter.meter.statistics import t_half_width, t_quantile

LEAST_ROUNDS = 5
"""With fewer rounds nothing is claimed: at four, an interval rests on three degrees of freedom."""
MOST_ROUNDS = 100_000
POWER = 0.8
POWER_Z = 0.8416212335729143
"""The standard normal's quantile at `POWER`."""

Verdict = Literal["higher", "lower", "not distinguishable"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The ratio B to A with its 95 % interval and what may be claimed of B.

    `p` is two-sided, of a ratio of 1. `aa_spread` is how far an arm would be from itself, and
    `detectable` the smallest difference that would have been found in 80 % of such comparisons;
    both as shares (0.02 for 2 %). `round_sd` and `aa_round_sd` are standard deviations of one
    round's log ratio, of B to A and of an arm to itself; `rounds_needed` takes them. None where
    rounds are too few to tell: two for the interval, five for the verdict and what was detectable.
    """

    ratio: float
    low: float | None
    high: float | None
    p: float | None
    rounds: int
    verdict: Verdict
    aa_spread: float | None
    detectable: float | None
    round_sd: float | None
    aa_round_sd: float | None


def paired(rounds: Sequence[tuple[float, float]]) -> Comparison:
    """Compare two interleaved arms: in each round a value of A and one of B, in the order measured.

    Student's t on log(b / a). The A/A spread is the 95 % half-width that as many rounds of an arm
    against itself would have had; its degrees of freedom are those of the mean square successive
    difference (von Neumann and others, Ann. Math. Stat. 12, 1941). How many rounds there are must
    not depend on what they say: looking after each of rounds 5 to 12 and stopping at the first
    claim makes about 8 false ones in 100. ValueError without a round, or if a value isn't positive
    and finite.
    """
    logs = _logs(rounds).reshape(-1, 2)
    n = len(logs)
    differences = logs[:, 1] - logs[:, 0]
    if n < 2:
        return _untold(float(differences[0]), n)
    sd = float(differences.std(ddof=1))
    aa_sd = math.sqrt(float((np.diff(logs, axis=0) ** 2).mean()))
    aa = t_quantile(2 * _successive_degrees(n)) * aa_sd / math.sqrt(n)
    mean = float(differences.mean())
    return _told(mean, sd / math.sqrt(n), n - 1, rounds=n, aa=aa, sds=(sd, aa_sd))


def unpaired(a: Sequence[float], b: Sequence[float]) -> Comparison:
    """Compare two arms that weren't interleaved; values in the order in which they were measured.

    Welch's t on logarithms. The A/A spread is what successive values say, and on top of it what
    drift may have done: the middles of two arms lie twice as far apart as those of an arm's halves,
    so both arms' shifts between their halves are added up. That takes a larger difference than
    interleaved arms need, which is the price of not interleaving. `round_sd` is that of a pair of
    values. ValueError as for `paired`.
    """
    one, other = _logs(a), _logs(b)
    n = min(len(one), len(other))
    mean = float(other.mean() - one.mean())
    if n < 2:
        return _untold(mean, n)
    error, degrees = _welch(one, other)
    noise = [float((np.diff(x) ** 2).mean()) / 2 for x in (one, other)]
    spread = math.sqrt(noise[0] / len(one) + noise[1] / len(other))
    aa_degrees = _successive_degrees(len(one)) + _successive_degrees(len(other))
    aa = t_quantile(aa_degrees) * spread + abs(_shift(one)) + abs(_shift(other))
    sd = math.sqrt(float(one.var(ddof=1)) + float(other.var(ddof=1)))
    sds = (sd, math.sqrt(sum(noise)))
    return _told(mean, error, degrees, rounds=n, aa=aa, sds=sds)


def with_gains(found: Comparison, *, a: tuple[float, float], b: tuple[float, float]) -> Comparison:
    """A comparison of arms on two cards, whose sensors' gains don't fall out of the ratio.

    `a` and `b` are the shares by which the truth may lie below and above an arm's mean because of
    its gain, 95 %. They widen the interval in quadrature, on logarithms, and nothing is claimed
    that this holds 1; p, which knows repeats alone, is None. ValueError for shares below 0, or a
    whole below.
    """
    if min(*a, *b) < 0 or max(a[0], b[0]) >= 1:
        raise ValueError("a gain leaves a share open that isn't negative, and below less than all")
    below = math.hypot(math.log1p(-b[0]), math.log1p(a[1]))
    above = math.hypot(math.log1p(b[1]), math.log1p(-a[0]))
    if found.low is None or found.high is None:
        return found
    low = found.ratio * math.exp(-math.hypot(math.log(found.ratio / found.low), below))
    high = found.ratio * math.exp(math.hypot(math.log(found.high / found.ratio), above))
    seen = found.detectable
    if seen is not None:
        seen = math.expm1(math.hypot(math.log1p(seen), max(below, above)))
    verdict = found.verdict if not low <= 1 <= high else "not distinguishable"
    return replace(found, low=low, high=high, p=None, verdict=verdict, detectable=seen)


@dataclass(frozen=True, slots=True)
class Difference:
    """By how much B's mean lies above A's, in the unit of the values, with its 95 % interval.

    The ends are None where an arm has fewer than two values, or there is a single pair.
    """

    value: float
    low: float | None
    high: float | None


def difference(a: Sequence[float], b: Sequence[float]) -> Difference:
    """B less A on the scale of the values, which may be 0, for parts that add up to a whole.

    Welch's t. ValueError if an arm has no value, or one that isn't finite.
    """
    one, other = (np.asarray(x, dtype=np.float64) for x in (a, b))
    if not (len(one) and len(other) and np.isfinite(one).all() and np.isfinite(other).all()):
        raise ValueError("a difference needs values of both arms, and finite ones")
    value = float(other.mean() - one.mean())
    if min(len(one), len(other)) < 2:
        return Difference(value, None, None)
    error, degrees = _welch(one, other)
    return _around(value, t_quantile(degrees) * error)


def difference_in_pairs(a: Sequence[float], b: Sequence[float]) -> Difference:
    """`difference` of values that were taken in pairs, so that what both share falls out.

    Student's t of the differences. ValueError if there is no pair, or a value isn't finite.
    """
    one, other = (np.asarray(x, dtype=np.float64) for x in (a, b))
    if not len(one) or len(one) != len(other) or not np.isfinite(one + other).all():
        raise ValueError("a difference in pairs needs pairs, and finite ones")
    apart = other - one
    value, half = float(apart.mean()), t_half_width(apart)
    return Difference(value, None, None) if half is None else _around(value, half)


def rounds_needed(effect: float, round_sd: float, *, aa_round_sd: float = 0.0) -> int | None:
    """How many paired rounds find a relative difference (0.01 for 1 %) with 80 % power.

    None if `MOST_ROUNDS` wouldn't; ValueError for an effect that isn't positive.
    """
    if not effect > 0:
        raise ValueError("the difference to be found has to be positive")
    wanted = math.log1p(effect)

    def finds(n: int) -> bool:
        aa = t_quantile(2 * _successive_degrees(n)) * aa_round_sd / math.sqrt(n)
        return _detectable(round_sd / math.sqrt(n), n - 1, aa) <= wanted

    if not finds(MOST_ROUNDS):
        return None
    too_few, found = LEAST_ROUNDS - 1, MOST_ROUNDS
    while found - too_few > 1:
        middle = (found + too_few) // 2
        too_few, found = (too_few, middle) if finds(middle) else (middle, found)
    return found


def _around(value: float, half: float) -> Difference:
    return Difference(value, value - half, value + half)


def _told(
    mean: float, error: float, degrees: float, *, rounds: int, aa: float, sds: tuple[float, float]
) -> Comparison:
    from scipy import special

    half = t_quantile(degrees) * error
    p = float(2 * special.stdtr(degrees, -abs(mean) / error)) if error else float(mean == 0)
    verdict: Verdict = "not distinguishable"
    if rounds >= LEAST_ROUNDS and abs(mean) > max(half, aa):
        verdict = "higher" if mean > 0 else "lower"
    seen = _detectable(error, degrees, aa) if rounds >= LEAST_ROUNDS else None
    return Comparison(
        ratio=math.exp(mean),
        low=math.exp(mean - half),
        high=math.exp(mean + half),
        p=p,
        rounds=rounds,
        verdict=verdict,
        aa_spread=math.expm1(aa),
        detectable=None if seen is None else math.expm1(seen),
        round_sd=sds[0],
        aa_round_sd=sds[1],
    )


def _untold(mean: float, rounds: int) -> Comparison:
    nothing = (None, None, None, None)
    return Comparison(math.exp(mean), None, None, None, rounds, "not distinguishable", *nothing)


def _welch(one: Floats, other: Floats) -> tuple[float, float]:
    """The standard error of a difference of two means, and its degrees of freedom."""
    errors = [float(x.var(ddof=1)) / len(x) for x in (one, other)]
    parts = [e**2 / (len(x) - 1) for e, x in zip(errors, (one, other), strict=True)]
    degrees = sum(errors) ** 2 / sum(parts) if sum(parts) else min(len(one), len(other)) - 1.0
    return math.sqrt(sum(errors)), degrees


def _detectable(error: float, degrees: float, aa: float) -> float:
    """The log ratio that passes both conditions in 80 % of comparisons.

    The interval's condition by the noncentral t distribution, the A/A spread's with a normal mean.
    """
    from scipy import special

    if not error:
        return aa
    shift = float(special.nctdtrinc(degrees, 1 - POWER, t_quantile(degrees)))
    return max(shift * error, aa + POWER_Z * error)


def _successive_degrees(n: int) -> float:
    """Degrees of freedom of the mean square successive difference of n values."""
    return 2 * (n - 1) ** 2 / (3 * n - 4)


def _shift(logs: Floats) -> float:
    """By how much an arm's later half lies above its earlier half; the middle is in neither."""
    half = len(logs) // 2
    return float(logs[-half:].mean() - logs[:half].mean())


def _logs(values: Sequence[float] | Sequence[tuple[float, float]]) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if not array.size or not (np.isfinite(array) & (array > 0)).all():
        raise ValueError("a comparison needs values that are positive and finite")
    return np.asarray(np.log(array))
