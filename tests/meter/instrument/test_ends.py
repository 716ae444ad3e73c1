"""However a script ends, the run file is whole, and what was open is closed and marked so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import vidmeter
from vidmeter.meter.run import Run
from vidmeter.meter.summarize import summarize
from vidmeter.meter.summary import Summary

ROOT = Path(vidmeter.__file__).parent.parent

VIDMETER = [
    *(sys.executable, "-m", "vidmeter", "run"),
    *("--quiet", "--sensor", "fake", "--output", "run.vidmeter"),
]
INSIDE = """
import os, signal, sys, threading, time
from _vidmeter import marks
outer = marks.begin("outer"); marks.enter(outer)
inner = marks.begin("inner"); marks.enter(inner)
time.sleep(0.3)
"""
ENDS = {
    "sys.exit": ("sys.exit(3)", 3),
    "os._exit": ("os._exit(4)", 4),
    "exception": ("raise KeyError('lost')", 1),
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", -9),
    "terminated": ("os.kill(os.getpid(), signal.SIGTERM)", -15),
    "segfault": ("import ctypes; ctypes.string_at(0)", -11),
    "out of a thread": ("threading.Thread(target=lambda: os._exit(5)).start(); time.sleep(9)", 5),
}


def run(folder: Path, script: str, *options: str) -> tuple[int, Run, Summary]:
    (folder / "script.py").write_text(script)
    ended = subprocess.run(
        [*VIDMETER, *options, "--", sys.executable, "script.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
    )
    recorded = vidmeter.load(folder / "run.vidmeter")
    assert not (folder / "run.vidmeter.marks").exists()
    return ended.returncode, recorded, summarize(recorded)


@pytest.mark.parametrize(("end", "code"), ENDS.values(), ids=ENDS)
def test_phases_that_a_script_ends_inside_are_closed_with_it(
    tmp_path: Path, end: str, code: int
) -> None:
    got, recorded, summary = run(tmp_path, INSIDE + end)

    assert got == code
    assert [(p.name, p.end_ns) for p in recorded.phases] == [("outer", None), ("inner", None)]
    assert [(p.path, p.complete) for p in summary.phases] == [
        (("outer",), False),
        (("outer", "inner"), False),
    ]
    assert all(p.windows[-1][1] == summary.end_ns for p in summary.phases)
    assert "open_phase" in {c.kind for c in summary.cautions}


def test_a_fork_after_marking_marks_inside_what_it_was_forked_in(tmp_path: Path) -> None:
    _, recorded, summary = run(
        tmp_path,
        INSIDE + "if os.fork() == 0:\n"
        "    marks.end(marks.begin('child')); os._exit(0)\n"
        "os.wait(); marks.end(inner); marks.end(outer)\n",
    )

    child = next(p for p in recorded.phases if p.name == "child")
    assert child.pid != recorded.phases[0].pid
    assert [p.path for p in summary.phases][-1] == ("outer", "inner", "child")
    assert all(p.complete for p in summary.phases)


def test_a_fork_that_leaves_the_block_it_was_forked_in_does_not_end_its_parents_phase(
    tmp_path: Path,
) -> None:
    _, recorded, _ = run(
        tmp_path,
        "import os, time, vidmeter\n"
        "with vidmeter.phase('outer'):\n"
        "    forked = os.fork()\n"
        "    if forked == 0: time.sleep(1)\n"
        "if forked: open('over', 'w').write(str(time.monotonic_ns())); os.wait()\n",
    )

    over_ns = int((tmp_path / "over").read_text())
    outer = next(p for p in recorded.phases if p.name == "outer")
    assert outer.end_ns is not None and outer.end_ns <= over_ns


def test_a_program_that_takes_the_place_of_one_that_marked_has_phases_of_its_own(
    tmp_path: Path,
) -> None:
    after = "import vidmeter\nwith vidmeter.phase('after'): pass"
    _, recorded, _ = run(
        tmp_path,
        INSIDE + f"import sys; os.execv(sys.executable, [sys.executable, '-c', {after!r}])",
    )

    assert [(p.name, p.end_ns is None) for p in recorded.phases] == [
        ("outer", True),
        ("inner", True),
        ("after", False),
    ]
    assert len({p.pid for p in recorded.phases}) == 1


def test_without_the_hook_nothing_is_marked_and_nothing_is_in_the_way(tmp_path: Path) -> None:
    code, recorded, _ = run(
        tmp_path, "import sys; sys.exit('_vidmeter' in sys.modules)", "--no-instrument"
    )

    assert (code, recorded.phases, recorded.processes) == (0, (), ())
