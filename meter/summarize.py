"""From a run to its numbers: a pure function, which can be done again at any time.

Each device gets its energy from the sharpest source it has, with a second opinion where there is
one. A number that rests on too little is None. Energies of different provenance are never added
up: the total is that of the measured devices, or, where none is measured, of the simulated or
modelled.
"""

from dataclasses import replace

from vidmeter.meter.attribution import attribute
from vidmeter.meter.cautions import (
    device_cautions,
    gpu_time_cautions,
    idle_cautions,
    run_cautions,
)
from vidmeter.meter.conditions import condition_cautions, conditions
from vidmeter.meter.deviceenergy import device_energy, meter_of
from vidmeter.meter.gputime import quality, timelines
from vidmeter.meter.idle import idle_of, net_of
from vidmeter.meter.run import Run
from vidmeter.meter.summary import GpuTime, Summary
from vidmeter.meter.totals import total_of
from vidmeter.meter.work import per_unit, with_rates, work_cautions, work_done


def summarize(run: Run, *, brief: bool = False) -> Summary:
    """Everything that vidmeter says of a run; a `brief` one leaves out `phases`, and is quicker."""
    start_ns, end_ns = run.start_ns, _end_of(run)
    run = replace(run, work=tuple(with_rates(run.work)))
    meters = {device.uuid: meter_of(run, device) for device in run.devices}
    devices = tuple(device_energy(meter, ((start_ns, end_ns),)) for meter in meters.values())
    total = total_of(devices)
    parts = attribute(run, meters, devices, total, end_ns=end_ns, brief=brief)
    done = work_done(run.work)
    around = {d.uuid: conditions(run, d, ((start_ns, end_ns),)) for d in run.devices}
    idle = idle_of(run, meters)
    net = net_of(total, idle, (end_ns - start_ns) / 1e9)
    tied = quality(timelines(run.gpu_events).values())
    gpu_time = GpuTime(*tied) if tied else None
    return Summary(
        run_id=run.id,
        command=run.command,
        start_ns=start_ns,
        end_ns=end_ns,
        started_real_ns=run.anchors[0].to_real(start_ns) if run.anchors else None,
        devices=devices,
        total=total,
        phases=parts.phases,
        own_j=parts.own_j,
        unattributed_j=parts.unattributed_j,
        work=done,
        per_unit=per_unit(total, done),
        cautions=(
            *run_cautions(run, end_ns),
            *device_cautions(devices),
            *(c for d in run.devices for c in condition_cautions(d, around[d.uuid])),
            *work_cautions(run.work, run.phases),
            *parts.cautions,
            *idle_cautions(net),
            *gpu_time_cautions(gpu_time),
        ),
        exit_code=run.exit_code,
        environment=run.environment,
        workload=run.workload,
        idle=idle,
        net=net,
        conditions=around,
        gpu_time=gpu_time,
    )


def _end_of(run: Run) -> int:
    """The run's end; for one without, its last reading."""
    if run.end_ns is not None:
        return run.end_ns
    return max([run.start_ns, *(trace.t_ns[-1] for trace in run.traces.values() if trace.t_ns)])
