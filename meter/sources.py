"""Which series of a device give its energy, in order of preference, and how far off each may be.

The order follows how much of the truth a source sees: the driver's ring (every reading that the
card takes), the instant field, the energy counter, and last the readings that average over 1 s. A
source whose sensor looks only part of the time, or too coarsely for the window asked for, is
passed over for one that is sharper (`summarize`); one that can't be true is set aside (`trust`).
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from vidmeter.meter import energy
from vidmeter.meter.cadence import ALL_NEW
from vidmeter.meter.cards import known_of
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.energy import Curve, Floats, Ints
from vidmeter.meter.probing import probe
from vidmeter.meter.quality import (
    Calibration,
    Origin,
    Quality,
    SeriesQuality,
    published_least_share,
)
from vidmeter.meter.run import Run, Trace
from vidmeter.meter.sample import Quantity, Series

GPU_ERROR = 0.05
"""Uncalibrated, modern cards read 2 to 8 % low, some high: Yang, Adámek, Armour, "Part-time Power
Measurements", arXiv 2312.02741, against an external meter. NVIDIA promises nothing for them."""
PACKAGE_ERROR = 0.05
"""RAPL of a processor package, taken as for GPUs: no figure is promised by the makers."""
DRAM_ERROR = 0.2
"""RAPL's DRAM domain is offset, most at idle: Desrochers, Paradis, Weaver, MEMSYS 2016."""

UNKNOWN_SHARE = 0.2
"""A card's reading of power of which nothing is known may look as little as the worst that was
published: 20 of 100 ms (Quadro RTX 8000, arXiv 2312.02741)."""

STATED_PLACE_NS = 50_000_000
"""A stated energy is a difference of a card's counter, which advances in ticks of about 100 ms."""

COARSE_S = 0.5
WHOLLY = 0.999

ORDER = (
    Quantity.POWER_RING,
    Quantity.POWER_INSTANT,
    Quantity.ENERGY,
    Quantity.POWER_USAGE,
    Quantity.POWER_AVERAGE,
    Quantity.CPU_BUSY,
    Quantity.ENERGY_STATED,
)

NAMES = {
    Quantity.POWER_RING: "driver's power samples",
    Quantity.POWER_INSTANT: "instant power",
    Quantity.ENERGY: "energy counter",
    Quantity.POWER_USAGE: "power reading",
    Quantity.POWER_AVERAGE: "1 s average power",
    Quantity.CPU_BUSY: "busy time × rating",
    Quantity.ENERGY_STATED: "stated energy",
}


@dataclass(frozen=True)
class Source:
    """One way to a device's energy.

    The true energy lies between `low` and `high` times the curve's, as far as the sensor's gain
    goes. `reading_ns` are the instants of its readings as the sensor renewed them, `blur_s` is how
    long a reading speaks of (what happens within is not seen), `place_s` how far off in time a
    reading may be. `seen_share` is the share of the time that the sensor looks; None if unknown,
    and then `least_share` is what it has to be taken for. `proven` is False where that is only
    known of other cards. `raw` is the curve without calibration. `window_ns` is how long a reading
    averages over, None where that isn't known; then, and for counters, it is taken to speak of the
    time since the one before. `centred`: `reading_ns` are the middles of these windows.
    `every_ns` is how far apart the curve's knots usually are.
    """

    quantity: Quantity
    curve: Curve
    raw: Curve
    reading_ns: Ints
    low: float
    high: float
    blur_s: float
    place_s: float
    seen_share: float | None
    least_share: float = 1.0
    proven: bool = True
    window_ns: int | None = None
    centred: bool = False
    every_ns: int = 0

    @cached_property
    def stretches(self) -> tuple[Ints, Ints]:
        """From when until when each of its readings speaks, ns."""
        if self.centred and self.window_ns:
            starts = self.reading_ns - self.window_ns // 2
            return starts, starts + self.window_ns
        starts, ends = self.reading_ns[:-1], self.reading_ns[1:]
        if self.window_ns:
            longest_ns = round((1 + energy.TILING) * self.window_ns)
            if (ends - starts).max(initial=0) > longest_ns:
                starts = np.maximum(starts, ends - longest_ns)
        return starts, ends

    @cached_property
    def mean_w(self) -> Floats:
        """The mean power that each reading tells of its stretch, W; NaN where that wasn't seen."""
        starts, ends = self.stretches
        if self.centred:
            return energy.power_at(self.curve, self.reading_ns)
        if self.curve.even and len(starts):  # a reading and the next are neighbouring knots
            first = int(self.curve.t_ns.searchsorted(self.reading_ns[0]))
            between = slice(first, first + len(starts))
            power_w, known = self.curve.start_w[between], self.curve.whole[between]
            return power_w if known.all() else np.where(known, power_w, np.nan)
        joules, coverage = energy.window_arrays(self.curve, starts, ends)
        return np.where(coverage >= WHOLLY, joules / ((ends - starts) / 1e9), np.nan)

    @property
    def overlap(self) -> int:
        """How many readings in a row speak of the same time, at least 1."""
        if not (self.centred and self.window_ns and self.every_ns):
            return 1
        return math.ceil(self.window_ns / self.every_ns)

    @property
    def exact(self) -> bool:
        """Whether it is known which time each reading speaks of."""
        return self.counts or self.window_ns is not None

    @property
    def name(self) -> str:
        """What a person calls it."""
        return NAMES[self.quantity]

    @property
    def counts(self) -> bool:
        """Whether it is a cumulative counter, and not an integral of power."""
        return self.quantity in (Quantity.ENERGY, Quantity.CPU_BUSY, Quantity.ENERGY_STATED)

    @property
    def stated(self) -> bool:
        """Whether it is an energy of a whole window, with no course of power."""
        return self.quantity is Quantity.ENERGY_STATED

    @property
    def first_rate(self) -> bool:
        """Whether it is known on this card what it misses, and it tells times below a second."""
        return self.proven and self.blur_s < COARSE_S

    @property
    def part_time(self) -> bool:
        """Whether its sensor looks only part of the time, or may do so for all that is known."""
        return self.least_share < 0.95

    @property
    def full_time(self) -> bool:
        """Whether its sensor is known to miss nothing; counters are not known to."""
        return self.seen_share is not None and self.seen_share >= 0.95


