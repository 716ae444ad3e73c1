"""Each behaviour is tried on real processes: a small program that calls `launch`, and its child."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="launch needs Linux")

ROOT = Path(__file__).parents[2]
ALL = ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "TSTP", "CONT")
HARMLESS = {
    signal.SIGCHLD,
    signal.SIGCONT,
    signal.SIGURG,
    signal.SIGWINCH,
    signal.SIGSTOP,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
}

LAUNCHER = """
import os, sys
from vidmeter.meter.launch import CannotStart, end_like, launch
try:
    outcome = launch(sys.argv[1:], environ={**os.environ, "VIDMETER_RUN": os.environ["RUN_NAME"]})
except CannotStart as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
end_like(outcome)
"""

# Writes down each signal that it gets, until it is told `end` by a file.
RECORDER = """
import os, signal, sys, time
log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def write(line):
    os.write(log, line.encode() + b"\\n")  # whole even if one handler interrupts another
def note(number, frame):
    write(signal.Signals(number).name[3:])
for name in sys.argv[3:]:
    signal.signal(getattr(signal, "SIG" + name), note)
write(f"ready {os.getpid()} {os.getppid()}")
while not os.path.exists(sys.argv[2]):
    time.sleep(0.01)
"""


def until(condition: Callable[[], Any], *, seconds: float = 10.0) -> Any:
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
    return value


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"


def lives(pid: int) -> bool:
    return state_of(pid) not in ("gone", "Z", "X")


@dataclass
class House:
    """A folder for one test, and everything that it starts, found by name and ended with it."""

    folder: Path
    name: str

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT), "RUN_NAME": self.name}

    def write(self, name: str, text: str | bytes, mode: int = 0o644) -> Path:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return path

    @property
    def launcher(self) -> list[str]:
        return [sys.executable, str(self.write("launcher.py", LAUNCHER))]

    def run(self, *command: str, **options: Any) -> "subprocess.CompletedProcess[Any]":
        options = {"capture_output": True, "env": self.environ, "timeout": 20, **options}
        return subprocess.run([*self.launcher, *command], **options)

    def start(self, *command: str, **options: Any) -> "subprocess.Popen[bytes]":
        options = {"env": self.environ, "start_new_session": True, **options}
        return subprocess.Popen([*self.launcher, *command], **options)

    def recorder(self, names: Sequence[str] = ALL) -> list[str]:
        script = self.write("recorder.py", RECORDER)
        return [sys.executable, str(script), str(self.log), str(self.folder / "end"), *names]

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def noted(self) -> list[str]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if not line.startswith("ready")]

    def wait_for_notes(self, count: int) -> None:
        until(lambda: len(self.noted()) >= count)

    def ready(self) -> tuple[int, int]:
        """The pid of the recorder and of its parent, once it is there."""
        found = until(lambda: self.log.exists() and re.match(r"ready (\d+) (\d+)\n", self.text()))
        return int(found[1]), int(found[2])

    def text(self) -> str:
        return self.log.read_text()

    def end(self) -> None:
        (self.folder / "end").touch()

    def script(self, text: str, *, check: bool = True) -> str:
        """What a program that imports `launch` prints."""
        head = f"import os, signal, sys, time, json\nNAME = {self.name!r}\n"
        head += "from vidmeter.meter.launch import *\nfrom vidmeter.meter.tree import kill_tree\n"
        head += "ENVIRON = {**os.environ, 'VIDMETER_RUN': NAME}\n"
        path = self.write("script.py", head + text)
        ran = subprocess.run(
            [sys.executable, str(path)],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert not check or ran.returncode == 0, ran.stderr
        return ran.stdout

    def processes(self) -> list[int]:
        """All that lives and was started for this test."""
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal():
                try:
                    environ = (folder / "environ").read_bytes()
                except OSError:
                    continue
                if f"={self.name}\0".encode() in environ and lives(int(folder.name)):
                    found.append(int(folder.name))
        return found


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path, f"test-{uuid.uuid4()}")
    yield house
    for pid in house.processes():
        os.kill(pid, signal.SIGKILL)


class Terminal:
    """An interactive shell with job control at a terminal of its own."""

    def __init__(self, house: House) -> None:
        pid, self.master = pty.fork()
        if pid == 0:
            environ = {**house.environ, "PS1": "$ ", "TERM": "dumb"}
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "--noediting", "-i"], environ)
        self.pid = pid
        self.seen = ""
        os.set_blocking(self.master, False)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def wait_for(self, pattern: str) -> "re.Match[str]":
        """Wait until `pattern` is shown after what was waited for before."""

        def look() -> "re.Match[str] | None":
            try:
                self.seen += os.read(self.master, 65536).decode(errors="replace")
            except OSError:
                pass  # nothing new
            return re.search(pattern, self.seen)

        try:
            found: re.Match[str] = until(look)
        except AssertionError:
            raise AssertionError(f"{pattern!r} was not shown, but {self.seen!r}") from None
        self.seen = self.seen[found.end() :]
        return found

    def close(self) -> None:
        os.close(self.master)
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.waitpid(self.pid, 0)


@pytest.fixture
def terminal(house: House) -> Iterator[Terminal]:
    terminal = Terminal(house)
    terminal.wait_for(r"\$ ")
    yield terminal
    terminal.close()


# -- how it ends ---------------------------------------------------------------------------------


def test_every_exit_code_is_told(house: House) -> None:
    text = """
