"""`vidmeter verify RUN`: do the figures of a run hold?"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vidmeter.cli.options import UsageError, find_run
from vidmeter.cli.report import SUFFIXES, form_of
from vidmeter.meter.errors import BadRun

if TYPE_CHECKING:
    from vidmeter.reports import verification

MOST_SHOWN = 10


def prepare(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = "Exits with 0 if everything holds, 1 if a figure doesn't."
    parser.add_argument(
        "run_name", metavar="RUN", nargs="?", default="last", help="a run, as for show"
    )
    parser.add_argument(
        "reports",
        metavar="FILE",
        nargs="*",
        type=Path,
        help="reports of this run (.html, .csv, .json, .txt) to check as well",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Compute every figure anew and say which hold."""
    from vidmeter.meter.reader import load
    from vidmeter.meter.summarize import summarize
    from vidmeter.reports import verification

    path = find_run(arguments.run_name)
    recorded = load(path)
    summary = summarize(recorded)
    found = verification.check(recorded, summary)
    for report in arguments.reports:
        form = form_of(report)
        if form is None or form not in SUFFIXES.values():
            raise UsageError(f"verify: what is {report}? Reports end in {', '.join(SUFFIXES)}")
        try:
            text = report.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadRun(f"can't read {report}: {error}") from None
        found.append(verification.check_report(str(report), form, text, recorded, summary))
    holds = all(f.holds for f in found)
    if arguments.json:
        document = {
            "run": str(path),
            "holds": holds,
            "stated": recorded.stated is not None,
            "checks": [
                {"what": f.what, "figures": f.figures, "wrong": list(f.wrong)} for f in found
            ],
        }
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        sys.stdout.write(_text(path, found, stated=recorded.stated is not None))
    sys.stdout.flush()
    return 0 if holds else 1


def _text(path: Path, found: "list[verification.Finding]", *, stated: bool) -> str:
    lines = [f"{path}: computed anew from the raw samples"]
    for f in found:
        lines.append(f"  {'holds' if f.holds else 'WRONG'}  {f.what} ({f.figures})")
        lines += [f"           {wrong}" for wrong in f.wrong[:MOST_SHOWN]]
        if len(f.wrong) > MOST_SHOWN:
            lines.append(f"           and {len(f.wrong) - MOST_SHOWN} more")
    if not stated:
        lines.append("  nothing was stated of this run yet: no summary of it was printed")
    wrong = sum(len(f.wrong) for f in found)
    lines.append("everything holds" if not wrong else f"{wrong} figures do not hold")
    return "\n".join(lines) + "\n"
