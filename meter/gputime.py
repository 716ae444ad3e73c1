"""The GPUs' own time, laid on the host's clock.

A chain of events gives the GPU's time between them, and each event was queued and seen done at
instants of the host's clock, with the GPU coming to it in between. Where the GPU was idle the two
are microseconds apart, which ties the clocks together; where it was behind, they may be minutes
apart and only bound what is possible. One rule serves both: the clocks' distance at one event is
that at any other, give or take how far they may drift apart between the two. The steady part of the
drift is taken from the tightest ties, far apart; what is left is allowed for. So an event lies in
the middle of what all others leave possible, and half of that is its error.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import ceil, isfinite
from typing import NamedTuple

from vidmeter.meter.run import GpuEvent

ANCHOR_NS = 250_000
"""Queued and seen done within this, an event counts as tying the clocks together."""
DRIFT = 100e-6
"""Between two quartz clocks at most: ns per ns, while nothing is known of these two."""
WANDER = 1e-6
"""Of the drift itself, once it is known: mostly the temperature's doing."""
MOST_DRIFT = 600e-6
"""More than this is no clock: the host's is slewed by 500 ppm at most (adjtimex(2))."""
FLOAT32 = 2.0**-24
"""What rounding to a float32 changes at most, in parts of the value."""
RESOLUTION_NS = 1_000
"""CUDA promises about 0.5 µs for each of the two events of a difference."""


class Timeline(NamedTuple):
    """When one GPU came to the events of one process.

    `at_ns` is by the event's number, on CLOCK_MONOTONIC. `error_ns` is how far off any of them may
    be, `anchors` how many instants both clocks were tied together at.
    """

    at_ns: Mapping[int, int]
    error_ns: int
    anchors: int


class Quality(NamedTuple):
    """How well the GPUs' clocks are tied to the host's: the worst error, and all anchors."""

    error_ns: int
    anchors: int


class _Tie(NamedTuple):
    """An event: the GPU's time since its chain began, and what the host saw, since a base."""

    seq: int
    gpu_ns: float
    recorded_ns: int
    seen_ns: int

    @property
    def is_anchor(self) -> bool:
        return 0 <= self.seen_ns - self.recorded_ns <= ANCHOR_NS


class _Chain(NamedTuple):
    """Events in the order of the GPU's time, and by how much each bound may be off.

    Rounding forward grows with the GPU's time, as a drift does, and is counted with it; links back
    in time, between streams, add to it without being seen in the GPU's time.
    """

    ties: list[_Tie]
    slack_ns: float


class _Drift(NamedTuple):
    """How much faster the host's clock is than the GPU's, ns per ns; how far off that may be."""

    rate: float
    error: float


def timelines(events: Iterable[GpuEvent]) -> dict[tuple[int, str], Timeline]:
    """The timeline of every process on every device that it used, by pid and device."""
    found: dict[tuple[int, str], list[GpuEvent]] = {}
    for event in events:
        found.setdefault((event.pid, event.device), []).append(event)
    return {key: _timeline(chain) for key, chain in found.items()}


def quality(lines: Iterable[Timeline]) -> Quality | None:
    """The worst error of all timelines, and the number of their anchors; None for none."""
    known = tuple(lines)
    if not known:
        return None
    return Quality(max(line.error_ns for line in known), sum(line.anchors for line in known))


def _timeline(events: Sequence[GpuEvent]) -> Timeline:
    base_ns = min(event.recorded_ns for event in events)
    chains = _chains(events, base_ns)
    # Chains of one device share its clock: the best that any of them says of the drift holds.
    drifts = [drift for chain in chains if (drift := _drift(chain)) is not None]
    drift = min(drifts, key=lambda d: d.error, default=_Drift(0.0, DRIFT + FLOAT32))
    at_ns: dict[int, int] = {}
    worst_ns = 0.0
    for chain in chains:
        for tie, (host_ns, error_ns) in zip(chain.ties, _laid(chain, drift), strict=True):
            at_ns[tie.seq] = base_ns + round(host_ns)
            worst_ns = max(worst_ns, error_ns)
    anchors = sum(tie.is_anchor for chain in chains for tie in chain.ties)
    return Timeline(at_ns, ceil(worst_ns), anchors)


