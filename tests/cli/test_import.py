"""`vidmeter import`, and what other programs get back by `vidmeter report`."""

import csv
import io
from pathlib import Path

import pytest

from tests.cli.conftest import Place
from vidmeter.meter.reader import load
from vidmeter.meter.summarize import summarize

POWER = "timestamp, index, name, power.draw [W], fan.speed [%]\n" + "".join(
    f"2024/01/16 14:44:{10 + i}.000, 0, NVIDIA A10, {watts}.00 W, 30 %\n"
    for i, watts in enumerate((100, 200, 200, 300, 100, 100))
)
POWER_J = 150 + 200 + 250 + 200 + 100
ZEUS = """\
start_time,window_name,elapsed_time,gpu0_energy
1700000000.0,generate,10.0,1500.0
1700000020.0,generate,10.0,1600.0
"""


@pytest.fixture
def logs(place: Place) -> Place:
    (place.folder / "power.csv").write_text(POWER)
    (place.folder / "zeus.csv").write_text(ZEUS)
    (place.folder / "notes.txt").write_text("nothing of the sort\n")
    return place


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.vidmeter*"))


def joules(path: Path) -> float | None:
    return summarize(load(path)).total.energy_j


def test_an_imported_log_is_kept_with_the_other_runs(logs: Place) -> None:
    done = logs.vidmeter("import", "power.csv")

    assert done.returncode == 0, done.stderr
    (run,) = logs.runs
    assert done.stderr.splitlines() == [
        "vidmeter: columns that are left out: fan.speed",
        f"vidmeter: wrote {run}",
    ]
    assert joules(run) == pytest.approx(POWER_J)


def test_show_tells_the_joules_and_where_they_are_from(logs: Place) -> None:
    logs.vidmeter("import", "zeus.csv", "-o", "old")

    done = logs.vidmeter("show", "old/zeus-2.vidmeter")

    assert done.returncode == 0, done.stderr
    assert "1.6 kJ in all" in done.stdout
    assert "imported from zeus.csv, line 3 (Zeus)" in done.stdout


def test_a_list_of_runs_tells_the_imported_ones(logs: Place) -> None:
    logs.vidmeter("import", "power.csv", "zeus.csv")

    lines = logs.vidmeter("list").stdout.splitlines()

    assert len(lines) == 3
    assert all("  imported  " in line and "None" not in line for line in lines)


def test_several_files_become_runs_in_one_folder(logs: Place) -> None:
    done = logs.vidmeter("import", "power.csv", "zeus.csv", "-o", "old")

    assert done.returncode == 0, done.stderr
    assert files(logs.folder) == ["power.vidmeter", "zeus-1.vidmeter", "zeus-2.vidmeter"]


def test_nothing_is_written_where_one_of_the_files_is_unknown(logs: Place) -> None:
    done = logs.vidmeter("import", "power.csv", "notes.txt", "-o", "old")

    assert done.returncode == 2
    assert done.stderr.startswith("vidmeter: notes.txt is of no known format: known are nvidia-smi")
    assert len(done.stderr.splitlines()) == 1
    assert not (logs.folder / "old").exists()


def test_a_run_that_is_there_is_not_overwritten_and_nothing_is_added(logs: Place) -> None:
    logs.vidmeter("import", "zeus.csv", "-o", "old")
    (logs.folder / "old" / "zeus-1.vidmeter").unlink()

    again = logs.vidmeter("import", "zeus.csv", "-o", "old")
    forced = logs.vidmeter("import", "zeus.csv", "-o", "old", "--force")

    assert again.returncode == 2
    assert "zeus-2.vidmeter exists" in again.stderr
    assert forced.returncode == 0
    assert files(logs.folder) == ["zeus-1.vidmeter", "zeus-2.vidmeter"]


def test_several_runs_do_not_fit_into_one_file(logs: Place) -> None:
    done = logs.vidmeter("import", "zeus.csv", "-o", "one.vidmeter")

    assert done.returncode == 2
    assert "these are 2 runs" in done.stderr
    assert files(logs.folder) == []


