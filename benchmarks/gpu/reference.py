"""What a second of video costs on this card: the reference workloads, three repeats each.

    python3 benchmarks/gpu/reference.py --out reference --wheels wheels

Native settings, random weights, one process for each workload, a warm-up and three repeats: what
ten minutes allow. Workloads that the time doesn't reach are left out and named; give their names to
go on with them in another call. Nothing about the card is changed.
"""

import argparse
import importlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = "vidmeter-reference/1"
WORKLOADS = (
    *("llama-3.2-1b", "animatediff", "ltx-video-2b", "cogvideox-2b"),
    "wan2.1-t2v-1.3b",
)
"""The quickest first; the last takes some five minutes on an H200."""
PROTOCOL = (
    *("--repeats", "3", "--per-block", "3", "--warmups", "1"),
    *("--steady", "0", "--idle", "5", "--cool-down", "0"),
)
LEAST_S = 45.0
"""What a workload is worth starting with: loading alone takes some twenty seconds."""


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line says; 0, 1 if something was left out, 2 if nothing can be done."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="reference-packages-") as folder:
        sys.path[:0] = [str(ROOT)]
        from benchmarks.gpu.first_card import install

        extra = install(options.wheels, Path(folder)) if options.wheels else None
        sys.path += [str(extra)] if extra else []
        importlib.invalidate_caches()
        from vidmeter.meter.errors import NoDevice
        from vidmeter.meter.sensors.nvml import NvmlSensor

        try:
            sensor = NvmlSensor()
        except NoDevice as error:
            print(f"reference: no card to measure: {error}", file=sys.stderr)
            return 2
        device, several = sensor.devices[0], len(sensor.devices) > 1
        sensor.close()
        return _run(options, device, extra, several=several)


def _run(options: argparse.Namespace, device: Any, extra: Path | None, *, several: bool) -> int:
    from benchmarks.gpu.traces import card_id
    from benchmarks.gpu.videos import bench, child_environment

    started = time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    environ = child_environment(ROOT, extra, device.uuid, several=several)
    names = {device.uuid: card_id(device.uuid), str(ROOT): "CHECKOUT"}
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "card": {
            "id": card_id(device.uuid),
            "name": device.name,
            **{k: v for k, v in device.facts.items() if k != "pci_bus_id"},
        },
        "workloads": {},
        "left_out": [],
    }
    for name in options.names or WORKLOADS:
        left_s = options.budget_s - (time.monotonic() - started)
        if left_s < LEAST_S:
            found["left_out"].append(name)
            print(f"{name} is left out: {left_s:.0f} s are left", flush=True)
            continue
        print(f"{name}: {left_s:.0f} s left", flush=True)
        told = bench(
            [name, *options.settings, *PROTOCOL],
            seconds=left_s,
            environ=environ,
            out=options.out,
            names=names,
            device=options.device,
        )
        found["workloads"][name] = told
        print("\n".join(told["said"][-30:]), flush=True)
        partial = options.out / "reference.partial"
        partial.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
        partial.replace(options.out / "reference.json")
    done = [len(told["runs"]) for told in found["workloads"].values()]
    print(f"{sum(done)} repeats of {len(done)} workloads; {options.out / 'reference.json'}")
    return 1 if found["left_out"] or not all(done) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="reference.py", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("names", nargs="*", metavar="WORKLOAD", help=f"default: {' '.join(WORKLOADS)}")
    add("--out", type=Path, default=Path("reference"), help="folder to write to")
    add("--wheels", type=Path, help="folder of wheels for packages that are missing here")
    add("--budget-s", type=float, default=570, help="seconds for everything (default 570)")
    add("--device", default="cuda", help="cuda (default), or cpu to try the script out")
    add("--set", dest="settings", action="append", default=[], metavar="NAME=VALUE")
    return parser


if __name__ == "__main__":
    sys.exit(main())
