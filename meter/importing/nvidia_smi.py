"""Logs of `nvidia-smi --query-gpu=… --format=csv`, with -l or -lms.

Columns are named as they were asked for, some with a unit in brackets; values carry units unless
`nounits` was given. Rows of several cards alternate, so a log of several needs a column that tells
them apart. Columns: `nvidia-smi --help-query-gpu`.
"""

import csv
import re
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from vidmeter.meter.importing.building import Card, Given, Origin, S, local_ns, number, run_of_cards
from vidmeter.meter.run import Run
from vidmeter.meter.sample import Quantity

READINGS = {
    "power.draw": Quantity.POWER_USAGE,
    "power.draw.instant": Quantity.POWER_INSTANT,
    "power.draw.average": Quantity.POWER_AVERAGE,
    "temperature.gpu": Quantity.TEMPERATURE,
    "clocks.current.sm": Quantity.SM_CLOCK,
    "clocks.sm": Quantity.SM_CLOCK,
    "clocks.current.memory": Quantity.MEMORY_CLOCK,
    "clocks.mem": Quantity.MEMORY_CLOCK,
    "utilization.gpu": Quantity.UTILIZATION,
    "memory.used": Quantity.MEMORY_USED,
    "power.limit": Quantity.POWER_LIMIT,
    "enforced.power.limit": Quantity.POWER_LIMIT,
    "clocks_event_reasons.active": Quantity.CLOCK_REASONS,
    "clocks_throttle_reasons.active": Quantity.CLOCK_REASONS,
}
FACTS = {
    "driver_version": "driver_version",
    "vbios_version": "vbios",
    "compute_cap": "compute_capability",
    "pci.bus_id": "pci_bus_id",
    "gpu_bus_id": "pci_bus_id",
}
IDENTITIES = ("uuid", "gpu_uuid", "pci.bus_id", "gpu_bus_id", "index", "serial", "gpu_serial")
NAMES = ("name", "gpu_name")
MEBIBYTE = 1 << 20
_TIME = re.compile(r"\d{4}[/-]\d\d[/-]\d\d \d\d:\d\d:\d\d(\.\d+)?")
DETAIL = "its readings as they were logged; what its sensor is like isn't known"


class _Table(NamedTuple):
    names: list[str]
    rows: list[tuple[int, list[str]]]


def recognises(text: str) -> bool:
    """Whether the first line names columns of nvidia-smi."""
    names = _names(next((line for line in text.splitlines() if line.strip()), ""))
    return len(names) > 1 and bool(READINGS.keys() & set(names))


def read(given: Given) -> list[Run]:
    """The log as one run."""
    table = _table(given)
    power = [n for n in table.names if n.startswith("power.draw") and n in READINGS]
    if not power:
        raise given.bad("it has no column power.draw: nothing in it tells of energy")
    identity = next((name for name in IDENTITIES if name in table.names), None)
    times = _times(given, table, identity)
    cards: dict[str, Card] = {}
    for (line, row), t_ns in zip(table.rows, times, strict=True):
        cells = dict(zip(table.names, row, strict=True))
        card = cards.setdefault(cells[identity] if identity else "", Card())
        _describe(card, cells)
        _add(given, card, cells, line, t_ns)
    first = _when(table, 0)
    ignored = [n for n in table.names if n not in _USED]
    facts = {"columns_left_out": ", ".join(ignored)} if ignored else {}
    real_ns = None if first is None else local_ns(first)
    origin = Origin(given, "nvidia-smi", DETAIL, real_ns, facts=facts)
    return [run_of_cards(origin, list(cards.values()), times[0])]


_USED = {*READINGS, *FACTS, *IDENTITIES, *NAMES, "timestamp"}


def _names(line: str) -> list[str]:
    return [cell.partition("[")[0].strip().lower() for cell in line.split(",")]


