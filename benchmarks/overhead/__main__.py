"""What the hook costs: a diffusers run with and without it, a mark, and a Python's start.

python -m benchmarks.overhead, from the root of the repository, with a Python that has the reference
workloads (`pip install -e '.[workloads]'`). On a machine with a GPU, `--device cuda`.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import IO

from benchmarks.overhead import marks
from benchmarks.side_by_side import (
    Benchmark,
    Estimate,
    estimate,
    interleaved,
    options,
    over,
    slower_pct,
)
from vidmeter.meter.instrument import hook
from vidmeter.meter.marks import MARKS_ENV

ROOT = Path(__file__).parents[2]
SLOWER_PCT, MARK_US, START_MS = 0.5, 20.0, 50.0


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")
    parser.add_argument("--rounds", type=int, default=40, metavar="N", help="calls of each arm")
    arguments = parser.parse_args()
    bench = Benchmark("overhead", arguments.quick)
    rounds = 2 if bench.quick else arguments.rounds
    settings = ("steps=2", "frames=5") if bench.quick else ("steps=10", "frames=9")
    bench.versions = {name: metadata.version(name) for name in ("torch", "diffusers")}
    bench.facts = {"device": arguments.device, "rounds": rounds, "settings": settings}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        slowdown(bench, folder, arguments.device, settings, rounds)
        startup(bench, folder, 5 if bench.quick else 100)
        marks.measure(bench, folder, 5 if bench.quick else 200, goal_us=MARK_US)
    bench.finish(arguments.output)


def slowdown(
    bench: Benchmark, folder: Path, device: str, settings: tuple[str, ...], rounds: int
) -> None:
    """One pipeline, called with the hook, without it, and in deep mode."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.overhead.program", device, *settings],
        cwd=ROOT, env=hooked(folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "ready\n", "the pipeline could not be built"
        one = partial(call_s, process.stdin, process.stdout)
        ways = ("plain", "plain again", "hooked", "modules")
        arms = {way: partial(one, way.removesuffix(" again")) for way in ways}
        taken = interleaved(arms, rounds, warm_up=2)
        empty = {way: partial(one, f"empty {way}") for way in ("plain", "hooked")}
        around = interleaved(empty, 10 * rounds, warm_up=5)
        process.stdin.close()
    bench.raw |= {"call_s": taken, "empty_call_s": around}
    usual_s = sorted(taken["plain"])[rounds // 2]
    what = f"Wan 2.1 tiny on {device}, {settings[0]}, a call of {usual_s:.2g} s"
    added = estimate(over, around["hooked"], around["plain"])
    bench.add(f"{what}: marking adds", scaled(added, 1e3), "ms")
    bench.add(f"{what}: that is", scaled(added, 100 / usual_s), "%", goal=SLOWER_PCT)
    for arm, how in (
        ("hooked", "slower with phases marked, as measured"),
        ("plain again", "slower without, once more (control)"),
        ("modules", "slower with `--profile modules`"),
    ):
        bench.add(f"{what}: {how}", estimate(slower_pct, taken[arm], taken["plain"]), "%")


def scaled(estimate: Estimate, factor: float) -> Estimate:
    """An estimate in another unit."""
    return Estimate(*(factor * value for value in estimate))


def call_s(ask: IO[str], told: IO[str], way: str) -> float:
    """What one call took, s."""
    ask.write(f"{way}\n")
    ask.flush()
    return float(told.readline())


def startup(bench: Benchmark, folder: Path, rounds: int) -> None:
    """What the hook adds to the start of a Python, and that it brings no framework in."""
    code = "import sys; sys.exit('torch' in sys.modules)"
    plain = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    arms: dict[str, Callable[[], float]] = {
        "plain": partial(start_ms, code, plain),
        "hooked": partial(start_ms, code, hooked(folder)),
    }
    taken = interleaved(arms, rounds, warm_up=3)
    bench.raw["start_ms"] = taken
    found = estimate(over, taken["hooked"], taken["plain"])
    bench.add("a Python's start is longer by", found, "ms", goal=START_MS)


def start_ms(code: str, environ: dict[str, str]) -> float:
    """How long a Python takes to start and end, ms."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=environ, check=True)
    return (time.perf_counter() - started) * 1e3


def hooked(folder: Path) -> dict[str, str]:
    """The environment of a program under the hook."""
    return {
        **os.environ,
        **hook.environment("phases", str(ROOT)),
        MARKS_ENV: str(folder),
        "OMP_NUM_THREADS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }


if __name__ == "__main__":
    main()
