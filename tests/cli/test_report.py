"""`vidmeter report` in the forms for other programs' viewers."""

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Place


@pytest.fixture
def run_file(place: Place) -> Path:
    return Path(shutil.copy(ROOT / "tests" / "data" / "run-v1.vidmeter", place.folder))


def test_the_suffix_says_whether_it_is_a_trace_a_profile_or_the_summary(
    place: Place, run_file: Path
) -> None:
    done = place.vidmeter(
        "report", run_file.name, "-o", "a.trace.json", "-o", "b.v2.speedscope.json", "-o", "c.json"
    )

    assert done.returncode == 0, done.stderr
    read = {name: json.loads((place.folder / name).read_text()) for name in
            ("a.trace.json", "b.v2.speedscope.json", "c.json")}  # fmt: skip
    assert "traceEvents" in read["a.trace.json"]
    assert "speedscope" in read["b.v2.speedscope.json"]["$schema"]
    assert read["c.json"]["schema"] == "vidmeter-summary/1"


def test_the_form_can_be_stated(place: Place, run_file: Path) -> None:
    trace = place.vidmeter("report", run_file.name, "--format", "trace")
    profile = place.vidmeter("report", run_file.name, "--format", "speedscope")

    assert "traceEvents" in json.loads(trace.stdout)
    assert len(json.loads(profile.stdout)["profiles"]) == 2


def test_merging_is_for_traces_alone(place: Place, run_file: Path) -> None:
    done = place.vidmeter("report", run_file.name, "-o", "a.html", "--merge", "torch.json")

    assert done.returncode == 2
    assert "--merge is for a trace" in done.stderr
    assert not (place.folder / "a.html").exists()


def test_a_file_to_merge_that_is_no_trace_is_one_line(place: Place, run_file: Path) -> None:
    done = place.vidmeter("report", run_file.name, "-o", "a.trace.json", "--merge", run_file.name)

    assert done.returncode == 2
    assert done.stderr.startswith(f"vidmeter: {run_file.name} is no trace")
    assert len(done.stderr.splitlines()) == 1
    assert not (place.folder / "a.trace.json").exists()


def test_a_trace_shows_one_run(place: Place, run_file: Path) -> None:
    done = place.vidmeter("report", run_file.name, run_file.name, "-o", "a.trace.json")

    assert done.returncode == 2
    assert "trace shows one run" in done.stderr


def test_a_terminal_without_unicode_gets_the_tree_in_letters(place: Place, run_file: Path) -> None:
    done = place.vidmeter("show", run_file.name, env=place.environ | {"PYTHONIOENCODING": "ascii"})

    assert done.returncode == 0, done.stderr
    assert "  |- denoise " in done.stdout
    assert "  |  `- step x3 " in done.stdout


def test_verify_names_the_reports_that_it_can_check(place: Place, run_file: Path) -> None:
    place.vidmeter("report", run_file.name, "-o", "a.trace.json")

    done = place.vidmeter("verify", run_file.name, "a.trace.json")

    assert done.returncode == 2
    assert "Reports end in" in done.stderr


def test_a_dash_is_standard_output(place: Place, run_file: Path) -> None:
    done = place.vidmeter("report", run_file.name, "-o", "-", "--format", "csv")
    assert done.stdout.startswith("run_id,started,")
    told = place.vidmeter("compare", run_file.name, run_file.name, "-o", "-", "--format", "json")
    assert '"comparisons"' in told.stdout
    assert not (place.folder / "-").exists()


def test_nothing_is_written_or_added_where_one_of_the_files_is_there(
    place: Place, run_file: Path
) -> None:
    (place.folder / "there.html").write_text("mine")
    done = place.vidmeter(
        "report", run_file.name, "-o", "a.csv", "-o", "there.html", "--append", "all.csv"
    )
    assert done.returncode == 2
    assert "there.html exists" in done.stderr
    assert not (place.folder / "a.csv").exists() and not (place.folder / "all.csv").exists()
