"""All meters on one simulated driver at once, each in a process of its own.

The peers' programs follow a plan written beforehand; vidmeter is run as a command around `sleep`.
The truth is integrated by tests/simulated_driver/driver.py over each meter's own window, so it
doesn't matter that they don't open at the same instant.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.accuracy.classes import CLASSES, cards
from benchmarks.accuracy.peers.windows import wait_until
from benchmarks.accuracy.table import OURS, Reading
from benchmarks.accuracy.waveforms import Play
from tests.simulated_driver.driver import Driver, Gpu

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
HIDDEN = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES", "ZEUSD_SOCK_PATH")
NVIDIA_SMI = "#!/bin/sh\necho 'NVIDIA System Management Interface, simulated'\n"
"""CodeCarbon reads NVML only where `nvidia-smi --help` succeeds, as it does beside every driver."""
STARTING = 1
"""How many may be starting when the next one does: PowerMonitor gives up after 10 s of it."""
S = 1_000_000_000


class NotReady(Exception):
    """A peer that ended early, or took too long to start."""


class Program(NamedTuple):
    """A peer's program, and the package in whose environment it runs."""

    meter: str
    package: str
    file: str
    one_gpu: bool = False
    """Whether it is started once for each card, which alone it sees."""


PROGRAMS = (
    Program("ZeusMonitor", "zeus", "zeus_monitor.py", one_gpu=True),
    Program("Zeus PowerMonitor", "zeus", "power_monitor.py", one_gpu=True),
    Program("CodeCarbon", "codecarbon", "codecarbon_tracker.py"),
    Program("nvitop", "nvitop", "nvitop_collector.py"),
)


class Slot(NamedTuple):
    """A window in ns of CLOCK_MONOTONIC."""

    waveform: str
    begin_ns: int
    end_ns: int


class Peer(NamedTuple):
    """A peer's program that is running."""

    meter: str
    process: subprocess.Popen[bytes]
    result: Path
    log: Path


def measure(
    play: Play, number: int, *, library: Path, pythons: Mapping[str, Path], folder: Path
) -> list[Reading]:
    """What all meters say of the windows of one play. `folder` is new, and takes what they write.

    Raises NotReady if a peer isn't ready for the first window.
    """
    epoch_ns = time.monotonic_ns()
    gpus = cards(play.curve, epoch_ns)
    environ = simulated(gpus, library, folder)
    slots = [
        Slot(w.waveform, epoch_ns + round(w.begin_s * S), epoch_ns + round(w.end_s * S))
        for w in play.windows
    ]
    plan = folder / "plan.json"
    windows = [slot._asdict() for slot in slots]
    plan.write_text(json.dumps({"windows": windows, "gpus": len(gpus)}))
    peers: list[Peer] = []
    try:
        for program in PROGRAMS:
            for peer in start(program, pythons[program.package], plan, environ, len(gpus)):
                peers.append(peer)
                await_ready(peers, slots[0].begin_ns, at_most=STARTING)
        await_ready(peers, slots[0].begin_ns)
        said = [line for slot in slots for line in vidmeter(slot, environ, folder)]
        for peer in peers:
            said += finished(peer)
    finally:
        for peer in peers:
            with suppress(ProcessLookupError):  # it has ended, and so have all it started
                os.killpg(peer.process.pid, signal.SIGKILL)
            peer.process.wait()
    return [_reading(number, gpus, line) for line in said]


def simulated(gpus: Sequence[Gpu], library: Path, folder: Path) -> dict[str, str]:
    """The environment in which a process finds the cards, and nothing that an earlier run left."""
    script = folder / "driver.txt"
    Driver(gpus).write(script)
    smi = folder / "bin" / "nvidia-smi"
    smi.parent.mkdir()
    smi.write_text(NVIDIA_SMI)
    smi.chmod(0o755)
    paths = [str(library.parent), os.environ.get("LD_LIBRARY_PATH", "")]
    python_paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    own = {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("DATA", "CACHE", "CONFIG")}
    return {k: v for k, v in os.environ.items() if k not in HIDDEN} | own | {
        "LD_LIBRARY_PATH": os.pathsep.join(path for path in paths if path),
        "PATH": f"{smi.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(path for path in python_paths if path),
        "VIDMETER_SIM_NVML": str(script),
    }  # fmt: skip


