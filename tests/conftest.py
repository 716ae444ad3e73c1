"""Fixtures that several folders of tests use: the simulated NVIDIA driver."""

import os
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import hypothesis
import pytest

from tests.simulated_driver.driver import Driver, build, build_clock

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

BUSY = ("workloads", "examples", "cli/test_bench.py")
"""Tests that keep a core busy; most others look at clocks, and wait. One of each sort runs at a
time where there are two processes: `pytest -n 2 --dist loadgroup`, as check.py does."""
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a core each
# A shell ignores these in what it sends to the background, and every child would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
HIDDEN = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        where = item.path.relative_to(Path(__file__).parent).as_posix()
        group = "busy" if where.startswith(BUSY) else "timed"
        item.add_marker(pytest.mark.xdist_group(group))


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
