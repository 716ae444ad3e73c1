"""Run file -> Run, finished or still growing. Reading never holds up the writer."""

import json
import os
import sqlite3
import sys
from array import array
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vidmeter.meter.clock import Anchor, anchor
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.errors import BadRun
from vidmeter.meter.markreader import Marked, MarkReader
from vidmeter.meter.run import Event, GpuEvent, Phase, Process, Run, Trace, Work
from vidmeter.meter.runfile import check_header, marks_folder, recorder_lives
from vidmeter.meter.sample import Quantity, Series


def load(path: Path | str, *, window: tuple[int, int] | None = None) -> Run:
    """Read a run, finished or still growing; `window` (ns) leaves out samples far outside it.

    Raises `BadRun` for a file that is missing, of another tool, truncated or of a newer version.
    """
    path = Path(path)
    check_header(path)
    try:
        connection = _connect_to_read(path, begin=True)  # one look at a file that may be growing
        try:
            return _read(connection, path, window)
        finally:
            connection.close()
    except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
        raise BadRun(f"{path} is damaged: {error}") from error


def read_facts(path: Path) -> dict[str, Any]:
    """The run's stored facts alone, without its samples: what a listing needs."""
    check_header(path)
    try:
        connection = _connect_to_read(path)
        try:
            return _facts(connection)
        finally:
            connection.close()
    except (sqlite3.Error, ValueError) as error:
        raise BadRun(f"{path} is damaged: {error}") from error


def read_work(path: Path) -> list[Work]:
    """What was produced, alone."""
    check_header(path)
    try:
        connection = _connect_to_read(path)
        try:
            return [Work(*row) for row in connection.execute("SELECT * FROM work")]
        finally:
            connection.close()
    except (sqlite3.Error, TypeError) as error:
        raise BadRun(f"{path} is damaged: {error}") from error


class Tail:
    """Follows a growing run: every call of `new` brings the samples committed since the last."""

    def __init__(self, path: Path) -> None:
        self._db = _connect_to_read(path)
        self._last = 0
        self._last_event = 0
        self._series: dict[int, Series] = {}

    def devices(self) -> list[Device]:
        """The devices of the run."""
        return _devices(self._db)

    def new(self) -> list[tuple[Series, Trace]]:
        """Blocks of samples that are new, in the order in which they were written."""
        rows = self._db.execute(
            "SELECT id, series, t_ns, value FROM block WHERE id > ? ORDER BY id", (self._last,)
        ).fetchall()
        if not rows:
            return []
        self._last = rows[-1][0]
        if any(row[1] not in self._series for row in rows):
            self._series = _series(self._db)
        return [
            (self._series[key], _from_little(Trace(array("q", t), array("d", value))))
            for _, key, t, value in rows
        ]

    def new_events(self) -> list[Event]:
        """Events that were added since the last call."""
        rows = self._db.execute(
            "SELECT id, kind, start_ns, end_ns, detail, device, count FROM event WHERE id > ?"
            " ORDER BY id",
            (self._last_event,),
        ).fetchall()
        if rows:
            self._last_event = rows[-1][0]
        return [Event(*row[1:]) for row in rows]

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()


def _connect_to_read(path: Path, *, begin: bool = False) -> sqlite3.Connection:
    """A connection that can read; with `begin`, in a transaction, which sees the file as it is."""
    uri = f"file:{_quoted(path)}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=5, isolation_level=None)
    try:
        if begin:
            connection.execute("BEGIN")
        connection.execute("SELECT 1 FROM run LIMIT 1").fetchall()
    except sqlite3.OperationalError:
        connection.close()
        # A read-only folder has no room for the shared-memory file of a log that was left behind.
        connection = sqlite3.connect(uri + "&immutable=1", uri=True, isolation_level=None)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _quoted(path: Path) -> str:
    from urllib.parse import quote

    return quote(os.fspath(path.absolute()))


def _read(db: sqlite3.Connection, path: Path, window: tuple[int, int] | None) -> Run:
    facts = _facts(db)
    # Golden files of every version stay readable.
    version = db.execute("PRAGMA user_version").fetchone()[0]
    phases = {phase.id: phase for phase in _phases(db, version)}
    gpu_events, processes = _timeline(db, version)
    events = [
        Event(*row)
        for row in db.execute("SELECT kind, start_ns, end_ns, detail, device, count FROM event")
    ]
    work = [Work(*row) for row in db.execute("SELECT * FROM work")]
    if marks_folder(path).is_dir() and not recorder_lives(facts):
        # The recorder was killed: what the program marked after its last look is still here.
        left = _left(db, path, facts)
        phases |= {phase.id: _as_known(phase, phases.get(phase.id)) for phase in left.phases}
        known = {(w.t_ns, w.phase, w.unit) for w in work}
        work += [w for w in left.work if (w.t_ns, w.phase, w.unit) not in known]
        gpu_events = list(dict.fromkeys([*gpu_events, *left.gpu_events]))
        processes |= {process.pid: process for process in left.processes}
        events += [event for event in left.events if event not in events]
    return Run(
        id=facts["id"],
        command=tuple(facts["command"]),
        start_ns=facts["start_ns"],
        end_ns=facts.get("end_ns"),
        exit_code=facts.get("exit_code"),
        period_ns=facts["period_ns"],
        devices=tuple(_devices(db)),
        traces=_traces(db, window),
        phases=tuple(sorted(phases.values(), key=lambda p: (p.start_ns, p.id))),
        work=tuple(work),
        events=tuple(sorted(events, key=lambda e: e.start_ns)),
        gpu_events=tuple(gpu_events),
        processes=tuple(processes.values()),
        anchors=tuple(Anchor(*row) for row in db.execute("SELECT * FROM anchor")),
        environment=facts.get("environment", {}),
        workload=facts.get("workload"),
        close_look=tuple(facts["close_look"]) if facts.get("close_look") else None,
        idle=tuple((a, b) for a, b in facts.get("idle", ())),
        stated=facts.get("stated"),
        path=path,
    )


