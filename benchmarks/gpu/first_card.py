"""Learns in ten minutes what the sensors of an NVIDIA card are worth, then runs the workloads.

    python3 benchmarks/gpu/first_card.py --out first-card --wheels wheels

Each stage knows its share of the time budget; a later one is shortened or left out when an earlier
one took longer. `findings.json` is written anew after each, so that a cut-off leaves what was done.
It only reads: no setting of the card is touched. README.md beside it says what comes out.
"""

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = "vidmeter-first-card/1"
PACKAGES = ("torch", "diffusers", "transformers", "av", "numpy", "nvidia-ml-py", "psutil")
TINY, WAN = "wan2.1-t2v-1.3b-tiny", "wan2.1-t2v-1.3b"
WAN_SIZES = ((150, 81, 20), (100, 33, 10), (60, 17, 5))
"""Seconds that must be left, frames, steps: the largest that fits is run. An estimate, to be
replaced by what the first card took."""


OVERHEAD_S = 0.3
"""What a stage may take beyond what it was given: files written, a load that ends late."""
STAGES = (
    *("sources", "latency", "idle", "refresh", "load", "idle_with_context", "steady", "steps"),
    *("waves", "data", "poller", TINY, WAN),
)


class Stage(NamedTuple):
    """One part of the script: what it wants of the time, and the least it is worth doing with."""

    name: str
    seconds: float
    least_s: float
    does: Callable[[float], dict[str, Any]]
    needs_load: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; 0, 1 if a stage failed, 2 if nothing can be done here."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="first-card-packages-") as folder:
        extra = install(options.wheels, Path(folder)) if options.wheels else None
        sys.path[:0] = [str(ROOT)]
        sys.path += [str(extra)] if extra else []
        importlib.invalidate_caches()
        try:
            from vidmeter.meter.errors import NoDevice
            from vidmeter.meter.sensors.nvml import NvmlSensor
        except ImportError as error:
            print(f"first_card: {error}: give it in a folder with --wheels", file=sys.stderr)
            return 2
        try:
            sensor = NvmlSensor()
        except NoDevice as error:
            print(f"first_card: no card to measure: {error}", file=sys.stderr)
            return 2
        try:
            return FirstCard(options, sensor, extra).run()
        finally:
            sensor.close()


class FirstCard:
    """One execution of the script: the stages and what they found."""

    def __init__(self, options: argparse.Namespace, sensor: Any, extra: Path | None) -> None:
        from benchmarks.gpu import passive, videos
        from benchmarks.gpu.card import Card
        from benchmarks.gpu.traces import Tape, card_id

        self._options = options
        self._started = time.monotonic()
        self._load: Any = None
        device = sensor.devices[0]
        options.out.mkdir(parents=True, exist_ok=True)
        self._bench = passive.Bench(
            Card(device.uuid), sensor, Tape(device, options.out / "sensors.vidmeter")
        )
        several = len(sensor.devices) > 1
        self._environ = videos.child_environment(ROOT, extra, device.uuid, several=several)
        self._names = {device.uuid: card_id(device.uuid), str(ROOT): "CHECKOUT"}
        self._findings = _header(options, self._bench.tape)

    def run(self) -> int:
        """Do all stages that the time allows; the exit code."""
        stages = self._stages()
        if self._options.only:
            stages = _only(stages, self._options.only)
        try:
            for i, stage in enumerate(stages):
                later = [s for s in stages[i + 1 :] if not self._unwanted(s)]
                later_s = sum(s.least_s + OVERHEAD_S for s in later)
                self._do(stage, allot(stage, self._left_s(), later_s=later_s))
        finally:
            if self._load is not None:
                self._load.close()
        states = [s["state"] for s in self._findings["stages"].values()]
        self._say(f"done: {', '.join(f'{states.count(s)} {s}' for s in sorted(set(states)))}")
        return 1 if "failed" in states else 0

    def _stages(self) -> list[Stage]:
        from benchmarks.gpu import active, passive

        def reading(function: Callable[..., dict[str, Any]]) -> Callable[[float], dict[str, Any]]:
            return lambda seconds: function(self._bench, seconds)

        def loading(function: Callable[..., dict[str, Any]]) -> Callable[[float], dict[str, Any]]:
            return lambda seconds: function(self._bench, self._load, seconds)

        return [
            Stage("sources", 2, 1, reading(passive.sources)),
            Stage("latency", 4, 1, reading(passive.latency)),
            Stage("idle", 20, 5, reading(passive.idle)),
            Stage("refresh", 6, 3, reading(passive.refresh)),
            Stage("load", 30, 5, self._start_load),
            Stage("idle_with_context", 8, 3, reading(passive.idle), True),
            Stage("steady", 38, 8, loading(active.steady), True),
            Stage("steps", 37, 9, loading(active.steps), True),
            Stage("waves", 50, 12, loading(active.waves), True),
            Stage("data", 20, 6, loading(active.data), True),
            Stage("poller", 60, 15, loading(active.poller), True),
            Stage(TINY, 60, 40, self._tiny, True),
            Stage(WAN, 900, 60, self._wan, True),
        ]

    def _do(self, stage: Stage, seconds: float) -> None:
        entry: dict[str, Any] = {"state": "done", "given_s": seconds}
        self._findings["stages"][stage.name] = entry
        why_not = self._why_not(stage, seconds)
        if why_not:
            entry |= {"state": "left out", "why": why_not}
            self._say(f"{stage.name} is left out: {why_not}")
        else:
            self._say(f"{stage.name}: up to {seconds:.0f} s")
            started = time.monotonic()
            try:
                entry["findings"] = stage.does(seconds)
                if seconds < stage.seconds < 900:
                    entry["state"] = "shortened"
            except Exception as error:  # noqa: BLE001 - the time on a card is too dear to lose
                detail = traceback.format_exc().splitlines()[-12:]
                entry |= {"state": "failed", "why": repr(error), "traceback": detail}
                self._say(f"{stage.name} failed: {error!r}")
            entry["wall_s"] = time.monotonic() - started
        self._write()

    def _why_not(self, stage: Stage, seconds: float) -> str | None:
        if self._unwanted(stage):
            return "--no-load"
        if stage.needs_load and self._load is None:
            return "there is no load: see the stage load"
        if seconds < stage.least_s:
            return f"{seconds:.0f} s are left for it, and it needs {stage.least_s:.0f}"
        return None

    def _unwanted(self, stage: Stage) -> bool:
        return self._options.no_load and (stage.needs_load or stage.name == "load")

    def _start_load(self, _seconds: float) -> dict[str, Any]:
        from benchmarks.gpu.active import Load

        load = Load(self._environ)
        self._load = load
        return dict(load.facts)

    def _tiny(self, seconds: float) -> dict[str, Any]:
        self._end_load()
        return self._video([TINY, "--quick"], seconds)

    def _wan(self, seconds: float) -> dict[str, Any]:
        self._end_load()
        fitting = (size for size in WAN_SIZES if seconds >= size[0])
        _, frames, steps = next(fitting, WAN_SIZES[-1])
        stated = {"frames": self._options.wan_frames, "steps": self._options.wan_steps}
        chosen = {"frames": frames, "steps": steps} | {k: v for k, v in stated.items() if v}
        words = [f"{name}={value}" for name, value in chosen.items()]
        return self._video([WAN, *words, "--quick", "--warmups", "1"], seconds)

    def _end_load(self) -> None:
        """Free the card for the workload; `_load` stays, as a sign that CUDA works here."""
        if self._load is not None:
            self._load.close()

    def _video(self, words: list[str], seconds: float) -> dict[str, Any]:
        from benchmarks.gpu.videos import bench

        return bench(
            words,
            seconds=seconds,
            environ=self._environ,
            out=self._options.out,
            names=self._names,
        )

    def _write(self) -> None:
        from benchmarks.gpu.analysis import plain
        from benchmarks.gpu.traces import scrub

        self._bench.tape.save()
        self._findings["wall_s"] = time.monotonic() - self._started
        text = json.dumps(scrub(plain(self._findings), self._names), indent=1, allow_nan=False)
        partial = self._options.out / "findings.partial"
        partial.write_text(text + "\n", "utf-8")
        partial.replace(self._options.out / "findings.json")

    def _left_s(self) -> float:
        return float(self._options.budget_s) - (time.monotonic() - self._started)

    def _say(self, text: str) -> None:
        print(f"[{self._left_s():4.0f} s left] {text}", flush=True)


