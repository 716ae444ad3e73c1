"""Starts the sampler's process, speaks to it, and ends it: the metering program's side."""

import json
import os
import selectors
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, NamedTuple

import vidmeter
from vidmeter.meter import errors
from vidmeter.meter.clock import monotonic_ns
from vidmeter.meter.errors import NoDevice, SensorFailed, VidmeterError
from vidmeter.meter.order import Order
from vidmeter.meter.reader import load
from vidmeter.meter.run import Event
from vidmeter.meter.runfile import remove, remove_marks
from vidmeter.meter.store import RunWriter

START_TIMEOUT_S = 60.0
"""nvmlInit takes seconds on a box of many GPUs without the persistence daemon."""
ANSWER_TIMEOUT_S = 10.0

_BOOT = (
    "import sys; sys.path.append(sys.argv.pop(1));"
    " from vidmeter.meter.service import main; main(sys.argv[1], int(sys.argv[2]))"
)


class Ended(NamedTuple):
    """How the recording ended: whole or not, and what a person should be told about it."""

    whole: bool
    messages: tuple[str, ...]


class Recorder:
    """A sampler at work beside this process."""

    devices: tuple[tuple[str, str], ...] = ()
    """Name and provenance of each device, once `wait` has returned."""
    absent: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def __init__(self, order: Order) -> None:
        """Start its process; `wait` returns when it is at work. Raises NoDevice but on Linux."""
        if sys.platform != "linux":
            raise NoDevice(
                f"vidmeter measures on Linux; on {sys.platform} it reads and reports runs only"
            )
        self.path = Path(order.path)
        self._order = order
        self._lock = threading.Lock()
        self._buffer = b""
        self._stderr: IO[bytes] = os.fdopen(os.memfd_create("vidmeter-sampler-stderr"), "w+b")
        # Not its stdout, where a sitecustomize or a library may print.
        answers, theirs = os.pipe()
        self._answers: IO[bytes] = os.fdopen(answers, "rb", buffering=0)
        try:
            # -P: nothing in the program's own folder may stand in for a module that we import.
            said = (_home(), json.dumps(asdict(order)), str(theirs))
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _BOOT, *said],
                stdin=subprocess.PIPE,
                stdout=self._stderr,
                stderr=self._stderr,
                pass_fds=(theirs,),
                # A session of its own: Ctrl-C and Ctrl-Z in the terminal are not for it.
                start_new_session=True,
                env=os.environ | {"VIDMETER_PARENT": str(os.getpid())},
            )
        finally:
            os.close(theirs)

    def wait(self) -> None:
        """Return when the first readings are taken. Raises what kept the sampler from it."""
        answer = self._answer(START_TIMEOUT_S)
        if answer is None:
            raise SensorFailed(f"the sampler didn't start: {self._last_words()}")
        if "error" in answer:
            self._process.wait()
            self._close()
            raise getattr(errors, answer["kind"], VidmeterError)(answer["error"])
        self.devices = tuple((name, provenance) for name, provenance in answer["ready"])
        self.absent = tuple((a, b) for a, b in answer["absent"])
        self.notes = tuple(answer["notes"])

    @property
    def alive(self) -> bool:
        """Whether the sampler is still at work."""
        return self._process.poll() is None

    def put(self, **facts: Any) -> None:
        """Set facts of the run."""
        self._ask(do="put", facts=facts)

    def window(self, opened: int) -> None:
        """A window was opened (1) or closed (-1): a session samples while any is open."""
        self._ask(do="window", opened=opened)

    def flush(self, after_ns: int) -> None:
        """Wait until the file holds readings from after an instant, a quarter second at most."""
        with self._lock:
            if self._send({"do": "flush", "after_ns": after_ns}):
                self._answer(ANSWER_TIMEOUT_S)

    def stop(
        self,
        end_ns: int,
        exit_code: int | None = None,
        *,
        meanwhile: Callable[[], None] | None = None,
    ) -> Ended:
        """End the recording; the window of the run ends at `end_ns`.

        `meanwhile` is called while the sampler finishes.
        """
        with self._lock:
            sent = self._send({"do": "stop", "end_ns": end_ns, "exit_code": exit_code})
            if meanwhile:
                meanwhile()
            answer = self._answer(ANSWER_TIMEOUT_S) if sent else None
            if answer is None:
                self._process.kill()
            self._process.wait()
            try:
                if answer is None:
                    return self._rescue(end_ns, exit_code)
            finally:
                self._close()
        lost = answer["lost_samples"]
        if answer["done"] and not lost:
            return Ended(True, ())
        return Ended(False, (f"{lost} samples were lost: {self.path} could not be written",))

    def discard(self) -> None:
        """End the recording and delete what there is of it."""
        self._process.kill()
        self._process.wait()
        self._close()
        remove(self.path)

    def forget(self) -> None:
        """In a forked child: the sampler is the parent's, and it must see the parent's end."""
        self._process.returncode = 0
        self._close()

    def _rescue(self, end_ns: int, exit_code: int | None) -> Ended:
        """The sampler was killed or failed: bring its file to an end ourselves."""
        why = self._last_words()
        if self._order.session:
            return Ended(False, (f"the sampler ended early ({why})",))
        try:
            # A run whose recorder is gone is read together with what was marked since.
            whole = load(self.path)
            writer = RunWriter.reopen(self.path)
            writer.replace_marks(whole)
            now = monotonic_ns()
            writer.add_event(Event("sampler_died", now, now, f"the sampler ended early ({why})"))
            writer.put(end_ns=end_ns, exit_code=exit_code)
            writer.finish()
        except (VidmeterError, OSError):
            # The metered command has run, and how it ended counts for more than our file.
            return Ended(False, (f"the sampler ended early ({why}) and left no run",))
        remove_marks(self.path)
        return Ended(False, (f"the sampler ended early ({why}): the run has a hole at its end",))

    def _ask(self, **request: Any) -> None:
        with self._lock:
            self._send(request)

    def _send(self, request: dict[str, Any]) -> bool:
        pipe = self._process.stdin
        assert pipe is not None
        try:
            pipe.write((json.dumps(request) + "\n").encode())
            pipe.flush()
        except (BrokenPipeError, ValueError):
            return False  # it is gone; `stop` finds out how
        return True

    def _answer(self, timeout_s: float) -> dict[str, Any] | None:
        """The next line it says, or None if it ends or stays silent."""
        pipe = self._answers
        deadline = monotonic_ns() + round(timeout_s * 1e9)
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                left_s = (deadline - monotonic_ns()) / 1e9
                if left_s <= 0 or not selector.select(left_s):
                    return None
                data = os.read(pipe.fileno(), 65536)
                if not data:
                    return None
                self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        code = self._process.poll()
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        if lines:
            return lines[-1]
        if code is not None and code < 0:
            return f"killed by signal {-code}"
        return "no answer" if code is None else f"exit code {code}"

    def _close(self) -> None:
        for pipe in (self._process.stdin, self._answers, self._stderr):
            if pipe is None:
                continue
            try:
                pipe.close()
            except BrokenPipeError:
                pass  # unsent requests to a sampler that is gone


def _home() -> str:
    """The folder that holds the package, for a sampler that runs from a checkout."""
    return str(Path(vidmeter.__file__).parent.parent)