def _chains(events: Iterable[GpuEvent], base_ns: int) -> list[_Chain]:
    """The chains, as they were written: each event after the one that it is linked to."""
    gpu_ns: dict[int, float] = {}
    chain_of: dict[int, list[_Tie]] = {}
    chains: list[list[_Tie]] = []
    back_ns = 0.0
    for event in events:
        seq, elapsed_ms = event.seq, event.elapsed_ms
        if seq in gpu_ns:
            continue
        if event.previous in gpu_ns and elapsed_ms is not None and isfinite(elapsed_ms):
            gpu_ns[seq] = gpu_ns[event.previous] + elapsed_ms * 1e6
            chain_of[seq] = chain_of[event.previous]
            back_ns += max(0.0, -elapsed_ms * 1e6)
        else:
            gpu_ns[seq] = 0.0
            chain_of[seq] = []
            chains.append(chain_of[seq])
        tie = _Tie(seq, gpu_ns[seq], event.recorded_ns - base_ns, event.seen_ns - base_ns)
        chain_of[seq].append(tie)
    slack_ns = RESOLUTION_NS / 2 + 2 * FLOAT32 * back_ns
    return [_Chain(sorted(ties, key=lambda t: t.gpu_ns), slack_ns) for ties in chains]


def _drift(chain: _Chain) -> _Drift | None:
    """What a chain says of the drift: that between a tight tie at its start and one at its end."""
    anchors = [tie for tie in chain.ties if tie.is_anchor]
    if len(anchors) < 2:
        return None
    near = (anchors[-1].gpu_ns - anchors[0].gpu_ns) / 8
    first = min((t for t in anchors if t.gpu_ns <= anchors[0].gpu_ns + near), key=_width_ns)
    last = min((t for t in anchors if t.gpu_ns >= anchors[-1].gpu_ns - near), key=_width_ns)
    gpu_ns = last.gpu_ns - first.gpu_ns
    if gpu_ns <= 0:
        return None
    host_ns = (last.recorded_ns + last.seen_ns - first.recorded_ns - first.seen_ns) / 2
    rate = host_ns / gpu_ns - 1
    error = ((_width_ns(first) + _width_ns(last)) / 2 + 2 * chain.slack_ns) / gpu_ns
    if error > DRIFT or abs(rate) > MOST_DRIFT + error:
        return None
    return _Drift(rate, error + WANDER + FLOAT32)


def _laid(chain: _Chain, drift: _Drift) -> list[tuple[float, float]]:
    """The host's time of every event of a chain, since the base, and how far off it may be."""
    bands: list[tuple[float, float]] = []
    excess_ns = 0.0
    for spread in (drift.error, drift.error + 10 * WANDER, drift.error + DRIFT):
        bands = _bands(chain, drift.rate, spread)
        excess_ns = max(0.0, *(low - high for low, high in bands))
        if not excess_ns:
            break
    laid = []
    for tie, (low_ns, high_ns) in zip(chain.ties, bands, strict=True):
        steady_ns = tie.gpu_ns * (1 + drift.rate)
        error_ns = abs(high_ns - low_ns) / 2 + excess_ns
        laid.append((steady_ns + (low_ns + high_ns) / 2, error_ns))
    return laid


def _bands(chain: _Chain, rate: float, spread: float) -> list[tuple[float, float]]:
    """Between which two values the clocks' distance is at every event, by all of them."""
    steady = [tie.gpu_ns * (1 + rate) for tie in chain.ties]
    lows = [t.recorded_ns - chain.slack_ns - s for t, s in zip(chain.ties, steady, strict=True)]
    highs = [t.seen_ns + chain.slack_ns - s for t, s in zip(chain.ties, steady, strict=True)]
    gaps = [spread * (b.gpu_ns - a.gpu_ns) for a, b in pairwise(chain.ties)]
    for i, gap in enumerate(gaps):
        lows[i + 1] = max(lows[i + 1], lows[i] - gap)
        highs[i + 1] = min(highs[i + 1], highs[i] + gap)
    for i, gap in reversed(list(enumerate(gaps))):
        lows[i] = max(lows[i], lows[i + 1] - gap)
        highs[i] = min(highs[i], highs[i + 1] + gap)
    return list(zip(lows, highs, strict=True))


def _width_ns(tie: _Tie) -> int:
    return tie.seen_ns - tie.recorded_ns
