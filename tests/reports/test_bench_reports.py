import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tests.reports.benches import commands, repeat, videos
from vidmeter.meter.device import Provenance
from vidmeter.meter.summary import Caution
from vidmeter.reports import benchcsv, benchjson, benchpage, benchtext
from vidmeter.reports.arms import arm_of, arms
from vidmeter.reports.comparison import compare
from vidmeter.reports.strip import MOST, some

A = [100, 101, 102, 103, 104, 105]
B = [110, 111.3, 112.1, 113.2, 114.5, 115.4]
HOSTILE = "<script>alert('x')</script> & \"q\""


def two(b=B, **more):
    first, second = arms(commands("python a.py", A, **more) + commands("python b.py", b, **more))
    return [first, second], compare([first, second])


def table(found):
    return list(csv.DictReader(io.StringIO(benchcsv.render(found))))


def test_a_difference_is_the_first_sentence_in_the_terminal():
    found, comparison = two()
    first = benchtext.render(found, comparison).splitlines()[0]
    assert re.fullmatch(r"B takes 10\.\d % more than A \(\d+ to \d+ %\), 6 rounds", first) or (
        re.fullmatch(r"B takes \d+\.\d % more than A \([\d.]+ to [\d.]+ %\), 6 rounds", first)
    )


def test_less_is_said_with_its_interval_in_order():
    first, second = arms(commands("a", B) + commands("b", A))
    sentence = benchtext.render([first, second], compare([first, second])).splitlines()[0]
    low, high = re.search(r"less than A \(([\d.]+) to ([\d.]+) %\)", sentence).groups()
    assert float(low) < float(high)


def test_no_difference_is_said_with_what_would_have_been_seen():
    found, comparison = two([100.5, 100.6, 102.3, 102.8, 104.2, 104.9])
    text = benchtext.render(found, comparison)
    assert text.startswith("A and B are not distinguishable: a difference of ")
    assert "or more would have been seen" in text.splitlines()[0]


def test_too_few_rounds_claim_nothing():
    first, second = arms(commands("a", A[:3]) + commands("b", B[:3]))
    text = benchtext.render([first, second], compare([first, second]))
    assert "3 rounds are too few to claim a difference" in text.splitlines()[0]


@pytest.mark.parametrize("mark", ["SIMULATED", "MODELLED"])
def test_what_was_not_measured_is_marked_on_every_line_with_the_figure(mark):
    found, comparison = two(provenance=Provenance[mark])
    text = benchtext.render(found, comparison)
    figures = [line for line in text.splitlines() if "J per run  ±" in line or "B takes" in line]
    assert len(figures) == 3
    assert all(mark in line for line in figures)
    assert mark in benchpage.render(found, comparison)
    assert {row["provenance"] for row in table(found)} == {mark.lower()}


def test_random_weights_stand_beside_the_figure_everywhere():
    found = arms(videos([[600.0], [610.0]]))
    (line,) = [x for x in benchtext.render(found).splitlines() if "J per second of video  ±" in x]
    assert line.endswith("weights: random")
    assert "weights: random" in benchpage.render(found)
    assert {row["weights"] for row in table(found)} == {"random"}
    assert json.loads(benchjson.render(found))["arms"][0]["weights"] == "random"


def test_random_and_trained_weights_are_never_in_one_table():
    trained = {"arm": "trained", "facts": {"weights": "hub", "steps_run": 50}}
    found = arms(videos([[600.0], [610.0]]) + videos([[590.0], [600.0]], **trained))
    heads = [
        x for x in benchtext.render(found).splitlines() if x.strip().startswith("J per second")
    ]
    assert len(heads) == 2
    assert benchpage.render(found).count('<figure class="strips">') == 2
    first, second = found
    notes = benchtext.render(found, compare([first, second]))
    assert "The weights differ (A: random, B: hub)" in notes


def test_the_text_fits_into_the_terminal():
    long = "wan2.1-t2v-1.3b " + " ".join(f"setting{i}=value{i}" for i in range(12))
    found = arms(videos([[600.0], [610.0]], arm=long) + videos([[600.0], [620.0]]))
    for line in benchtext.render(found, compare(found)).splitlines():
        assert len(line) <= 100, line


