"""The value in the middle: a recorded execution, as it was captured. No derived number is in it."""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from vidmeter.meter.clock import Anchor
from vidmeter.meter.device import Device
from vidmeter.meter.sample import Series


class Trace(NamedTuple):
    """The samples of one series in time order, as two arrays of equal length."""

    t_ns: "array[int]"
    value: "array[float]"


@dataclass(frozen=True, slots=True)
class Phase:
    """A named window that the program marked. `parent` is the `id` of the phase around it.

    `end_ns` is None while it is open, and stays None if the program died inside. `error` is the
    name of the exception that left it.
    """

    id: str
    name: str
    start_ns: int
    end_ns: int | None
    parent: str | None = None
    error: str | None = None
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Work:
    """Something that was produced: a video, or a count of a unit such as tokens.

    `origin` says who says so: `file` (found on disk and probed), `program` (the program said so)
    or `user` (an option of the command line). `phase` is the `id` of the phase it was said in.
    """

    unit: str
    count: float
    origin: str
    video_seconds: float | None = None
    frames: int | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    path: str | None = None
    phase: str | None = None
    t_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to the measurement: a fault, a gap, a late tick, a loss.

    `count` repetitions between `start_ns` and `end_ns`. `kind` is a word, `detail` a sentence.
    """

    kind: str
    start_ns: int
    end_ns: int
    detail: str
    device: str | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Run:
    """One recorded execution.

    `start_ns` and `end_ns` enclose the command, or the program's measuring, on CLOCK_MONOTONIC.
    `end_ns` is None while it runs, and stays None if the recorder was killed. `exit_code` follows
    the shell: 128 + n for death by signal n. `workload` holds the facts of a reference workload.
    `close_look` is when cards that nothing was known of were polled fast: start, end and distance
    of the looks, ns. `idle` are windows before and after the command in which it didn't run.
    """

    id: str
    command: tuple[str, ...]
    start_ns: int
    end_ns: int | None
    exit_code: int | None
    period_ns: int
    devices: tuple[Device, ...]
    traces: Mapping[Series, Trace]
    phases: tuple[Phase, ...] = ()
    work: tuple[Work, ...] = ()
    events: tuple[Event, ...] = ()
    anchors: tuple[Anchor, ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    workload: Mapping[str, Any] | None = None
    close_look: tuple[int, int, int] | None = None
    idle: tuple[tuple[int, int], ...] = ()
    stated: Mapping[str, Any] | None = None
    path: Path | None = None

    def save(self, path: Path | str, *, force: bool = False) -> None:
        """Write it to a run file; `BadRun` if that exists (without `force`) or can't be written."""
        from vidmeter.meter.store import save

        save(self, Path(path), force=force)
