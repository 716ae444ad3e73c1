import csv
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from vidmeter.meter.summarize import summarize
from vidmeter.reports import footprintwords, htmlpage, jsonfile
from vidmeter.reports.carbon import Intensity, NoIntensity, by_cloud_region, by_country, stated
from vidmeter.reports.footprint import (
    Price,
    Span,
    Terms,
    cost,
    equivalents,
    everyday,
    footprint,
    grams,
    of,
)

ROOT = Path(__file__).parents[2]
KWH = Span(3.6e6, 3.24e6, 4.32e6)
"""A kilowatt-hour, 10 % less to 20 % more."""
HALF = stated(500)
EURO = Price(0.3, "EUR")

needs_codecarbon = pytest.mark.skipif(
    find_spec("codecarbon") is None, reason="codecarbon is not installed"
)


def table(name):
    return Path(find_spec("codecarbon").submodule_search_locations[0], "data", name)


def made(terms, energy=KWH, seconds=7200):
    return footprint(energy, seconds, terms=terms, name="measured", boundary="GPU boards")


@needs_codecarbon
@pytest.mark.parametrize("name", ["DEU", "DE", "Germany", "germany", " de "])
def test_a_country_is_found_by_codes_and_name(name):
    row = json.loads(table("private_infra/global_energy_mix.json").read_text())["DEU"]

    found = by_country(name)

    version = metadata.version("codecarbon")
    source = f"Our World in Data, as kept in codecarbon {version}"
    assert found == Intensity(row["carbon_intensity"], "Germany", source, row["year"], "DEU")


@needs_codecarbon
@pytest.mark.parametrize(
    ("name", "place"),
    [("Viet Nam", "Vietnam"), ("UK", "United Kingdom"), ("Côte d'Ivoire", "Cote d'Ivoire")],
)
def test_a_country_is_found_by_the_names_of_iso_too(name, place):
    assert by_country(name).place == place


@needs_codecarbon
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Germny", "did you mean Germany?"),
        ("Ger", "did you mean Germany"),
        ("xx", "--intensity"),
        ("", "--intensity"),
        ("Andorra", "has no carbon intensity for Andorra"),
        ("CAF", "0.0 g/kWh for Central African Republic, which no grid has"),
    ],
)
def test_a_country_without_a_number_is_refused_in_a_line(name, words):
    with pytest.raises(NoIntensity) as refused:
        by_country(name)

    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@needs_codecarbon
def test_a_cloud_region_is_what_its_provider_publishes():
    with table("cloud/impact.csv").open(newline="", encoding="utf-8-sig") as file:
        (row,) = [r for r in csv.DictReader(file) if r["region"] == "europe-west3"]

    found = by_cloud_region("GCP", "europe-west3")

    assert found.g_per_kwh == float(row["impact"])
    assert found.place == "gcp europe-west3 (Frankfurt, Germany)"
    assert row["source"] in found.source
    assert (found.year, found.cloud) == (None, ("gcp", "europe-west3"))


@needs_codecarbon
@pytest.mark.parametrize(
    ("provider", "region", "words"),
    [
        ("gcp", "europe-west33", "did you mean europe-west3"),
        ("gcp", "nowhere", "--intensity"),
        ("acme", "eu-1", "no carbon intensities of 'acme', only of"),
    ],
)
def test_an_unknown_cloud_region_is_refused(provider, region, words):
    with pytest.raises(NoIntensity, match=words):
        by_cloud_region(provider, region)


