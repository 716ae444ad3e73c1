"""Runs one block of a workload: load, warm up, repeat, and write down what was used.

This is the process that is metered by `vidmeter bench`, and a plain program without it:

    python -m vidmeter.workloads.harness wan2.1-t2v-1.3b-tiny --repeats 3 --out videos

Every repeat has a seed and a prompt of its own, the same ones for everyone who runs it. Between
them are pauses of random length: a power sensor that looks only part of the time then meets each
repeat at another point of its cycle (Yang, Adámek, Armour, arXiv 2312.02741).
`workload.json` is written anew after each, so a crash loses one at most. Exit codes: 0, or 2 with
one line on stderr if the workload can't run here.
"""

import signal

if __name__ == "__main__":
    # Until the workload runs there is nothing to be closed, and an interrupt ends it without a
    # word. It was held back until here: Python's own start would tell of it at length.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

import argparse
import json
import os
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vidmeter
from vidmeter.meter.errors import VidmeterError, WorkloadUnavailable
from vidmeter.workloads.base import Produced, Workload, load_workload
from vidmeter.workloads.memory import is_out_of_memory
from vidmeter.workloads.steadiness import Steadiness, Verdict

SCHEMA = 2
LONGEST_PAUSE_S = 0.1
"""The refresh period of most power sensors: pauses up to it spread the repeats over its cycle."""


@dataclass(frozen=True, slots=True)
class Block:
    """What one process does: so many warm-ups, then these repeats (numbers from 1).

    After the warm-ups it goes on warming up until the card is steady, for `steady_s` at most. The
    loaded card's idle draw is looked at for `idle_s` before and after.
    """

    repeats: tuple[int, ...] = (1,)
    warmups: int = 0
    steady_s: float = 0.0
    idle_s: float = 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the workload that the command line names; the exit code."""
    options = _parser().parse_args(arguments)
    _set_up_process(dict(options.set))
    repeats = tuple(range(options.first, options.first + options.repeats))
    block = Block(repeats, options.warmup, options.steady, options.idle)
    try:
        workload = load_workload(options.name, dict(options.set))
        _make_folder(options.out)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        run(workload, options.out, block, device=options.device, say=_say(options.progress))
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
    workload: Workload,
    out: Path,
    block: Block,
    *,
    device: str = "auto",
    say: Callable[[str], None] = lambda _: None,
) -> list[Produced]:
    """Prepare, warm up and repeat `workload`; what it makes and `workload.json` go to `out`.

    Marks the phases `load`, `idle_loaded`, `warmup`, `repeat` and `idle_after`, and says in each
    `repeat` what was produced. What happens inside of them is marked by the hook, as in any other
    script. Raises WorkloadUnavailable if it can't run here, or the device's memory is too small.
    """
    seed = int(workload.settings.get("seed", 0))
    done: list[Produced] = []
    try:
        with _enough_memory(workload):
            with vidmeter.phase("load"):
                workload.prepare(device)
            _idle("idle_loaded", block.idle_s)
            warmed = _warm_up(workload, block, seed, say)
            for n in block.repeats:
                if done:
                    time.sleep(random.uniform(0, LONGEST_PAUSE_S))
                started = time.monotonic()
                with vidmeter.phase("repeat"):
                    produced = workload.generate(seed + n - 1, out / f"{workload.name}-{n:03}")
                    vidmeter.work(**produced.work)  # type: ignore[arg-type]
                done.append(produced)
                _write(out / "workload.json", _record(workload, block, done, warmed))
                say(f"repeat {n}: {time.monotonic() - started:.1f} s")
            _idle("idle_after", block.idle_s)
    finally:
        workload.close()
    return done


def _warm_up(
    workload: Workload, block: Block, seed: int, say: Callable[[str], None]
) -> Mapping[str, Any]:
    """Warm up as often as was asked, and until the card is steady; what came of it."""
    began, made = time.monotonic(), 0
    watch = Steadiness()
    verdict = Verdict(None, None)
    try:
        with tempfile.TemporaryDirectory(prefix="vidmeter-") as aside:
            while True:
                warm_s = time.monotonic() - began
                if made >= block.warmups:
                    if block.steady_s:
                        verdict = watch.look()
                    if verdict.steady is not False or warm_s >= block.steady_s:
                        break
                started = time.monotonic()
                with vidmeter.phase("warmup"):
                    workload.generate(seed + made, Path(aside) / f"{made}")
                made += 1
                say(f"warm-up {made}: {time.monotonic() - started:.1f} s")
    finally:
        watch.close()
    return {
        "warmups": made,
        "warmup_s": round(warm_s, 3),
        "steady": verdict.steady,
        "unsteady": verdict.why,
    }


def _idle(phase: str, seconds: float) -> None:
    """Do nothing for a while, with everything loaded."""
    if seconds:
        with vidmeter.phase(phase):
            time.sleep(seconds)


@contextmanager
def _enough_memory(workload: Workload) -> Iterator[None]:
    """Turn the frameworks' way of saying that memory is full into a line that helps."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        smaller = [
            f"{name}={value}"
            for name, value in (("offload", "model"), ("vae_tiling", "on"), ("batch", "1"))
            if name in workload.parameters and str(workload.settings[name]) != value
        ]
        advice = (
            f"try {', '.join(smaller)}, or a smaller size" if smaller else "take a smaller size"
        )
        raise WorkloadUnavailable(
            f"{workload.name} ran out of memory (about {workload.memory_b / 1e9:.1f} GB were "
            f"expected to do): {advice}"
        ) from error


def _record(
    workload: Workload, block: Block, done: Sequence[Produced], warmed: Mapping[str, Any]
) -> Mapping[str, Any]:
    seed = int(workload.settings.get("seed", 0))
    repeats = [
        {
            "repeat": n,
            "seed": seed + n - 1,
            "files": [path.name for path in produced.paths],
            "work": dict(produced.work),
        }
        for n, produced in zip(block.repeats, done, strict=False)
    ]
    return {
        "schema": SCHEMA,
        "workload": workload.name,
        "description": workload.description,
        "settings": dict(workload.settings),
        "facts": workload.facts(),
        "protocol": warmed,
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


def _set_up_process(settings: Mapping[str, str]) -> None:
    """What the frameworks read from the environment when they are imported."""
    # Nothing is fetched unless it is asked for.
    if settings.get("weights") != "hub":
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    # Notices about optional packages and coming versions are not this program's output.
    warnings.filterwarnings("ignore", message="In CPU autocast")
    warnings.filterwarnings("ignore", message="`torch_dtype` is deprecated")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    # Threads that spin at barriers burn a core each while they wait, which would be measured.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _say(aloud: bool) -> Callable[[str], None]:
    def say(text: str) -> None:
        if aloud:
            print(f"vidmeter:   {text}", file=sys.stderr, flush=True)

    return say


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
    parser.add_argument("--first", metavar="N", type=_count(1), default=1, help="its number")
    parser.add_argument("--warmup", metavar="N", type=_count(0), default=0)
    parser.add_argument(
        "--steady",
        metavar="S",
        type=float,
        default=0.0,
        help="warm up until steady, so long at most",
    )
    parser.add_argument(
        "--idle", metavar="S", type=float, default=0.0, help="look at the loaded card's idle draw"
    )
    parser.add_argument("--progress", action="store_true", help="tell of each repeat on stderr")
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
