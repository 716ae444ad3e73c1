"""What the tests on a real card share. Without one they are all skipped, with the reason."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from vidmeter.meter.device import Device
from vidmeter.meter.errors import NoDevice
from vidmeter.meter.sensors.nvml import NvmlSensor


@pytest.fixture(scope="session", autouse=True)
def sensor() -> Iterator[NvmlSensor]:
    """vidmeter's sensor of the cards of this machine."""
    try:
        opened = NvmlSensor()
    except NoDevice as error:
        pytest.skip(f"no NVIDIA card: {error}")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def card(sensor: NvmlSensor) -> Device:
    """The first card."""
    return sensor.devices[0]


@pytest.fixture(scope="session")
def torch() -> Any:
    """PyTorch, if it can use a card here."""
    module = pytest.importorskip("torch")
    if not module.cuda.is_available():
        pytest.skip("torch sees no CUDA device")
    return module


@pytest.fixture(scope="session")
def busy(torch: Any) -> Callable[[float], None]:
    """Keeps the first card busy for some seconds with products of random matrices."""
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)

    def work(seconds: float) -> None:
        import time

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for _ in range(8):
                a @ a
            torch.cuda.synchronize()

    work(1.0)
    return work
