"""What a mark costs the metered program: a phase around nothing, and a word on work.

The marks go to a file that the sampler reads from time to time; here nobody reads it, which costs
the program the same.
"""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import vidmeter
from benchmarks.side_by_side import Benchmark, estimate, interleaved, median
from vidmeter.meter import marks

CALLS = 2000


def measure(bench: Benchmark, folder: Path, rounds: int, *, goal_us: float) -> None:
    """Add what marks cost to a benchmark."""
    arms: dict[str, tuple[Callable[[], None], Path | None, float | None]] = {
        "a call of an empty function": (bare, None, None),
        "`with phase(...)`, begin and end": (one_phase, folder, 2 * goal_us),
        "one mark of the hook": (one_mark, folder, goal_us),
        "`work(...)`": (one_work, folder, goal_us),
        "`with phase(...)` when nobody meters": (one_phase, None, None),
        "`work(...)` when nobody meters": (one_work, None, None),
    }
    taken = interleaved(
        {name: partial(per_call_us, do, where) for name, (do, where, _) in arms.items()}, rounds
    )
    bench.raw["per_call_us"] = taken
    bench.facts["calls_per_repeat"] = CALLS
    for name, (_, _, goal) in arms.items():
        bench.add(name, estimate(median, taken[name]), "µs", goal=goal)


def bare() -> None:
    """Nothing."""


def one_phase() -> None:
    with vidmeter.phase("denoise"):
        pass


def one_mark() -> None:
    marks.begin("step")


def one_work() -> None:
    vidmeter.work(frames=81, fps=16, width=832, height=480)


def per_call_us(function: Callable[[], None], folder: Path | None) -> float:
    """The mean time of a call, µs; marks go to `folder`, or nowhere."""
    os.environ.pop(marks.MARKS_ENV, None)
    if folder:
        os.environ[marks.MARKS_ENV] = str(folder)
    started = time.perf_counter_ns()
    for _ in range(CALLS):
        function()
    return (time.perf_counter_ns() - started) / CALLS / 1000
