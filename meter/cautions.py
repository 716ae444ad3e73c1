"""Doubts about a result, each with its remedy. A caution is part of the result, not a log line."""

import signal
from collections.abc import Iterable, Sequence

from vidmeter.meter.cards import known_of
from vidmeter.meter.device import Kind, Provenance
from vidmeter.meter.run import Event, Run
from vidmeter.meter.sample import Quantity
from vidmeter.meter.summary import Caution, DeviceEnergy, GpuTime, Net

FULL_COVERAGE = 0.99
DISAGREE = 0.02
OLD_STAMP_S = 0.75
"""The slowest readings are renewed every half second: an older one is not just late."""
MISPLACED_NS = 500_000
"""A GPU's events are to be known better than this; readings of power are slower by far."""
LATE_SHARE = 0.05
"""More late ticks than this are worth a word; the readings taken are right all the same."""

_OF_THE_WHOLE = {
    "absent",
    "note",
    "output",
    "bad_marks",
    "sampler_died",
    "abandoned",
    "lost_samples",
    "hook_failed",
    "marks_missing",
    "imported",
}
"""Events that concern a run whenever they were noted."""

_TOLD_ELSEWHERE = {"foreign_process", "mps", "unconfirmed"}
"""Events that the numbers of the devices and their conditions tell of in their own words."""

_REMEDIES = {
    "device_lost": "see `nvidia-smi` and the kernel log (Xid messages)",
    "sampler_died": "see the kernel log; the energy before it is whole",
    "clock_step": None,
    "bad_marks": "see docs/marks.md for the format of marks",
    "hook_failed": "the program itself was not touched; please report it, or use --no-instrument",
    "marks_missing": None,
    "unwritten": "free some disk space or use --output",
    "output": "name the files with --outputs, or the length with --video-seconds",
    "read_failed": None,
    "implausible": None,
    "aliasing": "let the work repeat with pauses of changing length between the repeats",
    "in_step": "let the steps come with pauses of changing length, or compare with another source",
    "sensor_failed": "please report it",
    "abandoned": None,
    "lost_samples": None,
    "absent": None,
    "note": None,
}


