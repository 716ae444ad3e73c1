"""Marks: written by any number of processes, threads and tasks, read while they come."""

import asyncio
import contextvars
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import vidmeter
from vidmeter.meter import marks
from vidmeter.meter.markreader import MarkReader
from vidmeter.meter.windows import paths

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    marks.use_folder(tmp_path)
    yield tmp_path
    marks.use_folder(None)


def tree(folder: Path) -> list[tuple[str, ...]]:
    phases = MarkReader(folder).read().phases
    return sorted(paths(phases).values())


def test_phases_nest_as_the_blocks_do(folder: Path) -> None:
    with vidmeter.phase("generate"):
        with vidmeter.phase("text_encode"):
            pass
        with vidmeter.phase("denoise"), vidmeter.phase("step"):
            pass

    assert tree(folder) == [
        ("generate",),
        ("generate", "denoise"),
        ("generate", "denoise", "step"),
        ("generate", "text_encode"),
    ]


def test_an_exception_closes_the_phase_and_is_named_in_it(folder: Path) -> None:
    with pytest.raises(KeyError), vidmeter.phase("load"):
        raise KeyError("weights")

    (phase,) = MarkReader(folder).read().phases
    assert phase.error == "KeyError"
    assert phase.end_ns is not None and phase.end_ns >= phase.start_ns


def test_work_belongs_to_the_phase_it_was_said_in(folder: Path) -> None:
    with vidmeter.phase("generate"):
        vidmeter.work(frames=81, fps=16, width=832, height=480)
        vidmeter.work(tokens=256)

    (phase,), (video, tokens), *_ = MarkReader(folder).read()
    assert (video.unit, video.video_seconds, video.phase) == ("video", 81 / 16, phase.id)
    assert (tokens.unit, tokens.count, tokens.phase) == ("tokens", 256, phase.id)


def test_tasks_and_threads_keep_their_own_place(folder: Path) -> None:
    async def job(name: str) -> None:
        with vidmeter.phase(name):
            await asyncio.sleep(0.01)
            with vidmeter.phase("inner"):
                await asyncio.sleep(0.01)

    async def both() -> None:
        await asyncio.gather(job("a"), job("b"))

    asyncio.run(both())
    with vidmeter.phase("outer"):
        context = contextvars.copy_context()
        thread = threading.Thread(target=lambda: context.run(asyncio.run, job("c")))
        thread.start()
        thread.join()

    assert tree(folder) == [
        ("a",),
        ("a", "inner"),
        ("b",),
        ("b", "inner"),
        ("outer",),
        ("outer", "c"),
        ("outer", "c", "inner"),
    ]


def test_one_object_may_be_entered_by_several_threads_at_once(folder: Path) -> None:
    shared = vidmeter.phase("shared")
    inside, out = threading.Event(), threading.Event()
    left_ns = {}

    def first() -> None:
        with shared:
            assert inside.wait(60)
        left_ns[threading.get_native_id()] = time.monotonic_ns()
        out.set()

    def second() -> None:
        with shared:
            inside.set()
            assert out.wait(60)
            with vidmeter.phase("later"):
                pass
        left_ns[threading.get_native_id()] = time.monotonic_ns()

    one, other = threading.Thread(target=first), threading.Thread(target=second)
    one.start()
    while not shared._stack:
        time.sleep(0.001)
    other.start()
    one.join()
    other.join()

    phases = MarkReader(folder).read().phases
    ends = {p.tid: p.end_ns or 0 for p in phases if p.name == "shared"}
    assert set(ends) == set(left_ns)
    # The one that left first ended first, and the other after what was inside it.
    (later,) = (p for p in phases if p.name == "later")
    assert sorted(ends, key=ends.__getitem__) == sorted(left_ns, key=left_ns.__getitem__)
    assert min(ends.values()) < later.start_ns < (later.end_ns or 0) <= max(ends.values())


def test_numbers_of_other_libraries_are_numbers_and_any_name_is_text(folder: Path) -> None:
    with vidmeter.phase(5):  # type: ignore[arg-type]
        vidmeter.work(tokens=np.int64(4))
        vidmeter.work(frames=np.int16(9), fps=np.float32(8))

    marked = MarkReader(folder).read()
    assert [p.name for p in marked.phases] == ["5"]
    assert [(w.unit, w.count, w.frames, w.fps) for w in marked.work] == [
        ("tokens", 4, None, None),
        ("video", 1, 9, 8.0),
    ]


def test_a_decorated_function_of_every_sort_is_a_phase(folder: Path) -> None:
    @vidmeter.phase("plain")
    def plain() -> int:
        return 1

    @vidmeter.phase("coroutine")
    async def coroutine() -> int:
        return 2

    @vidmeter.phase("generator")
    def generator() -> Iterator[int]:
        got = yield 3
        assert got == "sent"
        yield 4

    @vidmeter.phase("async generator")
    async def async_generator():  # type: ignore[no-untyped-def]
        yield 5
        yield 6

    async def collect() -> list[int]:
        return [n async for n in async_generator()]

    assert plain() == 1
    assert asyncio.run(coroutine()) == 2
    running = generator()
    with vidmeter.phase("consumer"):
        assert next(running) == 3
        with vidmeter.phase("not inside the generator"):
            assert running.send("sent") == 4  # type: ignore[attr-defined]
    assert list(running) == []
    assert asyncio.run(collect()) == [5, 6]
    assert tree(folder) == [
        ("async generator",),
        ("consumer",),
        ("consumer", "generator"),
        ("consumer", "not inside the generator"),
        ("coroutine",),
        ("plain",),
    ]


