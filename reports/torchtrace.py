"""A trace of the torch profiler, as far as it takes to lay another one beside it.

Newer versions of torch write times in µs after `baseTimeNanoseconds` (ns since 1970), older ones in
µs since 1970. Both are the wall clock's, so nothing has to be guessed to align them.
"""

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidmeter.meter.errors import BadRun

_EARLIEST_US = 1e15
"""September 2001: times below it are no µs since 1970."""


@dataclass(frozen=True, slots=True)
class TorchTrace:
    """The events as they stand in the file; their `ts` are µs after `base_ns` (ns since 1970).

    `start_ns` and `end_ns` enclose them, ns since 1970. `others` is what else the file holds.
    """

    events: tuple[Mapping[str, Any], ...]
    base_ns: int
    start_ns: int
    end_ns: int
    others: Mapping[str, Any]


def load(path: Path) -> TorchTrace:
    """A trace of the torch profiler (.json or .json.gz); `BadRun` if that is none."""
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        content = json.loads(data)
    except OSError as error:
        raise BadRun(f"can't read {path}: {error.strerror or error}") from None
    except (ValueError, EOFError, zlib.error):
        raise BadRun(f"{path} is no trace: it holds no whole JSON; see docs/trace.md") from None
    others = content if isinstance(content, dict) else {"traceEvents": content}
    events = others.get("traceEvents")
    if not isinstance(events, list) or not all(isinstance(e, dict) for e in events):
        raise BadRun(f"{path} is no trace: it has no list of traceEvents; see docs/trace.md")
    timed = [e for e in events if e.get("ph") == "X" and _is_time(e.get("ts"))]
    if not timed:
        raise BadRun(f"{path} has no event with a time: was the profiler stopped and exported?")
    base_ns = others.get("baseTimeNanoseconds", 0)
    first = min(e["ts"] for e in timed)
    if not _is_time(base_ns) or base_ns / 1e3 + first < _EARLIEST_US:
        raise BadRun(f"{path} doesn't say when it was: its times are not the wall clock's")
    last = max(e["ts"] + (e["dur"] if _is_time(e.get("dur")) else 0) for e in timed)
    return TorchTrace(
        events=tuple(events),
        base_ns=int(base_ns),
        start_ns=int(base_ns) + round(first * 1e3),
        end_ns=int(base_ns) + round(last * 1e3),
        others={k: v for k, v in others.items() if k not in ("traceEvents", "baseTimeNanoseconds")},
    )


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
