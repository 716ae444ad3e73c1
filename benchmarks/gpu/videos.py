"""The reference workloads under the meter, and their run files made fit for publishing."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.gpu.traces import publishable, scrub

END_S = 20.0
"""What a workload is given to end in after Ctrl-C; taken off its time."""


def bench(
    name: str,
    settings: Mapping[str, object],
    *,
    seconds: float,
    environ: Mapping[str, str],
    out: Path,
    names: Mapping[str, str],
    device: str = "cuda",
) -> dict[str, Any]:
    """Run `vidmeter bench` on one workload; its run file and page go to `out`.

    `names` are texts that must not be published, with what stands in for them.
    """
    with tempfile.TemporaryDirectory(prefix="first-card-") as folder:
        command = [sys.executable, "-m", "vidmeter", "bench", name, "--device", device]
        command += ["--output", folder, "--quiet"]
        command += [part for k, v in settings.items() for part in ("--set", f"{k}={v}")]
        log = Path(folder) / "log.txt"
        started = time.monotonic()
        code, in_time = _run(command, log, seconds=seconds, environ=environ)
        names = {**names, folder: "OUT", sys.executable: "python"}
        found = {
            "settings": dict(settings),
            "exit_code": code,
            "in_time": in_time,
            "wall_s": time.monotonic() - started,
            "said": scrub(log.read_text("utf-8", "replace").splitlines()[-40:], names),
        }
        files = sorted(Path(folder).glob("*.vidmeter"))
        return found | (_publish(files[0], out, names) if files else {"run": None})


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


def _publish(file: Path, out: Path, names: Mapping[str, str]) -> dict[str, Any]:
    """Copy the run without what names the machine; its summary, and a page where that works."""
    from vidmeter.meter.reader import load
    from vidmeter.meter.summarize import summarize
    from vidmeter.reports import jsonfile

    run = publishable(load(file), names)
    to = out / file.name
    run.save(to, force=True)
    run = load(to)
    summary = summarize(run)
    found = {"run": to.name, "summary": jsonfile.document(summary), "page": None}
    try:
        from vidmeter.reports import htmlpage, write

        write(htmlpage.render(run, summary), to.with_suffix(".html"), force=True)
    except ImportError as error:
        return found | {"page_missing_because": str(error)}
    return found | {"page": to.with_suffix(".html").name}


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
