"""How the simulated driver's readings, ring and counter may stray from the true power."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulated_driver.asking import MS, WAVES, S, Simulated, ask, wall_clock_offset_ns
from tests.simulated_driver.driver import Counter, Driver, Gpu, Reading, Ring

STAMPED = """
out, until = [], now() + 700_000_000
while now() < until:
    field = n.nvmlDeviceGetFieldValues(h, [186])[0]
    out.append([field.timestamp, field.value.uiVal])
    time.sleep(0.005)
"""


def refreshes(gpu: Gpu, seen: list[list[int]], refresh_ms: int) -> list[tuple[int, float]]:
    """The instants of CLOCK_MONOTONIC that the stamps name, and the W shown with them."""
    offset_ns, refresh_ns = wall_clock_offset_ns(), refresh_ms * MS
    ages = [round((us * 1000 - offset_ns - gpu.epoch_ns) / refresh_ns) for us, _ in seen]
    return [
        (gpu.epoch_ns + age * refresh_ns, mw / 1000)
        for age, (_, mw) in zip(ages, seen, strict=True)
    ]


# ---- the truth of a lag ----


def test_the_truth_of_a_lag_behind_a_step_and_a_ramp_is_known() -> None:
    step = Gpu([(0, 100), (1, 100), (1, 500)], epoch_ns=0)
    assert step.true_lagged_w(S, 200) == pytest.approx(100, rel=1e-12)
    assert step.true_lagged_w(S + S // 5, 200) == pytest.approx(500 - 400 / 2.718281828459045)
    # A ramp that began long ago is shown as it was one time constant before.
    ramp = Gpu([(0, 0), (100, 1000)], epoch_ns=0)
    assert ramp.true_lagged_w(50 * S, 300) == pytest.approx(500 - 3)


@given(st.integers(1, 2000), st.integers(0, 6000))
def test_a_lag_settles_the_same_on_a_repeated_curve_as_on_it_written_out(
    lag_ms: int, at_ms: int
) -> None:
    period_s = WAVES[-1][0]
    again = Gpu(WAVES, repeat=True, epoch_ns=0)
    turns = range(-30, 4)
    written_out = Gpu([(t + n * period_s, w) for n in turns for t, w in WAVES], epoch_ns=0)
    shown = again.true_lagged_w(at_ms * MS, lag_ms)
    assert shown == pytest.approx(written_out.true_lagged_w(at_ms * MS, lag_ms), rel=1e-9)


# ---- readings ----


@pytest.mark.parametrize(
    "reading",
    [
        Reading(50, 25, delay_ms=130),
        Reading(50, 50, delay_ms=17.5, factor=0.95),
        Reading(20, 20, lag_ms=400),
        Reading(20, 20, lag_ms=5),
        Reading(50, 50, lag_ms=90, delay_ms=60, factor=1.1),
    ],
)
@pytest.mark.parametrize("repeat", [True, False])
def test_a_reading_may_be_late_and_follow_with_a_lag(
    simulated_driver: Simulated, reading: Reading, repeat: bool
) -> None:
    curve = WAVES if repeat else [(0.2, 130), (0.4, 130), (0.4, 500), (0.5, 300), (0.6, 90)]
    gpu = Gpu(curve, repeat=repeat, instant=reading)

    seen = ask(simulated_driver(Driver([gpu])), STAMPED)

    for at_ns, watts in refreshes(gpu, seen, int(reading.refresh_ms)):
        end_ns = at_ns - int(reading.delay_ms * MS)
        if reading.lag_ms:
            true_w = gpu.true_lagged_w(end_ns, reading.lag_ms)
        else:
            true_w = gpu.true_mean_w(end_ns - int(reading.window_ms * MS), end_ns)
        assert watts == pytest.approx(true_w * reading.factor, abs=0.001)


def test_the_ring_may_be_late_and_follow_with_a_lag(simulated_driver: Simulated) -> None:
    late = Gpu(WAVES, repeat=True, ring=Ring(20, 60, 40, delay_ms=45, factor=0.5))
    lagging = Gpu(WAVES, repeat=True, ring=Ring(20, 60, lag_ms=150), uuid="GPU-2")

    found = ask(
        simulated_driver(Driver([late, lagging])),
        """
