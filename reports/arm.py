"""One side of a bench: its repeats, their mean and what it is worth.

The figure that an arm answers with is that of its task, such as joules for a second of video. Every
other number is of the same repeats; nothing is left out, and what lies far off is only named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median
from typing import Any

from vidmeter.meter.device import Kind, Provenance
from vidmeter.meter.run import Run
from vidmeter.meter.statistics import Estimate, Interval, absolute, estimate
from vidmeter.meter.summary import Summary

OUTLYING = 3.5
"""Modified z-score of an outlier (Iglewicz, Hoaglin, How to Detect and Handle Outliers, 1993)."""
LEAST_FOR_OUTLIERS = 5
_NORMAL = 0.6745  # the quartile of the standard normal: makes a median deviation a standard one


@dataclass(frozen=True, slots=True)
class Repeat:
    """One counted execution. `per_unit` are its joules for each unit of work, by name.

    `energy_j` is None where it could not be stated, and then so is everything that follows from it.
    """

    block: int
    round: int
    number: int
    seconds: float
    energy_j: float | None
    per_unit: Mapping[str, float]
    run: Run
    summary: Summary

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the run is a repeat of."""
        return self.run.workload or {}

    @property
    def mean_w(self) -> float | None:
        """Mean power, W."""
        return None if self.energy_j is None or not self.seconds else self.energy_j / self.seconds

    @property
    def operations(self) -> float | None:
        """How many operations it took, counted from the networks' shapes."""
        return (self.facts.get("operations") or {}).get("total")


