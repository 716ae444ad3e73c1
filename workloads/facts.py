"""What was really used: networks, device, packages. For every workload's facts alike."""

from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from vidmeter.workloads.placing import device_name
from vidmeter.workloads.weights import parameter_count


def component(network: Any) -> dict[str, Any]:
    """A network: its class, and its parameters by their type of number."""
    by_type: Counter[str] = Counter()
    for parameter in network.parameters():
        by_type[str(parameter.dtype).removeprefix("torch.")] += parameter.numel()
    return {
        "class": type(network).__name__,
        "parameters": parameter_count(network),
        "parameters_by_dtype": dict(by_type),
    }


def surroundings(device: str, packages: Sequence[str]) -> dict[str, Any]:
    """Where it ran: the device, the CPU's threads, the versions of what it stands on."""
    import torch

    return {
        "device": device,
        "device_name": device_name(device),
        "cpu_threads": torch.get_num_threads(),
        "versions": {package: version(package) for package in packages},
    }
