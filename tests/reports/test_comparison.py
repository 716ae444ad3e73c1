"""Arms held against each other: pairs where they took turns, names for what differs, phases."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.reports.benches import S, commands, repeat, videos
from vidmeter.meter.comparing import difference
from vidmeter.meter.device import Provenance
from vidmeter.meter.run import Phase
from vidmeter.meter.summarize import summarize
from vidmeter.reports.arms import arm_of, arms
from vidmeter.reports.comparison import OUTSIDE, compare

A = [100, 101, 102, 103, 104, 105]
B = [110, 111.3, 112.1, 113.2, 114.5, 115.4]


def plain(watts, starts_s, **more):
    """Runs that no bench made, each begun at its second."""
    found = []
    for n, (power, start_s) in enumerate(zip(watts, starts_s, strict=True)):
        run, _ = repeat(power, number=n, **more)
        run = replace(
            run,
            id=f"run{start_s}",
            workload=None,
            environment={"host": "one", "started_real_ns": start_s * S},
        )
        found.append((run, replace(summarize(run), started_real_ns=start_s * S)))
    return found


def test_arms_of_a_bench_are_compared_round_by_round():
    (c,) = compare(arms(commands("a", A) + commands("b", B)))
    assert c.interleaved
    assert (c.found.rounds, c.found.verdict) == (6, "higher")
    assert c.found.low < 1.1 < c.found.high
    (back,) = compare(arms(commands("b", B) + commands("a", A)))
    assert back.found.ratio == pytest.approx(1 / c.found.ratio)


def test_every_arm_is_held_against_the_first():
    found = compare(arms(commands("a", A) + commands("b", B) + commands("c", A)))
    assert [(c.a.label, c.b.label) for c in found] == [("a", "b"), ("a", "c")]
    assert found[1].found.verdict == "not distinguishable"


def test_runs_that_took_turns_are_pairs_though_no_bench_made_them():
    a, b = plain(A, range(0, 120, 20)), plain(B, range(10, 130, 20))
    (c,) = compare([arm_of("a", a), arm_of("b", b)])
    assert c.interleaved and c.found.rounds == 6
    # Either may be first in a pair.
    a, b = plain(A, [0, 30, 40, 70, 80, 110]), plain(B, [10, 20, 50, 60, 90, 100])
    (c,) = compare([arm_of("a", a), arm_of("b", b)])
    assert c.interleaved and c.found.rounds == 6


def test_runs_one_after_the_other_are_no_pairs_and_drift_weighs():
    drifting = [100 + n for n in range(6)]
    later = [106 + n for n in range(6)]
    a, b = plain(drifting, range(0, 60, 10)), plain(later, range(60, 120, 10))
    (c,) = compare([arm_of("a", a), arm_of("b", b)])
    assert not c.interleaved
    assert c.found.verdict == "not distinguishable", "a drift alone makes this difference"


def test_runs_of_two_hosts_are_no_pairs():
    a, b = plain(A, range(0, 120, 20)), plain(B, range(10, 130, 20))
    b = [(replace(run, environment={"host": "two"}), summary) for run, summary in b]
    (c,) = compare([arm_of("a", a), arm_of("b", b)])
    assert not c.interleaved


def test_one_run_of_each_has_a_ratio_and_claims_nothing():
    (c,) = compare([arm_of("a", plain([100], [0])), arm_of("b", plain([200], [10]))])
    assert c.found.ratio == pytest.approx(2)
    assert (c.found.low, c.found.verdict) == (None, "not distinguishable")


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"card": "NVIDIA H100 80GB HBM3"}, "card: NVIDIA H200 and NVIDIA H100 80GB HBM3"),
        ({"facts": {"weights": "path"}}, "weights: random and path"),
        ({"settings": {"steps": 30}}, "steps: 50 and 30"),
        ({"workload": "ltx-video-2b"}, "workload: wan2.1-t2v-1.3b and ltx-video-2b"),
        ({"facts": {"weights": "random", "versions": {"torch": "2.12"}}}, "torch: 2.13 and 2.12"),
    ],
)
def test_what_differs_beside_the_energy_is_named(changed, named):
    versions = {"weights": "random", "versions": {"torch": "2.13"}}
    a = videos([[100.0], [101.0]], facts=versions)
    b = videos([[100.0], [101.0]], **({"facts": versions} | changed | {"arm": "b"}))
    (c,) = compare(arms(a + b))
    assert named in c.unlike
    (alike,) = compare(arms(a + videos([[100.0], [101.0]], facts=versions, arm="b")))
    assert alike.unlike == ()


def test_measured_and_simulated_energies_and_other_figures_have_no_ratio():
    simulated = commands("b", [100, 101], provenance=Provenance.SIMULATED)
    (c,) = compare(arms(commands("a", [100, 101]) + simulated))
    assert c.found is None and c.why == "one is measured, the other simulated"
    (c,) = compare(arms(commands("a", [100, 101]) + videos([[100.0], [101.0]])))
    assert c.why == "one answers in J per run, the other in J per second of video"


def with_phases(watts, split_s, **more):
    """A run of 8 s: `denoise` up to the split, then `decode` up to 7 s, then nothing marked."""
    run, _ = repeat(watts, **more)
    t0 = run.start_ns
    phases = (
        Phase("1", "denoise", t0, t0 + int(split_s * S)),
        Phase("2", "decode", t0 + int(split_s * S), t0 + 7 * S),
    )
    run = replace(run, phases=phases)
    return run, summarize(run)


def test_the_difference_is_shared_out_among_the_phases_and_adds_up():
    a = [with_phases(100, 4, block=n, number=n, arm="a") for n in (1, 2, 3)]
    b = [with_phases(100 + n, 5, block=n, number=n, arm="b") for n in (1, 2, 3)]
    (c,) = compare(arms(a + b))
    parts = {phase.path: phase for phase in c.phases}
    assert parts["denoise",].a == pytest.approx(400, rel=1e-6)
    assert parts["denoise",].b == pytest.approx(102 * 5, rel=1e-6)
    assert parts["decode",].difference.value == pytest.approx(102 * 2 - 300, rel=1e-6)
    low, high = parts["decode",].difference.low, parts["decode",].difference.high
    assert low < 204 - 300 < high
    whole = c.b.estimate.mean - c.a.estimate.mean
    assert sum(p.difference.value for p in c.phases) == pytest.approx(whole, rel=1e-9)
    assert OUTSIDE in parts
    assert c.phases[0].path == ("denoise",), "the largest difference first"


def test_phases_are_told_by_processes_and_in_pairs_where_these_took_turns():
    """Two repeats of a process look alike; what processes differ by falls on both arms."""
    a, b = [], []
    for block, lot in enumerate((0.0, 30.0, 60.0, 90.0, 120.0), 1):
        for number, noise in enumerate((0.0, 0.5), 1):
            here = {"block": block, "number": 2 * block + number}
            a.append(with_phases(100 + lot + noise, 4, arm="a", **here))
            b.append(with_phases(110 + lot + noise + block / 10, 4, arm="b", **here))
    (c,) = compare(arms(a + b))
    told = {p.path: p.difference for p in c.phases}["denoise",]
    each = [4 * (10 + block / 10) for block in range(1, 6)]
    expected = stats.ttest_1samp(each, 0).confidence_interval(0.95)
    assert c.interleaved
    assert (told.low, told.high) == pytest.approx(tuple(expected), rel=1e-6)

    apart = [arm_of(label, [(replace(run, workload=None), s) for run, s in runs[::2]])
             for label, runs in (("a", a), ("b", b))]  # fmt: skip
    (c,) = compare(apart)
    told = {p.path: p.difference for p in c.phases}["denoise",]
    assert not c.interleaved and told.low < 0 < told.high, "the processes' lots hide it"


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=9),
    st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=9),
    st.floats(-10, 10),
)
def test_a_difference_turns_around_and_moves_with_its_values(a, b, shift):
    there, back = difference(a, b), difference(b, a)
    assert there.value == pytest.approx(-back.value, abs=1e-9)
    assert there.low == pytest.approx(-back.high, abs=1e-9)
    moved = difference(a, [x + shift for x in b])
    assert moved.value == pytest.approx(there.value + shift, abs=1e-6)
    assert moved.high - moved.low == pytest.approx(there.high - there.low, abs=1e-6)


@pytest.mark.parametrize("interleaved", [True, False])
def test_intervals_hold_the_true_ratio_in_93_to_97_of_100_cases(interleaved):
    """A thousand comparisons of six runs each, of arms whose truth is known."""
    draw, truth, held = np.random.default_rng(20), 1.03, 0
    trials = 1000
    from vidmeter.meter.comparing import paired, unpaired

    for _ in range(trials):
        a = 100 * np.exp(draw.normal(0, 0.02, 6))
        b = 100 * truth * np.exp(draw.normal(0, 0.02, 6))
        rounds = list(zip(a.tolist(), b.tolist(), strict=True))
        found = paired(rounds) if interleaved else unpaired(a.tolist(), b.tolist())
        held += found.low <= truth <= found.high
    assert 0.93 <= held / trials <= 0.97


@pytest.mark.parametrize(
    ("ns", "sds", "turns"), [((6, 6), (0.02, 0.03), True), ((6, 9), (0.02, 0.03), False)]
)
def test_what_compare_says_holds_the_truth_in_93_to_97_of_100_cases(ns, sds, turns):
    """The ratio and the difference of a phase, of processes with two repeats each.

    Processes have lots of their own; a card that drifts is shared by those that took turns.
    """
    draw, trials, truth = np.random.default_rng(21), 1000, 1.03
    (run, summary), *_ = plain([100], [0])
    held = of_phase = 0
    for _ in range(trials):
        found = []
        drift = 0.04 * np.linspace(0, 1, ns[0]) * turns
        for side, (n, sd) in enumerate(zip(ns, sds, strict=True)):
            joules = 100 * truth**side * np.exp(draw.normal(0, sd, n) + (drift if turns else 0))
            first_s = 10 * side if turns else 1000 * side
            pairs = []
            for block, mean in enumerate(joules, 1):
                for number, noise in enumerate(draw.normal(0, 0.005, 2), 1):
                    energy_j = float(mean * np.exp(noise))
                    about = {"block": block, "repeat": number}
                    at = (first_s + 20 * block + number) * S
                    total = replace(summary.total, energy_j=energy_j)
                    parts = {("denoise",): 0.8 * energy_j}
                    pairs.append((
                        replace(run, workload=about),
                        replace(summary, total=total, started_real_ns=at, own_j=parts,
                                unattributed_j=0.2 * energy_j),
                    ))  # fmt: skip
            found.append(arm_of("ab"[side], pairs))
        (c,) = compare(found)
        assert (c.interleaved, len(c.a.repeats)) == (turns, 2 * ns[0])
        # Normal on the scale of logarithms: the mean on that of joules lies half a variance higher.
        joule = [
            80 * truth**side * np.exp(sd**2 / 2) * np.exp(drift).mean()
            for side, sd in enumerate(sds)
        ]
        denoise = next(p.difference for p in c.phases if p.path == ("denoise",))
        held += c.found.low <= truth <= c.found.high
        of_phase += denoise.low <= joule[1] - joule[0] <= denoise.high
    assert 0.93 <= held / trials <= 0.97
    assert 0.93 <= of_phase / trials <= 0.97


def test_runs_of_a_folder_are_an_arm_and_are_found_without_the_blocks(tmp_path: Path):
    from vidmeter.reports.grouping import Source, by_field, by_source, runs_in

    for folder in ("repeats", "blocks"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.vidmeter").touch()
    assert [path.parent.name for path in runs_in(tmp_path, ".vidmeter")] == ["repeats"]

    two = Source("folder", tuple(commands("a", A[:2]) + commands("b", B[:2])))
    assert [arm.label for arm in by_source([two])] == ["a", "b"]
    plain_runs = Source("old", tuple(plain(A[:3], [0, 10, 20])))
    (alone,) = by_source([plain_runs])
    assert (alone.label, len(alone.repeats)) == ("old", 3)
    assert [arm.label for arm in by_source([two, plain_runs])] == [
        "folder: a", "folder: b", "old",
    ]  # fmt: skip
    steps = [videos([[100.0]], settings={"steps": n}) for n in (20, 30, 20)]
    found = by_field([Source("s", tuple(pair for group in steps for pair in group))], "steps")
    assert [(arm.label, len(arm.repeats)) for arm in found] == [("steps=20", 2), ("steps=30", 1)]
