"""Adds runs to one CSV that many processes share: no row is lost, shifted or half written.

Whoever adds holds a lock beside the file, reads what is there, and puts a new whole file in its
place. A row goes under the names of the columns and not under their places: a file with columns
that a run lacks keeps them, and columns that the file lacks are added at its end, empty for older
rows.
Rewriting costs milliseconds for thousands of rows; a reader sees the old file or the new one.
"""

import csv
import fcntl
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vidmeter.meter.errors import BadRun
from vidmeter.meter.rows import COLUMNS, rows
from vidmeter.meter.run import Run
from vidmeter.meter.summary import Summary
from vidmeter.reports.csvfile import cell
from vidmeter.reports.files import write

KEYS = ("run_id", "phase", "device_uuid", "energy_j")
"""Columns by which a table of vidmeter's is known."""


def append(runs: Sequence[tuple[Run, Summary]], path: Path) -> int:
    """Add the rows of runs to a CSV, which is made if it isn't there; how many there were added.

    Raises BadRun if what is there is another table, or can't be read or written.
    """
    added = [row for run, summary in runs for row in rows(run, summary)]
    with _locked(path):
        columns, kept = _read(path)
        more = sorted({name for row in added for name in row} - set(COLUMNS))
        columns += [name for name in (*COLUMNS, *more) if name not in columns]
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        for old in kept:
            writer.writerow([*old, *[""] * (len(columns) - len(old))])
        for row in added:
            writer.writerow([cell(row.get(name)) for name in columns])
        write(out.getvalue(), path, force=True)
    return len(added)


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    """The columns and rows of the file; both empty if it isn't there yet."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = list(csv.reader(file))
    except FileNotFoundError:
        return [], []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadRun(f"{path} can't be added to: {error}") from error
    if not table:
        return [], []
    columns, *kept = table
    if not set(KEYS) <= set(columns) or any(len(row) != len(columns) for row in kept):
        raise BadRun(f"{path} is another table than vidmeter's: name another file with --append")
    return columns, kept


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which lies beside it because the file itself is replaced."""
    lock = path.with_name(f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise BadRun(f"can't write {path}: {error.strerror}; choose another --append") from error
