"""A run as a trace that Perfetto and Chrome's viewer open: phases as slices, power as counters.

Every process that marked has its threads with the phases as the host saw them, and for each GPU a
track with the times at which the GPU was at them. Every device is a process of its own with its
counters. Times are the wall clock's, so that a trace of the torch profiler can be laid beside it;
that one's events stay as they are, and ours keep to tracks of their own.
"""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from vidmeter.meter.clock import Anchor
from vidmeter.meter.errors import BadRun
from vidmeter.meter.placed import Placed, gpu_uuid, place
from vidmeter.meter.run import Event as Happening
from vidmeter.meter.run import Run
from vidmeter.meter.summary import PhaseSummary, Summary
from vidmeter.reports.counters import counters, unseen
from vidmeter.reports.torchtrace import TorchTrace
from vidmeter.reports.tracks import (
    Clock,
    Event,
    Numbers,
    Slice,
    lanes,
    named,
    process,
    slice_events,
    thread,
)


def render(run: Run, summary: Summary, *, merge: TorchTrace | None = None) -> str:
    """The trace as JSON, one event a line; `BadRun` if `merge` can't be aligned with the run."""
    found = document(run, summary, merge=merge)
    events = ",\n".join(_json(event) for event in found.pop("traceEvents"))
    return f'{_json(found)[:-1]},"traceEvents":[\n{events}\n]}}\n'


def document(run: Run, summary: Summary, *, merge: TorchTrace | None = None) -> dict[str, Any]:
    """The trace as plain JSON values; docs/trace.md says what is in it."""
    anchor = _anchor(run, summary, merge)
    base_ns = merge.base_ns if merge else anchor.to_real(summary.start_ns) if anchor else None
    zero_ns = anchor.to_monotonic(base_ns) if anchor and base_ns is not None else summary.start_ns
    clock, numbers = Clock(zero_ns), Numbers()
    theirs = list(merge.events) if merge else []
    taken = {(e.get("pid"), e.get("tid")) for e in theirs}
    # A viewer takes the first name of a process that it meets: ours tells the rank.
    events: list[Mapping[str, Any]] = [*_processes(run, summary, clock, numbers, taken)]
    events += _devices(run, summary, clock, numbers)
    events += _happenings(run, summary, clock, numbers.next())
    events += theirs
    return {
        **(merge.others if merge else {}),
        "displayTimeUnit": "ms",
        **({} if base_ns is None else {"baseTimeNanoseconds": base_ns}),
        "otherData": {
            "run": run.id,
            "command": shlex.join(run.command),
            "energy_j": summary.total.energy_j,
            "provenance": summary.total.provenance,
        },
        "traceEvents": events,
    }


def _anchor(run: Run, summary: Summary, merge: TorchTrace | None) -> Anchor | None:
    """Where both clocks were read together: the first time, or nearest to the other trace.

    The two clocks run at one speed, and only a step of the wall clock parts them.
    """
    if merge is None:
        return run.anchors[0] if run.anchors else None
    if not run.anchors:
        raise BadRun("this run has no reading of the wall clock: nothing can be merged with it")
    anchor = min(run.anchors, key=lambda a: abs(a.real_ns - merge.start_ns))
    if anchor.to_monotonic(merge.end_ns) < summary.start_ns:
        raise BadRun("the trace to merge was over before this run began: is it another run's?")
    if anchor.to_monotonic(merge.start_ns) > summary.end_ns:
        raise BadRun("the trace to merge began after this run was over: is it another run's?")
    return anchor


def _processes(
    run: Run, summary: Summary, clock: Clock, numbers: Numbers, taken: set[tuple[Any, Any]]
) -> Iterator[Event]:
    """The phases of each process, by thread, and on each GPU."""
    energies = {phase.path: _energy(phase) for phase in summary.phases}
    ranks = {p.pid: p.facts.get("rank") for p in run.processes}
    tracks: dict[int, dict[tuple[int, str], list[Slice]]] = {pid: {} for pid in ranks}
    on = {(e.pid, e.seq): gpu_uuid(e.device, run.devices) for e in run.gpu_events}
    labels = {d.uuid: d.label for d in run.devices}
    for placed in place(run, summary.start_ns, summary.end_ns):
        own, p = tracks.setdefault(placed.phase.pid, {}), placed.phase
        facts = _facts(placed) | energies.get(placed.path, {})
        own.setdefault((0, str(p.tid or p.pid)), []).append(Slice(*placed.host, p.name, facts))
        if placed.gpu is not None:
            gpu = on.get((p.pid, p.start_event or 0)) or on.get((p.pid, p.end_event or 0))
            late_ns = placed.gpu[0] - placed.host[0]
            label = labels.get(gpu or "", "GPU")
            own.setdefault((1, label), []).append(
                Slice(*placed.gpu, p.name, facts | {"behind_host_ms": late_ns / 1e6})
            )
    command = shlex.join(run.command)[:80] or "program"
    for order, (pid, own) in enumerate(sorted(tracks.items())):
        rank = "" if ranks.get(pid) is None else f"rank {ranks[pid]}: "
        yield from process(pid, f"{rank}{command}", order)
        for (sort, name), slices in sorted(own.items()):
            yield from _track(slices, pid, sort, name, clock, numbers, taken)


