"""The tree of phases in the terminal."""

from dataclasses import replace

import pytest

from tests.reports.conftest import phase
from vidmeter.meter.summarize import summarize
from vidmeter.reports import phasetree, terminal
from vidmeter.reports.phasewords import company, facts_in_words, first_in_words

WAN = {
    "class": "WanPipeline", "height": 192, "width": 128, "frames": 17, "batch": 1, "steps": 8,
    "guidance": 5.0, "forwards_per_step": 2, "dtype": "float32", "attention": "fa3",
    "offload": None, "compiled": False, "tiling": False,
}  # fmt: skip

SNAPSHOT = """\
  phase                  time            energy          share   mean   each
  load                    4 s             512 J           25 %  128 W
  └─ transformer          2 s             256 J         12.5 %  128 W         WanTransformer3DModel
  generate             12.0 s          1.536 kJ           75 %  128 W         2 processes
  │  WanPipeline, 17 frames 128×192, 8 steps, guidance 5 (2 forwards a step), float32, fa3 attention
  ├─ denoise              8 s          1.024 kJ  ±10 %    50 %  128 W
  │  └─ step ×4           8 s          1.024 kJ           50 %  128 W  256 J  combined
  │     │  first 3.5 s, 400 J; the others 1.5 s each
  │     └─ forward ×4     4 s             512 J           25 %  128 W  128 J
  ├─ decode               2 s             256 J         12.5 %  128 W         KeyError
  ├─ blink             500 ms  below resolution              –      –
  └─ export               1 s  below resolution              –      –         left open
  outside phases         0 ms               0 J            0 %
"""


@pytest.fixture
def rich(exact):
    """A tree of four levels with every mark in it."""
    steps = [phase("step", 4 + 2 * i, 6 + 2 * i, id=f"step{i}", parent="denoise") for i in range(4)]
    run = replace(
        exact,
        phases=(
            *exact.phases,
            phase("transformer", 0, 2, parent="load"),
            *steps,
            *(replace(phase("forward", 4 + 2 * i, 5 + 2 * i, id=f"f{i}", parent=f"step{i}"))
              for i in range(4)),
            phase("decode", 12, 14, parent="generate", error="KeyError"),
            phase("blink", 14, 14.5, parent="generate"),
            phase("export", 15, None, parent="generate"),
        ),
    )  # fmt: skip
    known = {
        "generate": {"facts": WAN, "processes": 2},
        "transformer": {"facts": {"class": "WanTransformer3DModel"}},
        "denoise": {"processes": 2},
        "step": {"combined": True, "first_s": 3.5, "first_j": 400.0, "rest_mean_s": 1.5},
    }
    summary = summarize(run)
    phases = tuple(replace(p, **known.get(p.path[-1], {})) for p in summary.phases)
    wide = replace(phases[3].total, low_j=1024 * 0.9, high_j=1024 * 1.1)
    assert phases[3].path[-1] == "denoise"
    return replace(summary, phases=(*phases[:3], replace(phases[3], total=wide), *phases[4:]))


def test_the_phases_are_a_tree_with_their_marks_and_facts(rich):
    assert "\n".join(phasetree.table(rich)) + "\n" == SNAPSHOT


def test_a_stream_that_has_no_lines_gets_letters(rich):
    text = terminal.render(rich)

    plain = terminal.for_stream(text, "ascii")

    assert plain.isascii()
    assert "`- transformer" in plain
    assert "|- denoise" in plain
    assert "step x4" in plain
    assert "?" not in plain
    assert terminal.for_stream(text, "utf-8") == text


def test_no_more_than_forty_rows_and_the_smallest_are_folded(exact):
    parts = [phase(f"part {i:02d}", i / 8, 1 + (i + i / 64) / 8, id=f"p{i}") for i in range(60)]
    inner = [phase("inner", 59 / 8, 8, id="in", parent="p59")]

    summary = summarize(replace(exact, phases=(*parts, *inner)))
    lines = phasetree.table(summary)

    assert len(lines) == 1 + 40 + 1  # the head, the rows, and what is outside of phases
    assert lines[-2] == "  … 22 more"
    assert "part 59" in lines[-3] or "inner" in lines[-3]
    assert not any("part 00" in line for line in lines)


def test_nothing_is_shown_without_what_is_around_it(exact):
    chain = [phase("a", 0, 16), phase("b", 0, 16, parent="a"), phase("c", 0, 16, parent="b")]
    more = [phase(f"part {i}", i, i + 2) for i in range(8)]
    summary = summarize(replace(exact, phases=(*chain, *more)))

    kept, folded = phasetree.fold(summary.phases, 5)

    paths = {p.path for p in kept}
    assert len(kept) == 4
    assert folded == 7
    assert all(path[:-1] in paths for path in paths if len(path) > 1)
    assert ("a", "b", "c") in paths


def test_all_rows_are_shown_where_there_are_few(rich):
    assert phasetree.fold(rich.phases) == (list(rich.phases), 0)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (
            WAN,
            "WanPipeline, 17 frames 128×192, 8 steps, guidance 5 (2 forwards a step), float32,"
            " fa3 attention",
        ),
        (
            WAN | {"guidance": None, "forwards_per_step": 1, "batch": 2, "tiling": True,
                   "offload": "model", "compiled": True},
            "WanPipeline, batch 2, 17 frames 128×192, 8 steps, float32, fa3 attention,"
            " model offload, compiled, tiled",
        ),
        (
            {"class": "GPT2LMHeadModel", "input_tokens": 12, "output_tokens": 64,
             "dtype": "bfloat16"},
            "GPT2LMHeadModel, 12 tokens in, 64 tokens out, bfloat16",
        ),
        ({"class": "AutoencoderKLWan"}, "AutoencoderKLWan"),
        ({"index": 3}, ""),
        ({"class": 5, "steps": "many"}, ""),
        ({}, ""),
    ],
)  # fmt: skip
def test_the_facts_of_a_call_are_a_line(facts, words):
    assert facts_in_words(facts) == words


def test_a_first_repetition_is_apart_only_where_it_is_much_longer(rich):
    (step,) = [p for p in rich.phases if p.path[-1] == "step"]

    assert first_in_words(step) == "first 3.5 s, 400 J; the others 1.5 s each"
    assert first_in_words(replace(step, first_s=2.0)) == ""
    assert first_in_words(replace(step, first_j=None)).startswith("first 3.5 s; ")
    assert first_in_words(replace(step, first_s=None)) == ""


def test_what_is_so_of_the_phase_around_is_not_said_again(rich):
    phases = {p.path[-1]: p for p in rich.phases}
    two = replace(phases["denoise"], processes=2, concurrent=True)

    assert company(two, phases["generate"]) == ["beside others"]
    assert company(two, two) == []
    assert company(two, None) == ["beside others", "2 processes"]


def test_of_one_repetition_in_each_process_none_stands_apart(rich):
    (step,) = [p for p in rich.phases if p.path[-1] == "step"]

    assert first_in_words(replace(step, processes=2)) == ""
