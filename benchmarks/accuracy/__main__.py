"""How far vidmeter, Zeus, CodeCarbon and nvitop are from the truth, on a simulated driver.

python -m benchmarks.accuracy, from the root of the repository, with a Python in which vidmeter can
be imported. README.md in this folder tells what is compared and how.
"""

import argparse
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.classes import CLASSES
from benchmarks.accuracy.environments import PACKAGES, python, version
from benchmarks.accuracy.meters import NotReady, measure
from benchmarks.accuracy.table import METERS, Reading, Row, markdown, rows, verdict
from benchmarks.accuracy.waveforms import WAVEFORMS, Play, Waveform, plays
from benchmarks.side_by_side import Benchmark, Estimate, options
from tests.simulated_driver.driver import build
from vidmeter import __version__

ROUNDS = 3
LEAD_S = 50.0
TRIES = 3
QUICK = ("constant 400 W", "square 37 ms")


def main() -> None:
    arguments = parser().parse_args()
    wanted = arguments.only or (QUICK if arguments.quick else [w.name for w in WAVEFORMS])
    waveforms = [w for w in WAVEFORMS if any(part in w.name for part in wanted)]
    if not waveforms:
        names = ", ".join(w.name for w in WAVEFORMS)
        raise SystemExit(f"--only names no waveform; there are: {names}")
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise SystemExit("no C compiler to build the simulated driver with: apt install gcc")
    bench = Benchmark("accuracy", arguments.quick)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        venvs = (arguments.venvs or folder / "venvs").resolve()
        pythons = {package: python(venvs, package) for package in PACKAGES}
        versions = {package: version(at, package) for package, at in pythons.items()}
        bench.versions = {"vidmeter": __version__} | {p: v for p, v in versions.items() if v}
        readings = take(
            waveforms,
            1 if arguments.quick else arguments.rounds,
            arguments.lead,
            library=build(compiler, folder),
            pythons=pythons,
            folder=folder,
        )
    report(bench, rows(readings), readings)
    bench.finish(arguments.output)


def parser() -> argparse.ArgumentParser:
    """The options of every benchmark, and those of this one."""
    found = options(__doc__)
    found.add_argument(
        "--only",
        action="append",
        metavar="WORD",
        help="only waveforms with this in their name; may be given several times",
    )
    found.add_argument(
        "--venvs",
        type=Path,
        metavar="FOLDER",
        help="where the peers are installed, and found the next time (default: thrown away)",
    )
    found.add_argument(
        "--rounds", type=int, default=ROUNDS, help=f"times each window is metered ({ROUNDS})"
    )
    found.add_argument(
        "--lead", type=float, default=LEAD_S, help=f"s for all meters to start ({LEAD_S:.0f})"
    )
    return found


def take(
    waveforms: Sequence[Waveform],
    rounds: int,
    lead_s: float,
    *,
    library: Path,
    pythons: Mapping[str, Path],
    folder: Path,
) -> list[Reading]:
    """All rounds: the readings in the order of the waveforms."""
    readings = []
    for number in range(rounds):
        for n, play in enumerate(plays(waveforms, lead_s, seed=number)):
            names = ", ".join(window.waveform for window in play.windows)
            print(f"round {number + 1} of {rounds}: {names}", flush=True)
            where = folder / f"{number}-{n}"
            readings += tried(play, number, library=library, pythons=pythons, folder=where)
    return readings


def tried(
    play: Play, number: int, *, library: Path, pythons: Mapping[str, Path], folder: Path
) -> list[Reading]:
    """One play, again from its start if a peer wasn't ready: that alone loses no earlier round."""
    for n in range(TRIES):
        new = folder.with_name(f"{folder.name}-{n}")
        new.mkdir()
        try:
            return measure(play, number, library=library, pythons=pythons, folder=new)
        except NotReady as reason:
            print(f"{reason}; try {n + 1} of {TRIES}", flush=True)
    raise SystemExit("no peer can be compared with on a machine as busy as this")


def report(bench: Benchmark, table: Sequence[Row], readings: Sequence[Reading]) -> None:
    """Print the table; add to the result what it is made of."""
    print(f"\n{markdown(table)}\n")
    for meter in METERS:
        cells = [row.cells[meter] for row in table if meter in row.cells]
        sizes = [abs(cell.error_pct) for cell in cells if cell.error_pct is not None]
        if sizes:
            middle = Estimate(float(np.median(sizes)), min(sizes), max(sizes))
            what = f"{meter}: size of the error, {len(sizes)} of {len(cells)} rows"
            bench.add(what, middle, "%", interval="range")
    bench.facts = {
        "classes": [asdict(one) for one in CLASSES],
        "rounds": 1 + max(reading.round for reading in readings),
        "verdict": verdict(table)._asdict(),
    }
    bench.raw = {
        "rows": [row.as_json() for row in table],
        "readings": [compact(reading) for reading in readings],
    }


def compact(reading: Reading) -> dict[str, Any]:
    """A reading without what it doesn't have, to a tenth of a mJ, with its error."""
    every = asdict(reading) | {"error_pct": reading.error_pct}
    known = {key: value for key, value in every.items() if value is not None}
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in known.items()}


if __name__ == "__main__":
    main()