def _track(
    slices: Iterable[Slice],
    pid: int,
    sort: int,
    name: str,
    clock: Clock,
    numbers: Numbers,
    taken: set[tuple[Any, Any]],
) -> Iterator[Event]:
    """One thread's phases, or one GPU's (`sort` 1), in as many lanes as it takes."""
    title = f"on {name}" if sort else "phases"
    for i, lane in enumerate(lanes(slices)):
        real = int(name) if not sort and not i else None
        tid = numbers.next() if real is None or (pid, real) in taken else real
        yield from thread(pid, tid, title if not i else f"{title} ({i + 1})", sort - 2)
        yield from slice_events(lane, pid, tid, clock)


def _facts(placed: Placed) -> dict[str, Any]:
    """What the marks say of a phase."""
    phase = placed.phase
    known: dict[str, Any] = {**phase.facts, "phase": " › ".join(placed.path)}
    if phase.error:
        known["error"] = phase.error
    if phase.end_ns is None:
        known["open"] = True
    return known


def _energy(group: PhaseSummary) -> dict[str, Any]:
    """The energy of all phases at one place of the tree, and of one of them in the mean."""
    resolved = group.resolved or group.combined
    energy_j, length_s = group.total.energy_j, group.duration_s
    if energy_j is None or not resolved:
        return {"energy": "unknown" if resolved else "below resolution"}
    known: dict[str, Any] = {"energy_j": energy_j}
    if group.count > 1:
        known = {"repetitions": group.count, "mean_energy_j": energy_j / group.count}
    return known | ({"mean_power_w": energy_j / length_s} if length_s else {})


def _devices(run: Run, summary: Summary, clock: Clock, numbers: Numbers) -> Iterator[Event]:
    for order, e in enumerate(summary.devices):
        pid = numbers.next()
        yield from process(pid, e.device.label, 1000 + order)
        source = f"{e.source or 'no readings'}, {e.device.provenance}"
        yield named("process_labels", pid, 0, labels=source)
        yield from counters(run, summary, e, pid=pid, clock=clock)
        gaps = unseen(run, summary, e)
        if gaps:
            tid = numbers.next()
            yield from thread(pid, tid, "not seen", 0)
            yield from slice_events(gaps, pid, tid, clock)


def _happenings(run: Run, summary: Summary, clock: Clock, pid: int) -> Iterator[Event]:
    """Cautions stand at the start, for they speak of the whole; events where they happened."""
    if not summary.cautions and not run.events:
        return
    yield from process(pid, "vidmeter", 2000)
    yield from thread(pid, pid, "cautions and events", 0)
    for caution in summary.cautions:
        facts = {"text": caution.text, "remedy": caution.remedy}
        yield _instant(pid, f"caution: {caution.kind}", clock.us(summary.start_ns), facts)
    for event in run.events:
        at_ns = min(max(event.start_ns, summary.start_ns), summary.end_ns)
        yield _instant(pid, event.kind, clock.us(at_ns), _told(event))


def _told(event: Happening) -> dict[str, Any]:
    return {
        "detail": event.detail,
        "device": event.device,
        "count": event.count,
        "lasted_s": (event.end_ns - event.start_ns) / 1e9,
    }


def _instant(pid: int, name: str, ts: float, facts: Mapping[str, Any]) -> Event:
    known = {k: v for k, v in facts.items() if v is not None}
    return {
        "ph": "i", "s": "p", "cat": "vidmeter", "name": name, "pid": pid, "tid": pid, "ts": ts,
        "args": known,
    }  # fmt: skip


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
