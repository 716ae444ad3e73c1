"""Operations: against sums by hand, and against what a real run on the CPU does."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vidmeter.workloads.base import load_workload, models
from vidmeter.workloads.flops import count_video, counter, run_of_denoiser
from vidmeter.workloads.video.model import Model, Size
from vidmeter.workloads.video.text_to_video import TextToVideo


@pytest.fixture(scope="module", autouse=True)
def _frameworks() -> None:
    for package in ("torch", "diffusers", "transformers", "accelerate"):
        pytest.importorskip(package, reason="the extra vidmeter[workloads] is not installed")
    import torch

    torch.set_num_threads(1)


def wan_by_hand(*, tokens: int, text: int, width: int, hidden: int, layers: int) -> float:
    """A run of Wan's denoiser, after its paper's figure of a block (arXiv 2503.20314)."""
    square = 2 * width * width
    own = 4 * tokens * square + 4 * tokens * tokens * width
    cross = 2 * tokens * square + 2 * text * square + 4 * tokens * text * width
    feed = 2 * tokens * 2 * width * hidden
    patches = 2 * tokens * width * 16 * 4 * 2  # in and out again
    embedded = 2 * text * (4096 * width + width * width)
    times = 2 * (256 * width + width * width + 6 * width * width)
    return layers * (own + cross + feed) + patches + embedded + times


def test_wans_denoiser_has_the_operations_of_its_attention_and_linear_layers() -> None:
    frames, rows, columns = (81 - 1) // 4 + 1, 480 // 16, 832 // 16
    by_hand = wan_by_hand(
        tokens=frames * rows * columns, text=512, width=1536, hidden=8960, layers=30
    )
    counted = run_of_denoiser(models()["wan2.1-t2v-1.3b"], Size(480, 832, 81))
    assert counted == pytest.approx(by_hand, rel=1e-9)


def test_a_batch_takes_its_number_of_times_the_operations_of_one() -> None:
    for name in ("wan2.1-t2v-1.3b-tiny", "mochi-1-tiny", "hunyuanvideo-1.5-tiny"):
        one, three = (run_of_denoiser(_tiny(name, {}).model, Size(64, 96, 13, n)) for n in (1, 3))
        # Mochi works out its positions once for the whole batch.
        assert three == pytest.approx(3 * one, rel=1e-4), name


@pytest.mark.filterwarnings("ignore")
def test_attention_on_the_cpu_counts_though_torchs_own_table_lacks_it() -> None:
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    query = torch.randn(1, 2, 64, 16)
    with counter() as counted, torch.no_grad():
        scaled_dot_product_attention(query, query, query)
    assert counted.get_total_flops() == 2 * (4 * 64 * 64 * 16)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    [
        "wan2.1-t2v-1.3b-tiny",
        "hunyuanvideo-tiny",
        "hunyuanvideo-1.5-tiny",
        "skyreels-v2-df-1.3b-tiny",
    ],
)
def test_a_real_run_does_the_operations_that_are_counted_without_it(name: str) -> None:
    workload = _tiny(name, {"height": 64, "width": 96, "frames": 9, "steps": 2})
    workload.prepare("cpu")
    pipeline = workload._pipeline
    done = dict.fromkeys(("text_encode", "denoise", "decode"), 0.0)

    def watch(part: Any, method: str, phase: str) -> None:
        call = getattr(part, method)

        def counted(*arguments: Any, **keywords: Any) -> Any:
            with counter() as operations:
                result = call(*arguments, **keywords)
            done[phase] += operations.get_total_flops()
            return result

        setattr(part, method, counted)

    for encoder in workload.model.encoders:
        watch(getattr(pipeline, encoder), "forward", "text_encode")
    watch(pipeline.transformer, "forward", "denoise")
    watch(pipeline.vae, "decode", "decode")
    pipeline(**workload._arguments(0))
    workload.close()

    expected = count_video(workload.model, workload.settings, workload.size)
    assert done["denoise"] == pytest.approx(expected.denoise, rel=1e-6)
    assert done["decode"] == pytest.approx(expected.decode, rel=1e-6)
    assert done["text_encode"] == pytest.approx(expected.text_encode, rel=1e-6)


def test_tiles_overlap_and_are_more_work() -> None:
    model = _tiny("wan2.1-t2v-1.3b-tiny", {}).model
    size = Size(256, 448, 1)
    plain, tiled = (
        count_video(model, {"guidance": 5.0, "steps": 1, "vae_tiling": tiling}, size).decode
        for tiling in ("off", "on")
    )
    assert 1.2 * plain < tiled < 3 * plain


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["hunyuanvideo-tiny", "mochi-1-tiny"])
def test_tiles_that_are_alike_are_counted_as_often_as_they_are_decoded(name: str) -> None:
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    settings = {"height": 320, "width": 448, "frames": 13, "vae_tiling": "on"}
    workload = _tiny(name, settings)
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        vae = workload.model.parts["vae"]().eval()
        vae.enable_tiling()
        latents = torch.zeros(workload.model.decoded(workload.model.layout, workload.size))
        with counter() as done:
            vae.decode(latents)

    counted = count_video(workload.model, workload.settings, workload.size).decode
    assert counted == pytest.approx(done.get_total_flops(), rel=1e-9)


def _tiny(name: str, settings: dict[str, object]) -> TextToVideo:
    workload = load_workload(name, settings)
    assert isinstance(workload, TextToVideo)
    assert isinstance(workload.model, Model)
    return workload


def _operations(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vidmeter.workloads.operations", *words]
    root = Path(__file__).parents[2]
    return subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)


def test_a_process_of_its_own_tells_them_as_json() -> None:
    told = _operations("wan2.1-t2v-1.3b-tiny", "steps=3", "guidance=1")
    operations = json.loads(told.stdout)
    assert operations["runs"] == 3
    phases = ("text_encode", "denoise", "decode")
    assert operations["total"] == sum(operations[phase] for phase in phases) > 0


def test_many_workloads_are_counted_in_one_process_and_one_that_cant_be_is_told_apart() -> None:
    told = _operations("gpt-2", "batch=2", "wan2.1-t2v-1.3b", "colour=red", "gpt-2")
    assert told.returncode == 2
    first, refused, last = map(json.loads, told.stdout.splitlines())
    assert first["total"] == 2 * last["total"]
    assert "colour" in refused["why"]


def test_without_arguments_it_says_how_it_is_used() -> None:
    told = _operations()
    assert told.returncode == 2
    assert told.stderr.startswith("usage: python -m vidmeter.workloads.operations")
