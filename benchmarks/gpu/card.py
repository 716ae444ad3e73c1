"""One NVIDIA card, asked directly: every call is timed, every answer kept as it came.

The sensor of vidmeter hides what is measured here (repeated readings, stamps, refusals), so this
speaks NVML for itself. Functions are looked up by `read_only` alone, which refuses every name that
doesn't begin with nvmlDeviceGet: no setting of a card can be changed from here.
"""

import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from ctypes import byref, c_int32, c_uint, c_ulonglong
from functools import partial
from typing import Any, NamedTuple

import pynvml

from vidmeter.meter.clock import anchor, monotonic_ns
from vidmeter.meter.sensors.nvml_errors import SUCCESS, words
from vidmeter.meter.sensors.nvml_sources import number

AVERAGE, INSTANT, ENERGY_FIELD, ENERGY_2 = 185, 186, 83, 191
SCOPES = {0: "gpu", 1: "module", 2: "memory"}
"""nvmlPowerScopeType_t in nvml.h."""
POLLED = {
    "power_instant_w": (INSTANT, 0),
    "power_average_w": (AVERAGE, 0),
    "energy_j": (ENERGY_FIELD, 0),
    "power_memory_w": (AVERAGE, 2),
}
"""Fields read at each tick, by one call: (field, scope)."""
RING_EVERY_NS = 250_000_000
SLOW_EVERY_NS = 1_000_000_000
POWER_RING, MODULE_RING = 0, 7
_RING_SIZE = 4096


def read_only(name: str) -> Callable[..., int] | None:
    """The C function of that name, None in drivers that lack it; ValueError if it could set."""
    if not name.startswith("nvmlDeviceGet"):
        raise ValueError(f"{name} is not a function that only reads")
    try:
        function: Callable[..., int] = pynvml._nvmlGetFunctionPointer(name)
    except pynvml.NVMLError:
        return None
    return function


class Answer(NamedTuple):
    """What one field brought: the driver's code, the value in mW or mJ, the stamp in µs."""

    code: int
    value: float | None
    stamp_us: int


class Column:
    """The readings of one source: the middle of each call, the value, the driver's stamp in µs."""

    def __init__(self) -> None:
        self.t_ns = array("q")
        self.value = array("d")
        self.stamp_us = array("q")

    def add(self, t_ns: int, value: float, stamp_us: int = 0) -> None:
        """Append one reading."""
        self.t_ns.append(t_ns)
        self.value.append(value)
        self.stamp_us.append(stamp_us)


class Polled(NamedTuple):
    """A stretch of polling: readings by source, refusals counted by source, cost, lateness."""

    start_ns: int
    end_ns: int
    columns: dict[str, Column]
    refused: dict[str, dict[str, int]]
    zeros: dict[str, int]
    field_call_ns: "array[int]"
    real_less_monotonic_ns: int


class Card:
    """One card, found by its UUID; NVML is initialised by whoever makes this."""

    def __init__(self, uuid: str) -> None:
        self.handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        self.polled_fields = {
            name: pair
            for name, pair in POLLED.items()
            if self.fields([pair])[0].code == SUCCESS and self.fields([pair])[0].value
        }
        self.functions: dict[str, Callable[[], int]] = {}
        """The readings with a function of their own that this card offers."""
        self._values: dict[str, Callable[[], float]] = {}
        for name, (call, value) in _functions(self.handle).items():
            if call() == SUCCESS:
                self.functions[name], self._values[name] = call, value

    def bind_fields(self, pairs: Sequence[tuple[int, int]]) -> tuple[Callable[[], int], list[Any]]:
        """The call that reads these (field, scope), and the structures that it fills."""
        slots = (pynvml.c_nvmlFieldValue_t * len(pairs))()
        for slot, (field, scope) in zip(slots, pairs, strict=True):
            slot.fieldId, slot.scopeId = field, scope
        function = read_only("nvmlDeviceGetFieldValues")
        if function is None:
            return (lambda: 13), [slots[i] for i in range(len(pairs))]
        call = partial(function, self.handle, c_int32(len(pairs)), byref(slots))
        return call, [slots[i] for i in range(len(pairs))]

    def fields(self, pairs: Sequence[tuple[int, int]]) -> list[Answer]:
        """What these (field, scope) bring right now."""
        call, slots = self.bind_fields(pairs)
        code = call()
        return [_answer(code, slot) for slot in slots]

    def ring(
        self, *, kind: int = POWER_RING, after_us: int = 0
    ) -> tuple[int, list[tuple[int, float]]]:
        """The driver's code, and its samples later than a stamp as (µs, mW)."""
        function = read_only("nvmlDeviceGetSamples")
        if function is None:
            return 13, []
        value_type, count = c_uint(), c_uint(_RING_SIZE)
        buffer = (pynvml.c_nvmlSample_t * _RING_SIZE)()
        seen = c_ulonglong(after_us)
        code = function(
            self.handle, c_uint(kind), seen, byref(value_type), byref(count), byref(buffer)
        )
        entries = buffer[: count.value] if code == SUCCESS else []
        return code, [(e.timeStamp, number(e.sampleValue, value_type.value)) for e in entries]

    def ring_size(self, *, kind: int = POWER_RING) -> tuple[int, int]:
        """The driver's code, and how many samples it says that its ring holds."""
        function = read_only("nvmlDeviceGetSamples")
        if function is None:
            return 13, 0
        value_type, count = c_uint(), c_uint()
        code = function(
            self.handle, c_uint(kind), c_ulonglong(0), byref(value_type), byref(count), None
        )
        return code, count.value

    def poll(self, seconds: float, *, hz: float) -> Polled:
        """Read every source at each tick for some seconds; the ring and slow ones less often."""
        call, slots = self.bind_fields(list(self.polled_fields.values()))
        named = list(zip(self.polled_fields, slots, strict=True))
        clocks, start = anchor(), monotonic_ns()
        into = Polled(start, start, {}, {}, {}, array("q"), clocks.real_ns - clocks.monotonic_ns)
        period, end = round(1e9 / hz), start + round(seconds * 1e9)
        ring_due = slow_due = start
        seen_us = clocks.real_ns // 1000
        deadline = start
        while (now := monotonic_ns()) < end:
            if named:
                _poll_fields(call, named, into)
            for name in ("power_usage_w", "energy_call_j"):
                self._poll_function(name, into)
            if now >= ring_due:
                seen_us, ring_due = self._poll_ring(seen_us, into), now + RING_EVERY_NS
            if now >= slow_due:
                for name in _SLOW:
                    self._poll_function(name, into)
                slow_due = now + SLOW_EVERY_NS
            deadline = max(deadline + period, monotonic_ns() - period)
            time.sleep(max(0, deadline - monotonic_ns()) / 1e9)
        self._poll_ring(seen_us, into)
        return into._replace(end_ns=monotonic_ns())

    def value(self, name: str) -> float:
        """What the function of that name last brought, in the unit of its name."""
        return self._values[name]() / _SCALE.get(name, 1)

    def _poll_function(self, name: str, into: Polled) -> None:
        call = self.functions.get(name)
        if call is None:
            return
        before = monotonic_ns()
        code = call()
        middle = (before + monotonic_ns()) // 2
        _keep(into, name, middle, code, self.value(name), 0)

    def _poll_ring(self, seen_us: int, into: Polled) -> int:
        code, entries = self.ring(after_us=seen_us)
        for stamp_us, value_mw in entries:
            if stamp_us > seen_us:
                t_ns = stamp_us * 1000 - into.real_less_monotonic_ns
                _keep(into, "power_ring_w", t_ns, code, value_mw / 1000, stamp_us)
        return max([seen_us, *(stamp_us for stamp_us, _ in entries)])


