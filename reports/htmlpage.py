"""A run as one HTML file that needs nothing else: no network, no font, no library.

What the page says is decided in `page` and `about`; how it looks, in templates/. The page forbids
itself to load anything (a content security policy), so that it can be opened and passed on safely
even though a command line, which may hold anything, stands in it.
"""

import base64
import hashlib
import re
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from vidmeter.meter.rows import weights
from vidmeter.meter.run import Run
from vidmeter.meter.summary import Summary
from vidmeter.reports import about, beside, footprintwords, page, terminal
from vidmeter.reports import format as people
from vidmeter.reports.chart import HEIGHT, WIDTH, chart
from vidmeter.reports.course import HEIGHT as HEIGHT_OF_COURSE
from vidmeter.reports.course import WIDTH as WIDTH_OF_COURSE
from vidmeter.reports.flame import flame
from vidmeter.reports.footprint import Footprint

_TEMPLATES = Path(__file__).with_name("templates")
_UNIT = re.compile(r"(\d) (?=(?:%|ms|s|min|h|d|[kM]?J|k?W|[mk]?Wh)\b|%)")
_CODE = re.compile(r"`([^`]+)`")
_OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z-]*)")


def render(run: Run, summary: Summary, footprint: Footprint | None = None) -> str:
    """The page for one run; `summary` is that run's, or a window's of it."""
    script = (_TEMPLATES / "report.js").read_text()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    phases = page.phase_rows(summary)
    drawn = chart(run, summary)
    others = beside.beside(run, summary)
    return (
        templates()
        .get_template("report.html")
        .render(
            s=summary,
            chart=drawn,
            gap_legend=page.gap_legend(drawn, summary),
            width=WIDTH,
            height=HEIGHT,
            title=page.title(summary),
            started=page.started(summary),
            marks=page.marks(summary),
            answer=page.answer(summary),
            trust=page.trust(summary),
            net=page.net(summary),
            parts=[page.sentence(words) for words in terminal.other_answers(summary)],
            others=others,
            compares=page.sentence(beside.sentence(others)) if others else "",
            source_of=beside.source,
            cautions=page.cautions(summary),
            weights=weights(summary.workload),
            phases=phases,
            course_width=WIDTH_OF_COURSE,
            course_height=HEIGHT_OF_COURSE,
            flame=flame(summary),
            outside=page.outside(summary),
            mean_w=page.mean_w(summary),
            not_added=page.not_added(summary),
            devices=page.device_rows(summary),
            work=about.work_facts(run, summary),
            files=about.files(run, summary),
            footprint=footprint,
            footprint_metered=footprintwords.metered(footprint) if footprint else [],
            footprint_added=footprintwords.added(footprint) if footprint else [],
            footprint_everyday=footprintwords.everyday(footprint) if footprint else [],
            machine=about.machine_facts(summary),
            method=about.method(run, summary),
            style=Markup(stylesheet()),
            script=Markup(script),
            script_hash=Markup(f"sha256-{digest}"),
        )
    )


def templates() -> jinja2.Environment:
    """The templates, with numbers for people as filters; what they don't know is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("joules", "watts", "watt_hours", "seconds", "percent", "share", "digits"):
        environment.filters[name] = _unbroken(name)
    environment.filters["prose"] = prose
    environment.filters["sentence"] = lambda text: prose(page.sentence(text))
    return environment


def prose(text: str) -> Markup:
    """A text as HTML: what stands in backticks as code, no line ends in an option or a number."""
    marked = _UNIT.sub("\\1\N{NO-BREAK SPACE}", str(escape(text)))
    marked = _CODE.sub(r"<code>\1</code>", marked)
    return Markup(_OPTION.sub(r'<span class="whole">\1</span>', marked))


def stylesheet(*more: str) -> str:
    """The style of all pages, and what these files in templates/ add to it."""
    return "".join((_TEMPLATES / name).read_text() for name in ("report.css", *more))


def _unbroken(name: str) -> "people.Format":
    """A filter that writes a number for people so that no line ends inside it."""
    write: people.Format = getattr(people, name)
    return lambda value: write(value).replace(" ", "\N{NO-BREAK SPACE}")
