"""Runs a stage that needs a load on the simulated driver, whose power needs none.

    python tests/benchmarks/simulated_load.py FOLDER STAGE SECONDS EPOCH_NS EDGE_MS…

The simulated card's power goes up and down by itself, at the edges that are stated and again from
their end on. The stand-in for the load says when it did. What the stage found goes to stdout.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.gpu import active, analysis
from benchmarks.gpu.card import Card
from benchmarks.gpu.passive import Bench
from benchmarks.gpu.traces import Tape
from vidmeter.meter.sensors.nvml import NvmlSensor

MS = 1_000_000


class Scripted:
    """Says at which instants the simulated card's power changed while it was asked for a wave."""

    def __init__(self, epoch_ns: int, edges_ms: list[float]) -> None:
        self._epoch_ns, self._edges_ms = epoch_ns, edges_ms
        self._asked: dict[str, Any] = {}
        self._start_ns = 0

    def ask(self, **request: Any) -> None:
        """Take note of when; the power goes its own way."""
        self._asked, self._start_ns = request, time.monotonic_ns()

    def answer(self) -> dict[str, Any]:
        """The edges from the first rise up to now, or the speed of a steady load."""
        end_ns = time.monotonic_ns()
        if self._asked["do"] == "steady":
            speed = {"products_per_s": 500.0, "products": 500, "tflop_per_s": 550.0}
            return {"start_ns": self._start_ns, "end_ns": end_ns, **speed}
        span_ns = round(self._edges_ms[-1] * MS)
        edges: list[int] = []
        for turn in range((self._start_ns - self._epoch_ns) // span_ns, 10**9):
            at_ns = self._epoch_ns + turn * span_ns
            if at_ns > end_ns:
                break
            edges += [at_ns + round(edge * MS) for edge in self._edges_ms[:-1]]
        pairs = zip(edges[::2], edges[1::2], strict=True)
        inside = [edge for pair in pairs for edge in pair if self._start_ns <= pair[0] < end_ns]
        return {"edges_ns": inside}


def main() -> None:
    """Run the stage that the command line names."""
    folder, stage, seconds, epoch_ns, *edges_ms = sys.argv[1:]
    sensor = NvmlSensor()
    device = sensor.devices[0]
    bench = Bench(Card(device.uuid), sensor, Tape(device, Path(folder) / "sensors.vidmeter"))
    load = Scripted(int(epoch_ns), [float(edge) for edge in edges_ms])
    found = getattr(active, stage)(bench, load, float(seconds))
    bench.tape.save()
    print(json.dumps(analysis.plain(found), allow_nan=False))


if __name__ == "__main__":
    main()