_SCALE = {"power_usage_w": 1000, "energy_call_j": 1000, "power_limit_w": 1000}
_SLOW = ("temperature_c", "sm_clock_mhz", "memory_clock_mhz", "clocks_event_reasons")


def _functions(handle: Any) -> Mapping[str, tuple[Callable[[], int], Callable[[], float]]]:
    """Every reading with a function of its own: the call, and what it last filled in."""
    use, memory = pynvml.c_nvmlUtilization_t(), pynvml.c_nvmlMemory_t()
    parts: list[tuple[str, str, tuple[Any, ...], Any, Callable[[Any], float]]] = [
        ("power_usage_w", "PowerUsage", (), c_uint(), _value),
        ("energy_call_j", "TotalEnergyConsumption", (), c_ulonglong(), _value),
        ("temperature_c", "Temperature", (c_uint(0),), c_uint(), _value),
        ("sm_clock_mhz", "ClockInfo", (c_uint(1),), c_uint(), _value),
        ("memory_clock_mhz", "ClockInfo", (c_uint(2),), c_uint(), _value),
        ("utilization_pct", "UtilizationRates", (), use, lambda out: float(out.gpu)),
        ("memory_used_b", "MemoryInfo", (), memory, lambda out: float(out.used)),
        ("power_limit_w", "EnforcedPowerLimit", (), c_uint(), _value),
        ("clocks_event_reasons", "CurrentClocksEventReasons", (), c_ulonglong(), _value),
    ]
    found = {}
    for name, function_name, arguments, out, value in parts:
        function = read_only(f"nvmlDeviceGet{function_name}")
        if function is not None:
            found[name] = partial(function, handle, *arguments, byref(out)), partial(value, out)
    return found


def _value(out: Any) -> float:
    return float(out.value)


def _answer(code: int, slot: Any) -> Answer:
    code = code or slot.nvmlReturn
    value = number(slot.value, slot.valueType) if code == SUCCESS else None
    return Answer(code, value, slot.timestamp)


def _poll_fields(call: Callable[[], int], named: list[tuple[str, Any]], into: Polled) -> None:
    before = monotonic_ns()
    code = call()
    after = monotonic_ns()
    into.field_call_ns.append(after - before)
    middle = (before + after) // 2
    for name, slot in named:
        answer = _answer(code, slot)
        _keep(into, name, middle, answer.code, (answer.value or 0) / 1000, answer.stamp_us)


def _keep(into: Polled, name: str, t_ns: int, code: int, value: float, stamp_us: int) -> None:
    if code != SUCCESS:
        refused = into.refused.setdefault(name, {})
        refused[words(code)] = refused.get(words(code), 0) + 1
    elif value == 0 and name.startswith("power"):
        into.zeros[name] = into.zeros.get(name, 0) + 1
    else:
        into.columns.setdefault(name, Column()).add(t_ns, value, stamp_us)
