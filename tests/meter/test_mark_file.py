"""The shared file of marks: what its lines mean, whatever a program writes there."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from vidmeter.meter.clock import Anchor, anchor, monotonic_ns
from vidmeter.meter.markreader import NOT_ENDED, Marked, MarkReader
from vidmeter.meter.reader import load
from vidmeter.meter.runfile import marks_folder
from vidmeter.meter.store import RunWriter
from vidmeter.meter.summarize import summarize
from vidmeter.meter.windows import paths
from vidmeter.reports import jsonfile, terminal

S = 1_000_000_000


class Shared:
    """The file as programs write it, and a reader of it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "shared.jsonl"
        self.path.touch()
        self.reader = MarkReader(folder)

    def say(self, *lines: str) -> None:
        with self.path.open("a") as file:
            file.writelines(f"{line}\n" for line in lines)

    def read(self) -> Marked:
        return self.reader.read()


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    return Shared(tmp_path)


def stamp(t_ns: int) -> str:
    """An instant of CLOCK_MONOTONIC as a line tells it."""
    return f"@{anchor().to_real(t_ns) / 1e9:.6f}"


def tree(found: Marked) -> list[tuple[str, ...]]:
    return sorted(paths(found.phases).values())


@pytest.mark.parametrize(
    "line",
    [
        "begin",
        "end never",
        "work x tokens",
        "work 5 tokens more",
        "work nan tokens",
        "hello",
        "@z begin x",
        "@12",
        "@5 begin x",
        "@1e300 begin x",
        "@NOW000 begin x",
        "@FUTURE begin x",
        "{",
        '{"mark":' * 20_000,
        '{"mark":"unknown"}',
        '{"mark":"begin"}',
        '{"mark":"begin","name":""}',
        '{"mark":"begin","name":7}',
        '{"mark":"begin","name":"x","t_ns":"abc"}',
        '{"mark":"begin","name":"x","t_ns":null}',
        '{"mark":"begin","name":"x","t_ns":1e999}',
        '{"mark":"begin","name":"x","unix_s":true}',
        '{"mark":"begin","name":"x","tid":1e30}',
        '{"mark":"begin","name":"x","facts":"abc"}',
        '{"mark":"begin","name":"x","parent":[1]}',
        '{"mark":"begin","name":"x","id":"a","parent":"a"}',
        '{"mark":"work","unit":"t","count":NaN}',
        '{"mark":"work","unit":"t","count":"many"}',
        '{"mark":"work","unit":"t","count":1,"color":"red"}',
        '{"mark":"note","kind":"x","text":7}',
        '{"mark":"gpu","device":"GPU-1","events":[[1,2]]}',
    ],
)
def test_a_line_that_makes_no_sense_is_counted_and_harms_no_other(
    shared: Shared, line: str
) -> None:
    now = int(time.time())
    line = line.replace("NOW", str(now)).replace("FUTURE", str(now + 60))
    shared.say("begin a", line, "end a")

    found = shared.read()

    assert [(p.name, p.end_ns is not None) for p in found.phases] == [("a", True)]
    assert (found.work, found.events, found.gpu_events) == ((), (), ())
    assert shared.reader.bad_lines == 1


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
KEYS = ("id", "name", "t_ns", "unix_s", "parent", "tid", "error", "event", "facts", "unit", "count",
        "origin", "frames", "video_seconds", "phase", "path", "kind", "text", "device", "events",
        "rank", "pid")  # fmt: skip
MARKS = st.builds(
    lambda mark, facts: json.dumps({"mark": mark} | facts),
    st.sampled_from(("begin", "begin", "end", "work", "gpu", "process", "note")),
    st.dictionaries(st.sampled_from(KEYS), ANY | st.sampled_from(("a", "b", 3, "GPU-1"))),
)
TEXT = st.builds(
    " ".join,
    st.lists(st.sampled_from(("begin", "end", "work", "a b", "a", "3", "@5", "@1e999", "tokens"))),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(MARKS | TEXT | st.text(max_size=12), max_size=6), st.booleans())
@example(['{"mark":"begin","name":"\\ud800"}', '{"mark":"end","name":"\\ud800"}'], True)
@example(['{"mark":"begin","name":"x","facts":{"a":"\\ud800"}}'], True)
def test_whatever_is_written_there_the_run_can_be_stored_and_shown(
    tmp_path: Path, lines: list[str], everyone: bool
) -> None:
    data = "".join(f"{line}\n" for line in lines).encode(errors="surrogatepass")
    (tmp_path / ("shared.jsonl" if everyone else "812.jsonl")).write_bytes(data)
    for old in tmp_path.glob("run.vidmeter*"):
        old.unlink()
    now = monotonic_ns()
    facts = {"id": "x", "command": ["x"], "start_ns": now - S, "period_ns": S, "exit_code": 0}
    writer = RunWriter.create(tmp_path / "run.vidmeter", facts)

    writer.add_marked(MarkReader(tmp_path).read())
    writer.put(end_ns=monotonic_ns())

    assert writer.finish()
    summary = summarize(load(tmp_path / "run.vidmeter"))
    json.dumps(jsonfile.document(summary))
    terminal.render(summary).encode()
    for file in tmp_path.glob("*.jsonl"):
        file.unlink()


