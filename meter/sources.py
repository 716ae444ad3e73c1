"""Which series of a device give its energy, in order of preference, and how far off each may be.

The order follows how much of the truth a source sees: the driver's ring (every reading that the
card takes), the instant field, the energy counter, and last the readings that average over 1 s.
"""

from typing import NamedTuple

import numpy as np

from vidmeter.meter import energy
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.energy import Curve
from vidmeter.meter.run import Run, Trace
from vidmeter.meter.sample import Quantity, Series

GPU_ERROR = 0.05
"""Uncalibrated, modern cards read 2 to 8 % low, some high: Yang, Adámek, Armour, "Part-time Power
Measurements", arXiv 2312.02741, against an external meter. NVIDIA promises nothing for them."""
PACKAGE_ERROR = 0.05
"""RAPL of a processor package, taken as for GPUs: no figure is promised by the makers."""
DRAM_ERROR = 0.2
"""RAPL's DRAM domain is offset, most at idle: Desrochers, Paradis, Weaver, MEMSYS 2016."""

ORDER = (
    Quantity.POWER_RING,
    Quantity.POWER_INSTANT,
    Quantity.ENERGY,
    Quantity.POWER_USAGE,
    Quantity.POWER_AVERAGE,
    Quantity.CPU_BUSY,
)

NAMES = {
    Quantity.POWER_RING: "driver's power samples",
    Quantity.POWER_INSTANT: "instant power",
    Quantity.ENERGY: "energy counter",
    Quantity.POWER_USAGE: "power reading",
    Quantity.POWER_AVERAGE: "1 s average power",
    Quantity.CPU_BUSY: "busy time × rating",
}


class Source(NamedTuple):
    """One way to a device's energy.

    The true energy lies between `low` and `high` times the curve's, as far as the sensor goes;
    `spacing_s` is the usual distance of its readings, which limits how sharply a window's edges
    can be placed.
    """

    quantity: Quantity
    name: str
    curve: Curve
    low: float
    high: float
    spacing_s: float


def sources_of(run: Run, device: Device) -> list[Source]:
    """A device's sources with at least two readings, the preferred one first."""
    found = []
    for quantity in ORDER:
        for series, trace in run.traces.items():
            if series.device == device.uuid and series.quantity is quantity:
                found.append(_source(run, device, series, trace))
    return [source for source in found if not source.curve.empty]


def _source(run: Run, device: Device, series: Series, trace: Trace) -> Source:
    curve = _curve(run, device, series, trace)
    low, high = _bounds(device)
    spacing_s = energy.usual_spacing_ns(curve.t_ns) / 1e9
    return Source(series.quantity, NAMES[series.quantity], curve, low, high, spacing_s)


def _curve(run: Run, device: Device, series: Series, trace: Trace) -> Curve:
    if series.quantity is Quantity.CPU_BUSY:
        busy = energy.counter(trace.t_ns, trace.value, nominal_ns=run.period_ns)
        return energy.scaled(busy, float(device.facts["watts_per_busy_cpu"]))
    if series.quantity is Quantity.ENERGY:
        return energy.counter(
            trace.t_ns,
            trace.value,
            wrap=series.wrap,
            # RAPL is renewed every millisecond; a GPU's counter advances in ticks of about 100.
            ticking=device.kind is Kind.GPU,
            nominal_ns=run.period_ns,
        )
    # A card under power never draws nothing: a reading of 0 W is a failed one.
    power_w = np.asarray(trace.value)
    t_ns, power_w = np.asarray(trace.t_ns)[power_w > 0], power_w[power_w > 0]
    if series.window_ns:
        return energy.boxes(t_ns, power_w, series.window_ns, nominal_ns=run.period_ns)
    return energy.points(t_ns, power_w, nominal_ns=run.period_ns)


def _bounds(device: Device) -> tuple[float, float]:
    if device.provenance is Provenance.SIMULATED:
        return 1.0, 1.0
    if device.provenance is Provenance.MODELLED:
        middle = float(device.facts["watts_per_busy_cpu"])
        return (
            float(device.facts["watts_per_busy_cpu_low"]) / middle,
            float(device.facts["watts_per_busy_cpu_high"]) / middle,
        )
    error = {Kind.GPU: GPU_ERROR, Kind.CPU: PACKAGE_ERROR, Kind.DRAM: DRAM_ERROR}[device.kind]
    return 1 - error, 1 + error
