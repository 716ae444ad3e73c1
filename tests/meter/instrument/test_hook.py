"""The hook is in every Python below, and nothing in there shows it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vidmeter.meter.instrument.hook import BOOT, path_with

from .conftest import Running

LOOK = """
import json, os, sys
print(json.dumps({
    "environment": {k: v for k, v in os.environ.items() if not k.startswith("VIDMETER")},
    "path": sys.path,
    "argv": sys.argv,
    "sitecustomize": getattr(sys.modules.get("sitecustomize"), "__file__", None),
    "cached": sorted(p for p in sys.path_importer_cache if "boot" in p),
}))
"""
HOOKED = "import sys; print('_vidmeter' in sys.modules)"
MARK = "from _vidmeter import marks; marks.end(marks.begin('here'))"


def seen_alone(folder: Path, **more: str) -> object:
    (folder / "script.py").write_text(LOOK)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIDMETER"))}
    ended = subprocess.run(
        [sys.executable, "script.py", "a b", "--c"],
        cwd=folder,
        env={
            **inherited,
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_VERBOSITY": "error",
            **more,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(ended.stdout)


@pytest.mark.parametrize("path", [None, "", "/somewhere", "/somewhere:/else", ":/else"])
def test_a_script_sees_the_environment_that_it_would_see_alone(
    hooked: Running, tmp_path: Path, path: str | None
) -> None:
    more = {} if path is None else {"PYTHONPATH": path}

    ended = hooked(LOOK, "a b", "--c", **more)

    assert json.loads(ended.out) == seen_alone(tmp_path, **more)
    assert ended.err == ""


def test_its_own_sitecustomize_runs_once_and_is_the_one_it_imports(
    hooked: Running, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("print('mine')\n")

    ended = hooked("import sitecustomize; print(sitecustomize.__file__)", PYTHONPATH=str(own))

    assert ended.out.splitlines() == ["mine", str(own / "sitecustomize.py")]


def test_a_sitecustomize_that_fails_fails_as_it_does_alone(hooked: Running, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import not_there_at_all\n")
    alone = subprocess.run(
        [sys.executable, "-c", "print(1)"],
        env={**os.environ, "PYTHONPATH": str(own)},
        capture_output=True,
        text=True,
    )

    ended = hooked("print(1)", PYTHONPATH=str(own))

    assert (ended.code, ended.out) == (alone.returncode, alone.stdout)
    assert ended.err.splitlines()[-1] == alone.stderr.splitlines()[-1]


STARTS = {
    "run": "subprocess.run(command)",
    "run with a copy": "subprocess.run(command, env=os.environ.copy())",
    "run with a path of its own": "subprocess.run(command, env={**os.environ, 'PYTHONPATH': '/x'})",
    "posix_spawn": "os.waitpid(os.posix_spawn(command[0], command, os.environ), 0)",
    "system": "os.system(f'{sys.executable} -c \"{code}\"')",
    "shell": "subprocess.run(f'{sys.executable} -c \"{code}\"', shell=True)",
    "spawnv": "os.spawnv(os.P_WAIT, command[0], command)",
    "changed path": "os.environ['PYTHONPATH'] = '/y'; subprocess.run(command)",
    "changed path, system": "os.environ['PYTHONPATH'] = '/y'\nos.system(\n"
    "    f'{sys.executable} -c \"{code}\"')",
    "execv": "sys.stdout.flush(); os.execv(command[0], command)",
    "execve": "sys.stdout.flush(); os.execve(command[0], command, dict(os.environ))",
    "execvpe": "os.execvpe(command[0], command, dict(os.environ))",
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_what_a_script_starts_has_the_hook_and_does_not_see_it(hooked: Running, start: str) -> None:
    code = "import os, sys; print('_vidmeter' in sys.modules, os.environ.get('PYTHONPATH'))"
    script = (
        f"import os, subprocess, sys\ncode = {code!r}\ncommand = [sys.executable, '-c', code]\n"
    )

    ended = hooked(script + start)

    path = "/x" if "/x" in start else "/y" if "/y" in start else "None"
    assert (ended.out, ended.err) == (f"True {path}\n", "")


SIGNATURES = """
import inspect, os, pickle
for name in ("execv", "execve", "posix_spawn", "posix_spawnp", "system"):
    function = getattr(os, name)
    assert pickle.loads(pickle.dumps(function)) is function
    print(name, function.__doc__)
    try:
        print(inspect.signature(function))
    except ValueError as error:
        print(type(error))
