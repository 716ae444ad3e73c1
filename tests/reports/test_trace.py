"""The trace of a run: what stands where, when, and beside a trace of torch's profiler."""

import gzip
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.reports.conftest import T0, TICK, S, gpu, phase, power
from vidmeter.meter.clock import Anchor
from vidmeter.meter.errors import BadRun
from vidmeter.meter.reader import load
from vidmeter.meter.run import Event, GpuEvent, Phase, Process, Run
from vidmeter.meter.sample import Quantity
from vidmeter.meter.summarize import summarize
from vidmeter.reports import torchtrace, trace
from vidmeter.reports.counters import steps, unseen
from vidmeter.reports.tracks import MADE_UP, Slice, lanes

ROOT = Path(__file__).parents[2]
REAL = 1_700_000_000 * S


@pytest.fixture
def ranks():
    """Two processes at a GPU each: 100 W and 200 W; the GPU is 1 s behind the host."""
    cards = gpu(0), gpu(1)
    phases, events = [], []
    for rank, pid in enumerate((71, 72)):
        for name, start, end, parent in (("generate", 2, 10, None), ("denoise", 3, 8, "generate")):
            events += [
                GpuEvent(pid, len(events) + i + 1, f"GPU-{rank}", None, None, at, at)
                for i, at in enumerate((T0 + (start + 1) * S, T0 + (end + 1) * S))
            ]
            number = events[-1].seq
            phases.append(
                Phase(
                    f"{name}{pid}", name, T0 + start * S, T0 + end * S,
                    f"{parent}{pid}" if parent else None, None, pid, pid, number - 1, number,
                    {"steps": 4, "path": "/a file"} if name == "denoise" else {},
                )
            )  # fmt: skip
    return Run(
        id="r3",
        command=("torchrun", "gen.py"),
        start_ns=T0,
        end_ns=T0 + 16 * S,
        exit_code=0,
        period_ns=TICK,
        devices=cards,
        traces=power(cards[0], lambda t: 100.0)
        | power(cards[1], lambda t: 200.0)
        | power(cards[0], lambda t: 40.0 + (t >= 8), quantity=Quantity.TEMPERATURE)
        | power(cards[0], lambda t: 1500.0, quantity=Quantity.SM_CLOCK),
        phases=tuple(phases),
        events=(Event("read_failed", T0 + 5 * S, T0 + 6 * S, "no answer", "GPU-1", 4),),
        gpu_events=tuple(events),
        processes=(Process(71, {"rank": 0}), Process(72, {"rank": 1})),
        anchors=(Anchor(T0 - S, REAL - S),),
    )


def document(run, **more):
    return json.loads(trace.render(run, summarize(run), **more))


def names(found, what="process_name"):
    return {
        (e["pid"], e["tid"]): e["args"]["name"] for e in found["traceEvents"] if e["name"] == what
    }


def of(found, ph, **wanted):
    return [e for e in found["traceEvents"] if e["ph"] == ph and wanted.items() <= e.items()]


def track(found, pid, name):
    (tid,) = [
        tid for (p, tid), n in names(found, "thread_name").items() if (p, n) == (pid, name)
    ]  # fmt: skip
    return of(found, "X", pid=pid, tid=tid)


def test_each_process_is_named_by_its_rank_and_command(ranks):
    processes = {pid: name for (pid, _), name in names(document(ranks)).items()}

    assert processes[71] == "rank 0: torchrun gen.py"
    assert processes[72] == "rank 1: torchrun gen.py"
    assert set(processes.values()) >= {"GPU 0 Card <0>", "GPU 1 Card <1>", "vidmeter"}


def test_phases_stand_on_the_thread_that_marked_them_at_the_hosts_time(ranks):
    found = document(ranks)

    slices = of(found, "X", pid=71, tid=71)

    assert found["baseTimeNanoseconds"] == REAL
    assert [(e["name"], e["ts"], e["dur"]) for e in slices] == [
        ("generate", 2e6, 8e6),
        ("denoise", 3e6, 5e6),
    ]


