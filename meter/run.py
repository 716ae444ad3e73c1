"""The value in the middle: a recorded execution, as it was captured. No derived number is in it."""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vidmeter.meter.clock import Anchor
from vidmeter.meter.device import Device
from vidmeter.meter.sample import Series

if TYPE_CHECKING:
    import pandas as pd


class Trace(NamedTuple):
    """The samples of one series in time order, as two arrays of equal length."""

    t_ns: "array[int]"
    value: "array[float]"


@dataclass(frozen=True, slots=True)
class Phase:
    """A named window that the program marked. `parent` is the `id` of the phase around it.

    `end_ns` is None while it is open, and stays None if the program died inside. `error` is the
    name of the exception that left it. Both times are the host's: when work was asked for.
    `start_event` and `end_event` are the numbers (`seq`) of the process's GPU events that were
    queued at the same points, and tell when the GPU came there. `facts` are what the marking code
    knew of it, as JSON values.
    """

    id: str
    name: str
    start_ns: int
    end_ns: int | None
    parent: str | None = None
    error: str | None = None
    pid: int = 0
    tid: int = 0
    start_event: int | None = None
    end_event: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


class GpuEvent(NamedTuple):
    """An event that a process queued on a GPU, and when that GPU came to it, by its own clock.

    The GPU came to it `elapsed_ms` after the event `previous` of the same process and device; both
    are None for the first of a chain. The host queued it just after `recorded_ns`, and first saw it
    done at `seen_ns` (CLOCK_MONOTONIC): the true instant is between the two. `device` is the GPU's
    uuid, or `cuda:N` where the program couldn't tell it.
    """

    pid: int
    seq: int
    device: str
    previous: int | None
    elapsed_ms: float | None
    recorded_ns: int
    seen_ns: int


class Process(NamedTuple):
    """A process that marked; `facts` as JSON values: `ppid`, `rank`, `world_size`, versions."""

    pid: int
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Work:
    """Something that was produced: a video, or a count of a unit such as tokens.

    `origin` says who says so: `user` (an option of the command line), `program` (the program said
    so), `file` (found on disk and probed), `export` (a call that wrote a file, seen by the hook) or
    `pipeline` (what a pipeline returned, likewise). `phase` is the `id` of the phase in which it
    was said.
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


@dataclass(frozen=True)
class Run:
    """One recorded execution.

    `start_ns` and `end_ns` enclose the command, or the program's measuring, on CLOCK_MONOTONIC.
    `end_ns` is None while it runs, and stays None if the recorder was killed. `exit_code` follows
    the shell: 128 + n for death by signal n. `workload` holds the facts of a reference workload.
    `gpu_events` tie phases to the GPUs' own time, `processes` are those that marked.
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
    gpu_events: tuple[GpuEvent, ...] = ()
    processes: tuple[Process, ...] = ()
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

    def to_frame(self) -> "pd.DataFrame":
        """Its numbers as a pandas DataFrame, a row for each phase and device (docs/csv.md)."""
        from vidmeter.meter.rows import frame

        return frame([self])
