"""By how much a program that computes is slower while the sampler is at work beside it.

Under one `vidmeter run` (eight simulated GPUs, 20 Hz) a program computes the same slice again and
again and times each. In every round it computes one slice while the sampler runs and two while the
sampler is stopped (SIGSTOP), in shuffled order: the program, its memory and its core stay the
same, which separate runs of it don't. The second stopped slice is the control: how far it lies
from the first is how far this machine can be believed. Starting and ending aren't counted.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO

from gpus import COUNT, simulated
from side_by_side import Benchmark, estimate, interleaved, options, slower_pct

from vidmeter.meter.errors import BadRun
from vidmeter.meter.reader import read_facts

GOAL_PCT = 0.5
SLICE = """
import sys, time
{setup}
for _ in sys.stdin:
    started = time.perf_counter()
    {work}
    print(time.perf_counter() - started, flush=True)
"""
PYTHON_LOOP = SLICE.format(
    setup="def work(n):\n    total = 0\n    for i in range(n):\n        total += i * i % 7",
    work="work(4_000_000)",
)
NUMPY_PRODUCT = SLICE.format(
    setup="import numpy as np\na = np.random.default_rng(0).random((768, 768))",
    work="for _ in range(15): a @ a",
)
PROGRAMS = {"Python loop": PYTHON_LOOP, "numpy matrix product, one thread": NUMPY_PRODUCT}
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=200, metavar="N")
    arguments = parser.parse_args()
    rounds = 5 if arguments.quick else arguments.rounds
    bench = Benchmark("slowdown", arguments.quick)
    bench.facts = {"rounds": rounds, "rate_hz": 20, "gpus": COUNT}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gpus = simulated(folder)
        if gpus is None:
            raise SystemExit("no C compiler to build the simulated driver with: apt install gcc")
        for label, program in PROGRAMS.items():
            compare(bench, label, program, gpus | ONE_THREAD, folder, rounds)
    bench.finish(arguments.output)


def compare(
    bench: Benchmark,
    label: str,
    program: str,
    environ: Mapping[str, str],
    folder: Path,
    rounds: int,
) -> None:
    """One program, with the sampler at work and stopped."""
    path = folder / f"{time.monotonic_ns()}.vidmeter"
    run = [sys.executable, "-m", "vidmeter", "run", "--quiet", "-o", str(path), "--"]
    with subprocess.Popen(
        [*run, sys.executable, "-c", program],
        cwd=folder, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        sampler = sampler_of(path)
        one = partial(slice_s, process.stdin, process.stdout, sampler)
        arms: dict[str, Callable[[], float]] = {
            "stopped": partial(one, signal.SIGSTOP),
            "stopped again": partial(one, signal.SIGSTOP),
            "at work": partial(one, signal.SIGCONT),
        }
        taken = interleaved(arms, rounds, warm_up=3)
        os.kill(sampler, signal.SIGCONT)
        process.stdin.close()
    bench.raw[label] = taken
    for arm, what, goal in (
        ("at work", "with the sampler at work", GOAL_PCT),
        ("stopped again", "without it, once more (control)", None),
    ):
        found = estimate(slower_pct, taken[arm], taken["stopped"])
        bench.add(f"{label}, slower {what}", found, "%", goal=goal)


def slice_s(ask: IO[str], told: IO[str], sampler: int, state: signal.Signals) -> float:
    """What one slice took, s, with the sampler stopped or at work."""
    os.kill(sampler, state)
    ask.write("\n")
    ask.flush()
    return float(told.readline())


def sampler_of(path: Path) -> int:
    """The sampler's process, as the run file names it."""
    while True:
        time.sleep(0.05)
        try:
            return int(read_facts(path)["recorder_pid"])
        except BadRun:
            continue  # it isn't there yet


if __name__ == "__main__":
    main()
