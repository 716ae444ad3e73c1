import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidmeter.meter import energy
from vidmeter.reports.thin import thin

MS = 1_000_000


@st.composite
def curves(draw):
    """Readings some 10 ms apart with silences between them, as points or as windows."""
    gaps = draw(st.lists(st.sampled_from([10, 10, 10, 10, 11, 900]), min_size=2, max_size=120))
    t_ns = np.cumsum(gaps) * MS
    watts = draw(st.lists(st.floats(1, 1000), min_size=len(gaps), max_size=len(gaps)))
    if draw(st.booleans()):
        return energy.boxes(t_ns, watts, 10 * MS)
    return energy.points(t_ns, watts)


def window(draw, curve):
    first, last = int(curve.t_ns[0]), int(curve.t_ns[-1])
    a, b = draw(st.tuples(st.integers(first - MS, last), st.integers(first, last + MS)))
    return min(a, b), max(a, b) + 1


@given(st.data(), curves(), st.integers(1, 40))
def test_the_highest_power_of_a_window_survives(data, curve, columns):
    a, b = window(data.draw, curve)
    lines = thin(curve, a, b, columns=columns)
    kept = max((float(line.power_w.max()) for line in lines), default=None)
    peak = energy.peaks_w(curve, [a], [b]).item()
    if len(lines) < columns and kept is not None:
        assert kept == pytest.approx(peak, rel=1e-9)


@given(curves(), st.integers(1, 40))
def test_highest_and_lowest_of_all_survive(curve, columns):
    lines = thin(curve, int(curve.t_ns[0]), int(curve.t_ns[-1]), columns=columns)
    ends = np.concatenate([curve.start_w[curve.seen], curve.end_w[curve.seen]])
    if len(ends):
        assert max(line.power_w.max() for line in lines) == ends.max()
        assert min(line.power_w.min() for line in lines) == ends.min()
    else:
        assert lines == []


@given(st.data(), curves(), st.integers(1, 40))
def test_every_point_lies_on_the_curve_within_the_window(data, curve, columns):
    a, b = window(data.draw, curve)
    for line in thin(curve, a, b, columns=columns):
        assert a <= line.t_ns[0] and line.t_ns[-1] <= b
        assert (np.diff(line.t_ns) >= 0).all()
        for t, w in zip(line.t_ns, line.power_w, strict=True):
            knot = np.flatnonzero(curve.t_ns == t)
            if len(knot):
                i = knot[0]
                there = [*curve.end_w[max(i - 1, 0) : i], *curve.start_w[i : i + 1]]
            else:
                there = energy.power_at(curve, [t])
            assert any(w == pytest.approx(x, rel=1e-9) for x in there)


@given(curves())
def test_a_gap_is_never_joined(curve):
    lines = thin(curve, int(curve.t_ns[0]), int(curve.t_ns[-1]), columns=len(curve.t_ns))
    for i in np.flatnonzero(~curve.seen):
        for line in lines:
            assert not (line.t_ns[0] <= curve.t_ns[i] and line.t_ns[-1] >= curve.t_ns[i + 1])


def test_a_million_readings_become_at_most_four_points_per_column():
    watts = 300 + 100 * np.sin(np.arange(1_000_000) / 7)
    watts[654_321] = 999.5
    curve = energy.points(np.arange(1_000_000, dtype=np.int64) * MS, watts)
    (line,) = thin(curve, 0, 999_999 * MS, columns=1000)
    assert len(line.t_ns) <= 4 * 1000
    assert line.t_ns[line.power_w == 999.5] == [654_321 * MS]


def test_more_gaps_than_columns_leave_out_only_those_too_narrow_to_see():
    spans = [10, 10, 300] * 200 + [10, 10, 300_000] + [10, 10]
    t_ns = np.cumsum(spans) * MS
    curve = energy.points(t_ns, np.full(len(t_ns), 5.0))
    lines = thin(curve, int(t_ns[0]), int(t_ns[-1]), columns=100)
    assert len(lines) == 2
    assert {float(w) for line in lines for w in line.power_w} == {5.0}


def test_nothing_is_drawn_of_nothing():
    assert thin(energy.points([], []), 0, 10, columns=5) == []
    curve = energy.points([0, MS, 2 * MS], [1.0, 2.0, 3.0])
    assert thin(curve, 5, 5, columns=5) == []
    assert thin(curve, 10_000 * MS, 20_000 * MS, columns=5) == []
