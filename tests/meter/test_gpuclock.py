"""The clock of GPUs that are simulated: what it reads is the truth, and nothing waits for it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.simulated_cuda.simulated import Gpu, Simulation, simulated_cuda
from vidmeter.meter.gpuclock import GpuClock
from vidmeter.meter.gputime import ANCHOR_NS, Timeline, timelines
from vidmeter.meter.markreader import Marked, MarkReader

ROOT = Path(__file__).parents[2]
MS = 1_000_000


class Lines:
    """A file as a process writes it, and what is read from it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{os.getpid()}.jsonl"
        self.path.touch()

    def write(self, line: object) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def read(self) -> Marked:
        reader = MarkReader(self.path.parent)
        found = reader.read()
        assert not reader.bad_lines
        return found


@pytest.fixture
def lines(tmp_path: Path) -> Lines:
    return Lines(tmp_path)


@pytest.fixture
def one() -> Iterator[Simulation]:
    with simulated_cuda(Gpu(drift_ppm=50)) as simulation:
        simulation.launch(0)
        yield simulation


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def assert_true(marked: Marked, simulation: Simulation) -> dict[tuple[int, str], Timeline]:
    """Every event was queued and seen around its true instant, and is placed there."""
    found = timelines(marked.gpu_events)
    for event in marked.gpu_events:
        truth = simulation.recorded[event.seq - 1].done_ns
        assert event.recorded_ns <= truth <= event.seen_ns
        line = found[event.pid, event.device]
        assert abs(line.at_ns[event.seq] - truth) <= line.error_ns
    return found


def test_what_is_queued_ahead_is_placed_where_the_gpu_came_to_it_and_nobody_waits(
    one: Simulation, lines: Lines
) -> None:
    clock = GpuClock(lines.write)
    numbers = [clock.record()]
    asked = time.monotonic_ns()
    for _ in range(30):
        one.launch(10)
        numbers.append(clock.record())
        clock.collect()
    host_ns = time.monotonic_ns() - asked

    time.sleep(0.35)
    numbers.append(clock.record())
    clock.collect()
    clock.close()

    assert not one.waits
    assert host_ns < 150 * MS  # the host was ahead of the 300 ms that it had asked for
    found = lines.read()
    assert numbers == list(range(1, 33))
    assert {e.seq for e in found.gpu_events} >= set(numbers)
    (line,) = assert_true(found, one).values()
    assert line.error_ns < MS / 2
    assert line.anchors >= 2
    assert line.at_ns[31] - line.at_ns[1] > 300 * MS


def test_no_event_is_queued_and_no_gpu_is_started_by_a_program_that_uses_none(
    lines: Lines,
) -> None:
    with simulated_cuda() as simulation:
        clock = GpuClock(lines.write)
        assert clock.record() is None
        clock.collect()
        clock.close()

        assert simulation.initialized_by is None
        assert not simulation.calls
    assert not lines.path.read_bytes()


def test_the_clock_imports_neither_torch_nor_typing() -> None:
    program = f"""
import sys
sys.path.insert(0, {str(ROOT / "meter")!r})
import gpuclock
clock = gpuclock.GpuClock(print)
assert clock.record() is None
clock.collect(); clock.close(); clock.forget()
assert not {{"torch", "typing", "dataclasses", "re"}} & set(sys.modules), sys.modules
"""
    subprocess.run([sys.executable, "-S", "-c", program], check=True, timeout=20)


def test_a_torch_that_is_still_being_imported_is_let_alone(lines: Lines, one: Simulation) -> None:
    clock = GpuClock(lines.write)
    whole = sys.modules["torch.cuda"]
    sys.modules["torch.cuda"] = ModuleType("torch.cuda")
    try:
        assert clock.record() is None
    finally:
        sys.modules["torch.cuda"] = whole

    assert clock.record() == 1
    assert not lines.read().events


