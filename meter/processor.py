"""What the kernel says about the processor: its name, its threads, and whether it is virtual."""

import re
from pathlib import Path
from typing import NamedTuple

CPUINFO = Path("/proc/cpuinfo")


class Processor(NamedTuple):
    """The CPUs of this machine as the kernel shows them.

    `threads_per_socket` counts the logical CPUs of one package. In a virtual machine (`virtual`)
    it is the guest's, not the processor's.
    """

    model: str | None
    threads_per_socket: int | None
    virtual: bool


def read_processor(path: Path = CPUINFO) -> Processor:
    """The processor as `path` (the format of /proc/cpuinfo on x86) describes it."""
    text = path.read_text(errors="replace") if path.exists() else ""
    siblings = _first("siblings", text)
    return Processor(
        model=_first("model name", text),
        threads_per_socket=int(siblings) if siblings and siblings.isdecimal() else None,
        virtual="hypervisor" in (_first("flags", text) or "").split(),
    )


def normalized(model: str) -> str:
    """A processor's name without what vendors and kernels write differently from each other."""
    name = model.lower()
    for noise in (
        r"\((r|tm|c)\)|®|™",
        r"\bw(ith|/) *radeon.*",
        r"@.*",
        r"\b\d+(st|nd|rd|th) gen\b",
        r"\b\d+-cores?\b",
        r"\b(cpu|processor)\b",
    ):
        name = re.sub(noise, " ", name)
    return " ".join(name.split())


def _first(key: str, text: str) -> str | None:
    match = re.search(rf"^{key}\s*:[ \t]*(.+?)[ \t]*$", text, re.MULTILINE)
    return match[1] if match else None