print([launch(["sh", "-c", f"exit {n}"], environ=ENVIRON).returncode for n in range(256)])
"""
    assert json.loads(house.script(text)) == list(range(256))


@pytest.mark.parametrize("code", [0, 1, 2, 77, 127, 255])
def test_we_exit_with_the_code_of_the_command(house: House, code: int) -> None:
    assert house.run("sh", "-c", f"exit {code}").returncode == code


def test_we_die_by_every_signal_that_ended_the_command(house: House) -> None:
    deadly = sorted(int(n) for n in signal.valid_signals() - HARMLESS)
    text = f"""
seen = {{}}
for n in {deadly}:
    pid = os.fork()
    if pid == 0:
        outcome = launch(
            [sys.executable, "-I", "-S", "-c", f"import os, signal as s\\n"
             f"if {{n}} not in (9, 19): s.signal({{n}}, s.SIG_DFL)\\nos.kill(os.getpid(), {{n}})"],
            environ=ENVIRON,
        )
        if outcome.returncode != -n or outcome.exit_code != 128 + n:
            os._exit(1)
        end_like(outcome)
    seen[n] = os.WTERMSIG(status) if os.WIFSIGNALED(status := os.waitpid(pid, 0)[1]) else None
print(json.dumps(seen))
"""
    assert json.loads(house.script(text)) == {str(n): n for n in deadly}


def test_death_by_signal_looks_the_same_to_a_shell(house: House) -> None:
    launcher = " ".join(house.launcher)
    shown = subprocess.run(
        [
            "bash",
            "-c",
            f"{launcher} sh -c 'kill -9 $$'; echo $?; {launcher} sh -c 'kill $$'; echo $?",
        ],
        env=house.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "137\n143\n"


def test_our_own_death_leaves_no_core(house: House) -> None:
    command = ["bash", "-c", 'ulimit -c unlimited; cd "$0" && exec "$@"', str(house.folder)]
    command += [*house.launcher, "sh", "-c", "ulimit -c 0; kill -ABRT $$"]
    ended = subprocess.Popen(command, env=house.environ)
    _, status = os.waitpid(ended.pid, 0)
    ended.returncode = 0
    assert os.WTERMSIG(status) == signal.SIGABRT
    assert not os.WCOREDUMP(status)


# -- what can't be started -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("there-is-no-such-command", 127, "no such command on PATH"),
        ("./there-is-no-such-file", 127, "no such file"),
        ("", 127, "no such command"),
        ("./folder", 126, "folder"),
        ("./data", 126, "chmod"),
        ("./badscript", 126, "/no/such/interpreter"),
        ("./binary", 126, "no program for this machine"),
        ("./data/under-a-file", 127, "no such file"),
        ("data", 126, "chmod"),
        ("folder", 127, "no such command on PATH"),
    ],
)
def test_what_cannot_be_started_is_told_in_one_line(
    house: House, name: str, code: int, says: str
) -> None:
    (house.folder / "folder").mkdir()
    house.write("data", "no program")
    house.write("badscript", "#!/no/such/interpreter\n", 0o755)
    house.write("binary", b"\x7fELF\0\0\0nonsense", 0o755)
    environ = {**house.environ, "PATH": f"/usr/bin:{house.folder}:/bin"}
    ran = house.run(name, cwd=house.folder, env=environ, text=True)
    assert ran.returncode == code
    assert says in ran.stderr
    assert ran.stderr.count("\n") == 1
    if name not in ("./badscript", "./data/under-a-file"):  # where shells differ
        shell = ["bash", "-c", '"$0"', name]
        other = subprocess.run(shell, cwd=house.folder, env=environ, capture_output=True)
        assert other.returncode == code
    assert not house.processes()


def test_a_command_is_found_on_the_path_that_it_will_have(house: House) -> None:
    folder = house.folder / "bin"
    folder.mkdir()
    house.write("bin/only-here", "#!/bin/sh\necho found\n", 0o755)
    text = f"""