def test_a_graph_that_is_being_captured_is_not_touched(one: Simulation, lines: Lines) -> None:
    clock = GpuClock(lines.write)
    clock.record()
    one.launch(5)
    before = clock.record()
    with one.capture():
        time.sleep(0.01)
        assert clock.record() is None
        clock.collect()
    after = clock.record()
    clock.collect()
    clock.close()

    assert (before, after) == (2, 3)
    assert one.broken_captures == 0
    assert {e.seq for e in lines.read().gpu_events} >= {1, 2, 3}


def test_a_graph_that_another_thread_is_capturing_is_not_touched(
    one: Simulation, lines: Lines
) -> None:
    clock = GpuClock(lines.write)
    clock.record()
    one.launch(5)
    clock.record()
    capturing, marked = threading.Event(), threading.Event()

    def capture() -> None:
        cuda = sys.modules["torch.cuda"]
        with cuda.stream(cuda.Stream()), one.capture():
            capturing.set()
            marked.wait(5)

    thread = threading.Thread(target=capture)
    thread.start()
    capturing.wait(5)
    assert clock.record() is None
    clock.collect()
    marked.set()
    thread.join()

    assert one.broken_captures == 0
    assert clock.record() == 3


def test_a_capture_that_fails_to_begin_does_not_stop_the_clock(
    one: Simulation, lines: Lines
) -> None:
    clock = GpuClock(lines.write)
    clock.record()
    graph = sys.modules["torch.cuda"].CUDAGraph()
    with pytest.raises(TypeError):
        graph.capture_begin(no_such_argument=1)

    assert clock.record() == 2


def test_two_gpus_are_told_apart_by_their_uuid(lines: Lines) -> None:
    gpus = (Gpu(offset_ns=0, drift_ppm=-40), Gpu(offset_ns=10**15, drift_ppm=60, uuid="b"))
    with simulated_cuda(*gpus) as simulation:
        cuda = sys.modules["torch.cuda"]
        clock = GpuClock(lines.write)
        for i in range(8):
            with cuda.device(i % 2):
                simulation.launch(3 + 4 * (i % 2))
                clock.record()
                clock.collect()
        clock.close()
        assert not simulation.waits

        found = lines.read()
        assert {(e.device, (e.seq - 1) % 2) for e in found.gpu_events if e.seq <= 8} == {
            (f"GPU-{gpus[0].uuid}", 0),
            ("GPU-b", 1),
        }
        placed = assert_true(found, simulation)
        assert all(line.anchors for line in placed.values())


def test_a_gpu_without_a_uuid_goes_by_its_number(lines: Lines) -> None:
    with simulated_cuda(Gpu(), Gpu(uuid=None)) as simulation:
        clock = GpuClock(lines.write)
        with sys.modules["torch.cuda"].device(1):
            simulation.launch(0)
            clock.record()
            clock.close()

    assert {e.device for e in lines.read().gpu_events} == {"cuda:1"}


def test_a_stream_that_is_stuck_does_not_hold_up_another(one: Simulation, lines: Lines) -> None:
    cuda = sys.modules["torch.cuda"]
    clock = GpuClock(lines.write)
    clock.record()
    one.launch(300)
    slow = clock.record()
    with cuda.stream(cuda.Stream()):
        one.launch(20)
        quick = clock.record()
    time.sleep(0.04)
    clock.collect()

    assert quick in {e.seq for e in lines.read().gpu_events}
    assert slow not in {e.seq for e in lines.read().gpu_events}
    clock.close()
    found = lines.read()
    # Read after the quick one, on the same chain; the other way round it is negative.
    assert [e.previous for e in found.gpu_events if e.seq == slow] == [quick]
    assert_true(found, one)


def test_time_back_between_two_streams_is_read_as_negative(one: Simulation, lines: Lines) -> None:
    cuda = sys.modules["torch.cuda"]
    clock = GpuClock(lines.write)
    clock.record()
    one.launch(30)
    clock.record()
    with cuda.stream(cuda.Stream()):
        one.launch(10)
        clock.record()
    time.sleep(0.05)
    clock.collect()
    clock.close()

    found = lines.read()
    assert min(e.elapsed_ms for e in found.gpu_events if e.elapsed_ms is not None) < -15
    assert_true(found, one)


