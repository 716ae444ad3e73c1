"""Many processes add rows to one CSV at once: how fast, and how many rows are lost or spoilt.

Beside vidmeter's way stand two that are common. `rewritten` reads the whole file with pandas, adds
the row and writes it all again, without a lock. `appended` opens the file to append and writes the
header if it is empty. What vidmeter adds is a run with its phases, six rows, and is counted as one.
The rows of every second process have a column more, as those of another
version or of a user's own unit have. A row is lost if nobody can find it, spoilt if what stands
under its columns is not what was written there.
"""

import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from compare_many import S, made
from side_by_side import Benchmark, options, spread

PROCESSES, ROWS = 32, 20
WAYS = {
    "vidmeter": """
from pathlib import Path
from vidmeter.meter.reader import load
from vidmeter.meter.summarize import summarize
from vidmeter.reports.appending import append
def add(values, path):
    append([(RUNS[values["number"]], SUMMARIES[values["number"]])], Path(path))
""",
    "rewritten": """
import os, pandas
def add(values, path):
    row = pandas.DataFrame([values])
    try:
        row = pandas.concat([pandas.read_csv(path), row])
    except (OSError, ValueError):
        pass
    row.to_csv(path, index=False)
""",
    "appended": """
import csv
def add(values, path):
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, list(values))
        if not file.tell():
            writer.writeheader()
        writer.writerow(values)
""",
}
CHILD = """
import json, sys, time
from dataclasses import replace
from pathlib import Path
way, path, run = sys.argv[1:4]
who, count = map(int, sys.argv[4:])
RUNS, SUMMARIES = [], []
if way == "vidmeter":
    from vidmeter.meter.reader import load
    from vidmeter.meter.run import Work
    from vidmeter.meter.summarize import summarize
    from vidmeter.reports.appending import append
    for n in range(count):
        one = replace(load(Path(run)), id=f"{who}-{n}")
        if who % 2:
            one = replace(one, work=(*one.work, Work("tokens", 7, "program")))
        RUNS.append(one)
        SUMMARIES.append(summarize(one))
exec(sys.stdin.readline().encode().decode("unicode_escape"))
print("ready", flush=True)
sys.stdin.readline()
failed = 0
started = time.perf_counter()
for n in range(count):
    values = {"number": n} if way == "vidmeter" else {"run_id": f"{who}-{n}", "energy_j": who}
    if way != "vidmeter" and who % 2:
        values = {"run_id": f"{who}-{n}", "tokens": 7, "energy_j": who}
    try:
        add(values, path)
    except Exception:  # whatever a way fails by, its row is lost, and that is counted
        failed += 1
print(json.dumps({"wall_s": time.perf_counter() - started, "failed": failed}), flush=True)
"""


def main() -> None:
    arguments = options(__doc__).parse_args()
    bench = Benchmark("appending", arguments.quick)
    processes, rows = (4, 5) if bench.quick else (PROCESSES, ROWS)
    bench.facts |= {"processes": processes, "rows_of_each": rows}
    with tempfile.TemporaryDirectory() as name:
        run = Path(name) / "a.vidmeter"
        made("0123456789ab", 300.0, 1000 * S).save(run)
        for way in WAYS:
            rates, lost, spoilt = [], [], []
            for turn in range(1 if bench.quick else 3):
                path = Path(name) / f"{way}{turn}.csv"
                wall_s = at_once(way, path, run, processes, rows)
                gone, wrong = checked(path, processes, rows)
                rates.append(processes * rows / wall_s)
                lost.append(100 * gone / (processes * rows))
                spoilt.append(100 * wrong / (processes * rows))
            bench.add(f"{way}: rows added", spread(rates), "/s", interval="range")
            goal = 0.0 if way == "vidmeter" else None
            bench.add(f"{way}: rows lost", spread(lost), "%", goal=goal, interval="range")
            bench.add(f"{way}: rows spoilt", spread(spoilt), "%", goal=goal, interval="range")
    bench.finish(arguments.output)


def at_once(way: str, path: Path, run: Path, processes: int, rows: int) -> float:
    """All of them add their rows at the same time; how long it took until the last was done, s."""
    children = []
    for who in range(processes):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, way, str(path), str(run), str(who), str(rows)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stdin is not None
        child.stdin.write(WAYS[way].encode("unicode_escape").decode() + "\n")
        child.stdin.flush()
        children.append(child)
    for child in children:
        assert child.stdout is not None and child.stdout.readline().strip() == "ready"
    started = time.perf_counter()
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    for child in children:
        out, _ = child.communicate()
        json.loads(out)
    return time.perf_counter() - started


def checked(path: Path, processes: int, rows: int) -> tuple[int, int]:
    """How many rows are lost, and how many don't hold under their columns what was written."""
    wanted = {f"{who}-{n}": who for who in range(processes) for n in range(rows)}
    with path.open(newline="") as file:
        found: dict[str, list[dict[str, str]]] = {}
        for row in csv.DictReader(file):
            found.setdefault(str(row.get("run_id")), []).append(row)
    spoilt = sum(1 for name in wanted if name in found and not _whole(found[name][0], wanted[name]))
    return len(wanted.keys() - found.keys()), spoilt


def _whole(row: dict[str, str], who: int) -> bool:
    """Whether a row has the tokens of every second process, nothing beside them, and an energy."""
    if None in row or not row.get("energy_j"):
        return False
    tokens = row.get("tokens") or row.get("work_tokens") or ""
    told = tokens not in ("", "nan") and float(tokens) == 7
    return told == bool(who % 2) and float(row["energy_j"]) >= 0


if __name__ == "__main__":
    main()
