"""The small curve of power within one repeat."""

from dataclasses import replace
from pathlib import Path

from vidmeter.meter.reader import load
from vidmeter.meter.summarize import summarize
from vidmeter.meter.summary import PhaseSummary
from vidmeter.reports import htmlpage
from vidmeter.reports.course import course

GOLDEN = load(Path(__file__).parents[1] / "data" / "run-v2.vidmeter")


def step() -> PhaseSummary:
    return next(p for p in summarize(GOLDEN).phases if p.path[-1] == "step")


def test_the_curve_begins_at_zero_and_ends_at_the_highest_power() -> None:
    found = course(replace(step(), profile=(100.0, 200.0, 50.0)))

    assert found is not None
    assert found.lines == ("0,11 40,11 40,0 80,0 80,16.5 120,16.5",)
    assert found.words == "50 W to 200 W"


def test_a_part_with_too_few_readings_is_a_gap() -> None:
    found = course(replace(step(), profile=(100.0, None, None, 50.0)))

    assert found is not None
    assert found.lines == ("0,0 30,0", "90,11 120,11")


def test_without_a_course_there_is_no_curve() -> None:
    assert course(replace(step(), profile=None)) is None
    assert course(replace(step(), profile=(None, None))) is None


def test_the_page_shows_it_beside_the_phase() -> None:
    summary = summarize(GOLDEN)
    drawn = replace(
        summary,
        phases=tuple(
            replace(p, profile=(300.0, 400.0)) if p.path[-1] == "step" else replace(p, profile=None)
            for p in summary.phases
        ),
    )

    page = htmlpage.render(GOLDEN, drawn)

    assert page.count('class="about course"') == 1
    assert "within one, 300 W to 400 W" in page
