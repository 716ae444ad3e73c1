"""Runs as DataFrames: the rows of the CSV with the types that they have."""

import io
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import vidmeter
from tests.reports.benches import S, repeat
from vidmeter.meter.clock import Anchor
from vidmeter.meter.errors import BadRun
from vidmeter.meter.rows import COLUMNS
from vidmeter.meter.summarize import summarize
from vidmeter.reports import csvfile


def test_a_run_is_a_frame_with_the_columns_of_the_csv() -> None:
    run, summary = repeat(250.0, workload_of="x")
    table = run.to_frame()
    assert list(table.columns) == list(COLUMNS)
    (row,) = table.to_dict("records")
    assert row["energy_j"] == summary.total.energy_j
    assert row["in_total"] is True or bool(row["in_total"])
    assert row["device_name"] == "NVIDIA H200"
    assert pd.isna(row["j_per_video_second"]), "unknown, and not 0"
    assert pd.api.types.is_numeric_dtype(table["energy_j"])


def test_the_frame_and_the_csv_say_the_same() -> None:
    run, summary = repeat(250.0)
    read = pd.read_csv(io.StringIO(csvfile.render([(run, summary)])))
    for name in ("energy_j", "low_j", "mean_w", "duration_s", "device_uuid"):
        assert read[name].tolist() == run.to_frame()[name].tolist(), name


def test_a_folder_is_one_frame_oldest_first_without_the_blocks(tmp_path: Path) -> None:
    for n, (name, folder) in enumerate((("b", "repeats"), ("a", "repeats"), ("x", "blocks"))):
        (tmp_path / folder).mkdir(exist_ok=True)
        run, _ = repeat(100.0 * (n + 1), number=n)
        anchors = (Anchor(run.start_ns, (1000 + n) * S),)
        replace(run, id=name, anchors=anchors).save(tmp_path / folder / f"{name}.vidmeter")
    table = vidmeter.load_all(tmp_path)
    assert table["run_id"].tolist() == ["b", "a"]
    assert table["mean_w"].tolist() == pytest.approx([100, 200])
    total = sum(
        summarize(vidmeter.load(path)).total.energy_j or 0
        for path in (tmp_path / "repeats").iterdir()
    )
    assert table[table.in_total].energy_j.sum() == pytest.approx(total)


def test_a_folder_without_runs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadRun, match="there is no run in"):
        vidmeter.load_all(tmp_path)
