"""`vidmeter calibrate` on the simulated driver: what the script says of a sensor is recovered."""

import csv
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Place
from tests.meter.synthetic import CARD, Sensor, Wave, card, readings, run_of
from tests.simulated_driver.driver import Counter, Driver, Gpu, Reading, Ring
from vidmeter.meter.sample import Quantity, Series

Simulated = Callable[[Driver], dict[str, str]]
LOAD = Path(__file__).with_name("scripted_load.py")
S = 1_000_000_000
LOW_W, HIGH_W = 100.0, 600.0
REAL_S = 1_700_000_000


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


def kept_run(place: Place, *uuids: str) -> Path:
    """A run file of made-up cards: idle, busy, idle."""
    wave = Wave(40.0, lambda t: np.where((t > 10) & (t < 22), 600.0, 90.0))
    rng = np.random.default_rng(0)
    trace = readings(wave, Sensor(Quantity.POWER_INSTANT, 100, 100), rng)
    devices = tuple(
        replace(card(), uuid=uuid, index=i, name=f"Card {i}") for i, uuid in enumerate(uuids)
    )
    made = run_of(wave, devices[0], {})
    traces = {Series(uuid, Quantity.POWER_INSTANT): trace for uuid in uuids}
    path = place.folder / "kept.vidmeter"
    replace(made, devices=devices, traces=traces).save(path)
    return path


def write_log(place: Place, *, shift_s: float = 0.0, gap: tuple[float, float] = (0, 0)) -> Path:
    """What a meter logged meanwhile, if cards show 0.95 of the truth; the run starts at REAL_S."""
    path = place.folder / "log.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["Time", "Power (W)"])
        for t in np.arange(-1.0, 39.0, 0.1).tolist():
            if not gap[0] < t < gap[1]:
                w = (600.0 if 10 < t < 22 else 90.0) / 0.95
                stamp = datetime.fromtimestamp(REAL_S + t + shift_s, UTC)
                rows.writerow([stamp.isoformat(), f"{w:.2f}"])
    return path


def test_a_log_gives_a_calibration_that_is_shown_and_kept(place: Place) -> None:
    run, log = kept_run(place, CARD), write_log(place, shift_s=0.8, gap=(25, 31))

    done = place.vidmeter(
        "calibrate", "--run", str(run), "--reference", str(log), "--meter", "Yokogawa",
        "--meter-error", "0.1",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "the log has gaps: 6 of 40 s are missing and left out" in done.stdout
    assert "against Yokogawa" in done.stdout
    kept = json.loads((place.data / "vidmeter" / "cards" / f"{CARD}.json").read_text())
    assert kept["calibration"]["gain"] == pytest.approx(0.95, abs=0.003)
    assert kept["calibration"]["meter"] == "Yokogawa"
    assert kept["calibration"]["error"] < 0.01
    (means,) = re.findall(r"([\d.]+) W raw, ([\d.]+) W calibrated, ([\d.]+) W by", done.stdout)
    raw, calibrated, meter = map(float, means)
    assert calibrated == pytest.approx(meter, rel=0.005)
    assert raw == pytest.approx(0.95 * meter, rel=0.005)


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("another day", "have no time in common"),
        ("another time zone", "have no time in common"),
        ("malformed", "row 3: 'x' is not a number of watts"),
        ("missing", "can't read"),
        ("much missing", "at least 20 s are needed"),
        ("no such card", "no GPU matches"),
        ("two cards", "name it with --gpus"),
        ("meter without a log", "which log?"),
    ],
)
def test_what_can_not_be_used_is_one_line_and_exit_code_2(
    place: Place, case: str, said: str
) -> None:
    cards = [CARD, "GPU-2"] if case == "two cards" else [CARD]
    shift_s = {"another day": 86_400.0, "another time zone": 3_600.0}.get(case, 0.0)
    run = kept_run(place, *cards)
    log = write_log(place, shift_s=shift_s, gap=(2, 28) if case == "much missing" else (0, 0))
    options = ["--reference", str(log)]
    if case == "malformed":
        rows = log.read_text().splitlines()
        log.write_text("\n".join([*rows[:2], rows[2].rpartition(",")[0] + ",x", *rows[3:]]))
    elif case == "missing":
        log.unlink()
    elif case == "no such card":
        options += ["--gpus", "7"]
    elif case == "meter without a log":
        options = ["--meter", "Yokogawa"]

    done = place.vidmeter("calibrate", "--run", str(run), *options)

    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.startswith("vidmeter: ")
    assert done.stderr.count("\n") == 1
    assert not (place.data / "vidmeter" / "cards").exists()


def test_one_of_two_cards_is_calibrated_alone(place: Place) -> None:
    run, log = kept_run(place, CARD, "GPU-2"), write_log(place)

    done = place.vidmeter(
        "calibrate", "--run", str(run), "--reference", str(log), "--gpus", "GPU-2", "--json"
    )

    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["cards"]
    assert found["uuid"] == "GPU-2"
    assert found["calibration"]["uuid"] == "GPU-2"
    assert [f.stem for f in (place.data / "vidmeter" / "cards").iterdir()] == ["GPU-2"]


def test_without_a_gpu_there_is_nothing_to_calibrate(place: Place) -> None:
    done = place.vidmeter("calibrate", "--sensor", "modelled")

    assert done.returncode == 2
    assert "there is no GPU to calibrate" in done.stderr
    assert place.runs == []


def test_a_load_that_fails_is_told(simulated_driver: Simulated, place: Place) -> None:
    environ = environ_of(simulated_driver, place, Driver([Gpu([(0, 100)])]))

    done = place.vidmeter("calibrate", "--load", "sh -c 'exit 3'", env=environ)

    assert done.returncode == 2
    assert "the load ended with exit code 3" in done.stderr
    assert not (place.data / "vidmeter" / "cards").exists()
