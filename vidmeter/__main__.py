"""`python -m vidmeter` is the command `vidmeter`."""

import sys

from vidmeter.cli import main

if __name__ == "__main__":  # a process that helps out imports this as well
    sys.exit(main())
