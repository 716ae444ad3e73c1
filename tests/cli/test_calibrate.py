"""`vidmeter calibrate` on the simulated driver: what the script says of a sensor is recovered."""

import csv
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Place
from tests.simulated_driver.driver import Counter, Driver, Gpu, Reading, Ring
from vidmeter.meter.reader import load
from vidmeter.meter.run import Run

Simulated = Callable[[Driver], dict[str, str]]
LOAD = Path(__file__).with_name("scripted_load.py")
S = 1_000_000_000
LOW_W, HIGH_W = 100.0, 600.0


def edges_s(until_s: float, *, seed: int = 1) -> list[float]:
    """Three steps, and then stretches that keep step with nothing."""
    draw = np.random.default_rng(seed)
    edges = [2.0 + 1.4 * i for i in range(6)]
    while edges[-1] < until_s:
        edges.append(edges[-1] + float(draw.uniform(0.015, 0.12)))
    return edges[: len(edges) // 2 * 2]


def stepped(edges: list[float]) -> list[tuple[float, float]]:
    points = [(0.0, LOW_W)]
    for i, edge in enumerate(edges):
        before, after = (LOW_W, HIGH_W) if i % 2 == 0 else (HIGH_W, LOW_W)
        points += [(edge, before), (edge, after)]
    return points


def environ_of(simulated: Simulated, place: Place, driver: Driver) -> dict[str, str]:
    environ = simulated(driver)
    ours = {k: place.environ[k] for k in ("PYTHONPATH", "XDG_DATA_HOME")}
    return {**{k: v for k, v in environ.items() if not k.startswith("VIDMETER_M")}, **ours}


def found_of(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, object]]:
    assert done.returncode == 0, done.stderr
    (card,) = json.loads(done.stdout)["cards"]
    return {reading["quantity"]: reading for reading in card["readings"]}


def test_the_scripted_windows_and_delays_are_recovered_and_kept(
    simulated_driver: Simulated, place: Place
) -> None:
    edges = edges_s(12.0)
    gpu = Gpu(
        stepped(edges),
        instant=Reading(100, 25, delay_ms=30),
        average=Reading(20, 20, lag_ms=80),
        counter=Counter(100),
        ring=None,
    )
    environ = environ_of(simulated_driver, place, Driver([gpu]))
    program = [sys.executable, str(LOAD), str(gpu.epoch_ns), "13", *map(str, edges)]

    done = place.vidmeter("calibrate", "--load", shlex.join(program), "--json", env=environ)

    found = found_of(done)
    instant, average = found["power_instant_w"], found["power_average_w"]
    assert instant["refresh_s"] == pytest.approx(0.1, abs=1e-3)
    assert instant["window_s"] == pytest.approx(0.025, abs=2.5e-3)
    assert instant["delay_s"] == pytest.approx(0.03, abs=4e-3)
    assert average["refresh_s"] == pytest.approx(0.02, abs=1e-3)
    assert average["lag_s"] == pytest.approx(0.08, rel=0.1)
    assert found["energy_j"]["refresh_s"] == pytest.approx(0.1, abs=1e-3)
    assert found["power_ring_w"]["verdict"] == "absent"
    kept = json.loads((place.data / "vidmeter" / "cards" / f"{gpu.uuid}.json").read_text())
    (mine,) = [s for s in kept["quality"]["series"] if s["quantity"] == "power_instant_w"]
    assert mine["window_origin"] == "measured"
    assert mine["window_ns"] == round(float(str(instant["window_s"])) * 1e9)
    again = place.vidmeter("calibrate", "--run", "last", env=environ)
    assert again.returncode == 0
    assert "instant power" in again.stdout and "25 % seen" in again.stdout


def test_without_cuda_the_card_alone_tells_and_a_false_counter_is_caught(
    simulated_driver: Simulated, place: Place
) -> None:
    draw = np.random.default_rng(2)
    levels = draw.uniform(80, 300, 120)
    at = np.cumsum(draw.uniform(0.05, 0.5, 120))
    curve = [p for t, a, b in zip(at, levels, levels[1:], strict=False) for p in ((t, a), (t, b))]
    gpu = Gpu(
        [(0.0, float(levels[0])), *((float(t), float(w)) for t, w in curve)],
        instant=Reading(100, 25, delay_ms=20),
        average=Reading(100, 100),
        counter=Counter(100, broken_w=339),
        ring=Ring(20, 120),
    )
    environ = environ_of(simulated_driver, place, Driver([gpu]))

    done = place.vidmeter("calibrate", "--json", env=environ)

    found = found_of(done)
    assert done.stderr.count("no load is made") == 1
    ring, instant = found["power_ring_w"], found["power_instant_w"]
    assert ring["refresh_s"] == pytest.approx(0.02, abs=1e-3)
    assert ring["depth"] == pytest.approx(120, abs=5)
    assert instant["window_s"] == pytest.approx(0.025, abs=2.5e-3)
    assert instant["delay_s"] == pytest.approx(0.02, abs=5e-3)
    assert instant["against"] == "the driver's samples"
    assert found["power_average_w"]["window_s"] == pytest.approx(0.1, rel=0.1)
    counter = found["energy_j"]
    assert counter["verdict"] == "broken"
    assert "driver's samples say" in str(counter["reason"])
