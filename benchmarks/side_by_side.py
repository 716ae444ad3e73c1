"""How a benchmark compares: all arms in one run, interleaved, with intervals, kept as data.

A machine is never quiet for long, so two commands are compared only by rounds in which both were
run, in an order shuffled anew for each round. What is stated is a median with a 95 % interval
(percentile bootstrap over whole rounds, so that what disturbed a round disturbs both its sides).
The share of the machine that other programs took meanwhile stands with every result.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vidmeter.meter.environment import environment

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PACKAGES = ("vidmeter", "codecarbon", "nvidia-ml-py", "numpy", "psutil")
DRAWS = 10_000
QUIET = 0.1
"""Up to this share of the machine in the hands of others, a result counts as undisturbed."""

Floats = NDArray[np.float64]
Statistic = Callable[..., Floats]


class Estimate(NamedTuple):
    """A figure and the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `goal` is the most that `high` may be; None where none was set.

    `interval` says what `low` and `high` are: "95 %", or "range" of a few repeats.
    """

    what: str
    value: float
    low: float
    high: float
    unit: str
    goal: float | None = None
    interval: str = "95 %"

    @property
    def met(self) -> bool | None:
        """Whether the goal is met by the upper end of the interval, not only by the figure."""
        return None if self.goal is None else self.high <= self.goal


@dataclass(slots=True)
class Benchmark:
    """A benchmark in progress, and what others did to the machine since it began."""

    name: str
    quick: bool
    figures: list[Figure] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    _busy: tuple[float, float, float] = field(default_factory=lambda: _processor_time())

    def add(
        self,
        what: str,
        estimate: Estimate,
        unit: str,
        *,
        goal: float | None = None,
        interval: str = "95 %",
    ) -> None:
        """Add a line to the table."""
        self.figures.append(Figure(what, *estimate, unit, goal, interval))

    def finish(self, output: Path | None) -> None:
        """Print the table and write the result; a quick one goes where it is told, or nowhere."""
        others = _others_share(self._busy, _processor_time())
        machine = environment({})
        del machine["host"], machine["variables"]
        result = {
            "benchmark": self.name,
            "taken": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "quick": self.quick,
            "others_share_of_machine": round(others, 4),
            "undisturbed": others <= QUIET,
            "machine": machine,
            "versions": _versions() | self.versions,
            "commit": _commit(),
            "facts": self.facts,
            "figures": [asdict(f) | {"met": f.met} for f in self.figures],
            "raw": self.raw,
        }
        print(table(self.figures))
        print(f"\nother programs took {others:.0%} of the machine meanwhile")
        if output is None and not self.quick:
            output = RESULTS / f"{self.name}.json"
        if output is not None:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(json.dumps(result, indent=1) + "\n")
            print(f"wrote {output}")


def options(description: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few repeats, to see that it works")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="where the result goes (default: results/NAME.json; with --quick, nowhere)",
    )
    return parser


def interleaved(
    arms: Mapping[str, Callable[[], float]], rounds: int, *, warm_up: int = 1
) -> dict[str, list[float]]:
    """Call every arm once in each round, in an order shuffled anew; what they returned, by arm."""
    shuffled = random.Random(0)
    taken: dict[str, list[float]] = {name: [] for name in arms}
    for n in range(-warm_up, rounds):
        order = list(arms)
        shuffled.shuffle(order)
        for name in order:
            value = arms[name]()
            if n >= 0:
                taken[name].append(value)
        if sys.stderr.isatty():
            print(f"\rround {max(0, n + 1)} of {rounds} ", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    return taken


def estimate(statistic: Statistic, *columns: Sequence[float]) -> Estimate:
    """A statistic of columns that share their rounds, with its 95 % interval.

    `statistic` takes as many arrays and works along their last axis.
    """
    arrays = [np.asarray(column, dtype=np.float64) for column in columns]
    count = len(arrays[0])
    picked = np.random.default_rng(0).integers(0, count, size=(DRAWS, count))
    drawn = statistic(*(array[picked] for array in arrays))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(float(statistic(*arrays)), float(low), float(high))


def median(a: Floats) -> Floats:
    """The middle of one column."""
    return np.asarray(np.median(a, axis=-1))


def over(a: Floats, b: Floats) -> Floats:
    """By how much the first column lies above the second: the difference of their medians."""
    return np.asarray(np.median(a, axis=-1) - np.median(b, axis=-1))


def slower_pct(a: Floats, b: Floats) -> Floats:
    """By how many percent the first column is slower: the median over the rounds."""
    return np.asarray(100 * (np.median(a / b, axis=-1) - 1))


def times_over(a: Floats, b: Floats, base: Floats) -> Floats:
    """How many times as much the first column adds to the base as the second does."""
    middle = np.median(base, axis=-1)
    return np.asarray((np.median(a, axis=-1) - middle) / (np.median(b, axis=-1) - middle))


def spread(values: Sequence[float]) -> Estimate:
    """The median of a few repeats, and their range."""
    return Estimate(float(np.median(values)), min(values), max(values))


def table(figures: Sequence[Figure]) -> str:
    """The figures for a terminal."""
    rows = [("", "figure", "interval", "goal", "")]
    rows += [(f.what, shown(f), interval(f), goal(f), verdict(f)) for f in figures]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i in (0, 4) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def shown(figure: Figure) -> str:
    """The figure with its unit."""
    return f"{_digits(figure.value)} {figure.unit}"


def interval(figure: Figure) -> str:
    """The interval, and what it is if it isn't the usual one."""
    text = f"{_digits(figure.low)} to {_digits(figure.high)}"
    return text if figure.interval == "95 %" else f"{text} ({figure.interval})"


def goal(figure: Figure) -> str:
    """The goal with its unit, or nothing."""
    return "" if figure.goal is None else f"≤ {figure.goal:g} {figure.unit}"


def verdict(figure: Figure) -> str:
    """Whether the goal is met."""
    return {None: "", True: "met", False: "NOT MET"}[figure.met]


def _digits(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _versions() -> dict[str, str]:
    installed = {d.metadata["Name"].lower(): d.version for d in metadata.distributions()}
    return {name: installed[name] for name in PACKAGES if name in installed}


def _commit() -> str | None:
    """The commit of this checkout, with a + if its sources have changes that are not in it."""
    git = ["git", "-C", str(HERE)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
        )
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--", "../meter", "../reports", "../vidmeter"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def _processor_time() -> tuple[float, float, float]:
    """Now; CPU time of the whole machine, and of this process and its ended children. All in s."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    user, nice, system, _idle, _wait, irq, soft, steal = (int(f) for f in fields)
    machine = (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")
    ours = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        ours += usage.ru_utime + usage.ru_stime
    return time.monotonic(), machine, ours


def _others_share(before: tuple[float, float, float], after: tuple[float, float, float]) -> float:
    wall_s, machine_s, ours_s = (b - a for a, b in zip(before, after, strict=True))
    return max(0.0, machine_s - ours_s) / (wall_s * (os.cpu_count() or 1))
