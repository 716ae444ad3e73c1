"""What the accuracy benchmark computes and prints, from made-up plays and made-up readings."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.accuracy.classes import CLASSES, cards
from benchmarks.accuracy.environments import PACKAGES, requirement, version
from benchmarks.accuracy.table import (
    OURS,
    Reading,
    Row,
    Verdict,
    best,
    by_class,
    markdown,
    rows,
    verdict,
)
from benchmarks.accuracy.waveforms import (
    IDLE_W,
    MARGIN_S,
    MOST_POINTS,
    STRETCH_S,
    WAVEFORMS,
    Window,
    plays,
)

ROOT = Path(__file__).parents[2]
FOLLOWER = ROOT / "benchmarks" / "accuracy" / "peers" / "windows.py"
S = 1_000_000_000
LEAD_S = 3.0

MEAN_W = {
    "constant 400 W": 400,
    "square 137 ms": 500,
    "square 37 ms": 500,
    "square 100 ms, locked": 500,
    "pulses, 20 Hz": (15 * 650 + 35 * 250) / 50,
}
"""What a window of a whole number of periods has on average."""


def taken(meter: str, energy_j: float | None, *, sensor: str = "A", wave: str = "w") -> Reading:
    return Reading(0, sensor, wave, meter, 1000.0, energy_j, None if energy_j else "broken")


def ours(energy_j: float, low_j: float, high_j: float, *, wave: str = "w") -> Reading:
    base = taken(OURS, energy_j, wave=wave)
    return replace(base, low_j=low_j, high_j=high_j, source="counter")


def truths(seed: int) -> dict[str, tuple[Window, float]]:
    """Each window and its true energy, as the driver's own arithmetic has it."""
    found = {}
    for play in plays(WAVEFORMS, LEAD_S, seed):
        card = cards(play.curve, 0)[0]
        for w in play.windows:
            energy_j = card.true_energy_j(round(w.begin_s * S), round(w.end_s * S))
            found[w.waveform] = (w, energy_j)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_windows_have_the_energy_that_their_waveform_says(seed: int) -> None:
    found = truths(seed)

    for name, mean_w in MEAN_W.items():
        window, energy_j = found[name]
        assert energy_j == pytest.approx(mean_w * (window.end_s - window.begin_s), rel=2e-3)
    window, energy_j = found["ramp"]
    over_s = window.end_s - window.begin_s - 20
    assert energy_j == pytest.approx(20 * 400 + over_s * 700, abs=0.001)
    window, energy_j = found["burst of 80 ms"]
    assert energy_j == pytest.approx(
        (window.end_s - window.begin_s) * IDLE_W + 0.08 * (700 - IDLE_W), abs=0.001
    )
    window, energy_j = found["denoising"]
    loud_j = 8 * 140 + 1.5 * 480 + 40 * (0.947 * 655 + 0.1 * 330) + 5 * 470 + 3.62 * 130
    idle_s = window.end_s - window.begin_s - (8 + 1.5 + 40 * 1.047 + 5 + 3.62)
    assert energy_j == pytest.approx(loud_j + idle_s * IDLE_W, abs=0.001)


@pytest.mark.parametrize("seed", range(3))
def test_every_waveform_is_played_once_on_curves_that_the_driver_can_hold(seed: int) -> None:
    done = plays(WAVEFORMS, LEAD_S, seed)

    assert [w.waveform for play in done for w in play.windows] == [w.name for w in WAVEFORMS]
    for play in done:
        assert len(play.curve) <= MOST_POINTS
        assert all(a[0] <= b[0] for a, b in pairwise(play.curve))
        assert play.windows[0].begin_s >= LEAD_S + MARGIN_S
        assert play.windows[-1].end_s + MARGIN_S <= play.curve[-1][0]
        assert all(a.end_s + 2 * MARGIN_S < b.begin_s for a, b in pairwise(play.windows))


