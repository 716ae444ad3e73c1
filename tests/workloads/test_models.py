"""Every shipped text-to-video model: the released size, and a real video from its tiny."""

import inspect
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from vidmeter.workloads.base import load_workload, models
from vidmeter.workloads.flops import run_of_denoiser
from vidmeter.workloads.parts import named
from vidmeter.workloads.video.axes import AXES
from vidmeter.workloads.video.model import Model, Size, Tensor
from vidmeter.workloads.video.text_to_video import TextToVideo
from vidmeter.workloads.weights import build, parameter_count

VIDEO_MODELS = {name: model for name, model in models().items() if isinstance(model, Model)}
QUICK = {"steps": 2}
"""What is asked of each tiny model here: enough steps for two of the scheduler's kinds."""


@pytest.fixture(scope="module", autouse=True)
def _frameworks() -> Iterator[None]:
    for package in ("torch", "diffusers", "transformers", "accelerate"):
        pytest.importorskip(package, reason="the extra vidmeter[workloads] is not installed")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    import torch

    torch.set_num_threads(1)
    yield


@pytest.fixture(params=VIDEO_MODELS.values(), ids=VIDEO_MODELS)
def model(request: pytest.FixtureRequest) -> Model:
    found: Model = request.param
    return found


@pytest.mark.filterwarnings("ignore")
def test_every_network_has_the_parameters_of_the_released_one(model: Model) -> None:
    import torch

    for name, part in model.networks().items():
        network = build(part, dtype=getattr(torch, str(part.dtype)), device="meta", seed=0)
        assert parameter_count(network) == part.parameters, name


@pytest.mark.filterwarnings("ignore")
def test_the_stated_operations_of_a_run_are_those_counted(model: Model) -> None:
    if model.flops is None:
        pytest.skip("no count is stated")
    size = Size(model.native.height, model.native.width, model.native.frames)
    assert run_of_denoiser(model, size) == pytest.approx(model.flops, rel=5e-4)


@pytest.mark.filterwarnings("ignore")
def test_a_tiny_pipeline_writes_a_real_video_and_its_denoiser_gets_what_is_counted(
    model: Model, tmp_path: Path
) -> None:
    import av
    import torch

    workload = load_workload(f"{model.name}-tiny", QUICK)
    assert isinstance(workload, TextToVideo)
    workload.prepare("cpu")
    calls: list[dict[str, Any]] = []
    for name in workload.model.denoisers:
        getattr(workload._pipeline, name).register_forward_pre_hook(
            lambda network, args, kwargs: calls.append(
                inspect.signature(type(network).forward).bind(network, *args, **kwargs).arguments
            ),
            with_kwargs=True,
        )
    produced = workload.generate(0, tmp_path / "clip")
    steps_run = workload.facts()["steps_run"]
    workload.close()

    native = workload.model.native
    assert produced.work["frames"] == native.frames
    (path,) = produced.paths
    with av.open(path) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (native.width, native.height)
        assert sum(1 for _ in container.decode(stream)) == native.frames
        assert float(stream.average_rate or 0) == pytest.approx(float(Fraction(native.fps)))
    assert steps_run == QUICK["steps"]

    # What is counted is what is run: the same shapes, as often.
    per_step = workload.model.runs_per_step(native.guidance)
    shapes = workload.model.inputs(workload.model.layout, workload.size)
    wanted = {name: value.shape for name, value in shapes.items() if isinstance(value, Tensor)}
    batches = 0
    for kwargs in calls:
        called = {n: tuple(t.shape) for n, t in kwargs.items() if isinstance(t, torch.Tensor)}
        first = next(iter(wanted))
        times = called[first][0] // wanted[first][0]
        batches += times
        for name, shape in wanted.items():
            assert called[name][1:] == shape[1:], name
    assert batches == steps_run * per_step


def test_the_settings_it_has_are_those_its_classes_have(model: Model) -> None:
    pipeline, denoiser = named(model.pipeline), named(model.parts[model.denoisers[0]].make)
    vae = named(model.parts["vae"].make)
    offers = {
        "attention": hasattr(denoiser, "set_attention_backend"),
        "vae_tiling": hasattr(vae, "enable_tiling"),
        "vae_slicing": hasattr(vae, "enable_slicing"),
        "offload": hasattr(pipeline, "enable_model_cpu_offload"),
    }
    assert AXES.keys() >= model.lacks
    assert {name for name, there in offers.items() if not there} <= model.lacks
    assert hasattr(denoiser, "enable_cache") or not model.caches