def test_phases_stand_on_the_track_of_the_gpu_at_the_gpus_time(ranks):
    slices = track(document(ranks), 72, "on GPU 1 Card <1>")

    assert [(e["name"], e["ts"], e["dur"]) for e in slices] == [
        ("generate", 3e6, 8e6),
        ("denoise", 4e6, 5e6),
    ]
    assert slices[0]["args"]["behind_host_ms"] == 1000


def test_a_slice_tells_its_place_its_facts_and_the_energy_of_its_phase(ranks):
    alone = replace(ranks, phases=ranks.phases[:2])
    both = summarize(ranks).phases[1]
    (one,) = of(document(alone), "X", pid=71, tid=71, name="denoise")
    (of_two,) = of(document(ranks), "X", pid=71, tid=71, name="denoise")

    assert one["args"]["phase"] == "generate › denoise"
    assert one["args"]["path"] == "/a file"
    assert one["args"]["steps"] == 4
    assert one["args"]["energy_j"] == summarize(alone).phases[1].total.energy_j
    assert of_two["args"]["repetitions"] == 2
    assert of_two["args"]["mean_energy_j"] == both.total.energy_j / 2
    assert "energy_j" not in of_two["args"]


def test_an_open_and_a_failed_phase_are_marked(full):
    found = document(full)

    (generate,) = of(found, "X", name="generate")
    (decode,) = of(found, "X", name="decode")

    assert generate["args"]["open"] is True
    assert generate["ts"] + generate["dur"] == 16e6
    assert decode["args"]["error"] == "KeyError"


def test_a_phase_below_resolution_has_no_energy(exact):
    short = replace(exact, phases=(phase("blink", 1, 1.5),))

    (blink,) = of(document(short), "X", name="blink")

    assert blink["args"] == {"phase": "blink", "energy": "below resolution"}


def test_phases_that_overlap_in_part_get_lanes_of_their_own(exact):
    tasks = (phase("a", 0, 4), phase("b", 2, 6), phase("c", 4, 5), phase("d", 2.5, 3))

    found = document(replace(exact, phases=tasks))
    pid = tasks[0].pid
    first = {e["name"] for e in track(found, pid, "phases")}
    second = {e["name"] for e in track(found, pid, "phases (2)")}

    assert (first, second) == ({"a", "c", "d"}, {"b"})


def test_slices_of_a_lane_lie_apart_or_inside_each_other():
    slices = [
        Slice(a, a + n, "", {}) for a, n in ((0, 9), (3, 9), (5, 2), (9, 1), (10, 0), (0, 20))
    ]

    for lane in lanes(slices):
        for one in lane:
            for other in lane:
                apart = one.end_ns <= other.start_ns or other.end_ns <= one.start_ns
                inside = one.start_ns <= other.start_ns and other.end_ns <= one.end_ns
                around = other.start_ns <= one.start_ns and one.end_ns <= other.end_ns
                assert apart or inside or around
    assert sum(map(len, lanes(slices))) == len(slices)


def counter(found, device, name):
    pid = next(pid for (pid, _), n in names(found).items() if n == device)
    return [(e["ts"], *e["args"].items()) for e in of(found, "C", pid=pid, name=name)]


def test_the_area_under_the_power_is_the_energy(full):
    summary = summarize(full)
    found = document(full)

    power_w = counter(found, "GPU 0 Card <0>", "power")
    ends = [*(t for t, _ in power_w[1:]), 16e6]
    area_j = sum(w * (b - a) / 1e6 for (a, (_, w)), b in zip(power_w, ends, strict=True))

    assert area_j == pytest.approx(summary.devices[0].energy_j, rel=1e-6)
    assert {unit for _, (unit, _) in power_w} == {"W"}


