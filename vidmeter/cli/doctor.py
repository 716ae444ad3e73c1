"""`vidmeter doctor`: what can be measured here, how well, and what to do about it."""

import argparse
import json
import sys

from vidmeter.cli.options import colors, positive


def prepare(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = "Exits with 0 if the energy of a GPU can be measured, with 1 if it can't."
    parser.add_argument("--gpus", metavar="WHICH", help="which GPUs, as for run")
    parser.add_argument(
        "--sensor", action="append", default=[], metavar="NAME", help="which sensors, as for run"
    )
    parser.add_argument(
        "--seconds", type=positive, default=5.0, metavar="S", help="how long to look (default 5)"
    )
    parser.add_argument("--json", action="store_true", help="as JSON (docs/doctor.md)")


def run(arguments: argparse.Namespace) -> int:
    """Look and tell."""
    from vidmeter.meter.checkup import check
    from vidmeter.reports import checkup

    found = check(gpus=arguments.gpus, sensors=tuple(arguments.sensor), seconds=arguments.seconds)
    if arguments.json:
        sys.stdout.write(json.dumps(checkup.document(found), indent=2, allow_nan=False) + "\n")
    else:
        sys.stdout.write(checkup.render(found, color=colors() and sys.stdout.isatty()))
    sys.stdout.flush()
    return 0 if found.gpu_measured else 1
