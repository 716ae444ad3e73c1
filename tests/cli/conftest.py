"""A `vidmeter` command in a folder of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


class Place:
    """A working folder, a data folder, and the command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        self.data = folder / "data"
        self.folder.mkdir()
        self.environ = {
            **{k: v for k, v in os.environ.items() if not k.startswith("VIDMETER")},
            "PYTHONPATH": str(ROOT),
            "XDG_DATA_HOME": str(self.data),
        }

    @property
    def runs(self) -> list[Path]:
        """The run files in the data folder."""
        return sorted((self.data / "vidmeter" / "runs").glob("*.vidmeter"))

    def curve(self, *devices: Mapping[str, Any]) -> str:
        """The sensor option of a script with these devices."""
        path = self.folder / "curve.json"
        path.write_text(json.dumps({"devices": devices or [{"name": "Flat", "curve": [[0, 100]]}]}))
        return f"fake:{path}"

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "vidmeter", *arguments]

    def vidmeter(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        return subprocess.run(
            self.command(*arguments),
            **{
                "capture_output": True,
                "text": True,
                "timeout": 60,
                "cwd": self.folder,
                "env": self.environ,
                **options,
            },
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def make_place(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Place]:
    return lambda: Place(tmp_path_factory.mktemp("place"))
