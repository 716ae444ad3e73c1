"""The source folders and the installed package are one thing under two names."""

import os
import subprocess
import sys
import tomllib
from importlib import metadata, resources
from pathlib import Path

import pytest

import vidmeter

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]
FOLDERS = SETUPTOOLS["package-dir"]


@pytest.mark.parametrize(("package", "folder"), FOLDERS.items())
def test_a_mapped_folder_is_linked_into_the_package(package: str, folder: str) -> None:
    link = ROOT.joinpath(*package.split("."))
    if not link.is_symlink():
        pytest.skip("an sdist, or a checkout without symlinks: the mapping alone serves")

    assert link.samefile(ROOT / folder)


def test_every_package_is_listed() -> None:
    found = {
        ".".join((package, *init.parent.relative_to(ROOT / folder).parts))
        for package, folder in {**FOLDERS, "vidmeter.cli": "vidmeter/cli"}.items()
        for init in (ROOT / folder).rglob("__init__.py")
    }

    assert {"vidmeter", *found} == set(SETUPTOOLS["packages"])


def test_the_version_is_the_installed_one() -> None:
    try:
        installed = metadata.version("vidmeter")
    except metadata.PackageNotFoundError:
        pytest.skip("not installed: the tests run from the checkout")

    assert vidmeter.__version__ == installed


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("vidmeter", "py.typed"),
        ("vidmeter.meter.sensors", "cpu_reference.csv"),
        ("vidmeter.meter.sensors", "curves/video.json"),
        ("vidmeter.workloads", "suites/quick.toml"),
        ("vidmeter.reports", "templates/report.html"),
    ],
)
def test_a_data_file_rides_along(package: str, name: str) -> None:
    assert resources.files(package).joinpath(name).is_file()
    patterns = SETUPTOOLS["package-data"][package]
    assert any(Path(name).match(pattern) for pattern in patterns)


def test_what_the_face_promises_is_what_it_has() -> None:
    assert vidmeter.__all__ == dir(vidmeter)
    for name in vidmeter.__all__:
        assert getattr(vidmeter, name) is not None


@pytest.mark.parametrize("platform", ["darwin"])
def test_elsewhere_it_imports_and_says_in_a_line_what_it_can_not_do(platform: str) -> None:
    code = f"""
import sys
sys.platform = {platform!r}
import vidmeter
try:
    with vidmeter.measure(): pass
except Exception as error:
    print(error)
from vidmeter.cli import main
print(main(["run", "--", "true"]), main(["bench", "--list"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True, cwd=ROOT, env=os.environ | {"HOME": "/tmp"},
    )  # fmt: skip

    first, *_, last = done.stdout.splitlines()
    assert first == f"vidmeter measures on Linux; on {platform} it reads and reports runs only"
    assert last == "2 0"
    assert done.stderr == f"vidmeter: {first}\n"
