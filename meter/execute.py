"""Become the command: fork, give back what Python changed, execute, and say why if that fails.

subprocess can't be used here: the child has to ask for a signal at our death, and to restore the
mask of signals, between fork and exec, and preexec_fn costs more than the fork itself.
"""

import ctypes
import errno
import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from vidmeter.meter.errors import VidmeterError

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

# Loaded before any fork: a child must not wait for a lock that was held when it was made.
LIBC = ctypes.CDLL(None)
LIBC.prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)


class CannotStart(VidmeterError):
    """The command can't be started; `exit_code` is the shell's: 127 if it isn't there, else 126."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Inherited(NamedTuple):
    """How the signals were when we were started: `give_back` undoes what `take` did."""

    mask: set[int]
    child_ignored: bool
    caught: list[int]

    @classmethod
    def take(cls, handled: Iterable[int]) -> "Inherited":
        """Block the signals `handled`, and have SIGCHLD sent."""
        # The kernel throws the exit code away where SIGCHLD is ignored.
        child_ignored = signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
        if child_ignored:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        caught = [int(n) for n in signal.valid_signals() if callable(signal.getsignal(n))]
        # Python ignores these two at its own start.
        caught += [signal.SIGPIPE, signal.SIGXFSZ]
        mask = {int(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, handled)}
        return cls(mask, child_ignored, caught)

    def give_back(self) -> None:
        """Leave the signals as they were before `take`."""
        if self.child_ignored:
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)

    def give_to_child(self, held: Iterable[int]) -> None:
        """The same in the child, where no handler of ours may run before the exec.

        The signals `held` stay blocked: that is handed down through the exec.
        """
        for number in self.caught:
            signal.signal(number, signal.SIG_DFL)
        self._replace(mask=self.mask | set(held)).give_back()


def start(
    command: Sequence[str],
    environ: Mapping[str, str],
    inherited: Inherited,
    held: Iterable[int] = (),
) -> int:
    """Start `command` as a child that gets SIGTERM at our death; its pid, once it is executing.

    A name without a slash is looked up on the PATH of `environ`. The signals in `held` are blocked
    in it. Raises `CannotStart`.
    """
    paths = _candidates(command[0], environ.get("PATH", os.defpath))
    parent = os.getpid()
    reader, writer = os.pipe()
    try:
        pid = os.fork()
    except OSError as error:
        os.close(reader)
        os.close(writer)
        message = f"cannot start {command[0]!r}: {error.strerror}; end other processes first"
        raise CannotStart(message, 126) from error
    if pid == 0:
        try:
            LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() == parent:  # else it died before prctl, and nobody would tell us
                inherited.give_to_child(held)
                code, path = _execute(paths, list(command), environ)
                os.write(writer, b"%d %s" % (code, os.fsencode(path)))
        finally:
            os._exit(127)
    os.close(writer)
    with os.fdopen(reader, "rb") as failure:
        # The exec closes the pipe: nothing comes when it succeeds.
        code_text, _, path_text = failure.read().partition(b" ")
    if code_text:
        os.waitpid(pid, 0)
        raise _cannot_start(command[0], os.fsdecode(path_text), int(code_text))
    return pid


def check(name: str) -> None:
    """Raise `CannotStart` if there is no program of that name, or none that may be executed."""
    paths = _candidates(name, os.environ.get("PATH", os.defpath))
    if any(Path(path).is_file() and os.access(path, os.X_OK) for path in paths):
        return
    there = [p for p in paths if os.access(p, os.F_OK) and ("/" in name or not Path(p).is_dir())]
    raise _cannot_start(name, *((there[0], errno.EACCES) if there else ("", errno.ENOENT)))


def _candidates(name: str, search_path: str) -> list[str]:
    if "/" in name:
        return [name]
    return [f"{folder or '.'}/{name}" for folder in search_path.split(":")] if name else []


def _execute(paths: list[str], command: list[str], environ: Mapping[str, str]) -> tuple[int, str]:
    """Become the first of `paths` that can be executed; if none can, the errno and its path."""
    failure = (errno.ENOENT, "")
    for path in paths:
        code = _replace(path, command, environ)
        if code == errno.ENOEXEC and _is_text(path):
            return _replace("/bin/sh", ["/bin/sh", path, *command[1:]], environ), "/bin/sh"
        if code == errno.EACCES and len(paths) > 1:
            # The search goes on, as in execvp(3); a folder of that name doesn't count at all.
            if failure[0] == errno.ENOENT and not Path(path).is_dir():
                failure = (code, path)
        elif not _is_missing(path, code):
            return code, path
    return failure


def _replace(path: str, command: list[str], environ: Mapping[str, str]) -> int:
    try:
        os.execve(path, command, environ)
    except OSError as error:
        return error.errno or 0


def _is_missing(path: str, code: int) -> bool:
    # The same errno tells of a missing interpreter.
    return code in (errno.ENOENT, errno.ENOTDIR) and not os.access(path, os.F_OK)


def _first_line(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(256).partition(b"\n")[0]
    except OSError:
        return b""  # what may be executed need not be readable


def _is_text(path: str) -> bool:
    # The test that bash makes, too.
    return b"\0" not in _first_line(path)


def _cannot_start(name: str, path: str, code: int) -> CannotStart:
    if not path or _is_missing(path, code):
        where = "file; check the path" if "/" in name else "command on PATH; check its spelling"
        return CannotStart(f"cannot start {name!r}: no such {where}", 127)
    return CannotStart(f"cannot start {path!r}: {_reason(path, code)}", 126)


def _reason(path: str, code: int) -> str:
    match code:
        case errno.EACCES if Path(path).is_dir():
            return "it is a folder; name a program in it"
        case errno.EACCES if not os.access(path, os.X_OK):
            return "it may not be executed; try chmod +x, or put its interpreter in front"
        case errno.EACCES:
            return "permission denied; is its interpreter executable, its disk mounted noexec?"
        case errno.ENOENT | errno.ENOTDIR:
            line = _first_line(path)
            needed = line[2:].decode(errors="replace").strip() if line[:2] == b"#!" else "a loader"
            return f"it needs {needed}, which isn't there; install that, or correct its first line"
        case errno.ENOEXEC:
            return "no program for this machine; put its interpreter in front, or rebuild it"
        case errno.E2BIG:
            return "arguments and environment are too long; pass them in a file"
        case _:
            return f"{os.strerror(code)}; execve(2) says what that means"
