"""`vidmeter mark` and the mark file: phases from programs that aren't Python."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import vidmeter
from vidmeter.meter.run import Run
from vidmeter.meter.windows import paths

ROOT = Path(vidmeter.__file__).parent.parent
MARK = f"{sys.executable} -m vidmeter mark"


def environ(**more: str) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("VIDMETER")}
    return {**inherited, "PYTHONPATH": str(ROOT), **more}


def meter(folder: Path, *command: str) -> Run:
    subprocess.run(
        [*(sys.executable, "-m", "vidmeter", "run", "--quiet", "--sensor", "fake"),
         *("-o", "run.vidmeter", "--", *command)],
        cwd=folder, env=environ(), check=True, timeout=60,
    )  # fmt: skip
    return vidmeter.load(folder / "run.vidmeter")


def lengths_s(run: Run) -> dict[str, float]:
    where = paths(run.phases)
    return {
        " > ".join(where[p.id]): ((p.end_ns or 0) - p.start_ns) / 1e9
        for p in sorted(run.phases, key=lambda p: p.start_ns)
    }


def test_a_shell_script_marks_phases_and_work(tmp_path: Path) -> None:
    script = f"""
    {MARK} begin 'load weights'
    {MARK} run inner -- sleep 0.3
    {MARK} end
    {MARK} work 512:tokens
    """

    run = meter(tmp_path, "sh", "-c", script)

    found = lengths_s(run)
    assert list(found) == ["load weights", "load weights > inner"]
    assert 0.3 <= found["load weights > inner"] < 0.45
    assert [(w.unit, w.count, w.origin) for w in run.work] == [("tokens", 512, "program")]


def test_lines_of_text_are_marks_with_a_time_or_that_of_the_next_look(tmp_path: Path) -> None:
    run = meter(
        tmp_path, "sh", "-c",
        """
        echo "$(date +@%s.%N) begin exact" >> "$VIDMETER_MARK_FILE"
        echo "begin seen" >> "$VIDMETER_MARK_FILE"
        sleep 0.4
        echo "end seen" >> "$VIDMETER_MARK_FILE"
        echo "$(date +@%s.%N) end exact" >> "$VIDMETER_MARK_FILE"
        echo "work 3 images" >> "$VIDMETER_MARK_FILE"
        """,
    )  # fmt: skip

    found = lengths_s(run)
    assert list(found) == ["exact", "exact > seen"]
    assert 0.4 <= found["exact"] < 0.45
    # Late by one look at each edge, and never after the next line that tells its time.
    assert 0.33 < found["exact > seen"] <= found["exact"]
    assert [(w.unit, w.count) for w in run.work] == [("images", 3)]


@pytest.mark.skipif(shutil.which("perl") is None, reason="no perl")
def test_another_language_needs_a_line_and_a_file(tmp_path: Path) -> None:
    run = meter(
        tmp_path, "perl", "-e",
        'use Time::HiRes qw(time sleep); open(F, ">>", $ENV{VIDMETER_MARK_FILE}); F->autoflush(1);'
        ' printf F "@%.6f begin perl\\n", time; sleep 0.2; printf F "@%.6f end perl\\n", time;',
    )  # fmt: skip

    assert lengths_s(run)["perl"] == pytest.approx(0.2, abs=0.02)


def test_pythons_phases_lie_within_those_of_the_script_around_it(tmp_path: Path) -> None:
    code = "from _vidmeter import marks; p = marks.begin('inside'); marks.end(p)"

    run = meter(
        tmp_path, "sh", "-c", f"{MARK} begin outside; {sys.executable} -c \"{code}\"; {MARK} end"
    )  # fmt: skip

    assert list(lengths_s(run)) == ["outside", "outside > inside"]


def test_what_is_left_open_ends_with_the_run_and_nonsense_is_counted(tmp_path: Path) -> None:
    run = meter(
        tmp_path, "sh", "-c",
        'for line in "begin" "end never" "work x tokens" "hello" "@z begin y" "begin open" ; do'
        ' echo "$line" >> "$VIDMETER_MARK_FILE"; done',
    )  # fmt: skip

    assert [(p.name, p.end_ns) for p in run.phases] == [("open", None)]
    (bad,) = (e for e in run.events if e.kind == "bad_marks")
    assert bad.count == 5


def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    run = meter(
        tmp_path, "sh", "-c",
        "for n in 1 2 3 4 5 6 7 8; do (i=0; while [ $i -lt 50 ]; do"
        ' echo "work 1 things" >> "$VIDMETER_MARK_FILE"; i=$((i+1)); done) & done; wait',
    )  # fmt: skip

    assert len(run.work) == 400


def test_an_end_closes_what_is_open_inside(tmp_path: Path) -> None:
    run = meter(tmp_path, "sh", "-c", f"{MARK} begin a; {MARK} begin b; {MARK} end a; {MARK} end")

    assert all(p.end_ns for p in run.phases)
    assert list(lengths_s(run)) == ["a", "a > b"]
    assert [e.count for e in run.events if e.kind == "bad_marks"] == [1]


def mark(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "vidmeter", "mark", *arguments],
        env=environ(**more), capture_output=True, text=True, timeout=20,
    )  # fmt: skip


def test_unmetered_nothing_is_marked_and_nothing_fails() -> None:
    for arguments in (["begin", "x"], ["end"], ["work", "1:clips"]):
        done = mark(*arguments)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = mark("run", "x", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")


def test_a_command_that_dies_by_a_signal_or_cannot_start_is_told_as_the_shell_does() -> None:
    assert mark("run", "x", "--", "sh", "-c", "kill -TERM $$").returncode == 128 + 15
    missing = mark("run", "x", "--", "not-a-command")
    assert missing.returncode == 127
    assert missing.stderr.startswith("vidmeter: cannot start 'not-a-command'")


def test_a_file_that_cannot_be_written_is_a_line_and_no_failure(tmp_path: Path) -> None:
    done = mark("begin", "x", VIDMETER_MARK_FILE=str(tmp_path / "gone" / "file"))

    assert (done.returncode, len(done.stderr.splitlines())) == (0, 1)


@pytest.mark.parametrize("call", ["begin", "begin a b", "work many:tokens", "run x", "end a b"])
def test_a_wrong_call_is_one_line(call: str) -> None:
    done = mark(*call.split())

    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_json_lines_may_leave_out_what_the_reader_knows(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"mark": "begin", "name": "j", "facts": {"model": "x"}},
        {"mark": "work", "unit": "tokens", "count": 9},
        {"mark": "end", "name": "j"},
    ]
    text = "\n".join(json.dumps(line) for line in lines)

    run = meter(tmp_path, "sh", "-c", f"printf '%s\\n' '{text}' >> \"$VIDMETER_MARK_FILE\"")

    (phase,) = run.phases
    assert (phase.name, phase.pid, phase.facts) == ("j", 0, {"model": "x"})
    assert [(w.unit, w.count, w.phase) for w in run.work] == [("tokens", 9, phase.id)]