def _only(stages: list[Stage], name: str) -> list[Stage]:
    """One stage, with the load before it where it needs that."""
    wanted = next(stage for stage in stages if stage.name == name)
    first = [s for s in stages if s.name == "load" and wanted.needs_load]
    return [*(s for s in first if s is not wanted), wanted]


def allot(stage: Stage, left_s: float, *, later_s: float) -> float:
    """What a stage gets of the seconds left, when later ones need at least `later_s`."""
    spare_s = max(left_s - later_s, min(left_s, stage.least_s))
    return max(0.0, min(stage.seconds, spare_s))


def install(wheels: Path, into: Path) -> Path:
    """Install those wheels of a folder whose packages are missing here, with pip and no network."""
    missing = [w for w in sorted(wheels.glob("*.whl")) if not _installed(w.name.split("-")[0])]
    if missing:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
        subprocess.run([*pip, "--target", str(into), *map(str, missing)], check=True)
    print(f"installed for this run: {', '.join(w.name for w in missing) or 'nothing'}", flush=True)
    return into


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _header(options: argparse.Namespace, tape: Any) -> dict[str, Any]:
    import vidmeter
    from vidmeter.meter.environment import environment

    device = tape.device
    here = environment(os.environ)
    return {
        "schema": SCHEMA,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "vidmeter": vidmeter.__version__,
        "card": {"id": device.uuid, "name": device.name, **device.facts},
        "host": {key: value for key, value in here.items() if key not in ("host", "variables")},
        "python": platform.python_version(),
        "packages": {package: _installed(package) for package in PACKAGES},
        "options": {k: v for k, v in vars(options).items() if k not in ("out", "wheels")},
        "stages": {},
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="first_card.py", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--out", type=Path, default=Path("first-card"), help="folder to write to")
    add("--wheels", type=Path, help="folder of wheels for packages that are missing here")
    add("--budget-s", type=float, default=570, help="seconds for everything (default 570)")
    add("--no-load", action="store_true", help="only read: leave out what needs torch and CUDA")
    add("--only", choices=STAGES, help="one stage alone, after the load if it needs that")
    add("--wan-frames", type=int, help=f"frames of {WAN}, instead of what the time allows")
    add("--wan-steps", type=int, help=f"denoising steps of {WAN}, likewise")
    return parser


if __name__ == "__main__":
    sys.exit(main())
