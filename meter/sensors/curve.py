"""Power that is known beforehand: a scripted curve, and its exact integral."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise


class PowerCurve:
    """Piecewise-linear power, from points (s, W) in time order starting at 0 s.

    Two points at one instant are a step. After its last point the curve holds its last value, or
    starts again with `repeat`.
    """

    def __init__(self, points: Sequence[tuple[float, float]], *, repeat: bool = False) -> None:
        if not points or points[0][0] != 0 or any(a[0] > b[0] for a, b in pairwise(points)):
            raise ValueError("a curve is a list of [seconds, watts] in time order, from 0 s on")
        if any(w < 0 for _, w in points):
            raise ValueError("power can't be below 0 W")
        self.points = tuple((float(t), float(w)) for t, w in points)
        self.length_s = self.points[-1][0]
        self.repeat = repeat and self.length_s > 0
        self._starts = [t for t, _ in self.points]
        self._at_j = [0.0]
        for (t0, w0), (t1, w1) in pairwise(self.points):
            self._at_j.append(self._at_j[-1] + (w0 + w1) / 2 * (t1 - t0))

    def power_w(self, t_s: float) -> float:
        """Power at `t_s` seconds; at a step, the value after it. Before 0 s: as at 0 s."""
        if self.repeat:
            t_s %= self.length_s
        i = bisect_right(self._starts, t_s) - 1
        if i < 0 or i == len(self.points) - 1:
            return self.points[max(i, 0)][1]
        (t0, w0), (t1, w1) = self.points[i], self.points[i + 1]
        return w0 + (w1 - w0) * (t_s - t0) / (t1 - t0)

    def energy_j(self, t_s: float) -> float:
        """The exact integral from 0 s to `t_s` seconds, J; negative before 0 s."""
        whole, rest = divmod(t_s, self.length_s) if self.repeat else (0.0, t_s)
        i = bisect_right(self._starts, rest) - 1
        if i < 0:
            return self.points[0][1] * rest
        start, power = self.points[i]
        inside = (power + self.power_w(rest)) / 2 if i < len(self.points) - 1 else power
        return whole * self._at_j[-1] + self._at_j[i] + inside * (rest - start)
