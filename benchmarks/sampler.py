"""What the sampler's process takes beside the program: share of a core, resident memory.

Measured from /proc over half a minute of `vidmeter run -- sleep`, at the default 20 Hz, after the
start has settled. Beside it: a bare loop that asks the same driver for power and energy as often
and keeps nothing, which nothing in Python can undercut by much, and codecarbon at its shortest
interval, one reading in a second where vidmeter takes twenty.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from gpus import COUNT, simulated
from side_by_side import Benchmark, interleaved, options, spread

from vidmeter.meter.errors import BadRun
from vidmeter.meter.reader import load, read_facts

SETTLE_S = 5.0
CORE_GOAL_PCT = 2.0
MEMORY_GOAL_MB = 30.0
RATE_HZ = 20

BARE_LOOP = """
import sys, time
import pynvml
pynvml.nvmlInit()
count = pynvml.nvmlDeviceGetCount()
handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(count)]
end = time.monotonic() + float(sys.argv[1])
due = time.monotonic()
while due < end:
    for handle in handles:
        pynvml.nvmlDeviceGetPowerUsage(handle)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    due += 0.05
    time.sleep(max(0, due - time.monotonic()))
"""


class Taken(NamedTuple):
    """What a process took: share of a core, %; resident memory now and at most, MB."""

    core_pct: float
    resident_mb: float
    peak_mb: float


def main() -> None:
    arguments = options(__doc__).parse_args()
    bench = Benchmark("sampler", arguments.quick)
    seconds = 5.0 if arguments.quick else 30.0
    bench.facts = {"seconds": seconds, "rate_hz": RATE_HZ, "gpus": COUNT}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gpus = simulated(folder)
        if gpus is None:
            raise SystemExit("no C compiler to build the simulated driver with: apt install gcc")
        measure(bench, folder, gpus, seconds)
    bench.finish(arguments.output)


def measure(bench: Benchmark, folder: Path, gpus: Mapping[str, str], seconds: float) -> None:
    """All arms, a few times each."""
    watched = {
        f"sampler, {COUNT} simulated GPUs": partial(of_sampler, folder, gpus),
        "sampler, no GPU": partial(of_sampler, folder, os.environ),
        f"bare pynvml loop, {COUNT} GPUs": partial(of_bare_loop, folder, gpus),
    }
    if Path(sys.executable).with_name("codecarbon").exists():
        watched[f"codecarbon at 1 Hz, {COUNT} GPUs"] = partial(of_codecarbon, folder, gpus)
    taken: dict[str, list[Taken]] = {name: [] for name in watched}

    def once(name: str) -> float:
        taken[name].append(watched[name](seconds))
        return taken[name][-1].core_pct

    arms: dict[str, Callable[[], float]] = {name: partial(once, name) for name in watched}
    interleaved(arms, 1 if bench.quick else 3, warm_up=0)
    for name, values in taken.items():
        bench.raw[name] = [v._asdict() for v in values]
        ours = name.startswith("sampler")
        core, memory = spread([v.core_pct for v in values]), spread([v.peak_mb for v in values])
        core_goal, memory_goal = (CORE_GOAL_PCT, MEMORY_GOAL_MB) if ours else (None, None)
        bench.add(f"{name}: of a core", core, "%", goal=core_goal, interval="range")
        bench.add(f"{name}: memory, peak", memory, "MB", goal=memory_goal, interval="range")


def of_sampler(folder: Path, environ: Mapping[str, str], seconds: float) -> Taken:
    """The sampler of `vidmeter run`, found by what the run file says of its recorder."""
    path = folder / f"{time.monotonic_ns()}.vidmeter"
    sleep = ["sleep", str(seconds + SETTLE_S + 3)]
    command = [sys.executable, "-m", "vidmeter", "run", "--quiet", "-o", str(path), "--", *sleep]
    with subprocess.Popen(command, cwd=folder, env=environ) as process:
        pid = 0
        while not pid and process.poll() is None:
            time.sleep(0.1)
            with suppress(BadRun):
                pid = read_facts(path)["recorder_pid"]
        taken = watch(pid, seconds)
        process.terminate()
    check_rate(path)
    return taken


def check_rate(path: Path) -> None:
    """A sampler that is cheap because it is late proves nothing."""
    run = load(path)
    length_s = ((run.end_ns or 0) - run.start_ns) / 1e9
    late = sum(e.count for e in run.events if e.kind == "late")
    if late > 0.05 * RATE_HZ * length_s:
        print(f"{late} of {RATE_HZ * length_s:.0f} ticks came late", file=sys.stderr)


def of_bare_loop(folder: Path, environ: Mapping[str, str], seconds: float) -> Taken:
    """The loop that does the least."""
    command = [sys.executable, "-c", BARE_LOOP, str(seconds + SETTLE_S + 3)]
    with subprocess.Popen(command, cwd=folder, env=environ) as process:
        taken = watch(process.pid, seconds)
        process.terminate()
    return taken


def of_codecarbon(folder: Path, environ: Mapping[str, str], seconds: float) -> Taken:
    """codecarbon around a command that sleeps; it measures in a thread of its own process."""
    command = [str(Path(sys.executable).with_name("codecarbon")), "monitor", "--offline"]
    command += ["--country-iso-code", "FRA", "--measure-power-secs", "1", "--"]
    command += ["sleep", str(seconds + 2 * SETTLE_S + 3)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=folder, env=environ, stdout=quiet, stderr=quiet) as process:
        time.sleep(SETTLE_S)  # it starts for longer
        return watch(process.pid, seconds)


def watch(pid: int, seconds: float) -> Taken:
    """What a process takes over some seconds, once it has settled."""
    time.sleep(SETTLE_S)
    began, before_s = time.monotonic(), processor_s(pid)
    time.sleep(seconds)
    used_s, wall_s = processor_s(pid) - before_s, time.monotonic() - began
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    resident, peak = (int(status[key].split()[0]) * 1024 / 1e6 for key in ("VmRSS", "VmHWM"))
    return Taken(100 * used_s / wall_s, resident, peak)


def processor_s(pid: int) -> float:
    """CPU time of a process, user and system, s: fields 14 and 15 of /proc/PID/stat."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
