"""A comparison over ten thousand runs: how long it takes, and how much memory.

Ten folders of a thousand runs each, 5 s of one card at 20 Hz with a clip's phases, no two alike.
They are compared as a person would do it, from the command's start to its end; the memory is that
of all of its processes together, looked at ten times a second.
"""

import math
import random
import subprocess
import sys
import tempfile
import time
from array import array
from pathlib import Path
from typing import NamedTuple

import psutil
from side_by_side import Benchmark, options, spread

from vidmeter.meter.clock import Anchor
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.run import Phase, Run, Trace, Work
from vidmeter.meter.sample import Quantity, Series

S = 1_000_000_000
FOLDERS, EACH, STEPS = 10, 1000, 10
CARD = Device("GPU-0", "NVIDIA Made Up", Kind.GPU, "the card", Provenance.MEASURED, "nvml", 0)


class Cost(NamedTuple):
    """What a command took: wall time, s, and the most memory of all its processes, MB."""

    wall_s: float
    peak_mb: float


def main() -> None:
    arguments = options(__doc__).parse_args()
    bench = Benchmark("compare_many", arguments.quick)
    folders, each = (2, 160) if bench.quick else (FOLDERS, EACH)
    with tempfile.TemporaryDirectory() as name:
        names = write(Path(name), folders, each)
        bench.facts |= {"runs": folders * each, "folders": folders}
        for form in ("text", "html", "json"):
            output = Path(name) / f"out.{form}"
            command = [sys.executable, "-m", "vidmeter", "compare", *names, "--format", form]
            command += ["--force", "-o", str(output)]
            costs = [cost(command) for _ in range(2 if bench.quick else 4)][1:]
            bench.raw[form] = [c._asdict() for c in costs]
            label = f"{folders * each} runs, {form}"
            walls, peaks = [c.wall_s for c in costs], [c.peak_mb for c in costs]
            bench.add(f"{label}: time", spread(walls), "s", goal=10.0, interval="range")
            bench.add(f"{label}: memory", spread(peaks), "MB", goal=1000.0, interval="range")
            size = spread([output.stat().st_size / 1e6])
            bench.add(f"{label}: size", size, "MB", interval="range")
    bench.finish(arguments.output)


def write(folder: Path, folders: int, each: int) -> list[str]:
    """Write the runs; the folders' names."""
    rng = random.Random(0)
    names = []
    for group in range(folders):
        inside = folder / f"g{group}"
        inside.mkdir()
        names.append(str(inside))
        for number in range(each):
            watts = 300 * (1 + 0.02 * group) * (1 + rng.gauss(0, 0.01))
            run = made(f"{group:04x}{number:08x}", watts, (1000 + 10 * number + group) * S)
            run.save(inside / f"{number:05d}.vidmeter")
    return names


def made(name: str, watts: float, start_ns: int) -> Run:
    """A run of 5 s around a mean power."""
    ticks = range(-20, 121)
    power = [watts * (1 + 0.1 * math.sin(i / 3)) for i in ticks]
    counted = [sum(power[: i + 1]) * 0.05 for i in range(len(power))]
    t = array("q", [start_ns + i * S // 20 for i in ticks])
    traces = {
        Series(CARD.uuid, Quantity.POWER_INSTANT): Trace(t, array("d", power)),
        Series(CARD.uuid, Quantity.ENERGY): Trace(t, array("d", counted)),
        Series(CARD.uuid, Quantity.TEMPERATURE): Trace(t[::10], array("d", [50.0] * 15)),
    }

    def phase(at: tuple[float, float], id: str, name: str, parent: str | None) -> Phase:
        edges = (start_ns + round(s * S) for s in at)
        return Phase(id, name, *edges, parent, None, 1, 1)

    steps = [(0.2 + 0.38 * n, 0.58 + 0.38 * n) for n in range(STEPS)]
    return Run(
        id=name,
        command=("python", "generate.py"),
        start_ns=start_ns,
        end_ns=start_ns + 5 * S,
        exit_code=0,
        period_ns=S // 20,
        devices=(CARD,),
        traces=traces,
        phases=(
            phase((0, 5), "g", "generate", None),
            phase((0, 0.2), "t", "text_encode", "g"),
            phase((0.2, 4), "d", "denoise", "g"),
            *(phase(at, f"s{n}", "step", "d") for n, at in enumerate(steps)),
            phase((4, 4.9), "v", "vae_decode", "g"),
        ),
        work=(Work("video", 1, "program", 2.0, 32, 512, 512, 16.0),),
        anchors=(Anchor(start_ns, 1_790_000_000 * S + start_ns),),
    )


def cost(command: list[str]) -> Cost:
    """Run a command and watch it and its children."""
    started = time.perf_counter()
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, memory_b(process))
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"{command[:4]} … ended with {process.returncode}")
    return Cost(time.perf_counter() - started, peak / 1e6)


def memory_b(process: psutil.Process) -> int:
    """The memory of a process and all below it; of those that are gone, none."""
    held = 0
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for one in family:
        try:
            held += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return held


if __name__ == "__main__":
    main()