def test_a_generator_that_is_dropped_closes_its_phase(folder: Path) -> None:
    @vidmeter.phase("stream")
    def stream() -> Iterator[int]:
        yield 1
        yield 2

    running = stream()
    next(running)
    del running

    (phase,) = MarkReader(folder).read().phases
    assert (phase.end_ns is not None, phase.error) == (True, None)


def test_children_and_forks_mark_in_files_of_their_own(folder: Path) -> None:
    code = "import vidmeter\nwith vidmeter.phase('child'): pass"
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=ROOT,
        env=os.environ | {marks.MARKS_ENV: str(folder)},
    )
    with vidmeter.phase("parent"):
        pid = os.fork()
        if pid == 0:
            with vidmeter.phase("fork"):
                pass
            os._exit(0)
        os.waitpid(pid, 0)

    assert tree(folder) == [("child",), ("parent",), ("parent", "fork")]
    assert len(list(folder.glob("*.jsonl"))) == 3


def test_marks_are_read_while_they_come(folder: Path) -> None:
    reader = MarkReader(folder)
    with vidmeter.phase("a"):
        first = reader.read().phases
    second = reader.read().phases
    third = reader.read().phases

    assert [p.end_ns is None for p in first] == [True]
    assert [p.end_ns is None for p in second] == [False]
    assert third == ()


def test_half_a_line_waits_and_nonsense_is_counted(folder: Path) -> None:
    begin = json.dumps({"mark": "begin", "id": "1-1", "name": "x", "t_ns": 5, "parent": None})
    path = folder / "1.jsonl"
    path.write_text(begin[:20])
    reader = MarkReader(folder)

    half = reader.read().phases
    path.write_text(f'{begin}\nnot json\n{{"mark": "end", "id": "unknown", "t_ns": 1}}\n[1]\n')
    whole = reader.read().phases

    assert half == ()
    assert [p.name for p in whole] == ["x"]
    assert reader.bad_lines == 3


def test_without_a_meter_marking_does_nothing_and_writes_nothing(tmp_path: Path) -> None:
    with vidmeter.phase("x"):
        vidmeter.work(frames=1, fps=1)

    assert list(tmp_path.iterdir()) == []


def test_a_program_outlives_its_meter(folder: Path) -> None:
    with vidmeter.phase("x"):
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        with vidmeter.phase("y"):
            pass


def test_facts_of_the_end_add_to_those_of_the_beginning(folder: Path) -> None:
    phase = marks.begin("generate", facts={"class": "WanPipeline", "steps": None})
    marks.end(phase, facts={"steps": 8})

    (found,) = MarkReader(folder).read().phases
    assert found.facts == {"class": "WanPipeline", "steps": 8}


def test_a_phase_may_begin_and_end_at_moments_that_were_taken_before(folder: Path) -> None:
    before = marks.instant()
    phase = marks.begin("late", at=before)
    after = marks.instant()
    marks.end(phase, at=after)

    (found,) = MarkReader(folder).read().phases
    assert (found.start_ns, found.end_ns) == (before[0], after[0])


def test_notes_are_events_and_processes_say_who_they_are(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "8")
    marks.note("marks_missing", "two steps were not seen")
    marks.process(torch="2.13.0")

    found = MarkReader(folder).read()
    (event,), (process,) = found.events, found.processes
    assert (event.kind, event.detail) == ("marks_missing", "two steps were not seen")
    assert process.pid == os.getpid()
    assert process.facts["rank"] == 3 and process.facts["world_size"] == 8
    assert process.facts["torch"] == "2.13.0" and process.facts["ppid"] == os.getppid()


def test_two_copies_of_the_module_share_one_state(tmp_path: Path) -> None:
    code = """
import sys, types, vidmeter, vidmeter.meter
package = types.ModuleType("_vidmeter")
package.__path__ = list(vidmeter.meter.__path__)
sys.modules["_vidmeter"] = package
if sys.argv[1] == "ours first":
    import _vidmeter.marks
with vidmeter.phase("program"):
    from _vidmeter import marks as hook
    outer = hook.begin("hook")
    before = hook.enter(outer)
    with vidmeter.phase("inside"):
        pass
    hook.enter(before)
    hook.end(outer)
from vidmeter.meter import marks
assert marks is not hook and marks._state is hook._state
"""
    for order in ("ours first", "theirs first"):
        where = tmp_path / order
        where.mkdir()
        subprocess.run(
            [sys.executable, "-c", code, order],
            env=os.environ | {marks.MARKS_ENV: str(where), "PYTHONPATH": str(ROOT)},
            check=True,
        )

        assert tree(where) == [("program",), ("program", "hook"), ("program", "hook", "inside")]
        assert len({p.id for p in MarkReader(where).read().phases}) == 3
