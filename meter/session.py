"""Where the measurements of this process come from.

Under `vidmeter run` that is the run in progress, which another process writes. Otherwise the first
measurement starts a sampler beside this process; it samples only while a window is open, and its
file goes when the process does.
"""

import atexit
import os
import shutil
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

from vidmeter.meter import marks
from vidmeter.meter.clock import monotonic_ns
from vidmeter.meter.reader import Tail, load
from vidmeter.meter.run import Run
from vidmeter.meter.runfile import SUFFIX, marks_folder

if TYPE_CHECKING:  # its imports are spared a program that is metered already
    from vidmeter.meter.recorder import Recorder

CATCH_UP_S = 2.0
"""How long a result waits for the run in progress to be written past the end of the window."""
LAG_NS = 200_000_000
"""How far past it: slow readings of the window's end come that late."""


class RunInProgress:
    """The run of `vidmeter run`, which another process writes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def window(self, opened: int) -> None:
        """The run samples all the time."""

    def run(self, start_ns: int, end_ns: int) -> Run:
        """What was recorded around a window (ns); waits until it is in the file."""
        tail = Tail(self._path)
        waited_s, newest = 0.0, 0
        while newest <= end_ns + LAG_NS and waited_s < CATCH_UP_S:
            newest = max([newest, *(trace.t_ns[-1] for _, trace in tail.new())])
            if newest <= end_ns + LAG_NS:
                sleep(0.05)
                waited_s += 0.05
        tail.close()
        return load(self._path, window=(start_ns, end_ns))


class Session:
    """A sampler of our own beside this process, with a run file that goes when it does."""

    def __init__(self, selection: Mapping[str, Any]) -> None:
        from vidmeter.meter import recorder
        from vidmeter.meter.order import Order

        self._folder = Path(tempfile.mkdtemp(prefix="vidmeter-"))
        path = self._folder / f"session{SUFFIX}"
        order = Order(str(path), command=_own_command(), session=True, **selection)
        try:
            self.recorder: Recorder = recorder.Recorder(order)
            self.recorder.wait()
        except BaseException:
            # Also on Ctrl-C: a session that did not begin leaves nothing behind.
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self.pid = os.getpid()
        marks.use_folder(marks_folder(path))
        atexit.register(self.close)

    def window(self, opened: int) -> None:
        """A window was opened (1) or closed (-1)."""
        self.recorder.window(opened)

    def run(self, start_ns: int, end_ns: int) -> Run:
        """What was recorded around a window (ns)."""
        self.recorder.flush(end_ns)
        return load(self.recorder.path, window=(start_ns, end_ns))

    def close(self) -> None:
        """End the sampler and delete what it wrote."""
        if os.getpid() == self.pid:  # a fork runs the same exit handlers
            self.recorder.stop(monotonic_ns())
            shutil.rmtree(self._folder, ignore_errors=True)


_session: Session | None = None
_session_lock = threading.Lock()


def _forget() -> None:
    """In a forked child: the session is the parent's."""
    global _session, _session_lock
    _session_lock = threading.Lock()
    if _session is not None:
        _session.recorder.forget()
        _session = None


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing is measured either
    os.register_at_fork(after_in_child=_forget)


def source(selection: Mapping[str, Any]) -> Session | RunInProgress:
    """Where this process's measurements come from."""
    global _session
    path = os.environ.get(marks.FILE_ENV)
    if path and os.path.exists(path):  # noqa: PTH110 - on the way into every measured call
        return RunInProgress(Path(path))
    with _session_lock:
        if _session is None:
            _session = Session(selection)
        return _session


def _own_command() -> tuple[str, ...]:
    try:
        raw = Path("/proc/self/cmdline").read_bytes()
    except OSError:
        return ()
    return tuple(part.decode(errors="replace") for part in raw.rstrip(b"\0").split(b"\0"))
