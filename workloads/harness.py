"""Runs one workload: load, warm up, generate again and again, and write down what was used.

This is the process that is metered by `vidmeter bench`, and a plain program without it:

    python -m vidmeter.workloads.harness wan2.1-t2v-1.3b-tiny --repeats 3 --out videos

Every repeat has a seed and a prompt of its own, the same ones for everyone who runs it. Between
them are pauses of random length: a power sensor that looks only part of the time then meets each
repeat at another point of its cycle (Yang, Adámek, Armour, arXiv 2312.02741).
`workload.json` is written anew after each, so a crash loses one at most. Exit codes: 0, or 2 with
one line on stderr if the workload can't run here.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import vidmeter
from vidmeter.meter.errors import VidmeterError, WorkloadUnavailable
from vidmeter.workloads.base import Produced, Workload, load_workload

SCHEMA = 1
LONGEST_PAUSE_S = 0.1
"""The refresh period of most power sensors: pauses up to it spread the repeats over its cycle."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the workload that the command line names; the exit code."""
    options = _parser().parse_args(arguments)
    _set_up_process()
    try:
        workload = load_workload(options.name, dict(options.set))
        _make_folder(options.out)
        run(
            workload,
            options.out,
            device=options.device,
            repeats=options.repeats,
            warmups=options.warmup,
        )
    except VidmeterError as error:
        print(f"vidmeter: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        # The phases are closed by now; whoever started this process is to see the true cause.
        sys.stdout.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    return 0


def run(
    workload: Workload, out: Path, *, device: str = "auto", repeats: int = 1, warmups: int = 0
) -> list[Produced]:
    """Prepare, warm up and repeat `workload`; videos and `workload.json` go to the folder `out`.

    Marks the phases `load`, `warmup` and `repeat`, and says in each `repeat` what was produced.
    What happens inside of them is marked by the hook, as in any other script.
    """
    seed = int(workload.settings.get("seed", 0))
    done: list[Produced] = []
    try:
        with vidmeter.phase("load"):
            workload.prepare(device)
        with tempfile.TemporaryDirectory(prefix="vidmeter-") as aside:
            for n in range(1, warmups + 1):
                with vidmeter.phase("warmup"):
                    workload.generate(seed + n - 1, Path(aside) / f"{n}")
        for n in range(1, repeats + 1):
            if n > 1:
                time.sleep(random.uniform(0, LONGEST_PAUSE_S))
            with vidmeter.phase("repeat"):
                produced = workload.generate(seed + n - 1, out / f"{workload.name}-{n}")
                vidmeter.work(**produced.work)  # type: ignore[arg-type]
            done.append(produced)
            _write(out / "workload.json", _record(workload, done, seed=seed, warmups=warmups))
    finally:
        workload.close()
    return done


def _record(
    workload: Workload, done: Sequence[Produced], *, seed: int, warmups: int
) -> Mapping[str, Any]:
    repeats = [
        {"files": [path.name for path in produced.paths], "seed": seed + n, **produced.work}
        for n, produced in enumerate(done)
    ]
    return {
        "schema": SCHEMA,
        "workload": workload.name,
        "settings": dict(workload.settings),
        "facts": workload.facts(),
        "warmups": warmups,
        "repeats": repeats,
    }


def _write(path: Path, record: Mapping[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf-8")
    partial.replace(path)


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise WorkloadUnavailable(f"can't write to --out {out}: {error.strerror}") from error


def _set_up_process() -> None:
    """What the frameworks read from the environment when they are imported."""
    # Nothing is ever fetched, and notices about optional packages are not this program's output.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    # Threads that spin at barriers burn a core each while they wait, which would be measured.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m vidmeter.workloads.harness",
        description="Run one reference workload and write its videos and workload.json.",
        allow_abbrev=False,
    )
    parser.add_argument("name", metavar="NAME", help="a workload's name, or module:attribute")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="where to write")
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        type=_setting,
        action="append",
        default=[],
        help="change a setting of the workload",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--repeats", metavar="N", type=_count(1), default=1)
    parser.add_argument("--warmup", metavar="N", type=_count(0), default=0)
    return parser


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _count(least: int) -> Any:
    def count(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least} up")
        return int(text)

    return count


if __name__ == "__main__":
    sys.exit(main())
