"""The energies of devices, added up; those of different provenance never are."""

import math
from collections.abc import Sequence

from vidmeter.meter.device import Kind, Provenance
from vidmeter.meter.summary import DeviceEnergy, Total
from vidmeter.meter.uncertainty import quadrature

_BOUNDARY = {Kind.GPU: "GPU boards", Kind.CPU: "CPU packages", Kind.DRAM: "DRAM"}


def total_of(devices: Sequence[DeviceEnergy]) -> Total:
    """The sum over the devices of the most trusted provenance that is there.

    What makes the gains of two sensors wrong is often the same, so these errors are added end to
    end; what their readings leave open is independent, and combined in quadrature.
    """
    for provenance in (Provenance.MEASURED, Provenance.SIMULATED, Provenance.MODELLED):
        parts = [d for d in devices if d.device.provenance is provenance]
        if parts:
            return _sum_of(parts, provenance)
    return Total(None, None, None, None, 0.0, None, None, ())


def _sum_of(parts: Sequence[DeviceEnergy], provenance: Provenance) -> Total:
    energy_j = _sum([d.energy_j for d in parts])
    gain_low_j = _sum([_gain_j(d, d.gain_low) for d in parts])
    gain_high_j = _sum([_gain_j(d, d.gain_high) for d in parts])
    low = _quadrature([d.sampling_low_j for d in parts])
    high = _quadrature([d.sampling_high_j for d in parts])
    return Total(
        energy_j=energy_j,
        low_j=_combined(parts, "low_j", energy_j),
        high_j=_combined(parts, "high_j", energy_j),
        covered_j=_sum([d.covered_j for d in parts]),
        coverage=min(d.coverage for d in parts),
        source=" + ".join(sorted({d.source for d in parts if d.source})) or None,
        provenance=provenance,
        devices=tuple(d.device.uuid for d in parts),
        sampling_low_j=low,
        sampling_high_j=high,
        gain_low_j=gain_low_j,
        gain_high_j=gain_high_j,
        readings=sum(d.readings for d in parts),
        boundary=", ".join(_BOUNDARY[k] for k in Kind if any(d.device.kind is k for d in parts)),
        trusted=all(d.trusted for d in parts),
    )


def _gain_j(d: DeviceEnergy, factor: float | None) -> float | None:
    return None if d.energy_j is None or factor is None else d.energy_j * abs(factor - 1)


def _combined(parts: Sequence[DeviceEnergy], end: str, energy_j: float | None) -> float | None:
    """One end of the interval of a sum: no narrower than the devices' ends put together."""
    return None if energy_j is None else _sum([getattr(d, end) for d in parts])


def _quadrature(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return quadrature(*known) if known and len(known) == len(values) else None


def _sum(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return math.fsum(known) if known and len(known) == len(values) else None
