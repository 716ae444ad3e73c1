"""On a real card: the load that calibrates is seen by the card's own readings."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vidmeter.meter.device import Device

pytestmark = [pytest.mark.gpu, pytest.mark.slow]


def test_a_calibration_finds_windows_and_judges_the_counter(
    torch: Any, card: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "vidmeter", "calibrate", "--gpus", card.uuid, "--json"],
        capture_output=True, text=True, timeout=180, check=True,
    )  # fmt: skip
    (found,) = json.loads(done.stdout)["cards"]
    powers = [r for r in found["readings"] if r["quantity"].endswith("_w") and r["refresh_s"]]
    assert found["load_s"] > 15
    assert powers
    assert any(r["r2"] is not None and r["r2"] > 0.9 for r in powers)
    assert {g["state"] for g in found["counter"]} <= {"idle", "load"}
    assert (tmp_path / "vidmeter" / "cards" / f"{card.uuid}.json").exists()
