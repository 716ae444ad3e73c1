"""What a run shows of its cards' sensors: a pure function of the readings.

A card that nothing is known of is polled closely for its first seconds (`sampler`). What that
shows of refresh, ring and ticks stands here. How long a reading averages can't be seen without a
known load (`vidmeter calibrate`): until then it is what NVIDIA documents, or what was published of
cards of the same compute capability, provided that the refresh period found here fits.
"""

import time
from collections.abc import Collection
from itertools import pairwise

from vidmeter.meter.cadence import refresh_ns
from vidmeter.meter.cards import known_of
from vidmeter.meter.clock import Anchor
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.quality import (
    Origin,
    Quality,
    SeriesQuality,
    Verdict,
    published_window_ns,
)
from vidmeter.meter.run import Run, Trace
from vidmeter.meter.sample import Quantity, Series

ASKED = (
    Quantity.POWER_RING,
    Quantity.POWER_INSTANT,
    Quantity.ENERGY,
    Quantity.POWER_USAGE,
    Quantity.POWER_AVERAGE,
)
"""What every card is asked for."""
QUIET_W = 20.0
"""Readings that differ by less say nothing of how fast they may change."""
MOST = 5_000
"""So many readings are enough to tell a period from."""


def probe(run: Run, device: Device) -> Quality:
    """What is known of a card's sensors: from its file, as far as that goes, and from this run."""
    kept = known_of(device).quality
    seen = observe(run, device)
    if kept is None:
        return seen
    mine = {s.quantity: s for s in seen.series}
    series = [_joined(s, mine.pop(s.quantity, None)) for s in kept.series]
    return Quality(
        kept.uuid,
        kept.driver_version,
        kept.vbios,
        kept.made,
        kept.watched_s,
        (*series, *mine.values()),
    )


def observe(run: Run, device: Device) -> Quality:
    """What this run alone shows of a card's sensors, whatever is known of it."""
    traces = {s.quantity: (s, t) for s, t in run.traces.items() if s.device == device.uuid}
    polled = [t.t_ns[0] for q, (_, t) in traces.items() if q is not Quantity.POWER_RING and t.t_ns]
    first = min(polled, default=None)
    series = []
    for quantity in ASKED:
        if quantity in traces:
            series.append(_series(run, device, *traces[quantity], first_ns=first))
        elif device.kind is Kind.GPU and device.provenance is Provenance.MEASURED:
            series.append(_missing(quantity, traces.keys()))
    return Quality(
        uuid=device.uuid,
        driver_version=device.facts.get("driver_version"),
        vbios=device.facts.get("vbios"),
        made=_day(run),
        watched_s=((run.end_ns or run.start_ns) - run.start_ns) / 1e9,
        series=tuple(series),
    )


def _missing(quantity: Quantity, there: Collection[Quantity]) -> SeriesQuality:
    both = {Quantity.POWER_INSTANT, Quantity.POWER_AVERAGE}
    if quantity is Quantity.POWER_USAGE and both.issubset(there):
        return SeriesQuality(quantity, Verdict.UNTESTED, "not asked: it repeats one of the others")
    return SeriesQuality(quantity, Verdict.ABSENT, "the card doesn't offer it")


def _series(
    run: Run, device: Device, series: Series, trace: Trace, *, first_ns: int | None
) -> SeriesQuality:
    quantity = series.quantity
    depth = None
    if quantity is Quantity.POWER_RING:
        period = refresh_ns(trace.t_ns[:MOST], trace.value[:MOST], polled_ns=0)
        if first_ns is not None:
            depth = sum(1 for t in trace.t_ns[:MOST] if t < first_ns) or None
    else:
        period = _refresh(run, trace)
    window, origin = series.window_ns, Origin.DOCUMENTED if series.window_ns else None
    if window and period and _too_quick(trace, window, period):
        window = origin = None
    if window is None and quantity is not Quantity.ENERGY:
        capability = device.facts.get("compute_capability")
        window = published_window_ns(capability, quantity, period)
        origin = Origin.PUBLISHED if window else None
    return SeriesQuality(
        quantity,
        Verdict.WORKS if period else Verdict.UNTESTED,
        None if period else "watched for too short a time, or the reading never changed",
        refresh_ns=period,
        depth=depth,
        window_ns=window,
        window_origin=origin,
    )


def _too_quick(trace: Trace, window_ns: int, period_ns: int) -> bool:
    """Whether readings change faster than a mean over such a window can.

    A running mean crosses the range of the power in no less than its window, so that from one
    reading to the next it moves by a refresh period's share of that at most.
    """
    if window_ns < 3 * period_ns:
        return False
    values = trace.value[:MOST]
    span = max(values) - min(values)
    lengths = (max(b - a, period_ns) for a, b in pairwise(trace.t_ns[:MOST]))
    steps = (abs(b - a) for a, b in pairwise(values))
    pace = max((s / ns for s, ns in zip(steps, lengths, strict=True)), default=0.0)
    return span > QUIET_W and pace > 3 * span / window_ns


def _refresh(run: Run, trace: Trace) -> int | None:
    """From the close look if there was one, else from the run at its usual pace."""
    t, v, polled_ns = trace.t_ns, trace.value, run.period_ns
    if run.close_look is not None:
        start, end, looked_ns = run.close_look
        inside = [i for i, at in enumerate(t[:MOST]) if start <= at <= end]
        if len(inside) > 2:
            found = refresh_ns(
                t[inside[0] : inside[-1] + 1], v[inside[0] : inside[-1] + 1], polled_ns=looked_ns
            )
            if found is not None:
                return found
    return refresh_ns(t[:MOST], v[:MOST], polled_ns=polled_ns)


def _joined(kept: SeriesQuality, mine: SeriesQuality | None) -> SeriesQuality:
    """What is kept of a series; this run adds what the probe didn't learn then."""
    if mine is None or kept.refresh_ns is not None or kept.verdict is Verdict.BROKEN:
        return kept
    return mine


def _day(run: Run) -> str:
    anchor: Anchor | None = run.anchors[0] if run.anchors else None
    real_s = anchor.to_real(run.start_ns) / 1e9 if anchor else 0.0
    return time.strftime("%Y-%m-%d", time.gmtime(real_s))
