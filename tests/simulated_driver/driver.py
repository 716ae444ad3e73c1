"""What the simulated driver is told, and the exact truth of it.

A `Gpu` is a curve of true power and the ways in which its driver shows it. The truth is computed
here on its own, from the curve alone, so that the driver's arithmetic is tested by it too.
"""

import math
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).with_name("nvml.c")
S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Reading:
    """A power reading: renewed every `refresh_ms`, the mean of the `window_ms` before."""

    refresh_ms: float
    window_ms: float


@dataclass(frozen=True, slots=True)
class Counter:
    """An energy counter that advances every `tick_ms`, from `start_j` at the epoch.

    A broken one advances by `broken_w` whatever the load; at `reset_s` it falls back to 0.
    """

    tick_ms: float
    start_j: float = 1_000_000.0
    broken_w: float | None = None
    reset_s: float | None = None


@dataclass(frozen=True, slots=True)
class Ring:
    """The driver's own samples: the last `depth`, each the mean of the `window_ms` before it."""

    spacing_ms: float
    depth: int
    window_ms: float | None = None
    """As long as the spacing if None."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A card. All times in s are since `epoch_ns`, an instant of CLOCK_MONOTONIC.

    `curve` holds (s, W), straight between, two points at one instant for a step; it begins again
    at its end with `repeat` and is held beyond its ends without. `answers` maps a function of the
    interface, or "field:186", to the code that it answers instead of a value.
    """

    curve: Sequence[tuple[float, float]]
    repeat: bool = False
    epoch_ns: int = field(default_factory=time.monotonic_ns)
    uuid: str = "GPU-51b1a7ed-0000-4000-8000-000000000000"
    name: str = "NVIDIA Simulated 1"
    pci: str = "00000000:01:00.0"
    instant: Reading | None = Reading(100, 100)
    average: Reading | None = Reading(100, 1000)
    usage: Reading | None = Reading(100, 1000)
    stamps: str = "refresh"
    """Of fields: "refresh", "zero" or "query"."""
    counter: Counter | None = Counter(100)
    ring: Ring | None = Ring(20, 120)
    lost_s: float | None = None
    back_s: float | None = None
    zero_s: tuple[float, float] | None = None
    delay_us: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    mig: Sequence[str] = ()
    cores: int = 16896
    max_sm_clock_mhz: int = 1980
    power_limit_w: tuple[float, float] = (700, 700)
    """The one in force, and the default."""
    capability: tuple[int, int] = (9, 0)
    architecture: int = 9
    """As NVML numbers them: 5 Volta, 6 Turing, 7 Ampere, 8 Ada, 9 Hopper, 10 Blackwell."""

    def true_energy_j(self, t0_ns: int, t1_ns: int) -> float:
        """The energy between two instants of CLOCK_MONOTONIC, J."""
        a, b = (t0_ns - self.epoch_ns) / S, (t1_ns - self.epoch_ns) / S
        first, last = self.curve[0][0], self.curve[-1][0]
        if not self.repeat:
            before = max(0.0, min(b, first) - a) * self.curve[0][1]
            after = max(0.0, b - max(a, last)) * self.curve[-1][1]
            return math.fsum([before, after, *self._pieces_j(a, b)])
        span = last - first
        turns = range(math.floor((a - first) / span), math.floor((b - first) / span) + 1)
        return math.fsum(
            joules for n in turns for joules in self._pieces_j(a - n * span, b - n * span)
        )

    def true_mean_w(self, t0_ns: int, t1_ns: int) -> float:
        """The mean power between two instants of CLOCK_MONOTONIC, W."""
        return self.true_energy_j(t0_ns, t1_ns) * S / (t1_ns - t0_ns)

    def _pieces_j(self, a: float, b: float) -> list[float]:
        """The energy of each straight piece within `a` to `b`: its length times its middle."""
        pieces = []
        for (t0, w0), (t1, w1) in zip(self.curve, self.curve[1:], strict=False):
            low, high = max(a, t0), min(b, t1)
            if high > low:
                middle = w0 + (w1 - w0) * ((low + high) / 2 - t0) / (t1 - t0)
                pieces.append((high - low) * middle)
        return pieces

    def script(self) -> list[str]:
        """The lines that tell the driver of this card."""
        lines = [
            "gpu",
            f"uuid {self.uuid}",
            f"name {self.name}",
            f"pci {self.pci}",
            "vbios 96.00.01.00.01",
            f"epoch_ns {self.epoch_ns}",
            *(f"point {t!r} {w!r}" for t, w in self.curve),
            f"stamps {self.stamps}",
            f"delay_us {self.delay_us}",
            "temperature_c 61",
            "clocks_mhz 1755 2619",
            f"max_clocks_mhz {self.max_sm_clock_mhz} 2619",
            "utilization_pct 97 41",
            "memory_b 85899345920 21474836480",
            f"power_limit_w {self.power_limit_w[0]} {self.power_limit_w[1]}",
            "clock_reasons 4",
            f"cores {self.cores}",
            f"architecture {self.architecture}",
            f"compute_capability {self.capability[0]} {self.capability[1]}",
            "persistence 1",
            "ecc 1",
            *(f"mig_instance {uuid}" for uuid in self.mig),
            *(f"answer {name} {code}" for name, code in self.answers.items()),
        ]
        if self.repeat:
            lines.append("repeat")
        for key in ("instant", "average", "usage"):
            reading: Reading | None = getattr(self, key)
            if reading:
                lines.append(f"{key} {reading.refresh_ms!r} {reading.window_ms!r}")
        if self.counter:
            lines += _counter(self.counter)
        if self.ring:
            window_ms = self.ring.window_ms or self.ring.spacing_ms
            lines.append(f"ring {self.ring.spacing_ms!r} {window_ms!r} {self.ring.depth}")
        if self.lost_s is not None:
            lines.append(f"lost_s {self.lost_s} {'' if self.back_s is None else self.back_s}")
        if self.zero_s:
            lines.append(f"zero_s {self.zero_s[0]} {self.zero_s[1]}")
        return lines


@dataclass(frozen=True, slots=True)
class Driver:
    """A driver and its cards. Opening it answers the NVML code `init`."""

    gpus: Sequence[Gpu] = ()
    init: int = 0
    version: str = "575.57.08"
    cuda: int = 12090

    def write(self, path: Path) -> None:
        """Write the script."""
        lines = [
            f"init {self.init}",
            f"driver_version {self.version}",
            f"nvml_version 12.{self.version}",
            f"cuda_version {self.cuda}",
            # One number for all processes, so that they read the same stamps.
            f"real_offset_ns {time.time_ns() - time.monotonic_ns()}",
        ]
        for gpu in self.gpus:
            lines += gpu.script()
        path.write_text("\n".join(lines) + "\n")


def build(compiler: str, folder: Path) -> Path:
    """Build the driver's library in `folder` and return its path."""
    library = folder / "libnvidia-ml.so.1"
    flags = ["-std=c11", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"]
    soname = f"-Wl,-soname,{library.name}"
    subprocess.run([compiler, *flags, soname, "-o", library, SOURCE, "-lm"], check=True)
    return library


def _counter(counter: Counter) -> list[str]:
    lines = [f"counter {counter.tick_ms!r} {counter.start_j!r}"]
    if counter.broken_w is not None:
        lines.append(f"counter_broken_w {counter.broken_w!r}")
    if counter.reset_s is not None:
        lines.append(f"counter_reset_s {counter.reset_s!r}")
    return lines
