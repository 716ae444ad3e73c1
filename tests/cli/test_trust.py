"""doctor, verify, --idle and --calibration, as a user types them, on the simulated driver."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.simulated_driver.asking import Simulated
from tests.simulated_driver.driver import Counter, Driver, Gpu, Process, Reading, Ring
from vidmeter.meter.cards import remember
from vidmeter.meter.quality import Calibration

VIDEO = [(0, 120), (0.7, 120), (0.7, 640), (1.3, 610), (2.1, 240), (2.4, 520), (2.87, 120)]
BASE = Gpu(VIDEO, repeat=True, clock_reasons=0, ring=None)


def vidmeter(
    *arguments: str, environ: dict[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vidmeter", *arguments],
        env=environ | {"XDG_DATA_HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def doctor(simulated_driver: Simulated, gpu: Gpu, folder: Path) -> dict[str, Any]:
    environ = simulated_driver(Driver([gpu]))
    done = vidmeter("doctor", "--json", "--seconds", "4", environ=environ, folder=folder)
    document = json.loads(done.stdout)
    assert done.returncode == (0 if document["gpu_measured"] else 1)
    (device,) = [d for d in document["devices"] if d["kind"] == "gpu"]
    return {**device, "by": {r["quantity"]: r for r in device["readings"]}}


@pytest.mark.slow
def test_the_doctor_tells_a_card_that_is_measured_well(
    simulated_driver: Simulated, tmp_path: Path
) -> None:
    found = doctor(simulated_driver, replace(BASE, ring=Ring(20, 120)), tmp_path)
    assert found["grade"] == "good" and found["source"] == "driver's power samples"
    ring, counter = found["by"]["power_ring_w"], found["by"]["energy_j"]
    assert ring["refresh_s"] == pytest.approx(0.02, abs=0.001) and ring["depth"] > 50
    assert counter["refresh_s"] == pytest.approx(0.1, abs=0.001)
    assert found["by"]["power_average_w"]["window_origin"] == "documented"
    assert any("calibrate" in todo for todo in found["todo"])
    kept = tmp_path / "vidmeter" / "cards" / f"{BASE.uuid}.json"
    assert json.loads(kept.read_text())["quality"]["uuid"] == BASE.uuid


@pytest.mark.slow
def test_the_doctor_finds_a_broken_counter(simulated_driver: Simulated, tmp_path: Path) -> None:
    gpu = replace(BASE, ring=Ring(20, 120), counter=Counter(100, broken_w=339))
    found = doctor(simulated_driver, gpu, tmp_path)
    assert found["by"]["energy_j"]["verdict"] == "broken"
    assert "driver's power samples say" in found["by"]["energy_j"]["reason"]
    assert found["source"] == "driver's power samples"


@pytest.mark.slow
def test_the_doctor_does_not_praise_a_part_time_sensor_alone(
    simulated_driver: Simulated, tmp_path: Path
) -> None:
    gpu = replace(BASE, instant=Reading(100, 25), average=None, usage=None, counter=None)
    found = doctor(simulated_driver, gpu, tmp_path)
    assert found["grade"] == "poor" and "25 % of the time" in found["why"]
    assert found["by"]["energy_j"]["verdict"] == "absent"


@pytest.mark.slow
def test_the_doctor_says_of_a_mute_card_that_it_is_mute(
    simulated_driver: Simulated, tmp_path: Path
) -> None:
    gpu = replace(BASE, instant=None, average=None, usage=None, counter=None)
    found = doctor(simulated_driver, gpu, tmp_path)
    assert found["grade"] == "none" and found["mean_w"] is None


def test_the_doctor_speaks_in_plain_words_without_a_gpu(tmp_path: Path) -> None:
    environ = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"}
    done = vidmeter(
        "doctor", "--gpus", "none", "--seconds", "0.3", environ=environ, folder=tmp_path
    )
    assert done.returncode == 1 and done.stderr == ""
    assert "No GPU can be measured." in done.stdout
    assert "MODELLED" in done.stdout or "RAPL" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.slow
def test_idle_is_measured_around_the_command_and_told_apart_by_context(
    simulated_driver: Simulated, tmp_path: Path
) -> None:
    # 100 W before and after, 500 W while the command runs, which starts about 2.3 s in.
    gpu = replace(
        BASE,
        curve=[(0, 100), (3.5, 100), (3.5, 500), (5.5, 500), (5.5, 100)],
        repeat=False,
        ring=Ring(20, 120),
        processes=(Process(os.getpid(), 10**9, 0),),
    )
    out = tmp_path / "s.json"
    done = vidmeter(
        *("run", "--idle", "1.5", "--json", str(out), "-o", str(tmp_path / "r.vidmeter")),
        *("--", "sleep", "4"),
        environ=simulated_driver(Driver([gpu])),
        folder=tmp_path,
    )
    assert done.returncode == 0
    summary = json.loads(out.read_text())
    assert len(summary["idle"]) == 4  # two devices, before and after
    before = next(i for i in summary["idle"] if i["device"] == gpu.uuid)
    assert before["mean_w"] == pytest.approx(100, rel=0.02) and before["loaded"] is True
    window_s = summary["window"]["duration_s"]
    net_j = summary["total"]["energy_j"] - before["mean_w"] * window_s
    assert summary["net"]["energy_j"] == pytest.approx(net_j, rel=0.02)
    assert "beyond idle" in done.stderr and "context loaded" in done.stderr


@pytest.mark.slow
def test_a_calibration_corrects_its_own_card_and_shows_both_numbers(
    simulated_driver: Simulated, tmp_path: Path
) -> None:
    gpu = replace(BASE, ring=Ring(20, 120))
    calibration = Calibration(gpu.uuid, 0.95, -2.0, 0.999, 0.012, "PMD", "2026-01-02", 55.0)
    remember(gpu.uuid, calibration=calibration, where=tmp_path / "vidmeter" / "cards")
    out = tmp_path / "s.json"
    done = vidmeter(
        *("run", "--json", str(out), "-o", str(tmp_path / "r.vidmeter"), "--", "sleep", "3"),
        environ=simulated_driver(Driver([gpu])),
        folder=tmp_path,
    )
    device = json.loads(out.read_text())["devices"][0]
    window_s = json.loads(out.read_text())["window"]["duration_s"]
    assert device["energy_j"] == pytest.approx((device["raw_j"] + 2 * window_s) / 0.95, rel=1e-6)
    assert device["high_j"] / device["energy_j"] - 1 < 0.02
    assert "calibrated against PMD on 2026-01-02" in done.stderr


def test_a_calibration_of_another_card_is_refused_before_the_command_starts(
    simulated_driver: Simulated, tmp_path: Path
) -> None:
    other = Calibration("GPU-other", 0.95, -2.0, 0.999, 0.012, "PMD", "2026-01-02", 55.0)
    path = remember("GPU-other", calibration=other, where=tmp_path)
    done = vidmeter(
        *("run", "--calibration", str(path), "--", "touch", str(tmp_path / "ran")),
        environ=simulated_driver(Driver([BASE])),
        folder=tmp_path,
    )
    assert done.returncode == 2
    assert "GPU-other" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "ran").exists()


def test_verify_holds_and_finds_a_forged_report(tmp_path: Path) -> None:
    environ = dict(os.environ)
    run = tmp_path / "r.vidmeter"
    page = tmp_path / "r.html"
    vidmeter(
        *("run", "--sensor", "fake", "-o", str(run), "--", "sleep", "1"),
        environ=environ,
        folder=tmp_path,
    )
    vidmeter("report", str(run), "-o", str(page), environ=environ, folder=tmp_path)
    good = vidmeter("verify", str(run), str(page), environ=environ, folder=tmp_path)
    assert good.returncode == 0 and good.stdout.endswith("everything holds\n")
    page.write_text(page.read_text().replace("SIMULATED", "MEASURED"))
    bad = vidmeter("verify", str(run), str(page), "--json", environ=environ, folder=tmp_path)
    document = json.loads(bad.stdout)
    assert bad.returncode == 1 and document["holds"] is False and document["stated"] is True
    nothing = vidmeter("verify", str(run), "x.pdf", environ=environ, folder=tmp_path)
    assert nothing.returncode == 2 and nothing.stderr.count("\n") == 1


@pytest.mark.slow
def test_readings_stay_right_while_the_machine_is_busy(
    simulated_driver: Simulated, tmp_path: Path
) -> None:
    hogs = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(2 * (os.cpu_count() or 1))
    ]
    try:
        gpu = replace(BASE, instant=Reading(100, 25), jitter_us=3000)
        out = tmp_path / "s.json"
        vidmeter(
            *("run", "-q", "--json", str(out), "-o", str(tmp_path / "r.vidmeter")),
            *("--", "sleep", "8"),
            environ=simulated_driver(Driver([gpu])),
            folder=tmp_path,
        )
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    summary = json.loads(out.read_text())
    window = summary["window"]
    device = summary["devices"][0]
    truth_j = gpu.true_energy_j(window["start_ns"], window["end_ns"])
    assert device["energy_j"] == pytest.approx(truth_j, rel=0.01)
    assert device["low_j"] < truth_j < device["high_j"]
