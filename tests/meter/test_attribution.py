"""Where the joules went: phases on several devices, in several processes, one over the other."""

import json
from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidmeter.meter.cards import Known, with_known
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.quality import Quality, SeriesQuality, Verdict
from vidmeter.meter.run import GpuEvent, Phase, Run, Trace
from vidmeter.meter.sample import Quantity, Series
from vidmeter.meter.summarize import summarize
from vidmeter.meter.summary import PhaseSummary, Summary
from vidmeter.reports import jsonfile

S = 1_000_000_000
MS = 1_000_000
START, END = 1 * S, 11 * S
FULL_TIME = SeriesQuality(
    Quantity.POWER_INSTANT, Verdict.WORKS, refresh_ns=S // 20, window_ns=S // 20
)


def gpu(uuid: str) -> Device:
    """A card whose readings are the means of the 50 ms before them."""
    made = Device(uuid, uuid, Kind.GPU, "board", Provenance.MEASURED, "test")
    return with_known(made, Known(Quality(uuid, None, None, "2026-01-01", 60.0, (FULL_TIME,))))


def means(power_w: Any) -> Trace:
    """The readings of a power that is constant over each 50 ms."""
    t = [i * S // 20 for i in range(1, 20 * 12 + 1)]
    return Trace(array("q", t), array("d", [float(power_w(x / S - 0.025)) for x in t]))


def run(
    phases: Sequence[Phase], events: Sequence[GpuEvent] = (), *, names: str = "a", **powers: Any
) -> Run:
    traces = {
        Series(n, Quantity.POWER_INSTANT): means(powers.get(n, lambda t: 100.0)) for n in names
    }
    devices = tuple(gpu(n) for n in names)
    return Run(
        "id", ("cmd",), START, END, 0, 50 * MS, devices, traces,
        phases=tuple(phases), gpu_events=tuple(events),
    )  # fmt: skip


def queued(pid: int, seq: int, device: str, at_ns: int) -> GpuEvent:
    """An event that the GPU came to at a known time."""
    return GpuEvent(pid, seq, device, None, None, at_ns, at_ns)


def at(summary: Summary, *path: str) -> PhaseSummary:
    return next(p for p in summary.phases if p.path == path)


def test_a_gpus_energy_is_taken_over_the_time_in_which_the_gpu_was_at_a_phase() -> None:
    # The program asks for both at once; the GPU does one after the other, at 100 and 300 W.
    phases = (
        Phase("1", "first", 2 * S, 2 * S + MS, pid=7, start_event=0, end_event=1),
        Phase("2", "second", 2 * S + MS, 2 * S + 2 * MS, pid=7, start_event=1, end_event=2),
    )
    events = [queued(7, i, "a", t * S) for i, t in enumerate((2, 5, 8))]
    summary = summarize(run(phases, events, a=lambda t: 100 if t < 5 else 300))

    first, second = at(summary, "first"), at(summary, "second")
    assert first.total.energy_j == pytest.approx(300)
    assert second.total.energy_j == pytest.approx(900)
    assert second.windows == ((5 * S, 8 * S),)
    assert (first.on_gpu, first.host_s) == (True, 0.001)
    assert second.lag_s == pytest.approx(6 - 0.002)
    assert not first.concurrent
    assert summary.unattributed_j == pytest.approx(100 * 1 + 300 * 3)


def test_a_phase_has_no_part_in_the_gpu_of_another_process() -> None:
    phases = (
        Phase("1", "work", 2 * S, 6 * S, pid=1, start_event=0, end_event=1),
        Phase("2", "work", 2 * S, 6 * S, pid=2, start_event=0, end_event=1),
        Phase("3", "wait", 6 * S, 10 * S, pid=2, start_event=1, end_event=2),
    )
    events = [queued(1, i, "a", t * S) for i, t in enumerate((2, 6))]
    events += [queued(2, i, "b", t * S) for i, t in enumerate((2, 6, 10))]
    summary = summarize(run(phases, events, names="ab", b=lambda t: 500.0))

    work, wait = at(summary, "work"), at(summary, "wait")
    assert work.total.energy_j == pytest.approx(4 * 100 + 4 * 500)
    assert [d.device.uuid for d in wait.devices] == ["b"]
    assert wait.total.energy_j == pytest.approx(4 * 500)
    assert (work.processes, wait.processes) == (2, 1)
    assert not work.concurrent


def test_what_is_open_at_once_is_shared_evenly_and_said_once() -> None:
    phases = (
        Phase("1", "load", 2 * S, 8 * S, pid=1, tid=1),
        Phase("2", "decode", 4 * S, 8 * S, pid=1, tid=2),
    )
    summary = summarize(run(phases))

    load, decode = at(summary, "load"), at(summary, "decode")
    assert load.total.energy_j == pytest.approx(2 * 100 + 4 * 50)
    assert decode.total.energy_j == pytest.approx(4 * 50)
    assert load.concurrent and decode.concurrent
    low_j, high_j = decode.total.low_j, decode.total.high_j
    assert low_j == pytest.approx(200 * 0.95, rel=0.01)
    assert high_j == pytest.approx(200 * 1.05, rel=0.01)
    (said,) = [c for c in summary.cautions if c.kind == "overlapping"]
    assert "load, decode" in said.text


def test_two_ranks_in_the_same_phase_on_one_device_are_one() -> None:
    phases = (
        Phase("1", "denoise", 2 * S, 8 * S, pid=1),
        Phase("2", "denoise", 3 * S, 9 * S, pid=2),
    )
    summary = summarize(run(phases))

    assert at(summary, "denoise").total.energy_j == pytest.approx(700)
    assert not at(summary, "denoise").concurrent
    assert "overlapping" not in [c.kind for c in summary.cautions]


def test_a_parent_keeps_what_its_children_leave() -> None:
    phases = (
        Phase("1", "generate", 2 * S, 10 * S, pid=1),
        Phase("2", "step", 3 * S, 5 * S, "1", pid=1),
        Phase("3", "step", 6 * S, 8 * S, "1", pid=1),
    )
    summary = summarize(run(phases))

    assert at(summary, "generate").total.energy_j == pytest.approx(800)
    assert at(summary, "generate").self_j == pytest.approx(400)
    assert at(summary, "generate", "step").self_j == pytest.approx(400)
    assert summary.unattributed_j == pytest.approx(200)


def test_a_reading_that_tells_of_other_times_too_is_no_evidence_of_a_phase() -> None:
    # Ten readings lie in the phase, but the first of them began before it.
    tight = Phase("1", "tight", 2 * S + 25 * MS, 2 * S + 525 * MS, pid=1)
    ample = replace(tight, end_ns=2 * S + 560 * MS)

    for phase, resolved in ((tight, False), (ample, True)):
        got = at(summarize(run([phase])), "tight")
        assert got.devices[0].readings >= 10
        assert got.devices[0].independent == (10 if resolved else 9)
        assert got.resolved is resolved
        assert (got.total.energy_j is not None) is resolved
        assert got.self_j == pytest.approx((phase.end_ns - phase.start_ns) / S * 100)


def test_steps_in_a_row_are_resolved_as_a_group() -> None:
    steps = [
        Phase(str(i), "step", 2 * S + i * 30 * MS, 2 * S + (i + 1) * 30 * MS, pid=1)
        for i in range(100)
    ]
    got = at(summarize(run(steps)), "step")

    assert (got.count, got.resolved, got.combined) == (100, True, False)
    assert got.total.energy_j == pytest.approx(300)


def test_the_first_repeat_is_told_apart_from_the_others() -> None:
    edges_s = (2, 5, 6, 7, 8)
    steps = [
        Phase(str(i), "step", a * S, b * S, pid=1) for i, (a, b) in enumerate(pairwise(edges_s))
    ]
    got = at(summarize(run(steps, a=lambda t: 200 if t < 5 else 400)), "step")

    assert (got.first_s, got.rest_mean_s) == (3.0, 1.0)
    assert got.first_j == pytest.approx(600)
    short = [Phase(str(i), "step", i * S, i * S + 200 * MS, pid=1) for i in (2, 4, 6)]
    assert at(summarize(run(short)), "step").first_j is None


def test_the_course_of_a_repeat_is_folded_from_all_of_them() -> None:
    # 12 steps of 0.6 s, in each first 500 W, then 100 W from 40 % on.
    steps = [
        Phase(str(i), "step", 2 * S + i * 600 * MS, 2 * S + (i + 1) * 600 * MS, pid=1)
        for i in range(12)
    ]

    def power(t: float) -> float:
        return 500.0 if 0 <= (t - 2) % 0.6 < 0.25 and 2 <= t < 9.2 else 100.0

    profile = at(summarize(run(steps, a=power)), "step").profile

    assert profile is not None
    assert len(profile) == 9  # no part is shorter than a reading, also in the shortest repeat
    assert profile[0] == pytest.approx(500)
    assert profile[-1] == pytest.approx(100)
    assert sum(w or 0 for w in profile) / 9 == pytest.approx(100 + 400 * 25 / 60, rel=0.1)
    assert at(summarize(run(steps[:9], a=power)), "step").profile is None


def test_only_what_all_of_a_group_say_alike_is_a_fact_of_it() -> None:
    facts = {"frames": 16, "height": 480}
    phases = (
        Phase("1", "clip", 2 * S, 4 * S, pid=1, facts=facts | {"seed": 1}),
        Phase("2", "clip", 5 * S, 6 * S, pid=1, facts=facts | {"seed": 2}),
        Phase("3", "clip", 7 * S, 8 * S, pid=1, facts={**facts, "height": 480, "more": None}),
    )
    assert at(summarize(run(phases)), "clip").facts == facts
    odd = replace(phases[0], facts={"guidance": float("inf"), "size": [1, 2]})
    (written,) = json.loads(jsonfile.render(summarize(run([odd]))))["phases"]
    assert written["facts"] == {"guidance": None, "size": [1, 2]}


def test_a_program_belongs_to_the_innermost_shared_mark_around_it() -> None:
    phases = (
        Phase("s1", "job", 1 * S, 10 * S),
        Phase("s2", "clip", 2 * S, 6 * S, "s1"),
        Phase("p1", "generate", 3 * S, 5 * S, pid=9),
        Phase("p2", "step", 3 * S, 4 * S, "p1", pid=9),
        Phase("p3", "late", 5 * S, 7 * S, pid=9),
        Phase("p4", "outside", 9 * S, 11 * S, pid=9),
    )
    summary = summarize(run(phases))

    assert [p.path for p in summary.phases] == [
        ("job",),
        ("job", "clip"),
        ("job", "clip", "generate"),
        ("job", "clip", "generate", "step"),
        ("job", "late"),
        ("outside",),
    ]
    # While the clip and what began in it are both open, each has half.
    assert at(summary, "job", "late").total.energy_j == pytest.approx(50 + 100)
    assert at(summary, "job").total.energy_j == pytest.approx(850)


names = st.sampled_from("abc")
moments = st.integers(0, 12_000).map(lambda ms: ms * MS)
lengths = st.integers(0, 6_000).map(lambda ms: ms * MS)


@st.composite
def anything(draw: st.DrawFn) -> tuple[list[Phase], list[GpuEvent]]:
    """Phases of two processes and the shared file, nested or not, some open, some on a GPU."""
    phases: list[Phase] = []
    events: list[GpuEvent] = []
    own = {1: draw(st.sampled_from(["x", "y"])), 2: "x"}
    for i in range(draw(st.integers(1, 14))):
        pid = draw(st.sampled_from([0, 1, 2]))
        around = [p.id for p in phases if p.pid == pid]
        parent = draw(st.sampled_from([None, "gone", *around]))
        start = draw(moments)
        end = draw(st.one_of(st.none(), lengths.map(lambda n, a=start: a + n)))
        numbers: list[int | None] = [None, None]
        if pid and draw(st.booleans()):
            lag = draw(st.integers(0, 800)) * MS
            for which, t_ns in enumerate((start, end)):
                if t_ns is not None:
                    events.append(queued(pid, len(events), own[pid], t_ns + lag))
                    numbers[which] = len(events) - 1
        phases.append(Phase(str(i), draw(names), start, end, parent, None, pid, 0, *numbers))
    return phases, events


@st.composite
def nested(draw: st.DrawFn) -> tuple[list[Phase], list[GpuEvent]]:
    """Phases of one process that lie in one another or one after the other, and touch or don't."""
    phases: list[Phase] = []

    def fill(start: int, end: int, parent: str | None, depth: int) -> None:
        cuts = sorted(draw(st.lists(st.integers(start, end), max_size=8 >> depth)))
        for a, b in pairwise(cuts):
            if draw(st.booleans()):
                phases.append(Phase(str(len(phases)), draw(names), a, b, parent, None, 1, 0))
                fill(a, b, phases[-1].id, depth + 1)

    fill(0, 12_000 * MS, None, 0)
    return phases, []


@settings(max_examples=250, deadline=None)
@given(st.one_of(anything(), nested()))
def test_the_parts_add_up_whatever_the_phases_look_like(
    case: tuple[list[Phase], list[GpuEvent]],
) -> None:
    phases, events = case
    made = run(phases, events, names="xy", x=lambda t: 100 + 40 * t, y=lambda t: 300 - 20 * t)
    summary = summarize(made)

    total_j = summary.total.energy_j
    assert total_j is not None
    if not summary.phases:
        assert summary.unattributed_j == total_j
        return
    own_j, nobodys_j = shared_out_slowly(made, summary)
    assert summary.unattributed_j == pytest.approx(nobodys_j, rel=1e-6, abs=1e-6)
    assert {p.path: p.self_j for p in summary.phases} == {
        p.path: pytest.approx(own_j[p.path], rel=1e-6, abs=1e-6) for p in summary.phases
    }
    parts = sum(p.self_j or 0.0 for p in summary.phases) + (summary.unattributed_j or 0.0)
    assert parts == pytest.approx(total_j, rel=1e-9)
    for phase in summary.phases:
        if phase.total.energy_j is not None:
            below = [
                p.self_j or 0.0 for p in summary.phases if p.path[: len(phase.path)] == phase.path
            ]
            assert phase.total.energy_j == pytest.approx(sum(below), rel=1e-6, abs=1e-6)


def shared_out_slowly(made: Run, summary: Summary) -> tuple[dict[tuple[str, ...], float], float]:
    """The same, cell by cell and phase by phase."""
    from vidmeter.meter.energy import energy
    from vidmeter.meter.placed import place
    from vidmeter.meter.sources import sources_of
    from vidmeter.meter.windows import parents

    up = parents(made.phases)
    placed = {one.phase.id: one for one in place(made, START, END)}

    def above(name: str) -> list[str]:
        found: list[str] = []
        while (name := up.get(name, "")) and name not in found:
            found.append(name)
        return found

    own_j: dict[tuple[str, ...], float] = defaultdict(float)
    nobodys_j = 0.0
    for device in made.devices:
        curve = sources_of(made, device)[0].curve
        spans = {key: one.on(device) for key, one in placed.items()}
        edges = sorted({START, END, *(t for span in spans.values() if span for t in span)})
        for a, b in pairwise(edges):
            here = {k for k, span in spans.items() if span and span[0] <= a and b <= span[1]}
            covered = {name for key in here for name in above(key)}
            innermost = {placed[key].path for key in here - covered}
            joules = energy(curve, a, b).covered_j
            for path in innermost:
                own_j[path] += joules / len(innermost)
            nobodys_j += 0 if innermost else joules
    return own_j, nobodys_j


def test_fifty_thousand_phases_are_attributed_quickly() -> None:
    import time

    rng = np.random.default_rng(1)
    edges = np.sort(rng.integers(START, END, 50_000))
    phases = [Phase("0", "generate", START, END, pid=1)]
    phases += [
        Phase(str(i + 1), f"part{i % 4}", int(a), int(b), "0", pid=1)
        for i, (a, b) in enumerate(pairwise(edges))
    ]
    made = run(phases, names="abcdefgh")
    began = time.process_time()
    summary = summarize(made)

    assert time.process_time() - began < 6  # an hour of it takes half of that
    assert sum(p.self_j or 0 for p in summary.phases) == pytest.approx(8 * 1000, rel=1e-6)