def test_an_idle_gpu_is_watched_at_once_and_then_twice_a_second(
    one: Simulation, lines: Lines
) -> None:
    clock = GpuClock(lines.write)
    start = time.monotonic()
    marked = 0
    while time.monotonic() < start + 1.2:
        clock.record()
        clock.collect()
        marked += 1
        time.sleep(0.005)

    # A mark that watches asks the stream before; what it sees it writes at once.
    assert marked > 50
    assert 3 <= one.calls["stream.query"] <= 4
    first = min(lines.read().gpu_events, key=lambda e: e.seq)
    assert first.seen_ns - first.recorded_ns <= ANCHOR_NS


def test_an_event_that_ties_the_clocks_together_is_written_at_once(
    one: Simulation, lines: Lines
) -> None:
    clock = GpuClock(lines.write)
    until(lambda: clock.record() is not None and bool(lines.read().gpu_events))

    assert any(e.seen_ns - e.recorded_ns <= ANCHOR_NS for e in lines.read().gpu_events)


def test_a_mark_in_the_middle_of_another_does_not_hang(one: Simulation) -> None:
    # A signal may come while events are written, and its handler may mark.
    written = []

    def write(line: object) -> None:
        written.append(line)
        clock.record()
        clock.collect()

    clock = GpuClock(write)
    one.launch(1)
    clock.record()
    time.sleep(0.01)
    marking = threading.Thread(target=clock.collect, daemon=True)
    marking.start()
    marking.join(5)

    assert not marking.is_alive()
    assert written


def test_a_busy_gpu_is_not_watched(one: Simulation, lines: Lines) -> None:
    clock = GpuClock(lines.write)
    one.launch(50)
    clock.record()

    assert one.calls["event.query"] == 0


def test_few_events_are_read_at_a_mark_while_the_gpu_is_at_work_and_all_when_it_is_done(
    one: Simulation, lines: Lines
) -> None:
    clock = GpuClock(lines.write)
    for _ in range(40):
        one.launch(1)
        clock.record()
    one.launch(250)
    clock.record()
    time.sleep(0.05)

    clock.collect()
    assert len(lines.read().gpu_events) == 4
    time.sleep(0.3)
    clock.collect()
    assert len(lines.read().gpu_events) == 41


def test_events_are_used_again(one: Simulation, lines: Lines) -> None:
    clock = GpuClock(lines.write)
    for _ in range(200):
        clock.record()
        until(lambda: one.recorded[-1].done_ns < time.monotonic_ns())
        clock.collect()

    assert one.calls["event.new"] <= 4
    assert_true(lines.read(), one)


def test_a_link_too_long_for_a_float32_is_left_out_where_the_event_places_itself(
    lines: Lines,
) -> None:
    # A clock that runs a thousand times too fast: 0.3 s are five minutes.
    with simulated_cuda(Gpu(drift_ppm=999e6)) as simulation:
        simulation.launch(0)
        clock = GpuClock(lines.write)
        clock.record()
        simulation.launch(300)
        clock.record()  # nothing else places this one
        time.sleep(0.65)
        clock.record()
        clock.collect()

    previous = {e.seq: e.previous for e in lines.read().gpu_events}
    assert previous == {1: None, 2: 1, 3: None}


def test_a_failure_of_cuda_is_noted_once_and_the_program_goes_on(
    one: Simulation, lines: Lines
) -> None:
    clock = GpuClock(lines.write)
    one.launch(2)
    assert clock.record() == 1
    one.failing = "CUDA error: an illegal memory access was encountered\nCompile with ..."
    clock.collect()
    clock.collect()
    assert clock.record() is None
    clock.close()

    (note,) = lines.read().events
    assert note.kind == "hook_failed"
    assert "an illegal memory access was encountered" in note.detail
    assert "Compile with" not in note.detail


