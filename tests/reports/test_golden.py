"""A run file of format 1 loads for ever, and says what it said when it was made.

Written by vidmeter 0.1.0. If a number changes because the arithmetic got better, the expected
files change with it, in the same commit, and the changelog says why.
"""

import json
import math
from pathlib import Path
from typing import Any

from vidmeter.meter.reader import load
from vidmeter.meter.summarize import summarize
from vidmeter.reports import jsonfile, terminal

DATA = Path(__file__).parents[1] / "data"


def test_the_golden_run_loads_and_its_summary_is_the_same() -> None:
    got = jsonfile.document(summarize(load(DATA / "run-v1.vidmeter")))

    assert_alike(json.loads(json.dumps(got)), json.loads((DATA / "run-v1.json").read_text()))


def test_the_golden_run_reads_the_same_in_a_terminal() -> None:
    text = terminal.render(summarize(load(DATA / "run-v1.vidmeter")))

    assert text == (DATA / "run-v1.txt").read_text()


def test_color_only_adds_emphasis() -> None:
    summary = summarize(load(DATA / "run-v1.vidmeter"))

    colored = terminal.render(summary, color=True)

    assert "\x1b[1m" in colored
    assert colored.replace("\x1b[1m", "").replace("\x1b[0m", "") == terminal.render(summary)


def test_the_run_that_is_shown_is_named() -> None:
    text = terminal.render(summarize(load(DATA / "run-v1.vidmeter")), path=Path("/a b/x.vidmeter"))

    assert "run file: /a b/x.vidmeter" in text
    assert "vidmeter report '/a b/x.vidmeter'" in text


def assert_alike(got: Any, expected: Any, where: str = "") -> None:
    """Equal in everything but the last digits of its floats."""
    if isinstance(expected, dict):
        assert got.keys() == expected.keys(), where
        for key in expected:
            assert_alike(got[key], expected[key], f"{where}/{key}")
    elif isinstance(expected, list):
        assert len(got) == len(expected), where
        for i, (a, b) in enumerate(zip(got, expected, strict=True)):
            assert_alike(a, b, f"{where}/{i}")
    elif isinstance(expected, float):
        assert math.isclose(got, expected, rel_tol=1e-9, abs_tol=1e-9), where
    else:
        assert got == expected, where
