"""`vidmeter run` on scripts that know nothing of it: phases, work, and files wherever they lie."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import vidmeter

pytestmark = pytest.mark.slow
ROOT = Path(vidmeter.__file__).parent.parent

SCRIPT = """
import sys
from diffusers.utils import encode_video
from tests.meter.instrument.tiny import generate, ltx
frames = generate(ltx()).frames[0]
encode_video(frames, fps=int(sys.argv[2]), output_path=sys.argv[1])
"""


def run(folder: Path, *arguments: str) -> dict[str, Any]:
    (folder / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "vidmeter", "run", "--quiet", "--sensor", "fake", "--json"]
    subprocess.run(
        [*command, "summary.json", "--", sys.executable, "script.py", *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "XDG_DATA_HOME": str(folder / "data"),
        },
        check=True,
        timeout=120,
    )
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


def test_a_script_tells_its_phases_and_a_file_outside_its_folder_is_found(
    tmp_path: Path,
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()

    summary = run(here, str(there / "out.mp4"), "24")

    phases = {tuple(p["path"]): p for p in summary["phases"]}
    generate = phases["generate",]
    assert phases["generate", "denoise", "step"]["count"] == 3
    assert summary["work"]["paths"] == [str(there / "out.mp4")]
    assert summary["work"]["video_seconds"] == 9 / 24
    # The call's own default is 25, but the file says how long its frames last.
    assert generate["work"]["video_seconds"] == 9 / 24
    assert {c["kind"] for c in summary["cautions"]} == {"simulated"}


def test_a_file_at_a_rate_that_the_model_does_not_have_is_a_caution(tmp_path: Path) -> None:
    summary = run(tmp_path, "out.mp4", "8")

    (caution,) = (c for c in summary["cautions"] if c["kind"] == "frame_rate")
    assert caution["text"].startswith("out.mp4 plays at 8 frames per second, LTXPipeline makes")