@needs_codecarbon
def test_codecarbon_and_what_it_needs_are_not_imported():
    code = (
        "import sys\n"
        "from vidmeter.reports.carbon import by_cloud_region, by_country\n"
        "by_country('FR'), by_cloud_region('gcp', 'europe-west9')\n"
        "print([n for n in ('codecarbon', 'pandas', 'pycountry', 'requests') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_without_the_extra_it_says_what_to_install():
    code = (
        "from vidmeter.reports.carbon import NoIntensity, by_country\n"
        "try: by_country('FR')\n"
        "except NoIntensity as refused: print(refused)"
    )
    # -S leaves out all installed packages.
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=ROOT, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "pip install 'vidmeter[carbon]'" in done.stdout, done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_a_kilowatt_hour_is_the_intensity_in_grams_and_the_price_in_money():
    found = made(Terms(intensity=HALF, price=EURO))

    assert found.metered.g_co2e == pytest.approx((500, 450, 600))
    assert found.metered.cost == pytest.approx((0.3, 0.27, 0.36))
    assert found.added == ()


def test_an_energy_without_an_interval_gets_none():
    assert grams(Span(3.6e6), HALF) == Span(500.0, None, None)


def test_what_is_not_asked_for_is_not_there():
    found = made(Terms(price=EURO))

    assert found.metered.g_co2e is None
    assert footprintwords.document(found)["intensity"] is None


def test_stated_overheads_are_lines_apart_and_leave_the_metered_energy_alone():
    terms = Terms(intensity=HALF, price=EURO, pue=1.25, host_overhead_w=500, embodied_g_per_hour=20)

    found = made(terms)  # 1 kWh over 2 h

    assert found.metered == made(Terms(intensity=HALF, price=EURO)).metered
    host, facility, embodied = found.added
    assert host.energy_j == Span(3.6e6)
    assert host.g_co2e == Span(500.0)
    # A quarter of the metered kWh and of the host's.
    assert facility.energy_j == pytest.approx((1.8e6, 1.71e6, 1.98e6))
    assert facility.g_co2e == pytest.approx((250, 237.5, 275))
    assert facility.cost == pytest.approx((0.15, 0.1425, 0.165))
    assert embodied[1:4] == (None, Span(40.0), None)
    assert [line.source for line in found.added] == [
        "--host-overhead-w", "--pue", "--embodied-g-per-hour",
    ]  # fmt: skip
    assert "500 W for 7200 s" in host.factor
    assert "PUE 1.25: 0.25 of the metered energy and the host overhead" in facility.factor


def test_a_pue_of_a_run_of_unknown_energy_is_unknown_and_never_0():
    found = made(Terms(intensity=HALF, pue=1.2, host_overhead_w=100), energy=None)

    assert found.metered is None
    assert [line.name for line in found.added] == ["host overhead"]
    assert found.equivalents == ()
    assert "the energy of this run is unknown" in footprintwords.text(found)


@given(
    st.floats(1e-3, 1e9), st.floats(1e-2, 1e3),
    st.just(0.0) | st.floats(1e-3, 2000), st.floats(1e-3, 10),
)  # fmt: skip
def test_grams_and_cost_are_linear_in_energy_and_factor(joules, factor, g_per_kwh, per_kwh):
    energy = Span(joules, joules * 0.9, joules * 1.2)
    intensity, price = stated(g_per_kwh), Price(per_kwh, "EUR")

    for more, once in (
        (grams(energy.times(factor), intensity), grams(energy, intensity)),
        (cost(energy.times(factor), price), cost(energy, price)),
        (grams(energy, stated(g_per_kwh * factor)), grams(energy, intensity)),
    ):
        assert all(
            math.isclose(a, b * factor, rel_tol=1e-12) for a, b in zip(more, once, strict=True)
        )
        assert more.low <= more.value <= more.high


@given(st.floats(0, 1e16))
def test_equivalents_are_up_to_three_sorts_that_can_be_imagined(joules):
    found = equivalents(joules)

    sorts = {unit.unit: name for name, unit in everyday()}
    assert len(found) <= 3
    assert len({sorts[each.unit] for each in found}) == len(found)
    for each in found:
        assert 0.5 <= each.times <= 500
        assert math.isclose(each.times * each.joules_per_unit, joules, rel_tol=1e-12)
    if 10 <= joules <= 1e13:
        assert found


def test_the_everyday_units_are_what_their_sources_give():
    units = {unit.unit: unit.joules_per_unit for _, unit in everyday()}

    assert units["an hour of a 10 W LED lamp"] == 10 * 3600
    assert units["an hour of video streaming"] == pytest.approx(77 * 3600)
    # Water's mean heat capacity between 20 and 100 °C is 4.19 kJ/(kg K).
    assert units["boiling a litre of water from 20 °C"] == pytest.approx(
        4190 * 80 * 0.9982, rel=2e-3
    )
    assert units["charging a phone"] == pytest.approx((14.46 - 22 * 0.13) * 3600)
    assert units["a kilometre in an electric car"] == pytest.approx(30 * 3.6e6 / 160.9344, abs=1)
    day = units["a day of an average US home's electricity"]
    assert day == pytest.approx(10_791 * 3.6e6 / 365, abs=1)
    assert all(unit.source and unit.url and unit.how and unit.year for _, unit in everyday())


def test_the_words_name_place_source_and_year():
    known = Intensity(380.95, "Germany", "Our World in Data", 2023)

    text = footprintwords.text(made(Terms(intensity=known, price=EURO)))

    assert "measured energy: 3.6 MJ, 1 kWh (3.24 MJ to 4.32 MJ): GPU boards" in text
    assert (
        "emissions: 381 g CO2e (343 to 457): 380.95 g/kWh, Germany, Our World in Data, 2023" in text
    )
    assert "cost: 0.3 EUR (0.27 to 0.36): 0.3 EUR per kWh, stated with --price" in text
    assert "year not said" in footprintwords.text(made(Terms(intensity=known._replace(year=None))))


@pytest.mark.parametrize(
    ("g", "text"),
    [(0.0, "0 mg"), (0.0123, "12.3 mg"), (0.5, "0.5 g"), (999, "999 g"), (12345, "12.3 kg")],
)
def test_masses_are_written_in_a_unit_that_can_be_read(g, text):
    found = made(Terms(intensity=stated(g)), energy=Span(3.6e6))

    assert f"emissions: {text} CO2e: " in footprintwords.text(found)


def test_the_total_of_a_run_is_what_is_counted_and_said_to_be_simulated(exact):
    summary = summarize(exact)

    found = of(summary, terms=Terms(intensity=HALF))

    total = summary.total
    assert found.metered.energy_j == (total.energy_j, total.low_j, total.high_j)
    assert found.metered.g_co2e.value == pytest.approx(total.energy_j * 500 / 3.6e6)
    assert found.metered.name == "simulated"


def test_a_run_that_contradicts_itself_says_so_in_its_footprint(exact):
    summary = summarize(exact)
    doubted = replace(summary, total=replace(summary.total, trusted=False))

    assert "NOT TRUSTED" in footprintwords.text(of(doubted, terms=Terms(intensity=HALF)))


def test_the_page_and_json_have_it_only_if_it_was_asked_for(exact):
    summary = summarize(exact)
    found = of(summary, terms=Terms(intensity=HALF, pue=1.2))
    bare, page = htmlpage.render(exact, summary), htmlpage.render(exact, summary, found)

    assert 'id="footprint"' not in bare
    assert "stated with --pue" in page
    assert footprintwords.without(page, "html") == bare
    assert json.loads(jsonfile.render(summary))["footprint"] is None
    document = json.loads(jsonfile.render(summary, found))
    schema = json.loads((ROOT / "docs" / "schemas" / "summary-1.json").read_text())
    assert [e.message for e in Draft202012Validator(schema).iter_errors(document)] == []
    written = document["footprint"]
    assert written["metered"]["g_co2e"]["value"] == found.metered.g_co2e.value
    assert written["added"][0]["source"] == "--pue"
