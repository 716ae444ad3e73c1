"""Phases, work and notes, written down by the metered program itself.

Every process appends lines to a file of its own in one folder, so any number of processes, threads
and tasks can mark at once, none can harm another's marks, and what was written before a crash
stays written. The folder is named in the environment (`VIDMETER_MARKS`), so children of children
mark the same run; a program that measures itself names it with `use_folder`. Without a folder,
marking does nothing. docs/marks.md describes the lines; `markreader` reads them.

This module runs inside the metered program, in whatever Python that has, and needs the standard
library alone. It may be there twice: as `vidmeter.meter.marks`, if the program uses vidmeter, and
as `_vidmeter.marks`, for the hook that marks unmodified scripts. Both then share one state, so that
their phases nest. Hence the relative import.
"""

import itertools
import json
import os
import sys
import threading
import time
from contextlib import contextmanager
from contextvars import ContextVar

from .gpuclock import GpuClock

TYPE_CHECKING = False  # typing itself is 10 ms that no metered program should wait for
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import Any

    Instant = tuple[int, int | None]
    """CLOCK_MONOTONIC in ns, and the number of the event that was queued on a GPU."""
    Mirror = tuple[Callable[[str], Any], Callable[[Any], Any]]
    """Starts a range of another profiler, and ends it by what the start returned."""

MARKS_ENV = "VIDMETER_MARKS"
FILE_ENV = "VIDMETER_FILE"
"""Names the run file that is being written, for programs under `vidmeter run`."""
MARK_FILE_ENV = "VIDMETER_MARK_FILE"
"""Names the one file to which programs in any language append lines (docs/marks.md)."""
VERSION = 1
"""Of what is shared between two copies of this module."""


class _State:
    """What this process has written so far, and where it stands."""

    def __init__(self) -> None:
        self.current: ContextVar[str | None] = ContextVar("vidmeter_phase", default=None)
        first = _first_number()
        self.ids = itertools.count(first)
        self.files: dict[tuple[int, str], int] = {}
        self.own_folder: str | None = None
        self.gpu = GpuClock(lambda line: append(line), first)
        os.register_at_fork(after_in_child=self.gpu.forget)
        self.mirror: Mirror | None = None
        self.mirrored: dict[str, Any] = {}


def _first_number() -> int:
    """Where phases and events are counted from: 1, or behind all that this process may have used.

    A program that took another's place (exec) has its number and goes on in its file.
    """
    where = os.environ.get(MARKS_ENV)
    if where and os.access(_file(where), os.F_OK):
        return time.monotonic_ns() // 1000
    return 1


def _file(where: str) -> str:
    """The file of this process in a folder of marks."""
    return os.path.join(where, f"{os.getpid()}.jsonl")  # noqa: PTH118 - a Path costs 10 µs here


_self = sys.modules[__name__]


def _shared_state() -> _State:
    for name in ("_vidmeter.marks", "vidmeter.meter.marks"):
        other = sys.modules.get(name)
        if other is not None and getattr(other, "VERSION", None) == VERSION and other is not _self:
            state: _State = other._state
            return state
    return _State()


_state = _shared_state()


def use_folder(folder: "Path | None") -> None:
    """Mark in `folder` from now on, in this process and its forks; None: by the environment."""
    _state.own_folder = str(folder) if folder else None


def folder() -> "str | None":
    """The folder in which this process marks, or None when nobody meters it."""
    return _state.own_folder or os.environ.get(MARKS_ENV) or None


def instant() -> "Instant":
    """This moment, here and, where the program uses a GPU, there: an event is queued for it.

    The event goes on the current stream, and nothing waits for it.
    """
    return time.monotonic_ns(), _state.gpu.record() if folder() else None


def begin(
    name: str,
    *,
    at: "Instant | None" = None,
    facts: "Mapping[str, Any] | None" = None,
    mirrored: bool = True,
) -> "str | None":
    """Open a phase inside the current one, now or `at` a moment that was taken before.

    Returns its id, or None when nobody meters this process. Not `mirrored`, it is not shown to
    another profiler, because it comes from there.
    """
    if folder() is None:
        return None
    t_ns, event = at or instant()
    phase_id = f"{os.getpid()}-{next(_state.ids)}"
    line: dict[str, Any] = {
        "mark": "begin",
        "id": phase_id,
        "name": str(name),
        "t_ns": t_ns,
        "parent": _state.current.get(),
        "tid": threading.get_native_id(),
    }
    append(_with(line, event, facts))
    if mirrored and at is None and _state.mirror is not None:
        _show(phase_id, name, _state.mirror)
    return phase_id


