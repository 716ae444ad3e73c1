"""A sensor whose truth is known: it plays scripted power curves. Everything it gives is simulated.

It ships with the package, so that anyone can try vidmeter, its reports and the tests without a
GPU: `vidmeter run --sensor fake -- CMD`, or `--sensor fake:FILE` with a curve of your own:

    {"devices": [{"name": "Some GPU", "curve": [[0, 80], [2, 80], [2, 300], [10, 300]],
                  "repeat": true}]}

`curve` lists [seconds, watts] from the sensor's opening on; power runs straight between points.
Optional for each device: `uuid`, `kind` ("gpu", "cpu", "dram"), `repeat` (start again after the
last point), `refresh_s` (how often its power reading is renewed, 0.02 by default), `window_s` (the
span the reading averages over; 0, the default, is the value at the instant) and `lost_after_s`
(it stops answering then).
"""

import json
from importlib import resources
from pathlib import Path
from typing import Any

from vidmeter.meter.clock import monotonic_ns
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.errors import NoDevice
from vidmeter.meter.sample import Quantity, Sample, Series
from vidmeter.meter.sensors.base import Fault, Reading
from vidmeter.meter.sensors.curve import PowerCurve

MOST_READINGS = 1000
"""Power readings that are kept for one late call, as a driver's ring would."""


class FakeSensor:
    """Plays a script; `start_ns` is the instant of the curve's 0 s, now by default."""

    def __init__(self, script: dict[str, Any], *, start_ns: int | None = None) -> None:
        self._start_ns = monotonic_ns() if start_ns is None else start_ns
        try:
            self._players = [
                _Player(entry, i, self._start_ns) for i, entry in enumerate(script["devices"])
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise NoDevice(f"the script of the fake sensor makes no sense: {error!r}") from None
        if not self._players:
            raise NoDevice("the script of the fake sensor names no device")

    @classmethod
    def open(cls, path: Path | None) -> "FakeSensor":
        """Play the script in a file, or the one that ships."""
        try:
            if path is None:
                package = resources.files("vidmeter.meter.sensors")
                text = package.joinpath("curves/video.json").read_text()
            else:
                text = path.read_text()
            return cls(json.loads(text))
        except OSError as error:
            raise NoDevice(
                f"can't read the fake sensor's script {path}: {error.strerror}"
            ) from None
        except ValueError as error:
            raise NoDevice(f"the fake sensor's script {path} is not JSON: {error}") from None

    notes = ()

    @property
    def devices(self) -> tuple[Device, ...]:
        """The scripted devices."""
        return tuple(player.device for player in self._players)

    def read(self, now_ns: int, *, catch_up: bool = False) -> Reading:
        """Every refresh of the power readings since the last call, and the counters as of now."""
        reading = Reading([], [])
        for player in self._players:
            player.read(now_ns, reading)
        return reading

    def close(self) -> None:
        """Nothing to let go of."""


class _Player:
    def __init__(self, entry: dict[str, Any], index: int, start_ns: int) -> None:
        self.curve = PowerCurve(entry["curve"], repeat=bool(entry.get("repeat", False)))
        self.start_ns = start_ns
        self.refresh_ns = round(float(entry.get("refresh_s", 0.02)) * 1e9)
        self.window_ns = round(float(entry.get("window_s", 0)) * 1e9)
        lost = entry.get("lost_after_s")
        self.lost_ns = None if lost is None else start_ns + round(float(lost) * 1e9)
        if self.refresh_ns <= 0:
            raise ValueError("refresh_s must be above 0")
        kind = Kind(entry.get("kind", "gpu"))
        self.device = Device(
            uuid=str(entry.get("uuid", f"SIM-{index:04d}")),
            name=str(entry.get("name", f"Simulated {kind.upper()}")),
            kind=kind,
            scope="a scripted power curve",
            provenance=Provenance.SIMULATED,
            sensor="fake",
            index=index,
        )
        uuid = self.device.uuid
        self.power = Series(uuid, Quantity.POWER_INSTANT, self.window_ns or None)
        self.energy = Series(uuid, Quantity.ENERGY)
        self._last_refresh = -1

    def read(self, now_ns: int, into: Reading) -> None:
        if self.lost_ns is not None and now_ns >= self.lost_ns:
            into.faults.append(Fault("device_lost", self.device.uuid, "the script takes it away"))
            return
        newest = (now_ns - self.start_ns) // self.refresh_ns
        oldest = max(self._last_refresh + 1, newest - MOST_READINGS)
        for tick in range(oldest, newest + 1):
            t_ns = self.start_ns + tick * self.refresh_ns
            into.samples.append(Sample(self.power, t_ns, self._power_w(t_ns)))
        self._last_refresh = newest
        joules = self.curve.energy_j((now_ns - self.start_ns) / 1e9)
        into.samples.append(Sample(self.energy, now_ns, joules))

    def _power_w(self, t_ns: int) -> float:
        t_s = (t_ns - self.start_ns) / 1e9
        if not self.window_ns:
            return self.curve.power_w(t_s)
        span_s = self.window_ns / 1e9
        return (self.curve.energy_j(t_s) - self.curve.energy_j(t_s - span_s)) / span_s
