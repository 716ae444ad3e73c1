"""What is known of a card travels whole, and only to the card that it is of."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.meter.synthetic import CARD, MS, card
from vidmeter.meter.cards import (
    Known,
    folder,
    known_of,
    read_calibration,
    recall,
    remember,
    with_known,
)
from vidmeter.meter.errors import BadCalibration
from vidmeter.meter.quality import (
    Calibration,
    Origin,
    Quality,
    SeriesQuality,
    Verdict,
    calibration_from_json,
    calibration_to_json,
    published_window_ns,
    quality_from_json,
    quality_to_json,
)
from vidmeter.meter.sample import Quantity

QUALITY = Quality(
    CARD,
    "1",
    "1",
    "2026-01-02",
    5.0,
    (
        SeriesQuality(Quantity.POWER_RING, Verdict.ABSENT, "not offered"),
        SeriesQuality(
            Quantity.POWER_INSTANT,
            Verdict.WORKS,
            refresh_ns=100 * MS,
            window_ns=25 * MS,
            window_origin=Origin.MEASURED,
            delay_ns=0,
        ),
        SeriesQuality(Quantity.ENERGY, Verdict.BROKEN, "339 W at any load", refresh_ns=100 * MS),
    ),
)
CALIBRATION = Calibration(CARD, 0.95, -1.5, 0.999, 0.012, "PMD", "2026-01-02", 55.0)


def test_quality_and_calibration_come_back_from_json_as_they_were() -> None:
    assert quality_from_json(json.loads(json.dumps(quality_to_json(QUALITY)))) == QUALITY
    text = json.dumps(calibration_to_json(CALIBRATION))
    assert calibration_from_json(json.loads(text)) == CALIBRATION


def test_what_was_found_of_a_card_is_kept_for_it(tmp_path: Path) -> None:
    assert recall(card(), where=tmp_path) == Known()
    remember(CARD, quality=QUALITY, where=tmp_path)
    remember(CARD, calibration=CALIBRATION, where=tmp_path)
    assert recall(card(), where=tmp_path) == Known(QUALITY, CALIBRATION)


def test_a_probe_holds_for_one_driver_and_one_vbios(tmp_path: Path) -> None:
    remember(CARD, quality=QUALITY, calibration=CALIBRATION, where=tmp_path)
    for change in ({"driver_version": "2"}, {"vbios": "2"}):
        assert recall(card(**change), where=tmp_path) == Known(None, CALIBRATION)


def test_a_calibration_of_another_card_is_said_and_not_applied(tmp_path: Path) -> None:
    path = remember(CARD, calibration=CALIBRATION, where=tmp_path)
    other = replace(card(), uuid="GPU-other")
    path.rename(tmp_path / "GPU-other.json")
    known = recall(other, where=tmp_path)
    assert known.calibration is None
    (doubt,) = known.doubts
    assert CARD in doubt and "GPU-other" in doubt and "not applied" in doubt and "\n" not in doubt
    in_a_run = known_of(with_known(other, Known(calibration=CALIBRATION)))
    assert in_a_run.calibration is None and "not applied" in in_a_run.doubts[0]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"schema": "vidmeter-card/1", "quality": {"uuid": 1}}', "\udcff"],
)
def test_a_damaged_file_of_a_card_is_a_doubt_and_never_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / f"{CARD}.json").write_bytes(text.encode(errors="surrogateescape"))
    known = recall(card(), where=tmp_path)
    assert known.quality is None and known.calibration is None
    assert len(known.doubts) == 1 and "delete it" in known.doubts[0]
    remember(CARD, quality=QUALITY, where=tmp_path)
    assert recall(card(), where=tmp_path).quality == QUALITY


@pytest.mark.parametrize(
    "change", [{"gain": 5.0}, {"offset_w": 900.0}, {"error": -0.1}, {"surprise": 1}]
)
def test_a_calibration_that_makes_no_sense_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(BadCalibration):
        calibration_from_json(calibration_to_json(CALIBRATION) | change)


def test_a_file_without_a_calibration_is_one_line(tmp_path: Path) -> None:
    path = remember(CARD, quality=QUALITY, where=tmp_path)
    with pytest.raises(BadCalibration, match="holds no calibration"):
        read_calibration(path)
    with pytest.raises(BadCalibration, match="can't read"):
        read_calibration(tmp_path / "nothing.json")


def test_cards_are_kept_in_the_data_folder() -> None:
    assert folder({"XDG_DATA_HOME": "/data"}) == Path("/data/vidmeter/cards")


def test_a_published_window_counts_where_the_refresh_period_fits() -> None:
    instant = Quantity.POWER_INSTANT
    assert published_window_ns("9.0", instant, 100 * MS) == 25 * MS
    assert published_window_ns("9.0", instant, None) == 25 * MS
    assert published_window_ns("9.0", instant, 20 * MS) is None
    assert published_window_ns("12.0", instant, 100 * MS) is None
    assert published_window_ns(None, instant, 100 * MS) is None
    assert published_window_ns("9.0", Quantity.POWER_AVERAGE, 100 * MS) is None


def test_the_share_that_is_seen_follows_from_window_and_refresh() -> None:
    ring, instant, counter = QUALITY.series
    assert instant.seen_share == 0.25
    assert ring.seen_share is None and counter.seen_share is None
    assert replace(instant, window_ns=1000 * MS).seen_share == 1
    assert replace(instant, window_ns=None, lag_ns=300 * MS).seen_share == 1


def test_true_power_undoes_gain_and_offset() -> None:
    assert CALIBRATION.true_w(0.95 * 400 - 1.5) == pytest.approx(400, rel=1e-12)
