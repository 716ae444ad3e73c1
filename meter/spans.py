"""A curve over many spans of time at once: their energy, their peak, what of them was seen.

A phase that comes back thousands of times is one window of thousands of spans. They are held as an
array of two columns, start and end in ns, ascending and apart from each other, and never looked at
one by one.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from vidmeter.meter.energy import (
    AT_ONCE,
    Bools,
    Curve,
    Floats,
    Ints,
    WindowEnergy,
    peaks_w,
    window_arrays,
)


def as_spans(spans: ArrayLike) -> Ints:
    """Any spans as an array of starts and ends, ns."""
    return np.asarray(spans, dtype=np.int64).reshape(-1, 2)


def over(curve: Curve, spans: Ints) -> WindowEnergy:
    """The energy of several spans as one."""
    lengths = spans[:, 1] - spans[:, 0]
    whole = int(lengths.sum())
    if not whole:
        return WindowEnergy(0.0, 0.0)
    joules, coverage = window_arrays(curve, spans[:, 0], spans[:, 1])
    return WindowEnergy(
        covered_j=math.fsum(joules.tolist()),
        coverage=sum((coverage * lengths).tolist()) / whole,
    )


def peak_w(curve: Curve, spans: Ints) -> float | None:
    """The highest power seen in spans, W; None where nothing was."""
    found = peaks_w(curve, spans[:, 0], spans[:, 1])
    found = found[~np.isnan(found)]
    return float(found.max()) if len(found) else None


def seen(curve: Curve, spans: Ints) -> Ints:
    """The parts of spans that a curve saw; the spans themselves if it saw all of them."""
    if curve.empty or not len(spans):
        return spans[:0]
    if curve.t_ns[0] <= spans[0, 0] and spans[-1, 1] <= curve.t_ns[-1] and curve.seen.all():
        return spans
    turns = np.flatnonzero(np.diff(np.concatenate(([False], curve.seen, [False]))))
    starts, ends = curve.t_ns[turns[0::2]], curve.t_ns[turns[1::2]]
    first = np.searchsorted(ends, spans[:, 0], side="right")
    last = np.searchsorted(starts, spans[:, 1], side="left")
    part = ranges(first, last)
    of = np.repeat(np.arange(len(spans)), np.maximum(last - first, 0))
    return np.column_stack(
        (np.maximum(spans[of, 0], starts[part]), np.minimum(spans[of, 1], ends[part]))
    )


def at_instants(t_ns: Ints, spans: Ints) -> Ints:
    """The numbers of those instants that lie in spans, both edges included."""
    return ranges(*between_instants(t_ns, spans))


def between_instants(t_ns: Ints, spans: Ints) -> tuple[Ints, Ints]:
    """The number of the first instant in each span, and that of the first one after it."""
    first = t_ns.searchsorted(spans[:, 0], side="left")
    return first, t_ns.searchsorted(spans[:, 1], side="right")


def holds(spans: Ints, starts: Ints, ends: Ints) -> Bools:
    """Whether each stretch from a start to an end lies within one of the spans."""
    if not len(spans):
        return np.zeros(len(starts), dtype=np.bool_)
    i = np.searchsorted(spans[:, 0], starts, side="right") - 1
    found: Bools = (i >= 0) & (ends <= spans[np.maximum(i, 0), 1])
    return found


def time_inside(spans: Ints, starts: Ints, ends: Ints) -> Floats:
    """How much of each stretch from a start to an end lies within spans, ns."""
    if not len(spans):
        return np.zeros(len(starts))
    if len(spans) == 1:  # the usual case, and ten times as quick
        inside_ns = np.minimum(ends, spans[0, 1]) - np.maximum(starts, spans[0, 0])
        return np.asarray(np.maximum(inside_ns, 0), dtype=np.float64)
    upto = np.cumsum(spans[:, 1] - spans[:, 0])
    inside = np.column_stack((np.concatenate(([0], upto[:-1])), upto)).ravel()
    edges, first = spans.ravel(), spans[0, 0]
    found = np.empty(len(starts))
    for i in range(0, len(starts), AT_ONCE):
        part = slice(i, i + AT_ONCE)
        before, after = (
            np.interp(t_ns[part] - first, edges - first, inside) for t_ns in (starts, ends)
        )
        found[part] = after - before
    return found


def ranges(first: Ints, last: Ints) -> Ints:
    """All whole numbers from each first up to its last, which is left out."""
    if len(first) == 1:
        return np.arange(first[0], last[0])
    count = np.maximum(last - first, 0)
    before = np.cumsum(count) - count
    return np.repeat(first - before, count) + np.arange(count.sum())
