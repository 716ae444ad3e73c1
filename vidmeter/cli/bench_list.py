"""`vidmeter bench --list`: what there is to run, what it needs, about how long it takes here."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from vidmeter.workloads.base import Workload, load_workload, models
from vidmeter.workloads.suite import load_suite, suite_names

SHARE_OF_PEAK = 0.4
"""What large networks reach of a card's nominal peak, about: only for how long it may take."""
DOWNLOAD_BITS = {"bfloat16": 16, "float16": 16, "float32": 32}


def show(names: Sequence[str]) -> int:
    """Print all suites and workloads; or of those that are named, what they hold."""
    if names:
        for name in names:
            _show_suite(name) if name in suite_names() else _show_workload(name)
        return 0
    print("suites")
    for name in suite_names():
        print(f"  {name:<22} {load_suite(name).description}")
    card = _card()
    print(f"\n{'workloads':<24} {'memory':>8} {'weights':>9} {'work':>11}   {_here(card)}")
    for name in models():
        print(_row(load_workload(name), card))
    print(
        "\nNAME-tiny is the same pipeline, shrunk to run on a CPU. Nothing is downloaded unless"
        "\n--weights hub asks for it. `vidmeter bench --list NAME` shows the settings of one."
    )
    sys.stdout.flush()
    return 0


def _row(workload: Workload, card: tuple[str, float] | None) -> str:
    model: Any = getattr(workload, "model", None)
    operations = operations_of(model, workload.settings)
    work = f"{operations / 1e15:.3g} PFLOP" if operations else "–"
    takes = ""
    if card and operations:
        takes = f"about {_duration(operations / (card[1] * 1e12 * SHARE_OF_PEAK))}"
    memory, weights = workload.memory_b / 1e9, weights_b(model) / 1e9
    return (
        f"  {workload.name:<22} {memory:>5.0f} GB {weights:>6.1f} GB {work:>11}   {takes}".rstrip()
    )


def operations_of(model: Any, settings: Mapping[str, Any]) -> float | None:
    """What denoising takes in the native settings, by the model's own facts; None if not known.

    Decoding and text encoding are a few per cent on top. Nothing is counted here: that would take
    the frameworks.
    """
    flops = getattr(model, "flops", None)
    if flops is None:
        return None
    runs = settings["steps"] * model.runs_per_step(float(settings["guidance"]))
    return float(flops * runs)


def weights_b(model: Any) -> float:
    """The size of the released weights in bytes: what `--weights hub` downloads."""
    parts = [model.part] if hasattr(model, "part") else model.networks().values()
    return float(sum(p.parameters * DOWNLOAD_BITS[str(p.dtype)] / 8 for p in parts))


def _show_suite(name: str) -> None:
    suite = load_suite(name)
    print(f"{name}: {suite.description}")
    for entry in suite.entries:
        settings = " ".join(f"{k}={v}" for k, v in entry.settings.items())
        print(f"  {entry.workload} {settings}".rstrip())


def _show_workload(name: str) -> None:
    workload = load_workload(name)
    print(f"{workload.name}: {workload.description}")
    print(f"  {workload.memory_b / 1e9:.3g} GB of memory, for {' or '.join(workload.devices)}")
    for key, parameter in workload.parameters.items():
        choices = f" ({', '.join(parameter.choices)})" if parameter.choices else ""
        stated = parameter.default if parameter.default != "" else '""'
        print(f"    {key}={stated}  {parameter.meaning}{choices}")


def _card() -> tuple[str, float] | None:
    """The first GPU here and its nominal TFLOP/s for bfloat16, if both are known."""
    from vidmeter.meter.errors import NoDevice
    from vidmeter.meter.sensors import Selection, open_sensors
    from vidmeter.reports.peaks import peak

    try:
        (sensor,) = open_sensors(Selection(("nvml",)), os.environ).sensors
    except NoDevice:
        return None
    names = [device.name for device in sensor.devices]
    sensor.close()
    nominal = peak(names[0], "bfloat16") if names else None
    return (names[0], nominal.tflops) if nominal else None


def _here(card: tuple[str, float] | None) -> str:
    return f"one repeat on {card[0]}" if card else ""


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min"