def _left(db: sqlite3.Connection, path: Path, facts: dict[str, Any]) -> Marked:
    """What lies in the folder of marks of a run whose recorder was killed."""
    clocks = db.execute("SELECT * FROM anchor ORDER BY monotonic_ns DESC LIMIT 1").fetchone()
    ended = Anchor(*clocks) if clocks else anchor()
    newest = db.execute("SELECT ifnull(max(last_ns), 0) FROM block").fetchone()[0]
    if newest > ended.monotonic_ns:
        ended = Anchor(newest, ended.to_real(newest))
    taken = facts.get("marks_taken", 0)
    return MarkReader(marks_folder(path), ended=ended, taken=taken).read()


def _as_known(phase: Phase, known: Phase | None) -> Phase:
    """A phase of the shared file with the times that its recorder saw: only that could know."""
    if known is None or phase.pid != 0:
        return phase
    if known.end_ns is not None:
        return known
    end_ns = None if phase.end_ns is None else max(phase.end_ns, known.start_ns)
    return replace(phase, start_ns=known.start_ns, end_ns=end_ns)


def _phases(db: sqlite3.Connection, version: int) -> list[Phase]:
    rows = db.execute("SELECT * FROM phase").fetchall()
    if version < 2:
        return [Phase(*row) for row in rows]
    told = _parsed([row[-1] for row in rows])
    return [Phase(*(*row[:-1], facts)) for row, facts in zip(rows, told, strict=True)]


def _timeline(db: sqlite3.Connection, version: int) -> tuple[list[GpuEvent], dict[int, Process]]:
    """The GPUs' own time, and who marked."""
    if version < 2:
        return [], {}
    events = [GpuEvent(*row) for row in db.execute("SELECT * FROM gpu_event")]
    rows = db.execute("SELECT pid, facts FROM process")
    return events, {pid: Process(pid, json.loads(facts)) for pid, facts in rows}


def _facts(db: sqlite3.Connection) -> dict[str, Any]:
    rows = db.execute("SELECT key, value FROM run").fetchall()
    return dict(zip([key for key, _ in rows], _parsed([value for _, value in rows]), strict=True))


def _parsed(texts: Sequence[str]) -> list[Any]:
    """JSON texts, parsed as one: three times as quick for many small ones."""
    found: list[Any] = json.loads(f"[{','.join(texts)}]")
    return found


def _devices(db: sqlite3.Connection) -> list[Device]:
    return [
        Device(uuid, name, Kind(kind), scope, Provenance(origin), sensor, index, json.loads(facts))
        for uuid, name, kind, scope, origin, sensor, index, facts in db.execute(
            "SELECT * FROM device ORDER BY rowid"
        )
    ]


def _series(db: sqlite3.Connection) -> dict[int, Series]:
    return {
        key: Series(device, Quantity(quantity), window, wrap)
        for key, device, quantity, window, wrap in db.execute("SELECT * FROM series")
    }


def _traces(db: sqlite3.Connection, window: tuple[int, int] | None) -> dict[Series, Trace]:
    series = _series(db)
    margin = 5_000_000_000  # wide enough for the slowest series and for edges
    start, end = window or (margin, 2**63 - 1 - margin)
    traces: dict[int, Trace] = {}
    rows = db.execute(
        "SELECT series, t_ns, value FROM block WHERE last_ns >= ? AND first_ns <= ? ORDER BY id",
        (start - margin, end + margin),
    )
    for key, t, value in rows:
        trace = traces.get(key)
        if trace is None:
            trace = traces[key] = Trace(array("q"), array("d"))
        trace.t_ns.frombytes(t)
        trace.value.frombytes(value)
    for trace in traces.values():
        _from_little(trace)
    return {series[key]: traces[key] for key in sorted(traces)}


def _from_little(trace: Trace) -> Trace:
    if sys.byteorder == "big":
        trace.t_ns.byteswap()
        trace.value.byteswap()
    return trace
