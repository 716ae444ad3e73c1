"""A workload of one's own, as docs/bench.md shows it: no framework, and as quick as one likes."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidmeter.workloads.base import Parameter, Produced, Setting, settle


class Sleepy:
    """Sleeps, and calls that a video."""

    name, description, packages = "sleepy", "sleeps and calls it a video", ()
    devices, memory_b = ("cpu",), 0
    parameters: Mapping[str, Parameter] = {
        "nap_s": Parameter(0.2, "seconds of sleep", minimum=0),
        "seed": Parameter(0, "seed", minimum=0),
    }

    def __init__(self, stated: Mapping[str, object]) -> None:
        self.settings: Mapping[str, Setting] = settle(self.name, self.parameters, stated)

    def prepare(self, device: str) -> None:
        """Nothing to load."""

    def generate(self, seed: int, out: Path) -> Produced:
        """Sleep, and write the seed."""
        time.sleep(float(self.settings["nap_s"]))
        path = out.with_suffix(".txt")
        path.write_text(str(seed))
        return Produced((path,), {"video_seconds": 2.0, "frames": 32, "fps": 16.0, "videos": 1})

    def facts(self) -> Mapping[str, Any]:
        """What was used."""
        return {"weights": "none"}

    def close(self) -> None:
        """Nothing to let go of."""


sleepy = Sleepy
