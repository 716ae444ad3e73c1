import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

import vidmeter
from vidmeter.meter.instrument import hook
from vidmeter.meter.markreader import MarkReader
from vidmeter.meter.marks import MARKS_ENV
from vidmeter.meter.run import Phase, Work

ROOT = Path(vidmeter.__file__).parent.parent

# A workload of one's own, without any framework: it writes the seed it was given.
LIGHT = """
import time
from vidmeter.meter.errors import WorkloadUnavailable
from vidmeter.workloads.base import Parameter, Produced, settle

class Light:
    name, description, packages, devices, memory_b = "light", "text as video", (), ("cpu",), 0
    parameters = {"seed": Parameter(7, "seed", minimum=0), "nap_s": Parameter(0.0, "pause")}
    parameters["full_at"] = Parameter(0, "the repeat for which memory is too small")

    def __init__(self, settings):
        self.settings = settle(self.name, self.parameters, settings)
        self.made = 0

    def prepare(self, device):
        if device == "cuda":
            raise WorkloadUnavailable("light has no use for a GPU")

    def generate(self, seed, out):
        time.sleep(self.settings["nap_s"])
        self.made += 1
        path = out.with_suffix(".txt")
        path.write_text(f"{seed}")
        if self.settings["full_at"] == self.made:
            raise MemoryError
        size = {"frames": 6, "fps": 4.0, "width": 20, "height": 10}
        return Produced((path,), {"video_seconds": 1.5, "videos": 1, **size})

    def facts(self):
        return {"weights": "none", "made": self.made}

    def close(self):
        print("closed")
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "vidmeter.workloads.harness", *arguments]


def environment(folder: Path) -> dict[str, str]:
    (folder / "light.py").write_text(LIGHT)
    (folder / "marks").mkdir()
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    return inherited | {
        **hook.environment("phases", f"{ROOT}{os.pathsep}{folder}"),
        "OMP_NUM_THREADS": "1",
        MARKS_ENV: str(folder / "marks"),
    }


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(*arguments),
        env=environment(folder),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def marked(folder: Path) -> tuple[list[Phase], list[Work]]:
    found = MarkReader(folder / "marks").read()
    return sorted(found.phases, key=lambda phase: phase.start_ns), list(found.work)


def test_it_loads_warms_up_and_repeats_and_says_what_was_made(tmp_path: Path) -> None:
    ended = run(
        tmp_path, "light:Light", "--repeats", "3", "--warmup", "2", "--out", str(tmp_path / "out")
    )
    assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", "closed\n")
    phases, work = marked(tmp_path)
    assert [p.name for p in phases] == ["load", "warmup", "warmup", *["repeat"] * 3]
    assert all(p.end_ns and p.error is None for p in phases)
    assert [w.phase for w in work] == [p.id for p in phases if p.name == "repeat"]
    assert {(w.video_seconds, w.frames, w.width, w.height, w.fps) for w in work} == {
        (1.5, 6, 20, 10, 4.0)
    }


def test_every_repeat_leaves_its_file_and_the_record_holds_what_was_used(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(tmp_path, "light:Light", "--set", "seed=3", "--repeats", "2", "--out", str(out))
    assert sorted(path.name for path in out.iterdir()) == [
        "light-001.txt",
        "light-002.txt",
        "workload.json",
    ]
    assert (out / "light-002.txt").read_text() == "4"
    work = {"video_seconds": 1.5, "videos": 1, "frames": 6, "fps": 4.0, "width": 20, "height": 10}
    assert json.loads((out / "workload.json").read_text()) == {
        "schema": 2,
        "workload": "light",
        "description": "text as video",
        "settings": {"seed": 3, "nap_s": 0.0, "full_at": 0},
        "facts": {"weights": "none", "made": 2},
        "protocol": {
            "warmups": 0,
            "warmup_s": pytest.approx(0, abs=1),
            "steady": None,
            "unsteady": None,
        },
        "repeats": [
            {"repeat": n, "seed": n + 2, "files": [f"light-00{n}.txt"], "work": work}
            for n in (1, 2)
        ],
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["wan"], "there is no workload 'wan'"),
        (["light:Light", "--set", "speed=3"], "light has no setting 'speed'"),
        (["light:Light", "--device", "cuda"], "light has no use for a GPU"),
        (["wan2.1-t2v-1.3b-tiny", "--set", "frames=16"], "frames can't be 16"),
    ],
)
def test_what_cannot_run_here_ends_with_2_and_one_line(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    ended = run(tmp_path, *arguments, "--out", str(tmp_path / "out"))
    assert ended.returncode == 2
    assert ended.stderr.startswith("vidmeter: ")
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "out" / "workload.json").exists()


def test_a_folder_that_cannot_be_written_is_refused_before_the_load(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = run(tmp_path, "light:Light", "--out", str(tmp_path / "file"))
    assert ended.returncode == 2
    assert ended.stderr == f"vidmeter: can't write to --out {tmp_path / 'file'}: File exists\n"
    assert marked(tmp_path) == ([], [])


@pytest.mark.parametrize("wrong", [["--repeats", "0"], ["--warmup", "-1"], ["--set", "steps"]])
def test_options_that_make_no_sense_end_with_2(tmp_path: Path, wrong: list[str]) -> None:
    assert run(tmp_path, "light:Light", *wrong, "--out", "out").returncode == 2


def test_an_interrupt_closes_the_phases_and_ends_the_process_by_its_signal(tmp_path: Path) -> None:
    arguments = ("light:Light", "--set", "nap_s=60", "--out", str(tmp_path / "out"))
    child = subprocess.Popen(
        command(*arguments),
        env=environment(tmp_path),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 20
        while not any(p.name == "repeat" for p in marked(tmp_path)[0]):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        child.send_signal(signal.SIGINT)
        output, errors = child.communicate(timeout=20)
    finally:
        child.kill()
    assert child.returncode == -signal.SIGINT
    assert (output, errors) == ("closed\n", "")
    phases, work = marked(tmp_path)
    assert {p.name: p.error for p in phases} == {"load": None, "repeat": "KeyboardInterrupt"}
    assert work == []


def test_a_block_goes_on_with_the_numbers_and_seeds_of_the_one_before(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(tmp_path, "light:Light", "--repeats", "2", "--first", "3", "--out", str(out))
    assert [r["repeat"] for r in json.loads((out / "workload.json").read_text())["repeats"]] == [
        3,
        4,
    ]
    assert (out / "light-003.txt").read_text() == "9", "the seed is that of the third repeat"


def test_too_little_memory_is_one_line_and_what_was_finished_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    ended = run(tmp_path, "light:Light", "--set", "full_at=3", "--repeats", "4", "--out", str(out))
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "light ran out of memory" in ended.stderr
    assert len(json.loads((out / "workload.json").read_text())["repeats"]) == 2


def test_idle_is_looked_at_before_the_warm_up_and_after_the_repeats(tmp_path: Path) -> None:
    ended = run(
        tmp_path, "light:Light", "--idle", "0.2", "--warmup", "1", "--progress", "--out", "out"
    )
    phases, _ = marked(tmp_path)
    assert [p.name for p in phases] == [
        "load",
        "idle_loaded",
        "warmup",
        "repeat",
        "idle_after",
    ]
    idle_s = [(p.end_ns - p.start_ns) / 1e9 for p in phases if "idle" in p.name and p.end_ns]
    assert all(0.2 <= s < 0.4 for s in idle_s)
    assert ended.stderr.startswith("vidmeter:   warm-up 1: 0.0 s\nvidmeter:   repeat 1: 0.0 s\n")


@pytest.mark.usefixtures("wan")
def test_the_real_pipeline_runs_quietly_and_loads_before_it_generates(tmp_path: Path) -> None:
    out = tmp_path / "out"
    small = {"height": 64, "width": 64, "frames": 5, "steps": 2}
    settings = [word for key, value in small.items() for word in ("--set", f"{key}={value}")]
    ended = run(tmp_path, "wan2.1-t2v-1.3b-tiny", *settings, "--device", "cpu", "--out", str(out))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    phases, work = marked(tmp_path)
    names = {phase.id: phase.name for phase in phases}
    phases = [p for p in phases if p.name != "import"]
    assert [(names.get(p.parent or ""), p.name) for p in phases] == [
        (None, "load"),
        ("load", "text_encoder"),
        ("load", "transformer"),
        ("load", "vae"),
        ("load", "to_device"),
        (None, "repeat"),
        ("repeat", "generate"),
        ("generate", "text_encode"),
        ("generate", "denoise"),
        ("denoise", "step"),
        ("denoise", "step"),
        ("generate", "vae_decode"),
        ("generate", "postprocess"),
        ("repeat", "export"),
    ]
    said = {w.origin: (w.video_seconds, w.frames) for w in work}
    assert said == {"program": (5 / 16, 5), "pipeline": (None, 5)}
    record = json.loads((out / "workload.json").read_text())
    assert record["facts"]["weights"] == "random"
    assert record["facts"]["steps_run"] == 2
    assert record["facts"]["components"]["transformer"]["parameters"] > 0


def test_repeats_are_apart_by_pauses_of_changing_length(tmp_path: Path) -> None:
    run(tmp_path, "light:Light", "--repeats", "8", "--warmup", "0", "--out", str(tmp_path / "out"))
    made = [p for p in marked(tmp_path)[0] if p.name == "repeat"]
    pauses_s = [(b.start_ns - (a.end_ns or 0)) / 1e9 for a, b in pairwise(made)]
    assert all(0 < pause_s < 0.3 for pause_s in pauses_s)
    # Seven of them, even up to 0.1 s: that all lie within 10 ms is one in ten million.
    assert max(pauses_s) - min(pauses_s) > 0.01