def test_the_energy_grows_from_nothing_to_all_of_it(ranks):
    energy = counter(document(ranks), "GPU 1 Card <1>", "energy")

    assert energy[0] == (0, ("J", 0))
    assert energy[-1] == (16e6, ("J", pytest.approx(3200)))
    assert all(w == pytest.approx(200 * t / 1e6, abs=1e-5) for t, (_, w) in energy)


def test_temperature_and_clock_are_counted_where_they_change(ranks):
    found = document(ranks)

    assert counter(found, "GPU 0 Card <0>", "temperature") == [(0, ("°C", 40)), (8e6, ("°C", 41))]
    assert counter(found, "GPU 0 Card <0>", "SM clock") == [(0, ("MHz", 1500))]
    assert counter(found, "GPU 1 Card <1>", "temperature") == []


def test_time_that_nobody_saw_is_marked_and_has_no_power(full):
    found = document(full)
    (gap,) = of(found, "X", name="power not seen")
    times = [t for t, _ in counter(found, "GPU 1 Card <1>", "power")]

    assert 13e6 - 125e3 <= gap["ts"] <= 13.0625e6
    assert 13.5e6 <= gap["ts"] + gap["dur"] <= 13.75e6
    assert not [t for t in times if gap["ts"] <= t < gap["ts"] + gap["dur"]]


def test_a_long_curve_is_drawn_by_means_that_keep_the_energy(full):
    summary = summarize(full)
    from vidmeter.reports.counters import curve_of

    curve = curve_of(full, summary.devices[0])
    fine = steps(curve, summary.start_ns, summary.end_ns)
    coarse = steps(curve, summary.start_ns, summary.end_ns, most=10)

    assert len(fine.power_w) > 100
    assert len(coarse.power_w) <= 11
    assert coarse.energy_j[-1] == fine.energy_j[-1]
    assert not unseen(full, summary, summary.devices[0])


def test_cautions_and_events_are_instants(ranks):
    found = document(ranks)

    (event,) = of(found, "i", name="read_failed")

    assert event["ts"] == 5e6
    assert event["args"] == {
        "detail": "no answer", "device": "GPU-1", "count": 4, "lasted_s": 1.0,
    }  # fmt: skip
    told = [e["args"]["text"] for e in of(found, "i") if e["name"].startswith("caution: ")]
    assert told == [c.text for c in summarize(ranks).cautions]


def test_a_run_in_which_nothing_is_known_has_a_trace(bare):
    assert "baseTimeNanoseconds" not in document(bare)


def torch_like(path, *, base_ns, events, **more):
    content = {"traceEvents": events, "deviceProperties": [], **more}
    if base_ns is not None:
        content["baseTimeNanoseconds"] = base_ns
    text = json.dumps(content).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def torch_event(ts, **more):
    return {"ph": "X", "name": "aten::mm", "pid": 71, "tid": 71, "ts": ts, "dur": 5.0} | more


@pytest.mark.parametrize("name", ["torch.json", "torch.json.gz"])
@pytest.mark.parametrize("base_ns", [REAL - 1000 * S, None])
def test_a_torch_trace_is_laid_beside_it_on_its_own_times(ranks, tmp_path, base_ns, name):
    start_us = (REAL + 3 * S - (base_ns or 0)) / 1e3
    theirs = [torch_event(start_us), torch_event("", ph="M", name="process_name")]
    path = torch_like(tmp_path / name, base_ns=base_ns, events=theirs)

    found = document(ranks, merge=torchtrace.load(path))

    assert found["traceEvents"][-2:] == theirs
    assert found["deviceProperties"] == []
    assert found["baseTimeNanoseconds"] == (base_ns or 0)
    (generate,) = [e for e in track(found, 71, "phases") if e["name"] == "generate"]
    assert generate["ts"] == pytest.approx(start_us - 1e6, abs=0.5)
    assert generate["tid"] > MADE_UP  # torch's thread keeps its own slices