def test_two_files_of_one_name_are_not_mixed_up(logs: Place) -> None:
    (logs.folder / "other").mkdir()
    (logs.folder / "other" / "power.csv").write_text(POWER)

    done = logs.vidmeter("import", "power.csv", "other/power.csv", "-o", "old")

    assert done.returncode == 2
    assert "power.vidmeter" in done.stderr
    assert not (logs.folder / "old").exists()


def test_the_stated_format_is_the_one_that_is_read(logs: Place) -> None:
    done = logs.vidmeter("import", "power.csv", "--format", "zeus")

    assert done.returncode == 2
    assert done.stderr.startswith("vidmeter: power.csv: its first line isn't start_time")
    assert logs.runs == []


def test_every_report_can_be_made_of_an_imported_run(logs: Place) -> None:
    logs.vidmeter("import", "zeus.csv", "-o", "old")

    made = ("a.html", "a.csv", "a.json", "a.txt", "a.trace.json", "a.speedscope.json")
    outputs = [part for name in made for part in ("-o", name)]
    done = logs.vidmeter("report", "old/zeus-1.vidmeter", *outputs)

    assert done.returncode == 0, done.stderr
    page = (logs.folder / "a.html").read_text()
    assert "imported from zeus.csv, as Zeus wrote it" in page
    assert "in a process of their own" not in page


def test_what_codecarbon_gets_is_what_it_gives_back(logs: Place) -> None:
    logs.vidmeter("import", "power.csv", "zeus.csv", "-o", "old")
    names = ["old/power.vidmeter", "old/zeus-1.vidmeter", "old/zeus-2.vidmeter"]

    out = logs.vidmeter("report", *names, "-o", "emissions.csv", "--format", "codecarbon")
    back = logs.vidmeter("import", "emissions.csv", "-o", "back")

    assert (out.returncode, back.returncode) == (0, 0), out.stderr + back.stderr
    again = [joules(logs.folder / "back" / f"emissions-{n}.vidmeter") for n in (1, 2, 3)]
    assert again == [pytest.approx(joules(logs.folder / name)) for name in names]


def test_a_model_card_needs_an_intensity(logs: Place) -> None:
    logs.vidmeter("import", "power.csv", "-o", "old")
    wanted = ("report", "old/power.vidmeter", "--format", "model-card")

    without = logs.vidmeter(*wanted, "-o", "card.md")
    done = logs.vidmeter(*wanted, "--intensity", "400", "--location", "Quebec, Canada")

    assert without.returncode == 2
    assert "--intensity" in without.stderr
    assert len(without.stderr.splitlines()) == 1
    assert not (logs.folder / "card.md").exists()
    assert done.returncode == 0, done.stderr
    assert 'geographical_location: "Quebec, Canada"' in done.stdout


@pytest.mark.parametrize(("option", "value"), [("location", "X"), ("training-type", "fine-tuning")])
def test_an_option_that_a_form_has_no_place_for_is_refused(
    logs: Place, option: str, value: str
) -> None:
    logs.vidmeter("import", "power.csv", "-o", "old")

    done = logs.vidmeter("report", "old/power.vidmeter", "-o", "a.html", f"--{option}", value)

    assert done.returncode == 2
    assert f"--{option} is for --format" in done.stderr
    assert not (logs.folder / "a.html").exists()


def test_a_form_of_others_takes_the_intensity_and_nothing_else_of_a_footprint(
    logs: Place,
) -> None:
    logs.vidmeter("import", "power.csv", "-o", "old")
    form = ("report", "old/power.vidmeter", "--format", "codecarbon", "--intensity", "400")

    table, priced = logs.vidmeter(*form), logs.vidmeter(*form, "--price", "1")

    assert table.returncode == 0, table.stderr
    (row,) = csv.DictReader(io.StringIO(table.stdout))
    assert float(row["emissions"]) == pytest.approx(float(row["energy_consumed"]) * 0.4)
    assert (priced.returncode, priced.stdout) == (2, "")
    assert "only a carbon intensity into --format codecarbon" in priced.stderr
