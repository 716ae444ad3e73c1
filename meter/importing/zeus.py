"""The log file of a ZeusMonitor: a line for each window, joules for each GPU.

The start is in seconds since 1970. Names are written without quotes, so one may hold commas.
Windows nest and overlap, and nothing tells how, so each is a run of its own; windows of one name
are its repeats. Source: zeus/monitor/energy.py, `begin_window` and `end_window`.
"""

import re
from decimal import Decimal, InvalidOperation

from vidmeter.meter.importing.building import UNKNOWN_MODEL, Given, Origin, S, gpu, stated
from vidmeter.meter.run import Run
from vidmeter.meter.sample import Quantity, Series

HEADER = "start_time,window_name,elapsed_time,"
DETAIL = "the energy is what that program stated of the window, and there is no course of power"


def recognises(text: str) -> bool:
    """Whether the first line is the header of such a log."""
    return text.startswith(HEADER)


def read(given: Given) -> list[Run]:
    """A run for each window."""
    given.no_period()
    lines = given.text.splitlines()
    if not lines or not lines[0].startswith(HEADER):
        raise given.bad(f"its first line isn't {HEADER}gpu0_energy… as ZeusMonitor writes it")
    columns = lines[0].removeprefix(HEADER).split(",")
    gpus = [re.fullmatch(r"gpu(\d+)_energy", name.strip()) for name in columns]
    if columns == [""]:
        raise given.bad("it holds no GPU: Zeus found none when it was written")
    unknown = [name for name, found in zip(columns, gpus, strict=True) if found is None]
    if unknown:
        raise given.bad(f"its column {unknown[0]!r} is none of ZeusMonitor's")
    indices = [int(found[1]) for found in gpus if found is not None]
    runs = []
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        if number == len(lines) and not given.text.endswith("\n"):
            break  # cut off as it was written
        runs.append(_window(given, number, line, indices))
    if not runs:
        raise given.bad("no window in it was ended")
    return runs


def _window(given: Given, number: int, line: str, indices: list[int]) -> Run:
    cells = line.split(",")
    if len(cells) < 3 + len(indices):
        raise given.bad(f"line {number} has {len(cells)} cells, its header {3 + len(indices)}")
    name = ",".join(cells[1 : -1 - len(indices)])
    try:
        start = Decimal(cells[0])
        seconds, *joules = (float(cell) for cell in cells[-1 - len(indices) :])
    except (InvalidOperation, ValueError):
        raise given.bad(f"line {number} holds something that is no number: {line[:60]!r}") from None
    if not (0 < seconds < float("inf") and start.is_finite()) or min(joules) < 0:
        raise given.bad(f"line {number}: a window of {seconds:g} s with {min(joules):g} J")
    origin = Origin(
        given,
        "Zeus",
        DETAIL,
        int(start * S),
        row=number,
        label=(name,),
        facts={"window": name},
    )
    devices, traces = [], {}
    for index, energy_j in zip(indices, joules, strict=True):
        device = gpu(origin, index, UNKNOWN_MODEL)
        devices.append(device)
        if energy_j:  # 0 is a window too short for the card's counter, as Zeus itself warns
            traces[Series(device.uuid, Quantity.ENERGY_STATED)] = stated(seconds, energy_j)
    return origin.run(seconds, devices, traces)
