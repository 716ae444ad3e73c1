"""A card's sources: NVML's functions with their arguments bound.

What a card offers is found by asking it once: architecture tables are wrong too often. NVML's
functions are then called directly, without pynvml's wrappers, which build their arguments anew at
each call and raise for every refusal. Nothing is ever set.
"""

from collections.abc import Callable, Mapping, Sequence
from ctypes import Structure, byref, c_int32, c_uint, c_ulonglong
from dataclasses import dataclass
from functools import partial
from typing import Any

import pynvml

from vidmeter.meter.sample import Quantity, Series
from vidmeter.meter.sensors.nvml_errors import INSUFFICIENT_SIZE, NOT_OFFERED, SUCCESS
from vidmeter.meter.sensors.nvml_facts import MODULE, ask, function_named
from vidmeter.meter.sensors.nvml_process_calls import processes
from vidmeter.meter.sensors.nvml_ring import Ring
from vidmeter.meter.sensors.nvml_sources import Fields, Getter, Memory, S, Source, number

_INSTANT, _AVERAGE = pynvml.NVML_FI_DEV_POWER_INSTANT, pynvml.NVML_FI_DEV_POWER_AVERAGE
_POWERS = (_INSTANT, _AVERAGE)
_ENERGY = (pynvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION, pynvml.NVML_FI_DEV_ENERGY)
"""Two names of one counter; where the first is refused, the second may be offered."""
_SCOPES = {
    "gpu": pynvml.NVML_POWER_SCOPE_GPU,
    MODULE: pynvml.NVML_POWER_SCOPE_MODULE,
    "memory": pynvml.NVML_POWER_SCOPE_MEMORY,
}
_HELD = {
    pynvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP: Quantity.SW_POWER_CAP,
    pynvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_SYNC_BOOST: Quantity.SYNC_BOOST,
    pynvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN: Quantity.SW_THERMAL,
    pynvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN: Quantity.HW_THERMAL,
    pynvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN: Quantity.POWER_BRAKE,
}
"""Fields that count the ns in which the clocks were held down."""
_RING_SIZE = 256


class _FieldValue(Structure):
    """pynvml's structure without its own way to look up members, which takes a microsecond each."""

    _fields_ = pynvml.c_nvmlFieldValue_t._fields_


class _Sample(Structure):
    _fields_ = pynvml.c_nvmlSample_t._fields_


Field = tuple[int, int]
"""Field id and scope."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What a card offers; `scopes` are those whose power it tells."""

    sources: list[Source]
    scopes: tuple[str, ...]

    @property
    def power(self) -> bool:
        """Whether any of it is power or energy."""
        return any(source.power for source in self.sources)

    @property
    def series(self) -> frozenset[Series]:
        """All that it brings."""
        return frozenset(series for source in self.sources for series in source.series)


