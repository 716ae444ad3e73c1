"""Fixtures that several folders of tests use: the simulated NVIDIA driver."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.simulated_driver.driver import Driver, build

HIDDEN = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES")


@pytest.fixture(scope="session")
def driver_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The simulated driver's library, built once."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to build the simulated driver with")
    return build(compiler, tmp_path_factory.mktemp("driver"))


@pytest.fixture(scope="session")
def simulated_driver(
    driver_library: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Driver], dict[str, str]]:
    """Makes the environment in which a process finds the driver that it is given."""

    def environment(driver: Driver) -> dict[str, str]:
        script = tmp_path_factory.mktemp("script") / "driver.txt"
        driver.write(script)
        environ = {k: v for k, v in os.environ.items() if k not in HIDDEN}
        paths = [str(driver_library.parent), environ.get("LD_LIBRARY_PATH", "")]
        environ["LD_LIBRARY_PATH"] = os.pathsep.join(path for path in paths if path)
        environ["VIDMETER_SIM_NVML"] = str(script)
        return environ

    return environment
