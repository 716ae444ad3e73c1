"""`vidmeter export RUN`: the raw samples, for other tools."""

import argparse
from pathlib import Path

from vidmeter.cli.options import find_run


def prepare(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run_name", metavar="RUN", help="as for show")
    parser.add_argument(
        "-o",
        "--output",
        default="-",
        metavar="FILE",
        help="the suffix decides: .csv, .json, .parquet; - is stdout (default)",
    )
    parser.add_argument(
        "--format", choices=("csv", "json", "parquet"), help="where the suffix doesn't say"
    )
    parser.add_argument("-f", "--force", action="store_true", help="overwrite FILE")


def run(arguments: argparse.Namespace) -> int:
    """Write the samples."""
    from vidmeter.meter.reader import load
    from vidmeter.reports.exports import export

    target = None if arguments.output == "-" else Path(arguments.output)
    export(load(find_run(arguments.run_name)), target, form=arguments.format, force=arguments.force)
    return 0
