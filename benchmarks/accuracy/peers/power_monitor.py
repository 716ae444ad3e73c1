"""Zeus's PowerMonitor: get_energy over each window, of the one card in CUDA_VISIBLE_DEVICES.

It asks what the first card offers and takes that for all, so each class has a process of its own.
Left to itself it polls without a pause, which on two cores would disturb everybody; it is told to
ask every 10 ms, twice in the shortest refresh there is. Only the kind of power from which
get_energy computes is polled: instant where there is one, else average. It is asked half a second
after the window: readings come through a pipe, and it takes what is there.
"""

import sys
import time

from windows import follow, plan
from zeus.monitor import PowerMonitor

PERIOD_S = 0.01


class Power:
    def __init__(self, gpu: int) -> None:
        self.gpu = gpu
        self.monitor = _monitor()
        self.start_s = self.end_s = 0.0

    def open(self) -> None:
        self.start_s = time.time()

    def close(self) -> None:
        self.end_s = time.time()

    def energies(self) -> dict[int, float | str]:
        energy_j = self.monitor.get_energy(self.start_s, self.end_s)
        return {self.gpu: "PowerMonitor has no readings" if energy_j is None else energy_j[0]}


def _monitor() -> PowerMonitor:
    try:
        return PowerMonitor(update_period=PERIOD_S, power_domains=["device_instant"])
    except ValueError:  # instant power is not offered
        return PowerMonitor(update_period=PERIOD_S, power_domains=["device_average"])


if __name__ == "__main__":
    power = Power(int(sys.argv[3]))
    follow(plan()["windows"], [power])
    power.monitor.stop()
