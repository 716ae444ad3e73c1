"""The flame graph: how wide and where the phases are drawn."""

from dataclasses import replace
from itertools import combinations

import pytest

from tests.reports.conftest import phase
from tests.reports.test_htmlpage import Page
from vidmeter.meter.summarize import summarize
from vidmeter.reports import htmlpage
from vidmeter.reports.chart import tones_of
from vidmeter.reports.flame import flame


def boxes(run):
    return {" › ".join(box.path): box for box in flame(summarize(run)).boxes}


def test_widths_are_shares_of_the_energy_and_children_lie_below_their_parent(exact):
    found = boxes(exact)

    assert {name: (b.left, b.width, b.depth) for name, b in found.items()} == {
        "load": (0, 25, 1),
        "generate": (25, 75, 1),
        "generate › denoise": (25, 50, 2),
    }
    assert flame(summarize(exact)).rows == 3


def test_a_box_tells_path_joules_share_time_and_watts(exact):
    summary = summarize(exact)

    assert boxes(exact)["generate › denoise"].about == (
        "generate › denoise: 1.024 kJ, 50.0 %, 8 s, 128 W"
    )
    assert flame(summary).whole == "all of it: 2.048 kJ in 16.0 s"


def test_repetitions_are_one_box_with_their_count_and_the_energy_of_each(full):
    found = boxes(full)
    (step,) = [b for name, b in found.items() if name.endswith("step")]
    joules = next(p for p in summarize(full).phases if p.path == step.path).total.energy_j

    assert step.about.startswith("generate › denoise › step ×8: ")
    assert f"{joules / 8:.4g} J each" in step.about


def test_marks_of_a_phase_are_told(full):
    found = boxes(full)

    assert found["generate"].about.endswith(", left open")
    assert found["generate › decode"].about.endswith(", KeyError")


def test_no_two_boxes_of_a_row_overlap_and_each_lies_within_its_parent(full):
    found = flame(summarize(full)).boxes
    by_path = {box.path: box for box in found}

    for a, b in combinations(found, 2):
        if a.depth == b.depth:
            assert a.left + a.width <= b.left + 0.002 or b.left + b.width <= a.left + 0.002
    for box in found:
        parent = by_path.get(box.path[:-1])
        if parent is not None:
            assert parent.left - 0.002 <= box.left
            assert box.left + box.width <= parent.left + parent.width + 0.002


def test_tones_are_those_of_the_power_chart(full):
    tones = tones_of([p.path for p in summarize(full).phases])

    assert all(box.tone == tones[box.path] for box in boxes(full).values())


def test_own_energies_that_are_stated_make_the_widths(exact):
    summary = summarize(exact)
    own = {("load",): 512.0, ("generate",): 256.0, ("generate", "denoise"): 1024.0}
    stated = replace(
        summary,
        phases=tuple(replace(p, self_j=own[p.path]) for p in summary.phases),
        unattributed_j=256.0,
    )

    found = {box.path: box.width for box in flame(stated).boxes}

    assert found == {("load",): 25, ("generate",): 62.5, ("generate", "denoise"): 50}


def test_phases_at_one_time_stay_within_the_whole(exact):
    beside = [phase(name, 0, 16) for name in "abc"]
    apart = replace(exact, phases=(*beside, phase("x", 0, 8, parent="a")))

    found = flame(summarize(apart))

    assert sum(b.width for b in found.boxes if b.depth == 1) == pytest.approx(100, abs=0.01)


def test_what_has_no_width_is_counted_and_not_drawn(exact):
    short = phase("blink", 13, 13.5, parent="generate")

    found = flame(summarize(replace(exact, phases=(*exact.phases, short))))

    assert found.left_out == 1
    assert all(box.name != "blink" for box in found.boxes)


def test_there_is_none_where_no_phase_lies_in_another_or_no_energy_is_known(exact, bare):
    flat = replace(exact, phases=exact.phases[:2])

    assert flame(summarize(flat)) is None
    assert flame(summarize(bare)) is None
    assert 'class="icicle"' not in htmlpage.render(flat, summarize(flat))


def test_every_box_is_a_button_that_says_what_it_is(full):
    summary = summarize(full)
    page = Page(htmlpage.render(full, summary))

    buttons = [(a, "".join(t)) for tag, a, t in page.elements if tag == "button" and "title" in a]

    assert len(buttons) == 1 + len(flame(summary).boxes)
    for attributes, name in buttons:
        assert attributes["type"] == "button"
        assert attributes["title"]
        assert name.strip()


def test_thousands_of_phases_leave_the_page_small(exact):
    many = tuple(
        phase("step", 4 + i / 1000, 4 + (i + 1) / 1000, id=f"s{i}", parent="denoise")
        for i in range(8000)
    )
    few = htmlpage.render(exact, summarize(exact))
    run = replace(exact, phases=(*exact.phases, *many))

    drawn = htmlpage.render(run, summarize(run))

    assert len(drawn) - len(few) < 40_000
    assert drawn.count("<button") == few.count("<button") + 1  # all steps are one box
