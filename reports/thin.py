"""A curve of any length as a few lines that draw the same picture.

Of all readings that fall into one column of the picture, the first, the lowest, the highest and
the last are kept: no peak is lost, and no point is invented. A stretch that nobody saw is the end
of one line and the start of the next.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vidmeter.meter.energy import Curve


class Line(NamedTuple):
    """Power against time in one piece: instants in ns, ascending, and W."""

    t_ns: NDArray[np.int64]
    power_w: NDArray[np.float64]


def thin(curve: Curve, start_ns: int, end_ns: int, *, columns: int) -> list[Line]:
    """The seen parts of a curve within a window, in time order, at most 4 points per column.

    Gaps part the lines. Where there are more gaps than columns, those narrower than a column are
    passed over.
    """
    if curve.empty or end_ns <= start_ns:
        return []
    first = max(int(np.searchsorted(curve.t_ns, start_ns, side="right")) - 1, 0)
    last = int(np.searchsorted(curve.t_ns, end_ns, side="left"))
    pieces = _pieces(curve.seen[first:last])
    if len(pieces) > columns:
        pieces = _joined(pieces, curve.t_ns[first:], (end_ns - start_ns) / columns)
    edges = np.linspace(start_ns, end_ns, columns + 1).astype(np.int64)
    lines = [_line(curve, first + a, first + b, edges) for a, b in pieces]
    return [line for line in lines if len(line.t_ns) > 1]


def _pieces(seen: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Unbroken sequences of seen stretches, as ranges of their indices."""
    changes = np.flatnonzero(np.diff(np.concatenate(([False], seen, [False])).astype(np.int8)))
    return [(int(a), int(b)) for a, b in changes.reshape(-1, 2)]


def _joined(
    pieces: list[tuple[int, int]], t_ns: NDArray[np.int64], least_ns: float
) -> list[tuple[int, int]]:
    """Pieces with only the gaps of at least `least_ns` between them."""
    out = pieces[:1]
    for a, b in pieces[1:]:
        if t_ns[a] - t_ns[out[-1][1]] < least_ns:
            out[-1] = (out[-1][0], b)
        else:
            out.append((a, b))
    return out


def _line(curve: Curve, a: int, b: int, edges: NDArray[np.int64]) -> Line:
    """Stretches `a` to `b` thinned, and cut off at the window's ends."""
    start_ns, end_ns = int(edges[0]), int(edges[-1])
    parts = []
    # Only the outermost stretches can reach beyond the window.
    inner_a = a + (curve.t_ns[a] < start_ns)
    inner_b = b - (curve.t_ns[b] > end_ns)
    if inner_a > a:
        parts.append(_cut(curve, a, start_ns, end_ns))
    if inner_b > inner_a:
        marks = np.searchsorted(curve.t_ns[inner_a:inner_b], edges[1:-1]) + inner_a
        bounds = np.unique(np.concatenate(([inner_a], marks, [inner_b])))
        parts += [_column(curve, int(c), int(d)) for c, d in pairwise(bounds)]
    if inner_b < b and (inner_b > a or inner_a == a):
        parts.append(_cut(curve, b - 1, start_ns, end_ns))
    t_ns = np.concatenate([part[0] for part in parts])
    power_w = np.concatenate([part[1] for part in parts])
    new = np.concatenate(([True], (np.diff(t_ns) != 0) | (np.diff(power_w) != 0)))
    return Line(t_ns[new], power_w[new])


def _column(curve: Curve, a: int, b: int) -> Line:
    """Both ends of stretches `a` to `b`, in order, thinned to 4 points."""
    seen = curve.seen[a:b]
    t_ns = np.repeat(curve.t_ns[a : b + 1], 2)[1:-1]
    power_w = np.column_stack((curve.start_w[a:b], curve.end_w[a:b])).ravel()
    if not seen.all():
        both = np.repeat(seen, 2)
        t_ns, power_w = t_ns[both], power_w[both]
    if len(t_ns) <= 4:
        return Line(t_ns, power_w)
    keep = sorted({0, int(power_w.argmin()), int(power_w.argmax()), len(t_ns) - 1})
    return Line(t_ns[keep], power_w[keep])


def _cut(curve: Curve, i: int, start_ns: int, end_ns: int) -> Line:
    """The part of one stretch that lies in a window."""
    t0, t1 = curve.t_ns[i], curve.t_ns[i + 1]
    t_ns = np.array([max(t0, start_ns), min(t1, end_ns)])
    share = (t_ns - t0) / (t1 - t0)
    return Line(t_ns, curve.start_w[i] + (curve.end_w[i] - curve.start_w[i]) * share)
