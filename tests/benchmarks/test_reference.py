"""The script that runs the reference workloads on a card, on the simulated driver."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu.traces import card_id
from tests.simulated_driver.driver import Driver, Gpu
from vidmeter.meter.reader import load

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu" / "reference.py"
UUID = "GPU-1f00d1e5-0000-4000-8000-00000000beef"

pytestmark = pytest.mark.slow


def reference(environ: dict[str, str], out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), "--out", str(out), "--device", "cpu", *words],
        env=environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_workload_has_its_repeats_results_and_time_to_the_first(
    simulated_driver: Callable[[Driver], dict[str, str]], tmp_path: Path
) -> None:
    environ = simulated_driver(Driver([Gpu(curve=[(0, 300)], uuid=UUID)]))
    done = reference(environ, tmp_path / "out", "tests.workloads.own:Sleepy", "--set", "nap_s=0.3")
    assert done.returncode == 0, done.stdout + done.stderr

    found: dict[str, Any] = json.loads((tmp_path / "out" / "reference.json").read_text())
    (told,) = found["workloads"].values()
    assert told["exit_code"] == 0
    assert 0 < told["loaded_s"] < told["wall_s"]
    (arm,) = told["results"]["arms"]
    assert len(arm["repeats"]) == len(told["runs"]) == 3
    assert arm["provenance"] == "measured"
    assert arm["mean_w"] == pytest.approx(300, rel=0.02)
    for name in told["runs"]:
        run = load(tmp_path / "out" / name)
        assert [device.uuid for device in run.devices if device.kind == "gpu"] == [card_id(UUID)]
    for file in (tmp_path / "out").iterdir():
        assert UUID.encode() not in file.read_bytes(), file
        assert str(ROOT).encode() not in file.read_bytes(), file


def test_what_the_time_does_not_reach_is_left_out_and_named(
    simulated_driver: Callable[[Driver], dict[str, str]], tmp_path: Path
) -> None:
    environ = simulated_driver(Driver([Gpu(curve=[(0, 300)], uuid=UUID)]))
    done = reference(environ, tmp_path / "out", "--budget-s", "5")
    assert done.returncode == 1
    assert "llama-3.2-1b is left out: 5 s are left" in done.stdout


def test_without_a_card_it_says_so_in_a_line(tmp_path: Path) -> None:
    done = reference({"LD_LIBRARY_PATH": str(tmp_path)}, tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.startswith("reference: no card to measure")
    assert len(done.stderr.splitlines()) == 1