def test_the_anchor_nearest_to_the_torch_trace_aligns_it(ranks, tmp_path):
    stepped = replace(
        ranks, anchors=(*ranks.anchors, Anchor(T0 + 10 * S, REAL + 10 * S + 7 * S))
    )  # the wall clock was set 7 s ahead
    path = torch_like(tmp_path / "t.json", base_ns=REAL, events=[torch_event(18e6)])

    found = document(stepped, merge=torchtrace.load(path))

    (denoise,) = [e for e in track(found, 71, "phases") if e["name"] == "denoise"]
    assert denoise["ts"] == 10e6


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no json", "holds no whole JSON"),
        (b"\x1f\x8b broken", "holds no whole JSON"),
        (b'{"a": 1}', "no list of traceEvents"),
        (b"3", "no list of traceEvents"),
        (b'{"traceEvents": [1]}', "no list of traceEvents"),
        (b'{"traceEvents": []}', "no event with a time"),
        (b'[{"ph": "X", "ts": 12.5, "dur": 1}]', "not the wall clock's"),
    ],
)
def test_a_file_that_is_no_trace_is_one_line_of_error(tmp_path, content, said):
    path = tmp_path / "t.json"
    path.write_bytes(content)

    with pytest.raises(BadRun, match=said) as caught:
        torchtrace.load(path)
    assert "\n" not in str(caught.value)


def test_a_missing_trace_is_one_line_of_error(tmp_path):
    with pytest.raises(BadRun, match="No such file"):
        torchtrace.load(tmp_path / "none.json")


@pytest.mark.parametrize(("at_s", "said"), [(-100, "was over before"), (100, "after this run")])
def test_the_trace_of_another_time_is_not_merged(ranks, tmp_path, at_s, said):
    path = torch_like(tmp_path / "t.json", base_ns=REAL + at_s * S, events=[torch_event(0.0)])

    with pytest.raises(BadRun, match=said):
        document(ranks, merge=torchtrace.load(path))


def test_a_run_without_a_wall_clock_is_not_merged(bare, tmp_path):
    path = torch_like(tmp_path / "t.json", base_ns=REAL, events=[torch_event(0.0)])

    with pytest.raises(BadRun, match="no reading of the wall clock"):
        document(bare, merge=torchtrace.load(path))


PROFILED = """
import time, vidmeter
from torch.profiler import ProfilerActivity, profile, record_function
with profile(activities=[ProfilerActivity.CPU]) as profiler:
    for _ in range(3):  # the first time, both are slow
        with vidmeter.phase("mine"), record_function("theirs"):
            time.sleep(0.1)
profiler.export_chrome_trace("torch.json")
"""


def test_phases_and_ranges_of_the_torch_profiler_lie_within_a_millisecond(tmp_path):
    pytest.importorskip("torch", reason="the torch profiler is not installed")
    (tmp_path / "flat.json").write_text('{"devices": [{"name": "Flat", "curve": [[0, 100]]}]}')
    (tmp_path / "program.py").write_text(PROFILED)
    subprocess.run(
        [sys.executable, "-m", "vidmeter", "run", "--sensor", "fake:flat.json",
         "-o", "run.vidmeter", "--", sys.executable, "program.py"],
        cwd=tmp_path, check=True, timeout=120, capture_output=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    merged = torchtrace.load(tmp_path / "torch.json")

    found = document(load(tmp_path / "run.vidmeter"), merge=merged)

    mine = sorted((e["ts"], e["dur"]) for e in of(found, "X", name="mine"))
    theirs = sorted((e["ts"], e["dur"]) for e in of(found, "X", name="theirs"))
    assert len(mine) == len(theirs) == 3
    for (start, length), (their_start, their_length) in zip(mine[1:], theirs[1:], strict=True):
        assert math.isclose(start, their_start, abs_tol=1000)
        assert math.isclose(start + length, their_start + their_length, abs_tol=1000)