out = [[[s.timeStamp, s.sampleValue.uiVal] for s in n.nvmlDeviceGetSamples(g, 0, 0)[1]]
       for g in (h, n.nvmlDeviceGetHandleByIndex(1))]
""",
    )

    assert [len(samples) for samples in found] == [60, 60]
    for at_ns, watts in refreshes(late, found[0], 20):
        true_w = late.true_mean_w(at_ns - 85 * MS, at_ns - 45 * MS) / 2
        assert watts == pytest.approx(true_w, abs=0.001)
    for at_ns, watts in refreshes(lagging, found[1], 20):
        assert watts == pytest.approx(lagging.true_lagged_w(at_ns, 150), abs=0.001)


def test_module_and_memory_have_readings_and_a_ring_of_their_own(
    simulated_driver: Simulated,
) -> None:
    bare = Gpu([(0, 200)])
    told = replace(
        bare,
        uuid="GPU-2",
        module=Reading(100, 100, factor=1.5),
        memory=Reading(100, 100, factor=0.25),
        module_ring=Ring(50, 3, factor=2),
    )

    out = ask(
        simulated_driver(Driver([bare, told])),
        """
out = []
for g in (h, n.nvmlDeviceGetHandleByIndex(1)):
    fields = n.nvmlDeviceGetFieldValues(g, [(f, s) for f in (185, 186, 83) for s in range(4)])
    out.append([[f.nvmlReturn or f.value.uiVal for f in fields[:8]],
                [f.nvmlReturn for f in fields[8:]]])
out.append(code(n.nvmlDeviceGetSamples, h, n.NVML_MODULE_POWER_SAMPLES, 0))
out.append([s.sampleValue.uiVal for s in n.nvmlDeviceGetSamples(g, 7, 0)[1]])
""",
    )

    assert out == [
        [[200_000, 3, 3, 3] * 2, [0, 3, 3, 3]],
        [[200_000, 300_000, 50_000, 3] * 2, [0, 3, 3, 3]],
        3,
        [400_000] * 3,
    ]


# ---- the counter ----


@pytest.mark.parametrize(
    "counter",
    [
        Counter(20, scale=0.57),
        Counter(20, jump_s=1.3, jump_j=5000),
        Counter(20, jump_s=1.3, jump_j=-250, scale=1.1),
        Counter(20, start_j=50, jump_s=1.2, jump_j=-1e6),
        Counter(20, reset_s=1.2, jump_s=1.4, jump_j=40),
        Counter(20, reset_s=1.4, jump_s=1.2, jump_j=40),
        Counter(20, broken_w=339, reset_s=1.3),
    ],
)
def test_a_counter_may_be_scaled_jump_and_fall(
    simulated_driver: Simulated, counter: Counter
) -> None:
    gpu = Gpu(WAVES, repeat=True, counter=counter)
    gpu = replace(gpu, epoch_ns=gpu.epoch_ns - 200 * MS)

    seen = ask(
        simulated_driver(Driver([gpu])),
        f"""
out = []
while now() < {gpu.epoch_ns} + 1_600_000_000:
    out.append([now(), n.nvmlDeviceGetTotalEnergyConsumption(h), now()])
    time.sleep(0.003)
""",
    )

    def true_j(since_s: float, until_s: float) -> float:
        if counter.broken_w is not None:
            return counter.broken_w * (until_s - since_s)
        edges = (gpu.epoch_ns + round(s * S) for s in (since_s, until_s))
        return counter.scale * gpu.true_energy_j(*edges)

    compared = set()
    for before_ns, mj, after_ns in seen:
        ticks = {(t - gpu.epoch_ns) // (20 * MS) for t in (before_ns, after_ns)}
        if len(ticks) > 1:
            continue
        (tick,) = ticks
        tick_s, reset_s = tick * 0.02, counter.reset_s
        jumped = counter.jump_s is not None and tick_s >= counter.jump_s
        if reset_s is not None and tick_s >= reset_s:
            expected_j = true_j(reset_s, tick_s)
            jumped = jumped and counter.jump_s is not None and counter.jump_s > reset_s
        else:
            expected_j = counter.start_j + true_j(0, tick_s)
        expected_j = max(0, expected_j + jumped * counter.jump_j)
        assert mj == pytest.approx(expected_j * 1000, abs=1.01)
        compared.add(tick)
    assert len(compared) > 10 and min(compared) < 60 and max(compared) >= 78
