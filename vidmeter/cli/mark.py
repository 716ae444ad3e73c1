"""`vidmeter mark begin NAME`, `end`, `work N:UNIT`, `run NAME -- COMMAND`: marks for shell scripts.

They go to the file that VIDMETER_MARK_FILE names. Where nobody meters the script, nothing is marked
and nothing fails, so that it runs unmetered as well. A script may mark often, so that little is
imported here.
"""

import argparse
import json
import os
import signal
import sys
from time import monotonic_ns

from vidmeter.cli import STARTED_NS
from vidmeter.meter.errors import VidmeterError
from vidmeter.meter.marks import MARK_FILE_ENV

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

USAGE = "vidmeter mark begin NAME | end [NAME] | work N:UNIT | run NAME -- COMMAND …"
WANTED = {"begin": "begin NAME", "end": "end [NAME]", "work": "work 512:tokens"}


def prepare(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.usage = USAGE
    parser.epilog = "See docs/marks.md for marking from other languages."
    parser.add_argument("words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Append the mark; for `run`, the command's exit code."""
    action, *rest = arguments.words or [""]
    if action == "run":
        return _around(rest)
    _append(**_line(action, rest), t_ns=STARTED_NS)
    return 0


def _line(action: str, rest: list[str]) -> "dict[str, Any]":
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
    wanted = f"vidmeter mark {WANTED[action]}" if action in WANTED else USAGE
    raise VidmeterError(f"mark: `{wanted}`, not {' '.join([action, *rest])!r}")


def _around(rest: list[str]) -> int:
    """Run a command as a phase: begin, wait for it, end; the code that it ended with."""
    name, *command = rest or [""]
    if command[:1] == ["--"]:
        command = command[1:]
    if not name.strip() or not command:
        raise VidmeterError(
            "mark: `vidmeter mark run NAME -- COMMAND`, such as `mark run encode -- x`"
        )
    import subprocess

    # What the terminal sends goes to the command as well: we wait for what it makes of it.
    before = {n: signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGQUIT)}
    _append(mark="begin", name=name, t_ns=monotonic_ns())
    try:
        child = subprocess.Popen(command, preexec_fn=lambda: _as_before(before))
    except OSError as error:
        _append(mark="end", name=name, t_ns=monotonic_ns(), error=type(error).__name__)
        print(f"vidmeter: cannot start {command[0]!r}: {error.strerror}", file=sys.stderr)
        return 127 if isinstance(error, FileNotFoundError) else 126
    code = child.wait()
    _append(mark="end", name=name, t_ns=monotonic_ns(), error=f"exit code {code}" if code else None)
    return code if code >= 0 else 128 - code


def _as_before(handlers: "dict[signal.Signals, Callable[..., Any] | int | None]") -> None:
    """Give the command the signals that we were given: ignored by `nohup` or `&`, or not."""
    for number, handler in handlers.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def _append(**line: "Any") -> None:
    path = os.environ.get(MARK_FILE_ENV)
    if not path:
        return
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.write(fd, (json.dumps(line) + "\n").encode())
        os.close(fd)
    except OSError as error:
        print(f"vidmeter: nothing is marked: {path}: {error.strerror}", file=sys.stderr)