@pytest.mark.parametrize("missing", ["get_device_properties", "is_current_stream_capturing"])
def test_what_only_refines_the_clock_may_be_missing(
    one: Simulation, lines: Lines, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("Torch not compiled with CUDA enabled")

    monkeypatch.setattr(sys.modules["torch.cuda"], missing, refuse)
    clock = GpuClock(lines.write)
    one.launch(1)
    number = clock.record()
    clock.close()

    found = lines.read()
    assert number in {e.seq for e in found.gpu_events} and not found.events
    expected = "cuda:0" if missing == "get_device_properties" else f"GPU-{one.gpus[0].uuid}"
    assert {e.device for e in found.gpu_events} == {expected}


def test_no_failure_of_torch_reaches_the_program(
    one: Simulation, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("Invalid device id")

    monkeypatch.setattr(sys.modules["torch.cuda"], "current_stream", refuse)

    assert GpuClock(lines.write).record() is None
    (note,) = lines.read().events
    assert "Invalid device id" in note.detail


def test_a_torch_that_lacks_a_function_is_noted_too(one: Simulation, lines: Lines) -> None:
    clock = GpuClock(lines.write)
    cuda = sys.modules["torch.cuda"]
    event = vars(cuda).pop("Event")
    try:
        assert clock.record() is None
    finally:
        vars(cuda)["Event"] = event

    (note,) = lines.read().events
    assert "Event" in note.detail


def test_threads_mark_at_once_and_no_event_is_lost_or_written_twice(
    one: Simulation, lines: Lines
) -> None:
    clock = GpuClock(lines.write)
    failed: list[BaseException] = []

    def mark() -> None:
        try:
            cuda = sys.modules["torch.cuda"]
            with cuda.stream(cuda.Stream()):
                for i in range(60):
                    if i % 3 == 0:
                        one.launch(1)
                    clock.record()
                    clock.collect()
        except BaseException as error:
            failed.append(error)
            raise

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=mark) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    finally:
        sys.setswitchinterval(before)
    clock.close()

    assert not failed
    found = lines.read()
    assert not found.events
    numbers = [e.seq for e in found.gpu_events]
    assert len(numbers) == len(set(numbers)) == len(one.recorded)
    # Each link is the time between two instants that CUDA knows of.
    for event in found.gpu_events:
        assert event.previous is None or event.previous in numbers
    (line,) = timelines(found.gpu_events).values()
    assert line.error_ns < MS
    assert not one.waits


PRELUDE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
sys.modules["torch"] = None  # quicker; the tests within this process stand on the real one
import json, os, signal, time
from tests.simulated_cuda.simulated import install
import vidmeter
simulation = install()
simulation.launch(0)
"""


def ran(folder: Path, program: str, *, code: int = 0) -> tuple[Marked, list[int]]:
    """What a program marks, and what it prints last: when its GPU truly came to the events."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + program],
        env={**os.environ, "VIDMETER_MARKS": str(folder)},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert not done.stderr
    reader = MarkReader(folder)
    found = reader.read()
    assert not reader.bad_lines
    return found, json.loads(done.stdout.splitlines()[-1])


TELL = "print(json.dumps([e.done_ns for e in simulation.recorded]), flush=True)"


def test_a_program_that_ends_before_its_gpu_still_writes_what_that_does_soon(
    tmp_path: Path,
) -> None:
    found, true_ns = ran(
        tmp_path,
        f"""
with vidmeter.phase("generate"):
    for _ in range(3):
        with vidmeter.phase("step"):
            simulation.launch(60)
{TELL}
assert not simulation.waits
""",
    )

    events = {e.seq: e for e in found.gpu_events}
    (line,) = timelines(found.gpu_events).values()
    steps = [p for p in found.phases if p.name == "step"]
    assert len(steps) == 3
    for phase in steps:
        assert phase.start_event is not None and phase.end_event is not None
        assert {phase.start_event, phase.end_event} <= set(events)
        lasted_ns = line.at_ns[phase.end_event] - line.at_ns[phase.start_event]
        assert lasted_ns == pytest.approx(60 * MS, abs=MS)
    for seq, truth in enumerate(true_ns, 1):
        assert abs(line.at_ns[seq] - truth) <= line.error_ns


def test_a_program_whose_gpu_never_ends_is_put_off_for_half_a_second_at_most(
    tmp_path: Path,
) -> None:
    found, (late_ms,) = ran(
        tmp_path,
        """
import atexit
atexit.register(lambda: print(json.dumps([int((time.monotonic() - ended) * 1000)])))
with vidmeter.phase("generate"):
    simulation.launch(100_000)
ended = time.monotonic()
""",
    )

    assert 400 < late_ms < 1000
    assert [e.seq for e in found.gpu_events] == [1]


def test_what_a_killed_program_had_seen_stays_and_what_it_had_not_is_missing(
    tmp_path: Path,
) -> None:
    found, true_ns = ran(
        tmp_path,
        f"""
for _ in range(3):
    with vidmeter.phase("step"):
        simulation.launch(10)
    time.sleep(0.02)
with vidmeter.phase("stuck"):
    simulation.launch(10_000)
{TELL}
os.kill(os.getpid(), signal.SIGKILL)
""",
        code=-signal.SIGKILL,
    )

    seen = {e.seq for e in found.gpu_events}
    assert {1, 2, 3, 4, 5} <= seen
    assert 8 not in seen
    (line,) = timelines(found.gpu_events).values()
    for seq in seen:
        assert abs(line.at_ns[seq] - true_ns[seq - 1]) <= line.error_ns < 25 * MS


def test_a_fork_of_a_program_that_uses_cuda_leaves_its_events_alone(tmp_path: Path) -> None:
    found, told = ran(
        tmp_path,
        """
import gc
with vidmeter.phase("parent"):
    simulation.launch(30)
    asked = simulation.calls.total()
    child = os.fork()
    if not child:
        with vidmeter.phase("child"):
            pass
        gc.collect()
        wrong = simulation.calls.total() - asked or simulation.destroyed_in_fork
        os._exit(1 if wrong else 0)
    status = os.waitpid(child, 0)[1]
time.sleep(0.05)
print(json.dumps([status, os.getpid()]))
""",
    )

    assert told[0] == 0
    assert {e.pid for e in found.gpu_events} == {told[1]}
    by_name = {p.name: p for p in found.phases}
    assert by_name["child"].start_event is None and by_name["child"].end_event is None
    assert by_name["parent"].end_event in {e.seq for e in found.gpu_events}


def test_a_fork_is_not_put_off_for_what_its_parents_gpu_still_has_to_do(tmp_path: Path) -> None:
    _, (status, late_ms) = ran(
        tmp_path,
        """
with vidmeter.phase("parent"):
    simulation.launch(700)
child = os.fork()
if not child:
    sys.exit(0)
forked = time.monotonic()
status = os.waitpid(child, 0)[1]
print(json.dumps([status, int((time.monotonic() - forked) * 1000)]))
""",
    )

    assert status == 0
    assert late_ms < 400


def test_a_child_that_uses_a_gpu_of_its_own_writes_its_events_before_it_ends(
    tmp_path: Path,
) -> None:
    # Forked before CUDA was used, it may use it; it ends with os._exit, without atexit.
    found, told = ran(
        tmp_path,
        """
import multiprocessing
simulation.initialized_by = None
def work():
    simulation.launch(0)
    with vidmeter.phase("child"):
        simulation.launch(40)
child = multiprocessing.get_context("fork").Process(target=work)
child.start()
child.join()
print(json.dumps([child.exitcode, child.pid]))
""",
    )

    assert told[0] == 0
    (phase,) = found.phases
    assert phase.pid == told[1]
    assert {phase.start_event, phase.end_event} <= {e.seq for e in found.gpu_events}


def test_a_fork_while_another_thread_reads_does_not_hang(tmp_path: Path) -> None:
    _, told = ran(
        tmp_path,
        """
import threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from vidmeter.meter import marks
stop = False
def busy():
    while not stop:
        marks._state.gpu.record()
        marks._state.gpu.collect()
thread = threading.Thread(target=busy)
thread.start()
statuses = []
for _ in range(15):
    child = os.fork()
    if not child:
        signal.alarm(5)
        with vidmeter.phase("child"):
            pass
        os._exit(0)
    statuses.append(os.waitpid(child, 0)[1])
stop = True
thread.join()
print(json.dumps(statuses))
""",
    )

    assert told == [0] * 15
