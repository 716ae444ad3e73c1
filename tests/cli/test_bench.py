"""`vidmeter bench` as a user has it: real processes, real files, a fake sensor."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import ROOT, Place
from tests.simulated_driver.driver import Driver, Gpu
from vidmeter.meter.reader import load
from vidmeter.meter.summarize import summarize

FAST = ("--idle", "0", "--steady", "0", "--cool-down", "0")


@pytest.fixture
def own(place: Place) -> str:
    """A workload of one's own in the working directory: its dotted path."""
    (place.folder / "own.py").write_text((ROOT / "tests/workloads/own.py").read_text())
    return "own:sleepy"


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def state(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "bench.json").read_text())
    return found


def test_every_repeat_is_a_run_file_with_its_own_energy_and_work(place: Place, own: str) -> None:
    done = place.vidmeter(
        "bench", own, "nap_s=0.3", "--repeats", "4", "--sensor", place.curve(), "-o", "b", *FAST
    )
    assert done.returncode == 0, done.stderr
    repeats = sorted((place.folder / "b" / "repeats").glob("*.vidmeter"))
    assert len(repeats) == 4
    for number, path in enumerate(repeats, 1):
        run = load(path)
        summary = summarize(run)
        seconds = summary.duration_s
        assert 0.3 <= seconds < 0.5, "the repeat alone, without loading"
        assert summary.total.energy_j == pytest.approx(100 * seconds, rel=1e-3)
        assert summary.work.video_seconds == 2.0
        assert run.workload is not None
        assert run.workload["repeat"] == number
        assert run.workload["seed"] == number - 1
        assert run.workload["block"] == (number + 1) // 2
        assert run.workload["settings"]["nap_s"] == 0.3
        (file,) = run.workload["files"]
        assert (place.folder / "b" / file).read_text() == str(number - 1)
    assert len(rows(place.folder / "b")) == 4
    assert "50" in done.stdout or "15" in done.stdout
    shown = place.vidmeter("verify", str(repeats[0]))
    assert shown.returncode == 0, shown.stdout + shown.stderr


def test_a_planted_difference_between_two_commands_is_found(place: Place) -> None:
    commands = ("--", "sleep", "0.3", "---", "sleep", "0.6")
    done = place.vidmeter(
        "bench", "--sensor", place.curve(), "-o", "b", "--repeats", "6", *commands
    )
    assert done.returncode == 0, done.stderr
    blocks = state(place.folder / "b")["blocks"]
    first = [next(b["arm"] for b in blocks if b["round"] == r) for r in range(1, 7)]
    assert set(first) == {0, 1}, "which comes first changes from round to round"
    table = json.loads((place.folder / "b" / "results.json").read_text())
    comparison = table["comparisons"][0]
    assert comparison["verdict"] == "higher"
    assert comparison["ratio"] == pytest.approx(2, rel=0.1)


