"""Measuring from inside a program: `measure`, `phase` and `work`.

Under `vidmeter run` they mark the run in progress, and its sampler does the work. In a program that
was started without it, the first `measure` starts a sampler beside the program. Nothing here
synchronises a GPU or touches the program's signals.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar, overload

from vidmeter.meter import marks
from vidmeter.meter.decorate import around
from vidmeter.meter.measurement import Measurement
from vidmeter.meter.session import source

F = TypeVar("F", bound=Callable[..., Any])


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
        span, active = self._entered_here()
        active.__exit__(None, None, None)
        span.close(error)

    def _entered_here(self) -> tuple[Any, AbstractContextManager[None]]:
        """The latest of this thread or task: others may be in the same object's block."""
        here = marks.current()
        stack = tuple(self._stack)
        entered = next((one for one in reversed(stack) if one[0].id == here), stack[-1])
        self._stack.remove(entered)
        return entered

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
        measurement.source = source(self._selection)
        measurement.source.window(1)
        now = marks.instant()
        measurement.start_ns = now[0]
        self.id = measurement.phase = marks.begin(self.name, at=now)

    def close(self, error: BaseException | None) -> None:
        measurement = self.result
        now = marks.instant()
        measurement.end_ns = now[0]
        marks.end(self.id, error=type(error).__name__ if error else None, at=now)
        measurement.source.window(-1)
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
        marks.work(
            "video",
            videos,
            origin="program",
            video_seconds=video_seconds,
            frames=frames,
            width=width,
            height=height,
            fps=fps,
        )
    for unit, count in units.items():
        marks.work(unit, count, origin="program")
