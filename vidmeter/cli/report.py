"""`vidmeter report RUN`: a run as text, HTML, CSV, JSON, or a trace or profile for a viewer."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vidmeter.cli.footprint_options import add_footprint_options, terms_of
from vidmeter.cli.options import UsageError, find_run, say

if TYPE_CHECKING:
    from vidmeter.meter.run import Run
    from vidmeter.meter.summary import Summary
    from vidmeter.reports.footprint import Terms
    from vidmeter.reports.torchtrace import TorchTrace

FORMATS = ("text", "html", "csv", "json", "trace", "speedscope")
TAKE_FOOTPRINT = ("text", "html", "json")
SUFFIXES = {".html": "html", ".htm": "html", ".csv": "csv", ".json": "json", ".txt": "text"}
LONG_SUFFIXES = {".trace.json": "trace", ".speedscope.json": "speedscope"}


def prepare(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run_names", metavar="RUN", nargs="*", default=["last"], help="as for show")
    parser.add_argument(
        "-o",
        "--output",
        action="append",
        type=Path,
        metavar="FILE",
        help="the suffix decides: .html, .csv, .json, .txt, .trace.json (Perfetto),"
        " .speedscope.json; may be given several times; without it the text goes to stdout",
    )
    parser.add_argument("--format", choices=FORMATS, help="where the suffix doesn't say")
    parser.add_argument(
        "--merge",
        type=Path,
        metavar="FILE",
        help="a trace of the torch profiler (.json, .json.gz) that is put into the .trace.json",
    )
    parser.add_argument("-f", "--force", action="store_true", help="overwrite FILE")
    add_footprint_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Render the runs and write what was asked for."""
    from vidmeter.meter.reader import load
    from vidmeter.meter.summarize import summarize
    from vidmeter.reports import terminal, torchtrace, write

    outputs = arguments.output or [None]
    forms = [_form(output, arguments.format) for output in outputs]
    terms = terms_of(arguments)
    if terms is not None and (unfit := next((f for f in forms if f not in TAKE_FOOTPRINT), None)):
        raise UsageError(f"report: a footprint goes into text, html and json, not into {unfit}")
    merge = None
    if arguments.merge is not None:
        if "trace" not in forms:
            raise UsageError("report: --merge is for a trace: add -o NAME.trace.json")
        merge = torchtrace.load(arguments.merge)
    runs = [load(find_run(name)) for name in arguments.run_names]
    pairs = [(run, summarize(run)) for run in runs]
    for output, form in zip(outputs, forms, strict=True):
        text = render(form, pairs, merge=merge, terms=terms)
        if output is None:
            plain = terminal.for_stream(text, sys.stdout.encoding) if form == "text" else text
            sys.stdout.write(plain)
        else:
            write(text, output, force=arguments.force)
            say(f"wrote {output}")
    sys.stdout.flush()
    return 0


def render(
    form: str,
    pairs: "list[tuple[Run, Summary]]",
    *,
    merge: "TorchTrace | None" = None,
    terms: "Terms | None" = None,
) -> str:
    """Runs in one of `FORMATS`; only CSV and text show several.

    `merge` goes into a trace, the footprint by `terms` into text, HTML and JSON.
    """
    from vidmeter.reports import csvfile, footprint, htmlpage, jsonfile, speedscope, trace

    if form == "csv":
        return csvfile.render(pairs)
    if form == "text":
        return "\n".join(_text(run, summary, terms) for run, summary in pairs)
    if len(pairs) > 1:
        raise UsageError(f"report: {form} shows one run; for several use csv or text")
    run, summary = pairs[0]
    found = footprint.of(summary, terms=terms) if terms else None
    if form == "html":
        return htmlpage.render(run, summary, found)
    if form == "trace":
        return trace.render(run, summary, merge=merge)
    return speedscope.render(summary) if form == "speedscope" else jsonfile.render(summary, found)


def form_of(output: Path) -> str | None:
    """What a report's name says that it is; None where it says nothing."""
    long = "".join(output.suffixes[-2:]).lower()
    return LONG_SUFFIXES.get(long) or SUFFIXES.get(output.suffix.lower())


def _text(run: "Run", summary: "Summary", terms: "Terms | None") -> str:
    from vidmeter.reports import footprint, footprintwords, terminal

    text = terminal.render(summary, path=run.path)
    return text + (footprintwords.text(footprint.of(summary, terms=terms)) if terms else "")


def _form(output: Path | None, stated: str | None) -> str:
    if stated:
        return stated
    if output is None:
        return "text"
    form = form_of(output)
    if form is None:
        raise UsageError(f"report: what is {output}? Use --format {', '.join(FORMATS)}")
    return form