@dataclass(frozen=True)
class Arm:
    """All finished repeats of one side of a bench, in the order in which they were measured.

    `headline` names the figure in `Repeat.per_unit` that it is judged by, `unit` says it in words.
    `weights` is `random`, `hub`, `path` or what the workload says; None for commands.
    """

    label: str
    task: str
    workload: str | None
    weights: str | None
    settings: Mapping[str, Any]
    headline: str
    unit: str
    repeats: tuple[Repeat, ...]

    @cached_property
    def known(self) -> tuple[Repeat, ...]:
        """The repeats whose figure could be stated."""
        return tuple(r for r in self.repeats if self.headline in r.per_unit)

    @cached_property
    def processes(self) -> tuple[tuple[Repeat, ...], ...]:
        """Those by the process that they ran in, in the order in which these began."""
        found: dict[tuple[str, int], list[Repeat]] = {}
        for repeat in self.known:
            folder = str(repeat.run.path.parent) if repeat.run.path else ""
            found.setdefault((folder, repeat.block), []).append(repeat)
        return tuple(tuple(repeats) for repeats in sorted(found.values(), key=began))

    @cached_property
    def process_means(self) -> tuple[float, ...]:
        """The figure of each process."""
        return tuple(self.mean_of(repeats) for repeats in self.processes)

    def mean_of(self, repeats: Sequence[Repeat]) -> float:
        """The mean figure of some repeats that have one."""
        return fmean(r.per_unit[self.headline] for r in repeats)

    @cached_property
    def estimate(self) -> Estimate | None:
        """The figure with its statistical interval; None if no repeat has one."""
        return self.estimate_of(self.headline)

    def estimate_of(self, name: str) -> Estimate | None:
        """Any figure per unit of work, over the blocks; None if no repeat has it."""
        blocks: dict[int, list[float]] = {}
        for repeat in self.repeats:
            if name in repeat.per_unit:
                blocks.setdefault(repeat.block, []).append(repeat.per_unit[name])
        return estimate(list(blocks.values())) if blocks else None

    @cached_property
    def absolute(self) -> Interval | None:
        """The figure as a claim about true joules: repeats and the sensors' gain in quadrature.

        Of a single repeat, what its readings and the gain leave open.
        """
        found = self.estimate
        if found is None:
            return None
        if found.n == 1:
            return self._of_single(found.mean)
        low, high = self.gain
        if low is None or high is None:
            return None
        return absolute(found.mean, found.half_width, gain_low=low, gain_high=high)

    @cached_property
    def gain(self) -> tuple[float | None, float | None]:
        """By which shares the truth may lie below and above because of the sensors' gain."""
        totals = [r.summary.total for r in self.known]
        low = [t.gain_low_j / t.energy_j for t in totals if t.energy_j and t.gain_low_j is not None]
        high = [
            t.gain_high_j / t.energy_j for t in totals if t.energy_j and t.gain_high_j is not None
        ]
        if not totals or len(low) < len(totals) or len(high) < len(totals):
            return None, None
        return median(low), median(high)

    @cached_property
    def outliers(self) -> tuple[int, ...]:
        """The numbers of the repeats that lie far from the others; they are never left out."""
        values = [r.per_unit[self.headline] for r in self.known]
        if len(values) < LEAST_FOR_OUTLIERS:
            return ()
        middle = median(values)
        spread = median(abs(v - middle) for v in values)
        if not spread:
            return ()
        far = OUTLYING * spread / _NORMAL
        return tuple(r.number for r in self.known if abs(r.per_unit[self.headline] - middle) > far)

    @cached_property
    def middle(self) -> Repeat:
        """The repeat that stands for the arm: the one nearest the median of those with a figure."""
        if not self.known:
            return self.repeats[len(self.repeats) // 2]
        at = median(r.per_unit[self.headline] for r in self.known)
        return min(self.known, key=lambda r: abs(r.per_unit[self.headline] - at))

    @property
    def seconds(self) -> float:
        """Mean length of a repeat, s."""
        return fmean(r.seconds for r in self.repeats)

    @property
    def energy_j(self) -> float | None:
        """Mean energy of a repeat, J."""
        found = [r.energy_j for r in self.repeats if r.energy_j is not None]
        return fmean(found) if found else None

    @property
    def mean_w(self) -> float | None:
        """Mean power while repeats ran, W."""
        found = [(r.energy_j, r.seconds) for r in self.repeats if r.energy_j is not None]
        time_s = sum(s for _, s in found)
        return sum(e for e, _ in found) / time_s if time_s else None

    @property
    def operations(self) -> float | None:
        """Operations of a repeat."""
        return next((r.operations for r in self.repeats if r.operations), None)

    @property
    def pj_per_flop(self) -> float | None:
        """Energy of one operation, pJ."""
        energy_j, operations = self.energy_j, self.operations
        return energy_j / operations * 1e12 if energy_j is not None and operations else None

    @property
    def tflops(self) -> float | None:
        """Operations done in a second, in units of 10^12."""
        return self.operations / self.seconds / 1e12 if self.operations and self.seconds else None

    @cached_property
    def provenance(self) -> Provenance | None:
        """Where the numbers are from; the least trusted one if repeats differ."""
        found = {r.summary.total.provenance for r in self.repeats}
        order = (Provenance.SIMULATED, Provenance.MODELLED, Provenance.MEASURED)
        return next((p for p in order if p in found), None)

    @cached_property
    def device_names(self) -> tuple[str, ...]:
        """The devices in the total, by name, once each."""
        return tuple(
            dict.fromkeys(d.device.name for d in self.middle.summary.devices if self._counted(d))
        )

    @cached_property
    def gpus_only(self) -> bool:
        """Whether GPUs and nothing else are in the total."""
        kinds = {d.device.kind for d in self.middle.summary.devices if self._counted(d)}
        return kinds == {Kind.GPU}

    @property
    def device_count(self) -> int:
        """How many devices are in the total."""
        return len(self.middle.summary.total.devices)

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the workload says of itself in the middle repeat: versions, networks, device."""
        found: Mapping[str, Any] = self.middle.facts.get("facts") or {}
        return found

    @property
    def work(self) -> Mapping[str, float]:
        """What one repeat produces."""
        found: Mapping[str, float] = self.middle.facts.get("work") or {}
        return found

    @cached_property
    def protocol(self) -> Mapping[str, Any]:
        """The protocol of its blocks: most warm-ups, all of their seconds, steady only if all were.

        `steady` is None where it wasn't looked at.
        """
        blocks = {r.block: r.facts.get("protocol") or {} for r in self.repeats}
        steady = [p.get("steady") for p in blocks.values()]
        return {
            "warmups": max((p.get("warmups") or 0 for p in blocks.values()), default=0),
            "warmup_s": sum(p.get("warmup_s") or 0.0 for p in blocks.values()),
            "steady": False if False in steady else None if None in steady else True,
            "unsteady": next((p["unsteady"] for p in blocks.values() if p.get("unsteady")), None),
            "idle_w": {name: self._idle_w(name) for name in ("no_context", "loaded", "after")},
        }

    @property
    def net_j(self) -> float | None:
        """Mean energy of a repeat beyond what the devices draw without the program, J."""
        idle_w = self.protocol["idle_w"]["no_context"]
        energy_j = self.energy_j
        return None if energy_j is None or idle_w is None else energy_j - idle_w * self.seconds

    def _idle_w(self, name: str) -> float | None:
        """The draw in a state, W: the mean of the blocks that looked."""
        blocks = {
            r.block: ((r.facts.get("protocol") or {}).get("idle_w") or {}).get(name)
            for r in self.repeats
        }
        found = [w for w in blocks.values() if w is not None]
        return fmean(found) if found else None

    def _of_single(self, value: float) -> Interval | None:
        total = self.known[0].summary.total
        if not total.energy_j or total.low_j is None or total.high_j is None:
            return None
        return Interval(value * total.low_j / total.energy_j, value * total.high_j / total.energy_j)

    def _counted(self, energy: Any) -> bool:
        return energy.device.uuid in self.middle.summary.total.devices


def began(repeats: Sequence[Repeat]) -> int:
    """When the first of them began, ns of the wall clock; 0 where that isn't known."""
    return min(r.summary.started_real_ns or 0 for r in repeats)
