"""Runs whose numbers are known without measuring."""

from array import array
from dataclasses import replace

import pytest

from vidmeter.meter.clock import Anchor
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.run import Event, Phase, Run, Trace, Work
from vidmeter.meter.sample import Quantity, Series

S = 1_000_000_000
T0 = 5_000 * S
TICK = S // 8
"""An eighth of a second: sums of it are exact in binary."""

RATING = {
    "watts_per_busy_cpu_low": 1.0,
    "watts_per_busy_cpu": 2.0,
    "watts_per_busy_cpu_high": 3.0,
    "rating": "64 W for 32 CPUs",
    "rating_source": "its maker",
}


def phase(name, start_s, end_s, *, id=None, parent=None, error=None):
    end_ns = None if end_s is None else T0 + round(end_s * S)
    return Phase(id or name, name, T0 + round(start_s * S), end_ns, parent, error, 1)


def gpu(index, provenance=Provenance.MEASURED):
    return Device(
        f"GPU-{index}", f"Card <{index}>", Kind.GPU, "the card", provenance, "nvml", index
    )


def power(device, watts, *, seconds=16, without=(), quantity=Quantity.POWER_INSTANT):
    """Readings every eighth of a second from -1 s to one second past the end; `without` a span."""
    ticks = [
        i for i in range(-8, 8 * seconds + 9) if not (without and without[0] < i / 8 < without[1])
    ]
    return {
        Series(device.uuid, quantity): Trace(
            array("q", [T0 + i * TICK for i in ticks]), array("d", [watts(i / 8) for i in ticks])
        )
    }


@pytest.fixture
def exact():
    """One simulated GPU at 128 W for 16 s, then 256 W in the phase denoise, and its work."""
    card = gpu(0, Provenance.SIMULATED)
    return Run(
        id="r1",
        command=("python", "gen.py", "a, b"),
        start_ns=T0,
        end_ns=T0 + 16 * S,
        exit_code=0,
        period_ns=TICK,
        devices=(card,),
        traces=power(card, lambda t: 128.0),
        phases=(
            phase("load", 0, 4),
            phase("generate", 4, 16),
            phase("denoise", 4, 12, parent="generate"),
        ),
        work=(
            Work("video", 1, "program", 4.0, 64, 1000, 500, 16.0, "out.mp4", "generate"),
            Work("tokens", 256, "program", phase="denoise"),
        ),
        anchors=(Anchor(T0 - S, 1_700_000_000 * S),),
    )


@pytest.fixture
def full():
    """Two measured GPUs, a gap in one, a modelled CPU, nested phases, a hostile command."""
    cards = gpu(0), gpu(1)
    cpu = Device(
        "CPU-0", "Some CPU", Kind.CPU, "busy", Provenance.MODELLED, "modelled", None, RATING
    )
    busy = power(cpu, lambda t: 8 * (t + 1), quantity=Quantity.CPU_BUSY)
    steps = [phase("step", 4 + i, 5 + i, id=f"step{i}", parent="denoise") for i in range(8)]
    return Run(
        id="r2",
        command=("python", "-c", "<script>alert('x')</script> & \"quoted\""),
        start_ns=T0,
        end_ns=T0 + 16 * S,
        exit_code=3,
        period_ns=TICK,
        devices=(*cards, cpu),
        traces=power(cards[0], lambda t: 700.0 if 6 < t < 6.2 else 300.0)
        | power(cards[1], lambda t: 200.0, without=(13, 13.625))
        | busy,
        phases=(
            phase("load", 0, 4),
            phase("generate", 4, None),
            phase("denoise", 4, 12, parent="generate"),
            phase("decode", 12, 15, parent="generate", error="KeyError"),
            *steps,
        ),
        work=(Work("video", 1, "file", 4.0, 64, 1000, 500, 16.0, "/tmp/<b>.mp4"),),
        events=(Event("read_failed", T0 + 13 * S, T0 + 13 * S, "no answer", "GPU-1", 4),),
        anchors=(Anchor(T0 - S, 1_700_000_000 * S),),
        environment={
            "host": "node",
            "memory_b": 64e9,
            "container": None,
            "variables": {"CUDA_VISIBLE_DEVICES": "0,1"},
        },
        workload={"name": "tiny", "facts": {"weights": "random"}},
    )


@pytest.fixture
def bare(exact):
    """A run in which nothing at all is known."""
    return replace(
        exact, command=(), end_ns=None, exit_code=None, devices=(), traces={}, phases=(), work=(),
        anchors=(),
    )  # fmt: skip
