"""Run files as what a comparison needs of them: their facts and a brief summary, no samples.

Many files are read by several processes at once: ten thousand take seconds then, and the memory of
their summaries only. A file that can't be read ends it with the error that reading it alone gives.
"""

import gc
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from vidmeter.meter.reader import load
from vidmeter.meter.run import Run
from vidmeter.meter.summarize import summarize
from vidmeter.meter.summary import Summary
from vidmeter.reports.likeness import is_call

MANY = 300
"""Fewer files are read before other processes have begun."""
AT_ONCE = 25
"""Files of one turn of a process."""


def gather(paths: Sequence[Path], *, processes: int | None = None) -> list[tuple[Run, Summary]]:
    """Every run as `read` has it, in the order of the paths.

    `processes` is how many read, by default as many as there are cores for many files. Raises
    BadRun for the first that can't be read.
    """
    cores = len(os.sched_getaffinity(0)) if len(paths) >= MANY else 1
    processes = cores if processes is None else processes
    if processes < 2:
        return [read(path) for path in paths]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool, nothing_collected():
        return list(pool.map(read, paths, chunksize=AT_ONCE))


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Many runs all stay: to look through them for garbage again and again takes half the time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def read(path: Path) -> tuple[Run, Summary]:
    """One run without its samples, of its marks the calls of pipelines, and its brief summary."""
    run = load(path)
    summary = summarize(run, brief=True)
    calls = tuple(phase for phase in run.phases if is_call(phase))
    bare = replace(run, traces={}, phases=calls, gpu_events=(), anchors=(), events=())
    return bare, summary
