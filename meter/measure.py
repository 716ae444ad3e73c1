"""Measuring from inside a program: `measure`, `phase` and `work`.

Under `vidmeter run` they mark the run in progress, and its sampler does the work. In a program that
was started without it, the first `measure` starts a sampler beside the program; it samples only
while a window is open. Nothing here synchronises a GPU or touches the program's signals.
"""

import atexit
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any, TypeVar, overload

from vidmeter.meter import marks
from vidmeter.meter.clock import monotonic_ns
from vidmeter.meter.decorate import around
from vidmeter.meter.errors import BadRun
from vidmeter.meter.run import Run, Work
from vidmeter.meter.store import SUFFIX, Tail, load
from vidmeter.meter.windows import paths

if TYPE_CHECKING:  # numpy comes with it: only when a result is asked for
    from vidmeter.meter.recorder import Recorder
    from vidmeter.meter.summary import DeviceEnergy, PerUnit, PhaseSummary, Summary, WorkDone

CATCH_UP_S = 2.0
"""How long a result waits for the run in progress to be written past the end of the window."""

F = TypeVar("F", bound=Callable[..., Any])


class Measurement:
    """The energy of one window. Its numbers are there once the window is closed.

    Asking for one of them reads the samples and does the arithmetic, so the measured code itself
    never waits. Energies are in J, None where nothing could be measured.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.start_ns: int | None = None
        self.end_ns: int | None = None
        self._phase: str | None = None
        self._source: _Session | _RunInProgress | None = None

    def __repr__(self) -> str:
        if self.end_ns is None:
            return f"<Measurement {self.name!r}, still open>"
        low, high = self.low_j, self.high_j
        if self.energy_j is None or low is None or high is None:
            return f"<Measurement {self.name!r}, energy unknown, {self.duration_s:.3g} s>"
        return (
            f"<Measurement {self.name!r}, {self.energy_j:.4g} J"
            f" ({low:.4g} to {high:.4g}), {self.duration_s:.3g} s>"
        )

    @property
    def duration_s(self) -> float:
        """The length of the window, s; of an open one, so far."""
        if self.start_ns is None:
            return 0.0
        return ((self.end_ns or monotonic_ns()) - self.start_ns) / 1e9

    @cached_property
    def run(self) -> Run:
        """The samples, phases and work around this window; `run.save(path)` keeps them."""
        if self._source is None or self.start_ns is None or self.end_ns is None:
            raise BadRun(f"the window {self.name!r} is still open: its numbers come when it closes")
        run = self._source.run(self.start_ns, self.end_ns)
        inside = paths(run.phases, inside=self._phase)
        return replace(
            run,
            start_ns=self.start_ns,
            end_ns=self.end_ns,
            phases=tuple(p for p in run.phases if p.id in inside),
            work=tuple(w for w in run.work if w.phase == self._phase or w.phase in inside),
        )

    @cached_property
    def summary(self) -> "Summary":
        """All numbers of the window."""
        from vidmeter.meter.summarize import summarize

        return summarize(self.run)

    @property
    def energy_j(self) -> float | None:
        """The energy of the devices that the total covers, J."""
        return self.summary.total.energy_j

    @property
    def low_j(self) -> float | None:
        """The lower end of the energy's 95 % interval, J."""
        return self.summary.total.low_j

    @property
    def high_j(self) -> float | None:
        """The upper end of the energy's 95 % interval, J."""
        return self.summary.total.high_j

    @property
    def devices(self) -> "tuple[DeviceEnergy, ...]":
        """The energy of each device."""
        return self.summary.devices

    @property
    def phases(self) -> "tuple[PhaseSummary, ...]":
        """The energy of each phase inside the window."""
        return self.summary.phases

    @property
    def work(self) -> "WorkDone":
        """What was produced in the window."""
        return self.summary.work

    @property
    def per_unit(self) -> "Mapping[str, PerUnit]":
        """Energy per unit of work, such as `per_unit["j_per_video_second"].value`."""
        return self.summary.per_unit

    @property
    def cautions(self) -> tuple[str, ...]:
        """What is to be doubted."""
        return tuple(caution.text for caution in self.summary.cautions)


