"""What an NVIDIA card says of itself: which cards there are, and the facts of each.

Whatever a card or its driver refuses to tell is left out of its facts.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pynvml

from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.errors import NoDevice
from vidmeter.meter.sensors.nvml_errors import SUCCESS, why_no_gpu, words
from vidmeter.meter.sensors.visible import GpuFacts

MODULE = "module"
_SCOPES = {
    "gpu": "the card: GPU, memory, circuits",
    MODULE: "the module: GPU and CPU together",
}
_ARCHITECTURES = {
    value: name.removeprefix("NVML_DEVICE_ARCH_").capitalize()
    for name, value in vars(pynvml).items()
    if name.startswith("NVML_DEVICE_ARCH_") and name != "NVML_DEVICE_ARCH_UNKNOWN"
}
_VIRTUALIZATION = {0: "none", 1: "passthrough", 2: "vgpu", 3: "host_vgpu", 4: "host_vsga"}


def list_gpus() -> tuple[list[tuple[GpuFacts, Any]], list[str]]:
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


def find(uuid: str) -> Any | int:
    """NVML's handle of the card with this UUID, or the code with which it is refused."""
    try:
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        if text(pynvml.nvmlDeviceGetUUID(handle)) != uuid:
            return pynvml.NVML_ERROR_NOT_FOUND
    except pynvml.NVMLError as error:
        return int(error.value)
    return handle


def describe(gpu: GpuFacts, handle: Any, scopes: Sequence[str]) -> Device:
    """The card as a device; `scopes` are those whose power it tells."""
    capability = ask(pynvml.nvmlDeviceGetCudaComputeCapability, handle)
    cuda = ask(pynvml.nvmlSystemGetCudaDriverVersion_v2)
    ecc = ask(pynvml.nvmlDeviceGetEccMode, handle)
    persistence = ask(pynvml.nvmlDeviceGetPersistenceMode, handle)
    facts = {
        "driver_version": text(ask(pynvml.nvmlSystemGetDriverVersion)) or None,
        "cuda_driver_version": cuda and f"{cuda // 1000}.{cuda % 1000 // 10}",
        "vbios": text(ask(pynvml.nvmlDeviceGetVbiosVersion, handle)) or None,
        "pci_bus_id": gpu.pci_bus_id or None,
        "architecture": _ARCHITECTURES.get(ask(pynvml.nvmlDeviceGetArchitecture, handle)),
        "compute_capability": capability and f"{capability[0]}.{capability[1]}",
        "power_limit_w": limit_w(handle),
        "power_limit_default_w": _thousandth(
            ask(pynvml.nvmlDeviceGetPowerManagementDefaultLimit, handle)
        ),
        "cores": gpu.cores,
        "max_sm_clock_mhz": gpu.max_sm_clock_mhz,
        "mig": gpu.mig,
        "mps": _mps(handle),
        "persistence_mode": None if persistence is None else bool(persistence),
        "ecc": None if ecc is None else bool(ecc[0]),
        "virtualization": _VIRTUALIZATION.get(ask(pynvml.nvmlDeviceGetVirtualizationMode, handle)),
        "power_scopes": list(scopes) or None,
    }
    scope = _SCOPES[MODULE if MODULE in scopes and "gpu" not in scopes else "gpu"]
    return Device(
        uuid=gpu.uuid,
        name=gpu.name,
        kind=Kind.GPU,
        scope="the whole card, all MIG instances" if gpu.mig else scope,
        provenance=Provenance.MEASURED,
        sensor="nvml",
        index=gpu.index,
        facts={key: value for key, value in facts.items() if value is not None},
    )


def limit_w(handle: Any) -> float | None:
    """The power limit in force, W."""
    return _thousandth(ask(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle))


def ask(function: Callable[..., Any], *arguments: Any) -> Any:
    """What pynvml's wrapper `function` returns, None if the driver refuses."""
    try:
        return function(*arguments)
    except pynvml.NVMLError:
        return None


def function_named(name: str) -> Callable[..., int] | None:
    """The C function nvmlDeviceGet`name`, None in drivers that lack it."""
    try:
        function: Callable[..., int] = pynvml._nvmlGetFunctionPointer(f"nvmlDeviceGet{name}")
    except pynvml.NVMLError:
        return None
    return function


def text(value: str | bytes | None) -> str:
    """NVML's text as a str."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""


def _gpu_facts(index: int, handle: Any) -> GpuFacts:
    mig_mode = ask(pynvml.nvmlDeviceGetMigMode, handle)
    mig = bool(mig_mode and mig_mode[0] == pynvml.NVML_DEVICE_MIG_ENABLE)
    instances = (ask(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0) if mig else 0
    parts = [ask(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, i) for i in range(instances)]
    return GpuFacts(
        uuid=text(pynvml.nvmlDeviceGetUUID(handle)),
        index=index,
        name=text(ask(pynvml.nvmlDeviceGetName, handle)) or "NVIDIA GPU",
        pci_bus_id=text(getattr(ask(pynvml.nvmlDeviceGetPciInfo, handle), "busId", None)),
        cores=ask(pynvml.nvmlDeviceGetNumGpuCores, handle),
        max_sm_clock_mhz=ask(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_SM),
        mig=mig,
        mig_uuids=tuple(text(ask(pynvml.nvmlDeviceGetUUID, part)) for part in parts if part),
    )


def _mps(handle: Any) -> bool | None:
    """Whether a client of the Multi-Process Service is on the card; None if it can't be asked."""
    clients = ask(pynvml.nvmlDeviceGetMPSComputeRunningProcesses_v3, handle)
    return None if clients is None else bool(clients)


def _thousandth(value: int | None) -> float | None:
    return None if value is None else value / 1000
