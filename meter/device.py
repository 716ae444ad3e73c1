"""What has a power reading: one GPU, one CPU package, one DRAM domain."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """The sort of hardware a device is."""

    GPU = "gpu"
    CPU = "cpu"
    DRAM = "dram"


class Provenance(StrEnum):
    """Where a device's numbers come from. Numbers of different provenance are never added up."""

    MEASURED = "measured"
    """Read from a sensor of the hardware."""
    MODELLED = "modelled"
    """Computed from load and a rating."""
    SIMULATED = "simulated"
    """Played from a script or from an earlier run."""


@dataclass(frozen=True)
class Device:
    """One thing with a power reading.

    `uuid` is its identity; `index` is for display only, since indices differ between NVML and
    CUDA. `scope` says in words what the reading covers. `facts` holds what the sensor knows about
    the device and what its numbers rest on, as plain JSON values with the unit in the key.
    """

    uuid: str
    name: str
    kind: Kind
    scope: str
    provenance: Provenance
    sensor: str
    index: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What a person calls it: kind, index where there is one, and name."""
        index = "" if self.index is None else f" {self.index}"
        return f"{self.kind.upper()}{index} {self.name}"
