"""What can be learned of a card under a known load: agreement, response, window, the meter's cost.

The load runs in a process of its own (`load`), told what to do and when it really did it.
"""

import json
import os
import random
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from benchmarks.gpu import analysis
from benchmarks.gpu.card import Column, Polled
from benchmarks.gpu.load import LARGE, TINY
from benchmarks.gpu.passive import Bench, agreement, characterise, held
from vidmeter.meter.clock import monotonic_ns
from vidmeter.meter.sensors.nvml import NvmlSensor

START_TIMEOUT_S = 120.0
WAVES_S = (0.1, 0.05, 0.037, 0.02)
RANDOM_S = (0.01, 0.06)
"""Stretches drawn between these never keep step with a sensor: they show its window best."""
STEP_S = 12.0
POLLER_HZ = (0, 10, 50, 200)
_POWERS = ("power_instant_w", "power_average_w", "power_usage_w", "power_ring_w", "power_memory_w")


class Worker(Protocol):
    """What makes the load: asked to begin something, it says at its end what it really did."""

    def ask(self, **request: Any) -> None:
        """Begin something; `answer` brings what came of it."""
        ...

    def answer(self) -> dict[str, Any]:
        """What came of the request, when it is done; LoadFailed without an answer."""
        ...


class LoadFailed(Exception):
    """The process that makes the load ended or stays silent."""


class Load:
    """The process that makes the load. `facts` says what it runs on."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("load.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(environ),
        )
        self._buffer = b""
        self.facts = self.answer(START_TIMEOUT_S)
        if "error" in self.facts:
            raise LoadFailed(self.facts["error"])

    def ask(self, **request: Any) -> None:
        """Begin something; `answer` brings what came of it."""
        assert self._process.stdin is not None
        self._process.stdin.write((json.dumps(request) + "\n").encode())
        self._process.stdin.flush()

    def answer(self, timeout_s: float = 30.0) -> dict[str, Any]:
        """What came of the request, when it is done; LoadFailed without an answer."""
        pipe = self._process.stdout
        assert pipe is not None
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            if not select.select([pipe], [], [], max(0, deadline - time.monotonic()))[0]:
                raise LoadFailed(f"the load gave no answer within {timeout_s:g} s")
            data = os.read(pipe.fileno(), 65536)
            if not data:
                raise LoadFailed(f"the load ended with exit code {self._process.wait()}")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        """End the process and wait for it."""
        self._process.kill()
        self._process.wait()


def steady(bench: Bench, load: Worker, seconds: float) -> dict[str, Any]:
    """A steady product: the sources against each other, and refreshed how often."""
    before, long_s = held(bench.card), 0.8 * seconds
    load.ask(do="steady", size=LARGE, seconds=seconds + 2)
    time.sleep(1.5)  # a mean over one second still holds what was before
    polled = bench.card.poll(long_s, hz=100)
    fast = bench.card.poll(seconds - long_s, hz=1000)
    answer = load.answer()
    bench.tape.add("steady", polled)
    bench.tape.add("refresh under load", fast)
    after = held(bench.card)
    return {
        "load": _speed(answer),
        **agreement(polled),
        "refresh": characterise(fast),
        "counters_advanced": {
            name: None if after[name] is None or was is None else (after[name] or 0) - was
            for name, was in before.items()
        },
    }


def steps(bench: Bench, load: Worker, seconds: float) -> dict[str, Any]:
    """Idle and load in turns of six seconds: delay and rise of each source."""
    period_s = STEP_S if seconds >= 2 * STEP_S + 1 else (seconds - 1) / 2
    whole = max(2, int((seconds - 1) / period_s)) * period_s
    polled, edges = _wave(bench, load, f"steps {period_s / 2:.3g} s", whole, period_s=period_s)
    found: dict[str, Any] = {"half_period_s": period_s / 2, "sources": {}}
    for name, column in _powers(polled).items():
        t, p = column.t_ns, column.value
        found["sources"][name] = {
            "up": analysis.step_response(t, p, edges, up=True),
            "down": analysis.step_response(t, p, edges, up=False),
            "window": analysis.fit_window(edges, *_renewed(name, column)),
        }
    return found | agreement(polled)


def waves(bench: Bench, load: Worker, seconds: float) -> dict[str, Any]:
    """Fast square waves: which window each source averages over, and which integrals go wrong."""
    each_s = max(1.0, seconds / (len(WAVES_S) + 1) - 1.2)
    found: dict[str, Any] = {"each_s": each_s, "waves": {}}
    all_edges: list[int] = []
    joined: dict[str, Column] = {}
    wanted: dict[str, dict[str, Any]] = {
        "random": {"between_s": RANDOM_S},
        **{f"{1000 * period_s:g} ms": {"period_s": period_s} for period_s in WAVES_S},
    }
    for name, request in wanted.items():
        polled, edges = _wave(bench, load, f"wave {name}", each_s, **request)
        whole = agreement(polled, edges[0], edges[-1])
        found["waves"][name] = {
            "half_periods_s": analysis.quantiles([(b - a) / 1e9 for a, b in _pairs(edges)]),
            "energy_by_source_j": whole["energy_by_source_j"],
            "against_energy_counter": whole["against_energy_counter"],
        }
        all_edges += edges
        for source, column in _powers(polled).items():
            into = joined.setdefault(source, Column())
            for t_ns, value in zip(*_renewed(source, column), strict=True):
                into.add(t_ns, value)
    found["windows"] = {
        name: analysis.fit_window(all_edges, column.t_ns, column.value)
        for name, column in joined.items()
    }
    return found


def data(bench: Bench, load: Worker, seconds: float) -> dict[str, Any]:
    """The same product on random numbers and on zeros, in turns: power and speed of each."""
    rounds = max(1, int(seconds / 10))
    each_s = seconds / (2 * rounds) - 1
    found: dict[str, list[dict[str, Any]]] = {"random": [], "zeros": []}
    for _ in range(rounds):
        for kind, results in found.items():
            load.ask(do="steady", size=LARGE, zeros=kind == "zeros", seconds=each_s)
            polled = bench.card.poll(each_s, hz=50)
            answer = load.answer()
            bench.tape.add(f"product of {kind}", polled)
            # The first second is left to clocks and to slow averages.
            start = min(answer["start_ns"] + 10**9, (answer["start_ns"] + answer["end_ns"]) // 2)
            power = agreement(polled, start, min(answer["end_ns"], polled.end_ns))
            results.append(_speed(answer) | {"power_w": power["mean_power_by_source_w"]})
            time.sleep(0.5)
    return found


def poller(bench: Bench, load: Worker, seconds: float) -> dict[str, Any]:
    """How much a steady load is slowed by vidmeter's sensor at several rates, in shuffled turns."""
    rounds = 3 if seconds >= 30 else 2
    each_s = max(0.5, seconds / (rounds * 2 * len(POLLER_HZ)) - 0.15)
    draw, found = random.Random(0), {}
    for load_name, size in (("large products", LARGE), ("launches of tiny products", TINY)):
        rates: dict[int, list[float]] = {hz: [] for hz in POLLER_HZ}
        for _ in range(rounds):
            for hz in draw.sample(POLLER_HZ, len(POLLER_HZ)):
                load.ask(do="steady", size=size, seconds=each_s)
                _tick(bench.sensor, each_s, hz=hz)
                rates[hz].append(load.answer()["products_per_s"])
        effects = {f"{hz} Hz": analysis.paired_effect(rates[0], rates[hz]) for hz in POLLER_HZ[1:]}
        found[load_name] = {"products_per_s": rates, "against_no_poller": effects}
    return {"each_s": each_s, **found}


