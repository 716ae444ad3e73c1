"""`python -m vidmeter` is the command `vidmeter`."""

import sys

from vidmeter.cli import main

sys.exit(main())
