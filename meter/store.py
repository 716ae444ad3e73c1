"""Run <-> file. A run file is an SQLite database (`*.vidmeter`), described in docs/run-file.md.

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
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.errors import BadRun
from vidmeter.meter.marks import MarkReader
from vidmeter.meter.run import Event, Phase, Run, Trace, Work
from vidmeter.meter.sample import Quantity, Sample, Series

SUFFIX = ".vidmeter"
APPLICATION_ID = 0x7669646D  # "vidm"
FORMAT_VERSION = 1
MOST_PENDING = 200_000
"""Samples kept in memory while the disk refuses them; beyond that the oldest are lost, and said."""

_SCHEMA = """
CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE device (
    uuid TEXT PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL, scope TEXT NOT NULL,
    provenance TEXT NOT NULL, sensor TEXT NOT NULL, "index" INTEGER, facts TEXT NOT NULL);
CREATE TABLE series (
    id INTEGER PRIMARY KEY, device TEXT NOT NULL REFERENCES device(uuid), quantity TEXT NOT NULL,
    window_ns INTEGER, wrap REAL);
CREATE TABLE block (
    id INTEGER PRIMARY KEY, series INTEGER NOT NULL REFERENCES series(id),
    first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL, count INTEGER NOT NULL,
    t_ns BLOB NOT NULL, value BLOB NOT NULL);
CREATE TABLE phase (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, start_ns INTEGER NOT NULL, end_ns INTEGER,
    parent TEXT, error TEXT, pid INTEGER NOT NULL);
CREATE TABLE work (
    unit TEXT NOT NULL, count REAL NOT NULL, origin TEXT NOT NULL, video_seconds REAL,
    frames INTEGER, width INTEGER, height INTEGER, fps REAL, path TEXT, phase TEXT, t_ns INTEGER);
CREATE TABLE event (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL, detail TEXT NOT NULL, device TEXT, count INTEGER NOT NULL);
CREATE TABLE anchor (monotonic_ns INTEGER NOT NULL, real_ns INTEGER NOT NULL);
"""


def marks_folder(path: Path) -> Path:
    """Where the metered processes mark while `path` is being written."""
    return path.with_name(path.name + ".marks")


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
        _check_header(path)
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
        row = astuple(phase)
        self._later(f"INSERT OR REPLACE INTO phase VALUES ({_marks(row)})", *row)

    def add_work(self, work: Work) -> None:
        """Add something that was produced."""
        row = astuple(work)
        self._later(f"INSERT INTO work VALUES ({_marks(row)})", *row)

    def put_event(self, key: int, event: Event) -> None:
        """Add an event or replace the one of that key."""
        self._later(
            "INSERT OR REPLACE INTO event VALUES (?, ?, ?, ?, ?, ?, ?)",
            key, event.kind, event.start_ns, event.end_ns, event.detail, event.device, event.count,
        )  # fmt: skip

    def add_event(self, event: Event) -> None:
        """Add an event that will not change any more."""
        self._later(
            "INSERT INTO event (kind, start_ns, end_ns, detail, device, count)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            event.kind, event.start_ns, event.end_ns, event.detail, event.device, event.count,
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


def load(path: Path | str, *, window: tuple[int, int] | None = None) -> Run:
    """Read a run, finished or still growing; `window` (ns) leaves out samples far outside it.

    Raises `BadRun` for a file that is missing, of another tool, truncated or of a newer version.
    """
    path = Path(path)
    _check_header(path)
    try:
        connection = _connect_to_read(path)
        try:
            return _read(connection, path, window)
        finally:
            connection.close()
    except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
        raise BadRun(f"{path} is damaged: {error}") from error


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
    }
    writer = RunWriter.create(path, facts, force=force)
    for device in run.devices:
        writer.add_device(device)
    for phase in run.phases:
        writer.put_phase(phase)
    for done in run.work:
        writer.add_work(done)
    for event in run.events:
        writer.add_event(event)
    for anchor in run.anchors:
        writer.add_anchor(anchor)
    for series, trace in run.traces.items():
        writer.add_trace(series, trace)
    if not writer.finish():
        raise BadRun(f"can't write all of the run to {path}: is the disk full?")


def recorder_lives(facts: Mapping[str, Any]) -> bool:
    """Whether the process that writes the run still exists, from the run's stored facts."""
    if facts.get("end_ns") is not None or "recorder_pid" not in facts:
        return False
    return start_ticks(facts["recorder_pid"]) == facts.get("recorder_start")


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: tells a pid from its later reuse."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])


