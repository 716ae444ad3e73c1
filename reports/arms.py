"""The arms of a benchmark: repeats of one thing, gathered from their runs, and what they amount to.

The headline is energy for each unit of work. Its interval stands on blocks (meter.statistics), and
the sensors' gain is kept apart from it: no number of repeats makes that smaller, and between two
arms on one card it cancels.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from vidmeter.meter.comparing import Comparison, paired
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.run import Run
from vidmeter.meter.statistics import Estimate, Interval, absolute, estimate
from vidmeter.meter.steadiness import outliers
from vidmeter.meter.summary import Summary
from vidmeter.reports.peaks import implausible, peak_tflops

UNITS = ("j_per_video_second", "j_per_output_token", "j_per_megapixel_frame")
"""What an arm's headline is taken from: the first of these that its repeats have, else J each."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """One repeat: where it stands, its energy and time, and its energy per unit of work.

    `energy_j` and `per_unit` are None or empty where the energy could not be stated. `operations`
    are all of its floating-point operations, where they were counted.
    """

    block: int
    round: int
    number: int
    seed: int | None
    energy_j: float | None
    seconds: float
    per_unit: Mapping[str, float]
    work: Mapping[str, float]
    operations: float | None
    run: Run
    summary: Summary

    @property
    def mean_w(self) -> float | None:
        """Its mean power, W."""
        return None if self.energy_j is None else self.energy_j / self.seconds

    @property
    def pj_per_flop(self) -> float | None:
        """Energy for each operation, pJ."""
        if self.energy_j is None or not self.operations:
            return None
        return self.energy_j / self.operations * 1e12

    @property
    def tflops(self) -> float | None:
        """Operations in a second, in TFLOP/s."""
        return self.operations / self.seconds / 1e12 if self.operations else None


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something to be doubted, in how many of an arm's repeats, and what helps."""

    kind: str
    text: str
    remedy: str
    count: int


