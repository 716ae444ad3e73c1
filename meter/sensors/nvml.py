"""NVIDIA GPUs through NVML: the one file that knows pynvml.

What a card offers is found by asking it once, when it is opened: architecture tables are wrong
too often. NVML's functions are then called directly, without pynvml's wrappers, which build their
arguments anew at each call and raise for every refusal. Nothing is ever set, and no process is
listed (that call alone can hold the driver's lock for milliseconds).
"""

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from ctypes import byref, c_int32, c_uint, c_ulonglong
from functools import partial
from operator import attrgetter
from typing import Any

import pynvml

from vidmeter.meter.clock import anchor
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.errors import NoDevice
from vidmeter.meter.sample import Quantity, Series
from vidmeter.meter.sensors.base import Reading
from vidmeter.meter.sensors.nvml_card import Card, Fields, Getter, Ring, S, Source, number
from vidmeter.meter.sensors.nvml_errors import (
    INSUFFICIENT_SIZE,
    NOT_OFFERED,
    SUCCESS,
    why_no_gpu,
    words,
)
from vidmeter.meter.sensors.visible import GpuFacts, choose

_FIELDS = {
    pynvml.NVML_FI_DEV_POWER_INSTANT: (Quantity.POWER_INSTANT, None),
    pynvml.NVML_FI_DEV_POWER_AVERAGE: (Quantity.POWER_AVERAGE, 1 * S),  # "over 1 sec" (nvml.h)
    pynvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION: (Quantity.ENERGY, None),
}
_ARCHITECTURES = {
    value: name.removeprefix("NVML_DEVICE_ARCH_").capitalize()
    for name, value in vars(pynvml).items()
    if name.startswith("NVML_DEVICE_ARCH_") and name != "NVML_DEVICE_ARCH_UNKNOWN"
}
_RING_SIZE = 256


class NvmlSensor:
    """The chosen NVIDIA GPUs of this machine.

    `wanted` is the value of `--gpus`; without it the variables in `environ` decide as they do for
    CUDA. Raises `NoDevice` where there is no driver, no GPU, or none that was chosen. `notes`
    holds what the user should know about what is read, one sentence each.
    """

    notes: tuple[str, ...]

    def __init__(
        self, wanted: str | None = None, *, environ: Mapping[str, str] = os.environ
    ) -> None:
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise NoDevice(why_no_gpu(error.value)) from error
        with ExitStack() as opened:
            opened.callback(pynvml.nvmlShutdown)
            gpus, notes = _list()
            choice = choose([facts for facts, _ in gpus], wanted=wanted, environ=environ)
            if not choice.uuids:
                reasons = (*notes, *choice.notes) if gpus else notes
                raise NoDevice(" · ".join(reasons) or f"--gpus {wanted}: no GPU is metered")
            by_uuid = {facts.uuid: (facts, handle) for facts, handle in gpus}
            chosen = [by_uuid[uuid] for uuid in choice.uuids]
            self._devices = tuple(_device(facts, handle) for facts, handle in chosen)
            self._cards = []
            for facts, handle in chosen:
                sources, power = _sources(facts.uuid, handle)
                self._cards.append(Card(facts.uuid, sources))
                if not power:
                    notes.append(f"GPU {facts.index} ({facts.name}) offers no reading of power")
            self._close = opened.pop_all().close
        self.notes = (*notes, *choice.notes)

    @property
    def devices(self) -> tuple[Device, ...]:
        """The chosen GPUs, in CUDA's order where CUDA_VISIBLE_DEVICES chose them."""
        return self._devices

    def read(self, now_ns: int, *, catch_up: bool = False) -> Reading:
        """All that is new of every GPU; a GPU in trouble never holds up the others' readings."""
        clocks = anchor()
        reading = Reading([], [])
        for card in self._cards:
            card.read(now_ns, clocks, reading, catch_up=catch_up)
        reading.samples.sort(key=attrgetter("t_ns"))
        return reading

    def close(self) -> None:
        """Let go of the driver."""
        self._cards = []
        self._close()


def _list() -> tuple[list[tuple[GpuFacts, Any]], list[str]]:
    """The GPUs that answer, with NVML's handles, and notes on those that don't."""
    try:
        count = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError as error:
        raise NoDevice(why_no_gpu(error.value)) from error
    if not count:
        raise NoDevice(why_no_gpu(SUCCESS))
    gpus, notes = [], []
    for index in range(count):
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            gpus.append((_gpu_facts(index, handle), handle))
        except pynvml.NVMLError as error:
            notes.append(f"GPU {index} is left out: {words(error.value)}")
    return gpus, notes


