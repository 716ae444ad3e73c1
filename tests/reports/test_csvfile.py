import csv
import io
from dataclasses import replace

import pandas as pd
import pytest

from vidmeter.meter.summarize import summarize
from vidmeter.reports import csvfile


def rows(*runs):
    text = csvfile.render([(run, summarize(run)) for run in runs])
    return list(csv.DictReader(io.StringIO(text)))


def table(*runs):
    return pd.read_csv(io.StringIO(csvfile.render([(run, summarize(run)) for run in runs])))


def test_a_run_is_written_exactly(exact):
    # A tenth of the power may vary within a reading, which speaks of up to its spacing before it.
    edge = (2 * ((0.125 / 4 + 0.0625) * 12.8) ** 2) ** 0.5
    assert csvfile.render([(exact, summarize(exact))]) == (
        ",".join(csvfile.COLUMNS) + ",j_per_token,work_tokens\n" + "".join(
            "r1,2023-11-14T22:13:21.000Z,\"python gen.py 'a, b'\",0,"
            f"{phase},{duration},GPU-0,Card <0>,gpu,0,the card,simulated,{in_total},"
            f"{energy},{energy - edge!r},{energy + edge!r},{energy},1.0,128.0,128.0,"
            f"instant power,,,,{work},,simulated,"
            f"{edge!r},{edge!r},1.0,1.0,{readings},,,true,{tokens}\n"
            for phase, duration, in_total, energy, readings, work, tokens in (
                (",0,,", 16.0, "true", 2048.0, 129,
                 f"1,4.0,64,32.0,512.0,{2048 * (1 / 3600)!r},32.0,64.0", "8.0,256"),
                ("load,1,1,true", 4.0, "false", 512.0, 33, ",,,,,,,", ","),
                ("generate,1,1,true", 12.0, "false", 1536.0, 97,
                 f"1,4.0,64,32.0,384.0,{1536 * (1 / 3600)!r},24.0,48.0", "6.0,256"),
                ("generate/denoise,2,1,true", 8.0, "false", 1024.0, 65, ",,,,,,,", "4.0,256"),
            )
        )
    )  # fmt: skip


def test_every_run_phase_and_device_has_one_row(exact, full):
    keys = [(r["run_id"], r["phase"], r["device_uuid"]) for r in rows(exact, full)]
    phases = [
        "",
        "load",
        "generate",
        "generate/denoise",
        "generate/denoise/step",
        "generate/decode",
    ]
    assert len(keys) == len(set(keys))
    assert {k for k in keys if k[0] == "r2"} == {
        ("r2", name, device) for name in phases for device in ("GPU-0", "GPU-1", "CPU-0")
    }


def test_rows_in_total_add_up_to_the_runs_energy_and_headline(exact, full):
    per_run = table(exact, full)
    per_run = per_run[per_run.in_total].groupby("run_id")
    for run in (exact, full):
        summary = summarize(run)
        assert per_run.energy_j.sum()[run.id] == pytest.approx(summary.total.energy_j, rel=1e-12)
        for name, unit in summary.per_unit.items():
            if name in csvfile.COLUMNS:
                assert per_run[name].sum()[run.id] == pytest.approx(unit.value, rel=1e-12)


def test_a_modelled_device_is_never_in_a_measured_total(full):
    assert {(r["provenance"], r["in_total"]) for r in rows(full) if not r["phase"]} == {
        ("measured", "true"),
        ("modelled", "false"),
    }


def test_the_unknown_is_empty_and_not_nought(full):
    (lost,) = [d for d in full.devices if d.uuid == "GPU-1"]
    traces = {s: t for s, t in full.traces.items() if s.device != lost.uuid}
    silent = [r for r in rows(replace(full, traces=traces)) if r["device_uuid"] == lost.uuid]
    for name in ("energy_j", "low_j", "high_j", "covered_j", "mean_w", "j_per_video_second"):
        assert {r[name] for r in silent} == {""}
    assert {r["coverage"] for r in silent} == {"0.0"}


def test_a_run_without_devices_is_in_the_table_too(bare):
    (row,) = rows(bare)
    known = {k: v for k, v in row.items() if v}
    assert known == {
        "run_id": "r1",
        "phase_depth": "0",
        "duration_s": "0.0",
        "cautions": "unfinished",
    }


def test_the_mark_of_random_weights_is_on_every_row(full):
    assert {r["weights"] for r in rows(full)} == {"random"}


def test_an_open_phase_and_the_doubts_are_told(full):
    by_phase = {r["phase"]: r for r in rows(full)}
    assert by_phase["generate"]["phase_complete"] == "false"
    assert by_phase["load"]["phase_complete"] == "true"
    assert "modelled" in by_phase[""]["cautions"].split(";")
