"""Everything that has to pass: linters, types, floors, tests. CI and people run this one file."""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
STEPS = {
    "ruff check": [sys.executable, "-m", "ruff", "check", "."],
    "ruff format": [sys.executable, "-m", "ruff", "format", "--check", "."],
    "mypy": [sys.executable, "-m", "mypy"],
    "import-linter": [str(Path(sys.executable).with_name("lint-imports"))],
    "pytest": [
        *(sys.executable, "-m", "pytest", "-n", "2"),
        *("--dist", "loadscope", "--no-loadscope-reorder"),
        *sys.argv[1:],
    ],
}


def main() -> int:
    """Run all steps, also after one has failed; 0 if all passed. Arguments go to pytest."""
    failed = []
    for name, command in STEPS.items():
        print(f"== {name}", flush=True)
        started = time.monotonic()
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(name)
        print(f"== {name}: {time.monotonic() - started:.0f} s", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", flush=True)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
