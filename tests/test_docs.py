"""What the documents say is what the program does."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from vidmeter.cli import VERBS
from vidmeter.meter.reader import load
from vidmeter.meter.summarize import summarize
from vidmeter.reports import jsonfile

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def options_of(verb: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-m", "vidmeter", verb, "--help"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", done.stdout)) - {"--help"}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_and_option_is_in_the_readme(verb: str) -> None:
    missing = [option for option in options_of(verb) if option not in README]

    assert f"vidmeter {verb}" in README
    assert not missing


def test_every_option_in_the_readme_exists() -> None:
    known = {"--version"}.union(*(options_of(verb) for verb in VERBS))
    mine = [
        line
        for line in README.splitlines()
        if "vidmeter" in line or line.lstrip().startswith(("- ", "  ", "`"))
    ]
    named = {o for line in mine for o in re.findall(r"(?<![\w-])--[a-z][a-z-]+", line)}

    # Options of the programs in the examples.
    assert named - known <= {"--prompt", "--nproc-per-node"}


def test_the_readme_holds_the_two_commands_that_ci_runs() -> None:
    commands = re.findall(r"^\$ (python3 -m venv .*)$", README, re.MULTILINE)

    assert len(commands) == 2
    assert "vidmeter bench quick" in commands[0]
    assert "tests/check.py" in commands[1]


def test_every_key_of_the_summary_is_documented() -> None:
    text = (ROOT / "docs" / "summary.md").read_text()
    document = jsonfile.document(summarize(load(ROOT / "tests" / "data" / "run-v1.vidmeter")))
    keys = set(document)
    for part in ("window", "total", "work", "per_unit"):
        keys |= set(document[part])
    for part in ("devices", "phases"):
        keys |= set(document[part][0])

    assert [key for key in sorted(keys) if f"`{key}`" not in text] == []


def test_the_readers_of_run_files_in_the_docs_work() -> None:
    text = (ROOT / "docs" / "run-file.md").read_text()
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    golden = ROOT / "tests" / "data" / "run-v1.vidmeter"

    done = subprocess.run(
        [sys.executable, "-c", code.replace("run.vidmeter", str(golden))],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert "power_instant_w" in done.stdout
