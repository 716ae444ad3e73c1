"""What an energy stands for, at the command line."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Place

ASKED = (
    "--intensity", "400", "--price", "0.30EUR", "--pue", "1.5",
    "--host-overhead-w", "100", "--embodied-g-per-hour", "36",
)  # fmt: skip


@pytest.fixture
def run_file(place: Place) -> Path:
    return Path(shutil.copy(ROOT / "tests" / "data" / "run-v1.vidmeter", place.folder))


def test_show_prints_the_lines_after_the_summary(place: Place, run_file: Path) -> None:
    bare = place.vidmeter("show", run_file.name).stdout

    done = place.vidmeter("show", run_file.name, *ASKED)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(bare + "\nfootprint\n")
    lines = [line.strip() for line in done.stdout.removeprefix(bare).splitlines()]
    assert lines[2].startswith("simulated energy: 256.8 J, 71.34 mWh (256.5 J to 257.1 J)")
    # 256.8 J × 400 g/kWh = 28.5 mg
    assert lines[3] == "emissions: 28.5 mg CO2e (28.5 to 28.6): 400 g/kWh, stated with --intensity"
    assert lines[5] == "not in it, by what was stated:"
    assert [line.split(":")[0] for line in lines[6:9]] == ["host overhead", "facility", "embodied"]
    assert "11 mg CO2e: 36 g/h for 1.102 s, stated with --embodied-g-per-hour" in lines[8]


def test_nothing_is_assumed_unless_it_is_asked_for(place: Place, run_file: Path) -> None:
    done = place.vidmeter("show", run_file.name)
    only = place.vidmeter("show", run_file.name, "--equivalents")

    assert "CO2e" not in done.stdout + only.stdout
    assert "EUR" not in only.stdout
    assert "26 times a second of a 10 W LED lamp" in only.stdout


def test_json_has_an_object_or_null(place: Place, run_file: Path) -> None:
    bare = json.loads(place.vidmeter("show", run_file.name, "--json").stdout)
    asked = json.loads(place.vidmeter("show", run_file.name, "--json", *ASKED).stdout)

    assert bare["footprint"] is None
    assert {**asked, "footprint": None} == bare
    found = asked["footprint"]
    joules = bare["total"]["energy_j"]
    assert found["metered"]["energy_j"]["value"] == joules
    assert found["metered"]["g_co2e"]["value"] == pytest.approx(joules / 9000)
    assert found["metered"]["g_co2e"]["low"] == pytest.approx(bare["total"]["low_j"] / 9000)
    assert found["metered"]["cost"]["value"] == pytest.approx(joules * 0.3 / 3.6e6)
    assert found["price"] == {"per_kwh": 0.3, "currency": "EUR"}
    host, facility, embodied = found["added"]
    seconds = bare["window"]["duration_s"]
    assert host["energy_j"]["value"] == pytest.approx(100 * seconds)
    assert facility["energy_j"]["value"] == pytest.approx((joules + 100 * seconds) / 2)
    assert embodied["g_co2e"]["value"] == pytest.approx(36 * seconds / 3600)
    assert embodied["energy_j"] is None


def test_report_puts_it_into_the_page_and_json_and_verify_holds(
    place: Place, run_file: Path
) -> None:
    outputs = ("a.html", "a.json", "a.txt")
    done = place.vidmeter(
        "report", run_file.name, *(part for o in outputs for part in ("-o", o)), *ASKED
    )

    assert done.returncode == 0, done.stderr
    page = (place.folder / "a.html").read_text()
    assert page.count('id="footprint"') == 1
    assert "400 g/kWh, stated with --intensity" in page
    assert json.loads((place.folder / "a.json").read_text())["footprint"]["added"]
    assert "\nfootprint\n" in (place.folder / "a.txt").read_text()
    checked = place.vidmeter("verify", run_file.name, *outputs)
    assert checked.returncode == 0, checked.stdout
    assert "a.html, all but its footprint" in checked.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--country", "DEU", "--intensity", "400"), "say the carbon intensity once"),
        (("--cloud", "gcp:europe-west3", "--country", "DE"), "say the carbon intensity once"),
    ],
)
@pytest.mark.parametrize("verb", ["show", "report"])
def test_two_intensities_are_refused_in_one_line(
    place: Place, run_file: Path, verb: str, options: tuple[str, ...], words: str
) -> None:
    done = place.vidmeter(verb, run_file.name, *options)

    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr


@pytest.mark.skipif(find_spec("codecarbon") is None, reason="codecarbon is not installed")
def test_a_country_that_does_not_exist_is_one_line_and_no_file(
    place: Place, run_file: Path
) -> None:
    done = place.vidmeter("report", run_file.name, "-o", "a.html", "--country", "Germny")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "vidmeter: no country is called 'Germny': did you mean Germany?\n"
    assert not (place.folder / "a.html").exists()


@pytest.mark.skipif(find_spec("codecarbon") is None, reason="codecarbon is not installed")
def test_a_country_is_printed_with_source_and_year(place: Place, run_file: Path) -> None:
    done = place.vidmeter("show", run_file.name, "--country", "DE")

    (line,) = [each for each in done.stdout.splitlines() if "emissions" in each]
    assert "g/kWh, Germany, Our World in Data, as kept in codecarbon" in line
    assert line.rsplit(", ", 1)[1].isdigit()


@pytest.mark.parametrize(
    "options",
    [
        ("--price", "0,30EUR"), ("--price", "EUR"), ("--price", "0EUR"), ("--pue", "0.9"),
        ("--cloud", "gcp"), ("--intensity", "-1"), ("--intensity", "nan"),
        ("--host-overhead-w", "0"),
    ],
)  # fmt: skip
def test_a_factor_that_makes_no_sense_is_refused(
    place: Place, run_file: Path, options: tuple[str, str]
) -> None:
    done = place.vidmeter("show", run_file.name, *options)

    assert (done.returncode, done.stdout) == (2, "")
    assert options[0] in done.stderr


def test_a_form_that_has_no_place_for_it_is_refused(place: Place, run_file: Path) -> None:
    done = place.vidmeter("report", run_file.name, "-o", "a.csv", "--price", "0.3")

    assert done.returncode == 2
    assert "a footprint goes into text, html and json" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (place.folder / "a.csv").exists()
