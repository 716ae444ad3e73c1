"""Telling the run's own processes from others', with real processes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vidmeter.meter.others import FOREIGN, MPS, UNTOLD, Others
from vidmeter.meter.run import Event
from vidmeter.meter.sample import Quantity
from vidmeter.meter.sensors.base import Look, Process, Use
from vidmeter.meter.tree import MARKER

NOBODY = 2**22 + 1
"""Above every pid (pid_max is at most 2^22)."""


@contextmanager
def process(marker: str | None = None, *, child: bool = False) -> Iterator[int]:
    """A process that waits; with `child`, the pid of one that it started and whose mark is gone."""
    environ = {k: v for k, v in os.environ.items() if k != MARKER}
    if marker:
        environ[MARKER] = marker
    code = "print(__import__('os').getpid(), flush=True); input()"
    if child:
        code = (
            "import os, subprocess, sys; subprocess.run("
            f"[sys.executable, '-c', {code!r}], env=os.environ | {{{MARKER!r}: ''}})"
        )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as started:  # fmt: skip
        assert started.stdout is not None
        yield int(started.stdout.readline())
        started.communicate("\n")


def look(t_ns: int, *pids: int, memory_b: int | None = None, sort: str = "compute") -> Look:
    return Look("GPU-0", t_ns, tuple(Process(pid, memory_b, sort) for pid in pids))


def events(others: Others, *looks: Look) -> list[Event]:
    """The events as they stand after some looks."""
    found = {}
    for one in looks:
        found |= others.see(one).events
    return list(found.values())


def test_a_process_with_the_runs_mark_is_its_own_and_its_children_are() -> None:
    others = Others("abc")
    with process("abc") as marked, process("abc", child=True) as child:
        assert events(others, look(1, marked, child)) == []


@pytest.mark.parametrize("marker", [None, "another"])
def test_a_process_without_it_is_a_foreign_one_whose_span_grows(marker: str | None) -> None:
    others = Others("abc")
    with process(marker) as pid:
        (event,) = events(others, look(5, pid), look(6, pid, memory_b=12_340_000_000), look(9, pid))
        grown = events(others, look(11, pid, memory_b=2_000_000_000))[0]
    assert (event.kind, event.device) == (FOREIGN, "GPU-0")
    assert (event.start_ns, event.end_ns, event.count) == (5, 9, 3)
    assert grown.detail.startswith(f"another process is on the card: pid {pid} (python")
    assert grown.detail.endswith("), 2.0 GB")


def test_of_a_session_the_process_that_measures_and_its_children_are_the_runs_own() -> None:
    with process() as pid:
        assert events(Others(roots=(os.getpid(),)), look(1, os.getpid(), pid)) == []
        (event,) = events(Others(roots=(pid,)), look(1, os.getpid(), pid))
        assert f"pid {os.getpid()} " in event.detail


def test_pids_that_lead_nowhere_are_said_once() -> None:
    found = events(Others("abc"), look(1, NOBODY), look(2, NOBODY), look(3, NOBODY, NOBODY + 1))
    (event,) = found
    assert event.kind == UNTOLD
    assert "can't be told from ours" in event.detail
    assert event.end_ns == 3


def test_on_the_machine_itself_a_process_may_just_have_ended(tmp_path: Path) -> None:
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to("pid:[4026531836]")
    others = Others("abc", proc=tmp_path)
    assert events(others, look(1, NOBODY)) == []
    assert events(others, look(2)) == []
    assert [e.kind for e in events(others, look(3, NOBODY), look(4, NOBODY))] == [UNTOLD]


def test_activity_is_summed_for_us_and_for_others() -> None:
    others = Others("abc")
    with process("abc") as own, process() as foreign:
        seen = others.see(Look("GPU-0", 7, uses=(Use(own, 60.0), Use(foreign, 25.0))))
        unknown = others.see(Look("GPU-0", 8, uses=(Use(own, 60.0), Use(NOBODY, 5.0))))
        nobody = others.see(Look("GPU-0", 9, uses=()))
    assert {s.series.quantity: (s.t_ns, s.value) for s in seen.samples} == {
        Quantity.OWN_SM: (7, 60.0),
        Quantity.FOREIGN_SM: (7, 25.0),
    }
    assert unknown.samples == []
    assert [s.value for s in nobody.samples] == [0.0, 0.0]


def test_clients_of_mps_are_told() -> None:
    with process("abc") as own:
        (event,) = events(Others("abc"), look(1, own, sort="mps"))
    assert event.kind == MPS
