import base64
import hashlib
import re
from array import array
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from vidmeter.meter.device import Provenance
from vidmeter.meter.run import Trace
from vidmeter.meter.summarize import summarize
from vidmeter.reports import htmlpage, terminal
from vidmeter.reports.chart import HEIGHT, WIDTH, chart
from vidmeter.reports.htmlpage import prose

VOID = {"meta", "link", "img", "br", "hr", "input", "base", "source", "wbr"}


class Page(HTMLParser):
    """Elements as (tag, attributes, text), and whatever is not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.text = text
        self.elements = []
        self.faults = []
        self._open = []
        self.feed(text)
        self.close()
        self.faults += [tag for tag, _ in self._open]

    def handle_starttag(self, tag, attrs):
        element = (tag, dict(attrs), [])
        self.elements.append(element)
        if tag not in VOID:
            self._open.append((tag, element))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), []))

    def handle_endtag(self, tag):
        if not self._open or self._open[-1][0] != tag:
            self.faults.append(f"/{tag}")
        else:
            self._open.pop()

    def handle_data(self, data):
        for _, element in self._open:
            element[2].append(data)

    def words(self, tag, **wanted):
        """The text of each such element, its white space made simple."""
        return [
            " ".join("".join(text).split())
            for name, attrs, text in self.elements
            if name == tag and wanted.items() <= attrs.items()
        ]

    def attributes(self, tag):
        return [attrs for name, attrs, _ in self.elements if name == tag]


def page_of(run):
    return Page(htmlpage.render(run, summarize(run)))


@pytest.fixture
def runs(exact, full, bare):
    return exact, full, bare


def test_every_element_is_closed_in_order(runs):
    for run in runs:
        assert page_of(run).faults == []


def test_nothing_is_loaded_from_anywhere(runs):
    for run in runs:
        page = page_of(run)
        tags = {tag for tag, _, _ in page.elements}
        assert not tags & {"link", "img", "iframe", "object", "embed", "base", "image", "use"}
        for _, attrs, _ in page.elements:
            assert not attrs.keys() & {"src", "srcset", "href", "xlink:href", "action", "poster"}
        assert set(re.findall(r"url\([^)]*\)", page.text)) <= {
            f"url(#under{i})" for i in range(1, 9)
        }
        assert "@import" not in page.text
        assert not re.search(r"https?:", page.text)


def test_the_page_forbids_itself_to_load_and_runs_only_its_own_script(exact):
    page = page_of(exact)
    (policy,) = [a["content"] for a in page.attributes("meta") if "http-equiv" in a]
    (script,) = [text[0] for tag, _, text in page.elements if tag == "script"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none';")
    assert f"script-src 'sha256-{digest}'" in policy


def test_a_command_with_markup_in_it_is_only_text(full):
    page = page_of(full)
    assert len(page.attributes("script")) == 1
    assert "<script>alert" not in page.text
    (heading,) = page.words("h1")
    assert "<script>alert(" in heading
    assert page.words("th", scope="row").count("/tmp/<b>.mp4") == 1


def test_headings_go_down_one_step_at_a_time(runs):
    for run in runs:
        levels = [int(tag[1]) for tag, _, _ in page_of(run).elements if re.fullmatch("h[1-6]", tag)]
        assert levels.count(1) == 1
        assert levels[0] == 1
        assert all(b <= a + 1 for a, b in pairwise(levels))


def test_every_device_and_phase_has_its_row(full):
    rows = page_of(full).words("th", scope="row")
    for device in full.devices:
        assert any(device.name in row for row in rows)
    for name in ("load", "generate left open", "denoise", "step ×8", "decode KeyError"):
        assert name in rows


def test_every_table_cell_has_a_header(full):
    for attrs in page_of(full).attributes("th"):
        assert attrs.get("scope") in ("col", "row")


def test_every_picture_has_a_title_and_a_description(full):
    page = page_of(full)
    assert len(page.attributes("svg")) == 3
    ids = {attrs.get("id") for _, attrs, _ in page.elements}
    for attrs in page.attributes("svg"):
        assert attrs["role"] == "img"
        assert set(attrs["aria-labelledby"].split()) <= ids
    assert "not seen" in page.words("desc")[1]


def test_the_answer_stands_first_with_its_interval(exact):
    page = page_of(exact)
    first = page.words("p", **{"class": "first"})
    assert first == ["512 J per second of video 95 % interval: 511.6 to 512.4"]
    more = page.words("p", **{"class": "more"})
    assert [m.split(" ", 1)[0] for m in more] == ["0.5689", "32", "64", "8", "2048"]
    assert page.text.index("J per second of video") < page.text.index("<svg")


def test_simulated_numbers_are_marked_above_all_others(exact):
    page = page_of(exact)
    assert page.words("p", **{"class": "mark simulated"})[0].startswith("SIMULATED")
    assert page.text.index('mark simulated"') < page.text.index('class="answer"')


def test_modelled_numbers_are_marked_where_they_are_the_answer(full):
    cpu = full.devices[2]
    alone = {s: t for s, t in full.traces.items() if s.device == cpu.uuid}
    page = page_of(replace(full, devices=(cpu,), traces=alone))
    assert page.words("p", **{"class": "mark modelled"})[0].startswith("MODELLED")


def test_measured_numbers_bear_no_mark_and_modelled_devices_beside_them_do(full):
    page = page_of(full)
    assert not [a for a in page.attributes("p") if "mark" in a.get("class", "").split()]
    assert "MODELLED" in page.words("span", **{"class": "badge"})
    assert "weights: random" in page.words("span", **{"class": "badge"})


def test_every_caution_is_told_with_its_remedy(full):
    summary = summarize(full)
    told = " ".join(page_of(full).words("li"))
    assert summary.cautions
    for caution in summary.cautions:
        assert caution.text[1:] in told
        assert caution.remedy is None or caution.remedy.replace("`", "")[1:] in told


def test_a_gap_parts_the_line(full):
    rows = chart(full, summarize(full)).rows
    assert [row.line.count("M") for row in rows] == [1, 2, 1]
    (gap,) = rows[1].gaps
    # The readings of 13 s and 13.625 s are the last and the first that are there.
    assert gap.left == pytest.approx(100 * 13 / 16, abs=0.001)
    assert gap.width == pytest.approx(100 * 0.625 / 16, abs=0.001)


def test_the_hatching_is_explained_where_there_is_some(exact, full):
    assert page_of(exact).words("figcaption") == []
    assert page_of(full).words("figcaption") == ["hatched: power was not read there"]


def test_the_peak_is_drawn_at_its_height_and_time(full):
    row = chart(full, summarize(full)).rows[0]
    x, y = walk(row.line)
    top = min(y)
    assert (HEIGHT - top) / HEIGHT * row.top_w == pytest.approx(700, rel=1e-3)
    assert x[y.index(top)] / WIDTH * 16 == pytest.approx(6.125, abs=0.01)
    assert row.top_w >= 700


def test_gpus_share_one_scale_and_a_cpu_has_its_own(full):
    a, b, c = (row.top_w for row in chart(full, summarize(full)).rows)
    assert a == b != c


def test_phases_lie_in_lanes_by_depth_and_leave_the_colour_to_those_inside(full):
    lanes = chart(full, summarize(full)).lanes
    assert [[box.name for box in lane] for lane in lanes] == [
        ["load", "generate"],
        ["denoise", "decode"],
        ["step"] * 8,
    ]
    assert [box.tone for box in lanes[0]] == ["t0", "t"]
    assert {box.tone for box in lanes[2]} == {lanes[1][0].tone}
    assert (lanes[0][0].left, lanes[0][0].width) == (0, 25)
    assert (lanes[0][1].left, lanes[0][1].width) == (25, 75)


def test_a_page_stays_small_however_long_the_run(exact):
    (series,) = exact.traces
    count = 500_000
    readings = Trace(
        array("q", [exact.start_ns + i * 32_000 for i in range(count)]),
        array("d", [300.0 + i * 7919 % 401 for i in range(count)]),
    )
    steps = tuple(
        replace(exact.phases[0], id=f"p{i}", start_ns=exact.start_ns + i * 10**6,
                end_ns=exact.start_ns + i * 10**6 + 900_000, parent="generate")
        for i in range(10_000)
    )  # fmt: skip
    run = replace(exact, traces={series: readings}, phases=exact.phases + steps)
    assert len(page_of(run).text.encode()) < 300_000


def test_a_run_of_which_nothing_is_known_has_a_page(bare):
    page = page_of(bare)
    assert "energy unknown" in page.text
    assert "Nothing could be measured." in page.words("p")


def test_energy_that_is_incomplete_is_never_shown_as_a_total(full):
    half = {
        s: Trace(t.t_ns[:60], t.value[:60]) if s.device == "GPU-1" else t
        for s, t in full.traces.items()
    }
    page = page_of(replace(full, traces=half))
    (first,) = page.words("p", **{"class": "first"})
    assert first.endswith("were seen; the rest is unknown")
    assert summarize(replace(full, traces=half)).total.provenance is Provenance.MEASURED


def walk(path):
    """The points of an SVG path of moves and relative lines."""
    x, y = [], []
    for piece in path.split("M")[1:]:
        numbers = [int(n) for n in re.findall(r"-?\d+", piece)]
        x.append(numbers[0])
        y.append(numbers[1])
        for dx, dy in zip(numbers[2::2], numbers[3::2], strict=True):
            x.append(x[-1] + dx)
            y.append(y[-1] + dy)
    return x, y


def test_the_curve_can_be_looked_at_closely_by_mouse_and_keyboard(full):
    page = page_of(full)
    buttons = [(a, "".join(t)) for tag, a, t in page.elements if tag == "button"]
    zoom = {a["data-zoom"]: a.get("aria-label", name) for a, name in buttons if "data-zoom" in a}

    assert zoom == {
        "back": "earlier", "forth": "later", "out": "zoom out", "in": "zoom in", "all": "all"
    }  # fmt: skip
    # Without the script there is nothing to press.
    assert '<p class="zoom" hidden>' in page.text


def test_commands_stand_as_code_and_no_line_ends_within_an_option_or_a_number():
    text = "state <it> with --cpu-watts, as `nvidia-smi -pl 700` does; ±5 % of 12.5 s"
    assert prose(text) == (
        'state &lt;it&gt; with <span class="whole">--cpu-watts</span>, as'
        " <code>nvidia-smi -pl 700</code> does; ±5\N{NO-BREAK SPACE}% of 12.5\N{NO-BREAK SPACE}s"
    )


def test_a_time_at_the_right_edge_is_written_to_its_left(exact):
    """Else half of it would reach over a phone's edge."""
    html = htmlpage.render(exact, summarize(exact))
    axis = re.search(r'<div class="time".*?</div>', html, re.S)[0]
    found = re.findall(r'<span( class="end")? style="left:([\d.]+)%">', axis)
    assert [bool(end) for end, at in found] == [float(at) > 96 for _, at in found]
    assert found[-1][0], "this run has a tick at its end"


def test_the_figure_of_the_phase_that_made_the_video_stands_with_the_answer(exact):
    summary = summarize(exact)
    (words,) = terminal.other_answers(summary)
    html = htmlpage.render(exact, summary)
    answer = html.partition('id="answer"')[2].partition("</section>")[0]
    assert words.split(" (")[0] in answer.replace("\N{NO-BREAK SPACE}", " ")
