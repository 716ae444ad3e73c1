"""What the devices draw when nothing is asked of them, and the energy of a run beyond that.

Idle is several numbers: a GPU that no process uses draws less than one on which a process holds a
context, and one that has just worked draws more than one that has been quiet. So each idle window
says which it was, and the net energy says which of them it stands on. The gross energy is always
stated first: a card that is idle because of a run draws that power because of it.
"""

from collections.abc import Mapping
from itertools import product

from vidmeter.meter.deviceenergy import Meter, device_energy
from vidmeter.meter.run import Run
from vidmeter.meter.sample import Quantity
from vidmeter.meter.summary import Idle, Net, Total
from vidmeter.meter.uncertainty import quadrature

JUST_NS = 100_000_000
"""A look at the processes that came so shortly before an idle window tells of it too."""


def idle_of(run: Run, meters: Mapping[str, Meter]) -> tuple[Idle, ...]:
    """The draw of each device in each of the run's idle windows."""
    return tuple(_idle(run, meter, span) for span, meter in product(run.idle, meters.values()))


def net_of(total: Total, idle: tuple[Idle, ...], seconds: float) -> Net | None:
    """The total less the idle draw of its devices; None where that wasn't measured.

    The quietest sort that was measured is taken off: no context before a loaded one, and the
    window before the command before the one after it.
    """
    if total.energy_j is None or not idle:
        return None
    chosen = []
    for uuid in total.devices:
        mine = [i for i in idle if i.device == uuid and i.mean_w is not None]
        if not mine:
            return None
        chosen.append(min(mine, key=lambda i: (i.loaded is True, i.start_ns)))
    idle_w = sum(i.mean_w or 0.0 for i in chosen)
    open_w = quadrature(*((i.high_w or 0.0) - (i.mean_w or 0.0) for i in chosen))
    net_j = total.energy_j - idle_w * seconds
    gains = (total.gain_low_j or 0.0, total.gain_high_j or 0.0)
    share = abs(net_j) / total.energy_j if total.energy_j else 0.0
    # A gain that is wrong is wrong for both: what is left of it goes with what is left of energy.
    low_j, high_j = (
        quadrature(gain * share, sampled or 0.0, open_w * seconds)
        for gain, sampled in zip(gains, (total.sampling_low_j, total.sampling_high_j), strict=True)
    )
    first = min(i.start_ns for i in idle)
    return Net(net_j, net_j - low_j, net_j + high_j, idle_w, _how(chosen[0], first))


def _idle(run: Run, meter: Meter, span: tuple[int, int]) -> Idle:
    e = device_energy(meter, (span,))
    seconds = (span[1] - span[0]) / 1e9
    loaded = _loaded(run, meter.device.uuid, span)
    if e.energy_j is None or not seconds:
        return Idle(meter.device.uuid, *span, None, None, None, loaded)
    mean_w = e.energy_j / seconds
    return Idle(
        meter.device.uuid,
        *span,
        mean_w,
        mean_w - (e.sampling_low_j or 0.0) / seconds,
        mean_w + (e.sampling_high_j or 0.0) / seconds,
        loaded,
    )


def _loaded(run: Run, uuid: str, span: tuple[int, int]) -> bool | None:
    """Whether a process held a context on the card, as far as anybody looked."""
    for series, trace in run.traces.items():
        if series.device == uuid and series.quantity is Quantity.PROCESSES:
            near = [v for t, v in zip(*trace, strict=True) if span[0] - JUST_NS <= t <= span[1]]
            return any(near) if near else None
    return None


def _how(chosen: Idle, first_ns: int) -> str:
    when = "before" if chosen.start_ns == first_ns else "after"
    what = {
        True: "a context loaded on the card",
        False: "no context on the card",
        None: "unknown whether a context was loaded",
    }[chosen.loaded]
    return f"idle {when} the command, {what}"
