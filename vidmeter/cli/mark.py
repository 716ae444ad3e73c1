"""`vidmeter mark begin NAME`, `end`, `work N:UNIT`, `run NAME -- COMMAND`: marks for shell scripts.

They go to the file that VIDMETER_MARK_FILE names. Where nobody meters the script, nothing is marked
and nothing fails, so that it runs unmetered as well.
"""

import argparse
import json
import os
import signal
import sys
from typing import Any

from vidmeter.cli.options import UsageError, say
from vidmeter.meter.clock import monotonic_ns
from vidmeter.meter.marks import MARK_FILE_ENV

ACTIONS = ("begin", "end", "work", "run")


def prepare(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.usage = "vidmeter mark begin NAME | end [NAME] | work N:UNIT | run NAME -- COMMAND …"
    parser.epilog = "See docs/marks.md for marking from other languages."
    parser.add_argument("action", choices=ACTIONS, help="what to mark")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.set_defaults(now_ns=monotonic_ns())


def run(arguments: argparse.Namespace) -> int:
    """Append the mark; for `run`, the command's exit code."""
    rest: list[str] = arguments.rest
    if arguments.action == "run":
        return _around(rest)
    _append(**_line(arguments.action, rest), t_ns=arguments.now_ns)
    return 0


def _line(action: str, rest: list[str]) -> dict[str, Any]:
    if action == "begin" and len(rest) == 1 and rest[0].strip():
        return {"mark": "begin", "name": rest[0]}
    if action == "end" and len(rest) <= 1:
        return {"mark": "end", **({"name": rest[0]} if rest else {})}
    if action == "work" and len(rest) == 1:
        number, _, unit = rest[0].partition(":")
        try:
            count = float(number)
        except ValueError:
            count = 0.0
        if unit.isidentifier() and 0 < count < float("inf"):
            return {"mark": "work", "unit": unit, "count": count}
    wanted = {"begin": "begin NAME", "end": "end [NAME]", "work": "work 512:tokens"}[action]
    raise UsageError(f"mark: `vidmeter mark {wanted}`, not {' '.join([action, *rest])!r}")


def _around(rest: list[str]) -> int:
    """Run a command as a phase: begin, wait for it, end; the code that it ended with."""
    name, *command = rest or [""]
    if command[:1] == ["--"]:
        command = command[1:]
    if not name or not command:
        raise UsageError(
            "mark: `vidmeter mark run NAME -- COMMAND`, such as `mark run encode -- x`"
        )
    import subprocess

    # What the terminal sends goes to the command as well: we wait for what it makes of it.
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    _append(mark="begin", name=name, t_ns=monotonic_ns())
    try:
        child = subprocess.Popen(command, preexec_fn=_default_signals)
    except OSError as error:
        _append(mark="end", name=name, t_ns=monotonic_ns(), error=type(error).__name__)
        say(f"cannot start {command[0]!r}: {error.strerror}")
        return 127 if isinstance(error, FileNotFoundError) else 126
    code = child.wait()
    _append(mark="end", name=name, t_ns=monotonic_ns(), error=f"exit code {code}" if code else None)
    return code if code >= 0 else 128 - code


def _default_signals() -> None:
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


def _append(**line: Any) -> None:
    path = os.environ.get(MARK_FILE_ENV)
    if not path:
        return
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.write(fd, (json.dumps(line) + "\n").encode())
        os.close(fd)
    except OSError as error:
        print(f"vidmeter: nothing is marked: {path}: {error.strerror}", file=sys.stderr)
