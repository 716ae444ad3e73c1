"""The script for the first real card, run on the simulated driver, and what it may never do."""

import ast
import json
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.gpu import traces
from benchmarks.gpu.card import read_only
from benchmarks.gpu.first_card import STAGES, Stage, allot
from tests.simulated_driver.driver import Counter, Driver, Gpu, Reading, Ring
from vidmeter.meter.reader import load

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu" / "first_card.py"
HELPER = Path(__file__).with_name("simulated_load.py")
UUID = "GPU-1f00d1e5-0000-4000-8000-00000000beef"
MOST_FILES, MOST_BYTES = 4, 16 << 20
Simulated = Callable[[Driver], dict[str, str]]

TELEGRAPH_MS = [0.0, *np.cumsum(np.random.default_rng(3).uniform(10, 60, 60)).round(3).tolist()]
SLOW_MS = [0.0, 1000.0, 2000.0]


def blinking(edges_ms: list[float], **how: Any) -> Gpu:
    """A card whose power goes from 100 to 600 W and back at the edges, for ever."""
    points = []
    for i, edge in enumerate(edges_ms):
        before, after = (100, 600) if i % 2 == 0 else (600, 100)
        points += [(edge / 1e3, before)] * (i > 0) + [(edge / 1e3, after)]
    # What starts anew at the end begins with the load on, as the first edge says.
    return Gpu(curve=points[:-1] if points[-1][1] == 600 else points, repeat=True, uuid=UUID, **how)