def bind(uuid: str, handle: Any, memory: Memory, *, mig: bool) -> Bound:
    """What this card offers, asked through `handle`."""
    offered = _offered(handle)
    scopes = _scopes(offered)
    # Memory is part of either, so it is never read in their stead.
    scope = next((_SCOPES[name] for name in scopes if name != "memory"), 0)
    chosen = {
        (_INSTANT, scope): Series(uuid, Quantity.POWER_INSTANT),
        (_AVERAGE, scope): Series(uuid, Quantity.POWER_AVERAGE, 1 * S),  # "over 1 sec" (nvml.h)
    }
    for field_id in _ENERGY:
        if (field_id, 0) in offered:
            chosen[field_id, 0] = Series(uuid, Quantity.ENERGY)
            break
    chosen = {field: series for field, series in chosen.items() if field in offered}
    quantities = {series.quantity for series in chosen.values()}
    sources: list[Source] = []
    ages = Series(uuid, Quantity.STAMP_AGE)
    ring = _ring(uuid, handle, memory, ages)
    sources += ring
    if chosen:
        sources.append(_fields(handle, chosen, memory, ages=None if ring else ages))
    if Quantity.ENERGY not in quantities:
        sources += _getter(uuid, handle, Quantity.ENERGY, "TotalEnergyConsumption", 0, memory)
    if not quantities >= {Quantity.POWER_INSTANT, Quantity.POWER_AVERAGE}:  # it is one of the two
        window_ns = S if _averages_usage(handle) else None
        sources += _getter(
            uuid, handle, Quantity.POWER_USAGE, "PowerUsage", 0, memory, window_ns=window_ns
        )
    sources += _state(uuid, handle, memory)
    held = {
        (field_id, 0): Series(uuid, quantity)
        for field_id, quantity in _HELD.items()
        if (field_id, 0) in offered
    }
    if held:
        sources.append(_fields(handle, held, memory, every_ns=S // 2, unit=1e-9, power=False))
    sources += processes(uuid, handle, mig=mig)
    return Bound(sources, scopes)


def _state(uuid: str, handle: Any, memory: Memory) -> list[Source]:
    half, one = S // 2, S
    heat, sm, ram = (
        c_uint(pynvml.NVML_TEMPERATURE_GPU),
        c_uint(pynvml.NVML_CLOCK_SM),
        c_uint(pynvml.NVML_CLOCK_MEM),
    )
    get = partial(_getter, uuid, handle)
    return [
        *get(Quantity.TEMPERATURE, "Temperature", half, memory, heat),
        *get(Quantity.SM_CLOCK, "ClockInfo", half, memory, sm),
        *get(Quantity.MEMORY_CLOCK, "ClockInfo", half, memory, ram),
        *get(Quantity.UTILIZATION, "UtilizationRates", half, memory),
        *(
            get(Quantity.CLOCK_REASONS, "CurrentClocksEventReasons", half, memory)
            # The name before driver 535.
            or get(Quantity.CLOCK_REASONS, "CurrentClocksThrottleReasons", half, memory)
        ),
        *get(Quantity.MEMORY_USED, "MemoryInfo", one, memory),
        *get(Quantity.POWER_LIMIT, "EnforcedPowerLimit", one, memory),
    ]


def _averages_usage(handle: Any) -> bool:
    """Whether nvmlDeviceGetPowerUsage is a mean over a second: from Ampere on, but for GA100.

    So says nvml.h. GA100 is the one chip of compute capability 8.0.
    """
    capability = ask(pynvml.nvmlDeviceGetCudaComputeCapability, handle)
    return bool(capability) and tuple(capability) > (8, 0)


def _offered(handle: Any) -> dict[Field, float]:
    """The fields that the card offers, with what they say now.

    They are asked in groups: a driver that refuses a call for a field or a scope that it has never
    heard of may well have the others.
    """
    groups: list[list[Field]] = [[(field_id, 0) for field_id in (*_POWERS, _ENERGY[0])]]
    groups.append([(_ENERGY[1], 0)])
    groups.append([(power, scope) for power in _POWERS for scope in _SCOPES.values()])
    groups.append([(field_id, 0) for field_id in _HELD])
    found: dict[Field, float] = {}
    for group in groups:
        bound = _bind_fields(handle, group)
        if bound is None or bound[0]() in NOT_OFFERED:
            continue
        for field, slot in zip(group, bound[1], strict=True):
            if slot.nvmlReturn not in NOT_OFFERED:
                answered = slot.nvmlReturn == SUCCESS
                found[field] = number(slot.value, slot.valueType) if answered else 0.0
    return found


def _scopes(offered: Mapping[Field, float]) -> tuple[str, ...]:
    """The scopes whose power the card tells.

    Some answer 0 W for a scope that they lack, and drivers that know nothing of scopes answer the
    GPU's power to each; neither counts.
    """
    found: dict[str, set[float]] = {}
    for name, scope in _SCOPES.items():
        powers = {offered[power, scope] for power in _POWERS if (power, scope) in offered}
        if powers and (name == "gpu" or (powers - {0} and powers != found.get("gpu"))):
            found[name] = powers
    return tuple(found)


def _bind_fields(
    handle: Any, fields: Sequence[Field]
) -> tuple[Callable[[], int], list[Any]] | None:
    function = function_named("FieldValues")
    if function is None:
        return None
    array = (_FieldValue * len(fields))()
    slots = [array[i] for i in range(len(fields))]
    for slot, (field_id, scope) in zip(slots, fields, strict=True):
        slot.fieldId, slot.scopeId = field_id, scope
    return partial(function, handle, c_int32(len(fields)), byref(array)), slots


def _fields(handle: Any, chosen: Mapping[Field, Series], memory: Memory, **how: Any) -> Fields:
    bound = _bind_fields(handle, list(chosen))
    assert bound is not None  # they have been asked before
    call, slots = bound
    return Fields(call, list(zip(slots, chosen.values(), strict=True)), memory, **how)


_OUT: dict[Quantity, tuple[Callable[[], Any], Callable[[Any], float]]] = {
    Quantity.ENERGY: (c_ulonglong, lambda out: out.value / 1000),
    Quantity.POWER_USAGE: (c_uint, lambda out: out.value / 1000),
    Quantity.POWER_LIMIT: (c_uint, lambda out: out.value / 1000),
    Quantity.CLOCK_REASONS: (c_ulonglong, lambda out: out.value),
    Quantity.UTILIZATION: (pynvml.c_nvmlUtilization_t, lambda out: out.gpu),
    Quantity.MEMORY_USED: (pynvml.c_nvmlMemory_t, lambda out: out.used),
}
"""What a function fills in, and how that is read in the unit of the quantity."""


def _getter(
    uuid: str,
    handle: Any,
    quantity: Quantity,
    name: str,
    every_ns: int,
    memory: Memory,
    *arguments: Any,
    window_ns: int | None = None,
) -> list[Getter]:
    """The function nvmlDeviceGet`name` as a source; empty if the card does not offer it."""
    function = function_named(name)
    if function is None:
        return []
    make, value = _OUT.get(quantity, (c_uint, lambda out: out.value))
    out = make()
    call = partial(function, handle, *arguments, byref(out))
    if call() in NOT_OFFERED:
        return []
    series = Series(uuid, quantity, window_ns)
    return [Getter(call, series, partial(value, out), memory, every_ns=every_ns)]


def _ring(uuid: str, handle: Any, memory: Memory, ages: Series) -> list[Ring]:
    function = function_named("Samples")
    if function is None:
        return []
    which, value_type, count = c_uint(pynvml.NVML_TOTAL_POWER_SAMPLES), c_uint(), c_uint()
    call = partial(function, handle, which)
    if call(c_ulonglong(0), byref(value_type), byref(count), None) in NOT_OFFERED:
        return []
    depth = count.value
    buffer = (_Sample * max(depth, _RING_SIZE))()

    def read(seen_us: int) -> tuple[int, list[tuple[int, float]]]:
        nonlocal buffer
        count.value = len(buffer)
        code = call(c_ulonglong(seen_us), byref(value_type), byref(count), buffer)
        if code == INSUFFICIENT_SIZE:
            # The next read, a quarter of a second on, has room.
            buffer = (_Sample * (2 * len(buffer)))()
        if code != SUCCESS:
            return code, []
        kind = value_type.value
        return code, [
            (entry.timeStamp, number(entry.sampleValue, kind)) for entry in buffer[: count.value]
        ]

    return [Ring(Series(uuid, Quantity.POWER_RING), read, depth, memory, ages=ages)]
