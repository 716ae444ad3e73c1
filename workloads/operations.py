"""How many operations a workload takes, told by a process of its own:

    python -m vidmeter.workloads.operations wan2.1-t2v-1.3b steps=30

prints JSON: operations by phase and in all, or null for a workload that doesn't say. Counting
imports the frameworks and slows every operation down, so it is never done beside a measured run.
"""

import json
import sys
from collections.abc import Sequence

from vidmeter.meter.errors import VidmeterError
from vidmeter.workloads.base import load_workload


def main(words: Sequence[str]) -> int:
    """Count for the workload and settings that the words name."""
    if not words:
        print(f"usage: {__doc__.splitlines()[2].strip()}", file=sys.stderr)
        return 2
    name, *settings = words
    try:
        workload = load_workload(name, dict(s.partition("=")[::2] for s in settings))
        count = getattr(workload, "operations", None)
        print(json.dumps(count() if count else None))
    except VidmeterError as error:
        print(f"vidmeter: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