def test_a_time_may_stand_in_front_of_every_line(shared: Shared) -> None:
    start = monotonic_ns() - 10 * S
    shared.say(
        f"{stamp(start)} begin load the weights",
        f"{stamp(start + S)}\tbegin shard",
        f"{stamp(start + 2 * S)} work 3 files",
        f"{stamp(start + 3 * S)} end",
        f"{stamp(start + 4 * S)} end load the weights",
    )

    found = shared.read()

    times = {p.name: (p.start_ns - start, (p.end_ns or 0) - start) for p in found.phases}
    assert times["load the weights"] == pytest.approx((0, 4 * S), abs=50_000)
    assert times["shard"] == pytest.approx((S, 3 * S), abs=50_000)
    (work,) = found.work
    assert (work.unit, work.count, work.origin) == ("files", 3, "program")
    assert work.phase == next(p.id for p in found.phases if p.name == "shard")
    assert {p.pid for p in found.phases} == {0}


def test_a_line_without_a_time_has_that_of_the_look_that_finds_it(shared: Shared) -> None:
    before = monotonic_ns()
    shared.say("begin a")
    shared.reader.look()
    between = monotonic_ns()
    time.sleep(0.02)
    shared.say("end a")
    shared.reader.look()
    after = monotonic_ns()
    time.sleep(0.02)

    (phase,) = shared.read().phases
    assert before <= phase.start_ns <= between
    assert between + 20_000_000 <= (phase.end_ns or 0) <= after


def test_the_order_of_the_lines_is_that_of_time(shared: Shared) -> None:
    now = monotonic_ns()
    shared.say("begin a", f"{stamp(now - 2 * S)} begin b", "begin c", "end c")
    shared.say(f"{stamp(now - S)} end b", "end a")

    times = {p.name: (p.start_ns, p.end_ns) for p in shared.read().phases}

    (a, a_end), (b, b_end), (c, c_end) = times["a"], times["b"], times["c"]
    assert a <= b <= c <= (c_end or 0) <= (b_end or 0) <= (a_end or 0)


def test_a_writer_that_comes_late_does_not_draw_others_into_the_past(shared: Shared) -> None:
    shared.reader.look()
    looked = monotonic_ns()
    shared.say("begin a", "end a", f"{stamp(looked - 60 * S)} begin long ago")

    found = {p.name: p for p in shared.read().phases}

    assert looked - S < found["a"].start_ns <= (found["a"].end_ns or 0)
    assert found["long ago"].start_ns == pytest.approx(looked - 60 * S, abs=50_000)


def test_an_end_closes_what_is_open_inside_and_that_is_told(shared: Shared) -> None:
    shared.say("begin a", "begin b", "begin c", '{"mark":"end","name":"a","error":"exit code 3"}')

    found = shared.read()

    assert tree(found) == [("a",), ("a", "b"), ("a", "b", "c")]
    assert {p.name: p.error for p in found.phases} == {
        "a": "exit code 3",
        "b": NOT_ENDED,
        "c": NOT_ENDED,
    }
    assert len({p.end_ns for p in found.phases}) == 1


def test_an_end_before_the_beginning_ends_nothing(shared: Shared) -> None:
    now = monotonic_ns()
    shared.say(f"{stamp(now)} begin a", f"{stamp(now - S)} end a")

    assert [p.end_ns for p in shared.read().phases] == [None]
    assert shared.reader.bad_lines == 1


def test_the_innermost_of_several_of_a_name_ends_first(shared: Shared) -> None:
    shared.say("begin step", "begin step", "end step")

    outer, inner = shared.read().phases
    assert (outer.end_ns is None, inner.end_ns is None) == (True, False)
    assert inner.parent == outer.id


def test_phases_with_ids_may_overlap_and_end_alone(shared: Shared) -> None:
    lines: list[dict[str, Any]] = [
        {"mark": "begin", "name": "script"},
        {"mark": "begin", "name": "p", "id": "p"},
        {"mark": "begin", "name": "q", "id": "q"},
        {"mark": "begin", "name": "in p", "id": "r", "parent": "p"},
        {"mark": "begin", "name": "again", "id": "q"},
        {"mark": "end", "id": "p"},
        {"mark": "end"},
    ]
    shared.say(*(json.dumps(line) for line in lines))

    found = shared.read()

    assert tree(found) == [
        ("script",), ("script", "p"), ("script", "p", "in p"), ("script", "q")
    ]  # fmt: skip
    assert {p.name for p in found.phases if p.end_ns is None} == {"q", "in p"}
    assert shared.reader.bad_lines == 1


def test_an_id_that_looks_like_ours_is_not_taken_twice(shared: Shared) -> None:
    shared.say('{"mark":"begin","name":"theirs","id":"0-1"}', "begin ours", "end ours")

    found = {p.name: p for p in shared.read().phases}

    assert len({p.id for p in found.values()}) == 2
    assert found["theirs"].end_ns is None


