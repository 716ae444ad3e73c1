"""A load program for tests: marks as `on` the stretches in which a simulated card is busy.

python tests/cli/scripted_load.py EPOCH_NS SECONDS EDGE_S…
"""

import sys
import time

from vidmeter.meter import marks


def main() -> None:
    """Wait, then say what the card did in the meantime."""
    epoch_ns, end_ns = int(sys.argv[1]), time.monotonic_ns() + round(float(sys.argv[2]) * 1e9)
    edges = [epoch_ns + round(float(edge) * 1e9) for edge in sys.argv[3:]]
    start_ns = time.monotonic_ns()
    time.sleep((end_ns - start_ns) / 1e9)
    for on_ns, off_ns in zip(edges[::2], edges[1::2], strict=True):
        if start_ns <= on_ns and off_ns <= end_ns:
            marks.end(marks.begin("on", at=(on_ns, None)), at=(off_ns, None))


if __name__ == "__main__":
    main()