def start(
    program: Program, python: Path, plan: Path, environ: Mapping[str, str], gpus: int
) -> Iterator[Peer]:
    """Start a peer's program, once or for each card."""
    environ = {k: v for k, v in environ.items() if k != "PYTHONPATH"}
    for gpu in range(gpus) if program.one_gpu else (None,):
        name = Path(program.file).stem if gpu is None else f"{Path(program.file).stem}-{gpu}"
        result, log = plan.with_name(f"{name}.jsonl"), plan.with_name(f"{name}.log")
        command = [python, HERE / "peers" / program.file, plan, result]
        sees = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": str(gpu)}
        with log.open("wb") as out:
            process = subprocess.Popen(
                command if gpu is None else [*command, str(gpu)],
                cwd=plan.parent,
                env=environ | sees,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        yield Peer(program.meter, process, result, log)


def await_ready(peers: Sequence[Peer], before_ns: int, *, at_most: int = 0) -> None:
    """Wait until every peer could begin, or `at_most` so many can't yet."""
    waiting = list(peers)
    while len(waiting) > at_most:
        waiting = [peer for peer in waiting if not (peer.result.exists() and lines(peer))]
        for peer in waiting:
            if peer.process.poll() is not None:
                raise NotReady(f"{peer.meter} ended early: {last_words(peer)}")
        if waiting and time.monotonic_ns() > before_ns:
            names = ", ".join(sorted({peer.meter for peer in waiting}))
            raise NotReady(f"{names} not ready in time: the machine is too busy, try --lead")
        time.sleep(0.1)


def finished(peer: Peer) -> list[dict[str, Any]]:
    """What a peer has written, once it has ended."""
    if peer.process.wait(timeout=60):
        raise SystemExit(f"{peer.meter} failed: {last_words(peer)}")
    return [line | {"meter": peer.meter} for line in lines(peer)[1:]]


def lines(peer: Peer) -> list[dict[str, Any]]:
    return [json.loads(line) for line in peer.result.read_text().splitlines()]


def last_words(peer: Peer) -> str:
    said = peer.log.read_text(errors="replace").split("\n")
    return next((line for line in reversed(said) if line.strip()), "it said nothing")


def vidmeter(slot: Slot, environ: Mapping[str, str], folder: Path) -> Iterator[dict[str, Any]]:
    """`vidmeter run` around a sleep, and what its JSON says of each card."""
    name = f"vidmeter-{slot.begin_ns}"
    result = folder / f"{name}.json"
    command = [sys.executable, "-m", "vidmeter", "run", "--quiet", "--json", str(result)]
    command += ["--output", str(folder / f"{name}.vidmeter"), "--"]
    command += ["sleep", str((slot.end_ns - slot.begin_ns) / S)]
    wait_until(slot.begin_ns)
    before_ns = time.monotonic_ns()
    subprocess.run(command, cwd=folder, env=environ, check=True, stdin=subprocess.DEVNULL)
    after_ns = time.monotonic_ns()
    summary = json.loads(result.read_text())
    start_ns, end_ns = summary["window"]["start_ns"], summary["window"]["end_ns"]
    if not (before_ns <= start_ns <= end_ns - (slot.end_ns - slot.begin_ns) < end_ns <= after_ns):
        raise SystemExit(f"vidmeter's window isn't that of its command: {start_ns} to {end_ns}")
    for gpu, device in enumerate(d for d in summary["devices"] if d["kind"] == "gpu"):
        energy = device["energy_j"]
        yield {
            "meter": OURS,
            "waveform": slot.waveform,
            "gpu": gpu,
            "begin_ns": start_ns,
            "end_ns": end_ns,
            "energy_j": energy,
            "reason": None if energy is not None else _why_none(device),
            "low_j": device["low_j"],
            "high_j": device["high_j"],
            "source": device["source"],
        }


def _why_none(device: Mapping[str, Any]) -> str:
    coverage = device["coverage"]
    seen = "nothing" if coverage is None else f"{coverage:.1%} of the time"
    return f"vidmeter states no energy: readings cover {seen}"


def _reading(number: int, gpus: Sequence[Gpu], line: dict[str, Any]) -> Reading:
    gpu = line.pop("gpu")
    truth_j = gpus[gpu].true_energy_j(line.pop("begin_ns"), line.pop("end_ns"))
    energy_j = line.pop("energy_j", None)
    return Reading(
        round=number,
        sensor_class=CLASSES[gpu].name,
        truth_j=truth_j,
        energy_j=energy_j,
        **line,
    )
