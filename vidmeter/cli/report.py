"""`vidmeter report RUN`: a run as text, HTML, CSV or JSON."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vidmeter.cli.options import UsageError, find_run, say

if TYPE_CHECKING:
    from vidmeter.meter.run import Run
    from vidmeter.meter.summary import Summary

FORMATS = ("text", "html", "csv", "json")
SUFFIXES = {".html": "html", ".htm": "html", ".csv": "csv", ".json": "json", ".txt": "text"}


def prepare(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run_names", metavar="RUN", nargs="*", default=["last"], help="as for show")
    parser.add_argument(
        "-o",
        "--output",
        action="append",
        type=Path,
        metavar="FILE",
        help="the suffix decides: .html, .csv, .json, .txt; may be given several times;"
        " without it the text goes to stdout",
    )
    parser.add_argument("--format", choices=FORMATS, help="where the suffix doesn't say")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite FILE")


def run(arguments: argparse.Namespace) -> int:
    """Render the runs and write what was asked for."""
    from vidmeter.meter.reader import load
    from vidmeter.meter.summarize import summarize
    from vidmeter.reports import write

    runs = [load(find_run(name)) for name in arguments.run_names]
    pairs = [(run, summarize(run)) for run in runs]
    outputs = arguments.output or [None]
    forms = [_form(output, arguments.format) for output in outputs]
    for output, form in zip(outputs, forms, strict=True):
        text = render(form, pairs)
        if output is None:
            sys.stdout.write(text)
        else:
            write(text, output, force=arguments.force)
            say(f"wrote {output}")
    sys.stdout.flush()
    return 0


def render(form: str, pairs: "list[tuple[Run, Summary]]") -> str:
    """Runs in one of `FORMATS`; HTML and JSON show one run."""
    from vidmeter.reports import csvfile, htmlpage, jsonfile, terminal

    if form == "csv":
        return csvfile.render(pairs)
    if form == "text":
        return "\n".join(terminal.render(summary, path=run.path) for run, summary in pairs)
    if len(pairs) > 1:
        raise UsageError(f"report: {form} shows one run; for several use csv or text")
    run, summary = pairs[0]
    return htmlpage.render(run, summary) if form == "html" else jsonfile.render(summary)


def _form(output: Path | None, stated: str | None) -> str:
    if stated:
        return stated
    if output is None:
        return "text"
    form = SUFFIXES.get(output.suffix.lower())
    if form is None:
        raise UsageError(f"report: what is {output}? Use --format {', '.join(FORMATS)}")
    return form
