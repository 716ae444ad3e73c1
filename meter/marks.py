"""Phases and work, written down by the metered program itself.

Every process appends lines to a file of its own in one folder, so any number of processes, threads
and tasks can mark at once, none can harm another's marks, and what was written before a crash
stays written. The folder is named in the environment (`VIDMETER_MARKS`), so children of children
mark the same run; a program that measures itself names it with `use_folder`. Without a folder,
marking does nothing.

A line is one JSON object. `{"mark": "begin", "id": …, "name": …, "t_ns": …, "parent": …}` opens a
phase, `{"mark": "end", "id": …, "t_ns": …, "error": …}` closes it, and `{"mark": "work", …}` says
what was produced. Times are CLOCK_MONOTONIC, which all processes of a machine share.
"""

import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any

from vidmeter.meter.clock import monotonic_ns
from vidmeter.meter.run import Phase, Work

MARKS_ENV = "VIDMETER_MARKS"
FILE_ENV = "VIDMETER_FILE"
"""Names the run file that is being written, for programs under `vidmeter run`."""

_current: ContextVar[str | None] = ContextVar("vidmeter_phase", default=None)
_ids = itertools.count(1)
_files: dict[tuple[int, str], int] = {}
_own_folder: str | None = None


def use_folder(folder: Path | None) -> None:
    """Mark in `folder` from now on, in this process and its forks; None: by the environment."""
    global _own_folder
    _own_folder = str(folder) if folder else None


def folder() -> str | None:
    """The folder in which this process marks, or None when nobody meters it."""
    return _own_folder or os.environ.get(MARKS_ENV) or None


def begin(name: str, *, t_ns: int | None = None) -> str | None:
    """Open a phase inside the current one; its id, or None when nobody meters this process."""
    where = folder()
    if where is None:
        return None
    phase_id = f"{os.getpid()}-{next(_ids)}"
    line = {
        "mark": "begin",
        "id": phase_id,
        "name": name,
        "t_ns": monotonic_ns() if t_ns is None else t_ns,
        "parent": _current.get(),
    }
    _append(where, line)
    return phase_id


def end(phase_id: str | None, *, error: str | None = None, t_ns: int | None = None) -> None:
    """Close a phase; `error` names the exception that left it."""
    where = folder()
    if phase_id is None or where is None:
        return
    now = monotonic_ns() if t_ns is None else t_ns
    _append(where, {"mark": "end", "id": phase_id, "t_ns": now, "error": error})


@contextmanager
def inside(phase_id: str | None) -> Iterator[None]:
    """Make `phase_id` the current phase of this thread or task for the block."""
    if phase_id is None:
        yield
        return
    token = _current.set(phase_id)
    try:
        yield
    finally:
        try:
            _current.reset(token)
        except ValueError:
            # A suspended generator was closed from another task: its own context is gone with it.
            pass


def work(work_done: Work) -> None:
    """Say what was produced, in the current phase."""
    where = folder()
    if where is None:
        return
    facts = {
        name: value
        for name in Work.__dataclass_fields__
        if (value := getattr(work_done, name)) is not None
    }
    phase = work_done.phase or _current.get()
    _append(where, {"mark": "work", **facts, "t_ns": monotonic_ns(), "phase": phase})


def _append(where: str, line: dict[str, Any]) -> None:
    key = (os.getpid(), where)
    fd = _files.get(key)
    try:
        if fd is None:
            path = os.path.join(where, f"{key[0]}.jsonl")  # noqa: PTH118 - a Path costs 10 µs here
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            _files[key] = fd
        # One write for a whole line: O_APPEND keeps lines of several writers apart.
        os.write(fd, (json.dumps(line, separators=(",", ":")) + "\n").encode())
    except OSError:
        # The folder is gone because the run ended, or the disk is full. The program comes first:
        # it must not fail for a mark. The run shows the phase as never closed.
        _files.pop(key, None)


class MarkReader:
    """Reads what the metered processes have marked so far, again and again.

    `read` returns what is new; a line that is still being written is left for the next time, one
    that makes no sense is counted in `bad_lines`.
    """

    def __init__(self, where: Path) -> None:
        self.folder = where
        self.bad_lines = 0
        self._offsets: dict[Path, int] = {}
        self._phases: dict[str, Phase] = {}

    def read(self) -> tuple[list[Phase], list[Work]]:
        """Phases that are new or changed, and new work, since the last call."""
        changed: dict[str, Phase] = {}
        done: list[Work] = []
        for path in sorted(self.folder.glob("*.jsonl")):
            for line in self._new_lines(path):
                try:
                    self._take(json.loads(line), path.stem, changed, done)
                except (ValueError, KeyError, TypeError):
                    self.bad_lines += 1
        return list(changed.values()), done

    def _new_lines(self, path: Path) -> list[bytes]:
        with path.open("rb") as file:
            file.seek(self._offsets.get(path, 0))
            data = file.read()
        complete = data.rfind(b"\n") + 1
        self._offsets[path] = self._offsets.get(path, 0) + complete
        return data[:complete].splitlines()

    def _take(
        self, line: dict[str, Any], writer: str, changed: dict[str, Phase], done: list[Work]
    ) -> None:
        kind = line.pop("mark")
        if kind == "begin":
            phase = Phase(
                id=str(line["id"]),
                name=str(line["name"]),
                start_ns=int(line["t_ns"]),
                end_ns=None,
                parent=line.get("parent"),
                pid=int(writer) if writer.isdecimal() else 0,
            )
        elif kind == "end":
            phase = replace(
                self._phases[line["id"]], end_ns=int(line["t_ns"]), error=line.get("error")
            )
        elif kind == "work":
            done.append(Work(**line))
            return
        else:
            raise ValueError(kind)
        self._phases[phase.id] = changed[phase.id] = phase