launch(["only-here"], environ={{**ENVIRON, "PATH": "/usr/bin:{folder}"}})
try:
    launch(["only-here"], environ={{**ENVIRON, "PATH": "/usr/bin"}})
except CannotStart as error:
    print(error.exit_code)
"""
    assert house.script(text) == "found\n127\n"


def test_a_script_without_a_first_line_runs_through_the_shell(house: House) -> None:
    house.write("plain", 'echo "$0|$1|$2"\n', 0o755)
    assert house.run("./plain", "a b", "c", cwd=house.folder, text=True).stdout == "./plain|a b|c\n"


def test_an_argument_that_is_no_text_arrives_as_it_is(house: House) -> None:
    argument = os.fsdecode(b"\xff\xfe a\n")
    assert house.run("printf", "%s", argument).stdout == b"\xff\xfe a\n"


# -- being invisible -----------------------------------------------------------------------------


def test_what_goes_in_and_out_is_untouched(house: House) -> None:
    data = os.urandom(1 << 20)
    ran = house.run("sh", "-c", "cat; printf err >&2", input=data)
    assert ran.stdout == data
    assert ran.stderr == b"err"


def test_closed_and_further_descriptors_are_handed_down(house: House) -> None:
    command = " ".join(house.launcher) + " ls -l /proc/self/fd"

    def open_ones(line: str) -> set[str]:
        shown = subprocess.run(
            ["bash", "-c", f"{line} <&- 7</dev/null"],
            env=house.environ,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return set(re.findall(r"(\d+) -> (?:/dev/null|pipe)", shown))

    assert open_ones(command) == open_ones("ls -l /proc/self/fd") == {"1", "2", "7"}


def ignoring(*names: str) -> list[str]:
    """What to put in front of a command, so that it is started with signals ignored."""
    lines = [
        "import os, sys, signal as s",
        "for n in (s.SIGPIPE, s.SIGXFSZ): s.signal(n, s.SIG_DFL)",
    ]
    lines += [f"s.signal(s.SIG{name}, s.SIG_IGN)" for name in names]
    return [sys.executable, "-c", "\n".join([*lines, "os.execvp(sys.argv[1], sys.argv[1:])"])]


@pytest.mark.parametrize(
    ("ignored", "mask"), [((), 0), (("HUP", "USR1", "CHLD"), 0x10201)], ids=["none", "some"]
)
def test_signals_are_set_as_without_us(house: House, ignored: tuple[str, ...], mask: int) -> None:
    show = ["grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"]
    alone, launched = (
        subprocess.check_output([*ignoring(*ignored), *command], env=house.environ, text=True)
        for command in (show, [*house.launcher, *show])
    )
    assert alone == launched
    shown = int(launched.partition("SigIgn:\t")[2].split()[0], 16)
    # posix_spawn(3), by which some Pythons start us, has glibc's own two signals ignored.
    assert shown & ~(0b11 << 31) == mask


def test_a_mask_is_handed_down_and_given_back(house: House) -> None:
    text = """
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGALRM})
launch(["grep", "SigBlk", "/proc/self/status"], environ=ENVIRON)
print(signal.pthread_sigmask(signal.SIG_BLOCK, ()) == {signal.SIGUSR2, signal.SIGALRM})
"""
    assert house.script(text).split() == ["SigBlk:", f"{(1 << 11) | (1 << 13):016x}", "True"]


def test_a_signal_that_is_held_waits_until_the_program_lets_it_through(house: House) -> None:
    program = """