class _Power(NamedTuple):
    """The integral of a series of power; how long a reading speaks of, how far off it may be."""

    curve: Curve
    blur_ns: int
    place_ns: int
    window_ns: int | None = None
    centred: bool = False


def sources_of(run: Run, device: Device, quality: Quality | None = None) -> list[Source]:
    """A device's sources with at least two readings, the preferred one first.

    `quality` is what `probe` says of it, for who knows that already.
    """
    quality = quality or probe(run, device)
    calibration = known_of(device).calibration
    found = []
    for quantity in ORDER:
        for series, trace in run.traces.items():
            if series.device == device.uuid and series.quantity is quantity:
                found.append(_source(run, device, series, trace, quality.of(quantity), calibration))
    return [source for source in found if not source.curve.empty]


def bounds(device: Device, calibration: Calibration | None = None) -> tuple[float, float]:
    """Between which factors of a reading the truth lies, as far as the sensor's gain goes (95 %).

    Of a modelled device, the range of its rating, or of the model that another program used. A
    simulated one is what its script says.
    """
    if device.provenance is Provenance.SIMULATED:
        return 1.0, 1.0
    if device.provenance is Provenance.MODELLED and "model_low" in device.facts:
        return float(device.facts["model_low"]), float(device.facts["model_high"])
    if device.provenance is Provenance.MODELLED:
        middle = float(device.facts["watts_per_busy_cpu"])
        return (
            float(device.facts["watts_per_busy_cpu_low"]) / middle,
            float(device.facts["watts_per_busy_cpu_high"]) / middle,
        )
    if calibration is not None:
        return 1 - calibration.error, 1 + calibration.error
    error = {Kind.GPU: GPU_ERROR, Kind.CPU: PACKAGE_ERROR, Kind.DRAM: DRAM_ERROR}[device.kind]
    return 1 - error, 1 + error


