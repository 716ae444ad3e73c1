"""What else was going on while a device was measured: its state, what held it down, who was there.

All of it comes from the samples and events of the run. A state is asked for a few times a second at
most, so a reading holds until the next one, but for no longer than `HOLD_NS`: where nothing was
known for longer, nothing is said. Whether a share of a card's energy is "mine" can't be measured;
what can be said is a range.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from vidmeter.meter.device import Device, Kind
from vidmeter.meter.energy import Bools, Floats, Ints
from vidmeter.meter.run import Run, Trace
from vidmeter.meter.sample import Quantity
from vidmeter.meter.summary import Caution, Conditions, Spans

HOLD_NS = 15_000_000_000
"""State is asked for this seldom at most, by a driver that takes 50 ms for an answer."""
THROTTLED = 0.01
"""A share of the time above which what held the clocks down is worth a word."""
_OF_OTHERS = "foreign_process"
_MPS = "mps"

_COUNTERS = {
    "sw_power_cap": Quantity.SW_POWER_CAP,
    "sync_boost": Quantity.SYNC_BOOST,
    "sw_thermal": Quantity.SW_THERMAL,
    "hw_thermal": Quantity.HW_THERMAL,
    "power_brake": Quantity.POWER_BRAKE,
}
_BITS = {
    "clock_setting": 0x2,
    "sw_power_cap": 0x4,
    "sync_boost": 0x10,
    "sw_thermal": 0x20,
    "hw_thermal": 0x40,
    "power_brake": 0x80,
}
"""Bits of NVML's mask of clocks event reasons (nvml.h)."""
_HW_SLOWDOWN, _HW_SLOWDOWN_TOLD = 0x8, 0x40 | 0x80
"""The hardware slowed down; the other two say why, where the card tells."""

_HELD: dict[str, tuple[str, str | None]] = {
    "sw_power_cap": (
        "its power limit held the clocks down",
        "compare only with runs under the same limit; `nvidia-smi -q -d POWER` shows it",
    ),
    "sw_thermal": (
        "its temperature limit held the clocks down",
        "improve the cooling, or measure when it has settled: a warmer card also draws more",
    ),
    "hw_thermal": (
        "the hardware halved the clocks or worse, because it was too hot",
        "improve the cooling first: these numbers are those of an overheated card",
    ),
    "hw_slowdown": (
        "the hardware slowed it down (heat, power brake or a drop of the supply)",
        "see `nvidia-smi -q -d PERFORMANCE`, then cooling and power supply",
    ),
    "power_brake": (
        "the power supply made the hardware slow down",
        "see the power supply of the machine: it could not deliver what the cards asked for",
    ),
    "sync_boost": (
        "it was held at the clocks of the slowest GPU of its group",
        "leave the sync boost group, or state the group's energy",
    ),
    "clock_setting": (
        "its clocks were set by hand",
        "`nvidia-smi -rgc` and `nvidia-smi -rac` set them free again",
    ),
}
"""What each reason means, and what would remove it."""


class _State(NamedTuple):
    """The values of a state in some windows, each with the ns for which it is taken to hold."""

    value: Floats
    held_ns: Ints

    @property
    def mean(self) -> float | None:
        return self.share(self.value)

    @property
    def highest(self) -> float | None:
        return float(self.value.max()) if len(self.value) else None

    @property
    def lowest(self) -> float | None:
        return float(self.value.min()) if len(self.value) else None

    def share(self, of_each: Floats | Bools) -> float | None:
        """The mean over the time of something that follows from each value."""
        if not len(self.value):
            return None
        return float((of_each * self.held_ns).sum() / self.held_ns.sum())


_UNKNOWN = _State(np.zeros(0), np.zeros(0, dtype=np.int64))


