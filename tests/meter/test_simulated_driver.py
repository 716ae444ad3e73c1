"""vidmeter against the simulated driver.

Everything runs in processes of its own that load the driver's library as they would load
NVIDIA's. What vidmeter says is compared with the integral of the scripted power over the window
that it says it measured.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.simulated_driver.asking import MS, WAVES, S, Simulated
from tests.simulated_driver.driver import Counter, Driver, Gpu, Reading, Ring

ROOT = Path(__file__).parents[2]
Runs = dict[str, tuple[Gpu, dict[str, Any], str]]

SETTLED: list[tuple[float, float]] = [
    (0, 150),
    (4, 150),
    (4, 650),
    (4.6, 600),
    (4.9, 300),
    (5.3, 580),
    (5.3, 200),
]
"""Steps and ramps between 4 and 5.3 s, and even power at both ends of a run around them."""


def vidmeter(
    environ: Mapping[str, str], folder: Path, *command: str, visible: str | None = None
) -> subprocess.Popen[str]:
    """Start `vidmeter run` on a command."""
    folder.mkdir(exist_ok=True)
    environ = {**environ, "PYTHONPATH": str(ROOT), "XDG_DATA_HOME": str(folder / "data")}
    if visible is not None:
        environ["CUDA_VISIBLE_DEVICES"] = visible
    return subprocess.Popen(
        [sys.executable, "-m", "vidmeter", "run", "--json", "s.json", "--", *command],
        cwd=folder, env=environ, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def summary_of(process: subprocess.Popen[str], folder: Path) -> tuple[dict[str, Any], str]:
    """The summary that the command wrote, and what it said."""
    _, said = process.communicate(timeout=90)
    assert process.returncode == 0, said
    return json.loads((folder / "s.json").read_text()), said


def metered(
    environ: Mapping[str, str], folder: Path, seconds: float, *, visible: str | None = None
) -> tuple[dict[str, Any], str]:
    process = vidmeter(environ, folder, "sleep", str(seconds), visible=visible)
    return summary_of(process, folder)


def gpus_of(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [device for device in summary["devices"] if device["kind"] == "gpu"]


def true_j(gpu: Gpu, summary: Mapping[str, Any]) -> float:
    return gpu.true_energy_j(summary["window"]["start_ns"], summary["window"]["end_ns"])


@dataclass(frozen=True, slots=True)
class Sort:
    """A sort of driver: the card, the source that has to be named, and how far off it may be."""

    gpu: Callable[[], Gpu]
    source: str
    within: float = 0.01


def only(curve: list[tuple[float, float]], **offered: Any) -> Callable[[], Gpu]:
    """A card with nothing but this. A repeated curve has begun earlier: a run ends on its ramps."""
    nothing: dict[str, Any] = dict.fromkeys(("instant", "average", "usage", "counter", "ring"))
    begun_ns = 0 if curve is SETTLED else 1_400 * MS
    return lambda: Gpu(
        curve,
        **{**nothing, **offered},
        repeat=curve is not SETTLED,
        epoch_ns=time.monotonic_ns() - begun_ns,
    )


FAST: list[tuple[float, float]] = [(0, 200), (0.0185, 200), (0.0185, 600), (0.037, 600)]
"""A load of 37 ms, which doesn't beat with a refresh of 100 ms."""

SORTS = {
    "everything": Sort(
        only(
            WAVES,
            instant=Reading(100, 100),
            average=Reading(100, 1000),
            usage=Reading(100, 1000),
            counter=Counter(100),
            ring=Ring(20, 120),
        ),
        "driver's power samples",
        0.003,
    ),
    "ring only": Sort(only(WAVES, ring=Ring(20, 120)), "driver's power samples", 0.003),
    "stamped instant": Sort(only(WAVES, instant=Reading(100, 100)), "instant power"),
    "counter only": Sort(only(WAVES, counter=Counter(100)), "energy counter"),
    # Means over a second, and readings placed by looking: a busy machine looks and starts late.
    "usage only": Sort(only(SETTLED, usage=Reading(100, 1000)), "power reading", 0.03),
    "no stamps": Sort(
        only(SETTLED, instant=Reading(100, 100), stamps="zero"), "instant power", 0.02
    ),
    "stamps of the query": Sort(
        only(SETTLED, instant=Reading(100, 100), stamps="query"), "instant power", 0.02
    ),
    "part of the time": Sort(only(FAST, instant=Reading(100, 25)), "instant power"),
    "average only": Sort(only(SETTLED, average=Reading(100, 1000)), "1 s average power", 0.03),
}


