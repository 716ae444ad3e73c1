"""What the simulated driver is told, and the exact truth of it.

A `Gpu` is a curve of true power and the ways in which its driver shows it. The truth is computed
here on its own, from the curve alone, so that the driver's arithmetic is tested by it too.
"""

import math
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).with_name("nvml.c")
CLOCK_SOURCE = Path(__file__).with_name("clocksteps.c")
S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Reading:
    """A power reading: renewed every `refresh_ms`, the mean of `window_ms` of the true power.

    The window ended `delay_ms` before the refresh. With `lag_ms` there is no window: the reading
    follows the power as a first-order lag of that time constant. It shows `factor` of the power.
    """

    refresh_ms: float
    window_ms: float
    delay_ms: float = 0
    lag_ms: float | None = None
    factor: float = 1


@dataclass(frozen=True, slots=True)
class Counter:
    """An energy counter that advances every `tick_ms`, from `start_j` at the epoch.

    It advances by `scale` of the true energy; a broken one by `broken_w` whatever the load. At
    `reset_s` it falls back to 0, at the first tick from `jump_s` on it jumps by `jump_j`.
    """

    tick_ms: float
    start_j: float = 1_000_000.0
    broken_w: float | None = None
    reset_s: float | None = None
    scale: float = 1
    jump_s: float | None = None
    jump_j: float = 0


@dataclass(frozen=True, slots=True)
class Ring:
    """The driver's own samples: the last `depth`, each the mean of the `window_ms` before it.

    `delay_ms`, `lag_ms` and `factor` are those of a `Reading`.
    """

    spacing_ms: float
    depth: int
    window_ms: float | None = None
    """As long as the spacing if None."""
    delay_ms: float = 0
    lag_ms: float | None = None
    factor: float = 1