import os, signal, sys
os.kill(os.getpid(), signal.SIGINT)
print("here", flush=True)
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
print("never", flush=True)
"""
    text = f"""
held = {{signal.SIGINT}}
outcome = launch([sys.executable, "-c", {program!r}], environ=ENVIRON, held=held)
print(outcome.returncode, signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""
    assert house.script(text) == "here\n-2 set()\n"


@pytest.mark.parametrize("code", [0, 3])
def test_that_somebody_asked_it_to_end_is_told_however_it_ends(house: House, code: int) -> None:
    program = f"""
import os, signal, time
signal.signal(signal.SIGINT, lambda *_: os._exit({code}))
os.kill(os.getppid(), signal.SIGINT)
time.sleep(20)
"""
    text = f"""
for command in ([sys.executable, "-c", {program!r}], ["false"]):
    outcome = launch(command, environ=ENVIRON)
    print(outcome.returncode, outcome.asked_to_end)
"""
    assert house.script(text) == f"{code} True\n1 False\n"


def test_a_pipe_that_nobody_reads_ends_the_command_quietly(house: House) -> None:
    line = f"{' '.join(house.launcher)} yes | head -1; echo ${{PIPESTATUS[0]}}"
    ran = subprocess.run(["bash", "-c", line], env=house.environ, capture_output=True, timeout=20)
    assert ran.stdout == b"y\n141\n"
    assert ran.stderr == b""


def test_the_exit_code_comes_even_if_children_are_ignored(house: House) -> None:
    command = [*ignoring("CHLD"), *house.launcher, "sh", "-c", "exit 5"]
    assert subprocess.run(command, env=house.environ, check=False).returncode == 5


def test_the_child_is_in_our_group_with_the_environment_as_given(house: House) -> None:
    text = """
launch(["sh", "-c", "ps -o pgid= -p $$; env"], environ={"PATH": "/usr/bin:/bin", "A": "1"})
print(os.getpgrp())
"""
    lines = house.script(text).split()
    assert lines[0] == lines[-1]
    assert "A=1" in lines
    assert not any(line.startswith("RUN_NAME") for line in lines)


# -- signals -------------------------------------------------------------------------------------


def test_each_signal_sent_to_us_arrives_once(house: House) -> None:
    launcher = house.start(*house.recorder())
    house.ready()
    for count, name in enumerate(ALL, 1):
        launcher.send_signal(getattr(signal, f"SIG{name}"))
        house.wait_for_notes(count)
    time.sleep(0.2)
    house.end()
    assert launcher.wait(10) == 0
    assert house.noted() == list(ALL)


def test_one_request_sent_twice_at_once_is_passed_on_once(house: House) -> None:
    launcher = house.start(*house.recorder())
    house.ready()
    for _ in range(2):
        launcher.send_signal(signal.SIGTERM)
    until(house.noted)
    time.sleep(0.2)
    house.end()
    assert launcher.wait(10) == 0
    assert house.noted() == ["TERM"]


def test_signals_ignored_from_the_start_stay_so(house: House) -> None:
    names = [name for name in ALL if name not in ("HUP", "INT")]
    launcher = subprocess.Popen(
        [*ignoring("HUP", "INT"), *house.launcher, *house.recorder(names)],
        env=house.environ,
        start_new_session=True,
    )
    house.ready()
    launcher.send_signal(signal.SIGHUP)
    launcher.send_signal(signal.SIGINT)
    launcher.send_signal(signal.SIGUSR1)
    until(house.noted)
    time.sleep(0.1)
    house.end()
    assert launcher.wait(10) == 0
    assert house.noted() == ["USR1"]


@pytest.mark.parametrize(("key", "name"), [("\x03", "INT"), ("\x1c", "QUIT"), ("\x1a", "TSTP")])
def test_a_key_that_the_child_catches_arrives_once(
    house: House, terminal: Terminal, key: str, name: str
) -> None:
    terminal.type(" ".join([*house.launcher, *house.recorder()]) + "; echo code=$?\n")
    _, parent = house.ready()
    terminal.type(key)
    until(house.noted)
    time.sleep(0.2)
    assert state_of(parent) == "S"
    house.end()
    terminal.wait_for(r"code=0\r")
    assert house.noted() == [name]


def test_a_key_reaches_a_child_that_left_our_group(house: House, terminal: Terminal) -> None:
    leave = "import os, sys; os.setpgid(0, 0); os.execv(sys.argv[1], sys.argv[1:])"
    away = [sys.executable, "-c", f"'{leave}'", *house.recorder()]
    terminal.type(" ".join([*house.launcher, *away]) + "; echo code=$?\n")
    house.ready()
    terminal.type("\x03")
    until(house.noted)
    house.end()
    terminal.wait_for(r"code=0\r")
    assert house.noted() == ["INT"]


def test_ctrl_c_ends_the_command_and_the_shell_sees_that(house: House, terminal: Terminal) -> None:
    terminal.type(" ".join([*house.launcher, *house.recorder(["USR1"])]).replace("USR1", "") + "\n")
    child, parent = house.ready()
    terminal.type("\x03")
    until(lambda: not lives(child) and not lives(parent))
    terminal.wait_for(r"\$ ")
    terminal.type("echo code=$?\n")
    terminal.wait_for(r"code=130\r")


def test_ctrl_z_bg_and_fg_work_as_with_any_job(house: House, terminal: Terminal) -> None:
    terminal.type(" ".join([*house.launcher, *house.recorder(["CONT", "USR1"])]) + "\n")
    both = house.ready()

    def are(states: str) -> bool:
        return all(state_of(pid) in states for pid in both)

    def resume(line: str, count: int) -> None:
        terminal.wait_for(r"Stopped.*\n")
        assert are("T")
        terminal.type(line)
        until(lambda: are("SR"))
        until(lambda: len(house.noted()) == count)

    terminal.type("\x1a")
    resume("fg\n", 1)
    terminal.type("\x1a")
    resume("bg\n", 2)
    terminal.type("jobs\n")
    terminal.wait_for("Running")
    terminal.type("fg\n")
    time.sleep(0.1)
    terminal.type("\x1a")
    resume("kill -CONT %1\n", 3)
    terminal.type("fg\n")
    time.sleep(0.2)
    assert are("SR")
    house.end()
    time.sleep(0.2)
    terminal.type("echo code=$?\n")
    terminal.wait_for(r"code=0\r")
    # One for each time that it was continued: none is doubled.
    assert house.noted() == ["CONT"] * 3


def test_a_background_job_that_reads_the_terminal_stops_whole(
    house: House, terminal: Terminal
) -> None:
    terminal.type(" ".join(house.launcher) + " sh -c 'read line; echo got=$line' &\n")
    terminal.wait_for(r"\$ ")
    time.sleep(0.5)
    terminal.type("jobs\n")
    terminal.wait_for(r"Stopped")
    terminal.type("fg\n")
    terminal.wait_for("launcher.py")
    terminal.type("hello\n")
    terminal.wait_for("got=hello")


def test_a_child_that_stops_itself_stops_us_and_continues_with_us_alone(
    house: House, terminal: Terminal
) -> None:
    terminal.type(" ".join([*house.launcher, *house.recorder(["CONT"])]) + "\n")
    child, parent = house.ready()
    os.kill(child, signal.SIGSTOP)
    terminal.wait_for("Stopped")
    assert state_of(parent) == "T"
    os.kill(parent, signal.SIGCONT)
    until(house.noted)
    assert state_of(child) in "SR"
    os.kill(parent, signal.SIGTSTP)  # and stopping us stops it
    until(lambda: state_of(child) == state_of(parent) == "T")
    terminal.type("fg\n")
    until(lambda: len(house.noted()) == 2)
    house.end()
    terminal.wait_for(r"\$ ")


def test_without_job_control_a_pause_of_the_child_is_its_own_affair(house: House) -> None:
    launcher = house.start(*house.recorder(["USR1"]))
    child, parent = house.ready()
    os.kill(child, signal.SIGSTOP)
    until(lambda: state_of(child) == "T")
    time.sleep(0.1)
    assert state_of(parent) == "S"
    os.kill(child, signal.SIGCONT)
    house.end()
    assert launcher.wait(10) == 0


def test_a_terminal_that_goes_away_is_told_once_to_the_child(house: House) -> None:
    command = [*house.launcher, *house.recorder()]
    pid, master = pty.fork()
    if pid == 0:
        os.execve(command[0], command, house.environ)
    house.ready()
    os.close(master)
    until(house.noted)
    time.sleep(0.2)
    house.end()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert house.noted().count("HUP") == 1


def test_a_shell_that_dies_hangs_up_on_the_child_once(house: House, terminal: Terminal) -> None:
    terminal.type(" ".join([*house.launcher, *house.recorder()]) + "\n")
    house.ready()
    os.kill(terminal.pid, signal.SIGKILL)
    until(house.noted)
    time.sleep(0.2)
    house.end()
    assert house.noted().count("HUP") == 1


# -- nothing is left behind ----------------------------------------------------------------------


def test_a_child_does_not_outlive_us(house: House) -> None:
    launcher = house.start(*house.recorder(["TERM"]))
    child, _ = house.ready()
    launcher.kill()
    launcher.wait(10)
    until(lambda: house.noted() == ["TERM"], seconds=2)
    house.end()
    until(lambda: not lives(child))


FAMILY = """
sleep 4711 &
setsid sleep 4712 &
(setsid sh -c "trap '' TERM; while :; do sleep 0.1; done" &)
(env -i sleep 4713; true) &
echo ready > "$1"
wait
"""


def test_once_asked_to_end_no_descendant_is_left(house: House) -> None:
    ready = house.folder / "ready"
    launcher = house.start("sh", "-c", FAMILY, "sh", str(ready))
    until(lambda: ready.exists() and len(house.processes()) >= 6)
    launcher.send_signal(signal.SIGTERM)
    started = time.monotonic()
    assert launcher.wait(10) == -signal.SIGTERM
    assert 1.5 < time.monotonic() - started < 4  # the one that doesn't listen gets its grace
    assert not house.processes()


def test_what_was_left_on_purpose_lives_on_after_a_good_end(house: House) -> None:
    pid_file = house.folder / "pid"
    ran = house.run("sh", "-c", f"sleep 4714 >/dev/null 2>&1 & echo $! > {pid_file}")
    assert ran.returncode == 0
    time.sleep(0.1)
    assert lives(int(pid_file.read_text()))


def test_an_interrupt_that_a_prompt_took_ends_nothing_later(
    house: House, terminal: Terminal
) -> None:
    pid_file = house.folder / "pid"
    script = house.write("script.sh", f'sleep 4715 & echo $! > {pid_file}; exec "$@"')
    command = ["sh", str(script), *house.recorder(["INT"])]
    terminal.type(" ".join([*house.launcher, *command]) + "; echo code=$?\n")
    house.ready()
    terminal.type("\x03")
    until(house.noted)
    house.end()
    terminal.wait_for(r"code=0\r")
    assert lives(int(pid_file.read_text()))


def test_the_third_interrupt_ends_what_does_not_listen(house: House) -> None:
    launcher = house.start(*house.recorder(["INT", "TERM"]))
    house.ready()
    for count in (1, 2):
        launcher.send_signal(signal.SIGINT)
        house.wait_for_notes(count)
    time.sleep(0.2)
    assert launcher.poll() is None
    launcher.send_signal(signal.SIGINT)
    assert launcher.wait(10) == -signal.SIGKILL
    assert house.noted() == ["INT", "INT", "TERM"]
    assert not house.processes()


def test_a_tree_is_ended_but_for_ourselves_and_the_spared(house: House) -> None:
    text = """
import subprocess
with_us = {"env": ENVIRON, "start_new_session": True}
marked = [subprocess.Popen(["sleep", "4716"], **with_us) for _ in range(3)]
marked.append(subprocess.Popen(["sh", "-c", "env -i sleep 4717; :"], **with_us))
marked[0].send_signal(signal.SIGSTOP)
spared = subprocess.Popen(["sleep", "4718"], **with_us)
other = subprocess.Popen(["sleep", "4719"], env={**ENVIRON, "VIDMETER_RUN": NAME + "0"})
time.sleep(0.2)
os.environ["VIDMETER_RUN"] = NAME
start = time.monotonic()
ended = kill_tree(NAME, grace_s=5, spare={spared.pid})
print(json.dumps([ended, time.monotonic() - start, [p.wait() for p in marked],
                  spared.poll(), other.poll(), kill_tree(NAME, grace_s=1, spare={spared.pid})]))
spared.kill(); other.kill(); spared.wait(); other.wait()
"""
    ended, seconds, codes, spared, other, again = json.loads(house.script(text))
    assert (ended, codes[:3]) == (5, [-15] * 3)
    assert codes[3] in (-15, 0), "a shell may go on in peace before its own signal comes"
    assert seconds < 2
    assert (spared, other, again) == (None, None, 0)


# -- time ----------------------------------------------------------------------------------------


def test_start_and_end_are_told_to_the_instant(house: House) -> None:
    text = """
child = "from time import *; print(monotonic_ns()); sleep(0.3); print(monotonic_ns())"
told = []
before = time.monotonic_ns()
outcome = launch([sys.executable, "-c", child], environ=ENVIRON,
                 on_start=lambda pid, start_ns: told.append((pid, start_ns)),
                 on_tick=lambda: None, tick_s=10)
print(before, outcome.start_ns, outcome.end_ns, time.monotonic_ns())
assert told == [(outcome.pid, outcome.start_ns)]
"""
    first, last, before, start, end, after = map(int, house.script(text).split())
    assert before <= start < first < last < end < after
    assert start - before < 20e6
    assert end - last < 200e6  # the end of an interpreter, no tick


def test_ticks_come_at_their_pace(house: House) -> None:
    text = """
at = []
def tick():
    at.append(time.monotonic())
launch(["sleep", "1"], environ=ENVIRON, on_tick=tick, tick_s=0.1)
print(json.dumps([b - a for a, b in zip(at, at[1:])]))
"""
    gaps = json.loads(house.script(text))
    assert 6 <= len(gaps) <= 9
    assert min(gaps) >= 0.099


def test_waiting_costs_nothing(house: House) -> None:
    text = """
import resource
def used():
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime, use.ru_nvcsw
told = []
launch(["sleep", "1"], environ=ENVIRON, on_start=lambda pid, start_ns: told.extend(used()))
cpu_s, switches = used()
print(json.dumps([cpu_s - told[0], switches - told[1]]))
"""
    cpu_s, switches = json.loads(house.script(text))
    assert cpu_s < 0.02
    assert switches <= 5


def test_a_listener_that_fails_does_not_cost_the_command_its_life(house: House) -> None:
    done = house.folder / "done"
    text = f"""
def fail():
    raise OSError("the screen is gone")
command = ["sh", "-c", "sleep 0.3; touch {done}"]
print(launch(command, environ=ENVIRON, on_tick=fail, tick_s=0.05).trouble)
"""
    assert house.script(text) == "the screen is gone\n"
    assert done.exists()


def test_a_new_size_of_the_terminal_is_told(house: House) -> None:
    text = """
import os
from vidmeter.meter.launch import launch
print(launch(["sleep", "4720"], environ={**os.environ, "VIDMETER_RUN": os.environ["RUN_NAME"]},
    on_start=lambda pid, start_ns: print("ready", pid, flush=True),
    on_resize=lambda: print(os.get_terminal_size(), flush=True)).returncode)
"""
    path = house.write("resize.py", text)
    pid, master = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, str(path)], house.environ)
    shown = b""
    while b"\n" not in shown:
        shown += os.read(master, 100)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 44, 0, 0))
    while b"lines=33" not in shown:
        shown += os.read(master, 100)
    os.kill(int(shown.split()[1]), signal.SIGTERM)
    while b"-15" not in shown:
        shown += os.read(master, 100)
    os.waitpid(pid, 0)
    os.close(master)


def test_many_short_commands_are_each_seen_to_their_end(house: House) -> None:
    text = """
import subprocess
start = time.monotonic()
for _ in range(100):
    subprocess.run(["true"])
plain = time.monotonic() - start
start = time.monotonic()
print(all(launch(["true"], environ=ENVIRON).returncode == 0 for _ in range(100)))
print((time.monotonic() - start - plain) / 100)
"""
    all_ended, extra_s = house.script(text).split()
    assert all_ended == "True"
    assert float(extra_s) < 0.015
