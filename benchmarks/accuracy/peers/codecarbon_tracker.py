"""CodeCarbon's OfflineEmissionsTracker: start and stop, its GPU energy, one tracker for each card.

All options that bear on measuring are left as they are; the rest keeps it quiet. A first tracker is
started and thrown away, because looking for hardware takes it more than a second.
"""

from codecarbon import OfflineEmissionsTracker
from windows import follow, plan

J_PER_KWH = 3.6e6


class Carbon:
    def __init__(self, gpu: int) -> None:
        self.gpu = gpu
        self.tracker = _tracker(gpu)

    def open(self) -> None:
        self.tracker.start()

    def close(self) -> None:
        self.tracker.stop()

    def energies(self) -> dict[int, float | str]:
        energy_j = self.tracker.final_emissions_data.gpu_energy * J_PER_KWH
        self.tracker = _tracker(self.gpu)
        return {self.gpu: energy_j}


def _tracker(gpu: int) -> OfflineEmissionsTracker:
    return OfflineEmissionsTracker(
        country_iso_code="FRA",
        gpu_ids=[gpu],
        save_to_file=False,
        log_level="error",
        allow_multiple_runs=True,
    )


if __name__ == "__main__":
    what = plan()
    first = _tracker(0)
    first.start()
    first.stop()
    follow(what["windows"], [Carbon(gpu) for gpu in range(what["gpus"])])
