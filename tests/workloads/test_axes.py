"""Settings that change how a video is made: that they take hold, and are refused where they can't.

What a setting must not change is compared to within rounding; what it must change differs by more.
"""

from pathlib import Path
from typing import Any

import pytest

from vidmeter.meter.errors import WorkloadUnavailable
from vidmeter.workloads.base import load_workload, models
from vidmeter.workloads.video.axes import AXES
from vidmeter.workloads.video.model import Model
from vidmeter.workloads.video.text_to_video import TextToVideo, attention_backend

UNIT: dict[str, object] = {"height": 64, "width": 96, "frames": 9, "steps": 2}
WAN = "wan2.1-t2v-1.3b-tiny"
ONE_OF_EACH = (
    "wan2.1-t2v-1.3b",
    "ltx-video-2b",
    "ltx-2",
    "cogvideox-2b",
    "hunyuanvideo",
    "hunyuanvideo-1.5",
    "mochi-1",
    "skyreels-v2-t2v-14b",
    "allegro",
    "latte-1",
)
"""The first model with caches of every family; the others share its classes."""
FRAMES = {"ltx-video-2b": 9, "ltx-2": 9, "mochi-1": 7, "allegro": 24, "latte-1": 16}

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module", autouse=True)
def _frameworks(wan: TextToVideo) -> None:
    """Those that the tiny Wan needs, with a single thread."""


def prepared(name: str = WAN, **settings: object) -> TextToVideo:
    workload = load_workload(name, {**UNIT, **settings} if name == WAN else settings)
    assert isinstance(workload, TextToVideo)
    workload.prepare("cpu")
    return workload


def pictures(workload: TextToVideo) -> Any:
    return workload.model.videos(workload._pipeline(**workload._arguments(0)))


def apart(one: Any, other: Any) -> float:
    """By how much the furthest of the numbers differ; pictures lie between 0 and 1."""
    assert one.shape == other.shape
    return float((one.float() - other.float()).abs().max())


@pytest.fixture(scope="module")
def plain() -> Any:
    return pictures(prepared())


def runs_of_denoiser(workload: TextToVideo) -> int:
    runs = 0

    def count(*_: Any) -> None:
        nonlocal runs
        runs += 1

    handle = getattr(workload._pipeline, workload.model.denoisers[0]).register_forward_hook(count)
    pictures(workload)
    handle.remove()
    return runs


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_every_cache_that_a_family_offers_takes_hold(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whether this one skips anything depends on the values; here it always does.
    monkeypatch.setattr("vidmeter.workloads.video.axes.FIRST_BLOCK_THRESHOLD", 1e9)
    model = models()[name]
    assert isinstance(model, Model)
    settings = {"frames": FRAMES.get(name, 5), "steps": 6}
    whole = pictures(prepared(f"{name}-tiny", **settings))
    for cache in model.caches:
        workload = prepared(f"{name}-tiny", cache=cache, **settings)
        assert apart(pictures(workload), whole) > 1e-6, cache
        with pytest.raises(WorkloadUnavailable, match="spares depends on the values"):
            workload.operations()


def test_a_cache_that_does_not_work_with_a_family_is_refused_with_those_that_do() -> None:
    with pytest.raises(WorkloadUnavailable, match=r"cache.*none, pyramid, faster"):
        load_workload("latte-1", {"cache": "taylorseer"})
    with pytest.raises(WorkloadUnavailable, match="no setting 'cache'"):
        load_workload("sana-video-2b", {"cache": "faster"})


def test_without_guidance_the_denoiser_runs_once_in_each_step() -> None:
    assert runs_of_denoiser(prepared(steps=3)) == 6
    assert runs_of_denoiser(prepared(steps=3, guidance=1)) == 3


def test_a_batch_makes_so_many_videos_and_says_so(tmp_path: Path) -> None:
    produced = prepared(batch=2).generate(0, tmp_path / "clip")
    assert [path.name for path in produced.paths] == ["clip-1.mp4", "clip-2.mp4"]
    assert produced.work["videos"] == 2
    assert produced.work["frames"] == 18
    assert produced.work["video_seconds"] == 18 / 16


def test_slices_are_the_same_pictures_decoded_one_by_one() -> None:
    decoded: list[int] = []

    def watched(**settings: object) -> Any:
        workload = prepared(batch=2, **settings)
        decoder = workload._pipeline.vae.decoder
        handle = decoder.register_forward_pre_hook(lambda _, args: decoded.append(len(args[0])))
        made = pictures(workload)
        handle.remove()
        return made

    together = watched()
    assert set(decoded) == {2}
    decoded.clear()
    assert apart(watched(vae_slicing="on"), together) < 1e-5
    assert set(decoded) == {1}


def test_tiles_are_decoded_where_a_picture_is_larger_than_one() -> None:
    def calls(**settings: object) -> int:
        workload = prepared(height=128, width=320, frames=5, steps=1, **settings)
        decoded = []
        decoder = workload._pipeline.vae.decoder
        handle = decoder.register_forward_hook(lambda *_: decoded.append(1))
        pictures(workload)
        handle.remove()
        return len(decoded)

    assert calls(vae_tiling="on") == 2 * calls()


def test_numbers_are_of_the_type_that_was_asked_for(plain: Any) -> None:
    workload = prepared(dtype="bfloat16")
    assert workload.facts()["dtype"] == "bfloat16"
    assert 1e-4 < apart(pictures(workload), plain) < 0.2


def test_an_attention_backend_is_used_and_named(plain: Any) -> None:
    workload = prepared(attention="_native_math")
    assert workload.facts()["attention_backend"] == "_native_math"
    assert attention_backend(workload._pipeline.transformer) == "_native_math"
    assert apart(pictures(workload), plain) < 1e-4


@pytest.mark.parametrize(
    ("backend", "word"),
    [("sage", "attention=sage doesn't work here"), ("magic", "no attention backend 'magic'; it")],
)
def test_an_attention_backend_that_is_not_here_is_one_line(backend: str, word: str) -> None:
    with pytest.raises(WorkloadUnavailable, match=word) as refused:
        prepared(attention=backend)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("how", ["denoiser", "blocks"])
def test_a_compiled_denoiser_makes_the_same_pictures(how: str, plain: Any) -> None:
    import torch._dynamo

    torch._dynamo.reset()
    compiled = prepared(compile=how)
    torch._dynamo.utils.counters.clear()
    assert apart(pictures(compiled), plain) < 1e-4
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1


@pytest.mark.parametrize("how", ["model", "sequential", "group"])
def test_there_is_nothing_to_offload_from_without_a_gpu(how: str) -> None:
    with pytest.raises(WorkloadUnavailable, match=f"offload={how} needs a GPU to offload from"):
        prepared(offload=how)


def test_every_axis_is_a_setting_of_some_model_with_its_meaning() -> None:
    offered = {name for model in models().values() for name in load_workload(model.name).parameters}
    assert AXES.keys() <= offered
    assert all(axis.meaning for axis in AXES.values())
