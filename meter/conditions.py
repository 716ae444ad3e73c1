"""What else was going on while a device was measured: its state, what held it down, who was there.

All of it comes from the samples and events of the run. A state is asked for a few times a second at
most, so a reading holds until the next one, but for no longer than `HOLD_NS`: where nothing was
known for longer, nothing is said. Whether a share of a card's energy is "mine" can't be measured;
what can be said is a range.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from vidmeter.meter.device import Device, Kind
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


def conditions(run: Run, device: Device, spans: Spans) -> Conditions:
    """What was going on with a device in windows of time."""
    traces = {s.quantity: t for s, t in run.traces.items() if s.device == device.uuid}

    def mean(quantity: Quantity) -> float | None:
        return _mean(_held(traces.get(quantity), spans), float)

    def known(quantity: Quantity) -> list[float]:
        return [value for value, _ in _held(traces.get(quantity), spans)]

    facts: Mapping[str, Any] = device.facts
    seen = [
        e
        for e in run.events
        if e.device == device.uuid and any(e.start_ns <= b and e.end_ns >= a for a, b in spans)
    ]
    foreign = tuple(e.detail for e in seen if e.kind == _OF_OTHERS)
    own, others = mean(Quantity.OWN_SM), mean(Quantity.FOREIGN_SM)
    low, high, refused = _share(own, others, there=bool(foreign), mig=bool(facts.get("mig")))
    processes = known(Quantity.PROCESSES)
    limit = mean(Quantity.POWER_LIMIT)
    return Conditions(
        temperature_c=mean(Quantity.TEMPERATURE),
        max_temperature_c=max(known(Quantity.TEMPERATURE), default=None),
        sm_clock_mhz=mean(Quantity.SM_CLOCK),
        memory_clock_mhz=mean(Quantity.MEMORY_CLOCK),
        utilization_pct=mean(Quantity.UTILIZATION),
        max_memory_b=max(known(Quantity.MEMORY_USED), default=None),
        power_limit_w=facts.get("power_limit_w") if limit is None else limit,
        power_limit_default_w=facts.get("power_limit_default_w"),
        throttled=_throttled(traces, spans),
        processes_min=round(min(processes)) if processes else None,
        processes_max=round(max(processes)) if processes else None,
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
    held: dict[float, int] = {}
    for value, held_ns in _held(traces.get(Quantity.CLOCK_REASONS), spans):
        held[value] = held.get(value, 0) + held_ns
    mask = list(held.items())
    for reason, bit in _BITS.items():
        counted = _counted(traces.get(_COUNTERS[reason]), spans) if reason in _COUNTERS else None
        share = _mean(mask, _has(bit)) if counted is None else counted
        if share is not None:
            shares[reason] = share
    untold = _mean(
        mask, lambda v: float(int(v) & _HW_SLOWDOWN > 0 and not int(v) & _HW_SLOWDOWN_TOLD)
    )
    if untold is not None:
        shares["hw_slowdown"] = untold
    return shares


def _has(bit: int) -> Callable[[float], float]:
    return lambda value: float(int(value) & bit > 0)


def _held(trace: Trace | None, spans: Spans) -> Iterator[tuple[float, int]]:
    """The values of a state in the windows, each with the ns for which it is taken to hold."""
    if trace is None:
        return
    t_ns = trace.t_ns
    for start_ns, end_ns in spans:
        i = max(0, bisect_right(t_ns, start_ns) - 1)
        while i < len(t_ns) and t_ns[i] < end_ns:
            until_ns = min(end_ns, t_ns[i] + HOLD_NS, t_ns[i + 1] if i + 1 < len(t_ns) else end_ns)
            held_ns = until_ns - max(start_ns, t_ns[i])
            if held_ns > 0:
                yield trace.value[i], held_ns
            i += 1


def _mean(held: Iterable[tuple[float, int]], value: Callable[[float], float]) -> float | None:
    total, span_ns = 0.0, 0
    for one, held_ns in held:
        total += value(one) * held_ns
        span_ns += held_ns
    return total / span_ns if span_ns else None


def _counted(trace: Trace | None, spans: Spans) -> float | None:
    """The share of the time by which a counter of seconds went on; a fall of it is left out."""
    if trace is None:
        return None
    held_s = known_s = 0.0
    steps: Sequence[tuple[int, int]] = list(pairwise(range(len(trace.t_ns))))
    for start_ns, end_ns in spans:
        first = max(0, bisect_right(trace.t_ns, start_ns) - 1)
        for i, j in steps[first:]:
            if trace.t_ns[i] >= end_ns:
                break
            inside_ns = min(end_ns, trace.t_ns[j]) - max(start_ns, trace.t_ns[i])
            whole_ns = trace.t_ns[j] - trace.t_ns[i]
            rise_s = trace.value[j] - trace.value[i]
            if inside_ns > 0 and whole_ns > 0 and rise_s >= 0:
                held_s += rise_s * inside_ns / whole_ns
                known_s += inside_ns / 1e9
    return min(1.0, held_s / known_s) if known_s else None
