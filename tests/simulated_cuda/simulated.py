"""GPUs that aren't there: torch.cuda as a program and the meter see it, by the clock on the wall.

Kernels of a stated duration are queued with `launch` and run one after the other on each stream,
in real time, while the host goes on. Events, streams and their errors are those of CUDA: a time
between events that are not done is an error, as is any question while a graph is being captured, or
anything at all in a fork. Each GPU has a clock of its own, with an offset and a drift, that is read
as a float32 of ms. Every call that waits for a GPU is counted.

No tensor can be put on these GPUs: a program computes on the processor, and launches what a GPU
would have done.
"""

import os
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

MS = 1_000_000
_MISSING = object()


@dataclass(slots=True)
class Gpu:
    """A GPU whose clock shows `offset_ns` at the simulation's start, and is `drift_ppm` too fast.

    It comes to what is queued on an idle stream after `latency_ns`.
    """

    offset_ns: int = 12_345_678_901
    drift_ppm: float = 20.0
    latency_ns: int = 5_000
    uuid: str | None = "51b1a7ed-0000-4000-8000-00000000000c"
    name: str = "NVIDIA Simulated C"


@dataclass(slots=True)
class Recorded:
    """The truth about one recording of an event, ns on CLOCK_MONOTONIC."""

    device: int
    stream: int
    asked_ns: int
    done_ns: int


@dataclass(slots=True)
class Simulation:
    """What happens on the GPUs, and what was asked of them."""

    gpus: tuple[Gpu, ...]
    start_ns: int = field(default_factory=time.monotonic_ns)
    initialized_by: int | None = None
    """The process that has used CUDA first."""
    recorded: list[Recorded] = field(default_factory=list)
    """Every recording of an event, in order."""
    waits: Counter[str] = field(default_factory=Counter)
    """Calls that wait for a GPU, by name."""
    calls: Counter[str] = field(default_factory=Counter)
    ranges: list[tuple[str, str]] = field(default_factory=list)
    """What NVTX was told: the call, and the text or number."""
    broken_captures: int = 0
    destroyed_in_fork: int = 0
    failing: str | None = None
    """The message of an error that every question about an event now raises, as after a crash."""
    _busy_until_ns: dict[tuple[int, int], int] = field(default_factory=dict)
    _capturing: set[tuple[int, int]] = field(default_factory=set)
    _here: threading.local = field(default_factory=threading.local)
    _streams: int = 0

    def launch(self, ms: float, *, stream: "Any" = None) -> None:
        """Queue a kernel that takes `ms`, on a stream or the current one."""
        self._touch()
        key = stream.key if stream is not None else self._current()
        if key not in self._capturing:
            self._busy_until_ns[key] = self._reached_ns(key) + round(ms * MS)

    @contextmanager
    def capture(self) -> Iterator[None]:
        """The current stream captures a graph during the block."""
        graph = vars(sys.modules["torch.cuda"])["CUDAGraph"]()
        graph.capture_begin()
        try:
            yield
        finally:
            graph.capture_end()

    def in_bad_fork(self) -> bool:
        """Whether this process was forked from one that had used CUDA."""
        return self.initialized_by not in (None, os.getpid())

    def shown_ns(self, device: int, t_ns: int) -> float:
        """What a GPU's clock shows at an instant."""
        gpu = self.gpus[device]
        return gpu.offset_ns + (t_ns - self.start_ns) * (1 + gpu.drift_ppm * 1e-6)

    def _reached_ns(self, key: tuple[int, int]) -> int:
        """When a stream will come to what is queued on it now."""
        idle_ns = time.monotonic_ns() + self.gpus[key[0]].latency_ns
        return max(idle_ns, self._busy_until_ns.get(key, 0))

    def _touch(self) -> None:
        if self.in_bad_fork():
            raise RuntimeError("Cannot re-initialize CUDA in forked subprocess.")
        self.initialized_by = os.getpid()

    def _current(self, device: int | None = None) -> tuple[int, int]:
        if device is None:
            device = getattr(self._here, "device", 0)
        streams: dict[int, int] = getattr(self._here, "streams", {})
        return device, streams.get(device, 0)

    def _set_current(self, key: tuple[int, int]) -> None:
        self._here.device = key[0]
        self._here.streams = {**getattr(self._here, "streams", {}), key[0]: key[1]}

    def _ask(self, what: str) -> None:
        """Count a call, and fail as CUDA does."""
        self._touch()
        self.calls[what] += 1
        if self._capturing:
            self.broken_captures += 1
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
        if self.failing is not None:
            raise RuntimeError(self.failing)

    def _wait(self, what: str, until_ns: int) -> None:
        self.waits[what] += 1
        while (left_ns := until_ns - time.monotonic_ns()) > 0:
            time.sleep(left_ns / 1e9)


