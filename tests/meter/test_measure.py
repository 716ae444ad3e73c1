"""`measure` in real programs, with the sampler beside them and a fake sensor under it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CONSTANT = {"devices": [{"name": "Flat", "curve": [[0, 100]]}]}


def python(code: str, tmp_path: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "program.py"
    curve = tmp_path / "curve.json"
    curve.write_text(json.dumps(CONSTANT))
    script.write_text(f"SENSOR = ('fake:{curve}',)\nimport json, time, vidmeter\n{code}")
    return subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"},
        **more,
    )


def test_a_block_is_measured_with_its_phases_and_work(tmp_path: Path) -> None:
    done = python(
        """
with vidmeter.measure("clip", sensors=SENSOR) as m:
    with vidmeter.phase("denoise"):
        time.sleep(0.6)
    with vidmeter.phase("decode"):
        time.sleep(0.4)
        vidmeter.work(frames=32, fps=16, width=100, height=100)
print(json.dumps([m.energy_j, m.duration_s, m.low_j, m.high_j,
    [[p.path[0], p.total.energy_j, p.duration_s] for p in m.phases],
    m.per_unit["j_per_video_second"].value, m.devices[0].device.name]))
""",
        tmp_path,
    )

    assert done.stderr == ""
    energy_j, duration_s, low_j, high_j, phases, per_second, name = json.loads(done.stdout)
    assert energy_j == pytest.approx(100 * duration_s, rel=1e-6)
    assert low_j < energy_j < high_j
    assert [p[0] for p in phases] == ["denoise", "decode"]
    for _, joules, seconds in phases:
        assert joules == pytest.approx(100 * seconds, rel=1e-6)
    assert per_second == pytest.approx(energy_j / 2)
    assert name == "Flat"


def test_decorated_functions_of_every_sort_are_measured(tmp_path: Path) -> None:
    done = python(
        """
import asyncio
seen = []
@vidmeter.measure
def bare(): time.sleep(0.3); return "bare"
@vidmeter.measure("named", sensors=SENSOR, on_end=seen.append)
def named(x): time.sleep(0.3); return x
@vidmeter.measure()
async def coroutine(): await asyncio.sleep(0.3); return "async"
@vidmeter.measure()
def generator():
    for i in range(3):
        time.sleep(0.1); yield i
assert named("x") == "x" and bare() == "bare"
assert asyncio.run(coroutine()) == "async" and list(generator()) == [0, 1, 2]
assert bare.__name__ == "bare" and [m.name for m in seen] == ["named"]
print(json.dumps([[f.measurement.energy_j, f.measurement.duration_s]
                  for f in (named, bare, coroutine, generator)]))
""",
        tmp_path,
    )

    assert done.stderr == ""
    for joules, seconds in json.loads(done.stdout):
        assert joules == pytest.approx(100 * seconds, rel=1e-6)


def test_measurements_nest_and_share_one_sampler(tmp_path: Path) -> None:
    done = python(
        """
import psutil
with vidmeter.measure("outer", sensors=SENSOR) as outer:
    time.sleep(0.2)
    with vidmeter.measure("inner") as inner:
        time.sleep(0.4)
    samplers = len(psutil.Process().children())
print(json.dumps([outer.energy_j, outer.duration_s, inner.energy_j, inner.duration_s,
                  [list(p.path) for p in outer.phases], samplers]))
""",
        tmp_path,
    )

    outer_j, outer_s, inner_j, inner_s, phases, samplers = json.loads(done.stdout)
    assert outer_j == pytest.approx(100 * outer_s, rel=1e-6)
    assert inner_j == pytest.approx(100 * inner_s, rel=1e-6)
    assert phases == [["inner"]]
    assert samplers == 1


def test_an_exception_closes_the_window_and_goes_on(tmp_path: Path) -> None:
    done = python(
        """
try:
    with vidmeter.measure("x", sensors=SENSOR) as m:
        time.sleep(0.3)
        raise LookupError("as before")
except LookupError as error:
    assert str(error) == "as before"
print(m.energy_j / m.duration_s)
""",
        tmp_path,
    )

    assert done.stderr == ""
    assert float(done.stdout) == pytest.approx(100, rel=1e-6)


def test_a_measured_run_can_be_saved_and_loaded(tmp_path: Path) -> None:
    done = python(
        """
with vidmeter.measure("x", sensors=SENSOR) as m:
    time.sleep(0.3)
