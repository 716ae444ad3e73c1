"""ZeusMonitor: begin_window and end_window, one monitor for each card.

Without PyTorch there is nothing to synchronise with, hence sync_execution=False.
"""

from windows import follow, plan
from zeus.device.gpu.common import ZeusGPUNotSupportedError
from zeus.monitor import ZeusMonitor

REFUSED = "ZeusMonitor fails: it takes an energy counter for granted from Volta on"


class Zeus:
    def __init__(self, gpu: int) -> None:
        self.gpu = gpu
        self.monitor = ZeusMonitor(gpu_indices=[gpu], cpu_indices=[])
        self.refused = False

    def open(self) -> None:
        try:
            self.monitor.begin_window("window", sync_execution=False)
        except ZeusGPUNotSupportedError:
            self.refused = True

    def close(self) -> dict[int, float | str]:
        if self.refused:
            return {self.gpu: REFUSED}
        measurement = self.monitor.end_window("window", sync_execution=False)
        return {self.gpu: measurement.gpu_energy[self.gpu]}


if __name__ == "__main__":
    what = plan()
    follow(what["windows"], [Zeus(gpu) for gpu in range(what["gpus"])])
