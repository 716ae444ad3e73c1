"""The log of an external power meter, as its maker's program wrote it: a CSV of times and watts.

Meters name their columns as they like, so names are looked for tolerantly, and what can't be
understood is refused with the line and what would help. Times are seconds (or ms, µs, ns) since
1970, or ISO 8601 with a zone: a time of day without one can't be put on this machine's clock.
"""

import csv
import math
import re
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vidmeter.meter.energy import Floats
from vidmeter.meter.errors import BadCalibration

TIME_NAMES = ("time", "timestamp", "datetime", "date", "epoch", "unix", "t", "zeit")
POWER_NAMES = ("watts", "watt", "power", "activepower", "w", "mw", "kw", "leistung")
_UNITS = {"mw": 1e-3, "milliwatt": 1e-3, "milliwatts": 1e-3, "kw": 1e3, "kilowatt": 1e3}
_SCALES = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3))
"""Seconds since 1970 are 10 digits until 2286; what is larger counts smaller units."""
FEWEST = 10
MOST_W = 1e5


class Log(NamedTuple):
    """What an external meter said: instants in s since 1970, ascending, and watts."""

    t_s: Floats
    power_w: Floats
    spacing_s: float


def read_log(path: Path) -> Log:
    """Read a log. `BadCalibration` says in one line what of it can't be understood."""
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise BadCalibration(f"can't read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadCalibration(f"{path} is not a text file: save the log as CSV") from None
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if len(lines) < 2:
        raise BadCalibration(f"{path} is empty: it needs a line of names, and a line for each time")
    delimiter = max(",;\t", key=lines[0].count)
    rows = list(csv.reader(lines, delimiter=delimiter))
    time_column, power_column, unit = _columns(path, rows[0])
    t, w = [], []
    for number, row in enumerate(rows[1:], 2):
        try:
            t.append(_seconds(row[time_column]))
            w.append(_number(row[power_column], decimal_comma=delimiter != ",") * unit)
        except (ValueError, IndexError) as error:
            reason = "too few columns" if isinstance(error, IndexError) else str(error)
            raise BadCalibration(f"{path}, row {number}: {reason}") from None
    return _checked(path, np.asarray(t), np.asarray(w))


def _checked(path: Path, t_s: Floats, power_w: Floats) -> Log:
    if len(t_s) < FEWEST:
        raise BadCalibration(f"{path} has {len(t_s)} readings only: too few to compare with")
    if (np.diff(t_s) < 0).any():
        row = int(np.flatnonzero(np.diff(t_s) < 0)[0]) + 3
        raise BadCalibration(f"{path}, row {row}: its time is before that of the row above")
    if (power_w < 0).any() or (power_w > MOST_W).any():
        row = int(np.flatnonzero((power_w < 0) | (power_w > MOST_W))[0]) + 2
        raise BadCalibration(f"{path}, row {row}: {power_w[row - 2]:g} W can't be a card's power")
    later = np.concatenate(([True], np.diff(t_s) > 0))
    t_s, power_w = t_s[later], power_w[later]
    spacing_s = float(np.median(np.diff(t_s))) if len(t_s) > 1 else 0.0
    if spacing_s > 2.0:
        raise BadCalibration(
            f"{path} has a reading each {spacing_s:.3g} s: log at least one each second"
        )
    return Log(t_s, power_w, spacing_s)


def _columns(path: Path, header: list[str]) -> tuple[int, int, float]:
    """Which columns hold time and power, and how many watts a unit of the latter is."""
    words = [re.findall(r"[a-zµ]+", name.lower()) for name in header]
    time_column = _which(words, TIME_NAMES)
    power_column = _which(words, POWER_NAMES, other_than=time_column)
    if time_column is None or power_column is None:
        missing = "time" if time_column is None else "watts"
        raise BadCalibration(
            f"{path} has no column of {missing}: it has {', '.join(header)};"
            " call them time and watts"
        )
    unit = next((_UNITS[word] for word in words[power_column] if word in _UNITS), 1.0)
    return time_column, power_column, unit


def _which(
    words: list[list[str]], names: tuple[str, ...], *, other_than: int | None = None
) -> int | None:
    for name in names:
        for i, found in enumerate(words):
            if i != other_than and (name in found or "".join(found) == name):
                return i
    return None


def _seconds(text: str) -> float:
    """An instant in s since 1970."""
    text = text.strip()
    try:
        value = float(text)
    except ValueError:
        pass
    else:
        if not math.isfinite(value):
            raise ValueError(f"{text!r} is not a time")
        value *= next((scale for least, scale in _SCALES if abs(value) >= least), 1.0)
        if value < 1e9:
            raise ValueError(f"the time {text} doesn't count from 1970: log seconds since 1970")
        return value
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"the time {text!r} is neither seconds since 1970 nor like 2026-01-31T12:00:00+00:00"
        ) from None
    if when.tzinfo is None:
        raise ValueError(f"the time {text!r} has no zone: write it like {text}+00:00")
    return when.timestamp()


def _number(text: str, *, decimal_comma: bool) -> float:
    text = text.strip().removesuffix("W").strip()
    value = float("nan")
    try:
        value = float(text.replace(",", ".") if decimal_comma else text)
    except ValueError:
        pass
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a number of watts")
    return value