def test_a_file_of_a_process_may_leave_out_the_same(tmp_path: Path) -> None:
    lines = (
        '{"mark":"begin","name":"outer"}',
        '{"mark":"begin","name":"inner"}',
        '{"mark":"work","unit":"tokens","count":5}',
        '{"mark":"end","name":"inner"}',
        '{"mark":"end"}',
    )
    for pid in (812, 813):
        (tmp_path / f"{pid}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    before = monotonic_ns()

    reader = MarkReader(tmp_path)
    found = reader.read()

    assert reader.bad_lines == 0
    assert sorted((p.pid, p.name) for p in found.phases) == [
        (812, "inner"), (812, "outer"), (813, "inner"), (813, "outer")
    ]  # fmt: skip
    assert all(before <= p.start_ns <= (p.end_ns or 0) for p in found.phases)
    assert {w.phase for w in found.work} == {p.id for p in found.phases if p.name == "inner"}


def test_who_writes_with_one_arrow_is_told_and_read_on(shared: Shared) -> None:
    shared.say("begin a long name", "end a long name")
    shared.read()
    shared.path.write_text("begin b\n")

    assert [p.name for p in shared.read().phases] == ["b"]
    assert shared.reader.bad_lines == 1


def test_a_line_that_is_never_ended_is_found_out(shared: Shared) -> None:
    shared.path.write_text("begin a\nend")
    shared.read()
    assert shared.reader.unfinished() == 1

    shared.path.write_text("begin a\nend a\n")
    shared.read()
    assert shared.reader.unfinished() == 0


def test_the_file_may_vanish(shared: Shared) -> None:
    shared.say("begin a")
    shared.read()
    shared.path.unlink()
    assert shared.read().phases == ()
    shared.path.mkdir()
    assert shared.read().phases == ()


def test_eight_writers_at_once_lose_and_mix_nothing(shared: Shared) -> None:
    code = """
import os, sys, time
with open(sys.argv[1], "ab", 0) as file:
    for n in range(100):
        for line in ('{"mark":"begin","name":"w%s","id":"%s-%d","unix_s":%.6f}',
                     '{"mark":"end","id":"%.0s%s-%d","unix_s":%.6f}'):
            file.write((line % (sys.argv[2], sys.argv[2], n, time.time()) + "\\n").encode())
"""
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(shared.path), str(n)]) for n in range(8)
    ]
    ended: set[str] = set()
    while any(w.poll() is None for w in writers):
        ended |= {p.id for p in shared.read().phases if p.end_ns is not None}
    ended |= {p.id for p in shared.read().phases if p.end_ns is not None}

    assert all(w.returncode == 0 for w in writers)
    assert ended == {f"{writer}-{n}" for writer in range(8) for n in range(100)}
    assert shared.reader.bad_lines == 0


def test_a_killed_recorder_leaves_its_times_and_no_work_twice(tmp_path: Path) -> None:
    path = tmp_path / "run.vidmeter"
    start = monotonic_ns() - 100 * S
    facts = {"id": "x", "command": ["x"], "start_ns": start, "period_ns": S, "end_ns": None}
    writer = RunWriter.create(path, facts | {"recorder_pid": 2**22 + 1, "recorder_start": 1})
    marks_folder(path).mkdir()
    shared = Shared(marks_folder(path))
    seen = Anchor(start + 5 * S, anchor().to_real(start) + 5 * S - 3600 * S)
    shared.say("begin a", "begin b", "end b", "work 5 tokens")
    found = MarkReader(shared.path.parent, ended=seen).read()
    writer.add_marked(found)
    writer.put(marks_taken=shared.path.stat().st_size)
    writer.add_anchor(Anchor(seen.monotonic_ns + S, seen.real_ns + S))
    assert writer.finish()
    # The wall clock was an hour behind, and is no longer; the program went on after the kill.
    shared.say("work 7 tokens", f"@{(seen.real_ns + 2 * S) / 1e9:.6f} end a")

    run = load(path)

    a, b = (next(p for p in run.phases if p.name == name) for name in "ab")
    assert (b.start_ns, b.end_ns) == (seen.monotonic_ns, seen.monotonic_ns)
    assert a.start_ns == seen.monotonic_ns
    assert (a.end_ns or 0) - a.start_ns == pytest.approx(2 * S, abs=50_000)
    assert [(w.unit, w.count, w.phase) for w in run.work] == [
        ("tokens", 5, a.id),
        ("tokens", 7, a.id),
    ]


def test_a_look_costs_next_to_nothing_where_nothing_was_written(shared: Shared) -> None:
    shared.say("begin a")
    shared.read()
    best_ns = min(_looks_ns(shared.reader, 200) for _ in range(5))

    assert best_ns / 200 < 50_000


def _looks_ns(reader: MarkReader, n: int) -> int:
    before = time.process_time_ns()
    for _ in range(n):
        reader.look()
    return time.process_time_ns() - before