def read_facts(path: Path) -> dict[str, Any]:
    """The run's stored facts alone, without its samples: what a listing needs."""
    _check_header(path)
    try:
        connection = _connect_to_read(path)
        try:
            return _facts(connection)
        finally:
            connection.close()
    except (sqlite3.Error, ValueError) as error:
        raise BadRun(f"{path} is damaged: {error}") from error


class Tail:
    """Follows a growing run: every call of `new` brings the samples committed since the last."""

    def __init__(self, path: Path) -> None:
        self._db = _connect_to_read(path)
        self._last = 0
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

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()


def remove_marks(path: Path) -> None:
    """Delete the folder of marks beside a run file that has taken them all in."""
    folder = marks_folder(path)
    for file in folder.glob("*.jsonl"):
        file.unlink(missing_ok=True)
    try:
        folder.rmdir()
    except OSError:
        pass  # a process of the program that lives on still marks: harmless


def remove(path: Path) -> None:
    """Delete a run file with all that may lie beside it."""
    folder = marks_folder(path)
    if folder.is_dir():
        for file in folder.iterdir():
            file.unlink(missing_ok=True)
        folder.rmdir()
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=5, check_same_thread=False)


def _make(path: Path, facts: Mapping[str, Any]) -> None:
    connection = _open(path)
    try:
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={FORMAT_VERSION}")
        connection.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
        rows = [(key, json.dumps(value)) for key, value in facts.items()]
        connection.executemany("INSERT INTO run VALUES (?, ?)", rows)
    finally:
        connection.close()


def _log_ahead(connection: sqlite3.Connection) -> None:
    # NORMAL in WAL mode: a kill loses nothing, and a commit never waits for the disk.
    connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;")


def _connect_to_read(path: Path) -> sqlite3.Connection:
    uri = f"file:{_quoted(path)}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=5, isolation_level=None)
    try:
        connection.execute("SELECT 1 FROM run LIMIT 1")
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


def _check_header(path: Path) -> None:
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        raise BadRun(f"{path} doesn't exist: `vidmeter list` shows the runs there are") from None
    except OSError as error:
        raise BadRun(f"can't read {path}: {error.strerror}") from None
    if len(header) < 100 or not header.startswith(b"SQLite format 3\0"):
        raise BadRun(f"{path} is not a vidmeter run file, or it is cut off at its start")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise BadRun(f"{path} is an SQLite database of another program, not a vidmeter run")
    version = int.from_bytes(header[60:64], "big")
    if version > FORMAT_VERSION:
        raise BadRun(
            f"{path} was written by a newer vidmeter (run format {version}, this one reads up to"
            f" {FORMAT_VERSION}): pip install --upgrade vidmeter"
        )


def _read(db: sqlite3.Connection, path: Path, window: tuple[int, int] | None) -> Run:
    facts = _facts(db)
    phases = {row[0]: Phase(*row) for row in db.execute("SELECT * FROM phase")}
    work = [Work(*row) for row in db.execute("SELECT * FROM work")]
    if marks_folder(path).is_dir() and not recorder_lives(facts):
        # The recorder was killed: what the program marked after its last look is still here.
        left, left_work = MarkReader(marks_folder(path)).read()
        phases |= {phase.id: phase for phase in left}
        known = {(w.t_ns, w.phase, w.unit) for w in work}
        work += [w for w in left_work if (w.t_ns, w.phase, w.unit) not in known]
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
        events=tuple(
            Event(*row)
            for row in db.execute(
                "SELECT kind, start_ns, end_ns, detail, device, count FROM event ORDER BY start_ns"
            )
        ),
        anchors=tuple(Anchor(*row) for row in db.execute("SELECT * FROM anchor")),
        environment=facts.get("environment", {}),
        workload=facts.get("workload"),
        path=path,
    )


def _facts(db: sqlite3.Connection) -> dict[str, Any]:
    return {key: json.loads(value) for key, value in db.execute("SELECT key, value FROM run")}


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


def _little(numbers: "array[int] | array[float]") -> bytes:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


def _marks(row: Iterable[Any]) -> str:
    return ", ".join("?" for _ in row)
