"""Eight GPUs on a machine that has none: the simulated NVIDIA driver of the tests, under load.

Its calls cost next to nothing, where a real driver's cost from 1 µs to 1 ms of the caller's own
time; what is measured on it is vidmeter's share.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent))

from tests.simulated_driver.driver import Driver, Gpu, build

COUNT = 8
LOAD = ((0.0, 120.0), (0.2, 690.0), (1.1, 640.0), (1.4, 90.0), (2.0, 120.0))
"""(s, W) of a step that repeats, as denoising steps do."""


def simulated(folder: Path, count: int = COUNT) -> dict[str, str] | None:
    """The environment in which a process finds `count` GPUs under load; None without a compiler."""
    gpus = [
        Gpu(
            curve=LOAD,
            repeat=True,
            uuid=f"GPU-51b1a7ed-0000-4000-8000-{n:012x}",
            pci=f"00000000:{n + 1:02x}:00.0",
        )
        for n in range(count)
    ]
    return environment(gpus, folder)


def environment(gpus: Sequence[Gpu], folder: Path) -> dict[str, str] | None:
    """The environment in which a process finds these GPUs; None without a C compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    library, script = build(compiler, folder), folder / "driver.txt"
    Driver(list(gpus)).write(script)
    paths = [str(library.parent), os.environ.get("LD_LIBRARY_PATH", "")]
    return os.environ | {
        "LD_LIBRARY_PATH": os.pathsep.join(path for path in paths if path),
        "VIDMETER_SIM_NVML": str(script),
    }
