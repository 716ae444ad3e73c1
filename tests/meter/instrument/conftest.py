"""Runs scripts under the hook, without the meter around them: what they mark is what counts."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

import vidmeter
from vidmeter.meter.instrument import hook
from vidmeter.meter.markreader import Marked, MarkReader
from vidmeter.meter.marks import MARKS_ENV
from vidmeter.meter.windows import paths

ROOT = Path(vidmeter.__file__).parent.parent


@dataclass(frozen=True)
class Ended:
    """A script that has run under the hook."""

    code: int
    out: str
    err: str
    marked: Marked

    @property
    def tree(self) -> list[str]:
        """The phases as paths, in order of their start, those of imports left out."""
        where = paths(self.marked.phases)
        phases = sorted(self.marked.phases, key=lambda p: (p.start_ns, p.id))
        return [" > ".join(where[p.id]) for p in phases if "import" not in where[p.id]]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """As `vidmeter run` sets it: the hook in front of the PYTHONPATH in `more`, if there is one."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIDMETER"))}
    what = more.pop(hook.INSTRUMENT_ENV, "phases")
    return {
        **inherited,
        **more,
        **hook.environment(what, more.get("PYTHONPATH")),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        MARKS_ENV: str(folder),
    }


Running = Callable[..., Ended]


def run_hooked(folder: Path, script: str | None = None, /, *arguments: str, **more: str) -> Ended:
    """Run a script, or a command line, under the hook in a folder; `more` is environment."""
    marks = folder / "marks"
    marks.mkdir(exist_ok=True)
    command = list(arguments)
    if script is not None:
        (folder / "script.py").write_text(script)
        command = [sys.executable, "script.py", *arguments]
    ended = subprocess.run(
        command,
        cwd=folder,
        env=environment(marks, **more),
        capture_output=True,
        text=True,
        timeout=120,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr, MarkReader(marks).read())


@pytest.fixture
def hooked(tmp_path: Path) -> Running:
    """`run_hooked` in a folder of the test's own."""
    return partial(run_hooked, tmp_path)
