"""The reference workloads under the meter, and their run files made fit for publishing."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.traces import publishable, scrub

END_S = 20.0
"""What a workload is given to end in after Ctrl-C; taken off its time."""


def bench(
    words: Sequence[str],
    *,
    seconds: float,
    environ: Mapping[str, str],
    out: Path,
    names: Mapping[str, str],
    device: str = "cuda",
) -> dict[str, Any]:
    """Run `vidmeter bench` with these words; the run files of its repeats and its results to `out`.

    `names` are texts that must not be published, with what stands in for them. What comes back has
    the results as data, and `loaded_s`: from the command until the first repeat or warm-up began.
    """
    with tempfile.TemporaryDirectory(prefix="first-card-") as folder:
        command = [sys.executable, "-m", "vidmeter", "bench", *words, "--device", device]
        command += ["--output", folder, "--force"]
        log = Path(folder) / "log.txt"
        started_ns = time.monotonic_ns()
        code, in_time = _run(command, log, seconds=seconds, environ=environ)
        names = {**names, folder: "OUT", sys.executable: "python"}
        return {
            "words": list(words),
            "exit_code": code,
            "in_time": in_time,
            "wall_s": (time.monotonic_ns() - started_ns) / 1e9,
            "said": scrub(log.read_text("utf-8", "replace").splitlines()[-60:], names),
            "loaded_s": _loaded_s(Path(folder), started_ns),
            "results": _results(Path(folder), names),
            "runs": [_publish(file, out, names) for file in _files(folder, "repeats")],
        }


def _files(folder: str | Path, kind: str) -> list[Path]:
    return sorted((Path(folder) / kind).glob("*.vidmeter"))


def _loaded_s(folder: Path, started_ns: int) -> float | None:
    """Until the first block began to make something; None if it never did."""
    from vidmeter.meter.reader import load

    found = [
        phase.start_ns
        for file in _files(folder, "blocks")
        for phase in load(file).phases
        if phase.name in ("warmup", "repeat")
    ]
    return (min(found) - started_ns) / 1e9 if found else None


def _results(folder: Path, names: Mapping[str, str]) -> Any:
    """`results.json` as data; None if the bench did not come so far."""
    path = folder / "results.json"
    return scrub(json.loads(path.read_text("utf-8")), names) if path.exists() else None


def _run(
    command: list[str], log: Path, *, seconds: float, environ: Mapping[str, str]
) -> tuple[int, bool]:
    """The exit code, and whether it ended by itself; interrupted when its time is up."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=dict(environ)
        )
        try:
            return process.wait(max(1.0, seconds - END_S)), True
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        try:
            return process.wait(END_S), False
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait(), False


def _publish(file: Path, out: Path, names: Mapping[str, str]) -> str:
    """Copy a repeat's run without what names the machine; the copy's name."""
    from vidmeter.meter.reader import load

    publishable(load(file), names).save(out / file.name, force=True)
    return file.name


def child_environment(
    root: Path, extra: Path | None, uuid: str, *, several: bool
) -> dict[str, str]:
    """The environment of the load and of the workloads: this checkout, the wheels, this card."""
    environ = dict(os.environ)
    paths = [str(root), *([str(extra)] if extra else []), environ.get("PYTHONPATH", "")]
    environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    # CUDA orders several cards by speed and NVML by bus: only the UUID means the same to both.
    if several and "CUDA_VISIBLE_DEVICES" not in environ:
        environ["CUDA_VISIBLE_DEVICES"] = uuid
    return environ