def test_the_table_has_a_row_for_each_repeat_with_its_own_numbers():
    found = arms(videos([[600.0, 610.0], [620.0]], operations={"total": 4e15}))
    rows = table(found)
    assert [(r["block"], r["repeat"], r["seed"]) for r in rows] == [
        ("1", "1", "0"), ("1", "2", "1"), ("2", "3", "2"),
    ]  # fmt: skip
    for row, watts in zip(rows, (600, 610, 620), strict=True):
        assert float(row["energy_j"]) == pytest.approx(watts * 8)
        assert float(row["j_per_video_second"]) == pytest.approx(watts * 8 / 5.0625)
        assert float(row["wh_per_clip"]) == pytest.approx(watts * 8 / 3600)
        assert float(row["pj_per_flop"]) == pytest.approx(watts * 8 / 4e15 * 1e12)
        assert row["j_per_output_token"] == ""
        assert row["steady"] == "true"
        assert row["cautions"].split(";")


def test_json_holds_the_comparison_and_null_where_there_is_none():
    found, comparison = two()
    told = json.loads(benchjson.render(found, comparison))
    assert told["schema"] == 1
    (told_of,) = told["comparisons"]
    assert told_of["ratio"] == pytest.approx(comparison[0].found.ratio)
    assert told_of["verdict"] == "higher"
    assert told_of["interleaved"] is True
    assert [arm["mean"] for arm in told["arms"]] == [
        pytest.approx(arm.estimate.mean) for arm in found
    ]
    assert json.loads(benchjson.render(found[:1]))["comparisons"] == []


def test_published_figures_stand_in_all_three_with_source_and_what_differs():
    found = arms(videos([[600.0], [610.0]]))
    for text in (benchtext.render(found), benchpage.render(found), benchjson.render(found)):
        plain = " ".join(text.split())
        assert "ML.ENERGY Benchmark v3" in plain
        assert "similar, not the same" in plain or '"differs": [ "' in plain


