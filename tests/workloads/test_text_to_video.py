from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from vidmeter.meter.errors import VidmeterError, WorkloadUnavailable
from vidmeter.workloads.base import load_workload
from vidmeter.workloads.video.text_to_video import TextToVideo
from vidmeter.workloads.weights import build


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder"])
def test_random_weights_have_the_number_types_of_a_loaded_checkpoint(
    wan: TextToVideo, part: str, tmp_path: Path
) -> None:
    import torch

    built = build(wan.model.parts[part], dtype=torch.bfloat16, device="cpu", seed=0)
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
    wan: TextToVideo, tmp_path: Path
) -> None:
    import av

    produced = wan.generate(0, tmp_path / "a")
    assert produced.work == {
        "video_seconds": 9 / 16,
        "frames": 9,
        "width": 96,
        "height": 64,
        "fps": 16,
        "videos": 1,
    }
    assert produced.paths == (tmp_path / "a.mp4",)
    with av.open(produced.paths[0]) as container:
        stream = container.streams.video[0]
        assert stream.frames == 9
        assert stream.average_rate == Fraction(16)
        assert (stream.width, stream.height) == (96, 64)
        assert stream.codec_context.name == "h264"
        assert sum(1 for _ in container.decode(stream)) == 9
    assert wan.facts()["steps_run"] == 4


def test_the_same_seed_gives_the_same_pictures_and_another_seed_others(wan: TextToVideo) -> None:
    # Not compared in the file: the encoder's colours depend on where in memory a picture lies.
    first, again, other = (
        wan.model.videos(wan._pipeline(**wan._arguments(seed))) for seed in (3, 3, 4)
    )
    assert (first == again).all()
    assert (first != other).any()
    assert len({frame.numpy().tobytes() for frame in first[0]}) == 9, "frames of noise differ"


def test_numbers_that_are_not_finite_are_an_error_and_not_a_video(
    wan: TextToVideo, tmp_path: Path
) -> None:
    bias = wan._pipeline.transformer.proj_out.bias
    before = bias.clone()
    bias.fill_(float("nan"))
    try:
        with pytest.raises(VidmeterError, match="not finite"):
            wan.generate(0, tmp_path / "a")
    finally:
        bias.copy_(before)
    assert not (tmp_path / "a.mp4").exists()


def test_facts_say_that_the_weights_are_random_and_what_was_built(wan: TextToVideo) -> None:
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
    with pytest.raises(WorkloadUnavailable, match=r"needs about .* GB are free on cpu.*smaller"):
        load_workload("wan2.1-t2v-1.3b", size).prepare("cpu")


@pytest.mark.usefixtures("wan")
def test_a_device_that_does_not_exist_is_refused() -> None:
    with pytest.raises(WorkloadUnavailable, match="no device 'tpu'"):
        load_workload("wan2.1-t2v-1.3b-tiny").prepare("tpu")


@pytest.mark.usefixtures("wan")
def test_the_refusal_names_the_settings_that_would_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidmeter.workloads.memory.free_b", lambda _: 20e9)
    with pytest.raises(WorkloadUnavailable, match=r"vae_tiling=on \(18\.\d GB\) would fit"):
        load_workload("wan2.1-t2v-1.3b").prepare("cpu")


def test_memory_needed_grows_with_pixels_frames_and_batch_and_falls_with_offload() -> None:
    def needed(**settings: object) -> int:
        return load_workload("wan2.1-t2v-1.3b", settings).memory_b

    assert needed() == pytest.approx(24e9, rel=0.05)
    assert needed(height=720, width=1280) > needed()
    assert needed(height=720, width=1280, frames=1001) > needed(height=720, width=1280)
    assert needed(batch=4) > needed()
    assert needed(offload="model") == pytest.approx(needed() - 3.3e9, rel=0.02)
    assert needed(offload="sequential") < needed(offload="model")
