"""ZeusMonitor: begin_window and end_window, of the one card in CUDA_VISIBLE_DEVICES.

For cards before Volta it asks what the first card offers and takes that for all, so each class has
a process of its own. Without PyTorch there is nothing to synchronise with, hence
sync_execution=False.
"""

import sys

from windows import follow, plan
from zeus.device.gpu.common import ZeusGPUNotSupportedError
from zeus.monitor import ZeusMonitor

REFUSED = "ZeusMonitor fails: it takes an energy counter for granted from Volta on"


class Zeus:
    def __init__(self, gpu: int) -> None:
        self.gpu = gpu
        self.monitor = ZeusMonitor(gpu_indices=[0], cpu_indices=[])
        self.refused = False
        self.energy_j = 0.0

    def open(self) -> None:
        try:
            self.monitor.begin_window("window", sync_execution=False)
        except ZeusGPUNotSupportedError:
            self.refused = True

    def close(self) -> None:
        if not self.refused:
            measurement = self.monitor.end_window("window", sync_execution=False)
            self.energy_j = measurement.gpu_energy[0]

    def energies(self) -> dict[int, float | str]:
        return {self.gpu: REFUSED if self.refused else self.energy_j}


if __name__ == "__main__":
    follow(plan()["windows"], [Zeus(int(sys.argv[3]))])