def test_the_same_command_twice_is_not_distinguishable(place: Place) -> None:
    for out in ("first", "second"):  # by chance a difference may be claimed, hardly twice
        done = place.vidmeter(
            "bench", "--sensor", place.curve(), "-o", out, "--repeats", "5",
            "--", "sleep", "0.2", "---", "sleep", "0.20",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        table = json.loads((place.folder / out / "results.json").read_text())
        verdict = table["comparisons"][0]["verdict"]
        if verdict == "not distinguishable":
            break
    assert verdict == "not distinguishable"
    assert verdict in done.stdout


def test_a_command_that_fails_is_said_and_the_other_is_measured(place: Place) -> None:
    done = place.vidmeter(
        "bench", "--sensor", place.curve(), "-o", "b", "--repeats", "2", "--warmups", "0",
        "--", "false", "---", "sleep", "0.1", "---", "sleep", "0.2",
    )  # fmt: skip
    assert done.returncode == 2
    assert "false ended with exit code 1" in done.stderr
    assert {row["arm"] for row in rows(place.folder / "b")} == {"sleep 0.1", "sleep 0.2"}


def test_an_interrupted_bench_keeps_its_repeats_and_goes_on(place: Place, own: str) -> None:
    options = ("--repeats", "6", "--sensor", place.curve(), "-o", "b", *FAST)
    bench = subprocess.Popen(
        place.command("bench", own, "nap_s=0.6", *options),
        cwd=place.folder,
        env=place.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    record = place.folder / "b/blocks/own-sleepy-nap_s=0.6-block2/workload.json"
    deadline = time.monotonic() + 30
    while not record.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(bench.pid, signal.SIGINT)
    _, errors = bench.communicate(timeout=30)
    assert bench.returncode == -signal.SIGINT, errors
    assert "vidmeter bench --resume b" in errors
    assert len(rows(place.folder / "b")) == 3, "two of the first block, one of the second"

    done = place.vidmeter("bench", "--resume", "b", "--sensor", place.curve(), *FAST)
    assert done.returncode == 0, done.stderr
    assert sorted(int(row["repeat"]) for row in rows(place.folder / "b")) == [1, 2, 3, 4, 5, 6]


def test_an_interrupt_while_operations_are_counted_leaves_results_and_no_process(
    place: Place, own: str
) -> None:
    (place.folder / "slow.py").write_text(
        "import time\n"
        "from pathlib import Path\n"
        "from own import Sleepy\n"
        "class Slow(Sleepy):\n"
        "    def operations(self):\n"
        "        Path('counting').write_text(str(__import__('os').getpid()))\n"
        "        time.sleep(600)\n"
    )
    options = ("--repeats", "1", "--sensor", place.curve(), "-o", "b", *FAST)
    bench = subprocess.Popen(
        place.command("bench", "slow:Slow", *options),
        cwd=place.folder,
        env=place.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    told, deadline = place.folder / "counting", time.monotonic() + 30
    while not (told.exists() and told.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    bench.send_signal(signal.SIGINT)  # to it alone, as a script that stops it would
    _, errors = bench.communicate(timeout=30)
    assert bench.returncode == 130, errors
    assert "interrupted while operations were counted; go on with" in errors
    assert len(rows(place.folder / "b")) == 1
    assert not Path(f"/proc/{told.read_text()}").exists()


def test_operations_that_can_not_be_counted_are_said_and_cost_no_result(
    place: Place, own: str
) -> None:
    (place.folder / "odd.py").write_text(
        "from own import Sleepy\n"
        "class Odd(Sleepy):\n"
        "    def operations(self):\n"
        "        raise ZeroDivisionError\n"
    )
    done = place.vidmeter("bench", "odd:Odd", "--quick", "--sensor", place.curve(), "-o", "b")
    assert done.returncode == 0, done.stderr
    assert "odd:Odd: operations are not counted: counting them failed" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(rows(place.folder / "b")) == 1


def test_a_bench_that_was_killed_loses_no_finished_repeat(place: Place, own: str) -> None:
    options = ("--repeats", "3", "--sensor", place.curve(), "-o", "b", *FAST)
    bench = subprocess.Popen(
        place.command("bench", own, "nap_s=1", *options),
        cwd=place.folder,
        env=place.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    record = place.folder / "b/blocks/own-sleepy-nap_s=1-block1/workload.json"
    deadline = time.monotonic() + 30
    while not record.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    bench.kill()
    bench.wait()
    time.sleep(2)  # the sampler outlives us until its file is whole
    assert state(place.folder / "b")["blocks"] == []

    done = place.vidmeter("bench", "--resume", "b", "--sensor", place.curve(), *FAST)
    assert done.returncode == 0, done.stderr
    assert sorted(int(row["repeat"]) for row in rows(place.folder / "b")) == [1, 2, 3]
    assert [b["number"] for b in state(place.folder / "b")["blocks"]] == [1, 2, 3]


def test_a_command_that_fails_in_its_warm_up_is_said_and_the_other_is_measured(
    place: Place,
) -> None:
    done = place.vidmeter(
        "bench", "--sensor", place.curve(), "-o", "b", "--repeats", "2",
        "--", "false", "---", "sleep", "0.1",
    )  # fmt: skip
    assert done.returncode == 2
    assert "false ended with exit code 1" in done.stderr
    assert [row["arm"] for row in rows(place.folder / "b")] == ["sleep 0.1"] * 2


def test_what_a_failed_command_recorded_lies_apart_from_the_repeats(place: Place) -> None:
    place.vidmeter(
        "bench", "--quick", "--sensor", place.curve(), "-o", "b",
        "--", "false", "---", "true",
    )  # fmt: skip
    assert [p.stem for p in (place.folder / "b/repeats").iterdir()] == ["true-001"]
    assert [p.stem for p in (place.folder / "b/blocks").iterdir()] == ["false-001"]


def unfinished(folder: Path, count: int) -> None:
    """Make a bench one that was killed before its last blocks were noted."""
    table = state(folder)
    del table["blocks"][-count:]
    (folder / "bench.json").write_text(json.dumps(table))


def test_what_was_finished_when_it_was_killed_is_kept_in_its_own_round(
    place: Place, own: str
) -> None:
    options = ("--repeats", "2", "--per-block", "1", "--sensor", place.curve(), *FAST)
    done = place.vidmeter("bench", own, "--vs", "nap_s=0.1", "-o", "b", *options)
    assert done.returncode == 0, done.stderr
    before = state(place.folder / "b")["blocks"]
    unfinished(place.folder / "b", 2)
    done = place.vidmeter("bench", "--resume", "b", "--sensor", place.curve())
    assert done.returncode == 0, done.stderr
    after = state(place.folder / "b")["blocks"]
    assert [(b["arm"], b["round"], b["repeats"]) for b in sorted(after, key=str)] == [
        (b["arm"], b["round"], b["repeats"]) for b in sorted(before, key=str)
    ]


def test_a_command_that_had_ended_when_the_bench_was_killed_is_not_run_again(place: Place) -> None:
    options = ("--repeats", "2", "--warmups", "0", "--sensor", place.curve())
    count = 'echo >>count; test $(wc -l <count) -ne "$0"'
    place.vidmeter("bench", "-o", "b", *options, "--", "sh", "-c", count, "0")
    unfinished(place.folder / "b", 1)
    done = place.vidmeter("bench", "--resume", "b", "--sensor", place.curve())
    assert done.returncode == 0, done.stderr
    assert len(rows(place.folder / "b")) == 2
    assert (place.folder / "count").read_text().count("\n") == 2


@pytest.mark.parametrize("code", [0, 1])
def test_an_interrupt_ends_the_bench_however_the_command_takes_it(place: Place, code: int) -> None:
    taken = (
        "import os, signal, time\n"
        f"signal.signal(signal.SIGINT, lambda *_: os._exit({code}))\n"
        "os.kill(os.getppid(), signal.SIGINT)\n"
        "time.sleep(20)\n"
    )
    done = place.vidmeter(
        "bench", "--repeats", "3", "--warmups", "0", "--sensor", place.curve(), "-o", "b",
        "--", sys.executable, "-c", taken,
    )  # fmt: skip
    assert done.returncode == 130
    assert "go on with: vidmeter bench --resume b" in done.stderr
    finished = [r for b in state(place.folder / "b")["blocks"] for r in b["repeats"]]
    assert len(finished) == (code == 0)


def test_an_interrupt_while_a_workload_starts_is_no_traceback_and_ends_the_bench(
    place: Place,
) -> None:
    (place.folder / "early.py").write_text(
        "import os, signal, sys\n"
        "from own import Sleepy as Early\n"
        "if 'harness' in sys.argv[0]:\n"
        "    os.kill(os.getppid(), signal.SIGINT)\n"
        "    signal.pause()\n"
    )
    (place.folder / "own.py").write_text((ROOT / "tests/workloads/own.py").read_text())
    done = place.vidmeter(
        "bench", "early:Early", "own:Sleepy", "--repeats", "1", "--sensor", place.curve(),
        "-o", "b", *FAST,
    )  # fmt: skip
    assert done.returncode == -signal.SIGINT
    assert "Traceback" not in done.stderr
    assert len(state(place.folder / "b")["blocks"]) <= 2


def test_an_interrupt_while_idle_is_looked_at_ends_the_bench(place: Place, own: str) -> None:
    (place.folder / "late.py").write_text(
        "import os, subprocess\n"
        "from own import Sleepy\n"
        "class Late(Sleepy):\n"
        "    def close(self):\n"
        "        subprocess.Popen(['sh', '-c', f'sleep 1; kill -INT {os.getppid()}'])\n"
    )
    done = place.vidmeter(
        "bench", "late:Late", own, "--repeats", "1", "--warmups", "0", "--sensor", place.curve(),
        "-o", "b", "--idle", "3", "--steady", "0", "--cool-down", "0",
    )  # fmt: skip
    assert done.returncode in (130, -signal.SIGINT), done.stderr
    assert "go on with: vidmeter bench --resume b" in done.stderr
    late = [b for b in state(place.folder / "b")["blocks"] if b["arm"] == 0]
    assert [len(b["repeats"]) for b in late] == [1]


def test_an_interrupt_before_anything_is_started_is_one_line(place: Place) -> None:
    interrupting = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'vidmeter.cli.bench':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from vidmeter.cli import main\n"
        "sys.exit(main(['bench', 'quick']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", interrupting],
        cwd=place.folder,
        env=place.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, "vidmeter: interrupted\n")


def test_memory_that_the_processor_has_not_got_is_told_as_a_card_s(place: Place) -> None:
    (place.folder / "own.py").write_text((ROOT / "tests/workloads/own.py").read_text())
    (place.folder / "large.py").write_text(
        "from own import Sleepy\n"
        "class Large(Sleepy):\n"
        "    def generate(self, seed, out):\n"
        '        raise RuntimeError("DefaultCPUAllocator: can\'t allocate memory: you tried")\n'
    )
    done = place.vidmeter(
        "bench", "large:Large", "--quick", "--sensor", place.curve(), "-o", "b", *FAST
    )
    assert done.returncode == 2
    assert "sleepy ran out of memory" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sora"], "there is no workload 'sora'"),
        (["wan2.1-t2v-1.3b", "stpes=3"], "wan2.1-t2v-1.3b has no setting 'stpes'"),
        (["wan2.1-t2v-1.3b", "frames=16"], "the nearest that fit are 13 and 17"),
        (["steps=3"], "steps=3 comes before any workload"),
        (["quick", "--vs"], "expected at least one argument"),
        (["wan2.1-t2v-1.3b-tiny", "--vs", "wan2.1-t2v-1.3b-tiny"], "is asked for twice"),
        (["quick", "--", "true"], "workloads or commands after --, not both"),
        (["--", "true", "---"], "an empty command"),
        (["--", "no-such-command", "---", "true"], "cannot start 'no-such-command': no such"),
        (["t2v-smal"], "there is no suite 't2v-smal': did you mean t2v-small?"),
        (["--resume", "b", "own:sleepy", "--seed", "3"], "leave out names, --seed"),
        (["--resume", "b", "--", "true"], "leave out commands"),
        (["--repeats", "0"], "--repeats can't be 0"),
        (["--budget", "soon"], "is not like 90s, 10m or 2h"),
        (["typo.toml"], "suite typo.toml: 'wrkload' is none of"),
        (["--resume", "nowhere"], "there is no bench in nowhere"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_started(
    place: Place, arguments: list[str], message: str
) -> None:
    (place.folder / "typo.toml").write_text('[[wrkload]]\nname = "quick"\n')
    done = place.vidmeter("bench", *arguments)
    assert done.returncode == (127 if "cannot start" in message else 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(place.folder.glob("vidmeter-bench*"))


def test_a_bench_goes_on_by_the_numbers_that_are_stated_anew(place: Place, own: str) -> None:
    options = ("--repeats", "1", "--sensor", place.curve(), "-o", "b", *FAST)
    assert place.vidmeter("bench", own, *options).returncode == 0
    rules = state(place.folder / "b")["plan"]["rules"]
    done = place.vidmeter("bench", "--resume", "b", "--repeats", "2", "--sensor", place.curve())
    assert done.returncode == 0, done.stderr
    assert [row["repeat"] for row in rows(place.folder / "b")] == ["1", "2"]
    assert state(place.folder / "b")["plan"]["rules"] == rules | {"repeats": 2}


def test_a_workload_that_can_not_run_here_is_refused_before_anything_is_started(
    place: Place,
) -> None:
    pytest.importorskip("torch", reason="the extra vidmeter[workloads] is not installed")
    done = place.vidmeter("bench", "wan2.1-t2v-14b", "--device", "cuda:99")
    assert done.returncode == 2
    assert done.stderr.startswith("vidmeter: device cuda:99 isn't here")
    assert done.stderr.count("\n") == 1
    assert not list(place.folder.glob("vidmeter-bench*"))


def test_a_folder_with_a_bench_is_not_written_over(place: Place) -> None:
    options = ("--quick", "--sensor", place.curve(), "-o", "b")
    assert place.vidmeter("bench", *options, "--", "true").returncode == 0
    done = place.vidmeter("bench", *options, "--", "true")
    assert done.returncode == 2
    assert "b holds a bench: go on with --resume b" in done.stderr
    assert place.vidmeter("bench", *options, "--force", "--", "true").returncode == 0


def test_a_signal_ends_the_bench_as_it_ends_the_command(place: Place) -> None:
    done = place.vidmeter(
        "bench", "--quick", "--sensor", place.curve(), "-o", "b",
        "--", sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    )  # fmt: skip
    assert done.returncode == 2
    assert "was killed by SIGKILL, as Linux does where memory runs out" in done.stderr


def listed(environ: dict[str, str], *names: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "vidmeter", "bench", "--list", *names],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_list_tells_what_each_needs_and_how_long_it_takes_on_this_card(
    simulated_driver: Callable[[Driver], dict[str, str]],
) -> None:
    told = listed(simulated_driver(Driver([Gpu(curve=[(0, 100)], name="NVIDIA H200")])))
    lines = {line.split()[0]: " ".join(line.split()) for line in told.splitlines() if line.strip()}
    assert lines["workloads"].endswith("one repeat on NVIDIA H200")
    # 50 steps of 2 runs of 2.8306e14 at two fifths of 989.5 TFLOP/s
    assert lines["wan2.1-t2v-1.3b"] == "wan2.1-t2v-1.3b 24 GB 14.7 GB 28.3 PFLOP about 72 s"
    # 256 times 16.06 GB at three fifths of 4.8 TB/s
    assert lines["llama-3.1-8b"].endswith("about 1 s")
    assert {"quick", "t2v-small", "t2v-full", "llm", "mlperf-t2v", "tiny"} <= lines.keys()


def test_a_suite_and_a_workload_are_listed_with_their_settings() -> None:
    told = listed({**os.environ, "LD_LIBRARY_PATH": "/nowhere"}, "llm", "cogvideox-2b")
    assert "no GPU here" in told or "one repeat on" in told
    assert "\n    batch=8\n" in told
    assert "    vae_tiling=off  decode in tiles (off, on)\n" in told
    assert "    cache=none  " in told
