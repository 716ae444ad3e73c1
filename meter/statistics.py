"""What repeats say of one arm: its mean with an honest interval, and whether that is enough.

A fresh process draws its own lot (allocator, autotuning, layout), which every repeat in it shares.
So blocks count, not repeats: the interval is Student's t of the block means. Pooling the repeats
where an F test finds no block effect looks sharper, but with two or three blocks that test sees
little: simulated at a block sd of half to all of the repeat sd, such intervals held the truth in
89 to 94 % of 2x3 and 3x3 designs, and block means in 95 % whatever the blocks do
(benchmarks/error_rates.py). The same simulation spoke against the BCa bootstrap: with ten normal
values it holds the truth in 89 %, t in 95 %; with twenty in 92 %. The price is that two blocks
leave a wide interval, and that is what two processes tell. A sensor's gain stays apart: repeats
never make it smaller.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vidmeter.meter.energy import Floats

CONFIDENCE = 0.95
LEAST_REPEATS = 5
LEAST_BLOCKS = 2
LEAST_S = 60.0
TARGET = 0.02
"""Half-width of the interval of a mean that is sharp enough, as a share of the mean."""

Basis = Literal["blocks", "repeats"]
Measure = Literal["repeats", "blocks", "seconds", "half-width"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """The mean of an arm's values, in their unit, with its 95 % interval.

    `mean` is the mean of the block means, `median` and `sd` are of all values. `repeat_sd` and
    `block_sd` are the two parts of a one-way model with random blocks, `blocks_p` the p of an
    F test that blocks differ by no more than their repeats explain; None where the design can't
    tell. `basis` says what the interval stands on: with one block it knows only the repeats of that
    process; with one value there is none.
    """

    mean: float
    median: float
    sd: float | None
    n: int
    blocks: int
    low: float | None
    high: float | None
    basis: Basis | None
    degrees: int
    repeat_sd: float | None
    block_sd: float | None
    blocks_p: float | None

    @property
    def half_width(self) -> float | None:
        """Half of the interval, in the unit of the values."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2

    @property
    def relative(self) -> float | None:
        """The half-width as a share of the mean; None where there is none or the mean is 0."""
        half = self.half_width
        return None if half is None or not self.mean else half / abs(self.mean)


@dataclass(frozen=True, slots=True)
class Lack:
    """What a series of repeats falls short of; `has` is None where it can't be told yet."""

    what: Measure
    has: float | None
    needs: float


@dataclass(frozen=True, slots=True)
class Enough:
    """Whether measuring may stop, and what is lacking if not."""

    lacks: tuple[Lack, ...]

    @property
    def holds(self) -> bool:
        """Nothing is lacking."""
        return not self.lacks


@dataclass(frozen=True, slots=True)
class Interval:
    """The ends of an interval."""

    low: float
    high: float


def estimate(blocks: Sequence[Sequence[float]]) -> Estimate:
    """The mean of repeats that were taken in blocks, one sequence of values for each block.

    Unequal blocks weigh alike. ValueError if there is no value, or one that isn't finite.
    """
    groups = [np.asarray(block, dtype=np.float64) for block in blocks if len(block)]
    if not groups or not all(np.isfinite(g).all() for g in groups):
        raise ValueError("an estimate needs at least one value, and finite ones")
    values = np.concatenate(groups)
    means = np.array([g.mean() for g in groups])
    over, basis = (means, "blocks") if len(groups) > 1 else (values, "repeats")
    half = t_half_width(over)
    mean = float(means.mean())
    repeat_sd, block_sd, p = _parts(groups)
    return Estimate(
        mean=mean,
        median=float(np.median(values)),
        sd=float(values.std(ddof=1)) if len(values) > 1 else None,
        n=len(values),
        blocks=len(groups),
        low=None if half is None else mean - half,
        high=None if half is None else mean + half,
        basis=None if half is None else "blocks" if basis == "blocks" else "repeats",
        degrees=len(over) - 1,
        repeat_sd=repeat_sd,
        block_sd=block_sd,
        blocks_p=p,
    )


def t_half_width(values: Floats) -> float | None:
    """The 95 % half-width of the mean of independent values, by Student's t; None for one value."""
    n = len(values)
    if n < 2:
        return None
    return t_quantile(n - 1) * float(values.std(ddof=1)) / math.sqrt(n)


def t_quantile(degrees: float) -> float:
    """How many standard errors a two-sided 95 % interval reaches to each side."""
    from scipy import special  # scipy.stats takes a second to import

    return float(special.stdtrit(degrees, (1 + CONFIDENCE) / 2))


def enough(
    found: Estimate,
    measured_s: float,
    *,
    target: float = TARGET,
    least_repeats: int = LEAST_REPEATS,
    least_blocks: int = LEAST_BLOCKS,
    least_s: float = LEAST_S,
) -> Enough:
    """Whether an arm was measured enough: repeats, blocks, seconds in all, and relative half-width.

    To stop at the first interval that is sharp enough favours lucky streaks. Simulated at ±2 %, the
    interval then held the truth in 92 to 94 % with two blocks at least, and in 94 to 95 % with
    three (benchmarks/error_rates.py).
    """
    lacks: list[Lack] = []
    counts: tuple[tuple[Measure, float, float], ...] = (
        ("repeats", found.n, least_repeats),
        ("blocks", found.blocks, least_blocks),
        ("seconds", measured_s, least_s),
    )
    lacks += [Lack(what, has, needs) for what, has, needs in counts if has < needs]
    relative = found.relative
    if relative is None or relative > target:
        lacks.append(Lack("half-width", relative, target))
    return Enough(tuple(lacks))


def absolute(
    value: float, half_width: float | None, *, gain_low: float, gain_high: float
) -> Interval | None:
    """The interval of a value as a claim about true joules: repeats and gain in quadrature.

    `gain_low` and `gain_high` are shares of the value by which the truth may lie below and above it
    because of the sensor's gain. In a ratio of two arms on one card they cancel, so a ratio has
    only its statistical interval. None where the statistical half-width isn't known.
    """
    if gain_low < 0 or gain_high < 0:
        raise ValueError("a gain's interval is given by two shares that aren't negative")
    if half_width is None:
        return None
    below = math.hypot(half_width, gain_low * value)
    return Interval(value - below, value + math.hypot(half_width, gain_high * value))


def _parts(groups: Sequence[Floats]) -> tuple[float | None, float | None, float | None]:
    """Repeat sd, block sd, and p of no block effect, by one-way analysis of variance.

    Block sd by the method of moments for unequal blocks (Searle, Casella, McCulloch, Variance
    Components, 1992, section 3.6); 0 where repeats explain what blocks differ by.
    """
    from scipy import special

    sizes = np.array([len(g) for g in groups])
    n, k = int(sizes.sum()), len(groups)
    if n == k:
        return None, None, None
    within = sum(float(((g - g.mean()) ** 2).sum()) for g in groups) / (n - k)
    if k == 1:
        return math.sqrt(within), None, None
    grand = float(np.concatenate(groups).mean())
    between = sum(len(g) * float((g.mean() - grand) ** 2) for g in groups) / (k - 1)
    size = (n - float((sizes**2).sum()) / n) / (k - 1)
    block_sd = math.sqrt(max(0.0, between - within) / size)
    if not within:
        return 0.0, block_sd, None
    return math.sqrt(within), block_sd, float(special.fdtrc(k - 1, n - k, between / within))
