"""From a run to its numbers: a pure function, which can be done again at any time.

Each device gets its energy from the best source it has, with a second opinion where there is one.
A number that rests on too little is None. Energies of different provenance are never added up: the
total is that of the measured devices, or, where none is measured, of the simulated or modelled.
"""

import math
from collections.abc import Mapping, Sequence

from vidmeter.meter import energy
from vidmeter.meter.cautions import device_cautions, run_cautions
from vidmeter.meter.device import Device, Provenance
from vidmeter.meter.run import Run, Work
from vidmeter.meter.sources import Source, sources_of
from vidmeter.meter.summary import DeviceEnergy, PhaseSummary, Spans, Summary, Total
from vidmeter.meter.windows import PathGroup, by_path, merged, paths, spans_of
from vidmeter.meter.work import per_unit, work_cautions, work_done

LEAST_COVERAGE = 0.95
"""Below this share of a window with readings, its energy is not stated."""
GOOD_COVERAGE = 0.99
"""A source that covers this much isn't passed over for a lesser one that covers more."""
LEAST_SPACINGS = 2.0
"""A window shorter than this many spacings of a source's readings is below its resolution."""

Sources = Mapping[str, list[Source]]


def summarize(run: Run) -> Summary:
    """Everything that vidmeter says of a run."""
    start_ns, end_ns = run.start_ns, _end_of(run)
    sources = {device.uuid: sources_of(run, device) for device in run.devices}
    devices = _devices(run.devices, sources, ((start_ns, end_ns),))
    total = total_of(devices)
    where = paths(run.phases)
    phases = []
    for group in by_path(run.phases):
        spans = spans_of(group, start_ns, end_ns)
        if spans:
            inside = [
                w for w in run.work if w.phase in where and _below(where[w.phase], group.path)
            ]
            phases.append(_phase(run, group, spans, sources, total, inside))
    top = merged(span for p in phases if len(p.path) == 1 for span in p.windows)
    done = work_done(run.work)
    return Summary(
        run_id=run.id,
        command=run.command,
        start_ns=start_ns,
        end_ns=end_ns,
        started_real_ns=run.anchors[0].to_real(start_ns) if run.anchors else None,
        devices=devices,
        total=total,
        phases=tuple(phases),
        unattributed_j=_unattributed(run.devices, sources, total, top) if phases else None,
        work=done,
        per_unit=per_unit(total, done),
        cautions=(
            *run_cautions(run, end_ns),
            *device_cautions(devices),
            *work_cautions(run.work),
        ),
        exit_code=run.exit_code,
        environment=run.environment,
        workload=run.workload,
    )


def total_of(devices: Sequence[DeviceEnergy]) -> Total:
    """The sum over the devices of the most trusted provenance that is there.

    Their intervals are added end to end: what makes two sensors of a kind wrong is often the same.
    """
    for provenance in (Provenance.MEASURED, Provenance.SIMULATED, Provenance.MODELLED):
        parts = [d for d in devices if d.device.provenance is provenance]
        if parts:
            return Total(
                energy_j=_sum([d.energy_j for d in parts]),
                low_j=_sum([d.low_j for d in parts]),
                high_j=_sum([d.high_j for d in parts]),
                covered_j=_sum([d.covered_j for d in parts]),
                coverage=min(d.coverage for d in parts),
                source=" + ".join(sorted({d.source for d in parts if d.source})) or None,
                provenance=provenance,
                devices=tuple(d.device.uuid for d in parts),
            )
    return Total(None, None, None, None, 0.0, None, None, ())


def _devices(devices: Sequence[Device], sources: Sources, spans: Spans) -> tuple[DeviceEnergy, ...]:
    return tuple(_energy(device, sources[device.uuid], spans) for device in devices)


