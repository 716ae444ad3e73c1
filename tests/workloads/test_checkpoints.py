"""Trained weights, by the frameworks' own loading code: a checkpoint that is saved and loaded."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vidmeter.meter.errors import WorkloadUnavailable
from vidmeter.workloads.base import load_workload, models
from vidmeter.workloads.checkpoints import fingerprint, load_weights
from vidmeter.workloads.language.text_generation import TextGeneration
from vidmeter.workloads.video.text_to_video import TextToVideo

UNIT: dict[str, object] = {"height": 64, "width": 96, "frames": 9, "steps": 2}
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def _frameworks() -> None:
    for package in ("torch", "diffusers", "transformers", "accelerate"):
        pytest.importorskip(package, reason="the extra vidmeter[workloads] is not installed")


@pytest.fixture(scope="module")
def checkpoint(wan: TextToVideo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the whole pipeline of the tiny Wan."""
    folder = tmp_path_factory.mktemp("wan") / "checkpoint"
    wan._pipeline.save_pretrained(folder)
    return folder


def loaded(name: str, weights: Path | str, **settings: object) -> TextToVideo:
    workload = load_workload(name, {**UNIT, **settings, "weights": str(weights)})
    assert isinstance(workload, TextToVideo)
    workload.prepare("cpu")
    return workload


def pictures(workload: TextToVideo) -> Any:
    pipeline = workload._pipeline
    return workload.model.videos(pipeline(**{**workload._arguments(0), "num_inference_steps": 2}))


def alike(one: Any, other: Any) -> bool:
    """To within rounding, which depends on where in memory weights lie; pictures vary by 0.03."""
    return one.shape == other.shape and float((one - other).abs().max()) < 1e-5


@pytest.mark.filterwarnings("ignore")
def test_a_loaded_pipeline_makes_the_pictures_of_the_one_that_was_saved(
    wan: TextToVideo, checkpoint: Path
) -> None:
    workload = loaded("wan2.1-t2v-1.3b-tiny", checkpoint)
    assert alike(pictures(workload), pictures(wan))
    facts = workload.facts()
    assert facts["weights"] == "path"
    assert facts["checkpoint"] == str(checkpoint)
    assert facts["fingerprint"] == fingerprint(checkpoint)
    assert facts["components"] == wan.facts()["components"], "same classes, sizes and types"


@pytest.mark.filterwarnings("ignore")
def test_a_loaded_pipeline_takes_the_settings_of_a_random_one(checkpoint: Path) -> None:
    stated: dict[str, Any] = {"dtype": "bfloat16", "vae_tiling": "on"}
    workload = loaded("wan2.1-t2v-1.3b-tiny", checkpoint, **stated)
    random = loaded("wan2.1-t2v-1.3b-tiny", "random", **stated)
    # Some of its layers stay float32 in both.
    assert workload.facts()["components"] == random.facts()["components"]
    assert workload.facts()["dtype"] == "bfloat16"
    assert workload._pipeline.vae.use_tiling


@pytest.mark.filterwarnings("ignore")
def test_a_folder_of_a_whole_animatediff_pipeline_is_loaded(tmp_path: Path) -> None:
    settings = {"height": 64, "width": 64, "frames": 4}
    built = load_workload("animatediff-tiny", {**settings, "steps": 2})
    assert isinstance(built, TextToVideo)
    built.prepare("cpu")
    built._pipeline.save_pretrained(tmp_path / "checkpoint")
    again = loaded("animatediff-tiny", tmp_path / "checkpoint", **settings)
    assert alike(pictures(again), pictures(built))


@pytest.mark.filterwarnings("ignore")
def test_a_checkpoint_of_another_size_than_the_released_one_is_told_by_its_facts(
    checkpoint: Path,
) -> None:
    small = load_workload("wan2.1-t2v-1.3b", {**UNIT, "weights": str(checkpoint)})
    assert isinstance(small, TextToVideo)
    small.prepare("cpu")
    unlike = small.facts()["unlike_released"]
    assert len(unlike) == 3
    assert any(
        re.fullmatch(r"transformer has [\d,]+ parameters, the released one 1,418,996,800", u)
        for u in unlike
    )
    assert loaded("wan2.1-t2v-1.3b-tiny", checkpoint).facts()["unlike_released"] == []


