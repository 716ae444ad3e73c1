"""Sensors made up with known truth: a waveform, and what each class of sensor shows of it.

The truth is a cumulative energy on a fine grid, exact for power that is constant between grid
points. A sensor's class is that of arXiv 2312.02741: refresh period, averaging window, lag.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidmeter.meter.clock import Anchor
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.run import Run, Trace
from vidmeter.meter.sample import Quantity, Series

Floats = NDArray[np.float64]
S = 1_000_000_000
MS = 1_000_000
START = 1_000 * S
BEFORE_S, AFTER_S = 2.0, 2.0
GRID_S = 0.0005
POLL_S = 0.05
CARD = "GPU-00000000-0000-4000-8000-000000000001"


class Wave:
    """A course of power from 2 s before a window to 2 s after it; `seconds` is the window."""

    def __init__(self, seconds: float, power_w: Callable[[Floats], Floats]) -> None:
        self.seconds = seconds
        self.t_s = np.arange(-BEFORE_S, seconds + AFTER_S + GRID_S / 2, GRID_S)
        middle = (self.t_s[1:] + self.t_s[:-1]) / 2
        self.w = np.asarray(power_w(middle), dtype=np.float64) * np.ones_like(middle)
        self.e_j = np.concatenate(([0.0], np.cumsum(self.w * np.diff(self.t_s))))

    def energy_j(self, t_s: Floats | float) -> Floats:
        return np.interp(t_s, self.t_s, self.e_j)

    @property
    def truth_j(self) -> float:
        return float(self.energy_j(self.seconds) - self.energy_j(0.0))

    def mean_w(self, end_s: Floats, window_s: float) -> Floats:
        return (self.energy_j(end_s) - self.energy_j(end_s - window_s)) / window_s

    def lagged_w(self, t_s: Floats, lag_s: float) -> Floats:
        """A first-order lag, exact for power that is constant on the grid."""
        keep = np.exp(-GRID_S / lag_s)
        shown, level = np.empty(len(self.t_s)), float(self.w[0])
        shown[0] = level
        for i, w in enumerate(self.w):
            level = w + (level - w) * keep
            shown[i + 1] = level
        return np.interp(t_s, self.t_s, shown)


@dataclass(frozen=True)
class Sensor:
    """A class of sensor. Times in ms; `stamped`: readings carry the time of their refresh."""

    quantity: Quantity
    refresh_ms: float
    window_ms: float | None = None
    lag_ms: float | None = None
    delay_ms: float = 0.0
    stamped: bool = True


def readings(
    wave: Wave, sensor: Sensor, rng: np.random.Generator, *, noise_w: float = 0.0,
    poll_s: float = POLL_S, jitter_s: float = 0.0,
) -> Trace:  # fmt: skip
    """What a sampler keeps of a sensor: a reading for each refresh, or for each poll."""
    refresh_s = sensor.refresh_ms / 1e3
    grid = np.arange(-BEFORE_S + rng.uniform(1, 2) * refresh_s + 1.0, wave.t_s[-1], refresh_s)
    seen_to = grid - sensor.delay_ms / 1e3
    if sensor.quantity is Quantity.ENERGY:
        value = 1e5 + wave.energy_j(seen_to)
    elif sensor.lag_ms:
        value = wave.lagged_w(seen_to, sensor.lag_ms / 1e3)
    else:
        value = wave.mean_w(seen_to, (sensor.window_ms or sensor.refresh_ms) / 1e3)
    value = value + (rng.normal(0, noise_w, len(value)) if noise_w else 0.0)
    value = np.round(value * 1000) / 1000
    at = grid
    if not sensor.stamped:
        at = np.arange(grid[0] + rng.uniform(0, poll_s), wave.t_s[-1], poll_s)
        at = np.sort(at + rng.uniform(0, jitter_s, len(at)))
        value = value[np.searchsorted(grid, at, side="right") - 1]
    inside = at <= wave.seconds + 0.6
    return Trace(
        array("q", (START + np.round(at[inside] * S)).astype(np.int64).tolist()),
        array("d", value[inside].tolist()),
    )


def card(capability: str | None = "9.0", **facts: object) -> Device:
    known = {"power_limit_w": 700.0, "driver_version": "1", "vbios": "1", **facts}
    if capability:
        known["compute_capability"] = capability
    return Device(CARD, "Made-up GPU", Kind.GPU, "the card", Provenance.MEASURED, "nvml", 0, known)


def run_of(
    wave: Wave, device: Device, traces: dict[Quantity, Trace], *,
    window_ns: dict[Quantity, int] | None = None, period_s: float = POLL_S,
) -> Run:  # fmt: skip
    window_ns = window_ns or {}
    return Run(
        id="made-up",
        command=("true",),
        start_ns=START,
        end_ns=START + round(wave.seconds * S),
        exit_code=0,
        period_ns=round(period_s * S),
        devices=(device,),
        traces={Series(device.uuid, q, window_ns.get(q)): t for q, t in traces.items()},
        anchors=(Anchor(START, 1_700_000_000 * S),),
    )


def constant(w: float) -> Callable[[Floats], Floats]:
    return lambda t: np.full_like(t, w)


def square(
    period_s: float, low_w: float = 300.0, high_w: float = 700.0, *, phase: float = 0.0
) -> Callable[[Floats], Floats]:
    return lambda t: np.where((t / period_s + phase) % 1 < 0.5, high_w, low_w)


def jittered(
    rng: np.random.Generator, period_s: float, share: float, seconds: float,
    low_w: float = 300.0, high_w: float = 700.0,
) -> Callable[[Floats], Floats]:  # fmt: skip
    """A square wave whose every half is as long as drawn: `share` is its standard deviation."""
    count = int(2.2 * (seconds + BEFORE_S + AFTER_S) / period_s) + 20
    halves = np.maximum(period_s / 2 * (1 + share * rng.standard_normal(count)), GRID_S)
    edges = -BEFORE_S - rng.uniform(0, period_s) + np.cumsum(halves)
    return lambda t: np.where(np.searchsorted(edges, t) % 2 == 0, high_w, low_w)
