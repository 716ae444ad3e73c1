"""The run file as a file: what it is called, how it is known, what lies beside it.

A run file is an SQLite database (`*.vidmeter`), described in docs/run-file.md.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidmeter.meter.errors import BadRun

SUFFIX = ".vidmeter"
APPLICATION_ID = 0x7669646D  # "vidm"
FORMAT_VERSION = 2

SCHEMA = """
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
    parent TEXT, error TEXT, pid INTEGER NOT NULL, tid INTEGER NOT NULL, start_event INTEGER,
    end_event INTEGER, facts TEXT NOT NULL);
CREATE TABLE gpu_event (
    pid INTEGER NOT NULL, seq INTEGER NOT NULL, device TEXT NOT NULL, previous INTEGER,
    elapsed_ms REAL, recorded_ns INTEGER NOT NULL, seen_ns INTEGER NOT NULL);
CREATE TABLE process (pid INTEGER PRIMARY KEY, facts TEXT NOT NULL);
CREATE TABLE work (
    unit TEXT NOT NULL, count REAL NOT NULL, origin TEXT NOT NULL, video_seconds REAL,
    frames INTEGER, width INTEGER, height INTEGER, fps REAL, path TEXT, phase TEXT, t_ns INTEGER);
CREATE TABLE event (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL, detail TEXT NOT NULL, device TEXT, count INTEGER NOT NULL);
CREATE TABLE anchor (monotonic_ns INTEGER NOT NULL, real_ns INTEGER NOT NULL);
"""


def new_id() -> str:
    """A name that no other run has: 32 hexadecimal digits (the module `uuid` is slow to import)."""
    return os.urandom(16).hex()


def marks_folder(path: Path) -> Path:
    """Where the metered processes mark while `path` is being written."""
    return path.with_name(path.name + ".marks")


def check_header(path: Path) -> None:
    """Raise `BadRun` unless the file is a run that this version can read."""
    try:
        with path.open("rb", buffering=0) as file:
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
