"""`vidmeter show RUN`: the numbers of a run on stdout."""

import argparse
import sys

from vidmeter.cli.footprint_options import add_footprint_options, terms_of
from vidmeter.cli.options import colors, find_run


def prepare(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "run_name",
        metavar="RUN",
        nargs="?",
        default="last",
        help="a run file, the beginning of a run's name, or last (default)",
    )
    parser.add_argument("--json", action="store_true", help="as JSON (docs/summary.md)")
    add_footprint_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the summary."""
    from vidmeter.meter.reader import load
    from vidmeter.meter.summarize import summarize
    from vidmeter.reports import beside, footprint, footprintwords, jsonfile, terminal

    terms = terms_of(arguments)
    path = find_run(arguments.run_name)
    recorded = load(path)
    summary = summarize(recorded)
    found = footprint.of(summary, terms=terms) if terms else None
    if arguments.json:
        sys.stdout.write(jsonfile.render(summary, found))
    else:
        color = colors() and sys.stdout.isatty()
        text = beside.text(recorded, summary, color=color)
        text += footprintwords.text(found) if found else ""
        sys.stdout.write(terminal.for_stream(text, sys.stdout.encoding))
    sys.stdout.flush()
    return 0
