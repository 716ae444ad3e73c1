"""What it costs to start: a metered command that does nothing, and an import.

Run it with the Python of a virtual environment in which vidmeter and codecarbon are installed
(README.md has the commands); `--zeus` names the Python of another one, with zeus in it.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from gpus import COUNT, simulated
from side_by_side import Benchmark, estimate, interleaved, median, options, over, times_over

BARE = "true"
RUN = "vidmeter run -- true"
RUN_GPUS = f"{RUN}, {COUNT} simulated GPUs"
CODECARBON = "codecarbon monitor --offline -- true"
PASS = "python -c pass"
ZEUS_PASS = f"{PASS}, zeus's environment"
ZEUS = "import zeus"
ZEUS_MONITOR = "from zeus.monitor import ZeusMonitor"
IMPORTS = ("import vidmeter", "from vidmeter import measure", "import pynvml", "import codecarbon")

Arms = dict[str, Callable[[], float]]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--zeus", type=Path, metavar="PYTHON", help="a Python that has zeus")
    arguments = parser.parse_args()
    bench = Benchmark("startup", arguments.quick)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        commands(bench, folder)
        imports(bench, folder, arguments.zeus)
    bench.finish(arguments.output)


def commands(bench: Benchmark, folder: Path) -> None:
    """`true` under the meters and without."""
    vidmeter = Path(sys.executable).with_name("vidmeter")
    codecarbon = Path(sys.executable).with_name("codecarbon")
    environ = os.environ | {"XDG_DATA_HOME": str(folder / "data")}
    seconds = partial(wall_s, folder=folder)
    run = [vidmeter, "run", "--", "true"]
    arms: Arms = {
        BARE: partial(seconds, ["true"], environ),
        RUN: partial(seconds, run, environ),
    }
    gpus = simulated(folder)
    if gpus:
        metered = environ | gpus | {"XDG_DATA_HOME": environ["XDG_DATA_HOME"]}
        arms[RUN_GPUS] = partial(seconds, run, metered)
    if codecarbon.exists():
        # Its offline mode asks for a country.
        offline = ["monitor", "--offline", "--country-iso-code", "FRA", "--", "true"]
        arms[CODECARBON] = partial(seconds, [codecarbon, *offline], environ)
    taken = interleaved(arms, 3 if bench.quick else 25)
    bench.raw["commands_s"] = taken
    for arm in (RUN, RUN_GPUS, CODECARBON):
        if arm in taken:
            found = estimate(over, taken[arm], taken[BARE])
            bench.add(f"`{arm}` over `true`", found, "s", goal=None if arm == CODECARBON else 0.25)
    if CODECARBON in taken:
        times = estimate(times_over, taken[CODECARBON], taken[RUN], taken[BARE])
        bench.add("what codecarbon adds, in times of what vidmeter adds", times, "×")


def imports(bench: Benchmark, folder: Path, zeus: Path | None) -> None:
    """Imports, over a Python that does nothing."""
    seconds = partial(wall_s, folder=folder, environ=os.environ)
    arms: Arms = {PASS: partial(seconds, [sys.executable, "-c", "pass"])}
    for statement in IMPORTS:
        command = [sys.executable, "-c", statement]
        if subprocess.run(command, cwd=folder, capture_output=True).returncode == 0:
            arms[statement] = partial(seconds, command)
    if zeus:
        for label, statement in ((ZEUS_PASS, "pass"), (ZEUS, ZEUS), (ZEUS_MONITOR, ZEUS_MONITOR)):
            arms[label] = partial(seconds, [zeus.absolute(), "-c", statement])
        show = "from importlib.metadata import version; print(version('zeus'))"
        told = subprocess.run([zeus, "-c", show], capture_output=True, text=True, check=True)
        bench.versions["zeus"] = told.stdout.strip()
    taken = interleaved(arms, 3 if bench.quick else 25)
    bench.raw["imports_s"] = taken
    in_ms = {arm: [1000 * s for s in values] for arm, values in taken.items()}
    bench.add(f"`{PASS}`", estimate(median, in_ms[PASS]), "ms")
    for arm, values in in_ms.items():
        if arm in (PASS, ZEUS_PASS):
            continue
        base = in_ms[ZEUS_PASS if arm in (ZEUS, ZEUS_MONITOR) else PASS]
        goal = 60.0 if arm == IMPORTS[0] else None
        bench.add(f"`{arm}` over that", estimate(over, values, base), "ms", goal=goal)


def wall_s(command: Sequence[str | Path], environ: Mapping[str, str], *, folder: Path) -> float:
    """How long a command takes from its start to its end, s."""
    started = time.perf_counter()
    subprocess.run(
        command,
        env=environ,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