@dataclass(frozen=True, slots=True)
class Process:
    """A process on a card from `from_s` to `to_s`: it computes unless told otherwise.

    `memory_b` is None where the driver can't tell. Every 200 ms it has used the card `sm_pct`.
    """

    pid: int
    memory_b: int | None
    sm_pct: int
    from_s: float = -math.inf
    to_s: float = math.inf
    graphics: bool = False
    mps: bool = False


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
    module: Reading | None = None
    """The power of module scope, for both fields; so is `memory`."""
    memory: Reading | None = None
    module_ring: Ring | None = None
    lost_s: float | None = None
    back_s: float | None = None
    zero_s: tuple[float, float] | None = None
    delay_us: int = 0
    delays: dict[str, int] = field(default_factory=dict)
    """Function to the us that it takes besides `delay_us`."""
    jitter_us: int = 0
    """Each call takes up to so much longer, by chance: the same in each process for a `seed`."""
    seed: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    mig: Sequence[str] = ()
    cores: int = 16896
    max_sm_clock_mhz: int = 1980
    power_limit_w: tuple[float, float] = (700, 700)
    """The one in force, and the default."""
    clock_reasons: int = 4
    reasons: Sequence[tuple[float, float, int]] = ()
    """(from s, to s, mask): what holds instead of `clock_reasons`; where some overlap, all."""
    reason_counters: bool = False
    """Whether the fields that count the ns of a reason are offered."""
    processes: Sequence[Process] = ()
    virtualization: int = 0
    capability: tuple[int, int] = (9, 0)
    architecture: int = 9
    """As NVML numbers them: 5 Volta, 6 Turing, 7 Ampere, 8 Ada, 9 Hopper, 10 Blackwell."""

    def true_energy_j(self, t0_ns: int, t1_ns: int) -> float:
        """The energy between two instants of CLOCK_MONOTONIC, J."""
        a, b = (t0_ns - self.epoch_ns) / S, (t1_ns - self.epoch_ns) / S
        return math.fsum((t1 - t0) * (w0 + w1) / 2 for t0, w0, t1, w1 in self._pieces(a, b))

    def true_mean_w(self, t0_ns: int, t1_ns: int) -> float:
        """The mean power between two instants of CLOCK_MONOTONIC, W."""
        return self.true_energy_j(t0_ns, t1_ns) * S / (t1_ns - t0_ns)

    def true_lagged_w(self, t_ns: int, lag_ms: float) -> float:
        """What a first-order lag of this time constant shows at an instant, W.

        It is the mean of the power of all time before, weighed by exp(-age / lag).
        """
        lag, now = lag_ms / 1e3, (t_ns - self.epoch_ns) / S
        parts = []
        for t0, w0, t1, w1 in self._pieces(now - 40 * lag, now):  # exp(-40) is left out
            weight0, weight1 = math.exp((t0 - now) / lag), math.exp((t1 - now) / lag)
            slope = (w1 - w0) / (t1 - t0) if t1 > t0 else 0.0  # a sliver that rounding left
            parts.append(w1 * weight1 - w0 * weight0 - slope * lag * (weight1 - weight0))
        return math.fsum(parts)

    def _pieces(self, a: float, b: float) -> Iterator[tuple[float, float, float, float]]:
        """The straight pieces of the power from `a` to `b`, each as (s, W, s, W)."""
        (first, w_first), (last, w_last) = self.curve[0], self.curve[-1]
        if not self.repeat:
            if a < min(b, first):
                yield a, w_first, min(b, first), w_first
            yield from self._turn(a, b)
            if b > max(a, last):
                yield max(a, last), w_last, b, w_last
            return
        span = last - first
        for n in range(math.floor((a - first) / span), math.floor((b - first) / span) + 1):
            for t0, w0, t1, w1 in self._turn(a - n * span, b - n * span):
                yield t0 + n * span, w0, t1 + n * span, w1

    def _turn(self, a: float, b: float) -> Iterator[tuple[float, float, float, float]]:
        for (t0, w0), (t1, w1) in zip(self.curve, self.curve[1:], strict=False):
            low, high = max(a, t0), min(b, t1)
            if high > low:
                slope = (w1 - w0) / (t1 - t0)
                yield low, w0 + slope * (low - t0), high, w0 + slope * (high - t0)

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
            f"jitter_us {self.jitter_us} {self.seed}",
            *(f"delay {name} {us}" for name, us in self.delays.items()),
            "temperature_c 61",
            "clocks_mhz 1755 2619",
            f"max_clocks_mhz {self.max_sm_clock_mhz} 2619",
            "utilization_pct 97 41",
            "memory_b 85899345920 21474836480",
            f"power_limit_w {self.power_limit_w[0]} {self.power_limit_w[1]}",
            f"clock_reasons {self.clock_reasons}",
            *(f"reasons {a!r} {b!r} {mask}" for a, b, mask in self.reasons),
            *(_process(process) for process in self.processes),
            f"virtualization {self.virtualization}",
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
        if self.reason_counters:
            lines.append("reason_counters")
        for key in ("instant", "average", "usage", "module", "memory"):
            reading: Reading | None = getattr(self, key)
            if reading:
                lines.append(f"{key} {reading.refresh_ms!r} {reading.window_ms!r} {_how(reading)}")
        for key in ("ring", "module_ring"):
            ring: Ring | None = getattr(self, key)
            if ring:
                window_ms = ring.window_ms or ring.spacing_ms
                lines.append(f"{key} {ring.spacing_ms!r} {window_ms!r} {ring.depth} {_how(ring)}")
        if self.counter:
            lines += _counter(self.counter)
        if self.lost_s is not None:
            lines.append(f"lost_s {self.lost_s} {'' if self.back_s is None else self.back_s}")
        if self.zero_s:
            lines.append(f"zero_s {self.zero_s[0]} {self.zero_s[1]}")
        return lines


