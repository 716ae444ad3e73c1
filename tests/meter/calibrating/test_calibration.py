"""Gain and offset against a log; what a run shows of a counter; logs that can't be used."""

import time
from array import array
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.meter.synthetic import CARD, START, Sensor, Wave, card, readings, run_of
from vidmeter.meter.calibrating.calibration import Compared, calibrate
from vidmeter.meter.calibrating.characterise import Characterised, characterise, edges_of, joined
from vidmeter.meter.calibrating.reference import Log, read_log
from vidmeter.meter.cards import recall, remember
from vidmeter.meter.clock import Anchor
from vidmeter.meter.errors import BadCalibration
from vidmeter.meter.probing import observe
from vidmeter.meter.quality import Calibration, Origin, SeriesQuality, Verdict
from vidmeter.meter.run import Phase, Run, Trace
from vidmeter.meter.sample import Quantity

Floats = NDArray[np.float64]
S = 1_000_000_000
REAL_S = 1_700_000_000
"""The wall clock at START."""


def busy(t: Floats) -> Floats:
    """Idle for 12 s, busy for 15 s, then in turns of 3 s."""
    w = np.where((t > 12) & (t < 27), 610.0, 90.0)
    return np.where((t > 27) & ((t // 3) % 2 == 0), 350.0, w)


@lru_cache
def recorded(
    seconds: float = 45.0, power_w: Callable[[Floats], Floats] = busy, *,
    counter: Callable[[Floats], Floats] | None = None, ring: bool = True, marked: bool = False,
) -> tuple[Wave, Run]:  # fmt: skip
    """A run of a card with a ring, or instant power, and a counter; `counter` scales its watts."""
    wave, rng = Wave(seconds, power_w), np.random.default_rng(3)
    traces = {
        Quantity.POWER_INSTANT: readings(wave, Sensor(Quantity.POWER_INSTANT, 100, 100), rng),
    }
    if ring:
        traces[Quantity.POWER_RING] = readings(
            wave, Sensor(Quantity.POWER_RING, 20, 20), rng, noise_w=0.5
        )
    counted = Wave(seconds, lambda t: counter(power_w(t))) if counter else wave
    traces[Quantity.ENERGY] = readings(counted, Sensor(Quantity.ENERGY, 100), rng)
    run = run_of(wave, card(), traces)
    if marked:
        run = replace(run, phases=(Phase("1", "on", START + 12 * S, START + 27 * S),))
    return wave, run


def log_of(
    wave: Wave, *, gain: float = 1.0, offset_w: float = 0.0, ahead_s: float = 0.0,
    spacing_s: float = 0.1, noise_w: float = 0.0, seed: int = 0,
) -> Log:  # fmt: skip
    """The log of a meter in whose truth the card's reading is gain × true + offset."""
    rng = np.random.default_rng(seed)
    t = np.arange(0.0, wave.seconds, spacing_s) + 0.013
    true_w = (wave.mean_w(t, spacing_s) - offset_w) / gain
    power_w = true_w + (rng.normal(0, noise_w, len(t)) if noise_w else 0.0)
    return Log(REAL_S + t - spacing_s / 2 + ahead_s, power_w, spacing_s)


def compare(run: Run, log: Log, *, meter_error: float = 0.01) -> Compared:
    (device,) = run.devices
    quality = observe(run, device)
    return calibrate(run, device, log, quality=quality, meter="PMD", meter_error=meter_error)


def test_gain_offset_and_the_meters_clock_are_recovered() -> None:
    wave, run = recorded()
    found = compare(run, log_of(wave, gain=0.954, offset_w=-1.2, ahead_s=1.7, noise_w=0.5))
    c = found.calibration
    assert (c.uuid, c.meter, c.made) == (CARD, "PMD", "2023-11-14")
    assert c.gain == pytest.approx(0.954, abs=0.003)
    assert c.offset_w == pytest.approx(-1.2, abs=1.0)
    assert found.shift_s == pytest.approx(1.7, abs=0.03)
    assert c.r2 > 0.999
    assert 0.01 <= c.error < 0.02
    assert found.quantity is Quantity.POWER_RING
    assert found.calibrated_w == pytest.approx(found.meter_w, rel=0.005)
    assert found.raw_w == pytest.approx(0.954 * found.meter_w - 1.2, rel=0.005)


@given(
    gain=st.floats(0.85, 1.2), offset_w=st.floats(-25, 25), ahead_s=st.floats(-2.7, 2.7),
    spacing_s=st.sampled_from([0.02, 0.1, 0.5, 1.0]), seed=st.integers(0, 1000),
)  # fmt: skip
@settings(deadline=None, max_examples=10)
def test_any_line_is_recovered_within_its_stated_error(
    gain: float, offset_w: float, ahead_s: float, spacing_s: float, seed: int
) -> None:
    wave, run = recorded()
    log = log_of(wave, gain=gain, offset_w=offset_w, ahead_s=ahead_s, spacing_s=spacing_s,
                 noise_w=1.0, seed=seed)  # fmt: skip
    c = compare(run, log).calibration
    for watts in (90.0, 350.0, 610.0):
        true_w = (watts - offset_w) / gain
        assert c.true_w(watts) == pytest.approx(true_w, rel=max(0.01, c.error), abs=1.5)


def test_gaps_of_the_log_are_left_out_and_counted() -> None:
    wave, run = recorded()
    log = log_of(wave, gain=0.95, ahead_s=0.4)
    # What the meter would have said in its gap is nonsense: if it were used, the line would show.
    kept = (log.t_s < REAL_S + 15) | (log.t_s > REAL_S + 22)
    found = compare(run, Log(log.t_s[kept], log.power_w[kept], log.spacing_s))
    assert found.gap_s == pytest.approx(7, abs=0.3)
    assert found.calibration.compared_s == pytest.approx(found.span_s - 7, abs=3)
    assert found.calibration.gain == pytest.approx(0.95, abs=0.003)


def test_a_log_of_another_time_is_refused() -> None:
    wave, run = recorded()
    log = log_of(wave)
    with pytest.raises(BadCalibration, match=r"2023-11-15 .* have no time in common"):
        compare(run, log._replace(t_s=log.t_s + 86_400))


def test_too_short_a_log_is_refused() -> None:
    wave, run = recorded()
    log = log_of(wave)
    with pytest.raises(BadCalibration, match="at least 20 s are needed"):
        compare(run, Log(log.t_s[:150], log.power_w[:150], 0.1))


def test_steady_power_can_not_tell_gain_from_offset() -> None:
    wave, run = recorded(power_w=lambda t: 400 + 5 * np.sin(t))
    with pytest.raises(BadCalibration, match="too little spread"):
        compare(run, log_of(wave))


def test_the_log_of_another_card_is_refused() -> None:
    _, run = recorded()
    other = Wave(45.0, lambda t: np.where((t // 4) % 2 == 0, 500.0, 150.0))
    with pytest.raises(BadCalibration, match="doesn't follow this card"):
        compare(run, log_of(other))


def test_a_log_in_other_units_is_refused() -> None:
    wave, run = recorded()
    with pytest.raises(BadCalibration, match="can't be of this card alone"):
        compare(run, log_of(wave, gain=0.3))


def test_a_run_in_which_the_clock_was_set_is_refused() -> None:
    wave, run = recorded()
    anchors = (*run.anchors, Anchor(START + 5 * S, (REAL_S + 8) * S))
    with pytest.raises(BadCalibration, match="wall clock was set"):
        compare(replace(run, anchors=anchors), log_of(wave))


def test_a_calibration_is_kept_for_its_card_alone(tmp_path: Path) -> None:
    wave, run = recorded()
    found = compare(run, log_of(wave, gain=0.95)).calibration
    remember(CARD, calibration=found, where=tmp_path)
    assert recall(run.devices[0], where=tmp_path).calibration == found
    other = replace(run.devices[0], uuid="GPU-other")
    assert recall(other, where=tmp_path).calibration is None


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("time,watts", "{s},{w}"),
        ("Timestamp (s); Power [W]", "{s};{w}"),
        ("unix_time,volts,Active Power", "{s},230.1,{w}"),
        ("t,mW", "{s},{mw}"),
        ("epoch\tpower_w", "{ms}\t{w}"),
        ("DateTime,Watts", "{iso},{w} W"),
    ],
)
def test_columns_are_found_by_many_names(header: str, row: str, tmp_path: Path) -> None:
    t = REAL_S + 0.25 + np.arange(20) / 2
    lines = [
        row.format(s=s, w=300.5, mw=300500, ms=s * 1e3, iso=datetime.fromtimestamp(s, UTC))
        for s in t.tolist()
    ]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["# made by a meter", header, *lines]))
    log = read_log(path)
    assert log.t_s == pytest.approx(t, abs=1e-3)
    assert log.power_w == pytest.approx(300.5)
    assert log.spacing_s == pytest.approx(0.5)


def test_decimal_commas_are_read(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("time;watts\n" + "".join(f"{REAL_S + i};30{i % 10},5\n" for i in range(20)))
    assert read_log(path).power_w[:3].tolist() == [300.5, 301.5, 302.5]


GOOD = [f"{REAL_S + i},300" for i in range(20)]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "is empty"),
        (["when,how much", *GOOD], "no column of time: it has when, how much"),
        (["time,volts", *GOOD], "no column of watts"),
        (["time,watts", *GOOD, "soon,300"], "row 22: the time 'soon' is neither"),
        (["time,watts", *GOOD, f"{REAL_S + 99},many"], "'many' is not a number of watts"),
        (["time,watts", *GOOD, f"{REAL_S + 99},nan"], "'nan' is not a number of watts"),
        (["time,watts", *GOOD, f"{REAL_S + 99}"], "row 22: too few columns"),
        (["time,watts", *GOOD, f"{REAL_S + 99},-5"], "row 22: -5 W can't be"),
        (["time,watts", *GOOD, f"{REAL_S},300"], "row 22: its time is before"),
        (["time,watts", "2026-01-01T12:00:00,300"], "has no zone"),
        (["time,watts", "12.5,300"], "doesn't count from 1970"),
        (["time,watts", *GOOD[:5]], "too few to compare"),
        (["time,watts", *GOOD[::5], *[f"{REAL_S + 20 * i},3" for i in range(2, 9)]], "each 20 s"),
    ],
)
def test_a_log_that_makes_no_sense_is_refused_in_one_line(
    lines: list[str], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "log.csv"
    path.write_text("\n".join(lines))
    with pytest.raises(BadCalibration) as caught:
        read_log(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_log_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadCalibration, match="can't read"):
        read_log(tmp_path / "none.csv")
    (tmp_path / "sheet.csv").write_bytes(b"PK\x03\x04\xff\xfe\xfa")
    with pytest.raises(BadCalibration, match="not a text file"):
        read_log(tmp_path / "sheet.csv")


def counter_of(found: Characterised) -> SeriesQuality:
    quality = found.quality.of(Quantity.ENERGY)
    assert quality is not None
    return quality


def test_a_true_counter_agrees_at_idle_and_under_load() -> None:
    _, run = recorded(marked=True)
    found = characterise(run, run.devices[0])
    assert [(g.state, g.holds, g.decides) for g in found.gates] == [
        ("idle", True, True),
        ("load", True, True),
    ]
    assert counter_of(found).verdict is Verdict.WORKS
    assert counter_of(found).refresh_ns == pytest.approx(100e6, abs=1e6)


def test_a_counter_that_ticks_at_one_power_is_broken_though_right_under_load() -> None:
    _, run = recorded(counter=lambda w: np.full_like(w, 610.0), marked=True)
    found = characterise(run, run.devices[0])
    assert [(g.state, g.holds) for g in found.gates] == [("idle", False), ("load", True)]
    assert counter_of(found).verdict is Verdict.BROKEN
    assert "s idle" in str(counter_of(found).reason)


@pytest.mark.parametrize("ring", [True, False])
def test_a_counter_that_counts_too_little_is_broken(ring: bool) -> None:
    _, run = recorded(15, lambda t: np.full_like(t, 65.4), counter=lambda w: w * 187 / 327)
    if not ring:
        _, run = recorded(15, lambda t: 65.4 + np.sin(t), counter=lambda w: w * 0.57, ring=False)
    found = characterise(run, run.devices[0])
    quality = counter_of(found)
    if ring:
        assert quality.verdict is Verdict.BROKEN
        assert "(-43 % over 15 s watched)" in str(quality.reason)
    else:  # one other reading doesn't tell which of both is wrong
        assert [g.decides for g in found.gates] == [False]
        assert quality.verdict is Verdict.WORKS
        assert "nothing to hold it against" in str(quality.reason)


def test_a_short_look_decides_nothing_about_a_counter() -> None:
    _, run = recorded(6, lambda t: 300 + 20 * np.sin(t), counter=lambda w: w * 0.9)
    found = characterise(run, run.devices[0])
    assert [g.decides for g in found.gates] == [False]
    assert counter_of(found).verdict is Verdict.WORKS


def test_a_power_reading_that_ignores_the_load_is_broken() -> None:
    _, run = recorded(marked=True)
    stuck = {
        s: Trace(t.t_ns, array("d", [75.0] * len(t.value)))
        if s.quantity is Quantity.POWER_INSTANT
        else t
        for s, t in run.traces.items()
    }
    found = characterise(replace(run, traces=stuck), run.devices[0])
    quality = found.quality.of(Quantity.POWER_INSTANT)
    assert quality is not None and quality.verdict is Verdict.BROKEN
    assert "stayed at 75 W" in str(quality.reason)


def test_a_run_without_a_load_takes_nothing_from_what_was_measured_before() -> None:
    _, run = recorded(15, lambda t: np.full_like(t, 300.0))
    new = characterise(run, run.devices[0]).quality
    kept = replace(
        new,
        series=tuple(
            replace(s, window_ns=25_000_000, window_origin=Origin.MEASURED, delay_ns=7)
            if s.quantity is Quantity.POWER_INSTANT
            else s
            for s in new.series
        ),
    )
    instant = joined(new, kept).of(Quantity.POWER_INSTANT)
    assert instant is not None
    assert (instant.window_ns, instant.window_origin, instant.delay_ns) == (
        25_000_000, Origin.MEASURED, 7,
    )  # fmt: skip
    assert joined(new, replace(kept, driver_version="other")) == new


def test_a_calibration_says_what_is_true() -> None:
    found = Calibration(CARD, 0.95, -2.0, 1.0, 0.01, "PMD", "2026-01-01", 40.0)
    assert found.true_w(0.95 * 400 - 2) == pytest.approx(400)


def test_stretches_of_load_that_overlap_are_one_and_open_ones_are_none() -> None:
    _, run = recorded()
    spans = [(5, 7), (1, 3), (2, 4), (9, None)]
    phases = tuple(
        Phase(str(i), "on", START + a * S, None if b is None else START + b * S)
        for i, (a, b) in enumerate(spans)
    )
    others = (Phase("x", "decode", START, START + 30 * S),)
    edges = edges_of(replace(run, phases=phases + others))
    assert [(e - START) // S for e in edges] == [1, 4, 5, 7]


def test_a_run_of_many_minutes_is_analysed_in_seconds() -> None:
    rng = np.random.default_rng(0)
    levels, at = rng.uniform(200, 400, 2000), np.cumsum(rng.uniform(0.2, 0.8, 1999))
    wave = Wave(900.0, lambda t: levels[np.searchsorted(at, t)])
    run = run_of(
        wave,
        card(),
        {
            Quantity.POWER_RING: readings(wave, Sensor(Quantity.POWER_RING, 20, 20), rng),
            Quantity.POWER_INSTANT: readings(wave, Sensor(Quantity.POWER_INSTANT, 100, 40), rng),
        },
    )
    start = time.monotonic()
    found = characterise(run, run.devices[0]).quality.of(Quantity.POWER_INSTANT)
    assert time.monotonic() - start < 10
    assert found is not None and found.window_ns == pytest.approx(40e6, rel=0.1)


def test_a_rise_between_two_readings_is_that_of_the_fit() -> None:
    rng, edges = (
        np.random.default_rng(1),
        np.cumsum(np.random.default_rng(0).uniform(0.02, 0.1, 400)),
    )
    edges = np.concatenate(([3.0, 4.5, 6.0, 7.5, 9.0, 10.5], 12.0 + edges))
    wave = Wave(40.0, lambda t: np.where(np.searchsorted(edges, t) % 2 == 1, 600.0, 90.0))
    at = START + np.round(edges * S).astype(np.int64)
    phases = tuple(
        Phase(str(i), "on", int(a), int(b))
        for i, (a, b) in enumerate(zip(at[::2], at[1::2], strict=True))
    )
    sensor = Sensor(Quantity.POWER_INSTANT, 100, 25, delay_ms=20)
    run = run_of(wave, card(), {Quantity.POWER_INSTANT: readings(wave, sensor, rng)})
    found = characterise(replace(run, phases=phases), run.devices[0])
    (instant,) = [f for f in found.found if f.quality.quantity is Quantity.POWER_INSTANT]
    assert instant.rise_s == pytest.approx(0.02, rel=0.1)  # 0.8 of 25 ms
    assert instant.quality.delay_ns == pytest.approx(20e6, abs=2e6)
