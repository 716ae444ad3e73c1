"""What `nvidia-smi dmon` printed: columns of whole numbers under a header that starts with #.

The date and the time of day are there with `-o DT`, the latter alone with `-o T`, in whole
seconds. Without either, rows are as far apart as is said (`-d`, by default 1 s). An unknown value
is a dash. The header comes again every few rows.
"""

from datetime import datetime, timedelta

from vidmeter.meter.importing.building import Card, Given, Origin, S, local_ns, number, run_of_cards
from vidmeter.meter.run import Run
from vidmeter.meter.sample import Quantity

READINGS = {
    "pwr": Quantity.POWER_USAGE,
    "gtemp": Quantity.TEMPERATURE,
    "temp": Quantity.TEMPERATURE,
    "sm": Quantity.UTILIZATION,
    "mclk": Quantity.MEMORY_CLOCK,
    "pclk": Quantity.SM_CLOCK,
    "fb": Quantity.MEMORY_USED,
}
MEBIBYTE = 1 << 20
MIDNIGHT = timedelta(hours=12)
DETAIL = "its readings as they were printed, in whole watts; what its sensor is like isn't known"


def recognises(text: str) -> bool:
    """Whether the first line is a header of dmon."""
    names = _names(next((line for line in text.splitlines() if line.strip()), ""))
    return "gpu" in names[:3]


def read(given: Given) -> list[Run]:
    """The log as one run."""
    lines = [(i, line) for i, line in enumerate(given.text.splitlines(), 1) if line.strip()]
    names = _names(lines[0][1]) if lines else []
    if "gpu" not in names:
        raise given.bad("its first line is no header of nvidia-smi dmon, as `# gpu pwr …`")
    if "pwr" not in names:
        raise given.bad("it has no column pwr: nothing in it tells of energy (dmon -s p does)")
    rows = []
    for i, line in lines:
        if line.lstrip().startswith("#"):
            continue
        cells = line.replace(",", " ").split()
        if i == lines[-1][0] and not given.text.endswith("\n"):
            break  # cut off as it was written, perhaps within its last number
        if len(cells) != len(names):
            raise given.bad(f"line {i} has {len(cells)} cells, its header {len(names)}")
        rows.append((i, dict(zip(names, cells, strict=True))))
    times, first = _times(given, rows, names)
    cards: dict[str, Card] = {}
    for (line_number, row), t_ns in zip(rows, times, strict=True):
        card = cards.setdefault(row["gpu"], Card(int(row["gpu"]) if row["gpu"].isdigit() else None))
        _add(given, card, row, line_number, t_ns)
    real_ns = None if first is None else local_ns(first)
    origin = Origin(given, "nvidia-smi dmon", DETAIL, real_ns)
    return [run_of_cards(origin, list(cards.values()), times[0] if times else 0)]


def _names(line: str) -> list[str]:
    if not line.lstrip().startswith("#"):
        return []
    return line.replace("#", " ").replace(",", " ").lower().split()


def _times(
    given: Given, rows: list[tuple[int, dict[str, str]]], names: list[str]
) -> tuple[list[int], datetime | None]:
    """The time of each row, ns from any start, and the date and time of the first if known."""
    if "time" not in names:
        if given.period_s is None:
            raise given.bad(
                "it has no times: say the seconds between its rows with --period (dmon's own"
                " default is 1), or record it with -o DT"
            )
        return _counted(given.period_s, rows), None
    given.no_period()
    times: list[datetime] = []
    days = timedelta()
    for line, row in rows:
        date = row.get("date", "19700101")
        try:
            when = datetime.strptime(f"{date} {row['time']}", "%Y%m%d %H:%M:%S") + days
        except ValueError:
            raise given.bad(f"line {line}: {row['time']!r} is no time of dmon") from None
        if "date" not in names and times and when < times[-1] - MIDNIGHT:
            days += timedelta(days=1)
            when += timedelta(days=1)
        if times and when < times[-1]:
            raise given.bad(f"line {line}: its time is before that of the row above")
        times.append(when)
    zero = datetime(1970, 1, 1)
    t_ns = [round((when - zero).total_seconds()) * S for when in times]
    return t_ns, times[0] if times and "date" in names else None


def _counted(period_s: float, rows: list[tuple[int, dict[str, str]]]) -> list[int]:
    seen: dict[str, int] = {}
    times = []
    for _, row in rows:
        times.append(round(seen.get(row["gpu"], 0) * period_s * S))
        seen[row["gpu"]] = seen.get(row["gpu"], 0) + 1
    return times


def _add(given: Given, card: Card, row: dict[str, str], line: int, t_ns: int) -> None:
    """A row's readings; of two in one second the first is kept."""
    for name, text in row.items():
        quantity = READINGS.get(name)
        if quantity is None:
            continue
        try:
            value = number(text)
        except ValueError:
            raise given.bad(f"line {line}: {name} is {text!r}, which is no number") from None
        if value is not None:
            card.add(quantity, t_ns, value * (MEBIBYTE if name == "fb" else 1))
