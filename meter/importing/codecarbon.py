"""CodeCarbon's emissions.csv: a row for each run, energies in kWh, the time of its end.

Of the GPUs it holds what their counters told. Its energy of the processor may have been read or
computed from a rating, which the file doesn't say, and that of the memory is always computed: both
are taken for a model. Columns: `EmissionsData` in codecarbon/output_methods/emissions_data.py.
"""

import csv
import io
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.importing.building import (
    JOULES_PER_KWH,
    UNKNOWN_MODEL,
    Given,
    Origin,
    S,
    gpu,
    local_ns,
    number,
    stated,
)
from vidmeter.meter.run import Run, Trace
from vidmeter.meter.sample import Quantity, Series

NEEDED = ("timestamp", "duration", "cpu_energy", "gpu_energy", "energy_consumed")
DETAIL = "the energy is what that program stated, and there is no course of power"
MODEL = {
    "model_low": 0.5,
    "model_high": 2.0,
    "rating": "CodeCarbon's own figure, taken to be right within a factor of 2",
    "rating_source": "an assumption: the file doesn't say whether it was read or computed",
}
KEPT = (
    "codecarbon_version", "project_name", "experiment_id", "run_id", "task_name", "tracking_mode",
    "emissions", "country_name", "country_iso_code", "region", "cloud_provider", "cloud_region",
    "os", "python_version", "cpu_model", "cpu_count", "ram_total_size", "pue", "wue",
)  # fmt: skip


def recognises(text: str) -> bool:
    """Whether the first line names CodeCarbon's columns."""
    names = text.partition("\n")[0].strip().split(",")
    return {"emissions", "energy_consumed"} <= set(names)


def read(given: Given) -> list[Run]:
    """A run for each row."""
    given.no_period()
    reader = csv.reader(io.StringIO(given.text))
    header = next(reader, [])
    missing = [name for name in NEEDED if name not in header]
    if missing:
        raise given.bad(f"it has no column {missing[0]}: is it of CodeCarbon 2.0 or later?")
    runs = []
    for row in reader:
        if not row:
            continue
        if len(row) != len(header):
            raise given.bad(
                f"line {reader.line_num} has {len(row)} cells, its header {len(header)}:"
                " its columns have shifted"
            )
        runs.append(_run(given, reader.line_num, dict(zip(header, row, strict=True))))
    if not runs:
        raise given.bad("it has no rows")
    return runs


def _run(given: Given, line: int, row: Mapping[str, str]) -> Run:
    known = {name: _number(given, line, row, name) for name in _NUMBERS if name in row}
    seconds = known["duration"]
    if not seconds or seconds < 0:
        raise given.bad(f"line {line}: a duration of {row['duration'] or 'nothing'}")
    try:
        end_ns = local_ns(datetime.fromisoformat(row["timestamp"])) if row["timestamp"] else None
    except ValueError:
        raise given.bad(f"line {line}: {row['timestamp']!r} is no time of CodeCarbon") from None
    version = row.get("codecarbon_version", "")
    origin = Origin(
        given,
        f"CodeCarbon {version}" if version else "in CodeCarbon's columns",
        DETAIL,
        None if end_ns is None else end_ns - round(seconds * S),
        row=line,
        label=(row["project_name"],) if row.get("project_name") else (),
        facts={name: row[name] for name in KEPT if row.get(name)},
    )
    devices, traces = [], {}
    for device, kwh in _devices(origin, row, known):
        devices.append(device)
        if kwh:  # a card under power never draws nothing: 0 is what was not read
            trace: Trace = stated(seconds, kwh * JOULES_PER_KWH)
            traces[Series(device.uuid, Quantity.ENERGY_STATED)] = trace
    return origin.run(seconds, devices, traces)


_NUMBERS = ("duration", "cpu_energy", "gpu_energy", "ram_energy", "gpu_count")


def _number(given: Given, line: int, row: Mapping[str, str], name: str) -> float | None:
    try:
        value = number(row[name])
    except ValueError:
        value = -1.0
    if value is not None and not 0 <= value < float("inf"):
        raise given.bad(f"line {line}: {name} is {row[name]!r}: its columns have shifted")
    return value


def _devices(
    origin: Origin, row: Mapping[str, str], known: Mapping[str, float | None]
) -> list[tuple[Device, float | None]]:
    """The devices of a row and their energies, kWh."""
    found: list[tuple[Device, float | None]] = []
    count = round(known.get("gpu_count") or 0)
    if count or known["gpu_energy"]:
        name = (row.get("gpu_model") or UNKNOWN_MODEL).removeprefix("1 x ")
        together = f"{count} cards" if count > 1 else "the card"
        more = {"cards": count} if count else {}
        found.append((gpu(origin, None, name, scope=together, **more), known["gpu_energy"]))
    for kind, part, name in (
        (Kind.CPU, "cpu", row.get("cpu_model") or UNKNOWN_MODEL),
        (Kind.DRAM, "ram", "memory"),
    ):
        if kwh := known.get(f"{part}_energy"):
            found.append((_modelled(origin, kind, part, name), kwh))
    return found


def _modelled(origin: Origin, kind: Kind, part: str, name: str) -> Device:
    facts: dict[str, Any] = dict(MODEL)
    return Device(
        uuid=origin.identity(part),
        name=name,
        kind=kind,
        scope="as CodeCarbon counts it",
        provenance=Provenance.MODELLED,
        sensor=origin.program,
        facts=facts,
    )
