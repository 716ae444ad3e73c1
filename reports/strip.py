"""What is drawn of a bench's repeats: a strip of points for each arm, with its intervals.

Arms in one picture share one axis, so that they can be compared by eye. It doesn't begin at 0,
because what is shown are differences of a few per cent; the page says so.
"""

from collections.abc import Sequence
from typing import NamedTuple

from vidmeter.meter.statistics import Interval
from vidmeter.reports.arm import Arm, Repeat
from vidmeter.reports.axes import Tick, plain_ticks
from vidmeter.reports.benchwords import unit_words
from vidmeter.reports.format import digits

_AROUND = 0.06
"""Room at each end of the axis, as a share of what is drawn."""
_NARROWEST = 0.01
"""The axis spans at least this share of the values: repeats that agree are to look alike."""


MOST = 150
"""Repeats of an arm that are drawn and listed; there may be thousands of runs in a folder."""


class Point(NamedTuple):
    """A repeat, at `at` percent of the axis; `row` is its block's place in the strip, percent."""

    at: float
    row: float
    number: int
    block: int
    outlier: bool
    label: str


class Bar(NamedTuple):
    """An interval: where it begins and how long it is, percent of the axis, and its ends."""

    left: float
    width: float
    low: float
    high: float


class Strip(NamedTuple):
    """One arm's row; `mean` is at that percent of the axis, `left_out` are not among the points."""

    arm: Arm
    mean: float
    points: tuple[Point, ...]
    interval: Bar | None
    wide: Bar | None
    left_out: int


class Picture(NamedTuple):
    """The strips of arms that answer with the same figure."""

    unit: str
    strips: tuple[Strip, ...]
    ticks: tuple[Tick, ...]
    from_zero: bool


def picture(arms: Sequence[Arm]) -> Picture | None:
    """The strips of these arms on one axis; None where no value is known."""
    known = [arm for arm in arms if arm.estimate is not None]
    ends = [end for arm in known for end in _ends(arm)]
    if not ends:
        return None
    low, high = min(ends), max(ends)
    middle = (low + high) / 2
    half = max((high - low) / 2 * (1 + 2 * _AROUND), abs(middle) * _NARROWEST / 2) or 1.0
    left, span = middle - half, 2 * half
    return Picture(
        unit_words(known[0]),
        tuple(_strip(arm, left, span) for arm in known),
        plain_ticks(left, span),
        left <= 0,
    )


def some(arm: Arm) -> list[Repeat]:
    """All repeats of an arm; of very many the extremes, the middle, outliers, and evenly others."""
    if len(arm.repeats) <= MOST:
        return list(arm.repeats)
    known = sorted(arm.known, key=lambda r: r.per_unit[arm.headline])
    kept = {id(r) for r in (*known[:1], *known[-1:], arm.middle)}
    far = [r for r in known if r.number in arm.outliers]
    kept |= {id(r) for r in (*far[: MOST // 6], *far[-MOST // 6 :])}
    step = len(arm.repeats) / (MOST - len(kept))
    kept |= {id(arm.repeats[int(i * step)]) for i in range(MOST - len(kept))}
    return [r for r in arm.repeats if id(r) in kept]


def _ends(arm: Arm) -> list[float]:
    found, wide = arm.estimate, arm.absolute
    values = [r.per_unit[arm.headline] for r in arm.known]
    if found is not None and found.low is not None and found.high is not None:
        values += [found.low, found.high]
    return values + ([wide.low, wide.high] if wide else [])


def _strip(arm: Arm, left: float, span: float) -> Strip:
    found = arm.estimate
    assert found is not None  # `picture` takes no others
    drawn = [r for r in some(arm) if arm.headline in r.per_unit]
    blocks = {block: n for n, block in enumerate(sorted({r.block for r in drawn}), 1)}
    points = tuple(
        Point(
            at=100 * (r.per_unit[arm.headline] - left) / span,
            row=100 * blocks[r.block] / (len(blocks) + 1),
            number=r.number,
            block=r.block,
            outlier=r.number in arm.outliers,
            label=f"repeat {r.number}, process {r.block}: {digits(r.per_unit[arm.headline])}",
        )
        for r in drawn
    )
    interval = None
    if found.low is not None and found.high is not None:
        interval = _bar(Interval(found.low, found.high), left, span)
    wide = _bar(arm.absolute, left, span) if arm.absolute else None
    left_out = len(arm.known) - len(points)
    return Strip(arm, 100 * (found.mean - left) / span, points, interval, wide, left_out)


def _bar(of: Interval, left: float, span: float) -> Bar:
    return Bar(100 * (of.low - left) / span, 100 * (of.high - of.low) / span, of.low, of.high)
