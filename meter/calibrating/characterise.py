"""What a calibration run says of a card's sensors: a pure function of the recorded run.

The run holds the card's readings, taken as fast as may be, while a load was switched on and off
(phases called `on`; any other time is off). Each reading is fitted to the load, and to the driver's
own samples where there are any; what explains more of it is taken. Where no load was made,
the samples of the driver alone serve, provided that the card's power varied by itself. The energy
counter is held against another reading while the card was idle and while it was busy: it is broken
if they differ by more than 3 % (the reports behind that are named in `trust`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from vidmeter.meter import energy
from vidmeter.meter.calibrating.averaging import LONGEST_S, Window, fit
from vidmeter.meter.calibrating.course import Course, of_curve, of_edges
from vidmeter.meter.calibrating.gate import Gate, gates_of
from vidmeter.meter.calibrating.response import refresh_period, renewals, step_response
from vidmeter.meter.device import Device
from vidmeter.meter.energy import Curve
from vidmeter.meter.probing import ASKED, observe
from vidmeter.meter.quality import Origin, Quality, SeriesQuality, Verdict
from vidmeter.meter.run import Run, Trace
from vidmeter.meter.sample import Quantity

ON = "on"
FAST_S = 3.0
"""Stretches shorter than this, one after the other, tell of windows; longer ones of levels."""
STEP_S = 1.2
FEWEST_EDGES = 16
FEWEST_SAMPLES = 100
BEFORE_NS = 15_000_000_000
FULL = 0.07
"""A window that differs from the refresh period by less than this part is as long as it: the
sensor misses nothing, and the fit can't tell it more sharply."""
BETTER = 0.5
"""The driver's samples are taken for reference if they leave less than this part of what the load
leaves unexplained: the load's own times are exact, its power is not."""
NOT_READ = "not read beside instant power, which tells more"
EARLY_S = 0.003
"""A delay below zero by no more than this is none: drivers and programs read clocks one by one."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of one series.

    `rise_s` is from 10 to 90 % of a step, `r2` the share of the readings' variance that window or
    lag explain, when fitted to `against` (the load, or the driver's samples). None: not found.
    """

    quality: SeriesQuality
    rise_s: float | None = None
    r2: float | None = None
    against: str | None = None


@dataclass(frozen=True, slots=True)
class Characterised:
    """What a run says of one card; `on_s` is how long a load was marked in it, s."""

    device: Device
    quality: Quality
    found: tuple[Found, ...]
    gates: tuple[Gate, ...]
    on_s: float


def characterise(run: Run, device: Device) -> Characterised:
    """What a run says of a card's sensors."""
    traces = {s.quantity: t for s, t in run.traces.items() if s.device == device.uuid}
    seen = observe(run, device)
    edges = edges_of(run)
    load = _course(_fast(edges))
    ring = _ring(traces.get(Quantity.POWER_RING), edges[0] if edges else run.start_ns)
    own_ring = of_curve(ring) if ring is not None else None
    gates = gates_of(run, traces, edges)
    found: list[Found] = []
    ring_delay_s = 0.0
    for quality in sorted(seen.series, key=lambda s: ASKED.index(s.quantity)):
        trace = traces.get(quality.quantity)
        if trace is None or len(trace.t_ns) < 2:
            if quality.quantity is Quantity.POWER_USAGE and Quantity.POWER_INSTANT in traces:
                quality = replace(quality, verdict=Verdict.UNTESTED, reason=NOT_READ)
            found.append(Found(quality))
            continue
        quality = replace(quality, refresh_ns=_refresh_ns(run, quality, trace))
        if quality.refresh_ns:
            quality = replace(quality, verdict=Verdict.WORKS, reason=None)
        t, p = _power(run, quality.quantity, trace)
        is_ring = quality.quantity is Quantity.POWER_RING
        fitted = _fitted(
            load,
            None if is_ring else own_ring,
            t,
            p,
            ring_delay_s=ring_delay_s,
            every_s=(quality.refresh_ns or 0) / 1e9,
        )
        if is_ring and fitted is not None:
            ring_delay_s = fitted[0].delay_s
        found.append(_with_fit(quality, fitted, _rise_s(trace, edges, quality.quantity)))
    found = [_judged(f, traces, gates, edges) for f in found]
    series = tuple(f.quality for f in found)
    on_s = sum(b - a for a, b in zip(edges[::2], edges[1::2], strict=True)) / 1e9
    return Characterised(device, replace(seen, series=series), tuple(found), tuple(gates), on_s)


