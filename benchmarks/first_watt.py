"""How long it takes from a command to the first measured second of a model, without a download.

python -m benchmarks.first_watt, from the root of the repository, with a Python that has the
reference workloads (`pip install -e '.[workloads]'`). With `--device cuda` the large model itself
runs; without a GPU its networks are made on the meta device, which has shapes and no memory, and
the tiny one runs.
"""

import os
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

from benchmarks.side_by_side import Benchmark, options, spread
from vidmeter.meter.reader import load

ROOT = Path(__file__).parent.parent
MODEL = "wan2.1-t2v-1.3b"
META_S, FIRST_S, SUITE_S = 5.0, 30.0, 180.0
CONSTRUCTION = """
import sys, time
started = time.perf_counter()
import torch
from vidmeter.workloads.base import models
from vidmeter.workloads.parts import named
from vidmeter.workloads.weights import build
model = models()[sys.argv[1]]
named(model.pipeline)
for part in model.networks().values():
    named(part.make)
imported = time.perf_counter()
for part in model.networks().values():
    build(part, dtype=getattr(torch, part.dtype), device="meta", seed=0)
print(imported - started, time.perf_counter() - imported)
"""


def main() -> None:
    """Take the times and keep them."""
    parser = options(__doc__)
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")
    arguments = parser.parse_args()
    bench = Benchmark("first_watt", arguments.quick)
    bench.versions = {name: metadata.version(name) for name in ("torch", "diffusers")}
    bench.facts = {"device": arguments.device}
    rounds = 1 if bench.quick else 5
    os.environ["HF_HUB_OFFLINE"] = "1"
    imports, constructions = zip(*(construction() for _ in range(rounds)), strict=True)
    bench.add("imports of the frameworks", spread(imports), "s", interval="range")
    bench.add(
        f"{MODEL}: networks made on meta", spread(constructions), "s",
        goal=META_S, interval="range",
    )  # fmt: skip
    listed = [seconds("--list") for _ in range(rounds)]
    bench.add("vidmeter bench --list", spread(listed), "s", interval="range")
    name = MODEL if arguments.device != "cpu" else f"{MODEL}-tiny"
    firsts = [first_second(name, arguments.device) for _ in range(min(rounds, 3))]
    bench.add(
        f"{name}: from the command to the end of the first measured second", spread(firsts), "s",
        goal=FIRST_S, interval="range",
    )  # fmt: skip
    if arguments.device == "cpu" and not bench.quick:
        with tempfile.TemporaryDirectory() as folder:
            taken = seconds("tiny", "--output", folder, "--force")
        bench.add("vidmeter bench tiny", spread([taken]), "s", goal=SUITE_S, interval="range")
    bench.finish(arguments.output)


def construction() -> tuple[float, float]:
    """Seconds of importing, and of making the networks, in a fresh process."""
    command = [sys.executable, "-c", CONSTRUCTION, MODEL]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    imported, made = map(float, done.stdout.split())
    return imported, made


def first_second(name: str, device: str) -> float:
    """Seconds from the command until one second of the first repeat has been measured."""
    with tempfile.TemporaryDirectory() as folder:
        started_ns = time.monotonic_ns()
        seconds(name, "steps=4", "--quick", "--device", device, "--output", folder, "--force")
        (file,) = (Path(folder) / "blocks").glob("*.vidmeter")
        first = next(phase for phase in load(file).phases if phase.name == "repeat")
        return (first.start_ns - started_ns) / 1e9 + 1


def seconds(*words: str) -> float:
    """How long `vidmeter bench` takes."""
    started = time.monotonic()
    command = [sys.executable, "-m", "vidmeter", "bench", *words]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    return time.monotonic() - started


if __name__ == "__main__":
    main()