@dataclass(frozen=True, slots=True)
class Driver:
    """A driver and its cards. Opening it answers the NVML code `init`.

    Times in s are since `epoch_ns`; None is the epoch of the first card. `answers` maps a function
    that asks for no card to the code that it answers, as `Gpu.answers` does for those of a card.
    """

    gpus: Sequence[Gpu] = ()
    init: int = 0
    version: str = "575.57.08"
    cuda: int = 12090
    epoch_ns: int | None = None
    dead_s: tuple[float, float] | None = None
    """From the first time on, whoever has the driver open is answered `dead_code` by every call
    for ever; it can be opened anew from the second on. Closing it succeeds all the same."""
    dead_code: int = 999
    reload: bool = False
    """At the second time of `dead_s` the counters fall to 0 and the rings are empty."""
    answers: dict[str, int] = field(default_factory=dict)
    clock_steps: Sequence[tuple[float, float]] = ()
    """(s, ms): from then on the wall clock, and so each stamp, is so far ahead, or behind."""
    suspends: Sequence[tuple[float, float]] = ()
    """(s, s): the machine sleeps; afterwards the wall clock and CLOCK_BOOTTIME are so far ahead of
    CLOCK_MONOTONIC, on which nothing has happened."""

    def start_ns(self) -> int:
        """The instant of CLOCK_MONOTONIC from which the driver's times count."""
        if self.epoch_ns is not None:
            return self.epoch_ns
        return self.gpus[0].epoch_ns if self.gpus else time.monotonic_ns()

    def ahead_ns(self, t_ns: int) -> int:
        """How far the wall clock has been stepped by an instant of CLOCK_MONOTONIC."""
        t_s = (t_ns - self.start_ns()) / S
        steps = [(at_s, by_ms / 1e3) for at_s, by_ms in self.clock_steps]
        return round(sum(by_s for at_s, by_s in [*steps, *self.suspends] if t_s >= at_s) * S)

    def write(self, path: Path) -> None:
        """Write the script."""
        lines = [
            f"init {self.init}",
            f"driver_version {self.version}",
            f"nvml_version 12.{self.version}",
            f"cuda_version {self.cuda}",
            # One number for all processes, so that they read the same stamps.
            f"real_offset_ns {time.time_ns() - time.monotonic_ns()}",
            f"epoch_ns {self.start_ns()}",
            *(f"clock_step {at_s!r} {by_ms!r}" for at_s, by_ms in self.clock_steps),
            *(f"suspend {at_s!r} {by_s!r}" for at_s, by_s in self.suspends),
            *(f"answer {name} {code}" for name, code in self.answers.items()),
        ]
        if self.dead_s:
            lines.append(f"dead_s {self.dead_s[0]!r} {self.dead_s[1]!r} {self.dead_code}")
        if self.reload:
            lines.append("reload")
        for gpu in self.gpus:
            lines += gpu.script()
        path.write_text("\n".join(lines) + "\n")


def build(compiler: str, folder: Path) -> Path:
    """Build the driver's library in `folder` and return its path."""
    library = folder / "libnvidia-ml.so.1"
    return _build(compiler, SOURCE, library, f"-Wl,-soname,{library.name}", "-lm")


def build_clock(compiler: str, folder: Path) -> Path:
    """Build the library that steps the clocks of a process, for LD_PRELOAD."""
    return _build(compiler, CLOCK_SOURCE, folder / "clocksteps.so", "-ldl", "-lm")


def _build(compiler: str, source: Path, library: Path, *links: str) -> Path:
    flags = ["-std=c11", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *flags, "-o", library, source, *links], check=True)
    return library


def _process(process: Process) -> str:
    kind = "mps" if process.mps else "graphics" if process.graphics else "compute"
    memory_b = -1 if process.memory_b is None else process.memory_b
    span = f"{process.from_s!r} {process.to_s!r}"
    return f"process {process.pid} {memory_b} {process.sm_pct} {span} {kind}"


def _how(reading: Reading | Ring) -> str:
    return f"{reading.delay_ms!r} {reading.lag_ms or 0!r} {reading.factor!r}"


def _counter(counter: Counter) -> list[str]:
    lines = [
        f"counter {counter.tick_ms!r} {counter.start_j!r}",
        f"counter_scale {counter.scale!r}",
    ]
    if counter.jump_s is not None:
        lines.append(f"counter_jump {counter.jump_s!r} {counter.jump_j!r}")
    if counter.broken_w is not None:
        lines.append(f"counter_broken_w {counter.broken_w!r}")
    if counter.reset_s is not None:
        lines.append(f"counter_reset_s {counter.reset_s!r}")
    return lines
