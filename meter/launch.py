"""Start a command as our child, and be invisible around it.

The child stays in our process group, so that pipelines and the shell's job control see one job. We
block the signals that concern it and take them one at a time with sigtimedwait(2), which also tells
who sent them: what the kernel sent went to the whole group, so the child has got it; what a process
sent to us is passed on. Where the child stops, we stop; how it ends, we end; and once it was asked
to end, nothing that it left behind lives on.
"""

import math
import os
import resource
import signal
import sys
import termios
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from signal import Signals
from typing import NoReturn

from vidmeter.meter.execute import LIBC, CannotStart, Inherited, start
from vidmeter.meter.tree import MARKER, kill_tree

__all__ = ["CannotStart", "Outcome", "end_like", "launch"]

GRACE_S = 2.0
"""What a process gets between SIGTERM and SIGKILL."""
INSIST_S = 5.0
"""Three requests to end within this time are answered with force."""

_SAME_MOMENT_S = 0.02  # a group gets its signals one process after the other

_PR_SET_DUMPABLE = 4  # linux/prctl.h
_SI_KERNEL = 0x80  # asm-generic/siginfo.h
_ENDING = {Signals.SIGINT, Signals.SIGTERM, Signals.SIGHUP, Signals.SIGQUIT}
_PASSED_ON = _ENDING | {Signals.SIGUSR1, Signals.SIGUSR2, Signals.SIGTSTP}
_WATCHED = {Signals.SIGCHLD, Signals.SIGCONT, Signals.SIGWINCH}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command went: from just before its start until its end arrived, CLOCK_MONOTONIC in ns.

    `returncode` is as in subprocess: the exit code, or -n for death by signal n. `trouble` is what
    a listener of `launch` failed with; it wasn't called again. `asked_to_end`: somebody wished it
    to end, at the terminal or by a signal to us, however it took that.
    """

    pid: int
    start_ns: int
    end_ns: int
    returncode: int
    trouble: Exception | None = None
    asked_to_end: bool = False

    @property
    def exit_code(self) -> int:
        """The code as the shell tells it: 128 + n for death by signal n."""
        return self.returncode if self.returncode >= 0 else 128 - self.returncode


def launch(
    command: Sequence[str],
    *,
    environ: Mapping[str, str],
    on_start: Callable[[int, int], None] | None = None,
    on_tick: Callable[[], None] | None = None,
    tick_s: float = 0.5,
    on_resize: Callable[[], None] | None = None,
    spare: Collection[int] = (),
    held: Collection[int] = (),
) -> Outcome:
    """Run `command` with `environ` as if we were not there, and wait for its end.

    To be called in the main thread of a process without other threads. `on_start` gets the pid and
    the start in ns once the program is executing, `on_tick` is called about every `tick_s`,
    `on_resize` after the terminal changed its size; signals are blocked meanwhile, and for what
    they start. An exception in one of them leaves the command alone and is told in the outcome. The
    pids in `spare` are never ended with the command's own. The signals in `held` wait until the
    program lets them through. Raises `CannotStart`.
    """
    watched = _WATCHED | {s for s in _PASSED_ON if signal.getsignal(s) is not signal.SIG_IGN}
    inherited = Inherited.take(watched)
    try:
        start_ns = time.monotonic_ns()
        pid = start(command, environ, inherited, held)
        child = _Child(pid, environ.get(MARKER), frozenset(spare), watched)
        if on_start is not None:
            child.call(lambda: on_start(pid, start_ns))
        end_ns, returncode = child.wait(on_tick, on_resize, tick_s)
        child.clear_up(returncode)
    finally:
        # What the terminal sent to all of us is dealt with when the child is.
        late = set()
        while info := signal.sigtimedwait(watched, 0):
            late.add(info.si_signo)
        inherited.give_back()
    asked = child.asked_to_end or child.interrupted or not late.isdisjoint(_ENDING)
    return Outcome(pid, start_ns, end_ns, returncode, child.trouble, asked)


def end_like(outcome: Outcome) -> NoReturn:
    """End this process as the command ended: with the same exit code, or by the same signal."""
    if outcome.returncode >= 0:
        sys.exit(outcome.returncode)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError, ValueError):  # closed, or read by nobody any more
                stream.flush()
    number = -outcome.returncode
    # The command has left its own core dump. The limit stops a file, but not a core_pattern that
    # is a pipe; not being dumpable stops both: core(5).
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if number in signal.valid_signals() - {Signals.SIGKILL, Signals.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    os._exit(outcome.exit_code)  # process 1 of a container outlives what it sends to itself


@dataclass(slots=True)
class _Child:
    """The command while it runs, and what was asked of it."""

    pid: int
    marker: str | None
    spare: frozenset[int]
    watched: set[Signals]
    asked_to_end: bool = False
    interrupted: bool = False
    requests_s: list[float] = field(default_factory=list)
    continued_s: float = -math.inf
    trouble: Exception | None = None

    def wait(
        self,
        on_tick: Callable[[], None] | None,
        on_resize: Callable[[], None] | None,
        tick_s: float,
    ) -> tuple[int, int]:
        """Serve signals and ticks until the child ends: when that was, in ns, and how."""
        due_s = time.monotonic() + tick_s
        while True:
            if on_tick is None:
                info: signal.struct_siginfo | None = signal.sigwaitinfo(self.watched)
            else:
                info = signal.sigtimedwait(self.watched, max(0.0, due_s - time.monotonic()))
            now_ns = time.monotonic_ns()
            if info is None:
                pass
            elif info.si_signo == Signals.SIGCHLD:
                returncode = self.look()
                if returncode is not None:
                    return now_ns, returncode
            elif info.si_signo == Signals.SIGWINCH:
                if on_resize is not None:
                    self.call(on_resize)
            else:
                self.pass_on(info)
            if on_tick is not None and time.monotonic() >= due_s:
                self.call(on_tick)
                due_s = time.monotonic() + tick_s

    def call(self, listener: Callable[[], None]) -> None:
        """Tell a listener, whose failure must not cost the command its life: it is told later."""
        if self.trouble is None:
            try:
                listener()
            except Exception as error:  # noqa: BLE001 - kept, and told later
                self.trouble = error

    def look(self) -> int | None:
        """What became of the child: its returncode if it has ended; if it has stopped, stop too."""
        pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        if pid == 0:
            return None  # it was another child
        if os.WIFCONTINUED(status):
            self.continued_s = time.monotonic()
        elif os.WIFSTOPPED(status):
            self.continued_s = -math.inf
            self.stop_alike(os.WSTOPSIG(status))
        else:
            return os.waitstatus_to_exitcode(status)
        return None

    def stop_alike(self, number: int) -> None:
        """Stop by the signal that stopped the child, and see that it continues when we do."""
        if os.getpgrp() == os.getsid(0) or Signals.SIGCONT in signal.sigpending():
            # No shell has made us a job, so nobody would continue us; or it is over already.
            return
        if signal.getsignal(number) is signal.SIG_IGN:
            number = Signals.SIGSTOP
        # Sent while it is blocked, it becomes one with the same signal from the terminal.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
        os.kill(os.getpid(), number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        # None came if we didn't stop: the kernel leaves a group alone that no shell looks after.
        if signal.sigtimedwait({Signals.SIGCONT}, 0) and not self.was_continued():
            self.send(Signals.SIGCONT)

    def was_continued(self) -> bool:
        """Whether what continued us has continued the child, too: shells continue a whole group."""
        if time.monotonic() - self.continued_s < 5 * _SAME_MOMENT_S:
            return True
        # A stop not looked at yet is a second one: it was continued in between.
        change = os.WCONTINUED | os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT
        end_s = time.monotonic() + _SAME_MOMENT_S
        while os.waitid(os.P_PID, self.pid, change) is None:
            if time.monotonic() > end_s:
                return False
            time.sleep(0.001)
        return True

    def pass_on(self, info: signal.struct_siginfo) -> None:
        """Pass a signal on to a child that hasn't got it; a third request to end is an order."""
        number = Signals(info.si_signo)
        heard = self.has_heard(info)
        if number is Signals.SIGINT and heard:
            self.interrupted = True
        elif number in _ENDING:
            self.asked_to_end = True
            # timeout(1) and others tell us, and in the same breath the group: that is one request.
            time.sleep(_SAME_MOMENT_S)
            signal.sigtimedwait({number}, 0)
        if number in (Signals.SIGINT, Signals.SIGTERM) and self.is_insisted_on():
            self.asked_to_end = True
            kill_tree(self.marker, grace_s=GRACE_S, spare=self.spare, roots=(self.pid,))
        elif not heard:
            self.send(number)

    def has_heard(self, info: signal.struct_siginfo) -> bool:
        if info.si_code != _SI_KERNEL or os.getpgid(self.pid) != os.getpgrp():
            return info.si_signo == Signals.SIGCONT and self.was_continued()
        # A terminal that goes away tells the leader of its session, not the group.
        return info.si_signo not in (Signals.SIGHUP, Signals.SIGCONT) or os.getsid(0) != os.getpid()

    def is_insisted_on(self) -> bool:
        now_s = time.monotonic()
        self.requests_s = [t for t in self.requests_s if now_s - t < INSIST_S] + [now_s]
        return len(self.requests_s) >= 3 and not _is_line_edited()

    def send(self, number: Signals) -> None:
        with suppress(PermissionError):  # sudo and the like: not ours to signal
            os.kill(self.pid, number)

    def clear_up(self, returncode: int) -> None:
        """End what an ended child has left behind, if it was to end.

        A prompt takes an interrupt from the terminal as a wish to begin a new line, so that counts
        only where the child didn't end well. What is left on purpose in peace lives on.
        """
        if self.asked_to_end or (self.interrupted and returncode != 0):
            kill_tree(self.marker, grace_s=GRACE_S, spare=self.spare)


def _is_line_edited() -> bool:
    """Whether the program at the terminal reads single keys: an interrupt is a key to it."""
    try:
        return not termios.tcgetattr(0)[3] & termios.ICANON
    except termios.error:
        return False
