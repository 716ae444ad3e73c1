"""The command line: one module for each verb, each a few lines over the library.

A verb's module has `prepare(parser)` and `run(arguments) -> exit code`. Only the
module of the verb that was typed is imported: starting is part of what `vidmeter run` costs.

Exit codes: that of the command under `run`; otherwise 0 if all went well, 1 if what was asked for
isn't there or did not pass, 2 for a mistake in the call or a file that can't be read, 126 and 127
for a command that can't be started. Errors are one line on stderr.
"""

# ruff: noqa: E402
import time

STARTED_NS = time.monotonic_ns()
"""When this process had come this far: for `vidmeter mark`, before anything is imported."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

import vidmeter
from vidmeter.meter.errors import VidmeterError

VERBS = {
    "run": "meter a command",
    "bench": "run reference workloads under the meter",
    "compare": "hold runs against each other, with intervals",
    "doctor": "say what can be measured here and how well",
    "calibrate": "find out how a card's sensors work, and how far off they are",
    "mark": "mark a phase or work from a shell script that is metered",
    "report": "render a run: terminal, HTML, CSV or JSON",
    "list": "the runs on this machine",
    "show": "the numbers of a run",
    "verify": "check that the figures of a run hold",
    "export": "the raw samples of a run as CSV, JSON or Parquet",
    "estimate": "what can be said of closed systems, as ranges",
    "import": "logs and results of other programs as runs",
    "rm": "delete runs",
}

EPILOG = """\
The short way:  vidmeter run -- python your_script.py
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command `vidmeter`; `argv` without the program's name."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="vidmeter",
        description=vidmeter.__doc__.splitlines()[0] if vidmeter.__doc__ else None,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"vidmeter {vidmeter.__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    typed = next((a for a in arguments if not a.startswith("-")), None)
    try:
        for name, text in VERBS.items():
            sub = verbs.add_parser(name, help=text, description=_sentence(text), allow_abbrev=False)
            if name == typed:
                module = importlib.import_module(f"vidmeter.cli.{name}")
                module.prepare(sub)
                sub.set_defaults(run=module.run)
                if getattr(module, "TAKES_COMMANDS", False):
                    arguments, commands = _split(arguments)
                    sub.set_defaults(commands=commands)
        parsed = parser.parse_args(arguments)
        code: int = parsed.run(parsed)
    except VidmeterError as error:
        print(f"vidmeter: {error}", file=sys.stderr)
        return int(getattr(error, "exit_code", 2))
    except BrokenPipeError:
        # Whoever read our output has enough (`vidmeter list | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except KeyboardInterrupt:
        print("vidmeter: interrupted", file=sys.stderr)
        return 130
    return code


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """What stands before the first `--`, and after it."""
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