def _energy(device: Device, sources: Sequence[Source], spans: Spans) -> DeviceEnergy:
    """A device's energy over spans that don't overlap, from its best source there."""
    length_s = sum(end - start for start, end in spans) / 1e9
    read = [(source, _over(source, spans)) for source in sources]
    read = [(s, w) for s, w in read if w.coverage > 0 and length_s >= LEAST_SPACINGS * s.spacing_s]
    if not read:
        return DeviceEnergy(device, None, None, None, None, 0.0, None, None, None)
    good = [pair for pair in read if pair[1].coverage >= GOOD_COVERAGE]
    first, got = good[0] if good else max(read, key=lambda pair: pair[1].coverage)
    peaks = [energy.peak_w(first.curve, a, b) for a, b in spans]
    stated = got.coverage >= LEAST_COVERAGE
    edge_j = _edge_error_j(first, got, len(spans))
    unseen_j = got.covered_j * (1 / got.coverage - 1)  # at the power of what was seen
    low_j = got.covered_j - math.hypot(got.covered_j * (1 - first.low), edge_j)
    high_j = got.covered_j + math.hypot(got.covered_j * (first.high - 1), edge_j) + unseen_j
    others = [pair for pair in good if pair[0] is not first]
    second, second_got = others[0] if others and stated else (None, None)
    return DeviceEnergy(
        device=device,
        energy_j=got.covered_j if stated else None,
        low_j=max(0.0, low_j) if stated else None,
        high_j=high_j if stated else None,
        covered_j=got.covered_j,
        coverage=got.coverage,
        source=first.name,
        mean_w=got.covered_j / (length_s * got.coverage) if length_s else None,
        peak_w=max((p for p in peaks if p is not None), default=None),
        second_source=second.name if second else None,
        second_j=second_got.covered_j if second_got else None,
        disagreement=(
            second_got.covered_j / got.covered_j - 1 if second_got and got.covered_j else None
        ),
    )


def _over(source: Source, spans: Spans) -> energy.WindowEnergy:
    """The energy of several spans as one."""
    parts = energies_of(source, spans)
    lengths = [end - start for start, end in spans]
    whole = sum(lengths)
    if not whole:
        return energy.WindowEnergy(0.0, 0.0, 0.0)
    return energy.WindowEnergy(
        covered_j=math.fsum(p.covered_j for p in parts),
        coverage=sum(p.coverage * n for p, n in zip(parts, lengths, strict=True)) / whole,
        edge_w=sum(p.edge_w for p in parts) / len(parts),
    )


def energies_of(source: Source, spans: Spans) -> list[energy.WindowEnergy]:
    """The energy of each span from one source."""
    return energy.energies(source.curve, [a for a, _ in spans], [b for _, b in spans])


def _edge_error_j(source: Source, got: energy.WindowEnergy, spans: int) -> float:
    """The half-width (95 %) that comes from placing the edges between two readings, J.

    Each edge is off by up to half a spacing either way: for a window that is u / √6 of power, one
    standard deviation, and windows are independent.
    """
    return 1.96 * source.spacing_s / math.sqrt(6) * got.edge_w * math.sqrt(spans)


def _phase(
    run: Run, group: PathGroup, spans: Spans, sources: Sources, whole: Total, work: list[Work]
) -> PhaseSummary:
    devices = _devices(run.devices, sources, spans)
    total = total_of(devices)
    done = work_done(work)
    errors = [p.error for p in group.phases if p.error]
    return PhaseSummary(
        path=group.path,
        count=len(group.phases),
        windows=spans,
        devices=devices,
        total=total,
        share=total.energy_j / whole.energy_j if total.energy_j and whole.energy_j else None,
        work=done,
        per_unit=per_unit(total, done),
        complete=all(p.end_ns is not None for p in group.phases),
        error=errors[0] if errors else None,
    )


def _unattributed(
    devices: Sequence[Device], sources: Sources, total: Total, top: Spans
) -> float | None:
    """The energy of the total that no phase accounts for, from the sources the total rests on."""
    if total.energy_j is None:
        return None
    inside = 0.0
    for device in devices:
        if device.uuid in total.devices:
            covered_j = _energy(device, sources[device.uuid], top).covered_j
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
