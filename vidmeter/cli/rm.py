"""`vidmeter rm RUN…`: delete runs."""

import argparse

from vidmeter.cli.options import find_run
from vidmeter.meter.errors import BadRun


def prepare(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run_names", metavar="RUN", nargs="+", help="as for show")


def run(arguments: argparse.Namespace) -> int:
    """Delete each; nothing is deleted if one of them can't be found or still runs."""
    from vidmeter.meter.reader import read_facts
    from vidmeter.meter.runfile import recorder_lives, remove

    paths = [find_run(name) for name in arguments.run_names]
    for path in paths:
        if recorder_lives(read_facts(path)):
            raise BadRun(f"{path} is still being written: stop its command first")
    for path in paths:
        remove(path)
        print(f"deleted {path}")
    return 0
