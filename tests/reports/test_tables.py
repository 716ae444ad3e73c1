"""Comparisons as Markdown and LaTeX."""

from dataclasses import replace

import pytest

from tests.reports.benches import commands, videos
from vidmeter.meter.summary import Caution
from vidmeter.reports import tables
from vidmeter.reports.arms import arm_of, arms
from vidmeter.reports.comparison import compare

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
