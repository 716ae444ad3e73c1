"""Which GPUs are metered: those that were asked for, else those that a CUDA program would see.

NVML shows every card and knows nothing of CUDA_VISIBLE_DEVICES, and its indices are not CUDA's.
So the variable is read here with CUDA's own rules, and cards are told apart by UUID alone. A list
counts from its start to its first invalid entry, and an entry that comes twice makes CUDA see
nothing (CUDA C++ Programming Guide, "CUDA Environment Variables"; `_parse_visible_devices` of
PyTorch, torch/cuda/__init__.py, for repetitions and what follows a number).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from vidmeter.meter.errors import NoDevice


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """What the choice of a GPU rests on; `index` is NVML's, `cores` and clock None if unreadable.

    `mig_uuids` are the instances (`MIG-…`) that the card is split into, `mig` whether it is in
    MIG mode.
    """

    uuid: str
    index: int
    name: str
    pci_bus_id: str
    cores: int | None = None
    max_sm_clock_mhz: int | None = None
    mig: bool = False
    mig_uuids: tuple[str, ...] = ()


class Choice(NamedTuple):
    """The UUIDs of the GPUs to meter, in order, and what the user should know about the choice."""

    uuids: tuple[str, ...]
    notes: tuple[str, ...] = ()


def choose(gpus: Sequence[GpuFacts], *, wanted: str | None, environ: Mapping[str, str]) -> Choice:
    """The GPUs to meter of those that NVML lists.

    `wanted` is the value of `--gpus`: `all`, `none`, or NVML indices, `GPU-` UUID prefixes and
    `MIG-` ids between commas. Without it CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER decide.
    Raises `NoDevice` for a value of `--gpus` that matches no GPU, or more than one.
    """
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    notes: list[str] = []
    if wanted is not None:
        chosen = _wanted(gpus, wanted)
    elif visible is None:
        chosen = list(gpus)
    else:
        fastest_first = environ.get("CUDA_DEVICE_ORDER", "").strip() != "PCI_BUS_ID"
        chosen, notes = _visible(gpus, visible, fastest_first=fastest_first)
    notes += [
        f"GPU {gpu.index} is split by MIG; what is measured is the whole card, all its instances"
        for gpu in chosen
        if gpu.mig
    ]
    return Choice(tuple(gpu.uuid for gpu in chosen), tuple(notes))


def _wanted(gpus: Sequence[GpuFacts], wanted: str) -> list[GpuFacts]:
    tokens = [token.strip() for token in wanted.split(",")]
    if tokens == ["all"]:
        return list(gpus)
    if tokens == ["none"]:
        return []
    chosen: list[GpuFacts] = []
    for token in tokens:
        if token.isdecimal():
            matches = [gpu for gpu in gpus if gpu.index == int(token)]
        else:
            matches = _by_uuid(gpus, token)
        if len(matches) != 1:
            problem = "more than one GPU matches" if matches else "no GPU matches"
            there = ", ".join(f"{gpu.index} = {gpu.name} ({gpu.uuid})" for gpu in gpus)
            raise NoDevice(f"--gpus {wanted}: {problem} {token!r}; there is {there or 'no GPU'}")
        if matches[0] not in chosen:
            chosen.append(matches[0])
    return chosen


def _visible(
    gpus: Sequence[GpuFacts], visible: str, *, fastest_first: bool
) -> tuple[list[GpuFacts], list[str]]:
    notes: list[str] = []
    chosen: list[GpuFacts] = []
    seen: set[str] = set()
    tokens = [token.strip() for token in visible.split(",")]
    order = _cuda_order(gpus, fastest_first=fastest_first)
    by_index = _sort(tokens[0]) == "index"
    for token in tokens:
        gpu = _match(order, token) if _sort(token) == _sort(tokens[0]) else None
        if gpu is None:
            if token and not token.startswith("-"):
                notes.append(
                    f"CUDA_VISIBLE_DEVICES={visible}: {token!r} matches no single GPU;"
                    " CUDA ignores it and all that follows"
                )
            break
        # Instances of one card are different things to CUDA; all else is the same card twice.
        identity = token if _sort(token) == "MIG-" else gpu.uuid
        if identity in seen:
            notes.append(f"CUDA_VISIBLE_DEVICES={visible}: CUDA takes no GPU where one is repeated")
            chosen.clear()
            break
        seen.add(identity)
        if gpu not in chosen:
            chosen.append(gpu)
    if gpus and not chosen:
        notes.append("CUDA_VISIBLE_DEVICES hides every GPU; --gpus all measures them all the same")
    if by_index and fastest_first and _differ(gpus) and 0 < len(chosen) < len(gpus):
        notes.append(
            "CUDA numbers unlike GPUs from the fastest on, an order that is estimated here from"
            " cores and clocks; CUDA_DEVICE_ORDER=PCI_BUS_ID or UUIDs leave no doubt"
        )
    return chosen, notes


def _sort(token: str) -> str:
    return token[:4] if token.startswith(("GPU-", "MIG-")) else "index"


def _match(order: Sequence[GpuFacts], token: str) -> GpuFacts | None:
    if _sort(token) != "index":
        matches = _by_uuid(order, token)
        return matches[0] if len(matches) == 1 else None
    # CUDA reads a number as C's strtol does: `1st` is 1.
    number = re.match(r"\+?[0-9]+", token)
    if number is None or int(number[0]) >= len(order):
        return None
    return order[int(number[0])]


def _by_uuid(gpus: Sequence[GpuFacts], token: str) -> list[GpuFacts]:
    if token.startswith("MIG-GPU-"):
        parent = token.removeprefix("MIG-").split("/")[0]
        return [gpu for gpu in gpus if gpu.uuid == parent]
    if token.startswith("MIG-"):
        return [gpu for gpu in gpus for uuid in gpu.mig_uuids if uuid.startswith(token)]
    if token.startswith("GPU-"):
        return [gpu for gpu in gpus if gpu.uuid.startswith(token)]
    return []


def _cuda_order(gpus: Sequence[GpuFacts], *, fastest_first: bool) -> list[GpuFacts]:
    by_bus = sorted(gpus, key=lambda gpu: gpu.pci_bus_id.lower())
    if not fastest_first:
        return by_bus
    return sorted(by_bus, key=lambda gpu: -(gpu.cores or 0) * (gpu.max_sm_clock_mhz or 0))


def _differ(gpus: Sequence[GpuFacts]) -> bool:
    return len({(gpu.name, gpu.cores, gpu.max_sm_clock_mhz) for gpu in gpus}) > 1
