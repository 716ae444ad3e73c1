"""Reads what the metered processes mark, while they do and afterwards (docs/marks.md)."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from vidmeter.meter import marklines
from vidmeter.meter.clock import Anchor, anchor, monotonic_ns
from vidmeter.meter.run import Event, GpuEvent, Phase, Process, Work

SHARED = "shared.jsonl"
"""The file that programs in any language append to, in the folder of marks."""
NOT_ENDED = "not ended itself"
"""The error of a phase that ended because the one around it did."""


class Marked(NamedTuple):
    """What is new since the last look. A phase comes again when it changed, as does a process."""

    phases: tuple[Phase, ...]
    work: tuple[Work, ...]
    events: tuple[Event, ...]
    gpu_events: tuple[GpuEvent, ...]
    processes: tuple[Process, ...]


class MarkReader:
    """Reads what the metered processes have marked so far, again and again.

    `read` returns what is new; a line that is still being written is left for the next time, one
    that makes no sense is counted in `bad_lines`. `look` is for the file that programs in any
    language share: its lines need not tell a time, and have that of the look that finds them.

    `ended` is for a run whose recorder was killed: both clocks as they were last seen. `taken` is
    how far in the shared file that recorder had come: what is before isn't new.
    """

    def __init__(self, where: Path, *, ended: Anchor | None = None, taken: int = 0) -> None:
        self.folder = where
        self.bad_lines = 0
        self._ended_at = ended
        self._offsets: dict[Path, int] = {}
        self._phases: dict[str, Phase] = {}
        self._processes: dict[int, Process] = {}
        self._shared = where / SHARED
        self._found: list[_Found] = []
        self._open: dict[Path, list[str]] = {}
        self._numbers = count(1)
        self._looked_ns = self._newest_ns = 0
        if taken:
            self._found = [_Found(0, self._now(), t) for t in self._new_lines(self._shared, taken)]
            self._take_shared(_New({}, [], [], [], {}))

    @property
    def taken(self) -> int:
        """How much of the shared file was read, bytes."""
        return self._offsets.get(self._shared, 0)

    def look(self) -> None:
        """Take up what was appended to the shared file since the last look."""
        now = self._now()
        try:
            size = os.stat(self._shared).st_size  # noqa: PTH116 - at every reading of the sensors
        except OSError:
            return  # removed by the program, or never there
        if size < self.taken:  # somebody wrote with > for >>: what was there is lost
            self._offsets[self._shared] = 0
            self.bad_lines += 1
        if size > self.taken:
            lines = self._new_lines(self._shared)
            self._found += [_Found(self._looked_ns, now, text) for text in lines]
        self._looked_ns = now

    def read(self) -> Marked:
        """What was marked since the last call."""
        new = _New({}, [], [], [], {})
        self.look()
        self._take_shared(new)
        for path in sorted(self.folder.glob("*.jsonl")):
            if path != self._shared:
                for text in self._new_lines(path):
                    self._try(partial(self._take_text, text, path, new))
        return Marked(
            tuple(new.phases.values()),
            tuple(new.work),
            tuple(new.events),
            tuple(new.gpu_events),
            tuple(new.processes.values()),
        )

    def unfinished(self) -> int:
        """How many of the files end within a line: nobody will end it once the run is over."""
        found = 0
        for path in self.folder.glob("*.jsonl"):
            with suppress(OSError):
                found += path.stat().st_size > self._offsets.get(path, 0)
        return found

    def _now(self) -> int:
        return self._ended_at.monotonic_ns if self._ended_at else monotonic_ns()

    def _latest_ns(self) -> int:
        return marklines.MOST if self._ended_at else marklines.latest_ns()

    def _try(self, take: Callable[[], None]) -> None:
        try:
            take()
        except (ValueError, KeyError, TypeError, RecursionError):
            self.bad_lines += 1

    def _new_lines(self, path: Path, most: int = -1) -> list[bytes]:
        try:
            with path.open("rb") as file:
                file.seek(self._offsets.get(path, 0))
                data = file.read(most)
        except OSError:
            return []  # the program took it away again
        complete = data.rfind(b"\n") + 1
        self._offsets[path] = self._offsets.get(path, 0) + complete
        return data[:complete].splitlines()

    def _take_shared(self, new: "_New") -> None:
        for line in self._shared_lines():
            self._try(partial(self._take, line, self._shared, new))

    def _shared_lines(self) -> list[dict[str, Any]]:
        """What the looks have found, as marks with their times.

        The order of lines is that of time: one without a time came before the next that has one,
        after the last that has, and between two looks.
        """
        clocks, latest_ns = self._ended_at or anchor(), self._latest_ns()
        marks: list[tuple[dict[str, Any], _Found]] = []
        for found in self._found:
            self._try(partial(_add_mark, marks, found, clocks, latest_ns))
        self._found.clear()
        next_ns, limits_ns = marklines.MOST, []
        for line, _ in reversed(marks):
            limits_ns.append(next_ns)
            next_ns = line.get("t_ns", next_ns)
        for (line, found), limit_ns in zip(marks, reversed(limits_ns), strict=True):
            least_ns = max(found.after_ns, self._newest_ns)
            line.setdefault("t_ns", max(least_ns, min(found.seen_ns, limit_ns)))
            self._newest_ns = max(self._newest_ns, line["t_ns"])
        return [line for line, _ in marks]

    def _take_text(self, text: bytes, path: Path, new: "_New") -> None:
        line = marklines.mark_of(text)
        if line["mark"] not in ("gpu", "process"):
            line.setdefault("t_ns", self._now())
            marklines.instant_of(line, latest_ns=self._latest_ns())
        self._take(line, path, new)

    def _take(self, line: dict[str, Any], path: Path, new: "_New") -> None:
        """Take a mark of a file; what it leaves out is filled in."""
        kind = line.pop("mark")
        pid = int(path.stem) if path.stem.isdecimal() else 0
        if kind == "begin":
            self._begin(line, path, pid, new)
        elif kind == "end":
            self._end(line, path, new)
        elif kind == "work":
            around = {"phase": self._innermost(path), "origin": "program"}
            new.work.append(marklines.produced(around | line))
        elif kind == "gpu":
            new.gpu_events.extend(marklines.gpu_events(line, pid))
        elif kind == "process":
            known = self._processes.get(pid, Process(pid, {}))
            changed = Process(pid, {**known.facts, **marklines.told(line)})
            self._processes[pid] = new.processes[pid] = changed
        elif kind == "note":
            new.events.append(marklines.noted(line))
        else:
            raise ValueError(kind)

    def _begin(self, line: dict[str, Any], path: Path, pid: int, new: "_New") -> None:
        named = "id" in line
        if not named:
            line["id"] = next(i for n in self._numbers if (i := f"0-{n}") not in self._phases)
        line.setdefault("parent", self._innermost(path))
        phase = marklines.opened(line, pid)
        if pid == 0 and phase.id in self._phases:
            raise ValueError("a second phase of this id")
        node = phase.parent
        while node is not None:
            if node == phase.id:
                raise ValueError("a phase inside itself")
            node = self._phases[node].parent if node in self._phases else None
        self._change(phase, new)
        if not named:
            self._open.setdefault(path, []).append(phase.id)

    def _end(self, line: dict[str, Any], path: Path, new: "_New") -> None:
        """Close the phase of that id, or the innermost of that name and what is open inside it."""
        if "id" in line:
            self._change(marklines.closed(self._phases[line["id"]], line), new)
            return
        name, stack = line.get("name"), self._open.get(path, [])
        fitting = [i for i, id_ in enumerate(stack) if name in (None, self._phases[id_].name)]
        if not fitting:
            raise ValueError("an end of nothing")
        at = fitting[-1]
        ended = marklines.closed(self._phases[stack[at]], line)
        for inner in (self._phases[id_] for id_ in reversed(stack[at + 1 :])):
            end_ns = max(inner.start_ns, line["t_ns"])
            self._change(replace(inner, end_ns=end_ns, error=NOT_ENDED), new)
        self._change(ended, new)
        del stack[at:]

    def _innermost(self, path: Path) -> str | None:
        stack = self._open.get(path)
        return stack[-1] if stack else None

    def _change(self, phase: Phase, new: "_New") -> None:
        self._phases[phase.id] = new.phases[phase.id] = phase


class _Found(NamedTuple):
    """A line of the shared file that a look found: after the look before, and when it was seen."""

    after_ns: int
    seen_ns: int
    text: bytes


class _New(NamedTuple):
    """What one look has brought so far."""

    phases: dict[str, Phase]
    work: list[Work]
    events: list[Event]
    gpu_events: list[GpuEvent]
    processes: dict[int, Process]


def _add_mark(
    marks: list[tuple[dict[str, Any], _Found]], found: _Found, clocks: Anchor, latest_ns: int
) -> None:
    line = marklines.line_of(found.text, clocks)
    if line is None:
        return
    if "t_ns" in line:
        line["t_ns"] = marklines.instant_of(line, latest_ns=latest_ns)
    marks.append((line, found))
