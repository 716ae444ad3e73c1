"""What is drawn of several arms: lengths from 0, the efficient ones, energy against a setting."""

import pytest

from tests.reports.benches import commands, videos
from vidmeter.reports.arms import arm_of, arms
from vidmeter.reports.bars import bars, frontier, settings


def arm(label, watts, seconds=8, **more):
    return commands(label, [watts, watts + 1, watts + 2], seconds=seconds, **more)


def test_bars_begin_at_0_and_are_as_long_as_the_energies():
    drawn = bars(arms(arm("a", 100) + arm("b", 200)))
    one, other = drawn.bars
    assert other.width / one.width == pytest.approx(201 / 101)
    assert one.low < one.width < one.high
    assert 90 < other.high <= 100
    assert drawn.ticks[0].at == 0
    assert (one.letter, other.letter) == ("A", "B")
    assert "J per run (" in one.text


def test_a_single_run_shows_what_its_readings_leave_open():
    drawn = bars(arms(commands("a", [100]) + commands("b", [200])))
    assert drawn.bars[0].low < drawn.bars[0].width < drawn.bars[0].high


def test_one_arm_alone_and_arms_of_other_figures_share_no_picture():
    assert bars(arms(arm("a", 100))) is None
    assert bars(arms(arm("a", 100) + videos([[100.0]]))) is None
    assert frontier(arms(arm("a", 100) + arm("b", 100))) is None


def test_an_arm_is_efficient_if_no_other_takes_less_energy_and_less_time():
    # 808 J in 8 s, 612 J in 12 s, 1208 J in 8 s, 804 J in 4 s
    four = arms(arm("a", 100) + arm("b", 50, 12) + arm("c", 150) + arm("d", 200, 4))
    drawn = frontier(four)
    efficient = {dot.letter: dot.efficient for dot in drawn.dots}
    assert efficient == {"A": False, "B": True, "C": False, "D": True}
    assert drawn.line.count("L") == 1
    assert drawn.x_title == "seconds per run"


def test_energy_is_drawn_against_the_one_setting_that_differs():
    groups = [
        arm_of(f"steps={n}", videos([[w], [w + 1]], settings={"steps": n, "frames": 81}))
        for n, w in ((20, 100.0), (40, 180.0), (30, 150.0))
    ]
    (plane,) = settings(groups)
    assert plane.title == "Energy against steps"
    assert [dot.letter for dot in sorted(plane.dots, key=lambda dot: dot.x)] == ["A", "C", "B"]
    assert plane.dots[0].y < plane.dots[2].y < plane.dots[1].y
    other = arm_of("other", videos([[100.0]], settings={"steps": 50, "frames": 121}))
    (again,) = settings([*groups, other])
    assert len(again.dots) == 3, "what differs in two settings is not on the line"


def test_no_line_joins_a_setting_on_two_cards():
    def of(label, steps, card):
        settings = {"steps": steps}
        return videos([[100.0], [101.0]], arm=label, settings=settings, card=card)

    one = of("a", 10, "NVIDIA H200") + of("b", 20, "NVIDIA H200")
    assert len(settings(arms(one))) == 1
    assert settings(arms(of("a", 10, "NVIDIA H200") + of("b", 20, "NVIDIA L40S"))) == []
