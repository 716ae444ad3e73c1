"""From a run file of ten million samples to its reports: time and memory of a fresh process.

An hour of eight GPUs has a third of that; how large its HTML is, is stated as well.

The run is made up (recording.py) but written by the sampler's own writer, in the blocks that it
would have come in. Each part stands in a process of its own, so that its memory is its own.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import recording
from side_by_side import Benchmark, interleaved, options, spread

SAMPLES = 10_000_000
REPORTS = {
    "text": "`vidmeter report`, text",
    "csv": "`vidmeter report`, CSV",
    "html": "`vidmeter report`, HTML",
    "all": "`vidmeter report`, text, CSV and HTML at once",
}
STAGES = """
import json, sys, time
from pathlib import Path
started = time.perf_counter()
took = {}
def lap(name):
    global started
    now = time.perf_counter()
    took[name] = now - started
    started = time.perf_counter()
from vidmeter.meter.reader import load
from vidmeter.meter.summarize import summarize
from vidmeter.reports import csvfile, htmlpage, terminal
lap("import")
run = load(Path(sys.argv[1]))
lap("load")
summary = summarize(run)
lap("summarize")
terminal.render(summary, path=run.path)
lap("text")
csvfile.render([(run, summary)])
lap("csv")
htmlpage.render(run, summary)
lap("html")
print(json.dumps(took))
"""


class Cost(NamedTuple):
    """What a process took: wall time, s, and the most memory it held, MB."""

    wall_s: float
    peak_mb: float


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--samples", type=int, default=SAMPLES, metavar="N")
    arguments = parser.parse_args()
    samples = min(arguments.samples, 500_000) if arguments.quick else arguments.samples
    bench = Benchmark("summarize", arguments.quick)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "run.vidmeter"
        started = time.perf_counter()
        bench.facts |= recording.write(path, samples)
        bench.facts["file_mb"] = round(path.stat().st_size / 1e6)
        bench.facts["written_in_s"] = round(time.perf_counter() - started, 1)
        print(json.dumps(bench.facts), file=sys.stderr)
        reports(bench, path, folder)
        stages(bench, path)
        hour(bench, folder)
    bench.finish(arguments.output)


def reports(bench: Benchmark, path: Path, folder: Path) -> None:
    """The command as a person types it, from its start to its end."""
    costs: dict[str, list[Cost]] = {form: [] for form in REPORTS}

    def cost(form: str) -> float:
        forms = ("txt", "csv", "html") if form == "all" else (form.replace("text", "txt"),)
        outputs = [part for f in forms for part in ("-o", str(folder / f"report.{f}"))]
        command = [sys.executable, "-m", "vidmeter", "report", str(path), "--force", *outputs]
        costs[form].append(of(command, folder))
        return costs[form][-1].wall_s

    interleaved({form: lambda form=form: cost(form) for form in REPORTS}, 2 if bench.quick else 5)
    for form, label in REPORTS.items():
        counted = costs[form][1:]
        bench.raw[form] = [c._asdict() for c in counted]
        wall, peak = spread([c.wall_s for c in counted]), spread([c.peak_mb for c in counted])
        bench.add(f"{label}: time", wall, "s", goal=5.0, interval="range")
        bench.add(f"{label}: memory", peak, "MB", goal=500.0, interval="range")


def hour(bench: Benchmark, folder: Path) -> None:
    """An hour of eight GPUs as HTML: how long it takes, and how large it is."""
    path, page = folder / "hour.vidmeter", folder / "hour.html"
    seconds = 120 if bench.quick else 3600
    recording.write(path, round(seconds * recording.PER_SECOND))
    command = [sys.executable, "-m", "vidmeter", "report", str(path), "--force", "-o", str(page)]
    costs = [of(command, folder) for _ in range(2 if bench.quick else 6)][1:]
    bench.raw["hour"] = [c._asdict() for c in costs]
    wall = spread([c.wall_s for c in costs])
    bench.add("an hour of 8 GPUs, HTML: time", wall, "s", goal=3.0, interval="range")
    size = spread([page.stat().st_size / 1e6])
    bench.add("an hour of 8 GPUs, HTML: size", size, "MB", goal=1.5, interval="range")


def of(command: list[str], folder: Path) -> Cost:
    """Run a command and tell what it cost."""
    started = time.perf_counter()
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=folder, stdout=quiet, stderr=quiet)
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return Cost(wall_s, usage.ru_maxrss * 1024 / 1e6)


def stages(bench: Benchmark, path: Path) -> None:
    """Where the time goes, in one process that does everything."""
    taken: dict[str, list[float]] = {}
    for _ in range(1 if bench.quick else 3):
        command = [sys.executable, "-c", STAGES, str(path)]
        told = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=True)
        for stage, seconds in json.loads(told.stdout).items():
            taken.setdefault(stage, []).append(seconds)
    bench.raw["stages_s"] = taken
    for stage, values in taken.items():
        bench.add(f"of which {stage}", spread(values), "s", interval="range")


if __name__ == "__main__":
    main()
