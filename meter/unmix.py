"""Power of things too short for a sensor, from how their shares change from reading to reading.

A reading is the mean over a stretch of time. If it is known how much of each stretch each of a few
phases took, and these shares change from one to the next, then the powers of the phases are those
that explain the readings best: a linear least-squares problem, with powers that aren't negative and
energies that together are what was measured of all of it. If the shares don't change (a load in
step with the sensor), the readings tell nothing of the parts, and the uncertainty says so.
"""

import math
from dataclasses import dataclass

import numpy as np

from vidmeter.meter.energy import Bools, Floats

FEWEST = 30
"""Fewer stretches than this, or than 5 for each phase, explain anything."""
LEAST_NOISE = 0.01
"""Each reading is taken to be off by this share of the mean power at least."""
BLOCKS = 20
STUDENT_BLOCKS = 2.09
"""The 97.5 % quantile of Student's t with 19 degrees of freedom."""
RANK = 1e-10
UNKNOWN_W2 = 1e12
"""The variance of what the readings tell nothing of, W²."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The energies of the parts, J, that add up to the whole; their covariances, J², two ways.

    `alone` takes the errors of readings as independent, however different they are in size;
    `in_blocks` allows for errors that hang together over a twentieth of all readings.
    """

    joules: Floats
    alone: Floats
    in_blocks: Floats

    def half_j(self, chosen: Bools) -> float:
        """The 95 % half-width of the energy of some of the parts together, J."""
        by = chosen.astype(np.float64)
        alone, blocks = (max(float(by @ c @ by), 0.0) for c in (self.alone, self.in_blocks))
        return max(1.96 * math.sqrt(alone), STUDENT_BLOCKS * math.sqrt(blocks))


def unmix(
    share: Floats, mean_w: Floats, length_s: Floats, *, seconds: Floats, whole_j: float
) -> Parts | None:
    """The energies of parts whose `share` of each stretch (rows, each summing to 1) is known.

    `mean_w` and `length_s` are the readings and the lengths of the stretches, in order of time,
    `seconds` the time of each part in all. None if there are too few stretches.
    """
    rows, parts = share.shape
    if rows < max(FEWEST, 5 * parts) or not seconds.sum():
        return None
    root = np.sqrt(length_s / length_s.mean())
    a, y = share * root[:, None], mean_w * root
    free = np.ones(parts, dtype=np.bool_)
    power = _solve(a, y, seconds, whole_j)[0]
    while (power < 0).any():  # one that would be negative is nothing, and the rest is solved anew
        free &= power > 0
        power = np.zeros(parts)
        power[free] = _solve(a[:, free], y, seconds[free], whole_j)[0]
    _, basis, inverse, unknown = _solve(a, y, seconds, whole_j)
    alone, blocks = _spread(a @ basis, y - a @ power, root * mean_w.mean(), inverse)
    lost = UNKNOWN_W2 * unknown
    in_j = seconds[:, None] * basis
    return Parts(
        joules=seconds * power,
        alone=in_j @ (alone + lost) @ in_j.T,
        in_blocks=in_j @ (blocks + lost) @ in_j.T,
    )


def _solve(
    a: Floats, y: Floats, seconds: Floats, whole_j: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """The powers with the least squares whose energies add up to the whole.

    They are the mean power and a change that moves no energy, a sum of the columns of `basis`:
    also returned, with the inverse normal matrix in it, and the projector on what stays unknown.
    """
    even = np.full(len(seconds), whole_j / seconds.sum())
    turned, _r = np.linalg.qr(np.column_stack((seconds, np.eye(len(seconds)))))
    basis = turned[:, 1 : len(seconds)]
    m = a @ basis
    values, vectors = np.linalg.eigh(m.T @ m)
    told = values > RANK * len(a)
    inverse = (vectors[:, told] / values[told]) @ vectors[:, told].T
    change = inverse @ (m.T @ (y - a @ even))
    return even + basis @ change, basis, inverse, vectors[:, ~told] @ vectors[:, ~told].T


def _spread(m: Floats, off: Floats, noise: Floats, inverse: Floats) -> tuple[Floats, Floats]:
    """The covariances of a least-squares solution from its residuals: HC3, and by blocks.

    HC3: MacKinnon and White, Journal of Econometrics 29 (1985). By blocks: Liang and Zeger,
    Biometrika 73 (1986).
    """
    leverage = np.clip(np.einsum("ij,jk,ik->i", m, inverse, m), 0.0, 0.9)
    least = LEAST_NOISE * noise
    sure = np.sqrt((off / (1 - leverage)) ** 2 + least**2)
    scores = m * sure[:, None]
    block = np.arange(len(off)) * BLOCKS // len(off)
    sums = np.zeros((BLOCKS, m.shape[1]))
    np.add.at(sums, block, m * (off / (1 - leverage))[:, None])
    return inverse @ (scores.T @ scores) @ inverse, inverse @ (sums.T @ sums) @ inverse
