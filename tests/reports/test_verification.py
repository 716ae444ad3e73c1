"""Every figure that was stated can be computed anew, and one that can't is found."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from vidmeter.meter.reader import load
from vidmeter.meter.run import Run, Trace
from vidmeter.meter.sample import Quantity
from vidmeter.meter.summarize import summarize
from vidmeter.reports import csvfile, htmlpage, jsonfile, terminal
from vidmeter.reports.statement import figures, statement
from vidmeter.reports.verification import check, check_report

GOLDEN = Path(__file__).parents[1] / "data" / "run-v1.vidmeter"


@pytest.fixture
def stated() -> Run:
    run = load(GOLDEN)
    return replace(run, stated=json.loads(json.dumps(statement(run, summarize(run)))))


def test_what_was_stated_holds(stated: Run) -> None:
    found = check(stated, summarize(stated))
    assert [f.what.split()[0] for f in found] == ["raw", "digest", "figures"]
    assert all(f.holds for f in found)
    assert found[2].figures > 100


def test_a_changed_sample_is_found_twice(stated: Run) -> None:
    series, trace = next(i for i in stated.traces.items() if i[0].quantity is Quantity.ENERGY)
    values = trace.value[:]
    values[len(values) // 2] *= 1.5
    changed = replace(stated, traces={**stated.traces, series: Trace(trace.t_ns, values)})
    raw, digest, said = check(changed, summarize(changed))
    assert raw.holds and not digest.holds and not said.holds
    assert any("energy_j" in wrong for wrong in said.wrong)


def test_a_changed_figure_is_named_with_both_values(stated: Run) -> None:
    assert stated.stated is not None
    figures_then = dict(stated.stated["figures"])
    figures_then["total.energy_j"] += 1e-9
    changed = replace(stated, stated={**stated.stated, "figures": figures_then})
    (wrong,) = check(changed, summarize(changed))[2].wrong
    assert wrong.startswith("total.energy_j: ") and "is computed" in wrong


def test_samples_out_of_order_are_found(stated: Run) -> None:
    series, trace = next(iter(stated.traces.items()))
    changed = replace(
        stated, traces={**stated.traces, series: Trace(trace.t_ns[::-1], trace.value)}
    )
    assert not check(changed, summarize(changed))[0].holds


def test_a_run_of_which_nothing_was_stated_is_checked_as_far_as_it_goes() -> None:
    run = load(GOLDEN)
    (raw,) = check(run, summarize(run))
    assert raw.holds


@pytest.mark.parametrize("form", ["json", "csv", "html", "text"])
def test_reports_hold_until_a_digit_of_them_is_changed(form: str) -> None:
    run = load(GOLDEN)
    summary = summarize(run)
    text = {
        "json": lambda: jsonfile.render(summary),
        "csv": lambda: csvfile.render([(run, summary)]),
        "html": lambda: htmlpage.render(run, summary),
        "text": lambda: terminal.render(summary, path=run.path),
    }[form]()
    assert check_report("r", form, text, run, summary).holds
    energy_j = summary.devices[0].energy_j
    energy = repr(energy_j) if form in ("json", "csv") else f"{energy_j:.4g}"
    assert energy in text
    forged = text.replace(energy, "199.9")
    assert not check_report("r", form, forged, run, summary).holds
    assert not check_report("r", form, "", run, summary).holds


def test_figures_are_numbers_by_their_path() -> None:
    document = {"a": 1, "b": {"c": [None, True, "x", 2.5]}, "environment": {"d": 3}}
    assert dict(figures(document)) == {"a": 1, "b.c.0": None, "b.c.1": True, "b.c.3": 2.5}