def test_rounds_differ_in_where_windows_lie_and_how_long_they_last() -> None:
    first, second = truths(0), truths(1)

    for waveform in WAVEFORMS:
        (a, _), (b, _) = first[waveform.name], second[waveform.name]
        assert a.begin_s % 0.1 != pytest.approx(b.begin_s % 0.1, abs=1e-6)
        assert a.end_s - a.begin_s != pytest.approx(b.end_s - b.begin_s, abs=1e-6)
        for window in (a, b):
            assert 0 <= window.end_s - window.begin_s - waveform.seconds <= STRETCH_S
    assert truths(0) == first


def test_the_locked_square_keeps_its_phase_to_the_last_period() -> None:
    (play,) = plays([w for w in WAVEFORMS if "locked" in w.name], LEAD_S, 0)
    edges = [t for (t, a), (u, b) in pairwise(play.curve) if t == u and (a, b) == (300, 700)]

    assert len(edges) > 200
    phases = [math.remainder(t - edges[0], 0.1) for t in edges]
    assert max(map(abs, phases)) < 2e-9


def test_cards_are_one_driver_and_differ_only_in_what_they_offer() -> None:
    made = cards([(0, 1)], 5)

    assert len({card.uuid for card in made}) == len({card.pci for card in made}) == len(CLASSES)
    assert {card.epoch_ns for card in made} == {5}
    assert all(
        one.name.split()[0] not in card.name for one, card in zip(CLASSES, made, strict=True)
    )
    lines = made[-1].script()
    assert "compute_capability 12 0" in lines
    assert "architecture 10" in lines


def test_an_error_is_what_was_said_over_what_is_true() -> None:
    assert taken("nvitop", 1100).error_pct == pytest.approx(10)
    assert taken("nvitop", 400).error_pct == pytest.approx(-60)
    assert taken("nvitop", None).error_pct is None
    assert ours(1010, 960, 1060).interval_pct == pytest.approx(100 * 50 / 1010)
    assert ours(1010, 960, 1060).holds is True
    assert ours(1100, 1001, 1200).holds is False
    assert taken("nvitop", 1000).holds is None


def test_a_row_states_the_worst_round_with_its_sign() -> None:
    readings = [taken("nvitop", j) for j in (1010, 950, 1040)]

    (row,) = rows(readings)

    assert row.cells["nvitop"].error_pct == pytest.approx(-5)


def test_an_interval_must_hold_in_every_round() -> None:
    good, bad = ours(1000, 950, 1050), ours(1100, 1050, 1150)

    assert rows([good, good])[0].holds is True
    assert rows([good, bad])[0].holds is False
    assert rows([good, bad])[0].interval_pct == pytest.approx(5)


def test_a_meter_without_energy_in_one_round_has_no_error() -> None:
    (row,) = rows([taken("nvitop", 1000), taken("nvitop", None), ours(1300, 900, 1500)])

    assert row.cells["nvitop"].error_pct is None
    assert row.cells["nvitop"].reason == "broken"
    assert best(row) == {OURS}


def test_errors_within_the_tolerance_tie() -> None:
    (row,) = rows([ours(1004.0, 1, 2), taken("nvitop", 996.4), taken("CodeCarbon", 1010)])

    assert best(row) == {OURS, "nvitop"}  # 0.40 and 0.36
    (row,) = rows([ours(1004.0, 1, 2), taken("nvitop", 996.6), taken("CodeCarbon", 1010)])
    assert best(row) == {"nvitop"}  # 0.40 and 0.34


def test_the_verdict_counts_rows_won_and_rows_held() -> None:
    table = rows(
        [
            ours(1001, 950, 1050, wave="won and held"),
            taken("nvitop", 1020, wave="won and held"),
            ours(1100, 1050, 1150, wave="lost and missed"),
            taken("nvitop", 1020, wave="lost and missed"),
            ours(1030, 950, 1050, wave="lost and held"),
            taken("nvitop", 1020, wave="lost and held"),
            taken(OURS, None, wave="refused"),
            taken("nvitop", 1500, wave="refused"),
        ]
    )

    assert verdict(table) == Verdict(rows=4, smallest=1, holds=2)
    assert "smallest error in 1 of 4 rows" in str(verdict(table))


