from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from vidmeter.meter.clock import monotonic_ns
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.marks import FILE_ENV
from vidmeter.meter.run import Trace
from vidmeter.meter.sample import Quantity, Series
from vidmeter.meter.store import RunWriter
from vidmeter.workloads.steadiness import Steadiness, Verdict

GPU = Device("GPU-1", "Card", Kind.GPU, "the card", Provenance.MEASURED, "nvml", 0)
S = 1_000_000_000

Curve = Callable[[float], float]


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Verdict]:
    """What is said of a card whose readings, once the warm-up has begun, followed these curves."""
    path = tmp_path / "r.vidmeter"
    writer = RunWriter.create(path, {"id": "1", "start_ns": 0, "period_ns": S // 20, "command": []})
    writer.add_device(GPU)
    writer.commit()
    monkeypatch.setenv(FILE_ENV, str(path))

    def verdict(seconds: float, **curves: Curve) -> Verdict:
        watch = Steadiness()
        start_ns = monotonic_ns()
        for name, curve in curves.items():
            series = Series(GPU.uuid, Quantity[name.upper()], None, None)
            trace = Trace(array("q"), array("d"))
            for n in range(int(seconds * 4)):
                trace.t_ns.append(start_ns + n * S // 4)
                trace.value.append(curve(n / 4))
            writer.add_trace(series, trace)
        writer.commit()
        found = watch.look()
        watch.close()
        return found

    return verdict


def test_a_card_that_is_still_heating_is_not_steady_and_the_reason_is_told(
    recorded: Callable[..., Verdict],
) -> None:
    steady, why = recorded(70, temperature=lambda s: 50 + s / 30, power_instant=lambda s: 300 + s)
    assert steady is False
    assert why == "Card: temperature changed by +2.0 °C a minute, power by +17.7%"


def test_a_level_temperature_is_enough_and_so_is_a_level_power(
    recorded: Callable[..., Verdict],
) -> None:
    assert recorded(70, temperature=lambda _: 61, power_instant=lambda s: 300 + s).steady is True


def test_power_that_swings_within_seconds_around_one_level_is_steady(
    recorded: Callable[..., Verdict],
) -> None:
    swinging = recorded(70, power_instant=lambda s: 690 if s % 0.5 < 0.25 else 120)
    assert swinging.steady is True


def test_less_than_most_of_a_minute_tells_nothing_yet(recorded: Callable[..., Verdict]) -> None:
    assert recorded(30, temperature=lambda _: 61) == (False, "Card: too few readings to tell")


def test_without_a_gpu_in_the_run_it_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FILE_ENV, raising=False)
    assert Steadiness().look() == (None, "no GPU is recorded")
