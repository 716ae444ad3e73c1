"""What a mark costs the metered program: a phase around nothing, and a word on work.

In the order of a program's life the marks go to a file that the sampler reads from time to time;
here nobody reads it, which costs the program the same.
"""

import os
import tempfile
import time
from collections.abc import Callable
from functools import partial

from side_by_side import Benchmark, estimate, interleaved, median, options

import vidmeter
from vidmeter.meter.marks import MARKS_ENV

CALLS = 2000


def main() -> None:
    arguments = options(__doc__).parse_args()
    bench = Benchmark("marks", arguments.quick)
    with tempfile.TemporaryDirectory() as folder:
        arms: dict[str, Callable[[], float]] = {
            "a call of an empty function": partial(per_call_us, bare, None),
            "`with phase(...)`, begin and end": partial(per_call_us, one_phase, folder),
            "`work(...)`": partial(per_call_us, one_work, folder),
            "`with phase(...)` when nobody meters": partial(per_call_us, one_phase, None),
            "`work(...)` when nobody meters": partial(per_call_us, one_work, None),
        }
        taken = interleaved(arms, 5 if bench.quick else 200)
    bench.raw["per_call_us"] = taken
    bench.facts["calls_per_repeat"] = CALLS
    for name, values in taken.items():
        found, goal = estimate(median, values), None
        if name == "`work(...)`":
            goal = 20.0
        if name.endswith("begin and end"):
            goal = 40.0  # two marks
        bench.add(name, found, "µs", goal=goal)
    bench.finish(arguments.output)


def bare() -> None:
    """Nothing."""


def one_phase() -> None:
    with vidmeter.phase("denoise"):
        pass


def one_work() -> None:
    vidmeter.work(frames=81, fps=16, width=832, height=480)


def per_call_us(function: Callable[[], None], folder: str | None) -> float:
    """The mean time of a call, µs; marks go to `folder`, or nowhere."""
    os.environ.pop(MARKS_ENV, None)
    if folder:
        os.environ[MARKS_ENV] = folder
    started = time.perf_counter_ns()
    for _ in range(CALLS):
        function()
    return (time.perf_counter_ns() - started) / CALLS / 1000


if __name__ == "__main__":
    main()
