"""Run -> run file.

While it grows, one process writes it, in WAL mode, so that readers never hold it up and a kill at
any instant leaves it whole. `finish` turns it into one plain file. Samples are kept in blocks: one
row for each series and commit, holding two little-endian arrays (int64 ns, float64 value), because
ten million rows of single samples take longer to read than a report may.
"""

import json
import os
import sqlite3
import sys
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

from vidmeter.meter.clock import Anchor
from vidmeter.meter.device import Device
from vidmeter.meter.errors import BadRun
from vidmeter.meter.markreader import Marked
from vidmeter.meter.run import Event, GpuEvent, Phase, Process, Run, Trace, Work
from vidmeter.meter.runfile import (
    APPLICATION_ID,
    FORMAT_VERSION,
    SCHEMA,
    check_header,
    remove,
)
from vidmeter.meter.sample import Quantity, Sample, Series

MOST_PENDING = 200_000
"""Samples kept in memory while the disk refuses them; beyond that the oldest are lost, and said."""


class RunWriter:
    """The one writer of a growing run file. Nothing is on disk for sure before `commit`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.path = path
        self.lost_samples = 0
        self._db = connection
        self._series: dict[Series, int] = {
            Series(device, Quantity(quantity), window, wrap): key
            for key, device, quantity, window, wrap in connection.execute("SELECT * FROM series")
        }
        newest = connection.execute("SELECT ifnull(max(id), 0) FROM event").fetchone()
        self._last_event: int = newest[0]
        self._pending: dict[Series, Trace] = {}
        self._pending_count = 0
        self._rows: list[tuple[str, tuple[Any, ...]]] = []

    @classmethod
    def create(cls, path: Path, facts: Mapping[str, Any], *, force: bool = False) -> "RunWriter":
        """Start a new file with the first facts of its run.

        `BadRun` if it exists (without `force`) or can't be written.
        """
        if path.exists() and not force:
            raise BadRun(f"{path} exists: choose another --output, or add --force to overwrite it")
        # Made under another name: whoever finds the file finds a run.
        made = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.unlink(missing_ok=True)
            _make(made, facts)
            remove(path)
            made.rename(path)
            return cls.reopen(path)
        except (OSError, sqlite3.Error) as error:
            if made.exists():
                made.unlink()
            raise BadRun(f"can't write the run file {path}: {error}; use --output") from error

    @classmethod
    def reopen(cls, path: Path) -> "RunWriter":
        """Go on with a file whose writer is gone."""
        check_header(path)
        try:
            connection = _open(path)
            try:
                _log_ahead(connection)
                return cls(connection, path)
            except sqlite3.Error:
                connection.close()
                raise
        except sqlite3.Error as error:
            raise BadRun(f"can't go on with the run file {path}: {error}") from error

    def put(self, **facts: Any) -> None:
        """Set facts of the run, any JSON value each."""
        for key, value in facts.items():
            self._later("INSERT OR REPLACE INTO run VALUES (?, ?)", key, json.dumps(value))

    def add_device(self, device: Device) -> None:
        """Add a device; before its first sample."""
        row = asdict(device) | {"facts": json.dumps(dict(device.facts))}
        self._later(f"INSERT OR REPLACE INTO device VALUES ({_marks(row)})", *row.values())

    def add_samples(self, samples: Iterable[Sample]) -> None:
        """Add samples, in time order within each series."""
        pending = self._pending
        for series, t_ns, value in samples:
            trace = pending.get(series)
            if trace is None:
                trace = pending[series] = Trace(array("q"), array("d"))
            trace.t_ns.append(t_ns)
            trace.value.append(value)
            self._pending_count += 1

    def add_trace(self, series: Series, trace: Trace) -> None:
        """Add samples of a series that has none pending."""
        if trace.t_ns:
            self._pending[series] = trace
            self._pending_count += len(trace.t_ns)

    def put_phase(self, phase: Phase) -> None:
        """Add a phase or replace it as it was known before."""
        row = (*astuple(phase)[:-1], json.dumps(dict(phase.facts)))
        self._later(f"INSERT OR REPLACE INTO phase VALUES ({_marks(row)})", *row)

    def add_marked(self, marked: Marked) -> None:
        """Add what the metered processes have marked."""
        for phase in marked.phases:
            self.put_phase(phase)
        for work in marked.work:
            self.add_work(work)
        for event in marked.events:
            self.add_event(event)
        for gpu_event in marked.gpu_events:
            self.add_gpu_event(gpu_event)
        for process in marked.processes:
            self.put_process(process)

    def replace_marks(self, run: Run) -> None:
        """Put a run's marks in the place of those in the file."""
        for table in ("phase", "work", "event", "gpu_event", "process"):
            self._later(f"DELETE FROM {table}")
        self.add_marked(Marked(run.phases, run.work, run.events, run.gpu_events, run.processes))

    def add_gpu_event(self, event: GpuEvent) -> None:
        """Add an event that a GPU came to."""
        self._later(f"INSERT INTO gpu_event VALUES ({_marks(event)})", *event)

    def put_process(self, process: Process) -> None:
        """Add a process that marks, or replace what was known of it."""
        row = (process.pid, json.dumps(dict(process.facts)))
        self._later("INSERT OR REPLACE INTO process VALUES (?, ?)", *row)

    def add_work(self, work: Work) -> None:
        """Add something that was produced."""
        row = astuple(work)
        self._later(f"INSERT INTO work VALUES ({_marks(row)})", *row)

    def add_event(self, event: Event) -> int:
        """Add an event; the key under which it can be changed."""
        self._last_event += 1
        self.put_event(self._last_event, event)
        return self._last_event

    def put_event(self, key: int, event: Event) -> None:
        """Replace an event that was added, as it goes on or comes again."""
        self._later(
            "INSERT OR REPLACE INTO event VALUES (?, ?, ?, ?, ?, ?, ?)",
            key, event.kind, event.start_ns, event.end_ns, event.detail, event.device, event.count,
        )  # fmt: skip

    def add_anchor(self, anchor: Anchor) -> None:
        """Add a reading of both clocks."""
        self._later("INSERT INTO anchor VALUES (?, ?)", *anchor)

    def commit(self) -> bool:
        """Bring everything to the file; False when the disk refused, and it is kept for later."""
        try:
            self._db.execute("BEGIN")
            for statement, row in self._rows:
                self._db.execute(statement, row)
            for series, trace in self._pending.items():
                self._write_block(series, trace)
            self._db.execute("COMMIT")
        except sqlite3.OperationalError:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._series = {s: k for s, k in self._series.items() if self._has_series(k)}
            self._drop_if_too_many()
            return False
        self._rows.clear()
        self._pending.clear()
        self._pending_count = 0
        return True

    def finish(self) -> bool:
        """Commit and leave one plain file; False when samples could not be written."""
        committed = self.commit()
        if not committed:
            self.lost_samples += self._pending_count
        try:
            self._db.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.OperationalError:
            # A reader holds the log open: both files together are the whole run all the same.
            pass
        self._db.close()
        return committed

    def _later(self, statement: str, *row: Any) -> None:
        self._rows.append((statement, row))

    def _write_block(self, series: Series, trace: Trace) -> None:
        key = self._series.get(series)
        if key is None:
            cursor = self._db.execute(
                "INSERT INTO series (device, quantity, window_ns, wrap) VALUES (?, ?, ?, ?)", series
            )
            key = self._series[series] = cursor.lastrowid or 0
        t, value = trace
        self._db.execute(
            "INSERT INTO block (series, first_ns, last_ns, count, t_ns, value)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (key, t[0], t[-1], len(t), _little(t), _little(value)),
        )

    def _has_series(self, key: int) -> bool:
        return bool(self._db.execute("SELECT 1 FROM series WHERE id = ?", (key,)).fetchone())

    def _drop_if_too_many(self) -> None:
        if self._pending_count > MOST_PENDING:
            self.lost_samples += self._pending_count
            self._pending.clear()
            self._pending_count = 0