@dataclass(frozen=True, slots=True)
class Arm:
    """Everything that was measured of one arm.

    `facts` are what it really used, of its first repeat. `idle_w` has the draw without the program
    (`no_context`), loaded and after the repeats, W, each None where it wasn't measured.
    """

    label: str
    task: str
    workload: str | None
    description: str
    settings: Mapping[str, Any]
    facts: Mapping[str, Any]
    repeats: tuple[Repeat, ...]
    protocols: tuple[Mapping[str, Any], ...]
    doubts: tuple[Doubt, ...]

    @property
    def weights(self) -> str | None:
        """`random`, `hub` or `path`; None where there are none to speak of."""
        found = self.facts.get("weights")
        return found if found in ("random", "hub", "path") else None

    @property
    def provenance(self) -> Provenance | None:
        """The weakest origin of any repeat's energy: simulated, modelled, measured."""
        order = (Provenance.SIMULATED, Provenance.MODELLED, Provenance.MEASURED)
        found = {r.summary.total.provenance for r in self.repeats}
        return next((p for p in order if p in found), None)

    @property
    def unit(self) -> str:
        """What the headline is per: a key of `Repeat.per_unit`, or `j_per_repeat`."""
        for unit in UNITS:
            if all(unit in r.per_unit for r in self.stated):
                return unit
        return "j_per_repeat"

    @property
    def stated(self) -> tuple[Repeat, ...]:
        """The repeats whose energy could be stated."""
        return tuple(r for r in self.repeats if r.energy_j is not None)

    def estimate(self, unit: str | None = None) -> Estimate | None:
        """The mean over blocks of energy per `unit` (the headline's if None); None without any."""
        return _estimate(self.stated, lambda r: value_of(r, unit or self.unit))

    def seconds(self) -> Estimate | None:
        """How long a repeat takes, s."""
        return _estimate(self.repeats, lambda r: r.seconds)

    def mean_w(self) -> float | None:
        """The mean power over all repeats, W."""
        energies = [r.energy_j for r in self.stated if r.energy_j is not None]
        seconds = sum(r.seconds for r in self.stated)
        return sum(energies) / seconds if energies and seconds else None

    def mean(self, name: str) -> float | None:
        """The mean of a property of the repeats that have it."""
        found = [v for r in self.repeats if (v := getattr(r, name)) is not None]
        return fmean(found) if found else None

    def with_gain(self) -> Interval | None:
        """The headline's interval as a claim about true joules: repeats, and the sensors' gain."""
        found = self.estimate()
        if found is None or found.half_width is None:
            return None
        low, high = self.gain()
        return absolute(found.mean, found.half_width, gain_low=low, gain_high=high)

    def gain(self) -> tuple[float, float]:
        """By what share the truth may lie below and above, for the sensors' gain alone."""
        totals = [r.summary.total for r in self.stated if r.energy_j]
        if not totals:
            return 0.0, 0.0
        return (
            fmean([(t.gain_low_j or 0.0) / (t.energy_j or 1.0) for t in totals]),
            fmean([(t.gain_high_j or 0.0) / (t.energy_j or 1.0) for t in totals]),
        )

    def idle_w(self) -> dict[str, float | None]:
        """The three idle draws, averaged over blocks, W."""
        found: dict[str, float | None] = {}
        for name in ("no_context", "loaded", "after"):
            known = [p["idle_w"][name] for p in self.protocols if p.get("idle_w", {}).get(name)]
            found[name] = fmean(known) if known else None
        return found

    def net_j(self) -> float | None:
        """The mean energy of a repeat less what the loaded card draws when idle, J."""
        idle = self.idle_w()["loaded"]
        energy, seconds = self.mean("energy_j"), self.mean("seconds")
        if idle is None or energy is None or seconds is None:
            return None
        return energy - idle * seconds

    def devices(self) -> tuple[Device, ...]:
        """The devices whose energy it is."""
        found: dict[str, Device] = {}
        for r in self.repeats:
            inside = r.summary.total.devices
            found |= {d.device.uuid: d.device for d in r.summary.devices if d.device.uuid in inside}
        return tuple(found.values())

    def device_names(self) -> tuple[str, ...]:
        """What they are called, each name once."""
        return tuple(dict.fromkeys(device.name for device in self.devices()))

    def device_kinds(self) -> tuple[Kind, ...]:
        """What they are."""
        return tuple(device.kind for device in self.devices())

    def peak_share(self) -> float | None:
        """The operations per second as a share of what the card nominally can; None if unknown."""
        found, names = self.mean("tflops"), self.device_names()
        dtype = str(self.settings.get("dtype", ""))
        peak = peak_tflops(names[0], dtype) if len(names) == 1 else None
        return found / peak if found and peak else None

    def median_repeat(self) -> Repeat:
        """The repeat nearest to the median energy; the first one where none has an energy."""
        stated = sorted(self.stated, key=lambda r: r.energy_j or 0.0)
        return stated[(len(stated) - 1) // 2] if stated else self.repeats[0]


def arms_of(pairs: Sequence[tuple[Run, Summary]]) -> list[Arm]:
    """The arms that these runs are repeats of, in the order in which they first come."""
    groups: dict[str, list[tuple[Run, Summary]]] = {}
    for run, summary in pairs:
        label = str((run.workload or {}).get("arm", run.id))
        groups.setdefault(label, []).append((run, summary))
    return [_arm(label, group) for label, group in groups.items()]


def compared(a: Arm, b: Arm) -> Comparison | None:
    """What B takes for each of A, by rounds; None where no round has both."""
    rounds = []
    for number in sorted({r.round for r in a.stated} & {r.round for r in b.stated}):
        means = [
            fmean([v for r in arm.stated if r.round == number and (v := r.energy_j) is not None])
            for arm in (a, b)
        ]
        rounds.append((means[0], means[1]))
    return paired(rounds) if rounds else None


def unlike(a: Arm, b: Arm) -> list[str]:
    """What two arms differ in beside what was meant to: fields that make them hard to compare."""
    found = []
    if a.weights != b.weights:
        found.append(f"weights: {a.weights or 'none'} and {b.weights or 'none'}")
    if a.device_names() != b.device_names():
        found.append(f"devices: {', '.join(a.device_names())} and {', '.join(b.device_names())}")
    for key in ("height", "width", "frames", "input_tokens", "output_tokens"):
        if a.settings.get(key) != b.settings.get(key):
            found.append(f"{key}: {a.settings.get(key)} and {b.settings.get(key)}")
    return found


def _arm(label: str, group: Sequence[tuple[Run, Summary]]) -> Arm:
    repeats = tuple(sorted((_repeat(*pair) for pair in group), key=lambda r: r.number))
    first: Mapping[str, Any] = group[0][0].workload or {}
    protocols = {r.block: (r.run.workload or {}).get("protocol") for r in repeats}
    return Arm(
        label=label,
        task=str(first.get("task", "command")),
        workload=first.get("workload"),
        description=str(first.get("description", "")),
        settings=first.get("settings") or {},
        facts=first.get("facts") or {},
        repeats=repeats,
        protocols=tuple(p for p in protocols.values() if p),
        doubts=tuple(_doubts(repeats)),
    )


def _repeat(run: Run, summary: Summary) -> Repeat:
    facts = run.workload or {}
    operations = (facts.get("operations") or {}).get("total")
    return Repeat(
        block=int(facts.get("block", 1)),
        round=int(facts.get("round") or 1),
        number=int(facts.get("repeat", 1)),
        seed=facts.get("seed"),
        energy_j=summary.total.energy_j,
        seconds=summary.duration_s,
        per_unit={k: u.value for k, u in summary.per_unit.items() if u.value is not None},
        work=facts.get("work") or {},
        operations=operations,
        run=run,
        summary=summary,
    )


def _doubts(repeats: Sequence[Repeat]) -> list[Doubt]:
    """What the repeats' summaries doubt, each once; and what only all of them together tell."""
    counted: Counter[tuple[str, str, str]] = Counter()
    for r in repeats:
        facts = r.run.workload or {}
        said = {(c.kind, c.text, c.remedy or "") for c in r.summary.cautions}
        for text in facts.get("differs") or ():
            said.add(("differs", text, "the result is that of what was run"))
        unsteady = (facts.get("protocol") or {}).get("unsteady")
        if unsteady and (facts["protocol"]).get("steady") is False:
            remedy = "it was measured all the same; warm up longer (--steady), or cool the card"
            said.add(("unsteady", f"the card was not steady: {unsteady}", remedy))
        if (why := _implausible(r)) is not None:
            said.add(
                ("implausible", why, "check the steps, guidance, and whose energy was counted")
            )
        counted.update(said)
    doubts = [Doubt(*caution, count) for caution, count in counted.items()]
    energies = [r.energy_j for r in repeats if r.energy_j is not None]
    far = outliers(energies) if len(energies) >= 5 else ()
    if far:
        which = ", ".join(f"{o.value:.4g} J" for o in far)
        text = f"{len(far)} of {len(energies)} repeats lie far from the others: {which}"
        doubts.append(
            Doubt("outlier", text, "they count all the same; look at their runs", len(far))
        )
    return doubts


def _implausible(repeat: Repeat) -> str | None:
    dtype = str(((repeat.run.workload or {}).get("settings") or {}).get("dtype", ""))
    if repeat.summary.total.provenance is not Provenance.MEASURED or repeat.pj_per_flop is None:
        return None
    return implausible(repeat.pj_per_flop, dtype)


def value_of(repeat: Repeat, unit: str) -> float | None:
    """The energy of a repeat per a unit of its work, J."""
    return repeat.energy_j if unit == "j_per_repeat" else repeat.per_unit.get(unit)


def _estimate(repeats: Sequence[Repeat], value: Any) -> Estimate | None:
    blocks: dict[int, list[float]] = {}
    for r in repeats:
        found = value(r)
        if found is not None:
            blocks.setdefault(r.block, []).append(found)
    return estimate(list(blocks.values())) if blocks else None
