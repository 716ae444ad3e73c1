"""Reads what the metered processes mark, while they do and afterwards (docs/marks.md)."""

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from vidmeter.meter.clock import anchor, monotonic_ns
from vidmeter.meter.run import Event, GpuEvent, Phase, Process, Work

SHARED = "shared.jsonl"
"""The file that programs in any language append to, in the folder of marks."""


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
    """

    def __init__(self, where: Path) -> None:
        self.folder = where
        self.bad_lines = 0
        self._offsets: dict[Path, int] = {}
        self._phases: dict[str, Phase] = {}
        self._processes: dict[int, Process] = {}
        self._shared = where / SHARED
        self._found: list[tuple[int, bytes]] = []
        self._open: list[str] = []
        self._numbers = count(1)

    def look(self) -> None:
        """Take up what was appended to the shared file since the last look."""
        try:
            size = os.stat(self._shared).st_size  # noqa: PTH116 - at every reading of the sensors
        except OSError:
            return  # removed by the program, or never there
        if size > self._offsets.get(self._shared, 0):
            seen_ns = monotonic_ns()
            self._found += [(seen_ns, line) for line in self._new_lines(self._shared)]

    def read(self) -> Marked:
        """What was marked since the last call."""
        new = _New({}, [], [], [], {})
        self.look()
        for line in self._shared_lines():
            self._try(partial(self._share, line, new))
        for path in sorted(self.folder.glob("*.jsonl")):
            if path != self._shared:
                pid = int(path.stem) if path.stem.isdecimal() else 0
                for text in self._new_lines(path):
                    self._try(partial(self._parse, text, pid, new))
        return Marked(
            tuple(new.phases.values()),
            tuple(new.work),
            tuple(new.events),
            tuple(new.gpu_events),
            tuple(new.processes.values()),
        )

    def _try(self, take: Callable[[], None]) -> None:
        try:
            take()
        except (ValueError, KeyError, TypeError, AttributeError):
            self.bad_lines += 1

    def _new_lines(self, path: Path) -> list[bytes]:
        with path.open("rb") as file:
            file.seek(self._offsets.get(path, 0))
            data = file.read()
        complete = data.rfind(b"\n") + 1
        self._offsets[path] = self._offsets.get(path, 0) + complete
        return data[:complete].splitlines()

    def _shared_lines(self) -> list[dict[str, Any]]:
        """What the looks have found, as marks with their times.

        The order of lines is that of time: one without a time came before the next that has one.
        """
        lines: list[dict[str, Any]] = []
        next_ns = monotonic_ns()
        for seen_ns, text in reversed(self._found):
            try:
                line = read_line(text.decode())
            except (ValueError, KeyError, TypeError):
                self.bad_lines += 1
                continue
            if line is not None:
                line.setdefault("t_ns", min(seen_ns, next_ns))
                next_ns = int(line["t_ns"])
                lines.append(line)
        self._found.clear()
        return lines[::-1]

    def _parse(self, text: bytes, pid: int, new: "_New") -> None:
        self._take(json.loads(text), pid, new)

    def _share(self, line: dict[str, Any], new: "_New") -> None:
        """Take a line of the shared file: what it leaves out is filled in."""
        kind = line["mark"]
        if kind == "begin":
            line.setdefault("id", f"0-{next(self._numbers)}")
            line.setdefault("parent", self._open[-1] if self._open else None)
            self._open.append(str(line["id"]))
        elif kind == "end":
            for id_ in self._ended(line):
                self._take({**line, "id": id_}, 0, new)
            return
        elif kind == "work":
            line.setdefault("origin", "program")
            line.setdefault("phase", self._open[-1] if self._open else None)
        self._take(line, 0, new)

    def _ended(self, line: dict[str, Any]) -> list[str]:
        """The phases that an `end` closes: the innermost of that name, and what is inside it."""
        wanted = line.pop("id", None)
        name = line.pop("name", None)
        for i in reversed(range(len(self._open))):
            here = self._open[i]
            if here == wanted or (
                wanted is None and (name is None or self._phases[here].name == name)
            ):
                ended, self._open[i:] = self._open[i:], []
                return ended[::-1]
        raise ValueError("an end of nothing")

    def _take(self, line: dict[str, Any], pid: int, new: "_New") -> None:
        kind = line.pop("mark")
        if kind == "begin":
            self._change(_opened(line, pid), new)
        elif kind == "end":
            self._change(_closed(self._phases[line["id"]], line), new)
        elif kind == "work":
            new.work.append(Work(**line))
        elif kind == "gpu":
            device = str(line["device"])
            seen = (GpuEvent(pid, seq, device, *rest) for seq, *rest in line["events"])
            new.gpu_events.extend(seen)
        elif kind == "process":
            known = self._processes.get(pid, Process(pid, {}))
            changed = Process(pid, {**known.facts, **line})
            self._processes[pid] = new.processes[pid] = changed
        elif kind == "note":
            t_ns = int(line["t_ns"])
            new.events.append(Event(str(line["kind"]), t_ns, t_ns, str(line["text"])))
        else:
            raise ValueError(kind)

    def _change(self, phase: Phase, new: "_New") -> None:
        self._phases[phase.id] = new.phases[phase.id] = phase


class _New(NamedTuple):
    """What one look has brought so far."""

    phases: dict[str, Phase]
    work: list[Work]
    events: list[Event]
    gpu_events: list[GpuEvent]
    processes: dict[int, Process]


def read_line(text: str) -> dict[str, Any] | None:
    """A line of the shared file as a mark; None for an empty one.

    `begin NAME`, `end`, `end NAME` or `work COUNT UNIT`, perhaps with `@UNIXSECONDS` in front; or
    a mark as JSON. Raises ValueError, KeyError or TypeError for anything else.
    """
    text = text.strip()
    if not text:
        return None
    if text.startswith("{"):
        line: dict[str, Any] = json.loads(text)
        if "unix_s" in line:
            line["t_ns"] = _monotonic(float(line.pop("unix_s")))
        return line
    time: dict[str, Any] = {}
    if text.startswith("@"):
        stamp, _, text = text[1:].partition(" ")
        time = {"t_ns": _monotonic(float(stamp))}
    kind, _, rest = text.strip().partition(" ")
    rest = rest.strip()
    if kind == "begin" and rest:
        return {"mark": "begin", "name": rest, **time}
    if kind == "end":
        return {"mark": "end", **time, **({"name": rest} if rest else {})}
    if kind == "work":
        amount, unit = rest.split()
        return {"mark": "work", "unit": unit, "count": _positive(amount), **time}
    raise ValueError(text)


def _monotonic(unix_s: float) -> int:
    if not math.isfinite(unix_s):
        raise ValueError(unix_s)
    return anchor().to_monotonic(round(unix_s * 1e9))


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise ValueError(text)
    return number


def _opened(line: Mapping[str, Any], pid: int) -> Phase:
    return Phase(
        id=str(line["id"]),
        name=str(line["name"]),
        start_ns=int(line["t_ns"]),
        end_ns=None,
        parent=line.get("parent"),
        pid=pid,
        tid=int(line.get("tid", 0)),
        start_event=line.get("event"),
        facts=line.get("facts") or {},
    )


def _closed(phase: Phase, line: Mapping[str, Any]) -> Phase:
    return replace(
        phase,
        end_ns=int(line["t_ns"]),
        error=line.get("error"),
        end_event=line.get("event"),
        facts={**phase.facts, **(line.get("facts") or {})},
    )
