"""The pulsing load marks what it does, and says so where it can do nothing."""

import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from vidmeter.meter import marks
from vidmeter.meter.markreader import MarkReader
from vidmeter.workloads.pulses import Stretch, perform, program

ROOT = Path(__file__).parents[2]


def test_the_stretches_of_load_are_marked_as_they_were(tmp_path: Path) -> None:
    marks.use_folder(tmp_path)
    worked: list[tuple[int, int]] = []

    def work(seconds: float) -> None:
        start = time.monotonic_ns()
        time.sleep(seconds)
        worked.append((start, time.monotonic_ns()))

    try:
        perform(
            iter([Stretch(0.05, False), *[Stretch(0.02, on) for on in (True, False)] * 5]), work
        )
    finally:
        marks.use_folder(None)

    phases = MarkReader(tmp_path).read().phases
    assert [p.name for p in phases] == ["on"] * 5
    for phase, (start, end) in zip(phases, worked, strict=True):
        assert phase.end_ns is not None
        assert 0 <= start - phase.start_ns < 5e6
        assert 0 <= phase.end_ns - end < 5e6
    for before, after in pairwise(phases):
        assert before.end_ns is not None
        assert (after.start_ns - before.end_ns) / 1e9 == pytest.approx(0.02, abs=0.01)


def test_the_program_shows_everything_within_a_minute() -> None:
    stretches = list(program(52))
    assert sum(s.seconds for s in stretches) < 55
    assert any(not s.on and s.seconds >= 10.5 for s in stretches)
    assert any(s.on and s.seconds >= 10.5 for s in stretches)
    assert sum(1.2 <= s.seconds <= 2 and s.on for s in stretches) >= 3
    short = [s.seconds for s in stretches if s.seconds < 0.2]
    assert len(short) > 100
    assert len({round(s, 4) for s in short}) > 0.9 * len(short)


def test_a_late_start_leaves_enough_of_the_random_part() -> None:
    assert sum(s.seconds < 0.2 for s in program(10)) > 60


def test_without_cuda_it_says_so_in_one_line_and_waits() -> None:
    start = time.monotonic()
    done = subprocess.run(
        [
            sys.executable, "-m", "vidmeter.workloads.pulses", "--gpu", "GPU-none",
            "--quiet", "0.2",
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip

    assert done.returncode == 0
    assert done.stderr.startswith("vidmeter: no load is made: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert time.monotonic() - start > 0.2
