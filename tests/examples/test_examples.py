"""The examples run as they are under the meter, write what they say, and tell where joules went.

The models are built once. What the scripts print and write is what they print and write alone.
"""

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

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


def metered(
    folder: Path, environ: Mapping[str, str], *command: str
) -> tuple[str, dict[str, Any], dict[str, dict[str, Any]]]:
    """The last line that a command printed, its summary, and that one's phases by their paths."""
    beside = folder.with_name(f"{folder.name}-meter")
    beside.mkdir()
    run = ["-m", "vidmeter", "run", "--quiet", "--sensor", "fake"]
    files = ["--json", str(beside / "summary.json"), "-o", str(beside / "run.vidmeter")]
    settings = {"PYTHONPATH": str(ROOT), "XDG_DATA_HOME": str(beside)}
    said = last_line(folder, {**environ, **settings}, *run, *files, "--", sys.executable, *command)
    summary = json.loads((beside / "summary.json").read_text())
    phases = {"/".join(phase["path"]): phase for phase in summary["phases"]}
    return said, summary, phases


def adds_up(summary: dict[str, Any]) -> None:
    """The parts are the whole, and no part is more than what it is in."""
    own = [phase["self_j"] for phase in summary["phases"]]
    total = summary["total"]["energy_j"]
    assert math.isclose(math.fsum([*own, summary["unattributed_j"]]), total, rel_tol=1e-6)
    assert min([*own, summary["unattributed_j"]]) > -1e-6 * total


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
def test_a_script_writes_its_video_and_its_phases_add_up(
    name: str, tmp_path: Path, environ: dict[str, str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    frames, rate, *_ = VIDEOS[name]

    said, summary, phases = metered(out, environ, str(EXAMPLES / f"{name}.py"), "--steps", "3")

    assert said == f"wrote {name}.mp4, {frames} frames"
    assert [p.name for p in out.iterdir()] == [f"{name}.mp4"]
    check(out / f"{name}.mp4", *VIDEOS[name])
    parts = [path for path in phases if path.startswith("generate") and "tile" not in path]
    assert parts == [
        "generate", "generate/text_encode", "generate/denoise", "generate/denoise/step",
        "generate/vae_decode", "generate/postprocess",
    ]  # fmt: skip
    assert phases["generate/denoise/step"]["count"] == 3
    assert {"load", "load/vae", "to_device", "export"} <= set(phases)
    assert phases["generate"]["facts"]["frames"] == frames
    assert summary["work"]["video_seconds"] == pytest.approx(frames / rate)
    assert phases["generate"]["work"]["video_seconds"] == pytest.approx(frames / rate)
    assert {c["kind"] for c in summary["cautions"]} == {"simulated"}
    adds_up(summary)


@pytest.mark.slow
def test_a_tiled_decode_shows_its_tiles(tmp_path: Path, environ: dict[str, str]) -> None:
    out = tmp_path / "out"
    out.mkdir()

    _, _, phases = metered(out, environ, str(EXAMPLES / "cogvideox.py"), "--steps", "2")

    assert phases["generate/vae_decode/tile"]["count"] == 9


@pytest.mark.slow
def test_the_language_model_answers_at_the_stated_length_and_its_phases_add_up(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()

    said, summary, phases = metered(out, environ, str(EXAMPLES / "llama.py"), "--tokens", "12")

    assert said == "made 12 tokens for each of 2 prompts"
    assert [path for path in phases if path.startswith("generate")] == [
        "generate", "generate/prefill", "generate/decode",
    ]  # fmt: skip
    assert summary["work"]["units"]["output_tokens"] == 24
    adds_up(summary)


@pytest.mark.slow
def test_two_ranks_that_build_the_same_model_are_two_in_the_tree_and_one_in_the_total(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    cache, out = tmp_path / "cache", tmp_path / "out"
    out.mkdir()
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    script = [str(EXAMPLES / "distributed.py"), "--steps", "3"]
    settings = {**environ, "EXAMPLES_CACHE": str(cache)}

    _, summary, phases = metered(out, settings, *launch, *script)

    assert sorted(p.name for p in out.iterdir()) == ["rank-0.mp4", "rank-1.mp4"]
    for path in out.iterdir():
        check(path, *VIDEOS["ltx_video"])
    assert (out / "rank-0.mp4").read_bytes() != (out / "rank-1.mp4").read_bytes()
    # No unfinished folder is left.
    assert [p.name for p in cache.iterdir()] == ["ltx"]
    assert (phases["generate"]["count"], phases["generate"]["processes"]) == (2, 2)
    assert phases["generate/denoise/step"]["count"] == 6
    (device,) = summary["devices"]
    assert summary["total"]["energy_j"] == device["energy_j"]
    adds_up(summary)


def test_no_example_knows_of_vidmeter() -> None:
    sources = {p.name: p.read_text() for p in EXAMPLES.glob("*.py")}

    assert {"wan.py", "llama.py", "tiny_models.py"} <= set(sources)
    assert not [name for name, source in sources.items() if "vidmeter" in source]


def test_the_table_names_every_script() -> None:
    rows = re.findall(r"^\| `(\w+\.py)` ", (EXAMPLES / "README.md").read_text(), re.MULTILINE)

    assert sorted(rows) == SCRIPTS
