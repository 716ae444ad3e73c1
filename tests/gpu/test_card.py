"""On a real card: what is read is that card, and its sources agree with each other."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vidmeter
from vidmeter.meter import energy
from vidmeter.meter.device import Device, Kind
from vidmeter.meter.errors import NoDevice
from vidmeter.meter.run import Run
from vidmeter.meter.sensors.nvml import NvmlSensor
from vidmeter.meter.sources import sources_of

pytestmark = [pytest.mark.gpu, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
MATMUL = """
import time, torch
a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
end = time.monotonic() + 8
while time.monotonic() < end:
    for _ in range(8):
        a @ a
    torch.cuda.synchronize()
"""


def gpu_of(run: Run, card: Device) -> dict[str, float]:
    """The energy of a card over a run by each of its sources, J."""
    assert run.end_ns is not None
    device = next(d for d in run.devices if d.uuid == card.uuid)
    return {
        source.name: energy.energy(source.curve, run.start_ns, run.end_ns).covered_j
        for source in sources_of(run, device)
    }


def vidmeter_run(out: Path, *command: str) -> dict[str, Any]:
    """The card in the summary of a command, as `vidmeter run --json` writes it."""
    metering = [sys.executable, "-m", "vidmeter", "run", "--quiet", "--json", str(out / "s.json")]
    metering += ["--output", str(out / "run.vidmeter"), "--force", "--", *command]
    done = subprocess.run(metering, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    devices: list[dict[str, Any]] = json.loads((out / "s.json").read_text())["devices"]
    return next(device for device in devices if device["kind"] == Kind.GPU)


def test_the_cards_are_those_that_nvidia_smi_lists() -> None:
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        pytest.skip("there is no nvidia-smi here")
    every = NvmlSensor("all")
    uuids = [device.uuid for device in every.devices]
    every.close()
    assert sorted(uuids) == sorted(re.findall(r"UUID: (GPU-[0-9a-f-]+)", listed.stdout))


def test_the_card_is_the_one_that_torch_uses(torch: Any, card: Device) -> None:
    properties = torch.cuda.get_device_properties(0)
    if not hasattr(properties, "uuid"):
        pytest.skip("this version of torch does not tell a card's UUID")
    if torch.cuda.device_count() > 1 and "CUDA_VISIBLE_DEVICES" not in os.environ:
        pytest.skip("several cards, which CUDA and NVML may order differently")
    assert card.uuid == f"GPU-{properties.uuid}"


def test_a_card_offers_power_and_says_what_it_is(sensor: NvmlSensor, card: Device) -> None:
    time.sleep(0.5)
    quantities = {s.series.quantity for s in sensor.read(time.monotonic_ns()).samples}
    assert any(quantity.endswith("_w") for quantity in quantities)
    assert card.facts["driver_version"]
    assert card.facts["power_limit_w"] > 10


@pytest.mark.parametrize("loaded", [False, True], ids=["idle", "busy"])
def test_counter_and_integral_agree_within_five_percent(
    card: Device, request: pytest.FixtureRequest, loaded: bool
) -> None:
    wait: Callable[[float], None] = request.getfixturevalue("busy") if loaded else time.sleep
    with vidmeter.measure() as measured:
        wait(10.0)
    joules = gpu_of(measured.run, card)
    if "energy counter" not in joules or len(joules) < 2:
        pytest.skip(f"the card offers no two sources: {sorted(joules)}")
    counter = joules.pop("energy counter")
    best = next(iter(joules.values()))
    assert best == pytest.approx(counter, rel=0.05), joules


def test_a_metered_product_draws_plausible_watts(card: Device, torch: Any, tmp_path: Path) -> None:
    idle = vidmeter_run(tmp_path, "sleep", "4")
    loaded = vidmeter_run(tmp_path, sys.executable, "-c", MATMUL)
    assert idle["provenance"] == loaded["provenance"] == "measured"
    assert idle["energy_j"] > 0
    assert idle["mean_w"] * 1.2 < loaded["peak_w"] < 1.2 * card.facts["power_limit_w"]
    assert idle["mean_w"] < loaded["mean_w"]
    assert loaded["coverage"] > 0.99


def test_cuda_visible_devices_selects(card: Device) -> None:
    for chosen in (card.uuid, card.uuid[:12]):
        one = NvmlSensor(environ={"CUDA_VISIBLE_DEVICES": chosen})
        assert [device.uuid for device in one.devices] == [card.uuid]
        one.close()
    for none in ("", "-1"):
        with pytest.raises(NoDevice):
            NvmlSensor(environ={"CUDA_VISIBLE_DEVICES": none})


def test_the_tiny_workload_makes_a_video_on_the_card(torch: Any, tmp_path: Path) -> None:
    for package in ("diffusers", "transformers", "av"):
        pytest.importorskip(package)
    from vidmeter.meter.videofile import Clip, probe
    from vidmeter.workloads.base import load_workload

    workload = load_workload("wan2.1-t2v-1.3b-tiny", {"steps": "4"})
    try:
        workload.prepare("cuda")
        # Numbers that are not finite are refused: nothing would be written.
        (path,) = workload.generate(0, tmp_path / "tiny").paths
        facts = workload.facts()
    finally:
        workload.close()
    assert facts["device"].startswith("cuda")
    video = probe(path)
    assert isinstance(video, Clip)
    assert (video.frames, video.width, video.height) == (17, 192, 128)