def joined(new: Quality, kept: Quality | None) -> Quality:
    """What is new, and what it doesn't tell of what was measured before with the same driver."""
    if kept is None or (kept.driver_version, kept.vbios) != (new.driver_version, new.vbios):
        return new
    series = []
    for mine in new.series:
        before = kept.of(mine.quantity)
        if before is not None and mine.verdict is not Verdict.ABSENT:
            if (
                before.window_origin is Origin.MEASURED
                and mine.window_origin is not before.window_origin
            ):
                mine = replace(
                    mine,
                    window_ns=before.window_ns,
                    window_origin=before.window_origin,
                    lag_ns=before.lag_ns,
                    delay_ns=before.delay_ns,
                )
            if mine.delay_ns is None and mine.quantity is Quantity.ENERGY:
                mine = replace(mine, delay_ns=before.delay_ns)
            if before.verdict is Verdict.BROKEN and mine.reason is not None:
                mine = replace(mine, verdict=before.verdict, reason=before.reason)
        series.append(mine)
    return replace(new, series=tuple(series))


def edges_of(run: Run) -> list[int]:
    """When the load was switched on, off, on …, ns; stretches that overlap are one."""
    edges: list[int] = []
    for phase in sorted(run.phases, key=lambda p: p.start_ns):
        if phase.name != ON or phase.end_ns is None:
            continue
        if edges and phase.start_ns <= edges[-1]:
            edges[-1] = max(edges[-1], phase.end_ns)
        else:
            edges += [phase.start_ns, phase.end_ns]
    return edges


def _fast(edges: Sequence[int]) -> list[int]:
    """The longest row of edges that come one soon after the other, from a switch-on on."""
    cuts = [i + 1 for i, (a, b) in enumerate(pairwise(edges)) if b - a > FAST_S * 1e9]
    best: Sequence[int] = ()
    for a, b in pairwise([0, *cuts, len(edges)]):
        row = edges[a + a % 2 : b - (b % 2)]
        best = row if len(row) > len(best) else best
    return list(best)


def _course(edges: Sequence[int]) -> tuple[Course, tuple[int, int]] | None:
    if len(edges) < FEWEST_EDGES:
        return None
    return of_edges(edges), (edges[0], edges[-1] + 500_000_000)


def _ring(trace: Trace | None, from_ns: int) -> Curve | None:
    """The driver's own samples as a curve: each the mean of the time since the one before.

    Of a long run, three minutes are enough, from shortly before the load was first switched on.
    """
    if trace is None:
        return None
    t, v = np.asarray(trace.t_ns, np.int64), np.asarray(trace.value, np.float64)
    first_ns = from_ns - BEFORE_NS
    inside = (v > 0) & (t >= first_ns) & (t <= first_ns + LONGEST_S * 1e9)
    if inside.sum() < FEWEST_SAMPLES:
        return None
    return energy.boxes(t[inside], v[inside], energy.usual_spacing_ns(t[inside]))


def _refresh_ns(run: Run, quality: SeriesQuality, trace: Trace) -> int | None:
    asked_s = 0.0 if quality.quantity is Quantity.POWER_RING else run.period_ns / 1e9
    period_s = refresh_period(trace.t_ns, trace.value, asked_s=asked_s).period_s
    return quality.refresh_ns if period_s is None else round(period_s * 1e9)


