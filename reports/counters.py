"""What a device did over time, as the counters of a trace: power, energy, temperature, clock.

Power comes from the source that the device's energy is taken from. A viewer draws counters as
steps, so each step is the mean power of its stretch: the area under the steps is the energy.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from vidmeter.meter.energy import Curve, Floats, Ints
from vidmeter.meter.run import Run
from vidmeter.meter.sample import Quantity
from vidmeter.meter.sources import sources_of
from vidmeter.meter.summary import DeviceEnergy, Summary
from vidmeter.reports.tracks import Clock, Event, Slice

MOST = 100_000
"""A longer curve is drawn by means over as many stretches as it takes to come below that."""

_SERIES = {Quantity.TEMPERATURE: ("temperature", "°C"), Quantity.SM_CLOCK: ("SM clock", "MHz")}


class Steps(NamedTuple):
    """Mean power of the stretches between `t_ns` (one more), W, and energy since the first, J.

    Of a stretch that nobody knows the energy of, the power is NaN.
    """

    t_ns: Ints
    power_w: Floats
    energy_j: Floats
    unseen: tuple[tuple[int, int], ...]


def counters(run: Run, summary: Summary, e: DeviceEnergy, *, pid: int, clock: Clock) -> list[Event]:
    """All counters of one device within the window of the summary."""
    curve = curve_of(run, e)
    events: list[Event] = []
    if curve is not None:
        drawn = steps(curve, summary.start_ns, summary.end_ns)
        for t_ns, power_w in zip(drawn.t_ns[:-1].tolist(), drawn.power_w.tolist(), strict=True):
            if not math.isnan(power_w):
                events.append(_counter(pid, "power", "W", clock.us(t_ns), power_w))
        for t_ns, energy_j in zip(drawn.t_ns.tolist(), drawn.energy_j.tolist(), strict=True):
            events.append(_counter(pid, "energy", "J", clock.us(t_ns), energy_j))
    events += _readings(run, summary, e, pid, clock)
    return events


def curve_of(run: Run, e: DeviceEnergy) -> Curve | None:
    """The curve that a device's energy is taken from."""
    return next((s.curve for s in sources_of(run, e.device) if s.name == e.source), None)


def unseen(run: Run, summary: Summary, e: DeviceEnergy) -> list[Slice]:
    """When nobody saw a device's power; a viewer goes on with the last value there."""
    curve = curve_of(run, e)
    if curve is None:
        return []
    drawn = steps(curve, summary.start_ns, summary.end_ns)
    return [Slice(a, b, "power not seen", {}) for a, b in drawn.unseen]


def steps(curve: Curve, start_ns: int, end_ns: int, *, most: int = MOST) -> Steps:
    """A curve within a window as steps of its mean power; the energy at each end is exact."""
    inside = curve.t_ns[(curve.t_ns > start_ns) & (curve.t_ns < end_ns)]
    first, last = max(start_ns, int(curve.t_ns[0])), min(end_ns, int(curve.t_ns[-1]))
    if last <= first:
        return Steps(inside[:0], np.empty(0), np.empty(0), ((start_ns, end_ns),))
    t_ns = np.concatenate(([first], inside, [last]))
    at_j = _energy_at(curve, t_ns)
    known = curve.whole[np.searchsorted(curve.t_ns, t_ns[:-1], side="right") - 1]
    gaps = [(start_ns, first), (last, end_ns)]
    gaps += list(zip(t_ns[:-1][~known].tolist(), t_ns[1:][~known].tolist(), strict=True))
    known_s = np.concatenate(([0.0], np.cumsum(np.diff(t_ns) / 1e9 * known)))
    every = -(-len(t_ns) // most)
    if every > 1:
        keep = np.unique(np.append(np.arange(0, len(t_ns), every), len(t_ns) - 1))
        t_ns, at_j, known_s = t_ns[keep], at_j[keep], known_s[keep]
    length_s = np.diff(known_s)
    power_w = np.full(len(length_s), np.nan)
    np.divide(np.diff(at_j), length_s, out=power_w, where=length_s > 0)
    return Steps(t_ns, power_w, at_j - at_j[0], tuple(sorted((a, b) for a, b in gaps if b > a)))


def _energy_at(curve: Curve, t_ns: Ints) -> Floats:
    """Cumulative energy, J, at instants within the curve; power is linear between its knots."""
    i = np.clip(np.searchsorted(curve.t_ns, t_ns, side="right") - 1, 0, len(curve.start_w) - 1)
    into_s = (t_ns - curve.t_ns[i]) / 1e9
    length_s = (curve.t_ns[i + 1] - curve.t_ns[i]) / 1e9
    slope = (curve.end_w[i] - curve.start_w[i]) / length_s
    joules: Floats = curve.at_j[i] + into_s * (curve.start_w[i] + slope * into_s / 2)
    return joules


def _readings(
    run: Run, summary: Summary, e: DeviceEnergy, pid: int, clock: Clock
) -> Iterator[Event]:
    """Temperature and clock, where they changed."""
    for series, trace in run.traces.items():
        if series.device != e.device.uuid or series.quantity not in _SERIES:
            continue
        name, unit = _SERIES[series.quantity]
        before = None
        for t_ns, value in zip(trace.t_ns, trace.value, strict=True):
            if summary.start_ns <= t_ns <= summary.end_ns and value != before:
                yield _counter(pid, name, unit, clock.us(t_ns), value)
                before = value


def _counter(pid: int, name: str, unit: str, ts: float, value: float) -> Event:
    return {"ph": "C", "name": name, "pid": pid, "ts": ts, "args": {unit: round(value, 6)}}
