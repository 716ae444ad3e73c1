"""Where things stand in a trace viewer: processes, threads, and slices that nest.

A viewer draws the slices of one thread inside each other, and drops those that overlap only in
part. Phases of asyncio tasks do overlap so, and so may phases on a GPU; they get lanes of their
own, which are threads that don't exist. Their numbers lie above every real one.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

Event = dict[str, Any]
"""One event of the format: `ph` is its sort, `ts` and `dur` are in µs."""

MADE_UP = 10_000_000
"""Made-up numbers of processes and threads start here; Linux has none above 4 194 304."""


class Slice(NamedTuple):
    """A stretch of time on a track, in ns on CLOCK_MONOTONIC, and what is known of it."""

    start_ns: int
    end_ns: int
    name: str
    args: Mapping[str, Any]


class Clock(NamedTuple):
    """From CLOCK_MONOTONIC to a file's times: `zero_ns` is where they start."""

    zero_ns: int

    def us(self, t_ns: int) -> float:
        """An instant in µs, exact to the ns."""
        return (t_ns - self.zero_ns) / 1e3


class Numbers:
    """Hands out numbers that no process and no thread has."""

    def __init__(self) -> None:
        self._last = MADE_UP

    def next(self) -> int:
        """A number that was not given yet."""
        self._last += 1
        return self._last


def lanes(slices: Iterable[Slice]) -> list[list[Slice]]:
    """Slices parted so that within each list any two lie apart or one inside the other."""
    found: list[tuple[list[Slice], list[int]]] = []
    for one in sorted(slices, key=lambda s: (s.start_ns, -s.end_ns)):
        lane, ends = next((pair for pair in found if _fits(one, pair[1])), ([], []))
        if not lane:
            found.append((lane, ends))
        lane.append(one)
        ends.append(one.end_ns)
    return [lane for lane, _ in found]


def _fits(one: Slice, ends: list[int]) -> bool:
    """Whether a slice lies within what is open in a lane; `ends` of what is over are dropped."""
    while ends and ends[-1] <= one.start_ns:
        ends.pop()
    return not ends or one.end_ns <= ends[-1]


def slice_events(slices: Iterable[Slice], pid: int, tid: int, clock: Clock) -> Iterator[Event]:
    """Slices of one lane as complete events."""
    for s in slices:
        yield {
            "ph": "X",
            "cat": "vidmeter",
            "name": s.name,
            "pid": pid,
            "tid": tid,
            "ts": clock.us(s.start_ns),
            "dur": (s.end_ns - s.start_ns) / 1e3,
            "args": dict(s.args),
        }


def process(pid: int, name: str, order: int) -> Iterator[Event]:
    """What a process is called, and its place from the top."""
    yield named("process_name", pid, 0, name=name)
    yield named("process_sort_index", pid, 0, sort_index=order)


def thread(pid: int, tid: int, name: str, order: int) -> Iterator[Event]:
    """What a track is called, and its place within its process."""
    yield named("thread_name", pid, tid, name=name)
    yield named("thread_sort_index", pid, tid, sort_index=order)


def named(what: str, pid: int, tid: int, **args: Any) -> Event:
    """Something that is said of a process, or of a thread of it."""
    return {"ph": "M", "name": what, "pid": pid, "tid": tid, "args": args}
