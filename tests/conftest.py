"""Fixtures that several folders of tests use: the simulated NVIDIA driver."""

import os
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.simulated_driver.driver import Driver, build, build_clock

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

BUSY = ("workloads/", "examples/", "cli/test_bench.py")
"""Tests that keep a core busy: one of them runs at a time."""
TIMED = (
    "simulated_driver/",
    "benchmarks/test_first_card.py",
    "benchmarks/test_reference.py",
    "cli/test_calibrate.py",
    "cli/test_trust.py",
    "meter/test_classes_end_to_end.py",
    "meter/test_reading.py",
    "meter/test_simulated_driver.py",
)
"""Tests that look at clocks, and wait: one of them runs at a time, for two would disturb each
other more than one of the busy ones does."""
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a core each
# A shell ignores these in what it sends to the background, and every child would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
HIDDEN = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES")


class Lanes(LoadScopeScheduling):
    """Which tests one process runs in a row: the busy ones, the timed ones, those of each file.

    `pytest -n 2 --dist loadscope --no-loadscope-reorder`, as check.py does.
    """

    def _split_scope(self, nodeid: str) -> str:
        where = nodeid.partition("::")[0].removeprefix("tests/")
        if where.startswith(BUSY):
            return "busy"
        return "timed" if where.startswith(TIMED) else where


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes:
    return Lanes(config, log)


@pytest.fixture(scope="session")
def compiler() -> str:
    """A C compiler to build the simulated driver with."""
    found = shutil.which("gcc") or shutil.which("cc")
    if found is None:
        pytest.skip("no C compiler to build the simulated driver with")
    return found


@pytest.fixture(scope="session")
def driver_library(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The simulated driver's library, built once."""
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


@pytest.fixture(scope="session")
def stepped_clocks(
    compiler: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Mapping[str, str]], dict[str, str]]:
    """Adds to the environment of a simulated driver that a process sees its clock steps itself."""
    library = build_clock(compiler, tmp_path_factory.mktemp("clock"))

    def environment(environ: Mapping[str, str]) -> dict[str, str]:
        loaded = [str(library), environ.get("LD_PRELOAD", "")]
        return {**environ, "LD_PRELOAD": os.pathsep.join(path for path in loaded if path)}

    return environment
