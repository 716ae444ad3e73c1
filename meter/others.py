"""Whose processes are on a card: the run's own, or those of others.

A process is the run's own if it carries the run's mark in its environment, is the one that
measures, or descends from such a process. Drivers in a container may name the pids of the host,
which lead nowhere here: then it is said once that the processes can't be told apart, and no share
is stated.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from vidmeter.meter.run import Event
from vidmeter.meter.sample import Quantity, Sample, Series
from vidmeter.meter.sensors.base import Look, Process, Use
from vidmeter.meter.tree import MARKER

PROC = Path("/proc")
FOREIGN = "foreign_process"
UNTOLD = "processes_untold"
MPS = "mps"
MPS_SERVER = "nvidia-cuda-mps-server"
_FIRST_NAMESPACE = "pid:[4026531836]"
"""The pid namespace of the machine itself (PROC_PID_INIT_INO in the kernel's proc_ns.h)."""


class Slot(NamedTuple):
    """What makes two events the same one, which goes on."""

    device: str
    what: str
    pid: int = 0
    started: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at a card's processes came to: samples, and events by what makes them one."""

    samples: list[Sample] = field(default_factory=list)
    events: dict[Slot, Event] = field(default_factory=dict)


class _Known(NamedTuple):
    started: int
    name: str
    own: bool


class Others:
    """Tells the run's own processes from others'.

    `marker` is what the run's processes carry (VIDMETER_RUN), `roots` are pids that are the run's
    own with their descendants.
    """

    def __init__(
        self, marker: str | None = None, *, roots: Collection[int] = (), proc: Path = PROC
    ) -> None:
        self._mark = f"{MARKER}={marker}".encode() if marker else None
        self._roots = frozenset(roots)
        self._proc = proc
        self._known: dict[int, _Known] = {}
        self._missed: set[int] = set()
        self._events: dict[Slot, Event] = {}
        try:
            self._nested = str((proc / "self/ns/pid").readlink()) != _FIRST_NAMESPACE
        except OSError:
            self._nested = True

    def see(self, look: Look) -> Seen:
        """What a look came to; the events go on from one look to the next."""
        seen = Seen()
        if look.processes is not None:
            self._see_processes(look.device, look.t_ns, look.processes, seen)
        if look.uses is not None:
            self._see_uses(look.device, look.t_ns, look.uses, seen)
        self._events |= seen.events
        return seen

    def _see_processes(
        self, device: str, t_ns: int, processes: Collection[Process], seen: Seen
    ) -> None:
        missed = set()
        for process in processes:
            known = self._of(process.pid)
            if known is None:
                missed.add(process.pid)
                # Elsewhere it has ended just now, unless it is still there at the next look.
                if self._nested or process.pid in self._missed:
                    self._say_untold(device, t_ns, seen)
                continue
            if process.sort == "mps" or known.name == MPS_SERVER:
                self._go_on(Slot(device, MPS), t_ns, "processes share the card through MPS", seen)
            if not known.own and known.name != MPS_SERVER:
                slot = Slot(device, FOREIGN, process.pid, known.started)
                self._go_on(slot, t_ns, _words(process, known.name), seen)
        self._missed = missed

    def _see_uses(self, device: str, t_ns: int, uses: Collection[Use], seen: Seen) -> None:
        own = foreign = 0.0
        for use in uses:
            known = self._of(use.pid)
            if known is None:
                if use.sm_pct > 0:
                    return
            elif known.own:
                own += use.sm_pct
            else:
                foreign += use.sm_pct
        seen.samples.append(Sample(Series(device, Quantity.OWN_SM), t_ns, own))
        seen.samples.append(Sample(Series(device, Quantity.FOREIGN_SM), t_ns, foreign))

    def _say_untold(self, device: str, t_ns: int, seen: Seen) -> None:
        detail = (
            "processes of others can't be told from ours here: the driver names pids that can't be"
            " seen from this container or by this user"
        )
        self._go_on(Slot(device, UNTOLD), t_ns, detail, seen)

    def _go_on(self, slot: Slot, t_ns: int, detail: str, seen: Seen) -> None:
        before = self._events.get(slot)
        if before is None:
            event = Event(slot.what, t_ns, t_ns, detail, slot.device)
        else:
            event = replace(before, end_ns=t_ns, detail=detail, count=before.count + 1)
        seen.events[slot] = event

    def _of(self, pid: int) -> _Known | None:
        """What is known of a process; None if it can't be seen from here."""
        stat = self._stat(pid)
        if stat is None:
            return None
        name, _, started = stat
        known = self._known.get(pid)
        if known is None or known.started != started or known.name != name:
            known = self._known[pid] = _Known(started, name, self._is_own(pid))
        return known

    def _is_own(self, pid: int) -> bool:
        while pid > 1:
            if pid in self._roots or self._is_marked(pid):
                return True
            stat = self._stat(pid)
            if stat is None:
                return False
            pid = stat[1]
        return pid in self._roots

    def _is_marked(self, pid: int) -> bool:
        if self._mark is None:
            return False
        try:
            environ = (self._proc / str(pid) / "environ").read_bytes()
        except OSError:
            return False  # another user's, so not ours
        return self._mark in environ.split(b"\0")

    def _stat(self, pid: int) -> tuple[str, int, int] | None:
        """Name, parent and start (ticks since boot) of a process; None if there is none."""
        try:
            stat = (self._proc / str(pid) / "stat").read_bytes()
        except OSError:
            return None
        head, _, tail = stat.rpartition(b")")
        fields = tail.split()
        return head.partition(b"(")[2].decode(errors="replace"), int(fields[1]), int(fields[19])


def _words(process: Process, name: str) -> str:
    memory = "" if process.memory_b is None else f", {process.memory_b / 1e9:.1f} GB"
    return f"another process is on the card: pid {process.pid} ({name}){memory}"
