from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from vidmeter.meter.errors import VidmeterError, WorkloadUnavailable
from vidmeter.workloads.base import load_workload
from vidmeter.workloads.video.wan import WanTextToVideo
from vidmeter.workloads.video.wan_architecture import (
    T2V_1_3B,
    components,
    memory_needed_b,
)
from vidmeter.workloads.weights import build, parameter_count


def frames_of(path: Path) -> list[bytes]:
    import av

    with av.open(path) as container:
        return [frame.to_ndarray(format="rgb24").tobytes() for frame in container.decode(video=0)]


@pytest.mark.usefixtures("wan")
@pytest.mark.parametrize(
    ("part", "count"),
    # As published with the checkpoints.
    [("transformer", 1_418_996_800), ("text_encoder", 5_680_910_336), ("vae", 126_892_531)],
)
def test_the_large_model_has_every_parameter_of_the_published_one(part: str, count: int) -> None:
    import torch

    make, dtype = components(T2V_1_3B)[part]
    module = build(make, dtype=getattr(torch, dtype), device="meta", seed=0)
    assert parameter_count(module) == count
    assert dtype == ("float32" if part == "vae" else "bfloat16")


@pytest.mark.usefixtures("wan")
def test_the_stated_size_of_the_weights_is_that_of_the_components() -> None:
    import torch

    size = 0
    for make, dtype in components(T2V_1_3B).values():
        module = build(make, dtype=getattr(torch, dtype), device="meta", seed=0)
        size += sum(p.numel() * p.element_size() for p in module.parameters())
    assert pytest.approx(size, rel=0.01) == T2V_1_3B.weights_b


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder"])
def test_random_weights_have_the_number_types_of_a_loaded_checkpoint(
    wan: WanTextToVideo, part: str, tmp_path: Path
) -> None:
    import torch

    make, _ = components(wan._architecture)[part]
    built = build(make, dtype=torch.bfloat16, device="cpu", seed=0)
    built.save_pretrained(tmp_path)
    loaded = type(built).from_pretrained(tmp_path, torch_dtype=torch.bfloat16)

    def types(module: Any) -> dict[str, torch.dtype]:
        return {n: t.dtype for n, t in [*module.named_parameters(), *module.named_buffers()]}

    assert types(built) == types(loaded)


@pytest.mark.usefixtures("wan")
def test_building_leaves_the_programs_own_random_numbers_and_types_alone() -> None:
    import torch

    state = torch.get_rng_state()
    one, other, again = (
        build(lambda: torch.nn.Linear(3, 4), dtype=torch.float16, device="cpu", seed=seed)
        for seed in (1, 2, 1)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_default_dtype() == torch.float32
    assert torch.equal(one.weight, again.weight)
    assert not torch.equal(one.weight, other.weight)
    assert not one.weight.requires_grad


def test_a_video_is_written_with_exactly_its_frames_rate_and_size(
    wan: WanTextToVideo, tmp_path: Path
) -> None:
    import av

    produced = wan.generate(0, tmp_path / "a.mp4")
    assert (produced.frames, produced.fps) == (9, 16.0)
    assert (produced.width, produced.height) == (96, 64)
    with av.open(produced.path) as container:
        stream = container.streams.video[0]
        assert stream.frames == 9
        assert stream.average_rate == Fraction(16)
        assert (stream.width, stream.height) == (96, 64)
        assert stream.codec_context.name == "h264"
        assert sum(1 for _ in container.decode(stream)) == 9
    assert wan.facts()["steps_run"] == 4


def test_the_same_seed_gives_the_same_video_and_another_seed_another(
    wan: WanTextToVideo, tmp_path: Path
) -> None:
    first, again, other = (
        frames_of(wan.generate(seed, tmp_path / f"{n}.mp4").path)
        for n, seed in enumerate((3, 3, 4))
    )
    assert first == again
    assert first != other
    assert len(set(first)) == 9, "frames of random noise differ from each other"


def test_numbers_that_are_not_finite_are_an_error_and_not_a_video(
    wan: WanTextToVideo, tmp_path: Path
) -> None:
    bias = wan._pipeline.transformer.proj_out.bias
    before = bias.clone()
    bias.fill_(float("nan"))
    try:
        with pytest.raises(VidmeterError, match="not finite"):
            wan.generate(0, tmp_path / "a.mp4")
    finally:
        bias.copy_(before)
    assert not (tmp_path / "a.mp4").exists()


def test_facts_say_that_the_weights_are_random_and_what_was_built(wan: WanTextToVideo) -> None:
    facts = wan.facts()
    assert facts["weights"] == "random"
    assert facts["device"] == "cpu"
    assert facts["attention_backend"] == "native"
    transformer = facts["components"]["transformer"]
    assert transformer["class"] == "WanTransformer3DModel"
    assert transformer["parameters"] == sum(transformer["parameters_by_dtype"].values())
    assert set(transformer["parameters_by_dtype"]) == {"float32"}


def no_gpu() -> bool:
    import torch

    return not torch.cuda.is_available()


@pytest.mark.usefixtures("wan")
def test_the_large_model_is_refused_without_a_gpu_before_anything_is_built() -> None:
    if not no_gpu():
        pytest.skip("a GPU is here")
    with pytest.raises(WorkloadUnavailable, match=r"meant for a GPU.*--device cpu"):
        load_workload("wan2.1-t2v-1.3b").prepare("auto")
    with pytest.raises(WorkloadUnavailable, match=r"device cuda isn't here"):
        load_workload("wan2.1-t2v-1.3b").prepare("cuda")


@pytest.mark.usefixtures("wan")
def test_what_does_not_fit_into_memory_is_refused_before_anything_is_built() -> None:
    size = {"height": 160_000, "width": 160_000, "frames": 81}
    with pytest.raises(WorkloadUnavailable, match=r"needs about .* GB are free on cpu.*fewer"):
        load_workload("wan2.1-t2v-1.3b", size).prepare("cpu")


@pytest.mark.usefixtures("wan")
def test_a_device_that_does_not_exist_is_refused() -> None:
    with pytest.raises(WorkloadUnavailable, match="no device 'tpu'"):
        load_workload("wan2.1-t2v-tiny").prepare("tpu")


def test_memory_needed_grows_with_pixels_and_frames() -> None:
    base = memory_needed_b(T2V_1_3B, height=480, width=832, frames=81)
    assert memory_needed_b(T2V_1_3B, height=720, width=1280, frames=81) > base
    assert memory_needed_b(T2V_1_3B, height=480, width=832, frames=161) > base
