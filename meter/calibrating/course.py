"""A known course of power, and what a sensor of some window or lag would show of it.

It is that of a load that was switched on and off at known instants, or that of another sensor of
the same card, such as the driver's own samples. `averaging` fits readings to it.
"""

from collections.abc import Sequence

import numpy as np

from vidmeter.meter.energy import Curve, Floats


class Course:
    """What was true: power that is constant between knots, as its integral, from `origin_ns` on."""

    def __init__(
        self,
        t_s: Floats,
        at: Floats,
        origin_ns: int,
        *,
        holes: Sequence[tuple[int, int]] = (),
        coarse_s: float = 0.0,
    ) -> None:
        """`coarse_s` is how long a stretch is of which no more than the mean is known."""
        self.origin_ns = origin_ns
        self.t_s = t_s
        self.at = at
        self.power: Floats = np.diff(at) / np.diff(t_s)
        self.holes = holes
        self.coarse_s = coarse_s

    def box(self, end_s: Floats, window_s: float) -> Floats:
        """The mean over windows that end at `end_s`."""
        ends = np.interp(end_s, self.t_s, self.at)
        starts = np.interp(end_s - window_s, self.t_s, self.at)
        return np.asarray((ends - starts) / window_s, dtype=np.float64)

    def lag(self, t_s: Floats, lag_s: float) -> Floats:
        """What a first-order lag shows: the mean of all before, weighed by exp(-age / lag)."""
        keep = np.exp(-np.diff(self.t_s) / lag_s).tolist()
        level = float(self.power[0])
        shown = [level]
        for power, kept in zip(self.power.tolist(), keep, strict=True):
            level = power + (level - power) * kept
            shown.append(level)
        i = np.clip(np.searchsorted(self.t_s, t_s, side="right") - 1, 0, len(self.power) - 1)
        age = np.clip(t_s, self.t_s[0], self.t_s[-1]) - self.t_s[i]
        return self.power[i] + (np.asarray(shown)[i] - self.power[i]) * np.exp(-age / lag_s)


def of_edges(edges_ns: Sequence[int]) -> Course:
    """The course of a load that was switched on at the first edge, off at the next, and so on.

    Its power is the share of the time that it was on, 0 to 1.
    """
    # Before the first edge it was off, for as long as any window may look back.
    t = np.concatenate(([edges_ns[0] - 10 * 10**9], edges_ns, [edges_ns[-1] + 10 * 10**9]))
    t = np.asarray(t, dtype=np.int64)
    on = (np.arange(len(t) - 1) % 2 == 1) & (np.arange(len(t) - 1) <= len(edges_ns))
    at = np.concatenate(([0.0], np.cumsum(np.diff(t) / 1e9 * on)))
    return Course((t - t[0]) / 1e9, at, int(t[0]))


def of_curve(curve: Curve) -> Course:
    """The course of another sensor of the same card.

    Power changes in steps far more often than it slides: where a stretch's mean lies between those
    of its neighbours, the step from one to the other is put where it gives that mean.
    """
    unseen = np.flatnonzero(~curve.seen)
    holes = [(int(curve.t_ns[i]), int(curve.t_ns[i + 1])) for i in unseen]
    t_s, at = (curve.t_ns - curve.t_ns[0]) / 1e9, curve.at_j
    span = np.diff(t_s)
    mean = np.diff(at) / span
    before, after = mean[:-2], mean[2:]
    rise = after - before
    share = (after - mean[1:-1]) / np.where(rise == 0, 1.0, rise)
    steps = np.flatnonzero((rise != 0) & (share > 0) & (share < 1)) + 1
    steps = steps[curve.seen[steps - 1] & curve.seen[steps] & curve.seen[steps + 1]]
    into_s = share[steps - 1] * span[steps]
    t_all = np.concatenate((t_s, t_s[steps] + into_s))
    at_all = np.concatenate((at, at[steps] + into_s * mean[steps - 1]))
    order = np.argsort(t_all, kind="stable")
    t_all, at_all = t_all[order], at_all[order]
    apart = np.concatenate(([True], np.diff(t_all) > 1e-9))
    coarse_s = float(np.median(span)) if len(span) else 0.0
    return Course(t_all[apart], at_all[apart], int(curve.t_ns[0]), holes=holes, coarse_s=coarse_s)