@pytest.fixture(scope="module")
def runs(simulated_driver: Simulated, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A run of six seconds on each sort of driver, side by side."""
    started = []
    for name, sort in SORTS.items():
        folder, gpu = tmp_path_factory.mktemp("run"), sort.gpu()
        process = vidmeter(simulated_driver(Driver([gpu])), folder, "sleep", "6")
        started.append((name, gpu, process, folder))
        time.sleep(1.0)  # starting keeps a core busy, and those that measure need some of it
    return {name: (gpu, *summary_of(p, folder)) for name, gpu, p, folder in started}


@pytest.mark.parametrize("name", SORTS)
def test_the_energy_of_a_run_is_the_true_one(runs: Runs, name: str) -> None:
    gpu, summary, said = runs[name]
    total, (device,) = summary["total"], gpus_of(summary)
    truth_j = true_j(gpu, summary)
    print(f"{name}: {100 * (total['covered_j'] / truth_j - 1):+.6f} % {total['coverage']}")

    assert device["source"] == SORTS[name].source
    assert total["provenance"] == device["provenance"] == "measured"
    assert total["coverage"] > 0.999  # a machine that is busy may look late at first
    assert total["energy_j"] == pytest.approx(truth_j, rel=SORTS[name].within)
    assert total["low_j"] < truth_j < total["high_j"]
    assert summary["window"]["duration_s"] == pytest.approx(6, abs=0.5)
    assert SORTS[name].source in said


def test_a_counter_that_knows_no_load_is_not_taken_for_the_truth(
    simulated_driver: Simulated, tmp_path: Path
) -> None:
    gpu = only(WAVES, ring=Ring(20, 120), counter=Counter(100, broken_w=339))()

    summary, _ = metered(simulated_driver(Driver([gpu])), tmp_path, 3)

    (device,) = gpus_of(summary)
    assert device["energy_j"] == pytest.approx(true_j(gpu, summary), rel=0.005)
    assert device["second_source"] is None
    (why,) = device["set_aside"].values()
    assert "energy counter" in device["set_aside"] and " J where the driver's power samples" in why
    assert "quarantined" in {c["kind"] for c in summary["cautions"]}
    assert device["trusted"]


def test_a_reset_of_the_counter_is_missing_and_never_bridged(
    simulated_driver: Simulated, tmp_path: Path
) -> None:
    gpu = only([(0, 300), (1, 300)], counter=Counter(100, reset_s=4.05))()

    summary, _ = metered(simulated_driver(Driver([gpu])), tmp_path, 4)

    (device,) = gpus_of(summary)
    truth_j = true_j(gpu, summary)
    # One stretch between two looks is missing: 50 ms, or up to a tick and a late look more.
    assert truth_j - 300 * 0.25 < device["covered_j"] < truth_j - 300 * 0.03
    # A look is 50 ms of 4 s: 0.0125.
    assert device["coverage"] == pytest.approx(device["covered_j"] / truth_j, abs=0.02)
    assert "coverage" in {c["kind"] for c in summary["cautions"]}


def test_zeros_are_no_power(simulated_driver: Simulated, tmp_path: Path) -> None:
    gpu = only([(0, 300), (1, 300)], instant=Reading(100, 100), zero_s=(3.0, 3.3))()

    summary, _ = metered(simulated_driver(Driver([gpu])), tmp_path, 3)

    (device,) = gpus_of(summary)
    assert device["covered_j"] / device["coverage"] == pytest.approx(
        true_j(gpu, summary), rel=0.001
    )
    assert device["mean_w"] == pytest.approx(300, rel=0.001)
    assert device["energy_j"] is None
    assert {"implausible", "incomplete"} <= {c["kind"] for c in summary["cautions"]}


def test_a_lost_gpu_has_no_energy_and_the_other_has(
    simulated_driver: Simulated, tmp_path: Path
) -> None:
    stays = Gpu(WAVES, repeat=True)
    goes = Gpu([(0, 200)], uuid="GPU-2", pci="00000000:02:00.0", lost_s=2.5)

    summary, said = metered(simulated_driver(Driver([stays, goes])), tmp_path, 3)

    kept, gone = gpus_of(summary)
    assert kept["energy_j"] == pytest.approx(true_j(stays, summary), rel=0.005)
    assert gone["energy_j"] is None
    seen_s = goes.epoch_ns / S + 2.5 - summary["window"]["start_ns"] / S
    assert gone["covered_j"] == pytest.approx(200 * seen_s, abs=200 * 0.4)
    assert summary["total"]["energy_j"] is None
    assert {"device_lost", "incomplete"} <= {c["kind"] for c in summary["cautions"]}
    assert "lost" in said


PARTS = ("MIG-aaaa0000-0000-5000-8000-000000000000", "MIG-bbbb0000-0000-5000-8000-000000000000")
CARDS = {
    "small": {"uuid": "GPU-aaaa1111", "pci": "00000000:01:00.0", "cores": 4096},
    "large": {"uuid": "GPU-aaaa2222", "pci": "00000000:02:00.0", "cores": 16896},
    "cut": {"uuid": "GPU-bbbb3333", "pci": "00000000:03:00.0", "cores": 8192, "mig": PARTS},
}


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, ["small", "large", "cut"]),
        ("0", ["large"]),
        ("2,0", ["small", "large"]),
        ("GPU-aaaa1", ["small"]),
        (PARTS[1], ["cut"]),
        ("", []),
    ],
)
def test_what_the_program_can_see_is_metered(
    simulated_driver: Simulated, tmp_path: Path, visible: str | None, expected: list[str]
) -> None:
    cards = {
        name: Gpu([(0, watts)], name=f"NVIDIA {name}", **CARDS[name])
        for name, watts in zip(CARDS, (100, 230, 370), strict=True)
    }

    summary, said = metered(
        simulated_driver(Driver(list(cards.values()))), tmp_path, 0.7, visible=visible
    )

    found = gpus_of(summary)
    assert [device["name"] for device in found] == [f"NVIDIA {name}" for name in expected]
    for name, device in zip(expected, found, strict=True):
        truth_j = true_j(cards[name], summary)
        assert device["energy_j"] == pytest.approx(truth_j, rel=0.001)
        assert ("MIG" in device["scope"]) == (name == "cut")
    if expected:
        whole_j = sum(true_j(cards[name], summary) for name in expected)
        assert summary["total"]["energy_j"] == pytest.approx(whole_j, rel=0.001)
    else:
        assert "CUDA_VISIBLE_DEVICES hides every GPU" in said
        assert summary["total"]["provenance"] != "measured"


@pytest.mark.parametrize(
    ("driver", "reason"),
    [(Driver(), "no GPU"), (Driver(init=9), "driver"), (Driver([Gpu([(0, 9)], lost_s=0)]), "lost")],
)
def test_without_a_gpu_that_answers_the_reason_is_said_and_the_command_runs(
    simulated_driver: Simulated, tmp_path: Path, driver: Driver, reason: str
) -> None:
    summary, said = metered(simulated_driver(driver), tmp_path, 0.3)

    first = said.splitlines()[0]
    assert first.startswith("vidmeter: no GPU is measured: ")
    assert reason in first
    assert gpus_of(summary) == []
    assert summary["total"]["provenance"] != "measured"


VIDEO = """
import sys, time
import av, numpy
time.sleep(float(sys.argv[1]))
with av.open("clip.mp4", "w") as out:
    stream = out.add_stream("libx264", rate=16)
    stream.width, stream.height, stream.pix_fmt = 192, 128, "yuv420p"
    for i in range(80):
        frame = av.VideoFrame.from_ndarray(numpy.full((128, 192, 3), i * 3, "uint8"))
        out.mux(stream.encode(frame))
    out.mux(stream.encode())
"""


@pytest.mark.slow
def test_joules_per_second_of_video_are_the_true_ones(
    simulated_driver: Simulated, tmp_path: Path
) -> None:
    gpu = Gpu(WAVES, repeat=True)
    (tmp_path / "generate.py").write_text(VIDEO)
    environ = simulated_driver(Driver([gpu]))

    process = vidmeter(environ, tmp_path, sys.executable, "generate.py", "30")
    summary, said = summary_of(process, tmp_path)

    assert summary["work"]["video_seconds"] == 5
    assert summary["window"]["duration_s"] > 30
    per_second = summary["per_unit"]["j_per_video_second"]
    print(f"video: {100 * (per_second / (true_j(gpu, summary) / 5) - 1):+.6f} %")
    assert per_second == pytest.approx(true_j(gpu, summary) / 5, rel=0.01)
    assert "J per second of video" in said