@pytest.fixture(scope="module")
def outcomes(
    simulated_driver: Simulated, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Three executions: two at the same time, as they mostly wait; the fast one by itself."""
    out = tmp_path_factory.mktemp("first") / "card"
    passive = Gpu(
        curve=[(0, 100), (0.31, 400), (0.43, 100), (0.77, 250), (0.9, 100)],
        repeat=True,
        uuid=UUID,
        instant=Reading(100, 25),
        usage=Reading(50, 1000),
        counter=Counter(106),
    )
    fast = blinking(
        TELEGRAPH_MS, instant=Reading(100, 25), usage=Reading(20, 20), ring=Ring(20, 120)
    )
    slow = blinking(SLOW_MS, instant=Reading(100, 25), average=Reading(20, 400))
    commands = {
        "passive": (passive, [SCRIPT, "--no-load", "--budget-s", "11", "--out", out]),
        "waves": (fast, [HELPER, tmp_path_factory.mktemp("waves"), "waves", 11, fast.epoch_ns]),
        "steps": (slow, [HELPER, tmp_path_factory.mktemp("steps"), "steps", 9, slow.epoch_ns]),
    }
    commands["waves"][1].extend(TELEGRAPH_MS)
    commands["steps"][1].extend(SLOW_MS)

    def execute(gpu: Gpu, command: list[Any]) -> str:
        done = subprocess.run(
            [sys.executable, *map(str, command)],
            env=simulated_driver(Driver([gpu])),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    waves = commands.pop("waves")
    alone = {"waves": _told(lambda: execute(*waves))}
    with ThreadPoolExecutor() as together:
        running = {name: together.submit(execute, *job) for name, job in commands.items()}
    return {"out": out, **alone, **{name: job.result() for name, job in running.items()}}


def _told(waves: Callable[[], str]) -> str:
    """What the waves say of the windows; a machine that was busy meanwhile may leave that open."""
    for _ in range(3):
        found = waves()
        if all(json.loads(found)["windows"].values()):
            break
    return found


@pytest.fixture(scope="module")
def findings(outcomes: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((outcomes["out"] / "findings.json").read_text())
    return found


pytestmark = pytest.mark.slow


def test_every_stage_is_accounted_for(findings: dict[str, Any], outcomes: dict[str, Any]) -> None:
    states = {name: stage["state"] for name, stage in findings["stages"].items()}
    assert tuple(states) == STAGES
    assert all(states[name] in ("done", "shortened") for name in STAGES[:4])
    assert all(states[name] == "left out" for name in STAGES[4:])
    assert all(findings["stages"][name]["why"] == "--no-load" for name in STAGES[4:])
    assert "s left] idle" in outcomes["passive"]
    assert findings["wall_s"] < 13


def test_the_sources_of_the_simulated_card_are_found(findings: dict[str, Any]) -> None:
    found = findings["stages"]["sources"]["findings"]
    states = {(f["field"], f["scope"]): f["state"] for f in found["fields"]}
    assert states[186, "gpu"] == states[185, "gpu"] == states[83, "gpu"] == "works"
    assert states[185, "memory"] == "absent"
    assert found["functions"]["power_limit_w"] == 700
    assert found["ring"]["spacing_s"] == pytest.approx(0.02, abs=1e-3)
    assert (found["ring"]["entries"], found["ring"]["entries_stated"]) == (120, 120)


def test_refresh_periods_of_the_simulated_card_are_found(findings: dict[str, Any]) -> None:
    sources = findings["stages"]["refresh"]["findings"]["sources"]
    assert sources["power_instant_w"]["period_s"] == pytest.approx(0.1, abs=1e-3)
    assert sources["power_usage_w"]["period_s"] == pytest.approx(0.05, abs=1e-3)
    assert sources["energy_j"]["tick"]["period_s"] == pytest.approx(0.106, abs=1e-3)
    assert sources["power_instant_w"]["stamps"]["kind"] == "refresh"
    assert sources["power_usage_w"]["stamps"]["kind"] == "zero"


def test_every_source_has_a_latency(findings: dict[str, Any]) -> None:
    found = findings["stages"]["latency"]["findings"]
    wanted = {"field_186", "fields_186_185_83_in_one", "power_usage_w", "ring_all", "process_count"}
    assert wanted <= set(found)
    assert all(0 < f["us"]["q50"] <= f["us"]["q99"] for f in found.values())


def test_full_time_sources_agree_on_the_energy(findings: dict[str, Any]) -> None:
    found = findings["stages"]["idle"]["findings"]
    assert found["window_s"] == pytest.approx(5, abs=0.6)
    assert found["against_energy_counter"]["power_ring_w"] == pytest.approx(0, abs=0.02)
    assert found["mean_power_by_source_w"]["energy_j"] == pytest.approx(208, rel=0.05)


def test_nothing_published_names_the_machine(outcomes: dict[str, Any]) -> None:
    import socket

    for file in outcomes["out"].iterdir():
        content = file.read_bytes()
        for name in (UUID, str(ROOT), "00000000:01:00.0"):
            assert name.encode() not in content, (file, name)
        assert f'"{socket.gethostname()}"'.encode() not in content
        assert traces.card_id(UUID).encode() in content


def test_what_comes_out_can_be_carried_away(outcomes: dict[str, Any]) -> None:
    files = list(outcomes["out"].rglob("*"))
    assert len(files) <= MOST_FILES - 2  # two workloads bring a run each
    for file in files:
        assert file.is_file() and file.stat().st_size < MOST_BYTES
        assert re.fullmatch(r"[A-Za-z0-9._-]+", file.name)


def test_the_raw_readings_are_a_run_with_a_phase_for_each_stage(outcomes: dict[str, Any]) -> None:
    run = load(outcomes["out"] / "sensors.vidmeter")
    assert [phase.name for phase in run.phases] == ["idle", "refresh"]
    assert {s.quantity for s in run.traces} > {"power_ring_w", "energy_j", "power_instant_w"}
    assert all(list(t.t_ns) == sorted(set(t.t_ns)) for t in run.traces.values())
    assert "host" not in run.environment


def test_waves_show_the_windows_of_the_simulated_card(outcomes: dict[str, Any]) -> None:
    found = json.loads(outcomes["waves"])
    windows = found["windows"]
    assert windows["power_instant_w"]["window_s"] == pytest.approx(0.025, rel=0.1, abs=2e-3)
    assert windows["power_usage_w"]["window_s"] == pytest.approx(0.020, rel=0.1, abs=2e-3)
    assert windows["power_ring_w"]["window_s"] == pytest.approx(0.020, rel=0.1, abs=2e-3)
    assert set(found["waves"]) == {"random", "100 ms", "50 ms", "37 ms", "20 ms"}
    ring = [abs(w["against_energy_counter"]["power_ring_w"]) for w in found["waves"].values()]
    assert max(ring) < 0.1


def test_steps_show_delay_and_rise_of_the_simulated_card(outcomes: dict[str, Any]) -> None:
    average = json.loads(outcomes["steps"])["sources"]["power_average_w"]
    for way in ("up", "down"):
        assert average[way]["delay_s"] == pytest.approx(0.21, abs=0.03)
        assert average[way]["rise_s"] == pytest.approx(0.32, abs=0.04)
    assert average["window"]["window_s"] == pytest.approx(0.4, rel=0.1)


def test_without_a_card_it_says_so_in_a_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--out", tmp_path / "out"],
        env={"LD_LIBRARY_PATH": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("first_card: no card to measure: ")
    assert not (tmp_path / "out").exists()


def test_a_package_that_is_missing_comes_from_the_wheels(
    tmp_path: Path, simulated_driver: Simulated
) -> None:
    wheels, name = tmp_path / "wheels", "vidmeter_test_wheel-1.0-py3-none-any.whl"
    wheels.mkdir()
    info = "vidmeter_test_wheel-1.0.dist-info"
    with zipfile.ZipFile(wheels / name, "w") as wheel:
        wheel.writestr("vidmeter_test_wheel.py", "here = True\n")
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: vidmeter-test-wheel\nVersion: 1.0\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    (wheels / "numpy-1.0-py3-none-any.whl").write_text("is here already, so it is never opened")
    program = (
        "import sys; from benchmarks.gpu.first_card import install; from pathlib import Path;"
        " sys.path.append(str(install(Path(sys.argv[1]), Path(sys.argv[2]))));"
        " import vidmeter_test_wheel; print(vidmeter_test_wheel.here)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, wheels, tmp_path / "into"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == ["True"], done.stderr
    assert "numpy" not in done.stdout


@pytest.mark.parametrize(
    ("left_s", "later_s", "given_s"),
    [(570, 100, 20), (112, 100, 12), (100, 100, 5), (3, 100, 3), (0, 0, 0), (-4, 10, 0)],
)
def test_a_stage_never_takes_what_later_ones_need(
    left_s: float, later_s: float, given_s: float
) -> None:
    stage = Stage("idle", 20, 5, lambda seconds: {})
    assert allot(stage, left_s, later_s=later_s) == given_s


def sources() -> Iterator[tuple[Path, ast.AST]]:
    for folder in (ROOT / "benchmarks" / "gpu", ROOT / "meter", ROOT / "tests" / "gpu"):
        for file in sorted(folder.rglob("*.py")):
            yield file, ast.parse(file.read_text("utf-8"))


CHANGES = re.compile(r"Set|Reset|Clear|Create|Destroy|Remove|Write|Modify|Register|Discover|Enable")


def test_no_source_names_a_function_of_nvml_that_changes_anything() -> None:
    named = set()
    for file, tree in sources():
        for node in ast.walk(tree):
            text = getattr(node, "attr", None) or getattr(node, "id", None)
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
            for name in re.findall(r"\bnvml[A-Z]\w*", text or ""):
                assert not CHANGES.search(name), (file, name)
                named.add(name)
    assert {"nvmlDeviceGetFieldValues", "nvmlInit", "nvmlDeviceGetUUID"} <= named
    functions = {name for name in named if not name.endswith("_t") and name != "nvmlReturn"}
    assert {
        f for f in functions if not re.match(r"nvml(Device|System)Get|nvml(Init|Shutdown)$", f)
    } == set()


def test_no_source_looks_up_a_function_but_through_the_guards() -> None:
    calls = []
    for file, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr == "_nvmlGetFunctionPointer":
                calls.append(file.name)
            # The library itself is opened nowhere else than to see whether it is there.
            if isinstance(node, ast.Attribute) and node.attr == "CDLL":
                assert file.name in ("nvml_errors.py", "launch.py", "execute.py"), file
    assert sorted(calls) == ["card.py", "nvml_facts.py"]
    text = (ROOT / "meter" / "sensors" / "nvml_facts.py").read_text("utf-8")
    assert '_nvmlGetFunctionPointer(f"nvmlDeviceGet{name}")' in text


@pytest.mark.parametrize(
    "name", ["nvmlDeviceSetPowerManagementLimit", "nvmlDeviceClearFieldValues"]
)
def test_a_function_that_changes_anything_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="only reads"):
        read_only(name)


def test_nvidia_smi_is_only_ever_asked_for_a_list() -> None:
    for file, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, (ast.List, ast.Tuple)):
                words = [e.value for e in node.elts if isinstance(e, ast.Constant)]
                if "nvidia-smi" in words:
                    assert words == ["nvidia-smi", "-L"], file


def test_scrubbing_reaches_every_text() -> None:
    value: Mapping[str, Any] = {"a": ["x GPU-1 y", {"b": "GPU-1"}], "n": 3}
    assert traces.scrub(value, {"GPU-1": "card"}) == {"a": ["x card y", {"b": "card"}], "n": 3}


def test_the_epoch_of_the_simulated_cards_is_in_the_past() -> None:
    assert blinking(SLOW_MS).epoch_ns <= time.monotonic_ns()
