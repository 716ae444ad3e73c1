import csv
import io
import json
import subprocess
import sys
from array import array
from dataclasses import replace

import pytest
from pyarrow import parquet

from vidmeter.meter.errors import BadRun
from vidmeter.meter.run import Trace
from vidmeter.meter.sample import Quantity, Series
from vidmeter.reports import exports

AWKWARD = Trace(
    array("q", [5_000_000_000_000, 5_000_000_000_001, 5_000_000_000_003]),
    array("d", [0.1, 1 / 3, 5e-324]),
)


@pytest.fixture
def run(full):
    """Long enough for several pieces, with values that rounding would change."""
    long = Trace(
        array("q", range(10**12, 10**12 + 150_000)), array("d", [i / 7 for i in range(150_000)])
    )
    return replace(
        full,
        traces={
            **full.traces,
            Series("GPU-0", Quantity.ENERGY): long,
            Series("GPU-1", Quantity.TEMPERATURE): AWKWARD,
        },
    )


def samples(run):
    return [
        (series.device, str(series.quantity), t, v)
        for series, trace in run.traces.items()
        for t, v in zip(*trace, strict=True)
    ]


def test_csv_holds_every_reading_to_the_last_digit(run, tmp_path):
    exports.export(run, tmp_path / "r.csv")
    with (tmp_path / "r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    read = [(r["device_uuid"], r["quantity"], int(r["t_ns"]), float(r["value"])) for r in rows]
    assert read == samples(run)
    assert {r["device_name"] for r in rows} == {"Card <0>", "Card <1>", "Some CPU"}


def test_json_holds_the_whole_run(run, tmp_path):
    exports.export(run, tmp_path / "r.json")
    document = json.loads((tmp_path / "r.json").read_text())
    read = [
        (s["device"], s["quantity"], t, v)
        for s in document["series"]
        for t, v in zip(s["t_ns"], s["value"], strict=True)
    ]
    assert read == samples(run)
    assert document["schema"] == "vidmeter-run/1"
    assert document["command"] == list(run.command)
    assert document["environment"] == run.environment
    assert document["workload"] == run.workload
    assert [p["id"] for p in document["phases"]] == [p.id for p in run.phases]
    assert document["phases"][1]["end_ns"] is None
    assert document["work"][0]["path"] == "/tmp/<b>.mp4"
    assert document["events"][0]["count"] == 4
    assert document["anchors"] == [a._asdict() for a in run.anchors]
    assert document["devices"][2]["facts"] == run.devices[2].facts


def test_parquet_holds_every_reading_and_the_facts(run, tmp_path):
    exports.export(run, tmp_path / "r.parquet")
    table = parquet.read_table(tmp_path / "r.parquet")
    columns = [table[name].to_pylist() for name in ("device_uuid", "quantity", "t_ns", "value")]
    assert list(zip(*columns, strict=True)) == samples(run)
    facts = json.loads(table.schema.metadata[b"vidmeter"])
    assert facts["run"] == run.id
    assert len(facts["phases"]) == len(run.phases)


def test_times_are_told_from_the_start_and_by_the_wall_clock(run):
    out = io.BytesIO()
    exports.write(replace(run, traces={Series("GPU-1", Quantity.TEMPERATURE): AWKWARD}), "csv", out)
    rows = list(csv.DictReader(io.StringIO(out.getvalue().decode())))
    assert [r["t_s"] for r in rows] == ["0.0", "1e-09", "3e-09"]
    assert [r["time"] for r in rows] == [
        "2023-11-14T22:13:21.000000000Z",
        "2023-11-14T22:13:21.000000001Z",
        "2023-11-14T22:13:21.000000003Z",
    ]


def test_without_an_anchor_the_wall_clock_is_unknown(run, tmp_path):
    run = replace(run, anchors=(), traces={Series("GPU-1", Quantity.TEMPERATURE): AWKWARD})
    exports.export(run, tmp_path / "r.parquet")
    out = io.BytesIO()
    exports.write(run, "csv", out)
    assert {r["time"] for r in csv.DictReader(io.StringIO(out.getvalue().decode()))} == {""}
    assert parquet.read_table(tmp_path / "r.parquet")["time"].to_pylist() == [None] * 3


def test_a_reading_that_is_no_number_is_unknown(run):
    odd = Trace(array("q", [1, 2]), array("d", [float("nan"), 2.0]))
    run = replace(run, traces={Series("GPU-1", Quantity.TEMPERATURE): odd})
    out = io.BytesIO()
    exports.write(run, "json", out)
    assert json.loads(out.getvalue())["series"][0]["value"] == [None, 2.0]


def test_a_run_without_readings_is_valid_in_every_form(bare, tmp_path):
    for form in exports.FORMATS:
        exports.export(bare, tmp_path / f"r.{form}")
    assert json.loads((tmp_path / "r.json").read_text())["series"] == []
    assert (tmp_path / "r.csv").read_text() == ",".join(exports.COLUMNS) + "\n"
    assert parquet.read_table(tmp_path / "r.parquet").num_rows == 0


@pytest.mark.parametrize("name", ["r.xlsx", "r"])
def test_an_unknown_form_is_refused_before_anything_is_written(run, tmp_path, name):
    with pytest.raises(BadRun, match=r"use \.csv, \.json or \.parquet"):
        exports.export(run, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_without_a_file_the_readings_go_to_stdout(run, capfdbinary):
    for form in (None, "csv", "json"):
        exports.export(run, None, form=form)
        expected = io.BytesIO()
        exports.write(run, form or "csv", expected)
        assert capfdbinary.readouterr().out == expected.getvalue()
    with pytest.raises(BadRun, match="needs a file"):
        exports.export(run, None, form="parquet")


def test_without_pyarrow_one_line_says_what_to_install():
    code = (
        "import sys, io; sys.modules['pyarrow'] = None\n"
        "from vidmeter.reports import exports\n"
        "try:\n    exports.write(None, 'parquet', io.BytesIO())\n"
        "except exports.BadRun as error:\n    print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "Parquet needs pyarrow: pip install pyarrow, or take .csv\n"