def _power(run: Run, quantity: Quantity, trace: Trace) -> tuple[energy.Ints, energy.Floats]:
    """The readings as they were renewed, W; of a counter its advances from tick to tick."""
    t, v = np.asarray(trace.t_ns, np.int64), np.asarray(trace.value, np.float64)
    if quantity is Quantity.POWER_RING:
        return t, v
    asked_s = run.period_ns / 1e9
    if quantity is Quantity.ENERGY:
        t, v = renewals(t, v, asked_s=asked_s)
        apart = np.diff(v)
        return t[1:][apart > 0], (apart / (np.diff(t) / 1e9))[apart > 0]
    known = v > 0  # a card never draws nothing: such a reading is a failed one
    return renewals(t[known], v[known], asked_s=asked_s)


def _fitted(
    load: tuple[Course, tuple[int, int]] | None,
    ring: Course | None,
    t_ns: energy.Ints,
    power_w: energy.Floats,
    *,
    ring_delay_s: float,
    every_s: float,
) -> tuple[Window, str] | None:
    """The fit that explains most, and to what.

    A sensor that follows slowly does so over several of its readings: a lag shorter than the
    refresh period would be taken for one that looks all of the time, and is the load's own.
    """
    by_load, by_ring = None, None
    if load:
        course, within = load
        by_load = fit(course, t_ns, power_w, same=False, within=within, least_lag_s=every_s)
    if ring:
        by_ring = fit(ring, t_ns, power_w, same=True, least_lag_s=every_s)
    if by_load and (by_ring is None or 1 - by_ring.r2 > BETTER * (1 - by_load.r2)):
        return by_load, "the load"
    if by_ring:
        return by_ring._replace(delay_s=by_ring.delay_s + ring_delay_s), "the driver's samples"
    return None


def _rise_s(trace: Trace, edges: Sequence[int], quantity: Quantity) -> float | None:
    """How long a step takes from 10 to 90 %, s."""
    if quantity is Quantity.ENERGY:
        return None
    row: list[int] = []
    longest: list[int] = []
    for i, edge in enumerate(edges):
        if row and edge - row[-1] < STEP_S * 1e9:
            row = []
        if row or i % 2 == 0:
            row.append(edge)
        longest = list(row) if len(row) > len(longest) else longest
    if len(longest) < 4:
        return None
    step = step_response(trace.t_ns, trace.value, longest, up=True)
    return step.rise_s if step else None


def _with_fit(
    quality: SeriesQuality, fitted: tuple[Window, str] | None, rise_s: float | None
) -> Found:
    if fitted is None:
        return Found(quality, rise_s)
    window, against = fitted
    delay_s = 0.0 if -EARLY_S < window.delay_s < 0 else window.delay_s
    quality = replace(quality, delay_ns=round(delay_s * 1e9))
    if quality.quantity is Quantity.ENERGY:
        return Found(quality, None, window.r2, against)
    window_ns = None if window.window_s is None else round(window.window_s * 1e9)
    every_ns = quality.refresh_ns
    if window_ns and every_ns and abs(window_ns - every_ns) < FULL * every_ns:
        window_ns = every_ns
    quality = replace(
        quality,
        window_ns=window_ns,
        lag_ns=None if window.lag_s is None else round(window.lag_s * 1e9),
        window_origin=Origin.MEASURED,
    )
    if rise_s is None or rise_s * 1e9 <= (every_ns or 0):
        rise_s = window.rise_s  # between two readings: only the fit tells
    return Found(quality, rise_s, window.r2, against)


def _judged(
    found: Found, traces: Mapping[Quantity, Trace], gates: Sequence[Gate], edges: Sequence[int]
) -> Found:
    """With the verdict: broken if it contradicts what is known."""
    quality, reason = found.quality, None
    if quality.quantity is Quantity.ENERGY and quality.verdict is not Verdict.ABSENT:
        reason = next((g.reason for g in gates if g.reason), None)
        if reason is None and not any(g.decides for g in gates):
            quality = replace(quality, reason="nothing to hold it against, or for too short a time")
    elif quality.quantity in traces and edges and len(set(traces[quality.quantity].value)) == 1:
        reason = f"it stayed at {traces[quality.quantity].value[0]:g} W, load or not"
    if reason is not None:
        quality = replace(quality, verdict=Verdict.BROKEN, reason=reason, delay_ns=None)
        return Found(quality)
    return replace(found, quality=quality)
