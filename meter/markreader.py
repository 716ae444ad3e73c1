"""Reads what the metered processes mark, while they do and afterwards (docs/marks.md)."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from vidmeter.meter.run import Event, GpuEvent, Phase, Process, Work


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
    that makes no sense is counted in `bad_lines`.
    """

    def __init__(self, where: Path) -> None:
        self.folder = where
        self.bad_lines = 0
        self._offsets: dict[Path, int] = {}
        self._phases: dict[str, Phase] = {}
        self._processes: dict[int, Process] = {}

    def read(self) -> Marked:
        """What was marked since the last call."""
        new = _New({}, [], [], [], {})
        for path in sorted(self.folder.glob("*.jsonl")):
            pid = int(path.stem) if path.stem.isdecimal() else 0
            for line in self._new_lines(path):
                try:
                    self._take(json.loads(line), pid, new)
                except (ValueError, KeyError, TypeError):
                    self.bad_lines += 1
        return Marked(
            tuple(new.phases.values()),
            tuple(new.work),
            tuple(new.events),
            tuple(new.gpu_events),
            tuple(new.processes.values()),
        )

    def _new_lines(self, path: Path) -> list[bytes]:
        with path.open("rb") as file:
            file.seek(self._offsets.get(path, 0))
            data = file.read()
        complete = data.rfind(b"\n") + 1
        self._offsets[path] = self._offsets.get(path, 0) + complete
        return data[:complete].splitlines()

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
            new.gpu_events.extend(
                GpuEvent(pid, seq, device, *rest) for seq, *rest in line["events"]
            )
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
