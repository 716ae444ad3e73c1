"""How much CO2e a kilowatt-hour stands for: by country or cloud region, from codecarbon's tables.

Only the data files of the installed package are read. codecarbon itself is never imported: that
would load pandas, and its tracker guesses a place where none is known. Here nothing is guessed. A
place that isn't in the tables, or for which they hold no usable number, is an error that names
what comes near. Nothing is asked over a network.
"""

import csv
import difflib
import importlib.util
import json
import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from vidmeter.meter.errors import VidmeterError

_MIX = "data/private_infra/global_energy_mix.json"
_CLOUDS = "data/cloud/impact.csv"
_RESERVED = {"uk": "GBR"}
"""Codes in common use that ISO 3166-1 reserves without listing them."""
_OTHERWISE = "state it with --intensity G_PER_KWH"


class NoIntensity(VidmeterError):
    """There is no carbon intensity for what was named; the message says what there is."""


class Intensity(NamedTuple):
    """The CO2e of electricity, g/kWh: where, who says so, and of which year (None: not said).

    `country` is its code of three letters, `cloud` its provider and region; None for others.
    """

    g_per_kwh: float
    place: str
    source: str
    year: int | None
    country: str | None = None
    cloud: tuple[str, str] | None = None


def stated(g_per_kwh: float) -> Intensity:
    """An intensity that the user states."""
    return Intensity(g_per_kwh, "as stated", "stated with --intensity", None)


def by_country(country: str) -> Intensity:
    """The yearly mean of a country: `DEU`, `DE` or `Germany`.

    The figures are those of Our World in Data (life cycle, electricity made in the country), as
    codecarbon keeps them. Raises `NoIntensity`.
    """
    tables = _mix()
    codes = _codes()
    code = codes.get(_plain(country))
    if code is None:
        near = _near(_plain(country), codes, {c: row["country_name"] for c, row in tables.items()})
        raise NoIntensity(f"no country is called {country!r}{near}")
    row = tables.get(code)
    if row is None:
        raise NoIntensity(f"{_version()} has no carbon intensity for {country}: {_OTHERWISE}")
    g_per_kwh = row.get("carbon_intensity")
    if not isinstance(g_per_kwh, (int, float)) or not g_per_kwh > 0:
        raise NoIntensity(
            f"{_version()} says {g_per_kwh} g/kWh for {row['country_name']}, which no grid has:"
            f" {_OTHERWISE}"
        )
    source = f"Our World in Data, as kept in {_version()}"
    return Intensity(float(g_per_kwh), row["country_name"], source, row.get("year"), code)


def by_cloud_region(provider: str, region: str) -> Intensity:
    """What a provider publishes of one of its regions, such as `gcp`, `europe-west3`.

    The table has no year. Raises `NoIntensity`, also for a provider that publishes nothing.
    """
    rows = _clouds()
    wanted = provider.strip().lower()
    regions = {
        row["region"]: row
        for row in rows
        if wanted in (row["provider"].lower(), row["providerName"].lower())
    }
    if not regions:
        known = ", ".join(sorted({row["provider"] for row in rows}))
        raise NoIntensity(
            f"{_version()} has no carbon intensities of {provider!r}, only of {known}:"
            f" name the --country, or {_OTHERWISE}"
        )
    row = regions.get(region.strip().lower())
    if row is None:
        same = {name: name for name in regions}
        near = _near(region.strip().lower(), same, same)
        raise NoIntensity(f"{provider} has no region {region!r}{near}")
    where = ", ".join(part for part in (row["city"], row["country_name"]) if part)
    source = f"{row['source']}, as kept in {_version()}"
    place = f"{row['provider']} {row['region']} ({where})"
    cloud = (row["provider"], row["region"])
    return Intensity(float(row["impact"]), place, source, None, cloud=cloud)


@cache
def _mix() -> Mapping[str, Mapping[str, Any]]:
    """The rows of countries by their code of three letters."""
    table: dict[str, dict[str, Any]] = json.loads(_file("codecarbon", _MIX).read_text("utf-8"))
    return table


@cache
def _clouds() -> tuple[dict[str, str], ...]:
    with _file("codecarbon", _CLOUDS).open(newline="", encoding="utf-8-sig") as file:
        return tuple(csv.DictReader(file))


@cache
def _codes() -> Mapping[str, str]:
    """Codes of three letters by everything that a country is called, in plain small letters.

    The names and codes of ISO 3166-1 come from pycountry, which codecarbon needs as well.
    """
    path = _file("pycountry", "databases/iso3166-1.json")
    known: dict[str, str] = dict(_RESERVED)
    for country in json.loads(path.read_text("utf-8"))["3166-1"]:
        for key in ("alpha_2", "alpha_3", "name", "official_name", "common_name"):
            if key in country:
                known[_plain(country[key])] = country["alpha_3"]
    for code, row in _mix().items():
        known[_plain(code)] = known[_plain(row["country_name"])] = code
    return known


def _file(package: str, name: str) -> Path:
    """A data file of an installed package, which is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise NoIntensity(
            "carbon intensities come with an extra: pip install 'vidmeter[carbon]', or state one"
            " with --intensity G_PER_KWH"
        )
    path = Path(spec.submodule_search_locations[0], name)
    if not path.is_file():
        raise NoIntensity(f"{_version(package)} has no {name}: {_OTHERWISE}")
    return path


def _version(package: str = "codecarbon") -> str:
    from importlib import metadata  # slow to import, and seldom needed

    return f"{package} {metadata.version(package)}"


def _plain(text: str) -> str:
    """Small letters without accents and with single spaces: how names are compared."""
    bare = unicodedata.normalize("NFKD", text.strip().lower())
    return re.sub(r"\s+", " ", "".join(c for c in bare if not unicodedata.combining(c)))


def _near(text: str, known: Mapping[str, str], names: Mapping[str, str]) -> str:
    """`: did you mean …?` with up to three of `names`, found by what is `known` of them."""
    begin = sorted(name for name in known if text and name.startswith(text))
    found = [
        known[name] for name in (*begin, *difflib.get_close_matches(text, known, n=6, cutoff=0.7))
    ]
    shown = [names[each] for each in dict.fromkeys(found) if each in names][:3]
    return f": did you mean {' or '.join(shown)}?" if shown else f": {_OTHERWISE}"