"""


def test_what_starts_programs_looks_as_always_and_can_be_handed_to_other_processes(
    hooked: Running,
) -> None:
    alone = subprocess.run([sys.executable, "-c", SIGNATURES], capture_output=True, text=True)

    ended = hooked(SIGNATURES)

    assert (ended.err, ended.out) == (alone.stderr, alone.stdout)


def test_an_environment_that_was_cleaned_stays_clean(hooked: Running) -> None:
    ended = hooked(
        "import subprocess, sys\n"
        f"subprocess.run([sys.executable, '-c', {HOOKED!r}], env={{'LANG': 'C'}})"
    )

    assert ended.out == "False\n"


@pytest.mark.parametrize("how", ["spawn", "fork", "forkserver"])
def test_processes_of_multiprocessing_mark_for_themselves(hooked: Running, how: str) -> None:
    ended = hooked(
        "import multiprocessing, os\n"
        f"def work():\n    {MARK}\n"
        "if __name__ == '__main__':\n"
        f"    process = multiprocessing.get_context({how!r}).Process(target=work)\n"
        "    process.start(); process.join(); print(process.pid)\n"
    )

    (phase,) = ended.marked.phases
    assert (phase.name, f"{phase.pid}\n") == ("here", ended.out)


@pytest.mark.parametrize("option", ["-I", "-E", "-S"])
def test_a_python_that_ignores_its_environment_just_runs(hooked: Running, option: str) -> None:
    ended = hooked(None, sys.executable, option, "-c", HOOKED)

    assert (ended.code, ended.out, ended.err) == (0, "False\n", "")


def test_a_module_a_shebang_and_a_python_of_another_environment_have_the_hook(
    hooked: Running, tmp_path: Path
) -> None:
    (tmp_path / "tool.py").write_text(f"#!{sys.executable}\n{MARK}\n")
    (tmp_path / "tool.py").chmod(0o755)
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)

    hooked(None, sys.executable, "-m", "tool")
    hooked(None, "./tool.py")
    ended = hooked(None, str(bare / "bin/python"), "tool.py")

    assert [phase.name for phase in ended.marked.phases] == ["here"] * 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [
        "torch.distributed.run --standalone --nproc_per_node 2",
        "accelerate.commands.launch --num_processes 1 --num_machines 1 --mixed_precision no"
        " --dynamo_backend no",
    ],
    ids=["torchrun", "accelerate launch"],
)
def test_what_launchers_start_has_the_hook(hooked: Running, tmp_path: Path, launcher: str) -> None:
    (tmp_path / "tool.py").write_text(MARK)

    ended = hooked(None, sys.executable, "-m", *launcher.split(), "tool.py")

    here = [phase for phase in ended.marked.phases if phase.name == "here"]
    ranks = {p.pid: p.facts.get("rank") for p in ended.marked.processes}
    assert ended.code == 0, ended.err
    expected = [0, 1] if "torch" in launcher else [None]
    assert sorted(ranks[phase.pid] for phase in here) == expected


def test_a_failure_of_ours_is_a_note_and_the_script_never_feels_it(
    hooked: Running, tmp_path: Path
) -> None:
    package = tmp_path / "diffusers" / "pipelines"
    package.mkdir(parents=True)
    (tmp_path / "diffusers/__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "pipeline_utils.py").write_text("NOTHING_AS_EXPECTED = 1\n")

    ended = hooked(
        "from diffusers.pipelines.pipeline_utils import NOTHING_AS_EXPECTED; print('fine')"
    )

    assert (ended.code, ended.out, ended.err) == (0, "fine\n", "")
    assert {event.kind for event in ended.marked.events} == {"hook_failed"}
    assert "pipelines:watch" in "".join(event.detail for event in ended.marked.events)


@pytest.mark.parametrize(
    ("broken", "said"), [("begin", True), ("process", True), ("append", False)]
)
def test_a_hook_whose_marks_fail_is_felt_by_no_import(
    hooked: Running, tmp_path: Path, broken: str, said: bool
) -> None:
    (tmp_path / "torch.py").write_text("import time; time.sleep(0.06)\n__version__ = '1'\n")

    ended = hooked(
        "from _vidmeter import marks\n"
        f"def fail(*_, **__): raise ZeroDivisionError\nmarks.{broken} = fail\n"
        "import torch; print(torch.__version__)"
    )

    assert (ended.code, ended.out, ended.err) == (0, "1\n", "")
    details = [event.detail for event in ended.marked.events]
    assert details == (["marking import failed: ZeroDivisionError: "] if said else [])


def test_a_place_where_nothing_can_be_written_harms_nobody(hooked: Running) -> None:
    ended = hooked(MARK, VIDMETER_MARKS="/nowhere/at/all")
    direct = subprocess.run(
        [sys.executable, "-c", f"{MARK}; print('fine')"],
        env={**os.environ, "PYTHONPATH": BOOT, "VIDMETER_MARKS": "/nowhere/at/all"},
        capture_output=True,
        text=True,
    )

    assert ended.code == 0
    assert (direct.returncode, direct.stdout, direct.stderr) == (0, "fine\n", "")


def test_modules_keep_their_own_loaders_and_specs(hooked: Running) -> None:
    pytest.importorskip("diffusers", reason="the extra vidmeter[workloads] is not installed")
    ended = hooked(
        "import diffusers.utils.export_utils as m, inspect\n"
        "print(type(m.__loader__).__name__, 'exec_module' in vars(m.__loader__))\n"
        "print(inspect.getsource(m.export_to_gif).splitlines()[0][:17])\n"
        "print(inspect.signature(m.export_to_gif).parameters['fps'].default)\n"
    )

    assert ended.out.splitlines() == ["SourceFileLoader False", "def export_to_gif", "10"]


def test_the_path_keeps_unset_and_empty_apart() -> None:
    assert path_with("/boot", None) == "/boot"
    assert path_with("/boot", "") == "/boot/"
    assert path_with("/boot", "/a:/b") == "/boot:/a:/b"
    assert path_with("/boot", "/boot:/a") == "/boot:/a"
