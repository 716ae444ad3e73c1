"""What a source's readings speak of, held against the curve that they make."""

from array import array

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.meter.synthetic import MS, START, S, Wave, card, constant, run_of
from vidmeter.meter import energy
from vidmeter.meter.run import Trace
from vidmeter.meter.sample import Quantity
from vidmeter.meter.sources import Source, sources_of

spacings_ms = st.lists(
    st.sampled_from([20, 20, 20, 20, 20, 20, 21, 150, 700]), min_size=9, max_size=60
)
powers_w = st.lists(st.integers(0, 700), min_size=61, max_size=61)


def source_of(quantity: Quantity, t_ns: list[int], value: list[float], window: bool) -> Source:
    device = card()
    wave = Wave(20.0, constant(100))
    windows = {quantity: 20 * MS} if window else {}
    run = run_of(
        wave, device, {quantity: Trace(array("q", t_ns), array("d", value))}, window_ns=windows
    )
    (found,) = sources_of(run, device)
    return found


@pytest.mark.parametrize("quantity", [Quantity.POWER_RING, Quantity.ENERGY, Quantity.ENERGY_STATED])
@given(spacings_ms, powers_w)
def test_a_reading_tells_the_mean_power_of_its_stretch_and_nothing_of_one_not_seen(
    quantity: Quantity, apart_ms: list[int], power_w: list[int]
) -> None:
    t_ns = [START + ms * MS for ms in np.cumsum([0, *apart_ms]).tolist()]
    value = [float(w + 1) for w in power_w[: len(t_ns)]]
    if quantity is not Quantity.POWER_RING:
        steps = [w * ms / 1e3 for w, ms in zip(value[1:], apart_ms, strict=True)]
        value = [500.0, *(500.0 + np.cumsum(steps)).tolist()]
    if quantity is Quantity.ENERGY:
        reset = len(value) // 2
        value[reset:] = [v - value[reset] for v in value[reset:]]
    source = source_of(quantity, t_ns, value, window=quantity is Quantity.POWER_RING)

    assume(not source.centred)  # so uneven that no refresh period can be told

    starts, ends = source.stretches
    joules, coverage = energy.window_arrays(source.curve, starts, ends)
    expected = np.where(coverage > 0.999, joules / ((ends - starts) / 1e9), np.nan)
    np.testing.assert_allclose(source.mean_w, expected, rtol=1e-9)
    assert (ends > starts).all()


def test_many_instants_at_once_are_what_each_is_by_itself() -> None:
    rng = np.random.default_rng(0)
    curve = energy.points(
        START + np.arange(1000) * 50 * MS, rng.uniform(50, 700, 1000), nominal_ns=50 * MS
    )
    instants = START + rng.integers(-S, 51 * S, energy.AT_ONCE + 100)
    some = [0, 1, energy.AT_ONCE - 1, energy.AT_ONCE, len(instants) - 1]

    for of in (energy.power_at, energy.cumulative_j):
        whole = of(curve, instants)
        assert len(whole) == len(instants)
        np.testing.assert_array_equal(whole[some], of(curve, instants[some]))
