"""What is special about a machine is said where its power is concerned."""

from pathlib import Path

import pytest

from vidmeter.meter.environment import peculiarities


def machine(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


@pytest.mark.parametrize(
    ("files", "word"),
    [
        ({"proc/version": b"Linux version 5.15.90.1-microsoft-standard-WSL2"}, "WSL2"),
        ({"proc/device-tree/model": b"NVIDIA Jetson Orin Nano Developer Kit\x00"}, "Jetson"),
        ({"etc/nv_tegra_release": b"# R36"}, "Jetson"),
    ],
)
def test_a_special_machine_is_told_in_one_sentence(
    tmp_path: Path, files: dict[str, bytes], word: str
) -> None:
    (sentence,) = peculiarities(machine(tmp_path, files))
    assert word in sentence and "\n" not in sentence


def test_nothing_is_said_of_an_ordinary_machine(tmp_path: Path) -> None:
    assert peculiarities(machine(tmp_path, {"proc/version": b"Linux version 6.1 (Debian)"})) == ()
    assert peculiarities(tmp_path / "nowhere") == ()