class Page(HTMLParser):
    """What a page loads, and where it leads."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.links, self.points = [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag in ("script", "img", "link", "iframe") or "src" in found:
            self.loads.append(tag)
        if tag == "a":
            self.links.append(found["href"])
        self.points += tag == "circle"


def test_the_page_needs_nothing_and_links_to_the_pages_beside_it():
    found, comparison = two()
    links = {"python a.py": "python-a.py.html", "python b.py": "python-b.py.html"}
    page = Page(benchpage.render(found, comparison, links=links))
    assert page.loads == []
    assert page.links == list(links.values())
    assert page.points == 12


def test_a_hostile_label_is_text():
    found = arms([repeat(100, arm=HOSTILE, block=i, number=i) for i in (1, 2, 3)])
    text = benchpage.render(found)
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_a_single_repeat_has_a_page_a_text_and_no_invented_interval():
    found = arms([repeat(100)])
    assert "±" not in benchtext.render(found)
    assert "95 % interval:" not in benchpage.render(found)


def test_of_thousands_of_runs_a_page_shows_some_and_says_so():
    (many,) = arms(commands("a", [100 + (i * 7919 % 997) / 100 for i in range(999)] + [160.0]))
    html = benchpage.render([many])

    shown = some(many)
    assert 100 <= len(shown) <= MOST
    values = [r.energy_j for r in many.repeats]
    assert {min(values), max(values), many.middle.energy_j} <= {r.energy_j for r in shown}
    assert [r.number for r in shown] == sorted(r.number for r in shown)
    assert f"1000 repeats, {len(shown)} drawn" in html
    assert f"and {1000 - len(shown)} more, all of them in the CSV" in html
    assert len(html) < 150_000
    (few,) = arms(commands("a", [100.0] * MOST))
    assert "more, all of them" not in benchpage.render([few])


def test_what_makes_a_result_doubtful_stands_before_it_and_what_all_share_after():
    """In the terminal and on the page; runs on both sides, failed and mixed ones are grave."""
    shared = Caution("throttled", "its power limit held the clocks down")
    some = Caution("frame_rate", "the file plays at 15 frames per second")

    def with_cautions(pairs, *cautions):
        return [(run, replace(s, cautions=cautions)) for run, s in pairs]

    a = with_cautions(commands("a", [100, 101, 102, 101, 100]), shared)
    b = with_cautions(commands("b", [150, 151, 152, 151, 150]), shared, some)
    found = arms(a + b)
    for text in (benchtext.render(found, compare(found)), benchpage.render(found, compare(found))):
        places = [text.lower().index(w.lower()) for w in (some.text, "B takes", shared.text)]
        assert places == sorted(places)

    same = [*arms(a), arm_of("again", a)]
    text = benchtext.render(same, compare(same))
    twice = "5 runs are in more than one group, and so held against themselves"
    assert text.startswith(f"! {twice}\n")
    (told,) = json.loads(benchjson.render(same, compare(same)))["cautions"]
    assert told == {"kind": "in_several", "text": twice, "remedy": "name each run once"}


def test_a_page_of_runs_is_a_comparison_and_knows_nothing_of_warm_ups():
    pairs = [(replace(run, workload=None), summary) for run, summary in commands("x", [100, 110])]
    two = [arm_of("a", pairs[:1]), arm_of("b", pairs[1:])]
    page = benchpage.render(two, compare(two))
    assert "<span>comparison</span>" in page and "warm-ups" not in page
    bench = arms(videos([[100.0], [101.0]]))
    page = benchpage.render(bench)
    assert "<span>benchmark</span>" in page and "warm-ups" in page


def test_no_interval_goes_below_nothing():
    wide = arms(commands("a", [10, 100]))
    (arm,) = wide
    assert arm.estimate.low < 0
    text = benchtext.render(wide)
    assert "  0 to " in text and "-" not in text.split("in true joules")[0].splitlines()[-1]
    assert "95\N{NO-BREAK SPACE}% interval: 0 to " in benchpage.render(wide)


def test_what_was_not_measured_is_never_drawn_on_an_axis_with_what_was():
    measured = commands("a", [100, 101]) + commands("b", [110, 111])
    played = commands("c", [50, 51], provenance=Provenance.SIMULATED)
    played += commands("d", [60, 61], provenance=Provenance.SIMULATED)
    found = arms(measured + played)
    page = benchpage.render(found, compare(found))
    figures = re.findall(r'<figure class="lengths">.*?</figure>', page, re.S)
    names = [re.findall(r"<b>(.)</b> (\w)", figure) for figure in figures]
    assert names == [[("A", "a"), ("B", "b")], [("C", "c"), ("D", "d")]], "letters are the page's"
    assert "J per run, simulated" not in figures[0] and "J per run, simulated" in figures[1]
    strips = re.findall(r'<figure class="strips">.*?</figure>', page, re.S)
    assert len(strips) == 2 and "J per run, simulated" in strips[1]
    assert benchtext.render(found).count("mean  a repeat") == 2


def test_no_bar_says_that_an_interval_goes_below_nothing():
    found = arms(commands("a", [10, 100]) + commands("b", [10, 101]))
    page = benchpage.render(found)
    assert "(0 to " in page and not re.search(r"\([-−]\d", page.partition("</style>")[2])


def test_what_differs_is_never_folded_away_on_a_page():
    groups = [("a", 50), ("b", 10), ("c", 20), ("d", 30), ("e", 40)]
    pairs = [
        pair
        for label, steps in groups
        for pair in videos([[100.0], [101.0]], arm=label, settings={"steps": steps})
    ]
    found = arms(pairs)
    page = benchpage.render(found, compare(found))
    open_to_all = re.sub(r"<details>.*?</details>", "", page, flags=re.S)
    for _, steps in groups[1:]:
        assert f"They differ in steps: 50 and {steps}." in open_to_all
    assert "An arm was within" in page and "An arm was within" not in open_to_all
