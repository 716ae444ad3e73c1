"""Whether workloads can run on a device here, found out before any of them is measured.

    python -m vidmeter.workloads.preflight cuda wan2.1-t2v-1.3b mochi-1 vae_tiling=on

A process of its own, because it imports the frameworks: one line on stderr for each that can't, and
exit code 2 if there are any.
"""

import sys
from collections.abc import Sequence

from vidmeter.meter.errors import VidmeterError
from vidmeter.workloads.base import asked_for, load_workload


def main(words: Sequence[str]) -> int:
    """Check the workloads; each name is followed by its settings."""
    device, *rest = words
    refused = 0
    for name, settings in asked_for(rest):
        try:
            workload = load_workload(name, settings)
            if (check := getattr(workload, "check", None)) is not None:
                check(device)
        except VidmeterError as error:
            refused += 1
            print(f"vidmeter: {error}", file=sys.stderr)
    return 2 if refused else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