@contextmanager
def simulated_cuda(*gpus: Gpu) -> Iterator[Simulation]:
    """A simulation in place of torch.cuda during the block."""
    simulation = Simulation(gpus or (Gpu(),))
    cuda = _torch_cuda()
    before = [
        (place, name, vars(place).get(name, _MISSING))
        for place, name, _ in _replacements(cuda, simulation)
    ]
    _install(cuda, simulation)
    try:
        yield simulation
    finally:
        for place, name, value in before:
            if value is _MISSING:
                delattr(place, name)
            else:
                setattr(place, name, value)


def install(*gpus: Gpu) -> Simulation:
    """A simulation in place of torch.cuda, for the rest of this process."""
    simulation = Simulation(gpus or (Gpu(),))
    _install(_torch_cuda(), simulation)
    return simulation


def _install(cuda: ModuleType, simulation: Simulation) -> None:
    for place, name, value in _replacements(cuda, simulation):
        setattr(place, name, value)


def _torch_cuda() -> ModuleType:
    """torch.cuda, or where torch is not installed, a module in its place."""
    try:
        import torch.cuda
    except ImportError:
        cuda = ModuleType("torch.cuda")
        vars(cuda)["nvtx"] = ModuleType("torch.cuda.nvtx")
        module = ModuleType("torch")
        vars(module)["cuda"] = cuda
        sys.modules.update({"torch": module, "torch.cuda": cuda, "torch.cuda.nvtx": cuda.nvtx})
        return cuda
    return torch.cuda


def _replacements(cuda: ModuleType, simulation: Simulation) -> list[tuple[ModuleType, str, Any]]:
    functions = _functions(simulation) | {
        "Stream": type("Stream", (_Stream,), {"simulation": simulation}),
        "Event": type("Event", (_Event,), {"simulation": simulation}),
        "CUDAGraph": type("CUDAGraph", (_Graph,), {"simulation": simulation}),
    }
    found: list[tuple[ModuleType, str, Any]] = [(cuda, n, f) for n, f in functions.items()]
    # Not the functions themselves: whoever has wrapped them stays in between.
    found.append((cuda.nvtx, "_nvtx", _nvtx(simulation)))
    return found


class _Stream:
    """torch.cuda.Stream."""

    simulation: Simulation

    def __init__(self, device: Any = None, priority: int = 0, *, number: int | None = None) -> None:
        self.simulation._touch()
        if number is None:
            self.simulation._streams += 1
            number = self.simulation._streams
        index = self.simulation._current()[0] if device is None else _index(device)
        self.key = (index, number)
        self.device_index = index
        self.stream_id = self.cuda_stream = number

    def query(self) -> bool:
        self.simulation._ask("stream.query")
        return time.monotonic_ns() >= self.simulation._busy_until_ns.get(self.key, 0)

    def synchronize(self) -> None:
        self.simulation._ask("stream.synchronize")
        self.simulation._wait("stream", self.simulation._busy_until_ns.get(self.key, 0))

    def wait_event(self, event: "_Event") -> None:
        self.simulation.calls["stream.wait_event"] += 1
        ready_ns = max(self.simulation._reached_ns(self.key), event.done_ns)
        self.simulation._busy_until_ns[self.key] = ready_ns

    def wait_stream(self, stream: "_Stream") -> None:
        self.wait_event(stream.record_event())

    def record_event(self, event: "_Event | None" = None) -> "_Event":
        event = event or vars(sys.modules["torch.cuda"])["Event"]()
        event.record(self)
        return event

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Stream) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)


class _Event:
    """torch.cuda.Event."""

    simulation: Simulation

    def __init__(
        self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False
    ) -> None:
        self.simulation.calls["event.new"] += 1
        self.timed = enable_timing
        self.device: int | None = None
        self.done_ns = 0

    def record(self, stream: _Stream | None = None) -> None:
        self.simulation._ask("event.record")
        key = stream.key if stream is not None else self.simulation._current()
        if self.device not in (None, key[0]):
            raise RuntimeError(f"Event device {self.device} does not match stream's {key[0]}.")
        self.device = key[0]
        asked_ns = time.monotonic_ns()
        self.done_ns = self.simulation._reached_ns(key)
        self.simulation.recorded.append(Recorded(*key, asked_ns, self.done_ns))

    def query(self) -> bool:
        self.simulation._ask("event.query")
        return time.monotonic_ns() >= self.done_ns

    def elapsed_time(self, end: "_Event") -> float:
        simulation = self.simulation
        simulation._ask("event.elapsed_time")
        if not (self.timed and end.timed) or self.device is None or end.device is None:
            raise ValueError("Both events must be recorded, and with timing enabled")
        if self.device != end.device:
            raise RuntimeError("CUDA error: invalid resource handle")
        if time.monotonic_ns() < max(self.done_ns, end.done_ns):
            raise RuntimeError("CUDA error: device not ready")
        shown = [simulation.shown_ns(self.device, e.done_ns) for e in (self, end)]
        return as_float32((shown[1] - shown[0]) / MS)

    def synchronize(self) -> None:
        self.simulation._ask("event.synchronize")
        self.simulation._wait("event", self.done_ns)

    def wait(self, stream: _Stream | None = None) -> None:
        self.simulation.calls["event.wait"] += 1
        key = stream.key if stream is not None else self.simulation._current()
        ready_ns = max(self.simulation._reached_ns(key), self.done_ns)
        self.simulation._busy_until_ns[key] = ready_ns

    def __del__(self) -> None:
        if self.device is not None and self.simulation.in_bad_fork():
            self.simulation.destroyed_in_fork += 1