class _Marked:
    """A phase as a context manager and decorator; the base of `phase` and `measure`."""

    def __init__(self, name: str | None = None) -> None:
        self._name = name
        self._stack: list[tuple[Any, AbstractContextManager[None]]] = []

    def __enter__(self) -> Any:
        span = self._span(self._name or "measure")
        span.open()
        active = span.active()
        active.__enter__()
        self._stack.append((span, active))
        return span.result

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        span, active = self._stack.pop()
        active.__exit__(None, None, None)
        span.close(error)

    def __call__(self, function: F) -> F:
        """Decorate a function: plain, async, or a generator of either sort."""
        name = self._name or function.__name__
        return around(function, lambda: self._span(name))

    def _span(self, name: str) -> Any:
        return _PhaseSpan(name)


class _PhaseSpan:
    """One phase, open from `open` to `close`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.result: Any = None
        self.id: str | None = None

    def open(self) -> None:
        self.id = marks.begin(self.name)

    def close(self, error: BaseException | None) -> None:
        marks.end(self.id, error=type(error).__name__ if error else None)

    def active(self) -> AbstractContextManager[None]:
        return marks.inside(self.id)


class phase(_Marked):
    """Name a part of the program: `with phase("denoise"):`, or `@phase("denoise")`.

    Phases nest, across threads and asyncio tasks too. When nobody measures, they cost nothing.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)


class _Measure(_Marked):
    """What `measure(...)` returns: a context manager and a decorator."""

    def __init__(
        self,
        name: str | None,
        selection: Mapping[str, Any],
        on_end: Callable[[Measurement], None] | None,
    ) -> None:
        super().__init__(name)
        self._selection = selection
        self._on_end = on_end

    def __enter__(self) -> Measurement:
        result: Measurement = super().__enter__()
        return result

    def __call__(self, function: F) -> F:
        """Decorate a function: plain, async, or a generator of either sort."""
        name = self._name or function.__name__

        def finished(measurement: Measurement) -> None:
            wrapper.measurement = measurement  # type: ignore[attr-defined]
            if self._on_end:
                self._on_end(measurement)

        wrapper = around(function, lambda: _MeasureSpan(name, self._selection, finished))
        return wrapper

    def _span(self, name: str) -> "_MeasureSpan":
        return _MeasureSpan(name, self._selection, self._on_end)


@overload
def measure(name: F, /) -> F: ...


@overload
def measure(
    name: str | None = None,
    /,
    *,
    on_end: Callable[[Measurement], None] | None = None,
    gpus: str | None = None,
    sensors: tuple[str, ...] = (),
    cpu_watts: float | None = None,
) -> _Measure: ...


def measure(
    name: Any = None,
    /,
    *,
    on_end: Callable[[Measurement], None] | None = None,
    gpus: str | None = None,
    sensors: tuple[str, ...] = (),
    cpu_watts: float | None = None,
) -> Any:
    """Measure the energy of a block, or of each call of a function.

        with vidmeter.measure() as m:
            video = pipe(prompt)
            vidmeter.work(frames=81, fps=16)
        print(m.energy_j, m.per_unit["j_per_video_second"].value)

        @vidmeter.measure            # or @vidmeter.measure("clip", on_end=print)
        def generate(prompt): ...

    A decorated function carries its latest finished `Measurement` as `.measurement`; `on_end` is
    called with each. An exception closes the window and goes on. `gpus`, `sensors` and `cpu_watts`
    are as for `vidmeter run`; under it they have been chosen already, and in a program of its own
    the first `measure` decides for all.
    """
    selection = {"gpus": gpus, "sensors": tuple(sensors), "cpu_watts": cpu_watts}
    if callable(name):
        return _Measure(None, selection, on_end)(name)
    return _Measure(name, selection, on_end)


