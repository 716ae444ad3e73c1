"""`vidmeter estimate NAME…`: what can be said of closed systems, and what it rests on."""

import argparse
import sys

from vidmeter.cli.options import UsageError, positive
from vidmeter.reports import terminal

SECONDS = 8.0
RESOLUTION = "720p"
EPILOG = """\
examples
  vidmeter estimate sora-2-pro --seconds 8 --resolution 720p
  vidmeter estimate kling veo-3.1 grok     several, drawn on one scale
  vidmeter estimate gpt-3-training         what is known of a training
  vidmeter estimate --list                 every name
"""


def prepare(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("names", metavar="NAME", nargs="*", help="a system or a fact, see --list")
    parser.add_argument(
        "--seconds", type=positive, metavar="S", help=f"length of the video (default {SECONDS:g})"
    )
    parser.add_argument(
        "--resolution",
        metavar="SIZE",
        help=f"of the video: 480p, 720p or 1080p (default {RESOLUTION})",
    )
    parser.add_argument("--list", action="store_true", help="every name there is")
    parser.add_argument("--json", action="store_true", help="as JSON (docs/estimate.md)")


def run(arguments: argparse.Namespace) -> int:
    """Print what can be said."""
    from vidmeter.reports import estimatewords
    from vidmeter.reports.closed import estimate
    from vidmeter.reports.systems import Fact, find

    if arguments.list:
        sys.stdout.write(estimatewords.listing())
        return 0
    if not arguments.names:
        raise UsageError("estimate: name a system, as in: vidmeter estimate sora-2-pro (or --list)")
    meant = [find(name) for name in arguments.names]
    told = arguments.seconds is not None or arguments.resolution is not None
    if told and all(isinstance(one, Fact) for one in meant):
        raise UsageError("estimate: --seconds and --resolution are of videos, not of this")
    seconds = SECONDS if arguments.seconds is None else arguments.seconds
    found = [
        one
        if isinstance(one, Fact)
        else estimate(one, seconds=seconds, resolution=arguments.resolution or RESOLUTION)
        for one in meant
    ]
    if arguments.json:
        sys.stdout.write(estimatewords.document(found))
    else:
        text = estimatewords.text(found)
        sys.stdout.write(terminal.for_stream(text, sys.stdout.encoding))
    sys.stdout.flush()
    return 0
