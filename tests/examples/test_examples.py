"""The examples run as they are, on models that are built once, and write what they say."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import pytest

import vidmeter

ROOT = Path(vidmeter.__file__).parent.parent
EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(p.name for p in EXAMPLES.glob("*.py") if p.name != "tiny_models.py")

VIDEOS = {  # frames and their rate, height and width
    "wan": (17, 16, 96, 160),
    "ltx_video": (25, 24, 128, 192),
    "cogvideox": (9, 8, 96, 160),
    "hunyuan_video": (17, 24, 96, 160),
    "mochi": (19, 30, 96, 160),
    "animatediff": (16, 8, 64, 64),
}


@pytest.fixture(scope="session")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    for package in ("torch", "diffusers", "transformers", "accelerate"):
        pytest.importorskip(package, reason="the extra vidmeter[workloads] is not installed")
    return {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "EXAMPLES_CACHE": str(tmp_path_factory.mktemp("models")),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }


def last_line(folder: Path, environ: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder, env=environ, stdout=subprocess.PIPE, text=True, check=True, timeout=120,
    )  # fmt: skip
    return done.stdout.splitlines()[-1]


def check(path: Path, frames: int, rate: int, height: int, width: int) -> None:
    import av

    with av.open(path) as container:
        assert container.streams.video[0].average_rate == Fraction(rate)
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [picture.shape for picture in pictures] == [(height, width, 3)] * frames
    # A number that isn't finite becomes black.
    assert all(picture.std() > 1 for picture in pictures)


@pytest.mark.slow
@pytest.mark.parametrize("name", VIDEOS)
def test_a_script_writes_a_video_of_its_length_and_rate(
    name: str, tmp_path: Path, environ: dict[str, str]
) -> None:
    said = last_line(tmp_path, environ, str(EXAMPLES / f"{name}.py"), "--steps", "2")

    assert said == f"wrote {name}.mp4, {VIDEOS[name][0]} frames"
    assert [p.name for p in tmp_path.iterdir()] == [f"{name}.mp4"]
    check(tmp_path / f"{name}.mp4", *VIDEOS[name])


@pytest.mark.slow
def test_the_language_model_answers_at_the_stated_length(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    said = last_line(tmp_path, environ, str(EXAMPLES / "llama.py"), "--tokens", "12")

    assert said == "made 12 tokens for each of 2 prompts"


@pytest.mark.slow
def test_two_processes_that_build_the_same_model_at_once_each_write_a_video(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    cache, out = tmp_path / "cache", tmp_path / "out"
    out.mkdir()
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    script = str(EXAMPLES / "distributed.py")

    last_line(out, environ | {"EXAMPLES_CACHE": str(cache)}, *launch, script, "--steps", "2")

    assert sorted(p.name for p in out.iterdir()) == ["rank-0.mp4", "rank-1.mp4"]
    for path in out.iterdir():
        check(path, *VIDEOS["ltx_video"])
    assert (out / "rank-0.mp4").read_bytes() != (out / "rank-1.mp4").read_bytes()
    # No unfinished folder is left.
    assert [p.name for p in cache.iterdir()] == ["ltx"]


@pytest.mark.slow
def test_an_unmodified_script_shows_its_steps_and_its_tiles(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    settings = {"PYTHONPATH": str(ROOT), "XDG_DATA_HOME": str(tmp_path / "data")}
    run = ["-m", "vidmeter", "run", "--quiet", "--sensor", "fake", "--json", "summary.json", "--"]
    script = [sys.executable, str(EXAMPLES / "cogvideox.py"), "--steps", "2"]

    last_line(tmp_path, environ | settings, *run, *script)

    summary = json.loads((tmp_path / "summary.json").read_text())
    counts = {"/".join(phase["path"]): phase["count"] for phase in summary["phases"]}
    assert counts["generate/denoise/step"] == 2
    assert counts["generate/vae_decode/tile"] == 9
    assert summary["work"]["video_seconds"] == 9 / 8


def test_no_example_knows_of_vidmeter() -> None:
    sources = {p.name: p.read_text() for p in EXAMPLES.glob("*.py")}

    assert {"wan.py", "llama.py", "tiny_models.py"} <= set(sources)
    assert not [name for name, source in sources.items() if "vidmeter" in source]


def test_the_table_names_every_script() -> None:
    rows = re.findall(r"^\| `(\w+\.py)` ", (EXAMPLES / "README.md").read_text(), re.MULTILINE)

    assert sorted(rows) == SCRIPTS
