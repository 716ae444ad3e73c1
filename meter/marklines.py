"""What one line of marks says: a line of text, or a mark in JSON (docs/marks.md).

The lines come from programs in any language, and a program may be wrong in any way. Whatever passes
here can be stored and reckoned with; all else is refused with a ValueError, KeyError or TypeError,
so that a line that makes no sense costs that line and never the run.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vidmeter.meter.clock import Anchor, monotonic_ns
from vidmeter.meter.run import Event, GpuEvent, Phase, Work

MOST = 2**63 - 1
"""The greatest whole number that a run file can hold."""
AHEAD_NS = 1_000_000_000
"""A mark this far in the future is a mistake, such as milliseconds for seconds."""


def mark_of(data: bytes) -> dict[str, Any]:
    """A mark in JSON. What isn't text in it becomes question marks."""
    line: Any = json.loads(data.decode(errors="replace"))
    if b"\\ud" in data.lower():  # half a surrogate pair can't be stored as text
        line = json.loads(json.dumps(line, ensure_ascii=False).encode(errors="replace"))
    if not isinstance(line, dict):
        raise ValueError("not an object")
    return line


def line_of(data: bytes, clocks: Anchor) -> dict[str, Any] | None:
    """A line of the shared file as a mark; None for an empty one.

    `begin NAME`, `end`, `end NAME` or `work COUNT UNIT`, perhaps with `@UNIXSECONDS` in front; or
    a mark as JSON. `clocks` tells the wall clock's time on the monotonic clock.
    """
    text = data.decode(errors="replace").strip()
    if not text:
        return None
    if text.startswith("{"):
        line = mark_of(data)
        if "unix_s" in line:
            line["t_ns"] = _monotonic(line.pop("unix_s"), clocks)
        return line
    time: dict[str, Any] = {}
    if text.startswith("@"):
        stamp, text = text[1:].split(maxsplit=1)
        time = {"t_ns": _monotonic(float(stamp), clocks)}
    kind, *more = text.split(maxsplit=1)
    rest = more[0] if more else ""
    if kind == "begin" and rest:
        return {"mark": "begin", "name": rest, **time}
    if kind == "end":
        return {"mark": "end", **time, **({"name": rest} if rest else {})}
    if kind == "work":
        count, unit = rest.split()
        return {"mark": "work", "unit": unit, "count": float(count), **time}
    raise ValueError(text)


def instant_of(line: Mapping[str, Any], *, latest_ns: int) -> int:
    """When it was, on CLOCK_MONOTONIC in ns: since the machine was started, and not in the future.

    `latest_ns` is the last instant that is believed.
    """
    t_ns = _whole(line["t_ns"])
    if not 0 <= t_ns <= latest_ns:
        raise ValueError(f"{t_ns} is no time of this machine")
    return t_ns


def latest_ns() -> int:
    """The last instant that a mark may tell now."""
    return monotonic_ns() + AHEAD_NS


def opened(line: Mapping[str, Any], pid: int) -> Phase:
    """The phase that a `begin` opens."""
    name = _text(line["name"])
    if not name.strip():
        raise ValueError("a phase without a name")
    return Phase(
        id=_text(line["id"]),
        name=name,
        start_ns=_whole(line["t_ns"]),
        end_ns=None,
        parent=_perhaps_text(line.get("parent")),
        pid=pid,
        tid=_whole(line.get("tid") or 0),
        start_event=_perhaps_whole(line.get("event")),
        facts=_facts(line),
    )


def closed(phase: Phase, line: Mapping[str, Any]) -> Phase:
    """The phase as an `end` leaves it."""
    end_ns = _whole(line["t_ns"])
    if end_ns < phase.start_ns:
        raise ValueError("an end before the beginning")
    return replace(
        phase,
        end_ns=end_ns,
        error=_perhaps_text(line.get("error")),
        end_event=_perhaps_whole(line.get("event")),
        facts={**phase.facts, **_facts(line)},
    )


def produced(line: Mapping[str, Any]) -> Work:
    """What a `work` line says was produced."""
    work = Work(**line)
    _text(work.unit), _text(work.origin)
    for number in (work.count, work.video_seconds, work.fps):
        if number is not None and not (_is_number(number) and 0 <= number < math.inf):
            raise ValueError("not an amount")
    for whole in (work.frames, work.width, work.height):
        if whole is not None and not 0 <= _whole(whole) <= MOST:
            raise ValueError("not a number of frames or pixels")
    _perhaps_text(work.path), _perhaps_text(work.phase), _perhaps_whole(work.t_ns)
    if work.count is None or not work.unit.strip():
        raise ValueError("an amount of nothing")
    return work


def gpu_events(line: Mapping[str, Any], pid: int) -> list[GpuEvent]:
    """The events that a GPU came to, of a `gpu` line."""
    device = _text(line["device"])
    found = []
    for seq, previous, elapsed_ms, recorded_ns, seen_ns in line["events"]:
        if elapsed_ms is not None and not (_is_number(elapsed_ms) and math.isfinite(elapsed_ms)):
            raise ValueError("not a time")
        before = _perhaps_whole(previous)
        times = _whole(recorded_ns), _whole(seen_ns)
        found.append(GpuEvent(pid, _whole(seq), device, before, elapsed_ms, *times))
    return found


def noted(line: Mapping[str, Any]) -> Event:
    """The event that a `note` is."""
    t_ns = _whole(line["t_ns"])
    return Event(_text(line["kind"]), t_ns, t_ns, _text(line["text"]))


def told(line: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a `process` line says of its process."""
    for key in ("pid", "ppid", "rank", "world_size"):
        _perhaps_whole(line.get(key))
    return line


def _monotonic(unix_s: Any, clocks: Anchor) -> int:
    if not (_is_number(unix_s) and abs(unix_s) < MOST / 1e9):
        raise ValueError(unix_s)
    return clocks.to_monotonic(round(unix_s * 1e9))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: Any) -> int:
    if not _is_number(value) or not -MOST <= value <= MOST:
        raise ValueError(f"{value!r} is no whole number")
    return int(value)


def _perhaps_whole(value: Any) -> int | None:
    return None if value is None else _whole(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"{value!r} is no text")
    return value


def _perhaps_text(value: Any) -> str | None:
    return None if value is None else _text(value)


def _facts(line: Mapping[str, Any]) -> Mapping[str, Any]:
    facts = line.get("facts") or {}
    if not isinstance(facts, dict):
        raise ValueError("facts without names")
    return facts