def end(
    phase_id: "str | None",
    *,
    error: "str | None" = None,
    at: "Instant | None" = None,
    facts: "Mapping[str, Any] | None" = None,
) -> None:
    """Close a phase; `error` names the exception that left it, `facts` adds to those of `begin`.

    A fork that leaves the block in which it was forked doesn't: the phase is its parent's.
    """
    if phase_id is None or folder() is None or not phase_id.startswith(f"{os.getpid()}-"):
        return
    t_ns, event = at or instant()
    line: dict[str, Any] = {"mark": "end", "id": phase_id, "t_ns": t_ns, "error": error}
    append(_with(line, event, facts))
    if phase_id in _state.mirrored and _state.mirror is not None:
        _state.mirror[1](_state.mirrored.pop(phase_id))
    _state.gpu.collect()


def _with(
    line: "dict[str, Any]", event: "int | None", facts: "Mapping[str, Any] | None"
) -> "dict[str, Any]":
    if event is not None:
        line["event"] = event
    if facts:
        line["facts"] = facts
    return line


def mirror(start: "Callable[[str], Any]", end: "Callable[[Any], Any]") -> None:
    """Show phases to another profiler from now on, as ranges that it starts and ends by number."""
    if _state.mirror is None:
        _state.mirror = (start, end)


def _show(phase_id: str, name: str, mirror: "Mirror") -> None:
    try:
        _state.mirrored[phase_id] = mirror[0](name)
    except Exception:  # noqa: BLE001 - such as a build of torch without NVTX: not ours to raise
        _state.mirror = None


def enter(phase_id: "str | None") -> "str | None":
    """Make `phase_id` the current phase of this thread or task; the one it was before."""
    before = _state.current.get()
    _state.current.set(phase_id)
    return before


def current() -> "str | None":
    """The id of the phase that this thread or task is in."""
    return _state.current.get()


@contextmanager
def inside(phase_id: "str | None") -> "Iterator[None]":
    """Make `phase_id` the current phase of this thread or task for the block."""
    if phase_id is None:
        yield
        return
    token = _state.current.set(phase_id)
    try:
        yield
    finally:
        try:
            _state.current.reset(token)
        except ValueError:
            # A suspended generator was closed from another task: its own context is gone with it.
            pass


def work(
    unit: str, count: float, *, origin: str, phase: "str | None" = None, **facts: "Any"
) -> None:
    """Say what was produced, in the current phase; `facts` as in `run.Work`, None left out."""
    known = {name: value for name, value in facts.items() if value is not None}
    line = {"mark": "work", "unit": unit, "count": count, "origin": origin, **known}
    append(line | {"t_ns": time.monotonic_ns(), "phase": phase or _state.current.get()})


def settle(patience_s: float = 60.0) -> None:
    """Wait until the GPU has come to all that was marked, for whoever wants numbers now."""
    _state.gpu.close(round(patience_s * 1e9))


def note(kind: str, text: str) -> None:
    """Say what may be wrong with the marks of this process; it becomes a caution of the run."""
    append({"mark": "note", "kind": kind, "text": text, "t_ns": time.monotonic_ns()})


def process(**facts: "Any") -> None:
    """Say something about this process as a whole, such as versions of its packages."""
    append({"mark": "process", **facts})


def append(line: "Mapping[str, Any]") -> None:
    """Write one line, if this process is metered."""
    where = folder()
    if where is None:
        return
    key = (os.getpid(), where)
    fd = _state.files.get(key)
    try:
        data = (json.dumps(line, separators=(",", ":"), default=_plain) + "\n").encode()
        if fd is None:
            fd = os.open(_file(where), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            _state.files[key] = fd
            os.write(fd, _who())
        # One write for a whole line: O_APPEND keeps lines of several writers apart.
        os.write(fd, data)
    except OSError:
        # The folder is gone because the run ended, or the disk is full. The program comes first:
        # it must not fail for a mark. The run shows the phase as never closed.
        _state.files.pop(key, None)


def _plain(value: "Any") -> "int | float | str":
    """What JSON has no form for: a number of another library is one, all else is its text."""
    for kind, method in ((int, "__index__"), (float, "__float__")):
        if hasattr(value, method):
            return kind(value)
    return str(value)


def _who() -> bytes:
    """The line that a process begins with."""
    facts: dict[str, Any] = {"mark": "process", "pid": os.getpid(), "ppid": os.getppid()}
    for name, key in (("RANK", "rank"), ("WORLD_SIZE", "world_size")):
        value = os.environ.get(name, "")
        if value.isdecimal():
            facts[key] = int(value)
    return (json.dumps(facts, separators=(",", ":")) + "\n").encode()