def save(run: Run, path: Path, *, force: bool = False) -> None:
    """Write a run to a file of its own; `BadRun` if it exists (without `force`) or can't be."""
    facts = {
        "id": run.id,
        "command": run.command,
        "start_ns": run.start_ns,
        "end_ns": run.end_ns,
        "exit_code": run.exit_code,
        "period_ns": run.period_ns,
        "started_real_ns": run.anchors[0].to_real(run.start_ns) if run.anchors else None,
        "environment": dict(run.environment),
        "workload": run.workload,
        "close_look": run.close_look,
        "idle": run.idle,
        "stated": run.stated,
    }
    writer = RunWriter.create(path, facts, force=force)
    for device in run.devices:
        writer.add_device(device)
    writer.add_marked(Marked(run.phases, run.work, run.events, run.gpu_events, run.processes))
    for anchor in run.anchors:
        writer.add_anchor(anchor)
    for series, trace in run.traces.items():
        writer.add_trace(series, trace)
    if not writer.finish():
        raise BadRun(f"can't write all of the run to {path}: is the disk full?")


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=5, check_same_thread=False)


def _make(path: Path, facts: Mapping[str, Any]) -> None:
    connection = _open(path)
    try:
        # Nothing is lost with it if the machine dies now, and each wait for the disk costs 5 ms.
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={FORMAT_VERSION}")
        connection.executescript(f"BEGIN; {SCHEMA} COMMIT;")
        rows = [(key, json.dumps(value)) for key, value in facts.items()]
        connection.executemany("INSERT INTO run VALUES (?, ?)", rows)
    finally:
        connection.close()


def _log_ahead(connection: sqlite3.Connection) -> None:
    # NORMAL in WAL mode: a kill loses nothing, and a commit never waits for the disk.
    connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;")


def _little(numbers: "array[int] | array[float]") -> bytes:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


def _marks(row: Iterable[Any]) -> str:
    return ", ".join("?" for _ in row)
