"""Comparisons and runs as Markdown and LaTeX."""

from dataclasses import replace

import pytest

from tests.reports.benches import commands, videos
from tests.reports.test_comparison import with_phases
from vidmeter.meter.device import Provenance
from vidmeter.meter.summarize import summarize
from vidmeter.meter.summary import Caution
from vidmeter.reports import runtables, tables
from vidmeter.reports.arms import arm_of, arms
from vidmeter.reports.comparison import compare
from vidmeter.reports.format import joules

FORMS = (tables.markdown, tables.latex)


@pytest.mark.parametrize("form", FORMS)
def test_arms_that_answer_in_different_figures_have_a_column_each(form):
    found = arms(commands("a", [100, 101]) + videos([[100.0], [101.0]], arm="b"))
    text = form(found, compare(found))
    assert "J per run" in text and "J per second of video" in text
    assert "nan" not in text
    assert "A and B are not compared: one answers in J per run" in text


@pytest.mark.parametrize("form", FORMS)
def test_grave_cautions_go_with_the_table(form):
    pairs = commands("b", [100, 101])
    failed = Caution("failed", "the command failed (exit code 3)")
    b = [(run, replace(summary, cautions=(failed,))) for run, summary in pairs]
    found = [arm_of("a", commands("a", [100, 101])), arm_of("b", b)]
    assert "Caution: the command failed (exit code 3) (b)." in form(found, compare(found))


def test_labels_with_signs_of_latex_are_text():
    label = r"50% of a_b & {x} #1 ~^\ $y"
    (arm,) = arms(commands(label, [100, 101]))
    text = tables.latex([arm])
    assert r"50\% of a\_b \& \{x\} \#1 \textasciitilde{}\textasciicircum{}" in text
    assert r"\textbackslash{} \$y" in text


def cells(text):
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_a_run_is_a_table_of_its_phases_that_add_up_and_what_it_rests_on():
    run, _ = with_phases(100, 4)
    summary = summarize(run)
    head, whole, *phases, outside = cells(runtables.markdown([summary]))
    assert head == ["", "time", "energy", "95 % interval", "mean power", "share"]
    assert whole[0] == "in all" and whole[2] == joules(summary.total.energy_j)
    assert [row[0] for row in phases] == [
        " › ".join(p.path) + (f" ×{p.count}" if p.count > 1 else "") for p in summary.phases
    ]
    assert [row[2] for row in phases] == [joules(p.total.energy_j) for p in summary.phases]
    assert outside[0] == "outside phases" and outside[2] == joules(summary.unattributed_j)
    below = runtables.markdown([summary]).partition("\n\n")[2]
    assert "GPU 0 NVIDIA H200: the whole of it, from instant power, 100 % seen" in below


@pytest.mark.parametrize("form", [runtables.markdown, runtables.latex])
def test_what_was_not_measured_or_is_in_doubt_says_so_in_the_table_of_a_run(form):
    _, summary = commands("a", [100])[0]
    total = replace(summary.total, provenance=Provenance.SIMULATED, trusted=False)
    told = replace(summary, total=total, cautions=(Caution("failed", "it failed (code 3)"),))
    text = form([told, told])
    assert text.count("in all SIMULATED NOT TRUSTED") == 2
    assert text.count("Caution: it failed (code 3).") == 2


def test_phases_with_signs_of_latex_are_text():
    run, _ = with_phases(100, 4)
    phases = tuple(replace(p, name="50%_of & more") for p in run.phases)
    text = runtables.latex([summarize(replace(run, phases=phases))])
    assert r"50\%\_of \& more" in text
    assert all(line.count(" & ") == 5 for line in text.splitlines() if line.endswith(r" \\"))
