"""NVML's lists of processes with their arguments bound, as `nvml_processes` takes them."""

from collections.abc import Callable
from ctypes import byref, c_uint, c_ulonglong
from typing import Any

import pynvml

from vidmeter.meter.sensors.nvml_errors import INSUFFICIENT_SIZE, NOT_OFFERED, SUCCESS
from vidmeter.meter.sensors.nvml_facts import function_named
from vidmeter.meter.sensors.nvml_processes import Activity, Processes
from vidmeter.meter.sensors.nvml_sources import Source

_ROOM = 16
"""So many more processes may be there than a moment ago."""
_SAMPLES = 256
_UNKNOWN_B = 2**64 - 1


def processes(uuid: str, handle: Any, *, mig: bool) -> list[Source]:
    """Who is on the card, if it tells; it tells nobody's share of the time under MIG."""
    lists = []
    for sort, name in (
        ("compute", "ComputeRunningProcesses"),
        ("graphics", "GraphicsRunningProcesses"),
        ("mps", "MPSComputeRunningProcesses"),
    ):
        for version in ("_v3", "_v2"):
            call = _process_list(handle, name + version)
            if call is not None:
                lists.append((sort, call))
                break
    if not lists:
        return []
    listed = Processes(uuid, lists)
    ask = None if mig else _activity(handle)
    return [listed] if ask is None else [listed, Activity(uuid, ask, listed)]


def _process_list(
    handle: Any, name: str
) -> Callable[[], tuple[int, list[tuple[int, int | None]]]] | None:
    function = function_named(name)
    if function is None:
        return None
    buffer, count = (pynvml.c_nvmlProcessInfo_v2_t * _ROOM)(), c_uint()

    def read() -> tuple[int, list[tuple[int, int | None]]]:
        nonlocal buffer
        count.value = len(buffer)
        code = function(handle, byref(count), buffer)
        if code == INSUFFICIENT_SIZE:
            buffer = (pynvml.c_nvmlProcessInfo_v2_t * (count.value + _ROOM))()
            count.value = len(buffer)
            code = function(handle, byref(count), buffer)
        if code != SUCCESS:
            return code, []
        return code, [
            (one.pid, None if one.usedGpuMemory == _UNKNOWN_B else one.usedGpuMemory)
            for one in buffer[: count.value]
        ]

    return None if read()[0] in NOT_OFFERED else read


def _activity(handle: Any) -> Callable[[int], tuple[int, list[tuple[int, int, int]]]] | None:
    function = function_named("ProcessUtilization")
    if function is None:
        return None
    buffer, count = (pynvml.c_nvmlProcessUtilizationSample_t * _SAMPLES)(), c_uint()

    def read(seen_us: int) -> tuple[int, list[tuple[int, int, int]]]:
        nonlocal buffer
        count.value = len(buffer)
        code = function(handle, buffer, byref(count), c_ulonglong(seen_us))
        if code == INSUFFICIENT_SIZE:
            buffer = (pynvml.c_nvmlProcessUtilizationSample_t * (count.value + _ROOM))()
            count.value = len(buffer)
            code = function(handle, buffer, byref(count), c_ulonglong(seen_us))
        if code != SUCCESS:
            return code, []
        return code, [(one.pid, one.timeStamp, one.smUtil) for one in buffer[: count.value]]

    return None if read(0)[0] in NOT_OFFERED else read