def run_cautions(run: Run, end_ns: int) -> list[Caution]:
    """Doubts that concern the recording as a whole; `end_ns` is the run's end as it is taken."""
    found = []
    if run.end_ns is None:
        found.append(
            Caution("unfinished", "the recording has no end: it still runs, or it was killed")
        )
    if run.exit_code:
        text = f"the command failed ({_ended(run.exit_code)}): it may have done less than it should"
        found.append(Caution("failed", text, "leave the run out where others ended well"))
    if run.workload and run.workload.get("facts", {}).get("weights") == "random":
        text = "weights: random: the true architecture at work, but not a trained model"
        found.append(Caution("random_weights", text))
    late = 0
    for event in run.events:
        if event.kind in _TOLD_ELSEWHERE:
            continue
        within = event.start_ns <= end_ns and event.end_ns >= run.start_ns
        if event.kind in _OF_THE_WHOLE or within:
            if event.kind == "late":
                late += event.count
            else:
                found.append(_of_event(run, event))
    ticks = max(1, (end_ns - run.start_ns) // run.period_ns)
    if late / ticks > LATE_SHARE:
        found.append(
            Caution(
                "late",
                f"{late} of about {ticks} readings came late: the machine was too busy, or its"
                " driver too slow",
                "leave a core free, or sample less often with --period",
            )
        )
    found.extend(_driver_clock(run))
    if any(p.end_ns is None and p.start_ns <= end_ns for p in run.phases) and run.end_ns:
        names = sorted({p.name for p in run.phases if p.end_ns is None})
        text = f"the program ended inside {', '.join(names)}: taken to end with it"
        found.append(Caution("open_phase", text))
    return found


def _ended(exit_code: int) -> str:
    """How a command ended, by its exit code as a shell gives it."""
    try:
        return f"killed by {signal.Signals(exit_code - 128).name}, exit code {exit_code}"
    except ValueError:
        return f"exit code {exit_code}"


def device_cautions(energies: Sequence[DeviceEnergy]) -> list[Caution]:
    """Doubts about single devices' energies."""
    found: list[Caution] = []
    for e in energies:
        found.extend(_coverage(e))
        found.extend(_disagreement(e))
        found.extend(_sensor(e))
    found.extend(_provenance(energies))
    return found


def _driver_clock(run: Run) -> Iterable[Caution]:
    """A driver whose newest stamps are old whenever they come keeps another time than we do."""
    for series, trace in run.traces.items():
        if series.quantity is Quantity.STAMP_AGE and trace.value:
            youngest_s = min(trace.value, key=abs)
            if abs(youngest_s) > OLD_STAMP_S:
                label = next((d.label for d in run.devices if d.uuid == series.device), "")
                yield Caution(
                    "driver_clock",
                    f"{label}: its driver's clock is off ours by {youngest_s:+.1f} s: power at the"
                    " edges of phases may be misplaced by as much",
                    "set the clock of the machine, then load the driver anew",
                )


def idle_cautions(net: Net | None) -> list[Caution]:
    """Doubts about the net energy."""
    if net is None or net.energy_j >= 0:
        return []
    return [
        Caution(
            "not_idle",
            "what was taken for idle draws more than the command: the machine wasn't idle then",
            "measure again with nothing else running, or leave --idle out",
        )
    ]


def gpu_time_cautions(gpu_time: GpuTime | None) -> list[Caution]:
    """Doubts about where phases lie on a GPU."""
    if gpu_time is None or gpu_time.error_ns <= MISPLACED_NS:
        return []
    return [
        Caution(
            "gpu_time",
            f"a GPU's clock could be tied to the host's to {gpu_time.error_ns / 1e6:.2g} ms only,"
            f" at {gpu_time.anchors} quiet moments: the edges of its phases may be off by as much",
            None,
        )
    ]


def _of_event(run: Run, event: Event) -> Caution:
    names = {d.uuid: d.label for d in run.devices}
    where = f"{names.get(event.device, event.device)}: " if event.device else ""
    when = ""
    if event.kind not in _OF_THE_WHOLE:
        when = f" ({(event.start_ns - run.start_ns) / 1e9:.1f} s after the start"
        when += f", {event.count} times)" if event.count > 1 else ")"
    return Caution(event.kind, f"{where}{event.detail}{when}", _REMEDIES.get(event.kind))


def _coverage(e: DeviceEnergy) -> Iterable[Caution]:
    if e.coverage >= FULL_COVERAGE:
        return
    seen = f"only {e.coverage * 100:.1f} % of the time was seen"
    if e.energy_j is not None:
        yield Caution("coverage", f"{e.device.label}: {seen}")
    elif e.covered_j:
        text = f"{e.device.label}: incomplete, {seen} ({e.covered_j:.4g} J): no total is stated"
        yield Caution("incomplete", text)
    else:
        text = f"{e.device.label}: too few readings for a number"
        yield Caution("incomplete", text, "measure for a longer time")


def _disagreement(e: DeviceEnergy) -> Iterable[Caution]:
    if e.disagreement is None or abs(e.disagreement) <= DISAGREE + e.resolution:
        return
    text = (
        f"{e.device.label}: by {e.second_source} it is {e.disagreement * 100:+.1f} % against"
        f" {e.source}"
    )
    if e.trusted:
        yield Caution("disagreement", text)
    else:
        yield Caution(
            "not_trusted",
            text + ": the result is NOT TRUSTED, its interval holds both",
            "vidmeter calibrate finds out which of the two is right",
        )


def _sensor(e: DeviceEnergy) -> Iterable[Caution]:
    for name, why in e.set_aside.items():
        yield Caution("quarantined", f"{e.device.label}: the {name} is not used: {why}")
    if e.in_step and e.energy_j is not None:
        yield _unseen(e)
    if e.raw_j is not None and e.energy_j is not None:
        facts = e.device.facts["calibration"]
        yield Caution(
            "calibrated",
            f"{e.device.label}: calibrated against {facts['meter']} on {facts['made']}:"
            f" {e.raw_j:.5g} J as read, {e.energy_j:.5g} J corrected",
        )
    for doubt in known_of(e.device).doubts:
        yield Caution("calibration", doubt)


def _unseen(e: DeviceEnergy) -> Caution:
    """A sensor that looks part of the time, and nothing to hold it against."""
    if e.seen_share is None:
        looks = "how much of the time this sensor looks isn't known"
        remedy = "`vidmeter calibrate` finds that out"
    else:
        looks = f"this sensor looks {e.seen_share * 100:.0f} % of the time only"
        remedy = "let the work repeat with pauses of changing length between the repeats"
    text = (
        f"{e.device.label}: {looks}, and nothing here shows what goes on between: a load in step"
        " with it would be misread, so the interval is wide"
    )
    return Caution("aliasing", text, remedy)


def _provenance(energies: Sequence[DeviceEnergy]) -> Iterable[Caution]:
    if any(e.device.provenance is Provenance.SIMULATED for e in energies):
        yield Caution("simulated", "SIMULATED: no hardware was read, these numbers mean nothing")
    for e in energies:
        if e.device.provenance is Provenance.MODELLED:
            facts = e.device.facts
            if "model_low" in facts:  # another program's model
                text = f"{e.device.label}: not measured here: {facts['rating']}"
                yield Caution("modelled", f"{text} ({facts['rating_source']})")
                continue
            yield Caution(
                "modelled",
                f"{e.device.label}: modelled, not measured, as busy time × rating;"
                f" {facts['rating']} ({facts['rating_source']})",
                "state the processor's watts at full load with --cpu-watts",
            )
    if energies and not any(e.device.kind is Kind.GPU for e in energies):
        yield Caution("no_gpu", "no GPU is in these numbers")
