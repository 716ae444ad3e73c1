"""What can be learned of a card by reading alone: sources, cost of a call, refresh, idle power."""

import time
from collections.abc import Callable
from ctypes import byref, c_uint
from dataclasses import dataclass
from typing import Any

from benchmarks.gpu import analysis
from benchmarks.gpu.card import (
    AVERAGE,
    ENERGY_2,
    ENERGY_FIELD,
    INSTANT,
    MODULE_RING,
    POWER_RING,
    SCOPES,
    Card,
    Column,
    Polled,
    read_only,
)
from benchmarks.gpu.traces import Tape, energies_j
from vidmeter.meter.clock import anchor, monotonic_ns
from vidmeter.meter.sensors.nvml import NvmlSensor
from vidmeter.meter.sensors.nvml_errors import NOT_FOUND, NOT_OFFERED, SUCCESS, words

LIMIT_FIELDS = {
    "power_limit_least_w": 187,
    "power_limit_most_w": 188,
    "power_limit_default_w": 189,
    "power_limit_current_w": 190,
    "power_limit_requested_w": 192,
}
COUNTER_FIELDS = {
    "held_by_power_ns": 74,
    "held_by_heat_ns": 75,
    "held_by_sync_boost_ns": 76,
    "held_by_board_limit_ns": 77,
    "held_by_low_utilization_ns": 78,
    "held_by_reliability_ns": 79,
    "held_by_application_clocks_ns": 80,
    "held_by_base_clocks_ns": 81,
    "slowed_by_software_for_heat": 269,
    "slowed_by_hardware_for_heat": 270,
    "slowed_by_power_brake": 271,
}
"""Fields of nvml.h, the last three without a unit there."""
POWER_SMOOTHING_FIELD = 251


@dataclass(frozen=True, slots=True)
class Bench:
    """What every stage works with: the card, vidmeter's own sensor of it, and the tape."""

    card: Card
    sensor: NvmlSensor
    tape: Tape


def sources(bench: Bench, _seconds: float) -> dict[str, Any]:
    """Which sources of power and energy answer, with which scope, and what is allowed to it."""
    card = bench.card
    pairs = [(f, scope) for f in (INSTANT, AVERAGE) for scope in SCOPES]
    pairs += [(ENERGY_FIELD, 0), (ENERGY_2, 0)]
    return {
        "fields": [_field(card, field, scope) for field, scope in pairs],
        "functions": {name: card.value(name) for name in card.functions},
        "ring": _ring(card, POWER_RING),
        "module_ring": _ring(card, MODULE_RING),
        "limits": _named_fields(card, LIMIT_FIELDS, scale=1000),
        "counters": held(card),
        "power_smoothing": card.fields([(POWER_SMOOTHING_FIELD, 0)])[0].value,
    }


def _field(card: Card, field: int, scope: int) -> dict[str, Any]:
    answer = card.fields([(field, scope)])[0]
    state = "works" if answer.value else "reads 0"
    if answer.code != SUCCESS:
        state = "absent" if answer.code in NOT_OFFERED else "refused"
    unit = "energy_j" if field in (ENERGY_FIELD, ENERGY_2) else "power_w"
    return {
        "field": field,
        "scope": SCOPES[scope],
        "state": state,
        "why": None if answer.code == SUCCESS else words(answer.code),
        unit: None if answer.value is None else answer.value / 1000,
        "stamped": None if answer.code != SUCCESS else answer.stamp_us != 0,
    }


def _ring(card: Card, kind: int) -> dict[str, Any]:
    code, stated = card.ring_size(kind=kind)
    if code not in (SUCCESS, NOT_FOUND):
        return {"state": "absent" if code in NOT_OFFERED else "refused", "why": words(code)}
    now_us = anchor().real_ns // 1000
    code, entries = card.ring(kind=kind)
    if not entries:
        return {"state": "empty", "why": words(code), "entries_stated": stated}
    shape = analysis.ring([stamp_us * 1000 for stamp_us, _ in entries])
    newest_us = max(stamp_us for stamp_us, _ in entries)
    return {
        "state": "works",
        "entries_stated": stated,
        "newest_age_s": (now_us - newest_us) / 1e6,
        **shape._asdict(),
    }


def _named_fields(card: Card, fields: dict[str, int], *, scale: float = 1) -> dict[str, Any]:
    answers = card.fields([(field, 0) for field in fields.values()])
    return {
        name: None if answer.value is None else answer.value / scale
        for name, answer in zip(fields, answers, strict=True)
    }


def held(card: Card) -> dict[str, float | None]:
    """How long the clocks were held down for each reason since the driver was loaded."""
    return _named_fields(card, COUNTER_FIELDS)


