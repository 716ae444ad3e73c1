"""A virtual environment for each package that is compared with, as benchmarks/peers.txt says.

One that is there already is used as it is, so that a second run needs no network.
"""

import subprocess
import sys
from pathlib import Path

PEERS = Path(__file__).parents[1] / "peers.txt"
PACKAGES = ("zeus", "codecarbon", "nvitop")
VERSION = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"


def python(folder: Path, package: str) -> Path:
    """The Python of `folder`/`package`, in which that package is; made if it isn't there."""
    found = folder / package / "bin" / "python"
    if not found.exists() or version(found, package) is None:
        print(f"installing {requirement(package)} in {folder / package}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", folder / package], check=True)
        subprocess.run([found, "-m", "pip", "install", "-q", requirement(package)], check=True)
    return found


def requirement(package: str) -> str:
    """What is to be installed of a package: its line in peers.txt, or the newest."""
    lines = [line.strip() for line in PEERS.read_text().splitlines()]
    return next((line for line in lines if line.partition("==")[0] == package), package)


def version(interpreter: Path, package: str) -> str | None:
    """The version that an interpreter finds, None if it has none."""
    done = subprocess.run([interpreter, "-c", VERSION, package], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None
