"""nvitop's ResourceMetricCollector at its interval of 1 s: mean power × time, all cards at once.

Each window has a collector of its own: one that was deactivated doesn't sample any more.
"""

from nvitop import Device, ResourceMetricCollector
from windows import follow, plan

INTERVAL_S = 1.0


class Collector:
    def __init__(self) -> None:
        self.devices = Device.all()
        self.collector = ResourceMetricCollector(self.devices, interval=INTERVAL_S)
        self.found: dict[str, float] = {}

    def open(self) -> None:
        self.collector.activate(tag="window")

    def close(self) -> None:
        self.found = self.collector.collect()
        self.collector.deactivate(tag="window")

    def energies(self) -> dict[int, float | str]:
        found = self.found
        self.collector = ResourceMetricCollector(self.devices, interval=INTERVAL_S)
        seconds = found["window/duration (s)"]
        keys = {d.index: f"window/gpu:{d.index}/power_usage (W)/mean" for d in self.devices}
        return {
            gpu: found[key] * seconds if key in found else "nvitop has no readings"
            for gpu, key in keys.items()
        }


if __name__ == "__main__":
    follow(plan()["windows"], [Collector()])
