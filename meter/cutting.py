"""A run of its own for a window or a phase of a longer one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vidmeter.meter.placed import extent
from vidmeter.meter.reader import load
from vidmeter.meter.run import Phase, Run
from vidmeter.meter.runfile import new_id
from vidmeter.meter.windows import paths


def cut(path: Path, phase: Phase) -> Run:
    """What a run file holds of a phase, as a run: its window, what is inside, the samples around.

    It has an id of its own, and the exit code of a command that ended well. Raises `BadRun`.
    """
    end_ns = phase.end_ns if phase.end_ns is not None else phase.start_ns
    run = window_of(
        lambda start, end: load(path, window=(start, end)), phase.id, phase.start_ns, end_ns
    )
    return replace(run, id=new_id(), exit_code=0, idle=(), stated=None, path=None)


def window_of(
    around: Callable[[int, int], Run], phase: str | None, start_ns: int, end_ns: int
) -> Run:
    """The run that `around` loads for a window (ns), narrowed to it and to what is inside a phase.

    The window is that of the phase's work: it lasts until the GPU is done.
    """
    run = around(start_ns, end_ns)
    first_ns, last_ns = extent(run, phase, start_ns, end_ns)
    if last_ns > end_ns:
        run = around(first_ns, last_ns)
    inside = paths(run.phases, inside=phase)
    return replace(
        run,
        start_ns=first_ns,
        end_ns=last_ns,
        phases=tuple(p for p in run.phases if p.id in inside),
        work=tuple(w for w in run.work if w.phase == phase or w.phase in inside),
    )
