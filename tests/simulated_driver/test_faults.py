"""How the simulated driver dies, is loaded anew, steps the wall clock and takes its time."""

import math

import pytest

from tests.simulated_driver.asking import PRELUDE, S, Simulated, ask
from tests.simulated_driver.driver import Counter, Driver, Gpu

OPENING = PRELUDE.split("n.nvmlInit()", maxsplit=1)[0]

CALLS = """
calls = [(n.nvmlDeviceGetPowerUsage, h), (n.nvmlDeviceGetFieldValues, h, [186]),
         (n.nvmlDeviceGetSamples, h, 0, 0), (n.nvmlDeviceGetHandleByIndex, 0),
         (n.nvmlDeviceGetHandleByIndex, 7), (n.nvmlDeviceGetHandleByUUID, b"GPU-x"),
         (n.nvmlDeviceGetCount,), (n.nvmlSystemGetDriverVersion,), (n.nvmlInit,)]
def until(t):
    time.sleep(max(0, (t - now()) / 1e9))
"""


@pytest.mark.parametrize("dead_code", [999, 9])
def test_a_dead_driver_answers_nothing_until_it_is_opened_anew(
    simulated_driver: Simulated, dead_code: int
) -> None:
    gpu = Gpu([(0, 100)])
    driver = Driver([gpu], dead_s=(1.5, 2.0), dead_code=dead_code)

    before, during, closed, opening, after, anew = ask(
        simulated_driver(driver),
        CALLS
        + f"""
before, late = [code(*call) for call in calls], now()
assert late < {gpu.epoch_ns} + 1.5e9, "too late to see it alive"
until({gpu.epoch_ns} + 1_510_000_000)
during = [code(*call) for call in calls]
closed = [code(n.nvmlShutdown) for _ in range(3)]
opening, lasted = code(n.nvmlInit), now() < {gpu.epoch_ns} + 2_000_000_000
opening = opening if lasted else {dead_code}
until({gpu.epoch_ns} + 2_010_000_000)
after = [code(n.nvmlDeviceGetCount), code(n.nvmlInit), code(n.nvmlInit)]
h = n.nvmlDeviceGetHandleByIndex(0)
anew = [code(n.nvmlDeviceGetPowerUsage, h), n.nvmlDeviceGetTotalEnergyConsumption(h)]
out = [before, during, closed, opening, after, anew]
""",
    )

    assert before == [0, 0, 0, 0, 2, 6, 0, 0, 0]
    assert during == [dead_code] * 9
    assert closed == [0, 0, 1]
    assert opening == dead_code
    assert after == [1, 0, 0]
    assert anew[0] == 0 and anew[1] >= 1e9


def test_who_has_a_driver_open_that_died_stays_without_it(simulated_driver: Simulated) -> None:
    gpu = Gpu([(0, 100)])
    driver = Driver([gpu], dead_s=(1.5, 1.6))

    out = ask(
        simulated_driver(driver),
        CALLS
        + f"""
assert now() < {gpu.epoch_ns} + 1.5e9, "too late to see it alive"
until({gpu.epoch_ns} + 1_650_000_000)
out = [[code(*call) for call in calls], code(n.nvmlShutdown), code(n.nvmlInit),
       code(n.nvmlDeviceGetPowerUsage, h)]
""",
    )

    assert out == [[999] * 9, 0, 0, 0]


def test_a_driver_that_is_dead_for_ever_never_opens(simulated_driver: Simulated) -> None:
    environ = simulated_driver(Driver([Gpu([(0, 1)])], dead_s=(-1, math.inf)))
    assert ask(environ, "out = code(n.nvmlInit)", prelude=OPENING) == 999


def test_a_driver_loaded_anew_counts_from_zero_and_has_no_old_samples(
    simulated_driver: Simulated,
) -> None:
    gpu = Gpu([(0, 300)], counter=Counter(20, reset_s=-1))
    broken = Gpu([(0, 300)], counter=Counter(20, broken_w=50), uuid="GPU-2", epoch_ns=gpu.epoch_ns)
    driver = Driver(
        [gpu, broken], dead_s=(0, 0.3), dead_code=9, reload=True, epoch_ns=gpu.epoch_ns + S
    )

    out = ask(
        simulated_driver(driver),
        """
time.sleep(max(0, (EPOCH + 1_400_000_000 - now()) / 1e9))
n.nvmlInit()
out = []
for i in (0, 1):
    h = n.nvmlDeviceGetHandleByIndex(i)
    out.append([now(), n.nvmlDeviceGetTotalEnergyConsumption(h), now(),
                len(n.nvmlDeviceGetSamples(h, 0, 0)[1]), now()])
""".replace("EPOCH", str(gpu.epoch_ns)),
        prelude=OPENING,
    )

    for watts, (before_ns, mj, after_ns, samples, later_ns) in zip((300, 50), out, strict=True):
        since_s = [(t - gpu.epoch_ns) / S - 1.3 for t in (before_ns, after_ns, later_ns)]
        assert (since_s[0] - 0.02) * watts - 0.001 <= mj / 1000 <= since_s[1] * watts + 0.001
        assert since_s[0] / 0.02 - 1 <= samples <= since_s[2] / 0.02 + 1


def test_functions_that_ask_for_no_card_may_be_refused(simulated_driver: Simulated) -> None:
    answers = {"nvmlDeviceGetCount_v2": 4, "nvmlSystemGetDriverVersion": 999, "nvmlShutdown": 999}
    out = ask(
        simulated_driver(Driver([Gpu([(0, 1)])], answers=answers)),
        "out = [code(n.nvmlDeviceGetCount), code(n.nvmlSystemGetDriverVersion),"
        " code(n.nvmlShutdown), code(n.nvmlShutdown), code(n.nvmlDeviceGetPowerUsage, h)]",
    )
    assert out == [4, 999, 999, 1, 1]
