"""The published JSON Schemas hold for what is written, and don't hold for anything else."""

import copy
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.reports.benches import commands, repeat, videos
from tests.reports.test_comparison import with_phases
from vidmeter.meter.device import Provenance
from vidmeter.meter.reader import load
from vidmeter.meter.summarize import summarize
from vidmeter.reports import benchjson, jsonfile
from vidmeter.reports.arms import arms
from vidmeter.reports.comparison import compare

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
DATA = Path(__file__).parents[1] / "data"


def validator(name):
    schema = json.loads((SCHEMAS / name).read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def errors(name, document):
    return [f"{e.json_path}: {e.message}"[:200] for e in validator(name).iter_errors(document)]


def summaries():
    yield "plain", repeat(100.0)[1]
    yield "phases", with_phases(100.0, 4)[1]
    yield "modelled", repeat(100.0, provenance=Provenance.MODELLED)[1]
    for path in sorted(DATA.glob("*.vidmeter")):
        yield path.name, summarize(load(path))


@pytest.mark.parametrize("summary", [s for _, s in summaries()], ids=[n for n, _ in summaries()])
def test_every_summary_fits_its_schema(summary):
    assert errors("summary-1.json", json.loads(jsonfile.render(summary))) == []


def results():
    a, b = [100.0, 101.0, 102.0, 103.0, 104.0], [110.0, 111.0, 113.0, 113.5, 115.0]
    two = arms(commands("a", a) + commands("b", b))
    yield "commands", two, compare(two)
    operations = {"text_encode": 1e12, "denoise": 1e15, "decode": 1e13, "runs": 100, "total": 1e15}
    made = arms(videos([[100.0, 101.0], [102.0, 103.0]], operations=operations))
    yield "videos", made, []
    unknown = arms(commands("a", a) + commands("b", b, provenance=Provenance.SIMULATED))
    yield "no ratio", unknown, compare(unknown)
    phases = arms(
        [with_phases(100, 4, block=n, number=n, arm="a") for n in (1, 2)]
        + [with_phases(120, 5, block=n, number=n, arm="b") for n in (1, 2)]
    )
    yield "phases", phases, compare(phases)


@pytest.mark.parametrize("case", list(results()), ids=lambda case: case[0])
def test_every_result_fits_its_schema(case):
    _, found, comparisons = case
    document = json.loads(benchjson.render(found, comparisons))
    assert errors("results-1.json", document) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("total"),
        lambda d: d.update(surprise=1),
        lambda d: d["total"].update(energy_j="much"),
        lambda d: d["devices"][0].update(provenance="guessed"),
        lambda d: d.update(schema="vidmeter-summary/0"),
    ],
)
def test_a_summary_that_was_changed_does_not_fit(change):
    document = json.loads(jsonfile.render(repeat(100.0)[1]))
    changed = copy.deepcopy(document)
    change(changed)
    assert errors("summary-1.json", document) == []
    assert errors("summary-1.json", changed) != []