def test_a_fingerprint_tells_checkpoints_apart_by_names_sizes_and_shapes(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    def told(folder: str, **tensors: Any) -> str:
        path = tmp_path / folder / "transformer" / "model.safetensors"
        path.parent.mkdir(parents=True)
        save_file(tensors, path)
        (path.parent / "config.json").write_text(folder)  # no weights, so it counts for nothing
        return fingerprint(tmp_path / folder)

    first = told("a", weight=torch.zeros(4, 8))
    assert told("b", weight=torch.zeros(4, 8)) == first
    assert told("c", weight=torch.zeros(8, 4)) != first
    assert told("d", bias=torch.zeros(4, 8)) != first
    (tmp_path / "b" / "transformer").rename(tmp_path / "b" / "unet")
    assert fingerprint(tmp_path / "b") != first


@pytest.mark.filterwarnings("ignore")
def test_what_is_no_checkpoint_is_refused_in_one_line(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "model_index.json").write_text(json.dumps({"_class_name": "WanPipeline"}))
    for weights, word in (
        (tmp_path / "empty", "is no checkpoint that can be loaded"),
        (broken, "is no checkpoint that can be loaded"),
    ):
        with pytest.raises(WorkloadUnavailable, match=word) as refused:
            loaded("wan2.1-t2v-1.3b-tiny", weights)
        assert "\n" not in str(refused.value)
    with pytest.raises(WorkloadUnavailable, match=r"a WanTransformer3DModel, not a Mochi"):
        loaded("mochi-1-tiny", checkpoint, frames=7)


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_file_of_weights_is_told_in_one_line(tmp_path: Path) -> None:
    built = load_workload("gpt-2-tiny")
    assert isinstance(built, TextGeneration)
    built.prepare("cpu")
    built._network.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    for size in (path.stat().st_size // 2, 1):
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(WorkloadUnavailable, match="is no checkpoint that can be loaded: "):
            load_workload("gpt-2-tiny", {"weights": str(tmp_path)}).prepare("cpu")


def test_memory_that_is_too_small_for_a_checkpoint_is_no_fault_of_the_checkpoint(
    tmp_path: Path,
) -> None:
    def full(_: str) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with pytest.raises(RuntimeError, match="out of memory"):
        load_weights("w", "owner/name", str(tmp_path), full)


@pytest.mark.parametrize(
    ("name", "forbidden"),
    [("wan2.1-t2v-1.3b", "1"), ("wan2.1-t2v-1.3b", "0"), ("animatediff", "0")],
)
def test_a_hub_that_can_not_be_reached_is_one_line_that_says_what_to_do(
    tmp_path: Path, name: str, forbidden: str
) -> None:
    code = """
import sys
from vidmeter.meter.errors import WorkloadUnavailable
from vidmeter.workloads.base import load_workload
from vidmeter.workloads.checkpoints import load_weights
workload = load_workload(sys.argv[1], {"weights": "hub"})
try:
    load_weights(workload.name, workload.model.repository, "hub", workload._loaded)
except WorkloadUnavailable as refused:
    print(refused)
"""
    # A port of one's own machine where nobody listens, instead of the hub.
    environ = {
        "HF_HUB_OFFLINE": forbidden, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path),
        "PATH": "/usr/bin", "HOME": str(tmp_path),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code, name],
        env=environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    (line,) = done.stdout.splitlines()
    assert f"hf download {models()[name].repository}" in line
    assert "weights=PATH" in line
    assert ("HF_HUB_OFFLINE forbids" in line) == (forbidden == "1")
    assert ("can't be reached (Connection refused)" in line) == (forbidden == "0")


def test_of_the_hub_the_commit_that_was_loaded_is_kept(tmp_path: Path) -> None:
    code = """
import json
from transformers import AutoConfig
from vidmeter.workloads.checkpoints import load_weights, revision
loaded, facts = load_weights("w", "owner/name", "hub", AutoConfig.from_pretrained)
print(json.dumps([loaded.model_type, facts, revision("owner/other")]))
"""
    commit = "0123456789abcdef0123456789abcdef01234567"
    kept = tmp_path / "hub" / "models--owner--name"
    (kept / "snapshots" / commit).mkdir(parents=True)
    (kept / "snapshots" / commit / "config.json").write_text('{"model_type": "llama"}')
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(commit)
    environ = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": "/usr/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, cwd=ROOT, capture_output=True, text=True,
        check=True, timeout=240,
    )  # fmt: skip
    expected = {"weights": "hub", "checkpoint": "owner/name", "revision": commit}
    assert json.loads(done.stdout) == ["llama", expected, None]


def test_weights_that_can_not_be_are_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for weights in ("Random", "", str(tmp_path / "file"), str(tmp_path / "nothing")):
        for name in ("wan2.1-t2v-14b", "llama-3.1-8b"):
            with pytest.raises(WorkloadUnavailable, match="is no folder: take random, hub, or"):
                load_workload(name, {"weights": weights})
    with pytest.raises(WorkloadUnavailable, match=r"never released: .* or wan2.1-t2v-14b$"):
        load_workload("wan2.1-t2v-14b-tiny", {"weights": "hub"})
