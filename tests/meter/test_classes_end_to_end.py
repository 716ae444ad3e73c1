"""Every class of sensor through the true ctypes path, in real time: one driver, a card for each.

What is compared is what `vidmeter run --json` says with the integral of the scripted power over
the window that it says it measured.
"""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.simulated_driver.asking import Simulated
from tests.simulated_driver.driver import Counter, Driver, Gpu, Reading, Ring

SQUARE = [(0, 300), (0.0685, 300), (0.0685, 700), (0.137, 700)]
LOCKED = [(0, 300), (0.05, 300), (0.05, 700), (0.1, 700)]
VIDEO = [
    (0, 120),
    (1.1, 120),
    (1.1, 420),
    (1.9, 430),
    (1.9, 640),
    (2.6, 655),
    (2.6, 380),
    (3.3, 120),
]

PLAIN = Gpu(VIDEO, repeat=True, ring=None)
FULL, PART, SECOND = Reading(100, 100), Reading(100, 25), Reading(100, 1000)

CLASSES: dict[str, Gpu] = {
    "25/100 with a mean": replace(PLAIN, instant=PART, average=SECOND, usage=SECOND),
    "25/100 alone but for the counter": replace(
        PLAIN, instant=PART, average=None, usage=PART, capability=(8, 0), name="A100-like"
    ),
    "25/100 and nothing else": replace(PLAIN, instant=PART, average=None, usage=None, counter=None),
    "100/100": replace(
        PLAIN, instant=FULL, average=SECOND, counter=None, capability=(8, 9), architecture=8
    ),
    "10/20": replace(
        PLAIN,
        instant=Reading(20, 10),
        average=None,
        usage=None,
        counter=None,
        capability=(7, 0),
        architecture=5,
    ),
    "1000/100": replace(
        PLAIN, instant=None, average=None, usage=SECOND, counter=None, capability=(8, 6)
    ),
    "cached, with a ring and a broken counter": replace(
        PLAIN,
        instant=Reading(500, 500),
        average=Reading(500, 1000),
        ring=Ring(20, 120),
        counter=Counter(100, broken_w=339),
        capability=(12, 0),
        architecture=10,
    ),
    "logarithmic": replace(
        PLAIN,
        instant=None,
        average=None,
        usage=Reading(100, 100, lag_ms=150),
        counter=None,
        capability=(5, 2),
    ),
}


def metered(
    curve: list[tuple[float, float]], simulated_driver: Simulated, folder: Path, seconds: float
) -> tuple[dict[str, dict[str, Any]], dict[str, Gpu], dict[str, Any]]:
    """A run on all classes at once: what is said of each card, and the cards."""
    gpus = {
        name: replace(
            gpu,
            curve=curve,
            uuid=f"GPU-{i:08d}-0000-4000-8000-000000000000",
            pci=f"00000000:0{i + 1}:00.0",
            clock_reasons=0,
        )
        for i, (name, gpu) in enumerate(CLASSES.items())
    }
    environ = simulated_driver(Driver(list(gpus.values()))) | {"XDG_DATA_HOME": str(folder)}
    out = folder / "summary.json"
    command = ["-m", "vidmeter", "run", "-q", "--json", str(out), "-o", str(folder / "r.vidmeter")]
    subprocess.run(
        [sys.executable, *command, "--", "sleep", str(seconds)], env=environ, check=True, timeout=60
    )
    summary = json.loads(out.read_text())
    by_uuid = {d["uuid"]: d for d in summary["devices"]}
    return {name: by_uuid[gpu.uuid] for name, gpu in gpus.items()}, gpus, summary


def true_j(gpu: Gpu, summary: dict[str, Any]) -> float:
    return gpu.true_energy_j(summary["window"]["start_ns"], summary["window"]["end_ns"])


@pytest.mark.slow
def test_a_load_like_a_video_is_right_in_every_class(
    simulated_driver: Simulated, tmp_path: Path
) -> None:
    devices, gpus, summary = metered(VIDEO, simulated_driver, tmp_path, 13)
    off = {n: d["energy_j"] / true_j(gpus[n], summary) - 1 for n, d in devices.items()}
    limits = {"25/100 and nothing else": 0.02, "1000/100": 0.02, "logarithmic": 0.02}
    assert {n: e for n, e in off.items() if abs(e) > limits.get(n, 0.005)} == {}
    for name, device in devices.items():
        assert device["low_j"] <= true_j(gpus[name], summary) <= device["high_j"], name
    ring = devices["cached, with a ring and a broken counter"]
    assert ring["source"] == "driver's power samples" and "energy counter" in ring["set_aside"]
    assert devices["25/100 alone but for the counter"]["source"] == "energy counter"


@pytest.mark.slow
def test_a_load_in_step_lies_in_the_interval_in_every_class(
    simulated_driver: Simulated, tmp_path: Path
) -> None:
    devices, gpus, summary = metered(LOCKED, simulated_driver, tmp_path, 10)
    for name, device in devices.items():
        assert device["low_j"] <= true_j(gpus[name], summary) <= device["high_j"], name
    alone = devices["25/100 and nothing else"]
    assert abs(alone["energy_j"] / true_j(gpus["25/100 and nothing else"], summary) - 1) > 0.2
    assert "aliasing" in {c["kind"] for c in summary["cautions"]}
    counted = devices["25/100 with a mean"]
    assert counted["energy_j"] == pytest.approx(
        true_j(gpus["25/100 with a mean"], summary), rel=0.005
    )
    assert counted["trusted"]


@pytest.mark.slow
def test_a_fast_square_wave_is_right_in_every_class(
    simulated_driver: Simulated, tmp_path: Path
) -> None:
    devices, gpus, summary = metered(SQUARE, simulated_driver, tmp_path, 13)
    part = {"25/100 and nothing else", "10/20"}
    for name, device in devices.items():
        truth_j = true_j(gpus[name], summary)
        limit = 0.02 if name in part else 0.005
        assert device["energy_j"] == pytest.approx(truth_j, rel=limit), name
        assert device["low_j"] <= truth_j <= device["high_j"], name
