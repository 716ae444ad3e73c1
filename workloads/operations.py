"""How many operations workloads take, told by a process of its own:

    python -m vidmeter.workloads.operations wan2.1-t2v-1.3b steps=30 mochi-1

prints a line of JSON for each: operations by phase and in all, null for a workload that doesn't
say, or `{"why": …}` where they can't be counted. Counting imports the frameworks and slows every
operation down, so it is never done beside a measured run.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from vidmeter.meter.errors import VidmeterError
from vidmeter.workloads.base import asked_for, load_workload


def main(words: Sequence[str]) -> int:
    """Count for the workloads and settings that the words name; 0 if none was refused."""
    if not words:
        print(f"usage: {__doc__.splitlines()[2].strip()}", file=sys.stderr)
        return 2
    refused = 0
    for name, settings in asked_for(words):
        try:
            told = _count(name, settings)
        except VidmeterError as error:
            refused += 1
            told = {"why": str(error)}
        print(json.dumps(told), flush=True)
    return 2 if refused else 0


def _count(name: str, settings: Mapping[str, str]) -> Mapping[str, Any] | None:
    workload = load_workload(name, settings)
    count = getattr(workload, "operations", None)
    return count() if count else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