def _tick(sensor: NvmlSensor, seconds: float, *, hz: int) -> None:
    end = time.monotonic() + seconds
    if hz == 0:
        time.sleep(seconds)
    while (now := time.monotonic()) < end:
        sensor.read(monotonic_ns())
        time.sleep(max(0, now + 1 / hz - time.monotonic()))


def _wave(
    bench: Bench, load: Worker, name: str, seconds: float, **request: Any
) -> tuple[Polled, Sequence[int]]:
    load.ask(do="wave", seconds=seconds, **request)
    polled = bench.card.poll(seconds + 0.8, hz=500 if "steps" in name else 1000)
    edges = load.answer()["edges_ns"]
    bench.tape.add(name, polled)
    return polled, edges


def _powers(polled: Polled) -> dict[str, Column]:
    return {name: column for name, column in polled.columns.items() if name in _POWERS}


def _renewed(name: str, column: Column) -> tuple[Sequence[int], Sequence[float]]:
    """The readings as they were renewed: the ring has them, in polls they are found."""
    if name == "power_ring_w":
        return column.t_ns, column.value
    t_ns, value = analysis.renewals(column.t_ns, column.value)
    return t_ns.tolist(), value.tolist()


def _pairs(edges: Sequence[int]) -> list[tuple[int, int]]:
    return list(pairwise(edges))


def _speed(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if not key.endswith("_ns")}