class _MeasureSpan(_PhaseSpan):
    """One measured window: a phase, and a session that samples while it is open."""

    def __init__(
        self,
        name: str,
        selection: Mapping[str, Any],
        on_end: Callable[[Measurement], None] | None,
    ) -> None:
        super().__init__(name)
        self.result = Measurement(name)
        self._selection = selection
        self._on_end = on_end

    def open(self) -> None:
        measurement = self.result
        measurement._source = source = _source(self._selection)
        source.window(1)
        measurement.start_ns = monotonic_ns()
        self.id = measurement._phase = marks.begin(self.name, t_ns=measurement.start_ns)

    def close(self, error: BaseException | None) -> None:
        measurement = self.result
        measurement.end_ns = monotonic_ns()
        marks.end(self.id, error=type(error).__name__ if error else None, t_ns=measurement.end_ns)
        measurement._source.window(-1)
        if self._on_end:
            self._on_end(measurement)


def work(
    *,
    video_seconds: float | None = None,
    frames: int | None = None,
    width: int | None = None,
    height: int | None = None,
    fps: float | None = None,
    videos: int = 1,
    **units: float,
) -> None:
    """Say what was just produced, in the current phase: a video, or counts of any unit.

    `work(video_seconds=5.06, frames=81, width=832, height=480)` or `work(tokens=256)`. Seconds
    follow from `frames` and `fps` if they are not given. `videos` is the number of clips that these
    are the sums of.
    """
    if video_seconds is None and frames and fps:
        video_seconds = frames / fps
    if video_seconds is not None or frames is not None:
        marks.work(Work("video", videos, "program", video_seconds, frames, width, height, fps))
    for unit, count in units.items():
        marks.work(Work(unit, count, "program"))


class _RunInProgress:
    """The run of `vidmeter run`, which another process writes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def window(self, opened: int) -> None:
        """The run samples all the time."""

    def run(self, start_ns: int, end_ns: int) -> Run:
        tail = Tail(self._path)
        waited_s, newest = 0.0, 0
        while newest <= end_ns and waited_s < CATCH_UP_S:
            newest = max([newest, *(trace.t_ns[-1] for _, trace in tail.new())])
            if newest <= end_ns:
                sleep(0.05)
                waited_s += 0.05
        tail.close()
        return load(self._path, window=(start_ns, end_ns))


class _Session:
    """A sampler of our own beside this process, with a run file that goes when it does."""

    def __init__(self, selection: Mapping[str, Any]) -> None:
        from vidmeter.meter import recorder
        from vidmeter.meter.order import Order
        from vidmeter.meter.store import marks_folder

        self._folder = Path(tempfile.mkdtemp(prefix="vidmeter-"))
        path = self._folder / f"session{SUFFIX}"
        order = Order(str(path), command=_own_command(), session=True, **selection)
        try:
            self.recorder: Recorder = recorder.Recorder(order)
            self.recorder.wait()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self.pid = os.getpid()
        marks.use_folder(marks_folder(path))
        atexit.register(self.close)

    def window(self, opened: int) -> None:
        self.recorder.window(opened)

    def run(self, start_ns: int, end_ns: int) -> Run:
        self.recorder.flush(end_ns)
        return load(self.recorder.path, window=(start_ns, end_ns))

    def close(self) -> None:
        if os.getpid() == self.pid:  # a fork runs the same exit handlers
            self.recorder.stop(monotonic_ns())
            shutil.rmtree(self._folder, ignore_errors=True)


_session: _Session | None = None
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


def _source(selection: Mapping[str, Any]) -> _Session | _RunInProgress:
    """Where this process's measurements come from."""
    global _session
    path = os.environ.get(marks.FILE_ENV)
    if path and os.path.exists(path):  # noqa: PTH110 - on the way into every measured call
        return _RunInProgress(Path(path))
    with _session_lock:
        if _session is None:
            _session = _Session(selection)
        return _session


def _own_command() -> tuple[str, ...]:
    try:
        raw = Path("/proc/self/cmdline").read_bytes()
    except OSError:
        return ()
    return tuple(part.decode(errors="replace") for part in raw.rstrip(b"\0").split(b"\0"))
