"""What was really used: networks, device, packages. For every workload's facts alike."""

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from vidmeter.workloads.parts import Part
from vidmeter.workloads.placing import device_name
from vidmeter.workloads.weights import parameter_count


def networks(found: Mapping[str, Any], parts: Mapping[str, Part], main: str) -> dict[str, Any]:
    """Each network's class and its parameters by type of number; the type that `main` computes in.

    `unlike_released` says in words which of them have another size than the released one.
    """
    components = {name: _component(network) for name, network in found.items()}
    types = components[main]["parameters_by_dtype"]
    return {
        "components": components,
        "dtype": max(types, key=types.__getitem__),
        "unlike_released": [
            f"{name} has {components[name]['parameters']:,} parameters, the released one "
            f"{part.parameters:,}"
            for name, part in parts.items()
            if part.parameters not in (0, components[name]["parameters"])
        ],
    }


def require_class(network: Any, part: Part) -> None:
    """Raise ValueError if a network that was loaded is of another class than `part`'s."""
    kind = part.make.rpartition(".")[2]
    if type(network).__name__ != kind:
        raise ValueError(f"it holds a {type(network).__name__}, not a {kind}")


def _component(network: Any) -> dict[str, Any]:
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
