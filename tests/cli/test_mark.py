"""`vidmeter mark` and the mark file: phases from programs that aren't Python."""

import json
import os
import shutil
import signal
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


def meter(folder: Path, *command: str, code: int = 0) -> Run:
    done = subprocess.run(
        [*(sys.executable, "-m", "vidmeter", "run", "--quiet", "--sensor", "fake"),
         *("-o", "run.vidmeter", "--", *command)],
        cwd=folder, env=environ(), check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == code
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


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_lines_of_c_in_the_documents_work_metered_and_not(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "marks.md").read_text()
    lines = page.partition("```c\n")[2].partition("```")[0]
    source = f"#include <stdio.h>\n#include <stdlib.h>\nint main(void) {{\n{lines}return 0; }}\n"
    (tmp_path / "it.c").write_text(source)
    subprocess.run(["cc", "-Wall", "-Werror", "-o", "it", "it.c"], cwd=tmp_path, check=True)

    run = meter(tmp_path, "./it")

    assert [p.name for p in run.phases] == ["upscale"]
    subprocess.run(["./it"], cwd=tmp_path, env=environ(), check=True)


@pytest.mark.parametrize("metered", [True, False])
def test_the_lines_of_shell_in_the_documents_work_metered_and_not(
    tmp_path: Path, metered: bool
) -> None:
    page = (ROOT / "docs" / "marks.md").read_text()
    lines = page.partition("## One line in a file")[2].partition("```sh\n")[2].partition("```")[0]

    if metered:
        run = meter(tmp_path, "sh", "-e", "-c", lines)
        assert [(p.name, p.end_ns is not None) for p in run.phases] == [("upscale", True)]
    else:
        done = subprocess.run(["sh", "-e", "-c", lines], env=environ(), capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")


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


@pytest.mark.parametrize(
    "line",
    ["@1764000000000 begin x", '{"mark":"begin","name":"x","t_ns":"now"}',
     '{"mark":"work","unit":"t","count":"many"}', '{"mark":"begin","name":"x","facts":1}'],
)  # fmt: skip
def test_a_wrong_line_never_harms_the_run(tmp_path: Path, line: str) -> None:
    script = f"echo begin a >> $VIDMETER_MARK_FILE; echo '{line}' >> $VIDMETER_MARK_FILE; exit 3"

    run = meter(tmp_path, "sh", "-c", script, code=3)

    assert (run.exit_code, [p.name for p in run.phases]) == (3, ["a"])
    assert run.traces and run.end_ns
    assert [e.count for e in run.events if e.kind == "bad_marks"] == [1]


def test_a_script_that_is_killed_in_a_phase_leaves_it_open(tmp_path: Path) -> None:
    script = f"{MARK} begin outer; {MARK} run inner -- sh -c 'kill -KILL $PPID'; kill -KILL $$"

    run = meter(tmp_path, "sh", "-c", script, code=-signal.SIGKILL)

    assert [(p.name, p.end_ns) for p in run.phases] == [("outer", None), ("inner", None)]


def test_the_phase_of_a_command_that_fails_says_so(tmp_path: Path) -> None:
    run = meter(tmp_path, "sh", "-c", f"{MARK} run inner -- sh -c 'exit 5'", code=5)

    assert [(p.name, p.error) for p in run.phases] == [("inner", "exit code 5")]


def test_a_name_that_is_not_unicode_is_a_name_all_the_same(tmp_path: Path) -> None:
    run = meter(tmp_path, "sh", "-c", f"n=$(printf 'caf\\351'); {MARK} begin $n; {MARK} end $n")

    assert [(p.name, p.end_ns is not None) for p in run.phases] == [("caf?", True)]


def test_a_command_has_the_signals_that_it_would_have_without_us() -> None:
    inner = "kill -INT $$; echo survived"
    marked = f"{MARK} run x -- sh -c '{inner}'"
    for script, wanted in (
        (f"trap '' INT; {marked}", "survived\n"),
        (f"{marked}; echo $?", "130\n"),
    ):
        done = subprocess.run(
            ["sh", "-c", script], env=environ(), capture_output=True, text=True, timeout=20
        )
        assert done.stdout == wanted


def test_an_interrupt_is_left_to_the_command(tmp_path: Path) -> None:
    inner = "trap 'echo tidied; exit 4' INT; echo ready; while :; do sleep 0.05; done"
    file = tmp_path / "marks"
    file.touch()
    marker = subprocess.Popen(
        [*MARK.split(), "run", "x", "--", "sh", "-c", inner],
        env=environ(VIDMETER_MARK_FILE=str(file)), stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert marker.stdout is not None
    assert marker.stdout.readline() == "ready\n"

    os.killpg(marker.pid, signal.SIGINT)

    assert marker.communicate(timeout=20)[0] == "tidied\n"
    assert marker.returncode == 4
    begin, end = (json.loads(line) for line in file.read_text().splitlines())
    assert (begin["mark"], end["mark"], end["error"]) == ("begin", "end", "exit code 4")


def test_marking_imports_little() -> None:
    code = """
import sys
from vidmeter.cli import main
main(["mark", "begin", "x"])
print(*sorted({"typing", "dataclasses", "inspect", "pathlib", "asyncio", "numpy", "psutil",
               "subprocess", "pynvml"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env=environ(), capture_output=True, text=True,
        timeout=20, check=True,
    )  # fmt: skip

    assert done.stdout == "\n"


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


@pytest.mark.parametrize(
    "call", ["begin", "begin a b", "work many:tokens", "run x", "end a b", "foo", ""]
)
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
