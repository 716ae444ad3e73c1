"""A run file of every format loads for ever, and says what it said when it was made.

If a number changes because the arithmetic got better, the expected files change with it
(`python -m tests.reports.regolden`), in the same commit, and the changelog says why.
"""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.reports.regolden import golden
from vidmeter.meter.reader import load
from vidmeter.meter.runfile import FORMAT_VERSION
from vidmeter.meter.summarize import summarize
from vidmeter.reports import jsonfile, terminal

DATA = Path(__file__).parents[1] / "data"


GOLDEN = [f"run-v{n}" for n in range(1, FORMAT_VERSION + 1)]


@pytest.mark.parametrize("name", GOLDEN)
def test_the_golden_run_loads_and_its_summary_is_the_same(name: str) -> None:
    got = jsonfile.document(summarize(load(DATA / f"{name}.vidmeter")))

    assert_alike(json.loads(json.dumps(got)), json.loads((DATA / f"{name}.json").read_text()))


@pytest.mark.parametrize("name", GOLDEN)
def test_the_golden_run_reads_the_same_in_a_terminal(name: str) -> None:
    text = terminal.render(summarize(load(DATA / f"{name}.vidmeter")))

    assert text == (DATA / f"{name}.txt").read_text()


def test_the_run_of_this_format_holds_what_it_was_made_of() -> None:
    made, loaded = golden(), load(DATA / f"run-v{FORMAT_VERSION}.vidmeter")

    assert sorted(loaded.phases, key=lambda p: p.id) == sorted(made.phases, key=lambda p: p.id)
    assert loaded.gpu_events == made.gpu_events
    assert loaded.processes == made.processes
    assert loaded.work == made.work
    assert loaded.traces == made.traces


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
