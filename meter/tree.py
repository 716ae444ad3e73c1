"""End every process that a command left behind.

A process that outlives its parent is handed to another one, so the family tree alone doesn't lead
to it: the marker in its environment does. A program may overwrite its environment (those that
change their own title do), so the descendants of what is marked count as well, and what once was
found is remembered.
"""

import os
import signal
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

MARKER = "VIDMETER_RUN"
"""The environment variable whose value tells the processes of one run from all others."""

_GIVE_UP_S = 5.0


class _Process(NamedTuple):
    """`pid` with its start, in ticks since boot: pids are used again, the pair isn't."""

    pid: int
    started: int


def kill_tree(
    marker: str | None,
    *,
    grace_s: float,
    spare: Collection[int] = (),
    roots: Collection[int] = (),
) -> int:
    """End all processes whose environment holds our variable with the value `marker`.

    They, the pids in `roots`, and all their descendants get SIGTERM (and SIGCONT, so that a
    stopped one can obey), and after `grace_s` SIGKILL. Neither we ourselves nor the pids in
    `spare` are touched. Returns how many were found; what can't be read, because another user
    owns it, is not among them.
    """
    beyond = {os.getpid(), *spare}
    deadline = time.monotonic() + grace_s
    found: set[_Process] = set()
    pause_s = 0.002
    while alive := _family(marker, found, beyond, roots):
        late_s = time.monotonic() - deadline
        if late_s > _GIVE_UP_S:
            break  # stuck in the kernel: the signal waits for them there
        for process in alive:
            if late_s >= 0:
                _send(process, signal.SIGKILL)
            elif process not in found:
                _send(process, signal.SIGTERM)
                _send(process, signal.SIGCONT)
        found |= alive
        pause_s = min(2 * pause_s, 0.1)
        time.sleep(pause_s)
    return len(found)


def _send(process: _Process, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(process.pid, number)


def _family(
    marker: str | None, known: set[_Process], beyond: set[int], roots: Collection[int]
) -> set[_Process]:
    """The living processes that carry the marker or are known, and their descendants."""
    wanted = None if marker is None else os.fsencode(f"{MARKER}={marker}")
    members: dict[int, _Process] = {}
    others: dict[int, tuple[int, _Process]] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal() or int(folder.name) in beyond:
            continue
        try:
            # The name, in parentheses, may hold anything; the fields behind it are counted from
            # the third of proc_pid_stat(5): state, parent, ..., start time.
            fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
            environ = (folder / "environ").read_bytes()
        except OSError:
            continue  # ended just now, or another user's
        if fields[0] in (b"Z", b"X"):
            continue
        process = _Process(int(folder.name), int(fields[19]))
        if wanted in environ.split(b"\0") or process in known or process.pid in roots:
            members[process.pid] = process
        else:
            others[process.pid] = (int(fields[1]), process)
    grown = True
    while grown:
        children = {pid: p for pid, (parent, p) in others.items() if parent in members}
        grown = bool(children.keys() - members.keys())
        members |= children
    return set(members.values())
