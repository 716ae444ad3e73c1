"""The GPU's own clock, read by the process that marks: events on the current stream.

What a program asks a GPU for is done later, so a mark queues an event behind it, and what the GPU's
clock showed there is read once the event is known to be done. Nothing here waits for a GPU: events
are asked whether they are done, and the time between two is read when both are. Each is read
against the one read before it on its device, since CUDA gives that time as a float32 of ms, exact
enough over short intervals only. Where the GPU has nothing to do, an event is done within
microseconds of being queued; watching for that ties the two clocks together (`gputime`).

This module runs inside the metered program, in whatever Python that has. It takes torch as it finds
it: it never imports it, never starts CUDA, and calls nothing while a graph is being captured. To
know that of other threads, it wraps the two calls that begin and end a capture.
"""

import atexit
import itertools
import sys
import threading
import time
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType
    from typing import Any

FAILURES = (
    RuntimeError, AttributeError, ValueError, TypeError, AssertionError, LookupError,
)  # fmt: skip
"""What torch raises where a call into CUDA fails, or where it lacks one or has another."""
FEW, MANY = 4, 256
"""Events read at one mark: while more are waiting for the GPU, and when it is done with all."""
ANCHOR_EVERY_NS = 500_000_000
WATCH_NS = 200_000
"""As long as a mark may watch for its event."""
TIGHT_NS = 100_000
"""Seen done this soon after it was queued, an event needs no other to be placed."""
RETRY_NS = 50_000_000
LONGEST_LINK_MS = 100_000
"""A float32 of ms holds this long to 4 µs."""
PATIENCE_NS = 500_000_000
"""As long as the end of a process may be put off for what its GPUs still have to do."""


class _Queued:
    """An event that a GPU may not have come to yet."""

    __slots__ = ("event", "recorded_ns", "seen_ns", "seq")

    def __init__(self, seq: int, event: "Any", recorded_ns: int) -> None:
        self.seq = seq
        self.event = event
        self.recorded_ns = recorded_ns
        self.seen_ns = 0


class _Track:
    """The events of one device: waiting on each stream, last read, and free for use again."""

    __slots__ = ("anchor_ns", "free", "index", "last", "name", "streams")

    def __init__(self, index: int, name: str) -> None:
        self.index = index
        self.name = name
        self.streams: dict[int, deque[_Queued]] = {}
        self.last: _Queued | None = None
        self.free: list[Any] = []
        self.anchor_ns = 0
        """When the next anchor is due."""


class GpuClock:
    """Queues events, and writes down when the GPU came to them; they are numbered from `first`."""

    def __init__(self, write: "Callable[[Mapping[str, Any]], None]", first: int = 1) -> None:
        self._write = write
        self._numbers = itertools.count(first)
        self._off = False
        self._kept: list[Any] = []
        self._start_over()

    def _start_over(self) -> None:
        self._tracks: dict[int, _Track] = {}
        # Only ever tried, never waited for: whoever doesn't get it leaves the reading to the other.
        self._reading = threading.Lock()
        self._closes = False
        self._capturing: set[int] = set()

    def record(self) -> "int | None":
        """Queue an event on the current stream; its number, or None where no GPU is in use."""
        try:
            cuda = self._cuda()
            if cuda is None:
                return None
            stream = cuda.current_stream()
            track = self._tracks.get(stream.device_index) or self._track(cuda, stream.device_index)
            queued, anchored = self._queue(cuda, stream, track)
        except FAILURES as error:
            self._turn_off(error)
            return None
        if anchored:
            self.collect()
        return queued.seq

    def collect(self) -> None:
        """Write down the events that the GPU has come to: a few, or where it is idle, all."""
        if self._tracks:
            self._collect(FEW, MANY)

    def forget(self) -> None:
        """Leave all events to the process that this one was forked from.

        They stay alive, since CUDA must not be asked to destroy them here.
        """
        self._kept.append(self._tracks)
        self._start_over()

    def close(self, patience_ns: int = PATIENCE_NS) -> None:
        """Tie the clocks together a last time and write down all events that are done soon."""
        deadline_ns = time.monotonic_ns() + patience_ns
        tied = False
        while self._tracks and not self._off:
            self._collect(sys.maxsize, sys.maxsize)
            if not any(queue for t in self._tracks.values() for queue in t.streams.values()):
                if tied:
                    return
                tied = True
                self._tie()
            elif time.monotonic_ns() > deadline_ns:
                return
            else:
                time.sleep(0.0005)

    def _cuda(self) -> "ModuleType | None":
        """torch.cuda, where this process uses a GPU and may ask for something now."""
        cuda = sys.modules.get("torch.cuda")
        if cuda is None or self._off:
            return None
        # While torch is being imported, its functions are not there yet.
        is_initialized = getattr(cuda, "is_initialized", None)
        # It is false in a fork of a process that uses CUDA, where nothing of it may be called.
        if is_initialized is None or not is_initialized():
            return None
        # Whatever is queued now would become part of the graph, and a question would break it:
        # any thread's, as torch captures by default.
        return None if self._capturing or _captures(cuda) else cuda

    def _track(self, cuda: "ModuleType", index: int) -> _Track:
        name = _name(cuda, index)
        if not self._closes:
            self._closes = True
            _close_at_exit(self.close)
            _follow_captures(cuda, self._capturing)
        return self._tracks.setdefault(index, _Track(index, name))

    def _queue(
        self, cuda: "ModuleType", stream: "Any", track: _Track, *, anchor: bool = False
    ) -> "tuple[_Queued, bool]":
        """Queue an event; whether it ties the clocks together, being done while it was watched."""
        try:
            event = track.free.pop()
        except IndexError:
            event = cuda.Event(enable_timing=True)
        watched = (anchor or time.monotonic_ns() >= track.anchor_ns) and stream.query()
        queued = _Queued(next(self._numbers), event, time.monotonic_ns())
        event.record(stream)
        if watched:
            _watch(queued, track)
        # Only now, so that no other thread reads it and gives the event away while it is watched.
        queue = track.streams.get(stream.cuda_stream)
        if queue is None:
            queue = track.streams.setdefault(stream.cuda_stream, deque())
        queue.append(queued)
        return queued, queued.seen_ns > 0

    def _collect(self, few: int, many: int) -> None:
        if not self._reading.acquire(blocking=False):
            return
        try:
            if self._cuda() is not None:
                for track in list(self._tracks.values()):
                    self._read(track, few, many)
        except FAILURES as error:
            self._turn_off(error)
        finally:
            self._reading.release()

    def _read(self, track: _Track, few: int, many: int) -> None:
        rows: list[tuple[int, int | None, float | None, int, int]] = []
        for queue in list(track.streams.values()):
            most = many if len(queue) > few and queue[-1].event.query() else few
            for _ in range(min(most, len(queue))):
                queued = queue[0]
                if not queued.seen_ns:
                    if not queued.event.query():
                        break
                    queued.seen_ns = time.monotonic_ns()
                rows.append(_linked(queued, track))
                queue.popleft()
        if rows:
            self._write({"mark": "gpu", "device": track.name, "events": rows})

    def _tie(self) -> None:
        """An anchor on every device."""
        try:
            cuda = self._cuda()
            if cuda is not None:
                for track in list(self._tracks.values()):
                    self._queue(cuda, cuda.current_stream(track.index), track, anchor=True)
        except FAILURES as error:
            self._turn_off(error)

    def _turn_off(self, error: Exception) -> None:
        if self._off:
            return
        self._off = True
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        text = f"the times of phases on the GPU are missing: its clock can't be read ({reason})"
        now = time.monotonic_ns()
        self._write({"mark": "note", "kind": "hook_failed", "text": text, "t_ns": now})


