"""By how much a program that computes is slower under `vidmeter run`.

The program times its own inner loop, so that starting doesn't count. Each round runs it bare, bare
once more, and metered with eight simulated GPUs at 20 Hz, in shuffled order. The second bare arm
is the control: how far it lies from the first is how far this machine can be believed.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from gpus import COUNT, simulated
from side_by_side import Benchmark, estimate, interleaved, options, slower_pct

GOAL_PCT = 0.5
PYTHON_LOOP = """
import time
def work(n):
    total = 0
    for i in range(n):
        total += i * i % 7
    return total
work(100_000)
started = time.perf_counter()
work(8_000_000)
print(time.perf_counter() - started)
"""
NUMPY_PRODUCT = """
import time
import numpy as np
a = np.random.default_rng(0).random((768, 768))
a @ a
started = time.perf_counter()
for _ in range(30):
    a @ a
print(time.perf_counter() - started)
"""
PROGRAMS = {"Python loop": PYTHON_LOOP, "numpy matrix product, one thread": NUMPY_PRODUCT}
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=60, metavar="N")
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
    """One program, bare and metered."""
    child = [sys.executable, "-c", program]
    path = folder / "run.vidmeter"
    run = [sys.executable, "-m", "vidmeter", "run", "--quiet", "--force", "-o", str(path), "--"]
    seconds = partial(inner_s, environ=environ, folder=folder)
    arms: dict[str, Callable[[], float]] = {
        "bare": partial(seconds, child),
        "bare again": partial(seconds, child),
        "metered": partial(seconds, [*run, *child]),
    }
    taken = interleaved(arms, rounds)
    bench.raw[label] = taken
    for arm, what, goal in (
        ("metered", "under `vidmeter run`", GOAL_PCT),
        ("bare again", "bare once more (control)", None),
    ):
        found = estimate(slower_pct, taken[arm], taken["bare"])
        bench.add(f"{label}, slower {what}", found, "%", goal=goal)


def inner_s(command: list[str], environ: Mapping[str, str], folder: Path) -> float:
    """What the program says that its inner loop took, s."""
    told = subprocess.run(
        command, env=environ, cwd=folder, stdout=subprocess.PIPE, text=True, check=True
    )
    return float(told.stdout)


if __name__ == "__main__":
    main()
