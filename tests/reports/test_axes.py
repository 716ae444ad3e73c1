import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidmeter.reports.axes import time_ticks, watt_ticks


@given(st.floats(1e-3, 1e6))
def test_the_scale_holds_the_highest_power_and_wastes_less_than_half(top_w):
    edge, ticks = watt_ticks(top_w)
    assert top_w * (1 - 1e-6) <= edge < 2 * top_w
    assert 3 <= len(ticks) <= 5
    assert (ticks[0].at, ticks[-1].at) == (0, 100)


@given(st.floats(1e-3, 1e7))
def test_the_axis_of_time_has_some_labels_and_no_two_alike(duration_s):
    ticks = time_ticks(duration_s)
    labels = [tick.label for tick in ticks]
    assert 2 <= len(labels) <= 9
    assert len(set(labels)) == len(labels)
    assert all(0 <= tick.at <= 100 for tick in ticks)


@pytest.mark.parametrize(
    ("duration_s", "labels"),
    [
        (0.5, ["0", "100 ms", "200 ms", "300 ms", "400 ms", "500 ms"]),
        (4.2, ["0", "1 s", "2 s", "3 s", "4 s"]),
        (300, ["0", "1:00", "2:00", "3:00", "4:00", "5:00"]),
        (7200, ["0", "15:00", "30:00", "45:00", "1:00:00", "1:15:00", "1:30:00", "1:45:00",
                "2:00:00"]),
    ],
)  # fmt: skip
def test_times_are_round(duration_s, labels):
    assert [tick.label for tick in time_ticks(duration_s)] == labels
