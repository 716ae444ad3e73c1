"""The raw readings of a run, for other tools: CSV, JSON or Parquet. The forms: docs/export.md.

Nothing is computed here: what comes out is what was captured, to the last digit. Long runs are
written in pieces, so that an export needs little more memory than the run itself.
"""

import csv
import io
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import repeat
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vidmeter.meter.energy import Floats, Ints
from vidmeter.meter.errors import BadRun
from vidmeter.meter.run import Run, Trace
from vidmeter.reports.files import opened

SCHEMA = "vidmeter-run/1"
"""Of the JSON; grows with each change that an existing reader would stumble over."""
COLUMNS = ("t_ns", "t_s", "time", "device_uuid", "device_name", "quantity", "value")
FORMATS = ("csv", "json", "parquet")
_PIECE = 65_536


def export(run: Run, path: Path | None, *, form: str | None = None, force: bool = False) -> None:
    """Write the readings to a file, in `form` or in what its suffix says; without one, to stdout.

    Raises `BadRun` for an unknown form, a file that exists (without `force`) or can't be written,
    and for Parquet without pyarrow or without a file.
    """
    if path is None:
        if form == "parquet":
            raise BadRun("Parquet needs a file to go to: name it with --output")
        write(run, form or "csv", sys.stdout.buffer)
        sys.stdout.flush()
        return
    form = form or path.suffix.removeprefix(".").lower()
    _check(form)
    with opened(path, force=force) as out:
        write(run, form, out)


def write(run: Run, form: str, out: BinaryIO) -> None:
    """Write the readings to an open file or pipe, in `form`: `csv`, `json` or `parquet`."""
    _check(form)
    if form == "parquet":
        _parquet(run, out)
        return
    for text in _csv(run) if form == "csv" else _json(run):
        out.write(text.encode())


def _check(form: str) -> None:
    if form not in FORMATS:
        raise BadRun(f"can't export to {form or 'no suffix'}: use .csv, .json or .parquet")
    if form == "parquet":
        need_pyarrow()


def need_pyarrow() -> None:
    """Raise BadRun if Parquet can't be written here."""
    try:
        import pyarrow as pa  # noqa: F401
    except ImportError:
        raise BadRun("Parquet needs pyarrow: pip install pyarrow, or take .csv") from None


def _csv(run: Run) -> Iterator[str]:
    yield ",".join(COLUMNS) + "\n"
    names = {device.uuid: device.name for device in run.devices}
    for series, trace in run.traces.items():
        labels = (series.device, names.get(series.device, ""), str(series.quantity))
        for t_ns, value in _pieces(trace):
            text = io.StringIO()
            columns = (
                t_ns.tolist(),
                _since_start_s(run, t_ns).tolist(),
                _wall_clock(run, t_ns) or repeat(""),
                *map(repeat, labels),
                _plain(value, ""),
            )
            csv.writer(text, lineterminator="\n").writerows(zip(*columns, strict=False))
            yield text.getvalue()


def _json(run: Run) -> Iterator[str]:
    head = json.dumps(facts(run), allow_nan=False)
    yield head[:-1] + ',\n"series": ['
    for i, (series, trace) in enumerate(run.traces.items()):
        yield ",\n" if i else "\n"
        yield json.dumps(series._asdict(), allow_nan=False)[:-1] + ', "t_ns": ['
        yield from _numbers(t_ns.tolist() for t_ns, _ in _pieces(trace))
        yield '], "value": ['
        yield from _numbers(_plain(value, None) for _, value in _pieces(trace))
        yield "]}"
    yield "\n]}\n"


def _parquet(run: Run, out: BinaryIO) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    word = pa.dictionary(pa.int32(), pa.string())
    types = (
        pa.int64(), pa.float64(), pa.timestamp("ns", tz="UTC"),
        word, word, word, pa.float64(),
    )  # fmt: skip
    about = json.dumps(facts(run), allow_nan=False)
    schema = pa.schema(list(zip(COLUMNS, types, strict=True)), metadata={"vidmeter": about})
    names = {device.uuid: device.name for device in run.devices}
    with parquet.ParquetWriter(out, schema) as writer:
        for series, trace in run.traces.items():
            labels = (series.device, names.get(series.device, ""), str(series.quantity))
            for t_ns, value in _pieces(trace):
                real = _real_ns(run, t_ns)
                columns = [
                    pa.array(t_ns),
                    pa.array(_since_start_s(run, t_ns)),
                    pa.nulls(len(t_ns), types[2])
                    if real is None
                    else pa.array(real).cast(types[2]),
                    *(_repeated(label, len(t_ns)) for label in labels),
                    pa.array(value),
                ]
                writer.write_batch(pa.record_batch(columns, schema=schema))


def _repeated(word: str, count: int) -> Any:
    import pyarrow as pa

    indices = pa.array(np.zeros(count, dtype=np.int32))
    return pa.DictionaryArray.from_arrays(indices, pa.array([word]))


def facts(run: Run) -> dict[str, Any]:
    """All of a run but its readings, as plain JSON values."""
    return {
        "schema": SCHEMA,
        "run": run.id,
        "command": list(run.command),
        "start_ns": run.start_ns,
        "end_ns": run.end_ns,
        "exit_code": run.exit_code,
        "period_ns": run.period_ns,
        "environment": dict(run.environment),
        "workload": None if run.workload is None else dict(run.workload),
        "devices": [asdict(device) | {"facts": dict(device.facts)} for device in run.devices],
        "phases": [asdict(phase) for phase in run.phases],
        "work": [asdict(work) for work in run.work],
        "events": [asdict(event) for event in run.events],
        "anchors": [anchor._asdict() for anchor in run.anchors],
    }


def _pieces(trace: Trace) -> Iterator[tuple[Ints, Floats]]:
    t_ns = np.asarray(trace.t_ns, dtype=np.int64)
    value = np.asarray(trace.value, dtype=np.float64)
    for i in range(0, len(t_ns), _PIECE):
        yield t_ns[i : i + _PIECE], value[i : i + _PIECE]


def _since_start_s(run: Run, t_ns: Ints) -> Floats:
    return (t_ns - run.start_ns) / 1e9


def _real_ns(run: Run, t_ns: Ints) -> Ints | None:
    """Wall-clock time in ns since 1970, by the last anchor before; None without any."""
    if not run.anchors:
        return None
    monotonic, real = np.array(sorted(run.anchors), dtype=np.int64).T
    i = np.maximum(np.searchsorted(monotonic, t_ns, side="right") - 1, 0)
    shifted: Ints = t_ns - monotonic[i] + real[i]
    return shifted


def _wall_clock(run: Run, t_ns: Ints) -> list[str] | None:
    """Wall-clock time by ISO 8601, UTC, to the ns; None without an anchor."""
    real = _real_ns(run, t_ns)
    if real is None:
        return None
    text: list[str] = np.datetime_as_string(real.view("datetime64[ns]"), timezone="UTC").tolist()
    return text


def _plain(value: Floats, unknown: Any) -> list[Any]:
    """Numbers as Python has them; what is no number (nan, infinity) as `unknown`."""
    return [v if math.isfinite(v) else unknown for v in value.tolist()]


def _numbers(pieces: Iterator[list[Any]]) -> Iterator[str]:
    for i, piece in enumerate(pieces):
        yield (", " if i else "") + json.dumps(piece, allow_nan=False)[1:-1]