class _Graph:
    """torch.cuda.CUDAGraph. Nothing can be replayed."""

    simulation: Simulation

    def capture_begin(self) -> None:
        self.simulation._touch()
        self.key = self.simulation._current()
        self.simulation._capturing.add(self.key)

    def capture_end(self) -> None:
        self.simulation._capturing.discard(self.key)


def as_float32(value: float) -> float:
    """The nearest number that a float32 can hold."""
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return rounded


def _index(device: Any) -> int:
    if isinstance(device, int):
        return device
    index = getattr(device, "index", None)
    if not isinstance(index, int):  # a text has a method of that name
        index = int(str(device).partition(":")[2] or 0)
    return index


def _functions(simulation: Simulation) -> dict[str, Callable[..., Any]]:
    """The functions of torch.cuda, by name."""

    def current_device() -> int:
        simulation._touch()
        return simulation._current()[0]

    def current_stream(device: Any = None) -> Any:
        simulation._touch()
        index, number = simulation._current(None if device is None else _index(device))
        return vars(sys.modules["torch.cuda"])["Stream"](index, number=number)

    def default_stream(device: Any = None) -> Any:
        index = current_device() if device is None else _index(device)
        return vars(sys.modules["torch.cuda"])["Stream"](index, number=0)

    def set_device(device: Any) -> None:
        simulation._touch()
        simulation._set_current(simulation._current(_index(device)))

    @contextmanager
    def in_device(device: Any) -> Iterator[None]:
        before = simulation._current()
        set_device(device)
        try:
            yield
        finally:
            simulation._here.device = before[0]

    @contextmanager
    def in_stream(stream: _Stream | None) -> Iterator[None]:
        before, there = simulation._current(), None
        if stream is not None:
            there = simulation._current(stream.device_index)
            simulation._set_current(stream.key)
        try:
            yield
        finally:
            for key in (there, before):
                if key is not None:
                    simulation._set_current(key)

    def synchronize(device: Any = None) -> None:
        simulation._ask("synchronize")
        index = current_device() if device is None else _index(device)
        ends = [ns for (gpu, _), ns in simulation._busy_until_ns.items() if gpu == index]
        simulation._wait("device", max(ends, default=0))

    def get_device_properties(device: Any = None) -> SimpleNamespace:
        simulation._touch()
        gpu = simulation.gpus[current_device() if device is None else _index(device)]
        known = SimpleNamespace(name=gpu.name, major=9, minor=0, total_memory=80 * 2**30)
        if gpu.uuid is not None:
            known.uuid = gpu.uuid
        return known

    def is_initialized() -> bool:
        return simulation.initialized_by is not None and not simulation.in_bad_fork()

    def is_current_stream_capturing() -> bool:
        return bool(simulation._capturing) and simulation._current() in simulation._capturing

    return {
        "init": simulation._touch,
        "is_available": lambda: True,
        "is_initialized": is_initialized,
        "device_count": lambda: len(simulation.gpus),
        "current_device": current_device,
        "set_device": set_device,
        "device": in_device,
        "current_stream": current_stream,
        "default_stream": default_stream,
        "stream": in_stream,
        "synchronize": synchronize,
        "is_current_stream_capturing": is_current_stream_capturing,
        "get_device_properties": get_device_properties,
        "get_device_name": lambda device=None: get_device_properties(device).name,
        "_is_in_bad_fork": simulation.in_bad_fork,
        # What torch itself calls when it believes that there is a GPU.
        "manual_seed": lambda seed: None,
        "manual_seed_all": lambda seed: None,
        "empty_cache": lambda: None,
    }


def _nvtx(simulation: Simulation) -> SimpleNamespace:
    """What torch.cuda.nvtx stands on."""

    def told(call: str) -> Callable[..., int]:
        def tell(given: object = "") -> int:
            simulation.ranges.append((call, str(given)))
            return len(simulation.ranges)

        return tell

    names = ("rangePushA", "rangePop", "rangeStartA", "rangeEnd", "markA")
    return SimpleNamespace(**{name: told(name) for name in names})