m.run.save("kept.vidmeter")
run = vidmeter.load("kept.vidmeter")
from vidmeter.meter.summarize import summarize
s = summarize(run)
print(json.dumps([m.energy_j, s.total.energy_j, [c.kind for c in s.cautions]]))
""",
        tmp_path,
        cwd=tmp_path,
    )

    assert done.stderr == ""
    measured, loaded, cautions = json.loads(done.stdout)
    assert measured == loaded
    assert cautions == ["simulated"]


def test_asking_an_open_window_says_that_it_is_open(tmp_path: Path) -> None:
    done = python(
        """
with vidmeter.measure("x", sensors=SENSOR) as m:
    try:
        m.energy_j
    except Exception as error:
        print(type(error).__name__, error)
""",
        tmp_path,
    )

    assert done.stdout.startswith("BadRun the window 'x' is still open")


def test_no_sampler_and_no_file_is_left_when_the_program_ends_or_is_killed(
    tmp_path: Path,
) -> None:
    code = """
import os, psutil, signal, sys
with vidmeter.measure("x", sensors=SENSOR) as m:
    time.sleep(0.1)
m.energy_j
print(psutil.Process().children()[0].pid, m.run.path.parent, flush=True)
if ENDING == "killed": os.kill(os.getpid(), signal.SIGKILL)
"""
    for ending in ("ended", "killed"):
        done = python(f"ENDING = {ending!r}\n{code}", tmp_path)
        pid, folder = done.stdout.split()
        until = time.monotonic() + 5
        while time.monotonic() < until and (Path(f"/proc/{pid}").exists() or Path(folder).exists()):
            time.sleep(0.05)
        assert not Path(f"/proc/{pid}").exists(), ending
        assert not Path(folder).exists(), ending
        assert done.returncode == (0 if ending == "ended" else -signal.SIGKILL)


def test_a_forked_child_measures_with_a_sampler_of_its_own(tmp_path: Path) -> None:
    done = python(
        """
import os
with vidmeter.measure("parent", sensors=SENSOR) as m:
    time.sleep(0.1)
pid = os.fork()
if pid == 0:
    with vidmeter.measure("child", sensors=SENSOR) as c:
        time.sleep(0.3)
    print(c.energy_j / c.duration_s, flush=True)
    import sys; sys.exit(0)
os.waitpid(pid, 0)
print(m.energy_j / m.duration_s)
""",
        tmp_path,
    )

    assert done.stderr == ""
    assert [float(x) for x in done.stdout.split()] == [pytest.approx(100, rel=1e-6)] * 2


def test_a_session_does_not_sample_while_nothing_is_measured(tmp_path: Path) -> None:
    done = python(
        """
with vidmeter.measure("a", sensors=SENSOR) as a:
    time.sleep(0.2)
time.sleep(1.5)
with vidmeter.measure("b") as b:
    time.sleep(0.2)
counter = next(t for s, t in b.run.traces.items() if s.quantity == "energy_j")
quiet = [t for t in counter.t_ns if a.end_ns + 500_000_000 < t < b.start_ns - 50_000_000]
print(len(quiet), b.energy_j / b.duration_s)
""",
        tmp_path,
    )

    quiet, watts = done.stdout.split()
    assert int(quiet) == 0
    assert float(watts) == pytest.approx(100, rel=1e-6)


def test_importing_vidmeter_imports_nothing_else() -> None:
    code = """
import sys
before = set(sys.modules)
import vidmeter
print(sorted(m for m in set(sys.modules) - before if not m.startswith("vidmeter")))
vidmeter.measure
heavy = {"numpy", "torch", "pandas", "psutil", "pynvml", "av", "jinja2"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )

    assert done.stdout.splitlines()[1] == "[]"


def test_a_window_lasts_until_the_gpu_has_done_what_was_asked_in_it(tmp_path: Path) -> None:
    done = python(
        """
from tests.simulated_cuda.simulated import install
gpu = install()
gpu.launch(0.01)
from vidmeter.meter.clock import monotonic_ns
with vidmeter.measure(sensors=SENSOR) as m:
    launched_ns = monotonic_ns()
    gpu.launch(700)  # ms; the host goes on at once
window_s = (m.run.end_ns - m.run.start_ns) / 1e9
past_launch_s = (m.run.end_ns - launched_ns) / 1e9
print(json.dumps([m.duration_s, window_s, past_launch_s, m.energy_j, gpu.waits]))
""",
        tmp_path,
    )

    host_s, window_s, past_launch_s, energy_j, waits = json.loads(done.stdout)
    assert host_s < 0.3
    assert past_launch_s == pytest.approx(0.7, abs=0.03)
    assert energy_j == pytest.approx(100 * window_s, rel=0.02)
    assert waits == {}, "the GPU was asked, and not waited for"
