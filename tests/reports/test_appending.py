"""Rows of many processes in one CSV: none lost, none shifted, never a half-written file."""

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Place
from tests.reports.benches import repeat
from vidmeter.meter.errors import BadRun
from vidmeter.meter.run import Work
from vidmeter.meter.summarize import summarize
from vidmeter.reports import csvfile
from vidmeter.reports.appending import append

WRITERS, EACH = 32, 3
WRITER = """
import sys
from pathlib import Path
from dataclasses import replace
from tests.reports.benches import repeat
from vidmeter.reports.appending import append
path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for n in range(count):
    run, summary = repeat(100.0 + n)
    append([(replace(run, id=f"{name}-{n}"), summary)], path)
"""


def pair(name, watts=100.0, **more):
    run, _ = repeat(watts)
    run = replace(run, id=name, **more)
    return run, summarize(run)


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_what_is_added_is_what_a_csv_of_all_would_hold(tmp_path: Path):
    path = tmp_path / "all.csv"
    pairs = [pair("a"), pair("b", 200.0)]
    for one in pairs:
        assert append([one], path) == 1
    assert path.read_text() == csvfile.render(pairs)


def test_thirty_two_processes_lose_and_shift_nothing(tmp_path: Path):
    path = tmp_path / "all.csv"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), f"w{n}", str(EACH)], cwd=ROOT)
        for n in range(WRITERS)
    ]
    torn = 0
    while any(w.poll() is None for w in writers):
        if path.exists():
            text = path.read_text()
            torn += not text.endswith("\n") or not text.startswith("run_id,")
    assert [w.returncode for w in writers] == [0] * WRITERS
    assert torn == 0
    found = table(path)
    assert sorted(row["run_id"] for row in found) == sorted(
        f"w{n}-{k}" for n in range(WRITERS) for k in range(EACH)
    )
    for row in found:
        k = int(row["run_id"].split("-")[1])
        assert float(row["mean_w"]) == pytest.approx(100.0 + k)
        assert None not in row and None not in row.values(), "each row has every column"


def test_new_columns_come_at_the_end_and_old_rows_stay_under_their_names(tmp_path: Path):
    path = tmp_path / "all.csv"
    append([pair("plain")], path)
    append([pair("words", work=(Work("tokens", 10.0, "user"),))], path)
    append([pair("again")], path)
    plain, words, again = table(path)
    assert (plain["work_tokens"], words["work_tokens"], again["work_tokens"]) == ("", "10.0", "")
    assert [row["run_id"] for row in (plain, words, again)] == ["plain", "words", "again"]
    assert float(words["energy_j"]) == float(plain["energy_j"])


@pytest.mark.parametrize(
    "content", ["a,b\n1,2\n", "run_id,phase,device_uuid,energy_j\nx,,y\n", "\xff\xfe"]
)
def test_another_table_is_refused_and_left_as_it_is(tmp_path: Path, content: str):
    path = tmp_path / "other.csv"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(BadRun):
        append([pair("a")], path)
    assert path.read_bytes() == content.encode("latin-1")


def test_a_table_that_another_program_saved_with_a_mark_at_its_start_is_added_to(tmp_path: Path):
    path = tmp_path / "all.csv"
    append([pair("a")], path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    append([pair("b")], path)
    assert path.read_text() == csvfile.render([pair("a"), pair("b")])


def test_run_and_report_add_to_the_same_file(tmp_path: Path):
    place = Place(tmp_path)
    command = ("run", "-q", "--sensor", place.curve(), "--append", "all.csv", "--", "sleep", "0.3")
    assert place.vidmeter(*command).returncode == 0
    assert place.vidmeter(*command).returncode == 0
    done = place.vidmeter("report", "last", "--append", "all.csv")
    assert (done.returncode, done.stdout) == (0, "")
    assert "added 1 row to all.csv" in done.stderr
    first, second, third = table(place.folder / "all.csv")
    assert second["run_id"] == third["run_id"] != first["run_id"]
    assert float(first["mean_w"]) == pytest.approx(100, rel=0.01)


def test_a_table_in_parquet_has_the_types_of_the_frame(tmp_path: Path):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    place = Place(tmp_path)
    run, _ = pair("a")
    run.save(place.folder / "a.vidmeter")
    done = place.vidmeter("report", "a.vidmeter", "-o", "a.parquet")
    assert done.returncode == 0, done.stderr
    read = pd.read_parquet(place.folder / "a.parquet")
    pd.testing.assert_frame_equal(read, run.to_frame(), check_dtype=False)
    assert place.vidmeter("report", "a.vidmeter", "--format", "parquet").returncode == 2
