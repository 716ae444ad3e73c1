"""`vidmeter bench --list`: what there is to run, what it needs, about how long it takes here."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from vidmeter.workloads.base import load_workload, models
from vidmeter.workloads.suite import load_suite, suite_names

SHARE_OF_PEAK, SHARE_OF_BANDWIDTH = 0.4, 0.6
"""What large networks reach of a card's nominal peak, and of its memory's, about: only for how long
it may take."""
DOWNLOAD_BITS = {"bfloat16": 16, "float16": 16, "float32": 32}


class Card(NamedTuple):
    """A GPU with its nominal bfloat16 speed and its memory's; None where they aren't known."""

    name: str
    tflops: float | None
    bytes_per_s: float | None


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
    print(f"\n{_head('workloads', card)}")
    for name in models():
        print(_row(load_workload(name), card))
    print(
        "\nNAME-tiny is the same pipeline, shrunk to run on a CPU. Nothing is downloaded unless"
        "\n--weights hub asks for it. `vidmeter bench --list NAME` shows the settings of one."
    )
    sys.stdout.flush()
    return 0


def _row(workload: Any, card: Card | None) -> str:
    model = workload.model
    operations = operations_of(model, workload.settings)
    seconds = card and seconds_on(card, model, workload.settings, operations)
    memory, weights = workload.memory_b / 1e9, weights_b(model) / 1e9
    return (
        f"  {workload.name:<22} {memory:>5.0f} GB {weights:>6.1f} GB {_work(operations):>11}"
        f"   {f'about {_duration(seconds)}' if seconds else ''}"
    ).rstrip()


def operations_of(model: Any, settings: Mapping[str, Any]) -> float | None:
    """What a repeat takes with these settings, nearly, by the model's own facts; None if not known.

    Of videos denoising, at the native size: decoding and text encoding are a few per cent on top.
    Of texts two for each parameter and token. Nothing is counted here: that would take the
    frameworks.
    """
    if "output_tokens" in settings:
        tokens = settings["batch"] * (settings["input_tokens"] + settings["output_tokens"])
        return float(2 * model.part.parameters * tokens)
    native = model.native
    if model.flops is None or any(
        settings[side] != getattr(native, side) for side in ("height", "width", "frames")
    ):
        return None
    runs = settings["steps"] * model.runs_per_step(float(settings["guidance"]))
    return float(model.flops * runs)


def seconds_on(
    card: Card, model: Any, settings: Mapping[str, Any], operations: float | None
) -> float | None:
    """About how long a repeat takes on a card; None if it isn't known.

    Each token that is written waits for all weights to be read once.
    """
    if operations is None or card.tflops is None:
        return None
    seconds = operations / (card.tflops * 1e12 * SHARE_OF_PEAK)
    if "output_tokens" in settings:
        if card.bytes_per_s is None:
            return None
        read_b = weights_b(model) * settings["output_tokens"]
        seconds = max(seconds, read_b / (card.bytes_per_s * SHARE_OF_BANDWIDTH))
    return seconds


def weights_b(model: Any) -> float:
    """The size of the released weights in bytes: what `--weights hub` downloads."""
    parts = [model.part] if hasattr(model, "part") else model.networks().values()
    return float(sum(p.parameters * DOWNLOAD_BITS[str(p.dtype)] / 8 for p in parts))


def _show_suite(name: str) -> None:
    suite, card = load_suite(name), _card()
    print(f"{name}: {suite.description}")
    print(_head("workloads", card))
    for entry in suite.entries:
        print(_row(load_workload(entry.workload, entry.settings), card))
        if entry.settings:
            print(f"    {' '.join(f'{k}={v}' for k, v in entry.settings.items())}")


def _show_workload(name: str) -> None:
    workload = load_workload(name)
    print(f"{workload.name}: {workload.description}")
    print(f"  for {' or '.join(workload.devices)}")
    if hasattr(workload, "model"):
        card = _card()
        print(f"{_head('', card)}\n{_row(workload, card)}")
    for key, parameter in workload.parameters.items():
        choices = f" ({', '.join(parameter.choices)})" if parameter.choices else ""
        stated = parameter.default if parameter.default != "" else '""'
        print(f"    {key}={stated}  {parameter.meaning}{choices}")


def _card() -> Card | None:
    """The first GPU here, if there is one."""
    from vidmeter.meter.errors import NoDevice
    from vidmeter.meter.sensors import Selection, open_sensors
    from vidmeter.reports.peaks import memory_bytes_per_s, peak

    try:
        (sensor,) = open_sensors(Selection(("nvml",)), os.environ).sensors
    except NoDevice:
        return None
    names = [device.name for device in sensor.devices]
    sensor.close()
    if not names:
        return None
    nominal = peak(names[0], "bfloat16")
    return Card(names[0], nominal.tflops if nominal else None, memory_bytes_per_s(names[0]))


def _head(what: str, card: Card | None) -> str:
    return f"{what:<24} {'memory':>8} {'weights':>9} {'work':>11}   {_here(card)}".rstrip()


def _here(card: Card | None) -> str:
    return f"one repeat on {card.name}" if card else "no GPU here"


def _work(operations: float | None) -> str:
    if operations is None:
        return "–"
    if operations >= 1e14:
        return f"{operations / 1e15:.3g} PFLOP"
    return f"{operations / 1e12:.3g} TFLOP"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min"