def _gpu_facts(index: int, handle: Any) -> GpuFacts:
    mig_mode = _ask(pynvml.nvmlDeviceGetMigMode, handle)
    mig = bool(mig_mode and mig_mode[0] == pynvml.NVML_DEVICE_MIG_ENABLE)
    instances = (_ask(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0) if mig else 0
    parts = [_ask(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, i) for i in range(instances)]
    return GpuFacts(
        uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
        index=index,
        name=_text(_ask(pynvml.nvmlDeviceGetName, handle)) or "NVIDIA GPU",
        pci_bus_id=_text(getattr(_ask(pynvml.nvmlDeviceGetPciInfo, handle), "busId", None)),
        cores=_ask(pynvml.nvmlDeviceGetNumGpuCores, handle),
        max_sm_clock_mhz=_ask(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_SM),
        mig=mig,
        mig_uuids=tuple(_text(_ask(pynvml.nvmlDeviceGetUUID, part)) for part in parts if part),
    )


def _device(gpu: GpuFacts, handle: Any) -> Device:
    capability = _ask(pynvml.nvmlDeviceGetCudaComputeCapability, handle)
    cuda = _ask(pynvml.nvmlSystemGetCudaDriverVersion_v2)
    architecture = _ask(pynvml.nvmlDeviceGetArchitecture, handle)
    ecc = _ask(pynvml.nvmlDeviceGetEccMode, handle)
    persistence = _ask(pynvml.nvmlDeviceGetPersistenceMode, handle)
    facts = {
        "driver_version": _text(_ask(pynvml.nvmlSystemGetDriverVersion)) or None,
        "cuda_driver_version": cuda and f"{cuda // 1000}.{cuda % 1000 // 10}",
        "vbios": _text(_ask(pynvml.nvmlDeviceGetVbiosVersion, handle)) or None,
        "pci_bus_id": gpu.pci_bus_id or None,
        "architecture": _ARCHITECTURES.get(architecture),
        "compute_capability": capability and f"{capability[0]}.{capability[1]}",
        "power_limit_w": _thousandth(_ask(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle)),
        "power_limit_default_w": _thousandth(
            _ask(pynvml.nvmlDeviceGetPowerManagementDefaultLimit, handle)
        ),
        "cores": gpu.cores,
        "max_sm_clock_mhz": gpu.max_sm_clock_mhz,
        "mig": gpu.mig,
        "persistence_mode": None if persistence is None else bool(persistence),
        "ecc": None if ecc is None else bool(ecc[0]),
    }
    return Device(
        uuid=gpu.uuid,
        name=gpu.name,
        kind=Kind.GPU,
        scope="the whole card, all MIG instances" if gpu.mig else "the card: GPU, memory, circuits",
        provenance=Provenance.MEASURED,
        sensor="nvml",
        index=gpu.index,
        facts={key: value for key, value in facts.items() if value is not None},
    )


def _sources(uuid: str, handle: Any) -> tuple[list[Source], bool]:
    """What this card offers, and whether any of it is power or energy."""
    sources: list[Source] = []
    fields, offered = _fields(uuid, handle)
    if fields:
        sources.append(fields)
    if Quantity.ENERGY not in offered:
        sources += _getter(uuid, handle, Quantity.ENERGY, "TotalEnergyConsumption", 0)
    if Quantity.POWER_INSTANT not in offered:
        window_ns = S if _averages_usage(handle) else None
        sources += _getter(uuid, handle, Quantity.POWER_USAGE, "PowerUsage", 0, window_ns=window_ns)
    sources += _ring(uuid, handle)
    power = bool(sources)
    half, one = S // 2, S
    gpu_sensor, sm, memory = (
        c_uint(pynvml.NVML_TEMPERATURE_GPU),
        c_uint(pynvml.NVML_CLOCK_SM),
        c_uint(pynvml.NVML_CLOCK_MEM),
    )
    sources += _getter(uuid, handle, Quantity.TEMPERATURE, "Temperature", half, gpu_sensor)
    sources += _getter(uuid, handle, Quantity.SM_CLOCK, "ClockInfo", half, sm)
    sources += _getter(uuid, handle, Quantity.MEMORY_CLOCK, "ClockInfo", half, memory)
    sources += _getter(uuid, handle, Quantity.UTILIZATION, "UtilizationRates", half)
    reasons = _getter(uuid, handle, Quantity.CLOCK_REASONS, "CurrentClocksEventReasons", half)
    sources += reasons or _getter(  # the name before driver 535
        uuid, handle, Quantity.CLOCK_REASONS, "CurrentClocksThrottleReasons", half
    )
    sources += _getter(uuid, handle, Quantity.MEMORY_USED, "MemoryInfo", one)
    sources += _getter(uuid, handle, Quantity.POWER_LIMIT, "EnforcedPowerLimit", one)
    return sources, power


def _averages_usage(handle: Any) -> bool:
    """Whether nvmlDeviceGetPowerUsage is a mean over a second: from Ampere on, but for GA100.

    So says nvml.h. GA100 is the one chip of compute capability 8.0.
    """
    capability = _ask(pynvml.nvmlDeviceGetCudaComputeCapability, handle)
    return bool(capability) and tuple(capability) > (8, 0)


def _fields(uuid: str, handle: Any) -> tuple[Fields | None, set[Quantity]]:
    function = _function("FieldValues")
    if function is None:
        return None, set()
    call, slots = _bind_fields(function, handle, list(_FIELDS))
    if call() in NOT_OFFERED:
        return None, set()
    offered = [slot.fieldId for slot in slots if slot.nvmlReturn not in NOT_OFFERED]
    if not offered:
        return None, set()
    call, slots = _bind_fields(function, handle, offered)
    named = [(slot, Series(uuid, *_FIELDS[slot.fieldId])) for slot in slots]
    return Fields(call, named), {series.quantity for _, series in named}


def _bind_fields(
    function: Callable[..., int], handle: Any, ids: list[int]
) -> tuple[Callable[[], int], list[Any]]:
    array = (pynvml.c_nvmlFieldValue_t * len(ids))()
    slots = [array[i] for i in range(len(ids))]
    for slot, field_id in zip(slots, ids, strict=True):
        slot.fieldId = field_id
    return partial(function, handle, c_int32(len(ids)), byref(array)), slots


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
    *arguments: Any,
    window_ns: int | None = None,
) -> list[Getter]:
    """The function nvmlDeviceGet`name` as a source; empty if the card does not offer it."""
    function = _function(name)
    if function is None:
        return []
    make, value = _OUT.get(quantity, (c_uint, lambda out: out.value))
    out = make()
    call = partial(function, handle, *arguments, byref(out))
    if call() in NOT_OFFERED:
        return []
    series = Series(uuid, quantity, window_ns)
    return [Getter(call, series, partial(value, out), every_ns=every_ns)]


