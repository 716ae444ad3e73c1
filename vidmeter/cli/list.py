"""`vidmeter list`: the runs on this machine."""

import argparse
import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from vidmeter.cli.options import all_runs, runs_folder, say


def prepare(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("folder", nargs="?", type=Path, help="another folder than the user's own")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print a line for each run, the oldest first."""
    from vidmeter.meter.errors import BadRun
    from vidmeter.meter.reader import read_facts
    from vidmeter.meter.runfile import recorder_lives

    rows: list[dict[str, Any]] = []
    for path in all_runs(arguments.folder):
        try:
            facts = read_facts(path)
        except BadRun as error:
            say(str(error))
            continue
        start_ns, end_ns = facts.get("start_ns"), facts.get("end_ns")
        state = "running" if recorder_lives(facts) else "cut off" if end_ns is None else "finished"
        if "imported" in facts.get("environment", {}):
            state = "imported"
        rows.append(
            {
                "name": path.stem,
                "path": str(path),
                "started_real_ns": facts.get("started_real_ns"),
                "duration_s": (end_ns - start_ns) / 1e9 if start_ns and end_ns else None,
                "command": facts.get("command", []),
                "exit_code": facts.get("exit_code"),
                "state": state,
            }
        )
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return 0
    if not rows:
        say(f"no runs in {arguments.folder or runs_folder()}")
        return 0
    for row in rows:
        print(_line(row))
    sys.stdout.flush()
    return 0


def _line(row: dict[str, Any]) -> str:
    from vidmeter.reports.format import seconds

    started = row["started_real_ns"]
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(started / 1e9)) if started else "?"
    when = f"{when:<16}"
    how = row["state"] if row["state"] != "finished" else f"exit {row['exit_code']}"
    command = shlex.join(row["command"])[:60]
    return f"{row['name']:<44}  {when}  {seconds(row['duration_s']):>12}  {how:<8}  {command}"