def latency(bench: Bench, seconds: float) -> dict[str, Any]:
    """What one call of each source costs, in rounds, so that all meet the same driver."""
    calls = _calls(bench)
    taken: dict[str, list[float]] = {name: [] for name in calls}
    end = monotonic_ns() + round(seconds * 1e9)
    while monotonic_ns() < end:
        for name, call in calls.items():
            before = monotonic_ns()
            call()
            taken[name].append((monotonic_ns() - before) / 1000)
        time.sleep(0.002)
    return {name: {"count": len(t), "us": analysis.quantiles(t)} for name, t in taken.items()}


def _calls(bench: Bench) -> dict[str, Callable[[], Any]]:
    card = bench.card
    calls: dict[str, Callable[[], Any]] = {}
    groups = {f"field_{field}": [(field, 0)] for field in (INSTANT, AVERAGE, ENERGY_FIELD)}
    groups["fields_186_185_83_in_one"] = [(INSTANT, 0), (AVERAGE, 0), (ENERGY_FIELD, 0)]
    for name, pairs in groups.items():
        if all(answer.code == SUCCESS for answer in card.fields(pairs)):
            calls[name] = card.bind_fields(pairs)[0]
    calls |= card.functions
    if card.ring_size()[0] == SUCCESS:
        calls["ring_all"] = card.ring
        calls["ring_size"] = card.ring_size
        calls["ring_last_second"] = lambda: card.ring(after_us=anchor().real_ns // 1000 - 10**6)
    processes = read_only("nvmlDeviceGetComputeRunningProcesses_v3")
    if processes is not None:
        calls["process_count"] = lambda: processes(card.handle, byref(c_uint(0)), None)
    calls["sensor_of_vidmeter"] = lambda: bench.sensor.read(monotonic_ns())
    return calls


def idle(bench: Bench, seconds: float) -> dict[str, Any]:
    """Power without load, by each source, and how far they disagree."""
    polled = bench.card.poll(seconds, hz=100)
    bench.tape.add("idle", polled)
    return agreement(polled)


def refresh(bench: Bench, seconds: float) -> dict[str, Any]:
    """How often each source is renewed, found by asking a thousand times a second."""
    polled = bench.card.poll(seconds, hz=1000)
    bench.tape.add("refresh", polled)
    return characterise(polled)


def agreement(
    polled: Polled, start_ns: int | None = None, end_ns: int | None = None
) -> dict[str, Any]:
    """Energy and mean power of a window by each source, and each against the energy counter."""
    start = polled.start_ns if start_ns is None else start_ns
    end = polled.end_ns if end_ns is None else end_ns
    joules, span_s = energies_j(polled, start, end), (end - start) / 1e9
    counter = "energy_j" if "energy_j" in joules else "energy_call_j"
    others = ("temperature_c", "sm_clock_mhz", "memory_clock_mhz")
    return {
        "window_s": span_s,
        "energy_by_source_j": joules,
        "mean_power_by_source_w": {n: None if j is None else j / span_s for n, j in joules.items()},
        "against_energy_counter": analysis.disagreement(joules, counter),
        "range": {n: analysis.quantiles(c.value) for n, c in polled.columns.items() if n in others},
        "clocks_event_reasons": _reasons(polled.columns.get("clocks_event_reasons")),
        "refused": polled.refused,
        "zeros": polled.zeros,
    }


def _reasons(column: Column | None) -> list[str] | None:
    return None if column is None else sorted({hex(int(value)) for value in column.value})


def characterise(polled: Polled) -> dict[str, Any]:
    """Refresh period, stamps, counter tick and ring spacing of every source in one stretch."""
    call_ns = max(polled.field_call_ns, default=0)
    found: dict[str, Any] = {}
    for name, column in polled.columns.items():
        if name == "power_ring_w":
            found[name] = analysis.ring(column.t_ns)._asdict()
        elif name.startswith(("power_", "energy_")):
            found[name] = analysis.refresh_period(column.t_ns, column.value)._asdict()
            stamps = [s and s * 1000 - polled.real_less_monotonic_ns for s in column.stamp_us]
            kind = analysis.classify_stamps(column.t_ns, stamps, call_ns=call_ns)
            found[name]["stamps"] = kind._asdict()
            if name.startswith("energy_"):
                found[name]["tick"] = analysis.tick(column.t_ns, column.value)._asdict()
    return {
        "sources": found,
        "field_call_us": analysis.quantiles([ns / 1000 for ns in polled.field_call_ns]),
        "refused": polled.refused,
        "zeros": polled.zeros,
    }