def _ring(uuid: str, handle: Any) -> list[Ring]:
    function = _function("Samples")
    if function is None:
        return []
    which, value_type, count = c_uint(pynvml.NVML_TOTAL_POWER_SAMPLES), c_uint(), c_uint()
    bind = partial(function, handle, which)
    code = bind(c_ulonglong(0), byref(value_type), byref(count), None)
    if code in NOT_OFFERED:
        return []
    depth = count.value
    buffer = (pynvml.c_nvmlSample_t * max(depth, _RING_SIZE))()

    def ask(seen_us: int) -> tuple[int, list[tuple[int, float]]]:
        nonlocal buffer
        count.value = len(buffer)
        code = bind(c_ulonglong(seen_us), byref(value_type), byref(count), buffer)
        if code == INSUFFICIENT_SIZE:
            # The next read, a quarter of a second on, has room.
            buffer = (pynvml.c_nvmlSample_t * (2 * len(buffer)))()
        if code != SUCCESS:
            return code, []
        kind = value_type.value
        return code, [
            (entry.timeStamp, number(entry.sampleValue, kind)) for entry in buffer[: count.value]
        ]

    return [Ring(Series(uuid, Quantity.POWER_RING), ask, depth)]


def _function(name: str) -> Callable[..., int] | None:
    """The C function nvmlDeviceGet`name`, None in drivers that lack it."""
    try:
        function: Callable[..., int] = pynvml._nvmlGetFunctionPointer(f"nvmlDeviceGet{name}")
    except pynvml.NVMLError:
        return None
    return function


def _ask(function: Callable[..., Any], *arguments: Any) -> Any:
    """What pynvml's wrapper `function` returns, None if the driver refuses."""
    try:
        return function(*arguments)
    except pynvml.NVMLError:
        return None


def _text(value: str | bytes | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""


def _thousandth(value: int | None) -> float | None:
    return None if value is None else value / 1000
