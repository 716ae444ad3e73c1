"""Repeats whose numbers are known: a card at a constant power for a length of time."""

from array import array
from collections.abc import Sequence
from typing import Any

from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.run import Run, Trace
from vidmeter.meter.sample import Quantity, Series
from vidmeter.meter.summarize import summarize
from vidmeter.meter.summary import Summary

S = 1_000_000_000
T0 = 5_000 * S
TICK = S // 8
Pair = tuple[Run, Summary]

RATING = {
    "watts_per_busy_cpu_low": 0.5,
    "watts_per_busy_cpu": 1.0,
    "watts_per_busy_cpu_high": 1.5,
    "rating": "64 W for 64 CPUs",
    "rating_source": "its maker",
}
WAN = {
    "height": 480, "width": 832, "frames": 81, "steps": 50, "batch": 1, "dtype": "bfloat16",
    "weights": "random", "seed": 0,
}  # fmt: skip
VIDEO = {"video_seconds": 5.0625, "frames": 81, "videos": 1}


def repeat(
    watts: float,
    *,
    seconds: int = 8,
    block: int = 1,
    number: int = 1,
    card: str = "NVIDIA H200",
    provenance: Provenance = Provenance.MEASURED,
    **more: Any,
) -> Pair:
    """One repeat; `more` goes into the facts of its workload."""
    modelled = provenance is Provenance.MODELLED
    kind, facts = (Kind.CPU, RATING) if modelled else (Kind.GPU, {})
    device = Device("GPU-0", card, kind, "the whole of it", provenance, "nvml", 0, facts)
    ticks = range(-8, 8 * seconds + 9)
    # A modelled device has seconds of busy CPUs, at 1 W each.
    values = [watts * (i + 8) / 8 if modelled else watts for i in ticks]
    trace = Trace(array("q", [T0 + i * TICK for i in ticks]), array("d", values))
    quantity = Quantity.CPU_BUSY if modelled else Quantity.POWER_INSTANT
    run = Run(
        id=f"{more.get('arm', 'r')} {block}.{number}",
        command=("python", "a.py"),
        start_ns=T0,
        end_ns=T0 + seconds * S,
        exit_code=0,
        period_ns=TICK,
        devices=(device,),
        traces={Series("GPU-0", quantity): trace},
        workload={
            "schema": 2, "arm": "a", "block": block, "round": block, "repeat": number,
            "task": "command", **more,
        },
    )  # fmt: skip
    return run, summarize(run)


def commands(label: str, watts: Sequence[float], **more: Any) -> list[Pair]:
    """An arm of commands, one process for each repeat."""
    return [repeat(w, block=i, number=i, arm=label, **more) for i, w in enumerate(watts, 1)]


def videos(blocks: Sequence[Sequence[float]], **more: Any) -> list[Pair]:
    """An arm of videos: mean powers of its repeats, block by block."""
    facts = {
        "task": "text-to-video",
        "arm": "wan2.1-t2v-1.3b",
        "workload": "wan2.1-t2v-1.3b",
        "settings": WAN,
        "facts": {"weights": "random", "steps_run": 50, "device": "cuda"},
        "work": VIDEO,
        "protocol": {
            "warmups": 1, "warmup_s": 8.0, "steady": True, "unsteady": None,
            "idle_w": {"no_context": 70.0, "loaded": 110.0, "after": 120.0},
        },
        **more,
    }  # fmt: skip
    found, number = [], 0
    for block, powers in enumerate(blocks, 1):
        for watts in powers:
            number += 1
            found.append(repeat(watts, block=block, number=number, seed=number - 1, **facts))
    return found
