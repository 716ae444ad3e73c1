"""A line of watts and joules at the foot of the terminal while a command runs.

The line stands in the last row, outside the part that scrolls (as package managers do it), so the
command's own output passes above it untouched. Nothing is drawn where stderr is no terminal.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from vidmeter.meter.clock import monotonic_ns
from vidmeter.meter.device import Device, Provenance
from vidmeter.meter.reader import Tail
from vidmeter.meter.run import Trace
from vidmeter.meter.sample import Quantity, Series
from vidmeter.reports.format import joules, seconds, watts

_ORDER = (Quantity.POWER_RING, Quantity.POWER_INSTANT, Quantity.POWER_USAGE, Quantity.POWER_AVERAGE)


class Totals:
    """Watts now and joules so far, folded up from samples as they come.

    Rougher than a summary (steps instead of edges and gaps), and light enough to run beside the
    program.
    """

    def __init__(self, start_ns: int, ratings: Mapping[str, float]) -> None:
        """`ratings` gives W per busy CPU for modelled devices, by uuid."""
        self._start_ns = start_ns
        self._ratings = ratings
        self._last: dict[Series, tuple[int, float]] = {}
        self._joules: dict[Series, float] = {}
        self._watts: dict[Series, float] = {}

    def add(self, series: Series, trace: Trace) -> None:
        """Take in new samples of one series."""
        rating = self._ratings.get(series.device)
        power = series.quantity in _ORDER
        if not power and series.quantity not in (Quantity.ENERGY, Quantity.CPU_BUSY):
            return
        for t_ns, value in zip(*trace, strict=True):
            before = self._last.get(series)
            self._last[series] = (t_ns, value)
            if before is None or t_ns <= before[0]:
                continue
            span_s = (t_ns - before[0]) / 1e9
            step_j = value * span_s if power else (value - before[1]) * (rating or 1.0)
            if step_j < 0:
                continue  # a counter that wrapped or was reset
            if t_ns > self._start_ns:
                self._joules[series] = self._joules.get(series, 0.0) + step_j
            if power:
                self._watts[series] = value
            elif step_j > 0 or series.quantity is Quantity.CPU_BUSY:
                self._watts[series] = step_j / span_s

    def of(self, devices: tuple[str, ...]) -> tuple[float | None, float | None]:
        """Watts and joules, summed over devices; None while nothing is known."""
        chosen = [s for s in (self._best(device) for device in devices) if s is not None]
        if not chosen:
            return None, None
        return (
            sum(self._watts.get(s, 0.0) for s in chosen),
            sum(self._joules.get(s, 0.0) for s in chosen),
        )

    def _best(self, device: str) -> Series | None:
        known = {s.quantity: s for s in self._joules if s.device == device}
        for quantity in (*_ORDER, Quantity.ENERGY, Quantity.CPU_BUSY):
            if quantity in known:
                return known[quantity]
        return None


class FootLine:
    """One line in the last row of a terminal (`fd`)."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._rows = 0

    def draw(self, text: str) -> None:
        """Show `text`; the cursor and what the command wrote stay where they are."""
        size = os.get_terminal_size(self._fd)
        out = ""
        if size.lines != self._rows:
            # Make room below the cursor, keep the last row out of the scrolling part, go back.
            out += f"\n\x1b7\x1b[1;{size.lines - 1}r\x1b8\x1b[1A"
            self._rows = size.lines
        out += f"\x1b7\x1b[{size.lines};1H\x1b[2K{text[: size.columns - 1]}\x1b8"
        os.write(self._fd, out.encode())

    def clear(self) -> None:
        """Give the row back."""
        if self._rows:
            os.write(self._fd, f"\x1b7\x1b[r\x1b[{self._rows};1H\x1b[2K\x1b8".encode())
            self._rows = 0


class Live:
    """The foot line of one run: reads the growing file and draws."""

    def __init__(self, path: Path, fd: int, start_ns: int) -> None:
        self._path = path
        self._start_ns = start_ns
        self._foot = FootLine(fd)
        self._tail: Tail | None = None

    def tick(self) -> None:
        """Bring the line up to date."""
        if self._tail is None:
            self._tail = Tail(self._path)
            devices = self._tail.devices()
            shown = summed(devices)
            self._devices = tuple(d.uuid for d in shown)
            mark = shown[0].provenance if shown else None
            self._mark = "" if mark in (None, Provenance.MEASURED) else mark.upper()
            self._totals = Totals(self._start_ns, ratings(devices))
        for series, trace in self._tail.new():
            self._totals.add(series, trace)
        power_w, energy_j = self._totals.of(self._devices)
        elapsed_s = (monotonic_ns() - self._start_ns) / 1e9
        parts = [watts(power_w), joules(energy_j), seconds(elapsed_s), self._mark]
        self._foot.draw("  ".join(["vidmeter", *filter(None, parts)]))

    def close(self) -> None:
        """Take the line away."""
        self._foot.clear()
        if self._tail is not None:
            self._tail.close()


def summed(devices: Sequence[Device]) -> list[Device]:
    """The devices whose energies are added up: all of the most trusted provenance there is."""
    for provenance in (Provenance.MEASURED, Provenance.SIMULATED, Provenance.MODELLED):
        chosen = [d for d in devices if d.provenance is provenance]
        if chosen:
            return chosen
    return []


def ratings(devices: Sequence[Device]) -> dict[str, float]:
    """W per busy CPU of the modelled devices, by uuid."""
    return {
        d.uuid: float(d.facts["watts_per_busy_cpu"])
        for d in devices
        if d.provenance is Provenance.MODELLED
    }