def conditions(run: Run, device: Device, spans: Spans) -> Conditions:
    """What was going on with a device in windows of time."""
    traces = {s.quantity: t for s, t in run.traces.items() if s.device == device.uuid}

    def held(quantity: Quantity) -> _State:
        return _held(traces.get(quantity), spans)

    facts: Mapping[str, Any] = device.facts
    seen = [
        e
        for e in run.events
        if e.device == device.uuid and any(e.start_ns <= b and e.end_ns >= a for a, b in spans)
    ]
    foreign = tuple(e.detail for e in seen if e.kind == _OF_OTHERS)
    own, others = held(Quantity.OWN_SM).mean, held(Quantity.FOREIGN_SM).mean
    low, high, refused = _share(own, others, there=bool(foreign), mig=bool(facts.get("mig")))
    processes, temperature = held(Quantity.PROCESSES), held(Quantity.TEMPERATURE)
    fewest, most = processes.lowest, processes.highest
    limit = held(Quantity.POWER_LIMIT).mean
    return Conditions(
        temperature_c=temperature.mean,
        max_temperature_c=temperature.highest,
        sm_clock_mhz=held(Quantity.SM_CLOCK).mean,
        memory_clock_mhz=held(Quantity.MEMORY_CLOCK).mean,
        utilization_pct=held(Quantity.UTILIZATION).mean,
        max_memory_b=held(Quantity.MEMORY_USED).highest,
        power_limit_w=facts.get("power_limit_w") if limit is None else limit,
        power_limit_default_w=facts.get("power_limit_default_w"),
        throttled=_throttled(traces, spans),
        processes_min=None if fewest is None else round(fewest),
        processes_max=None if most is None else round(most),
        foreign=foreign,
        own_sm_pct=own,
        foreign_sm_pct=others,
        own_share_low=low,
        own_share_high=high,
        share_refused=refused,
        mig=facts.get("mig"),
        mps=True if any(e.kind == _MPS for e in seen) else facts.get("mps"),
        persistence=facts.get("persistence_mode"),
        ecc=facts.get("ecc"),
        virtualization=facts.get("virtualization"),
    )


def condition_cautions(device: Device, found: Conditions) -> list[Caution]:
    """Doubts that come from a device's circumstances, each with what would remove it."""
    if device.kind is not Kind.GPU:
        return []
    cautions = [*_held_down(found), *_limited(found), *_others(found), *_shared(found)]
    return [Caution(kind, f"{device.label}: {text}", remedy) for kind, text, remedy in cautions]


def _held_down(found: Conditions) -> Iterator[Caution]:
    for reason, share in sorted(found.throttled.items(), key=lambda item: -item[1]):
        if share > THROTTLED:
            words, remedy = _HELD[reason]
            text = f"for {share * 100:.0f} % of the time {words}"
            yield Caution(f"throttled_{reason}", text, remedy)


def _limited(found: Conditions) -> Iterator[Caution]:
    limit, default = found.power_limit_w, found.power_limit_default_w
    if limit and default and _differ(limit, default):
        text = f"its power limit was {limit:.0f} W, and not the default of {default:.0f} W"
        yield Caution(
            "power_limit",
            text,
            f"`nvidia-smi -pl {default:.0f}` restores it; else state the limit with the result",
        )


def _others(found: Conditions) -> Iterator[Caution]:
    if not found.foreign:
        return
    shown = "; ".join(found.foreign[:3])
    more = f"; and {len(found.foreign) - 3} more" if len(found.foreign) > 3 else ""
    share = "no share of it can be stated"
    if found.own_share_low is not None and found.own_share_high is not None:
        low, high = found.own_share_low * 100, found.own_share_high * 100
        share = f"between {low:.0f} and {high:.0f} % of it is this run's"
    yield Caution(
        "foreign_process",
        f"{shown}{more}: the energy is the whole card's, {share}",
        "measure when nobody else uses the card",
    )


def _shared(found: Conditions) -> Iterator[Caution]:
    if found.mig:
        yield Caution(
            "mig",
            "MIG is on: the whole card's energy, of all instances; no share can be stated",
            "leave the other instances idle, or switch MIG off (`nvidia-smi -mig 0`)",
        )
    if found.mps:
        yield Caution(
            "mps",
            "programs share it through MPS: the energy is that of all of them",
            "end the other clients, or MPS itself (`echo quit | nvidia-cuda-mps-control`)",
        )
    if found.virtualization == "vgpu":
        yield Caution(
            "vgpu",
            "it is a virtual GPU: what it tells of power, if anything, is that of the physical card"
            " and of all its guests",
            "measure on the host, or with the card passed through whole",
        )
    yield from _persistence(found)