def _table(given: Given) -> _Table:
    """The rows with their lines; a last one that was cut off as it was written is left out."""
    lines = given.text.splitlines()
    at = next((i for i, line in enumerate(lines) if line.strip()), len(lines))
    names = _names(lines[at]) if at < len(lines) else []
    if not READINGS.keys() & set(names):
        raise given.bad("its first line names no columns of nvidia-smi: log it without noheader")
    if len(set(names)) < len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise given.bad(f"it has the column {twice} twice")
    rows = []
    for i, row in enumerate(csv.reader(lines[at + 1 :], skipinitialspace=True), at + 2):
        if not row or row == [""] or _names(",".join(row)) == names:
            continue
        if i == len(lines) and not given.text.endswith("\n"):
            break  # cut off as it was written, perhaps within its last number
        if len(row) != len(names):
            raise given.bad(f"line {i} has {len(row)} cells, its header {len(names)}")
        rows.append((i, [cell.strip() for cell in row]))
    if not rows:
        raise given.bad("it has no rows")
    return _Table(names, rows)


def _times(given: Given, table: _Table, identity: str | None) -> list[int]:
    """The time of each row, ns from any start."""
    if "timestamp" not in table.names:
        if given.period_s is None:
            raise given.bad(
                "it has no column timestamp: say the seconds between rows with --period"
            )
        return _counted(given.period_s, table, identity)
    given.no_period()
    column = table.names.index("timestamp")
    zero = datetime(1970, 1, 1)
    times = []
    for line, row in table.rows:
        try:
            passed = _moment(row[column]) - zero
        except ValueError:
            raise given.bad(f"line {line}: {row[column]!r} is no time of nvidia-smi") from None
        seconds = passed.days * 86_400 + passed.seconds
        times.append(seconds * S + passed.microseconds * 1000)
    if identity is None:
        _check_one_card(given, times)
    return times


def _counted(period_s: float, table: _Table, identity: str | None) -> list[int]:
    """Times of rows without any: a period from each row of a card to its next."""
    column = None if identity is None else table.names.index(identity)
    seen: dict[str, int] = {}
    times = []
    for _, row in table.rows:
        key = "" if column is None else row[column]
        times.append(round(seen.get(key, 0) * period_s * S))
        seen[key] = seen.get(key, 0) + 1
    return times


def _check_one_card(given: Given, times: list[int]) -> None:
    """Rows of several cards come in bunches, those of one evenly."""
    gaps = sorted(b - a for a, b in pairwise(times))
    if gaps and gaps[len(gaps) // 10] < 0.1 * gaps[len(gaps) * 9 // 10]:
        raise given.bad(
            "its rows are of several cards, and nothing tells these apart: log index or uuid too"
        )


def _when(table: _Table, row: int) -> datetime | None:
    if "timestamp" not in table.names:
        return None
    return _moment(table.rows[row][1][table.names.index("timestamp")])


def _moment(text: str) -> datetime:
    """A time as `2024/01/16 14:44:16.977`; ValueError for anything else."""
    if not _TIME.fullmatch(text):
        raise ValueError(text)
    return datetime.fromisoformat(text.replace("/", "-"))


def _describe(card: Card, cells: dict[str, str]) -> None:
    """What the first row of a card tells of it."""
    if card.readings:
        return
    card.name = next((cells[n] for n in NAMES if cells.get(n)), card.name)
    card.uuid = cells.get("uuid") or cells.get("gpu_uuid")
    if cells.get("index", "").isdigit():
        card.index = int(cells["index"])
    known = {FACTS[n]: text for n, text in cells.items() if n in FACTS and text[:1] not in "["}
    card.facts |= known


def _add(given: Given, card: Card, cells: dict[str, str], line: int, t_ns: int) -> None:
    """A row's readings; `BadImport` where one is no number, or earlier than the row before."""
    for name, text in cells.items():
        quantity = READINGS.get(name)
        if quantity is None:
            continue
        try:
            value = float(int(text, 16)) if text.startswith("0x") else number(text)
        except ValueError:
            raise given.bad(f"line {line}: {name} is {text!r}, which is no number") from None
        if value is None:
            continue
        if quantity is Quantity.MEMORY_USED:
            value *= MEBIBYTE
        if quantity is Quantity.POWER_LIMIT:
            card.facts.setdefault("power_limit_w", value)
        before = card.readings.get(quantity)
        if before and t_ns < before.t_ns[-1]:
            raise given.bad(f"line {line}: its time is before that of the row above")
        card.add(quantity, t_ns, value)
