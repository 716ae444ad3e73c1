"""From a run to its numbers: a pure function, which can be done again at any time.

Each device gets its energy from the sharpest source it has, with a second opinion where there is
one. A number that rests on too little is None. Energies of different provenance are never added
up: the total is that of the measured devices, or, where none is measured, of the simulated or
modelled.
"""

import math
from collections.abc import Mapping, Sequence

from vidmeter.meter.cautions import device_cautions, idle_cautions, run_cautions
from vidmeter.meter.conditions import condition_cautions, conditions
from vidmeter.meter.device import Kind, Provenance
from vidmeter.meter.deviceenergy import RESOLVED, Meter, device_energy, meter_of
from vidmeter.meter.idle import idle_of, net_of
from vidmeter.meter.run import Run, Work
from vidmeter.meter.summary import DeviceEnergy, PhaseSummary, Spans, Summary, Total
from vidmeter.meter.uncertainty import quadrature, ratio_half_width
from vidmeter.meter.windows import PathGroup, by_path, merged, paths, spans_of
from vidmeter.meter.work import per_unit, with_rates, work_cautions, work_done

Meters = Mapping[str, Meter]

_BOUNDARY = {Kind.GPU: "GPU boards", Kind.CPU: "CPU packages", Kind.DRAM: "DRAM"}


def summarize(run: Run) -> Summary:
    """Everything that vidmeter says of a run."""
    start_ns, end_ns = run.start_ns, _end_of(run)
    work = with_rates(run.work)
    meters = {device.uuid: meter_of(run, device) for device in run.devices}
    devices = tuple(device_energy(meter, ((start_ns, end_ns),)) for meter in meters.values())
    total = total_of(devices)
    named = {d.device.uuid: d.source for d in devices}
    where = paths(run.phases)
    phases = []
    for group in by_path(run.phases):
        spans = spans_of(group, start_ns, end_ns)
        if spans:
            inside = [w for w in work if w.phase in where and _below(where[w.phase], group.path)]
            phases.append(_phase(group, spans, meters, named, total, inside))
    top = merged(span for p in phases if len(p.path) == 1 for span in p.windows)
    done = work_done(work)
    around = {d.uuid: conditions(run, d, ((start_ns, end_ns),)) for d in run.devices}
    idle = idle_of(run, meters)
    net = net_of(total, idle, (end_ns - start_ns) / 1e9)
    return Summary(
        run_id=run.id,
        command=run.command,
        start_ns=start_ns,
        end_ns=end_ns,
        started_real_ns=run.anchors[0].to_real(start_ns) if run.anchors else None,
        devices=devices,
        total=total,
        phases=tuple(phases),
        unattributed_j=_unattributed(meters, named, total, top) if phases else None,
        work=done,
        per_unit=per_unit(total, done),
        cautions=(
            *run_cautions(run, end_ns),
            *device_cautions(devices),
            *(c for d in run.devices for c in condition_cautions(d, around[d.uuid])),
            *work_cautions(run.work, run.phases),
            *idle_cautions(net),
        ),
        exit_code=run.exit_code,
        environment=run.environment,
        workload=run.workload,
        idle=idle,
        net=net,
        conditions=around,
    )


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


def _phase(
    group: PathGroup,
    spans: Spans,
    meters: Meters,
    named: Mapping[str, str | None],
    whole: Total,
    work: list[Work],
) -> PhaseSummary:
    devices = tuple(
        device_energy(meter, spans, prefer=named[uuid], fewest=RESOLVED)
        for uuid, meter in meters.items()
    )
    total = total_of(devices)
    done = work_done(work)
    errors = [p.error for p in group.phases if p.error]
    half = None
    if total.energy_j and whole.energy_j:
        half = ratio_half_width(total.energy_j, _widest(total), whole.energy_j, _widest(whole))
    share = total.energy_j / whole.energy_j if total.energy_j and whole.energy_j else None
    return PhaseSummary(
        path=group.path,
        count=len(group.phases),
        windows=spans,
        devices=devices,
        total=total,
        share=share,
        work=done,
        per_unit=per_unit(total, done),
        complete=all(p.end_ns is not None for p in group.phases),
        error=errors[0] if errors else None,
        share_low=max(0.0, share - half) if share is not None and half is not None else None,
        share_high=min(1.0, share + half) if share is not None and half is not None else None,
        resolved=all(d.resolved for d in devices if d.device.uuid in total.devices),
    )


def _widest(total: Total) -> float:
    return max(total.sampling_low_j or 0.0, total.sampling_high_j or 0.0)


def _unattributed(
    meters: Meters, named: Mapping[str, str | None], total: Total, top: Spans
) -> float | None:
    """The energy of the total that no phase accounts for, from the sources the total rests on."""
    if total.energy_j is None:
        return None
    inside = 0.0
    for uuid in total.devices:
        covered_j = device_energy(meters[uuid], top, prefer=named[uuid]).covered_j
        if covered_j is None:
            return None
        inside += covered_j
    return total.energy_j - inside


def _below(path: tuple[str, ...], ancestor: tuple[str, ...]) -> bool:
    return path[: len(ancestor)] == ancestor


def _end_of(run: Run) -> int:
    """The run's end; for one without, its last reading."""
    if run.end_ns is not None:
        return run.end_ns
    return max([run.start_ns, *(trace.t_ns[-1] for trace in run.traces.values() if trace.t_ns)])


def _sum(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return math.fsum(known) if known and len(known) == len(values) else None
