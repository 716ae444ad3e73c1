"""Sensors of known refresh, window and delay, looked at as a poller looks at a real one."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

MS = 1_000_000
LOW_W, HIGH_W = 100.0, 600.0


def square(period_ms: float, *, seconds: float, start_ns: int = 0) -> list[int]:
    """The edges of a square wave: on, off, on, off …"""
    half = period_ms / 2 * MS
    return [start_ns + round(i * half) for i in range(2 * round(seconds * 1e3 / period_ms))]


def energy_j(edges_ns: Sequence[int], t_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """The true energy since the first edge, joule by joule."""
    at = [0.0]
    for i, (a, b) in enumerate(pairwise(edges_ns)):
        at.append(at[-1] + (LOW_W if i % 2 else HIGH_W) * (b - a) / 1e9)
    inside = np.interp(t_ns, edges_ns, at)
    before = np.minimum(t_ns - edges_ns[0], 0) / 1e9 * LOW_W
    return inside + before + np.maximum(t_ns - edges_ns[-1], 0) / 1e9 * LOW_W


def polled_sensor(
    edges_ns: Sequence[int],
    *,
    refresh_ms: float,
    window_ms: float,
    delay_ms: float = 0.0,
    noise_w: float = 1.0,
    poll_ms: float = 1.0,
    seed: int = 0,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Times and values of polling a sensor that holds the mean of its last window."""
    draw = np.random.default_rng(seed)
    span = np.array([edges_ns[0] - 500 * MS, edges_ns[-1] + 500 * MS])
    renewed = np.arange(span[0] + draw.uniform(0, refresh_ms * MS), span[1], refresh_ms * MS)
    renewed = renewed.astype(np.int64)
    ends = renewed - round(delay_ms * MS)
    joules = energy_j(edges_ns, ends) - energy_j(edges_ns, ends - round(window_ms * MS))
    value = joules / (window_ms / 1e3) + draw.normal(0, noise_w, len(renewed))
    t = np.arange(span[0], span[1], round(poll_ms * MS)) + draw.integers(0, MS // 10)
    t = np.sort(t + draw.integers(0, round(0.2 * poll_ms * MS), len(t)))
    t = t[t >= renewed[0]]
    return t, np.round(value[np.searchsorted(renewed, t, side="right") - 1], 3)