def _name(cuda: "ModuleType", index: int) -> str:
    """A device's UUID as the driver writes it, or its number where torch knows no UUID."""
    try:
        uuid = getattr(cuda.get_device_properties(index), "uuid", None)
    except FAILURES:
        uuid = None
    if uuid is None:
        return f"cuda:{index}"
    return str(uuid) if str(uuid).startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"


def _captures(cuda: "ModuleType") -> bool:
    """Whether a graph is being captured on the current stream; not, where it can't be asked."""
    try:
        return bool(cuda.is_current_stream_capturing())
    except FAILURES:
        return False


def _close_at_exit(close: "Callable[[], None]") -> None:
    atexit.register(close)
    # A child of multiprocessing ends without atexit, but calls its own finalizers.
    of_children: Any = sys.modules.get("multiprocessing.util")
    if of_children is not None:
        of_children.Finalize(None, close, exitpriority=0)


def _follow_captures(cuda: "ModuleType", capturing: "set[int]") -> None:
    """Keep in `capturing` the graphs that any thread is capturing: torch doesn't tell."""
    graphs: Any = getattr(cuda, "CUDAGraph", None)
    if graphs is None:
        return
    capture_begin, capture_end = graphs.capture_begin, graphs.capture_end

    def begin(graph: "Any", *args: "Any", **kwargs: "Any") -> "Any":
        capturing.add(id(graph))
        try:
            return capture_begin(graph, *args, **kwargs)
        except BaseException:  # no capture has begun, whatever ended it
            capturing.discard(id(graph))
            raise

    def end(graph: "Any", *args: "Any", **kwargs: "Any") -> "Any":
        try:
            return capture_end(graph, *args, **kwargs)
        finally:
            capturing.discard(id(graph))

    begin.__doc__, end.__doc__ = capture_begin.__doc__, capture_end.__doc__
    graphs.capture_begin, graphs.capture_end = begin, end


def _watch(queued: _Queued, track: _Track) -> None:
    """See the event being done, if the GPU comes to it at once."""
    now = queued.recorded_ns
    while now < queued.recorded_ns + WATCH_NS:
        done = queued.event.query()
        now = time.monotonic_ns()
        if done:
            queued.seen_ns = now
            break
    tied = queued.seen_ns > 0 and now - queued.recorded_ns <= TIGHT_NS
    track.anchor_ns = now + (ANCHOR_EVERY_NS if tied else RETRY_NS)


def _linked(queued: _Queued, track: _Track) -> "tuple[int, int | None, float | None, int, int]":
    """The event as it is written, read against the one before, which is free for use again."""
    before, previous, elapsed_ms = track.last, None, None
    if before is not None:
        since_ms = before.event.elapsed_time(queued.event)
        # Over long, an anchor is better placed by itself; any other event has nothing better.
        if since_ms <= LONGEST_LINK_MS or queued.seen_ns - queued.recorded_ns > TIGHT_NS:
            previous, elapsed_ms = before.seq, since_ms
        track.free.append(before.event)
    track.last = queued
    return queued.seq, previous, elapsed_ms, queued.recorded_ns, queued.seen_ns
