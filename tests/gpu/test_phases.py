"""On a real card: marks wait for nothing, and phases lie where the GPU's work was."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import vidmeter
from vidmeter.meter import marks
from vidmeter.meter.device import Device
from vidmeter.meter.gputime import timelines
from vidmeter.meter.markreader import MarkReader

pytestmark = pytest.mark.gpu
ROOT = Path(vidmeter.__file__).parent.parent


@pytest.fixture
def marked(tmp_path: Path) -> Iterator[MarkReader]:
    marks.use_folder(tmp_path)
    yield MarkReader(tmp_path)
    marks.use_folder(None)


@pytest.fixture
def spin(torch: Any) -> Callable[[float], None]:
    """Queues a kernel that takes some milliseconds, by a clock rate that is found out first."""
    cycles = 20_000_000
    torch.cuda._sleep(cycles)
    torch.cuda.synchronize()
    begun = time.perf_counter()
    torch.cuda._sleep(cycles)
    torch.cuda.synchronize()
    per_ms = cycles / (time.perf_counter() - begun) / 1e3
    return lambda ms: torch.cuda._sleep(int(per_ms * ms))


def test_marks_never_synchronise(
    torch: Any, spin: Callable[[float], None], marked: MarkReader
) -> None:
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")  # whatever waits for the GPU raises
    try:
        begun = time.perf_counter()
        for _ in range(20):
            with vidmeter.phase("step"):
                spin(20)
        queued_s = time.perf_counter() - begun
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.cuda.synchronize()

    assert queued_s < 0.1, "the host went on while the GPU had 0.4 s of work"


def test_phases_have_the_length_of_the_gpus_work(
    torch: Any, spin: Callable[[float], None], marked: MarkReader
) -> None:
    torch.cuda.synchronize()
    for _ in range(3):
        with vidmeter.phase("step"):
            spin(50)
    torch.cuda.synchronize()
    ended_ns = time.monotonic_ns()
    with vidmeter.phase("after"):
        pass
    marks.settle()

    found = marked.read()
    ((_, timeline),) = timelines(found.gpu_events).items()
    at = timeline.at_ns
    steps = [p for p in found.phases if p.name == "step"]
    lengths_ms = [(at[p.end_event or 0] - at[p.start_event or 0]) / 1e6 for p in steps]
    assert lengths_ms == pytest.approx([50, 50, 50], rel=0.05)
    assert timeline.error_ns <= 500_000
    assert abs(at[steps[-1].end_event or 0] - ended_ns) < 1_000_000


def test_events_name_the_card_as_nvml_does(
    torch: Any, card: Device, spin: Callable[[float], None], marked: MarkReader
) -> None:
    with vidmeter.phase("one"):
        spin(1)
    marks.settle()

    names = {event.device for event in marked.read().gpu_events}
    uuids = {f"GPU-{torch.cuda.get_device_properties(i).uuid}" for i in range(1)}
    assert names == uuids


def test_a_captured_graph_is_left_alone(
    torch: Any, spin: Callable[[float], None], marked: MarkReader
) -> None:
    a = torch.zeros(8, device="cuda")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph), vidmeter.phase("captured"):
        a += 1
    graph.replay()
    torch.cuda.synchronize()

    (phase,) = marked.read().phases
    assert (phase.start_event, phase.end_event) == (None, None)
    assert float(a[0]) == 1.0


@pytest.mark.slow
def test_an_unmodified_pipeline_has_phases_on_the_gpus_time(torch: Any, tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    done = subprocess.run(
        [*(sys.executable, "-m", "vidmeter", "run", "--quiet", "--json", "summary.json", "--"),
         *(sys.executable, str(ROOT / "examples" / "wan.py"))],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=180,
    )  # fmt: skip

    summary = json.loads((tmp_path / "summary.json").read_text())
    phases = {tuple(p["path"]): p for p in summary["phases"]}
    assert done.returncode == 0
    assert phases["generate", "denoise", "step"]["count"] == 8
    assert phases["generate",]["on_gpu"]
