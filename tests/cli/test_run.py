"""`vidmeter run` as a user has it: real commands, real files, a fake sensor."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Place
from vidmeter.meter.reader import load
from vidmeter.meter.summarize import summarize

VIDEO = """
import sys, time
from pathlib import Path
import av, numpy
time.sleep(float(sys.argv[2]))
with av.open(sys.argv[1], "w") as out:
    stream = out.add_stream("libx264", rate=16)
    stream.width, stream.height, stream.pix_fmt = 192, 128, "yuv420p"
    for i in range(32):
        frame = av.VideoFrame.from_ndarray(numpy.full((128, 192, 3), i * 7, "uint8"))
        out.mux(stream.encode(frame))
    out.mux(stream.encode())
"""


def test_a_script_that_writes_a_video_gets_joules_per_second_of_it(place: Place) -> None:
    (place.folder / "gen.py").write_text(VIDEO)

    done = place.vidmeter(
        "run", "--sensor", place.curve(), "--json", "s.json",
        "--", sys.executable, "gen.py", "clip.mp4", "0.5",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    summary = json.loads((place.folder / "s.json").read_text())
    seconds = summary["window"]["duration_s"]
    assert summary["total"]["energy_j"] == pytest.approx(100 * seconds, rel=1e-3)
    assert summary["work"]["video_seconds"] == 2.0
    assert summary["work"]["frames"] == 32
    per_unit = summary["per_unit"]
    assert per_unit["j_per_video_second"] == pytest.approx(summary["total"]["energy_j"] / 2)
    assert per_unit["j_per_frame"] == pytest.approx(summary["total"]["energy_j"] / 32)
    assert per_unit["wh_per_clip"] == pytest.approx(summary["total"]["energy_j"] / 3600)
    pixels = 32 * 192 * 128 / 1e6
    assert per_unit["j_per_megapixel_frame"] == pytest.approx(summary["total"]["energy_j"] / pixels)
    assert "J per second of video" in done.stderr
    assert "SIMULATED" in done.stderr


def test_a_command_that_writes_over_the_run_file_still_ends_as_it_ended(place: Place) -> None:
    (place.folder / "over.sh").write_text(
        "sleep 0.5; head -c 300000 /dev/zero > r.vidmeter; exit 7"
    )

    done = place.vidmeter(
        "run", "--sensor", place.curve(), "-o", "r.vidmeter", "--", "sh", "over.sh"
    )

    assert done.returncode == 7, done.stderr
    assert "r.vidmeter" in done.stderr
    assert "Traceback" not in done.stderr


def test_input_output_and_exit_code_are_the_commands_own(place: Place) -> None:
    code = "import sys; sys.stdout.write(sys.stdin.read().upper()); sys.stderr.write('e'); exit(7)"

    done = place.vidmeter(
        "run", "-q", "--sensor", place.curve(), "--", sys.executable, "-c", code, input="abc\0d"
    )

    assert (done.stdout, done.stderr, done.returncode) == ("ABC\0D", "e", 7)


def test_a_sitecustomize_that_prints_disturbs_nobody(place: Place) -> None:
    (place.folder / "sitecustomize.py").write_text("print('site', flush=True)\n")
    path = os.pathsep.join([str(place.folder), str(ROOT)])

    ended = place.vidmeter(
        "run", "--quiet", "--sensor", place.curve(), "--", sys.executable, "-c", "print('script')",
        env=place.environ | {"PYTHONPATH": path},
    )  # fmt: skip

    # Once in vidmeter itself, once in the script.
    assert (ended.returncode, ended.stdout) == (0, "site\nsite\nscript\n"), ended.stderr


def test_options_after_the_command_belong_to_it(place: Place) -> None:
    code = "import sys, time; time.sleep(0.3); print(sys.argv[1:])"

    for before in (["--"], []):
        done = place.vidmeter(
            "run", "--sensor", place.curve(), *before,
            sys.executable, "-c", code, "--quiet", "-o", "x", "--", "--json",
        )  # fmt: skip
        assert done.stdout == "['--quiet', '-o', 'x', '--', '--json']\n"
        assert "100 W" in done.stderr


@pytest.mark.parametrize(
    ("command", "code"), [("no-such-program", 127), ("./plain.txt", 126), ("./", 126)]
)
def test_what_can_not_be_started_is_told_in_a_line_and_leaves_no_run(
    place: Place, command: str, code: int
) -> None:
    (place.folder / "plain.txt").write_text("text")

    done = place.vidmeter("run", "--sensor", place.curve(), "--", command)

    assert done.returncode == code
    assert len(done.stderr.splitlines()) == 1
    assert place.runs == []


def test_a_failing_command_still_gets_its_summary(place: Place) -> None:
    done = place.vidmeter("run", "--sensor", place.curve(), "--", "sh", "-c", "sleep 0.3; exit 9")

    assert done.returncode == 9
    assert "exit code 9" in done.stderr
    assert "100 W" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
def test_a_command_killed_by_a_signal_ends_vidmeter_by_the_same(
    place: Place, number: signal.Signals
) -> None:
    done = place.vidmeter(
        "run", "--sensor", place.curve(), "--", "sh", "-c", f"sleep 0.3; kill -{number:d} $$"
    )

    assert done.returncode == -number
    assert load(place.runs[0]).exit_code == 128 + number
    assert "100 W" in done.stderr


def test_the_run_is_whole_after_vidmeter_was_terminated(place: Place) -> None:
    process = subprocess.Popen(
        place.command("run", "--sensor", place.curve(), "--", "sleep", "30"),
        cwd=place.folder, env=place.environ, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for_samples(place)
    process.terminate()
    _, stderr = process.communicate(timeout=10)

    assert process.returncode == -signal.SIGTERM
    assert "100 W" in stderr
    run = load(place.runs[0])
    assert run.exit_code == 128 + signal.SIGTERM
    assert [p.name for p in place.runs[0].parent.iterdir()] == [place.runs[0].name]


@pytest.mark.parametrize("victims", ["vidmeter", "sampler", "child", "vidmeter and sampler"])
def test_a_kill_at_any_instant_leaves_a_whole_run_and_no_process(
    place: Place, victims: str, request: pytest.FixtureRequest
) -> None:
    process = subprocess.Popen(
        place.command("run", "--sensor", place.curve(), "--", "sleep", "4711"),
        cwd=place.folder, env=place.environ, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    request.addfinalizer(process.kill)
    wait_for_samples(place)
    children = children_of(process.pid)
    sampler = next(p for p, line in children.items() if "service" in line)
    child = next(p for p, line in children.items() if line.startswith("sleep"))
    time.sleep(0.6)
    if victims == "sampler":
        os.kill(sampler, signal.SIGKILL)
        time.sleep(0.3)
        os.kill(child, signal.SIGTERM)
    elif victims == "child":
        os.kill(child, signal.SIGKILL)
    else:
        if "sampler" in victims:
            os.kill(sampler, signal.SIGKILL)
        process.kill()
    process.communicate(timeout=10)
    until = time.monotonic() + 8
    while time.monotonic() < until and any(lives(p) for p in (sampler, child)):
        time.sleep(0.05)

    assert not lives(child)
    assert not lives(sampler)
    run = load(place.runs[0])
    summary = summarize(run)
    covered_s = (summary.total.covered_j or 0) / 100
    assert covered_s >= 0.4
    kinds = {c.kind for c in summary.cautions}
    if victims == "sampler":
        assert "sampler_died" in kinds
        assert run.exit_code == 128 + signal.SIGTERM
    if victims == "vidmeter":
        assert "abandoned" in kinds
    if victims == "vidmeter and sampler":
        assert "unfinished" in kinds


def test_a_run_can_be_looked_at_while_it_grows(place: Place) -> None:
    until_told = ("sh", "-c", "until [ -e enough ]; do sleep 0.1; done")
    with subprocess.Popen(
        place.command("run", "-q", "--sensor", place.curve(), "--", *until_told),
        cwd=place.folder, env=place.environ,
    ):  # fmt: skip
        try:
            wait_for_samples(place)
            shown = place.vidmeter("show")
            listed = place.vidmeter("list", "--json")
        finally:
            (place.folder / "enough").touch()

    assert shown.returncode == 0
    assert "100 W" in shown.stdout
    assert json.loads(listed.stdout)[0]["state"] == "running"


def test_phases_of_the_program_and_of_its_children_are_in_the_summary(place: Place) -> None:
    (place.folder / "child.py").write_text(
        "import time, vidmeter\nwith vidmeter.phase('decode'): time.sleep(0.3)\n"
    )
    (place.folder / "gen.py").write_text(
        "import subprocess, sys, time, vidmeter\n"
        "with vidmeter.measure('clip') as m:\n"
        "    with vidmeter.phase('denoise'): time.sleep(0.4)\n"
        "    vidmeter.work(frames=48, fps=16)\n"
        "subprocess.run([sys.executable, 'child.py'], check=True)\n"
        "print(m.energy_j / m.duration_s)\n"
    )

    done = place.vidmeter(
        "run", "--sensor", place.curve(), "--json", "s.json", "--", sys.executable, "gen.py"
    )

    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(100, rel=1e-3)
    summary = json.loads((place.folder / "s.json").read_text())
    phases = {tuple(p["path"]): p for p in summary["phases"]}
    assert set(phases) == {("clip",), ("clip", "denoise"), ("decode",)}
    for phase in phases.values():
        assert phase["energy_j"] == pytest.approx(100 * phase["duration_s"], rel=1e-3)
    assert phases["clip",]["per_unit"]["j_per_video_second"] == pytest.approx(
        phases["clip",]["energy_j"] / 3
    )
    assert summary["work"]["origin"] == "program"
    parts = phases["clip",]["energy_j"] + phases["decode",]["energy_j"] + summary["unattributed_j"]
    assert parts == pytest.approx(summary["total"]["energy_j"], rel=1e-9)


def test_a_program_that_dies_inside_a_phase_leaves_it_open_and_said(place: Place) -> None:
    code = (
        "import os, time, vidmeter\n"
        "with vidmeter.phase('denoise'):\n    time.sleep(0.5); os.kill(os.getpid(), 9)\n"
    )

    done = place.vidmeter("run", "--sensor", place.curve(), "--", sys.executable, "-c", code)

    assert done.returncode == -9
    (row,) = [line for line in done.stderr.splitlines() if line.startswith("  denoise ")]
    assert row.endswith("  left open")
    assert "the program ended inside denoise" in done.stderr


def test_stated_work_stands_over_what_is_found(place: Place) -> None:
    (place.folder / "gen.py").write_text(VIDEO)

    place.vidmeter(
        "run", "--sensor", place.curve(), "--json", "s.json", "--video-seconds", "5",
        "--work", "512:tokens", "--", sys.executable, "gen.py", "clip.mp4", "0.2",
    )  # fmt: skip

    summary = json.loads((place.folder / "s.json").read_text())
    assert (summary["work"]["video_seconds"], summary["work"]["origin"]) == (5.0, "user")
    assert summary["per_unit"]["j_per_token"] == pytest.approx(summary["total"]["energy_j"] / 512)


def test_a_lost_gpu_is_incomplete_and_the_others_go_on(place: Place) -> None:
    sensor = place.curve(
        {"name": "Stays", "curve": [[0, 100]]},
        {"name": "Goes", "curve": [[0, 100]], "lost_after_s": 0.5},
    )

    done = place.vidmeter("run", "--sensor", sensor, "--json", "s.json", "--", "sleep", "1.5")

    assert done.returncode == 0
    summary = json.loads((place.folder / "s.json").read_text())
    stays, goes = summary["devices"]
    assert stays["energy_j"] == pytest.approx(150, rel=0.02)
    assert goes["energy_j"] is None
    assert goes["covered_j"] == pytest.approx(50, rel=0.5)
    assert goes["coverage"] < 0.6
    assert summary["total"]["energy_j"] is None
    assert {"device_lost", "incomplete"} <= {c["kind"] for c in summary["cautions"]}


def test_without_a_gpu_it_says_what_is_not_measured_and_what_is_instead(place: Place) -> None:
    done = place.vidmeter("run", "--", "sleep", "0.3")

    first = done.stderr.splitlines()[0]
    if "no GPU is measured" not in first:
        pytest.skip("this machine has a GPU")
    assert done.returncode == 0
    assert "libnvidia-ml.so.1" in first
    assert "instead: " in first
    assert "MODELLED" in done.stderr or "package" in done.stderr


def test_stated_watts_of_the_processor_are_used_and_named(place: Place) -> None:
    place.vidmeter(
        "run", "--cpu-watts", "1000", "--sensor", "modelled", "--json", "s.json",
        "--", sys.executable, "-c", "for i in range(5 * 10**6): pass",
    )  # fmt: skip

    summary = json.loads((place.folder / "s.json").read_text())
    (device,) = summary["devices"]
    assert device["provenance"] == "modelled"
    assert device["low_j"] < device["energy_j"] < device["high_j"]
    per_cpu = 1000 / (os.cpu_count() or 1)
    assert device["facts"]["watts_per_busy_cpu"] == pytest.approx(per_cpu)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "which command"),
        (["run", "--sensor", "fake:none.json", "--", "true"], "can't read"),
        (["run", "--sensor", "other", "--", "true"], "no sensor is called"),
        (["run", "-o", "/proc/none/x.vidmeter", "--", "true"], "--output"),
        (["show", "none"], "vidmeter list"),
        (["show", "gen.py"], "not a vidmeter run"),
        (["rm", "none"], "vidmeter list"),
    ],
)
def test_a_mistake_in_the_call_is_one_line_and_exit_2(
    place: Place, arguments: list[str], message: str
) -> None:
    (place.folder / "gen.py").write_text("")

    done = place.vidmeter(*arguments)

    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_existing_output_is_refused_before_the_command_starts(place: Place) -> None:
    place.vidmeter("run", "-q", "--sensor", place.curve(), "-o", "a.vidmeter", "--", "true")

    again = place.vidmeter("run", "--sensor", place.curve(), "-o", "a.vidmeter", "--", "touch", "x")
    forced = place.vidmeter("run", "-q", "--sensor", place.curve(), "-f", "-o", "a.vidmeter",
                            "--", "true")  # fmt: skip

    assert again.returncode == 2
    assert "--force" in again.stderr
    assert not (place.folder / "x").exists()
    assert forced.returncode == 0


def test_a_full_disk_does_not_stop_the_command_and_the_loss_is_said(
    place: Place, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)],
        capture_output=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip("may not mount a small disk here")
    try:
        done = place.vidmeter(
            "run", "--sensor", place.curve(), "-o", str(small / "a.vidmeter"), "--",
            "sh", "-c", f"sleep 0.5; cat /dev/zero > {small}/fill; sleep 1.2; echo done",
        )  # fmt: skip
        full = place.vidmeter("run", "-o", str(small / "b.vidmeter"), "--", "touch", "started")
    finally:
        subprocess.run(["umount", "-l", str(small)], check=False)

    assert done.returncode == 0
    assert done.stdout == "done\n"
    assert "samples were lost" in done.stderr or "full" in done.stderr
    assert full.returncode == 2
    assert "full" in full.stderr
    assert not (place.folder / "started").exists()


def test_a_replayed_run_has_the_energy_of_the_first(place: Place) -> None:
    place.vidmeter("run", "-q", "--sensor", place.curve(), "-o", "a.vidmeter", "--", "sleep", "1")

    place.vidmeter(
        "run", "-q", "--sensor", "replay:a.vidmeter", "-o", "b.vidmeter", "--", "sleep", "0.8"
    )

    summary = summarize(load(place.folder / "b.vidmeter"))
    assert summary.simulated
    assert summary.total.energy_j == pytest.approx(100 * summary.duration_s, rel=0.01)


def test_export_list_and_rm_do_what_they_say(place: Place) -> None:
    for _ in range(2):
        place.vidmeter("run", "-q", "--sensor", place.curve(), "--", "true")
    first, second = place.runs

    listed = place.vidmeter("list")
    removed = place.vidmeter("rm", first.stem)

    assert [line.split()[0] for line in listed.stdout.splitlines()] == [first.stem, second.stem]
    assert removed.returncode == 0
    assert place.runs == [second]
    with closing(sqlite3.connect(second)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def wait_for_samples(place: Place) -> None:
    """Until the run in progress holds samples of its command."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if place.runs:
            run = load(place.runs[0])
            if run.traces and max(t.t_ns[-1] for t in run.traces.values()) > run.start_ns + 5e8:
                return
        time.sleep(0.05)
    raise AssertionError("no samples")


def children_of(pid: int) -> dict[int, str]:
    found = {}
    for task in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found[int(task)] = Path(f"/proc/{task}/cmdline").read_text().replace("\0", " ")
    return found


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