def test_rows_of_a_class_stand_together_in_the_order_of_its_waveforms() -> None:
    table = rows([taken("nvitop", 1, sensor=s, wave=w) for w in ("x", "y") for s in ("B", "A")])

    assert [(r.sensor_class, r.waveform) for r in table] == [
        ("B", "x"), ("B", "y"), ("A", "x"), ("A", "y"),
    ]  # fmt: skip


def test_the_table_shows_errors_the_best_in_bold_and_why_a_meter_has_none() -> None:
    readings = [ours(1001.2, 950, 1050), taken("ZeusMonitor", None), taken("nvitop", 900)]
    missed = [ours(1100, 1050, 1150, wave="v"), taken("ZeusMonitor", 1000, wave="v")]

    text = markdown(rows(readings + missed))

    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert lines == [
        "| sensor | true power | vidmeter | its source | its interval | ZeusMonitor | nvitop |",
        "| A | w | **+0.12 %** | counter | ± 5 % | –<sup>1</sup> | -10.00 % |",
        "|  | v | +10.00 % | counter | ± 4.5 %, MISSES | **+0.00 %** |  |",
    ]
    assert "<sup>1</sup> broken." in text
    assert text.endswith(str(Verdict(2, 1, 1)))


def test_a_class_is_summed_up_by_its_largest_errors() -> None:
    table = rows([ours(1001, 1, 2), ours(980, 1, 2, wave="v"), taken("nvitop", 1050)])

    assert "| A | **-2.00 %** | +5.00 % |" in by_class(table)


def test_rows_survive_their_file() -> None:
    table = rows([ours(1001, 950, 1050), taken("ZeusMonitor", None)])

    again = [Row.from_json(json.loads(json.dumps(row.as_json()))) for row in table]

    assert again == table


def test_peers_are_those_of_the_list_and_a_missing_one_is_noticed() -> None:
    assert requirement("zeus") == "zeus==0.16.0"
    assert all(requirement(package).partition("==")[0] == package for package in PACKAGES)
    assert version(Path(sys.executable), "pytest") == pytest.__version__
    assert version(Path(sys.executable), "no-such-package") is None


PEER = """
import time
from windows import follow, plan

class Clocked:
    def open(self):
        time.sleep(0.02)
        self.t = time.monotonic()
    def close(self):
        self.length_s = time.monotonic() - self.t
    def energies(self):
        return {0: self.length_s, 1: "no card"}

follow(plan()["windows"], [Clocked()])
"""


def test_a_peer_is_opened_and_closed_as_planned_and_timed_by_the_middle_of_its_calls(
    tmp_path: Path,
) -> None:
    program, plan, result = (tmp_path / name for name in ("peer.py", "plan.json", "out.jsonl"))
    program.write_text(f"import sys\nsys.path.insert(0, {str(FOLLOWER.parent)!r})\n{PEER}")
    script = "import time; print(time.monotonic_ns())"
    now_ns = int(subprocess.check_output([sys.executable, "-c", script]))
    begin_ns, end_ns = now_ns + S // 2, now_ns + S * 8 // 10
    windows = [{"waveform": "w", "begin_ns": begin_ns, "end_ns": end_ns}]
    plan.write_text(json.dumps({"windows": windows, "gpus": 2}))

    subprocess.run([sys.executable, program, plan, result], check=True, timeout=30)

    ready, first, second = map(json.loads, result.read_text().splitlines())
    assert ready == {"ready": True}
    assert 0 <= first["begin_ns"] - begin_ns - 0.01 * S < 0.2 * S
    assert 0 <= first["end_ns"] - end_ns < 0.2 * S
    length_s = (first["end_ns"] - first["begin_ns"]) / S
    assert first["energy_j"] == pytest.approx(length_s - 0.01, abs=0.05)
    assert (second["gpu"], second["reason"]) == (1, "no card")
    assert "energy_j" not in second