def _source(
    run: Run,
    device: Device,
    series: Series,
    trace: Trace,
    quality: SeriesQuality | None,
    calibration: Calibration | None,
) -> Source:
    low, high = bounds(device, calibration)
    window_ns: int | None = None
    centred = False
    if series.quantity is Quantity.CPU_BUSY:
        busy = energy.counter(trace.t_ns, trace.value, nominal_ns=run.period_ns)
        raw = energy.scaled(busy, float(device.facts["watts_per_busy_cpu"]))
        every_ns = blur_ns = energy.usual_spacing_ns(raw.t_ns)
        place_ns, share = 0, 1.0
    elif series.quantity is Quantity.ENERGY_STATED:
        # Right at its knots and silent between them: only whole stretches are ever asked for.
        raw = energy.stated(trace.t_ns, trace.value)
        every_ns, blur_ns, share = 0, 0, None
        place_ns = STATED_PLACE_NS if device.kind is Kind.GPU else 0
    elif series.quantity is Quantity.ENERGY:
        # RAPL is renewed every millisecond; a GPU's counter advances in ticks of about 100.
        ticking = device.kind is Kind.GPU
        raw = energy.counter(
            trace.t_ns,
            trace.value,
            wrap=series.wrap,
            ticking=ticking,
            nominal_ns=run.period_ns,
            spoiled=_leaps(run, device),
        )
        every_ns = blur_ns = energy.usual_spacing_ns(raw.t_ns)
        place_ns, share = _tick_place_ns(trace, blur_ns) if ticking else 1_000_000, None
    else:
        raw, blur_ns, place_ns, window_ns, centred = _power(run, device, series, trace, quality)
        every_ns = energy.usual_spacing_ns(raw.t_ns)
        share = 1.0 if series.quantity is Quantity.POWER_RING else None
        if quality is not None and share is None:
            share = quality.seen_share
    least_share = 1.0 if share is None else share
    read = device.provenance is Provenance.MEASURED and device.kind is Kind.GPU
    proven = True
    counted = (Quantity.ENERGY, Quantity.ENERGY_STATED, Quantity.POWER_RING)
    if read and series.quantity not in counted:
        least_share, proven = _least_share(device, share, quality)
    curve = raw
    if calibration is not None and device.provenance is Provenance.MEASURED:
        curve = energy.scaled(raw, 1 / calibration.gain, offset_w=calibration.offset_w)
    told = series.quantity is Quantity.ENERGY_STATED
    return Source(
        quantity=series.quantity,
        curve=curve,
        raw=raw,
        reading_ns=raw.t_ns if told else raw.t_ns[1:-1],
        low=low,
        high=high,
        blur_s=blur_ns / 1e9,
        place_s=place_ns / 1e9,
        seen_share=share,
        least_share=least_share,
        proven=proven,
        window_ns=window_ns,
        centred=centred,
        every_ns=every_ns,
    )


def _least_share(
    device: Device, share: float | None, quality: SeriesQuality | None
) -> tuple[float, bool]:
    """The share that a card's reading of power has to be taken for, and whether that is proven."""
    if share is None or quality is None:
        return UNKNOWN_SHARE, False
    if quality.window_origin is Origin.PUBLISHED:
        capability = device.facts.get("compute_capability")
        return published_least_share(capability, share), False
    return share, True


def _leaps(run: Run, device: Device) -> list[tuple[int, int]]:
    """When the counter leapt by more than the card can have drawn, ns."""
    return [
        (e.start_ns, e.end_ns)
        for e in run.events
        if e.kind == "counter_jump" and e.device == device.uuid
    ]


def _power(
    run: Run, device: Device, series: Series, trace: Trace, quality: SeriesQuality | None
) -> _Power:
    """The integral of a series of power, and what its readings speak of.

    A card under power never draws nothing: a reading of 0 W is a failed one, and left out.
    """
    power_w: Floats = np.asarray(trace.value)
    t_ns: Ints = np.asarray(trace.t_ns)
    there = power_w > 0
    if not there.all():
        t_ns, power_w = t_ns[there], power_w[there]
    refresh_ns = quality.refresh_ns if quality else None
    place_ns = 2_000_000
    if refresh_ns and series.quantity is not Quantity.POWER_RING:
        asked_ns = energy.usual_spacing_ns(t_ns)
        if asked_ns <= ALL_NEW * refresh_ns:  # seen by asking, not stamped
            place_ns = max(place_ns, min(asked_ns, run.period_ns) // 2)
        t_ns, power_w = energy.renewed(t_ns, power_w, refresh_ns)
    delay_ns = quality.delay_ns if quality else None
    if delay_ns:
        t_ns = t_ns - delay_ns
    every_ns = refresh_ns or energy.usual_spacing_ns(t_ns)
    lag_ns = quality.lag_ns if quality else None
    if lag_ns:
        curve = energy.points(t_ns, power_w, nominal_ns=run.period_ns)
        return _Power(energy.sluggish(curve, lag_ns), every_ns, place_ns)
    window_ns = quality.window_ns if quality else None
    if series.quantity is Quantity.POWER_RING:
        window_ns = window_ns or every_ns
    if not window_ns:
        # A reading may speak of any time up to the one before it.
        curve = energy.points(t_ns, power_w, nominal_ns=run.period_ns)
        return _Power(curve, every_ns, max(place_ns, every_ns // 2))
    curve = energy.boxes(t_ns, power_w, window_ns, refresh_ns=refresh_ns, nominal_ns=run.period_ns)
    centred = not energy.tiles(window_ns, every_ns)
    return _Power(curve, max(window_ns, every_ns), place_ns, window_ns, centred)


def _tick_place_ns(trace: Trace, tick_ns: int) -> int:
    """How far off in time the ticks of a counter may be: half of the time between two looks.

    A counter whose readings come as rarely as its ticks is stamped by the driver.
    """
    asked_ns = energy.usual_spacing_ns(np.asarray(trace.t_ns))
    return asked_ns // 2 if asked_ns < ALL_NEW * tick_ns else 1_000_000