def _persistence(found: Conditions) -> Iterator[Caution]:
    """It matters where nothing but this meter kept the driver from letting the card go."""
    if found.persistence is not False:
        return
    remedy = "`nvidia-smi -pm 1`, or start the service nvidia-persistenced"
    if _differ(found.power_limit_w, found.power_limit_default_w):
        text = (
            "persistence mode is off: the power limit that was set is forgotten as soon as no"
            " program holds the card"
        )
        yield Caution("persistence", text, remedy)
    elif found.processes_max == 0:
        text = (
            "persistence mode is off, and no program was on the card: its idle power is that of a"
            " card held open by vidmeter, and may be another when nothing holds it"
        )
        yield Caution("persistence", text, remedy)


def _differ(limit_w: float | None, default_w: float | None) -> bool:
    return bool(limit_w and default_w) and abs((limit_w or 0) - (default_w or 0)) >= 0.5


def _share(
    own: float | None, others: float | None, *, there: bool, mig: bool
) -> tuple[float | None, float | None, str | None]:
    """The range of the run's share of the energy, and why there is none.

    The run kept the card busy for a share a of the time, others for b, and how much of the two
    falls together isn't known. At worst all that others did is theirs alone, at best nothing of
    what the run did was shared: (a - b) to a, of the longer of the two.
    """
    if mig:
        return None, None, "MIG is on: the card's energy can't be divided between its instances"
    if not there:
        return None, None, None
    if own is None or others is None or max(own, others) <= 0:
        return None, None, "the driver doesn't tell how busy each process kept the card"
    most = max(own, others)
    return max(0.0, own - others) / most, own / most, None


def _throttled(traces: Mapping[Quantity, Trace], spans: Spans) -> dict[str, float]:
    """The share of the time by reason; by the driver's own counters where it has them."""
    shares: dict[str, float] = {}
    state = _held(traces.get(Quantity.CLOCK_REASONS), spans)
    mask = state.value.astype(np.int64)
    for reason, bit in _BITS.items():
        counted = _counted(traces.get(_COUNTERS[reason]), spans) if reason in _COUNTERS else None
        share = state.share(mask & bit > 0) if counted is None else counted
        if share is not None:
            shares[reason] = share
    untold = state.share((mask & _HW_SLOWDOWN > 0) & (mask & _HW_SLOWDOWN_TOLD == 0))
    if untold is not None:
        shares["hw_slowdown"] = untold
    return shares


def _held(trace: Trace | None, spans: Spans) -> _State:
    if trace is None or not len(trace.t_ns):
        return _UNKNOWN
    t_ns, value = np.asarray(trace.t_ns), np.asarray(trace.value)
    until_ns = t_ns + HOLD_NS
    until_ns[:-1] = np.minimum(until_ns[:-1], t_ns[1:])
    held_ns = np.zeros(len(t_ns), dtype=np.int64)
    for start_ns, end_ns in spans:
        held_ns += np.maximum(np.minimum(until_ns, end_ns) - np.maximum(t_ns, start_ns), 0)
    known = held_ns > 0
    return _State(value[known], held_ns[known])


def _counted(trace: Trace | None, spans: Spans) -> float | None:
    """The share of the time by which a counter of seconds went on; a fall of it is left out."""
    if trace is None or len(trace.t_ns) < 2:
        return None
    t_ns, value_s = np.asarray(trace.t_ns), np.asarray(trace.value)
    whole_ns, rise_s = t_ns[1:] - t_ns[:-1], value_s[1:] - value_s[:-1]
    on = (whole_ns > 0) & (rise_s >= 0)
    a, b, pace = t_ns[:-1][on], t_ns[1:][on], rise_s[on] / whole_ns[on]
    held_s = known_s = 0.0
    for start_ns, end_ns in spans:
        inside_ns = np.maximum(np.minimum(b, end_ns) - np.maximum(a, start_ns), 0)
        held_s += float((pace * inside_ns).sum())
        known_s += float(inside_ns.sum()) / 1e9
    return min(1.0, held_s / known_s) if known_s else None
