"""Where phases lie in time: for each device by the clock that counts there.

What a program asks a GPU for is done later, often much later, than it is asked for. So a phase has
two intervals: the host's, between its two marks, and the GPU's, between the events that were queued
at these marks. A GPU's energy is taken over the GPU's interval, everything else's over the host's.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from vidmeter.meter.device import Device, Kind
from vidmeter.meter.gputime import timelines
from vidmeter.meter.run import GpuEvent, Phase, Run
from vidmeter.meter.windows import paths

Span = tuple[int, int]


class Placed(NamedTuple):
    """A phase within its run, ns on CLOCK_MONOTONIC.

    `host` is when it was open in the program; `gpu` when the GPU was at it, None where nothing was
    queued. `elsewhere` are the GPUs on which it has no part, because they are another process's.
    """

    phase: Phase
    path: tuple[str, ...]
    host: Span
    gpu: Span | None
    elsewhere: frozenset[str]

    def on(self, device: Device) -> Span | None:
        """When it was at work on a device; None where it had no part in it."""
        if device.kind is not Kind.GPU:
            return self.host
        if device.uuid in self.elsewhere:
            return None
        return self.gpu or self.host


def place(run: Run, start_ns: int, end_ns: int) -> tuple[Placed, ...]:
    """The phases of a run with any part in a window, in order of their start.

    An open phase ends with the window. Where only one edge has a time of the GPU's, the host's
    stands in for the other.
    """
    times = {key: t.at_ns for key, t in timelines(run.gpu_events).items()}
    by_number = {
        (pid, number): at_ns for (pid, _), at in times.items() for number, at_ns in at.items()
    }
    where = paths(run.phases)
    elsewhere = _elsewhere(run, run.gpu_events)
    found = []
    for phase in sorted(run.phases, key=lambda p: (p.start_ns, p.id)):
        end = phase.end_ns if phase.end_ns is not None else end_ns
        host = _within(phase.start_ns, end, start_ns, end_ns)
        gpu = _gpu_span(phase, end, by_number, start_ns, end_ns)
        if host is not None and phase.id in where:
            away = elsewhere.get(phase.pid, frozenset())
            found.append(Placed(phase, where[phase.id], host, gpu, away))
    return tuple(found)


def extent(run: Run, phase_id: str | None, start_ns: int, end_ns: int) -> Span:
    """A window with what the GPU did for its phase, which may go on when the host is done."""
    for phase in run.phases:
        if phase.id == phase_id:
            numbers = (phase.start_event, phase.end_event)
            for (pid, _), line in timelines(run.gpu_events).items():
                known = line.at_ns if pid == phase.pid else {}
                found = [known[n] for n in numbers if n is not None and n in known]
                start_ns, end_ns = min([start_ns, *found]), max([end_ns, *found])
    return start_ns, end_ns


def gpu_uuid(name: str, devices: Iterable[Device]) -> str | None:
    """The uuid of a GPU as an event names it: its uuid, or `cuda:N` for the Nth visible one."""
    gpus = [d.uuid for d in devices if d.kind is Kind.GPU]
    if name.startswith("cuda:"):
        number = int(name[5:])
        return gpus[number] if number < len(gpus) else None
    return name


def _gpu_span(
    phase: Phase, end_ns: int, times: Mapping[tuple[int, int], int], first_ns: int, last_ns: int
) -> Span | None:
    begun = times.get((phase.pid, phase.start_event)) if phase.start_event is not None else None
    ended = times.get((phase.pid, phase.end_event)) if phase.end_event is not None else None
    if begun is None and ended is None:
        return None
    start = phase.start_ns if begun is None else begun
    end = end_ns if ended is None else ended
    return _within(start, max(start, end), first_ns, last_ns)


def _within(start: int, end: int, first_ns: int, last_ns: int) -> Span | None:
    if end < first_ns or start > last_ns:
        return None
    return max(start, first_ns), min(end, last_ns)


def _elsewhere(run: Run, events: Iterable[GpuEvent]) -> dict[int, frozenset[str]]:
    """For each marking process, the GPUs that other processes use and it doesn't.

    A process that queued nothing on any GPU may be at work for all of them, and has no such.
    """
    claims: dict[int, set[str]] = {}
    for pid, name in {(event.pid, event.device) for event in events}:
        if uuid := gpu_uuid(name, run.devices):
            claims.setdefault(pid, set()).add(uuid)
    everyones = set().union(*claims.values()) if claims else set()
    return {pid: frozenset(everyones - own) for pid, own in claims.items()}
