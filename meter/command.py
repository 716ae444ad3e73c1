"""A metered command from its start to its run file: what `vidmeter run` and `vidmeter bench` do."""

import glob
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vidmeter.meter.clock import monotonic_ns
from vidmeter.meter.errors import BadRun, VidmeterError
from vidmeter.meter.instrument import hook
from vidmeter.meter.markreader import SHARED
from vidmeter.meter.marks import FILE_ENV, MARK_FILE_ENV, MARKS_ENV
from vidmeter.meter.order import Order
from vidmeter.meter.reader import read_work
from vidmeter.meter.recorder import Recorder
from vidmeter.meter.run import Event, Work
from vidmeter.meter.runfile import SUFFIX, marks_folder, new_id
from vidmeter.meter.store import RunWriter
from vidmeter.meter.tree import MARKER

if TYPE_CHECKING:  # imported while the sampler starts, or when the command has ended
    from vidmeter.meter.launch import Outcome
    from vidmeter.meter.outputs import Found


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be metered and how.

    `order.path` is the run file. `outputs` are patterns of video files; None looks for them under
    the working directory, an empty tuple doesn't look. `work` is what the user states was produced.
    `instrument` is what the hook marks in Python programs: `phases`, `modules` as well, or None.
    `idle_s` is how long the idle draw is measured before the command and after it. The signals in
    `held` wait until the program lets them through.
    """

    command: tuple[str, ...]
    order: Order
    outputs: tuple[str, ...] | None = None
    work: tuple[Work, ...] = ()
    idle_s: float = 0.0
    instrument: str | None = "phases"
    held: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Metered:
    """How a metered command ended; `messages` are for the user, one line each."""

    outcome: "Outcome"
    path: Path
    messages: tuple[str, ...]


def meter(
    job: Job,
    *,
    while_starting: Callable[[], None] | None = None,
    while_ending: Callable[[], None] | None = None,
    on_start: Callable[[Recorder], None] | None = None,
    on_tick: Callable[[], None] | None = None,
    on_end: Callable[[], None] | None = None,
) -> Metered:
    """Run the command under the meter. Raises before it starts, never after.

    `while_starting` is called while the sampler starts, `on_start` when it is at work, `on_tick`
    about twice a second while the command runs, `on_end` when it has ended, and `while_ending`
    while the sampler finishes.
    """
    marker = new_id()
    order = replace(job.order, command=job.command, marker=marker)
    path = Path(order.path)
    environ = os.environ | {
        MARKER: marker,
        MARKS_ENV: str(marks_folder(path).absolute()),
        MARK_FILE_ENV: str(marks_folder(path).absolute() / SHARED),
        FILE_ENV: str(path.absolute()),
    }
    if job.instrument:
        environ |= hook.environment(job.instrument, os.environ.get("PYTHONPATH"))
    recorder = Recorder(order)
    try:
        if while_starting:
            while_starting()
        from vidmeter.meter.launch import launch

        recorder.wait()
        if on_start:
            on_start(recorder)
        idle = [_idle(job.idle_s)] if job.idle_s else []
        started_real_ns = time.time_ns()
        recorder.put(start_ns=monotonic_ns())
        outcome = launch(job.command, environ=environ, on_tick=on_tick, held=job.held)
    except BaseException:
        # It could not be started: there is no run, and nothing is left behind.
        recorder.discard()
        raise
    ended_real_ns = time.time_ns()
    if on_end:
        on_end()
    recorder.put(start_ns=outcome.start_ns)
    if idle:
        try:
            idle.append(_idle(job.idle_s))
        except KeyboardInterrupt:
            # Enough of waiting: the window before the command is there.
            outcome = replace(outcome, asked_to_end=True)
        recorder.put(idle=idle)
    ended = recorder.stop(outcome.end_ns, outcome.exit_code, meanwhile=while_ending)
    messages = list(ended.messages)
    if outcome.trouble is not None:
        messages.append(f"the live line failed: {outcome.trouble!r}")
    try:
        _add_work(job, path, started_real_ns, ended_real_ns)
    except (VidmeterError, OSError) as error:
        messages.append(str(error))
    return Metered(outcome, path, tuple(messages))


def default_path(command: Sequence[str], folder: Path) -> Path:
    """A new name for a run in `folder`: the program and the time of day."""
    program = Path(command[0]).name
    if program.startswith("python") and len(command) > 1 and command[1] != "-c":
        program = Path(next((c for c in command[1:] if not c.startswith("-")), program)).stem
    stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in program)[:40] or "run"
    return folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{stem}-{os.getpid()}{SUFFIX}"


def check_room(path: Path, least_b: int = 1 << 20) -> None:
    """Refuse a place with no room for a run, before anything is started."""
    folder = path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free_b = shutil.disk_usage(folder).free
    except OSError as error:
        raise BadRun(f"can't write to {folder}: {error.strerror}; use --output") from None
    if free_b < least_b:
        raise BadRun(f"the disk of {folder} is full: free some space or use --output")


def _idle(seconds: float) -> tuple[int, int]:
    """A window in which the command doesn't run."""
    start_ns = monotonic_ns()
    time.sleep(seconds)
    return start_ns, monotonic_ns()


def _add_work(job: Job, path: Path, started_real_ns: int, ended_real_ns: int) -> None:
    """Add what the command produced: what the user states, and the videos it wrote."""
    from vidmeter.meter.outputs import Found, find_videos

    found = Found((), ())
    if job.outputs != ():
        found = find_videos(
            Path.cwd(),
            patterns=job.outputs,
            started_real_ns=started_real_ns,
            ended_real_ns=ended_real_ns,
        )
    if job.outputs is None:
        found = _and(found, _exported_elsewhere(path, started_real_ns, ended_real_ns))
    if not (found.videos or found.doubts or job.work):
        return
    writer = RunWriter.reopen(path)
    now = monotonic_ns()
    for work in (*job.work, *found.videos):
        writer.add_work(work)
    for doubt in found.doubts:
        writer.add_event(Event("output", now, now, f"{doubt.path}: {doubt.detail}"))
    if not writer.finish():
        raise BadRun(f"what was produced could not be written to {path}")


def _exported_elsewhere(path: Path, started_real_ns: int, ended_real_ns: int) -> "Found":
    """Videos that the hook saw being written outside the folder that is searched."""
    from vidmeter.meter.outputs import Found, find_videos

    here = Path.cwd()
    written = {Path(w.path) for w in read_work(path) if w.origin == "export" and w.path}
    patterns = [glob.escape(str(p)) for p in written if p.exists() and not p.is_relative_to(here)]
    if not patterns:
        return Found((), ())
    return find_videos(
        here,
        patterns=tuple(sorted(patterns)),
        started_real_ns=started_real_ns,
        ended_real_ns=ended_real_ns,
    )


def _and(one: "Found", other: "Found") -> "Found":
    return one._replace(videos=one.videos + other.videos, doubts=one.doubts + other.doubts)
