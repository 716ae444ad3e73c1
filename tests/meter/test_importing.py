"""Files of other programs as they write them, and what becomes of them, worked out by hand."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from vidmeter.meter.device import Kind, Provenance
from vidmeter.meter.errors import BadImport
from vidmeter.meter.importing import FORMATS, read_foreign
from vidmeter.meter.reader import load
from vidmeter.meter.run import Run
from vidmeter.meter.sample import Quantity
from vidmeter.meter.summarize import summarize

S = 1_000_000_000
Write = Callable[..., Path]

SMI = """\
timestamp, index, name, power.draw [W], temperature.gpu, clocks.current.sm [MHz], memory.used [MiB]
2024/01/16 14:44:16.000, 0, NVIDIA A10, 100.00 W, 50, 1695 MHz, 21 MiB
2024/01/16 14:44:16.000, 1, NVIDIA A10, 20.00 W, 30, 210 MHz, 7 MiB
2024/01/16 14:44:17.000, 0, NVIDIA A10, 200.00 W, 51, 1695 MHz, 21 MiB
2024/01/16 14:44:17.000, 1, NVIDIA A10, 20.00 W, [N/A], 210 MHz, 7 MiB
2024/01/16 14:44:18.000, 0, NVIDIA A10, [N/A], 52, 1695 MHz, 21 MiB
2024/01/16 14:44:18.000, 1, NVIDIA A10, 30.00 W, 31, 210 MHz, 7 MiB
2024/01/16 14:44:19.000, 0, NVIDIA A10, 150.00 W, 52, 1695 MHz, 21 MiB
2024/01/16 14:44:19.000, 1, NVIDIA A10, 30.00 W, 31, 210 MHz, 7 MiB
2024/01/16 14:44:20.000, 0, NVIDIA A10, 160.00 W, 52, 1695 MHz, 21 MiB
2024/01/16 14:44:20.000, 1, NVIDIA A10, 30.00 W, 31, 210 MHz, 7 MiB
2024/01/16 14:44:21.000, 0, NVIDIA A10, 180.00 W, 52, 1695 MHz, 21 MiB
2024/01/16 14:44:21.000, 1, NVIDIA A10, 40.00 W, 31, 210 MHz, 7 MiB
"""
SMI_J = 150 + 2 * 175 + 155 + 170, 20 + 25 + 30 + 30 + 35
"""Trapezoids: between 100, 200, (unknown), 150, 160, 180 W and 20, 20, 30, 30, 30, 40 W."""

DMON = """\
#Date       Time        gpu   pwr gtemp mtemp    sm   mem   enc   dec  mclk  pclk    fb
#YYYYMMDD   HH:MM:SS    Idx     W     C     C     %     %     %     %   MHz   MHz    MB
 20210102   23:59:58      0    37    19     -    50     0     0     0  4006   582    10
 20210102   23:59:59      0    40    20     -     -     0     0     0  4006  1582    10
#Date       Time        gpu   pwr gtemp mtemp    sm   mem   enc   dec  mclk  pclk    fb
#YYYYMMDD   HH:MM:SS    Idx     W     C     C     %     %     %     %   MHz   MHz    MB
 20210103   00:00:00      0    60    21     -   100     0     0     0  4006  1582    10
 20210103   00:00:01      0    70    21     -   100     0     0     0  4006  1582    10
 20210103   00:00:02      0    80    21     -   100     0     0     0  4006  1582    10
 20210103   00:00:03      0    80    21     -   100     0     0     0  4006  1582    10
"""
DMON_J = 38.5 + 50 + 65 + 75 + 80

ZEUS = """\
start_time,window_name,elapsed_time,gpu0_energy,gpu1_energy
1700000000.25,epoch, the first,10.0,1500.5,1200.25
1700000020.5,step,0.05,0.0,3.0
"""

CODECARBON = """\
timestamp,project_name,run_id,experiment_id,duration,emissions,emissions_rate,cpu_power,gpu_power,\
ram_power,cpu_energy,gpu_energy,ram_energy,energy_consumed,water_consumed,country_name,\
country_iso_code,region,cloud_provider,cloud_region,os,python_version,codecarbon_version,cpu_count,\
cpu_model,gpu_count,gpu_model,longitude,latitude,ram_total_size,tracking_mode,\
cpu_utilization_percent,gpu_utilization_percent,ram_utilization_percent,ram_used_gb,on_cloud,pue,wue
2026-02-03T10:00:36,clip,7a1c,,36.0,0.0002,5e-06,42.5,500.0,20.0,0.0004,0.005,0.0002,0.0056,0.0,\
France,FRA,,,,Linux-6.8,3.12.3,3.3.2,32,AMD EPYC 7543,2,2 x NVIDIA A100-SXM4-80GB,,,503.5,machine,\
1.0,90.0,10.0,40.0,N,1.0,0.0
2026-02-03T11:00:00,clip,7a1d,,10.0,0.0,0.0,42.5,0.0,20.0,0.0001,0.0,5e-05,0.00015,0.0,France,FRA,\
,,,Linux-6.8,3.12.3,3.3.2,32,AMD EPYC 7543,0,,,,503.5,machine,1.0,0.0,10.0,40.0,N,1.0,0.0
"""

ML_OLD: dict[str, Any] = {
    "model": "ali-vilab/text-to-video-ms-1.7b",
    "num_parameters": {"unet": 1413000000},
    "gpu_model": "NVIDIA A100-SXM4-40GB",
    "num_inference_steps": 25,
    "num_frames": 16,
    "power_limit": 400,
    "batch_size": 2,
    "num_prompts": 4,
    "total_runtime": 40.0,
    "total_energy": 12000.0,
    "average_batch_latency": 20.0,
    "average_batch_energy": 6000.0,
    "peak_memory": 12e9,
    "results": [],
}
ML_NEW: dict[str, Any] = {
    "date": "20251001-120100",
    "model_id": "zai-org/CogVideoX1.5-5B",
    "batch_size": 1,
    "num_iterations": 2,
    "height": 768,
    "width": 1360,
    "inference_steps": 50,
    "seed": 48105,
    "total_images": 2,
    "total_time": 60.5,
    "total_energy": 54000.0,
    "energy_per_image": 27000.0,
    "energy_measurement": {
        "time": 60.0,
        "gpu_energy": {"0": 30000.0, "1": 24000.0},
        "cpu_energy": None,
        "dram_energy": None,
        "soc_energy": None,
    },
    "iter0_energy_measurement": {"time": 30.0, "gpu_energy": {"0": 15000.0, "1": 12000.0}},
    "configurations": {"ulysses_degree": 2, "ring_degree": 1, "use_torch_compile": False},
}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str, name: str = "log.csv") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return written


def only(path: Path, **options: Any) -> Run:
    (run,) = read_foreign(path, **options)
    return run


def joules(run: Run) -> list[float | None]:
    return [device.energy_j for device in summarize(run).devices]


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(BadImport) as caught:
        read_foreign(path, **options)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    return text


def test_a_log_of_nvidia_smi_holds_the_trapezoids_of_each_card(write: Write) -> None:
    run = only(write(SMI))

    assert joules(run) == [pytest.approx(SMI_J[0]), pytest.approx(SMI_J[1])]
    total = summarize(run).total
    assert total.energy_j == pytest.approx(sum(SMI_J))
    assert total.provenance is Provenance.MEASURED
    assert [(d.index, d.name, d.sensor) for d in run.devices] == [
        (0, "NVIDIA A10", "nvidia-smi"),
        (1, "NVIDIA A10", "nvidia-smi"),
    ]
    assert (run.end_ns or 0) - run.start_ns == 5 * S


def test_what_nvidia_smi_did_not_know_is_no_reading(write: Write) -> None:
    run = only(write(SMI))
    by = {(s.device[-1], s.quantity): t for s, t in run.traces.items()}

    assert list(by["0", Quantity.POWER_USAGE].value) == [100, 200, 150, 160, 180]
    assert list(by["1", Quantity.TEMPERATURE].value) == [30, 31, 31, 31, 31]
    assert list(by["0", Quantity.SM_CLOCK].value) == [1695] * 6
    assert by["0", Quantity.MEMORY_USED].value[0] == 21 * 1024 * 1024


def test_the_time_of_a_log_is_local(write: Write) -> None:
    run = only(write(SMI))

    assert summarize(run).started_real_ns == datetime(2024, 1, 16, 14, 44, 16).timestamp() * S


def test_values_may_come_without_units_and_cards_by_uuid(write: Write) -> None:
    run = only(
        write(
            "timestamp, uuid, power.draw.instant [W], power.draw.average [W], power.limit [W],"
            " compute_cap, clocks_event_reasons.active\n"
            "2024/01/16 14:44:16.000, GPU-1, 100, 90, 300, 8.6, 0x0000000000000004\n"
            "2024/01/16 14:44:16.500, GPU-1, 120, 95, 300, 8.6, 0x0000000000000000\n"
            "2024/01/16 14:44:17.000, GPU-1, 140, 99, 300, 8.6, 0x0000000000000000\n"
        )
    )

    (card,) = run.devices
    assert card.uuid == "GPU-1"
    assert (card.facts["power_limit_w"], card.facts["compute_capability"]) == (300, "8.6")
    windows = {s.quantity: s.window_ns for s in run.traces}
    assert windows[Quantity.POWER_AVERAGE] == S
    assert windows[Quantity.POWER_INSTANT] is None
    assert [t.value[0] for s, t in run.traces.items() if s.quantity is Quantity.CLOCK_REASONS] == [
        4
    ]


def test_two_files_never_share_a_card_that_neither_names(write: Write) -> None:
    one = only(write(SMI, "one.csv"))
    other = only(write(SMI.replace("100.00", "101.00"), "other.csv"))
    same = only(write(SMI, "again.csv"))

    assert one.devices[0].uuid != other.devices[0].uuid
    assert one.id == same.id


def test_a_row_that_was_cut_off_at_the_end_is_left_out(write: Write) -> None:
    cut = only(write(SMI + "2024/01/16 14:44:22.000, 0, NVI"))

    assert joules(cut) == joules(only(write(SMI)))


def test_columns_that_mean_nothing_here_are_named(write: Write) -> None:
    run = only(write(SMI.replace("temperature.gpu", "fan.speed [%]")))

    assert run.environment["imported"]["columns_left_out"] == "fan.speed"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("power.draw [W]", "power.max_limit [W]"), "no column power.draw"),
        (("index, ", "serial_of_board, "), "log index or uuid too"),
        (("20.00 W, 30,", "twenty, 30,"), "line 3: power.draw is 'twenty'"),
        (("14:44:17.000, 0", "14:44:15.000, 0"), "line 4: its time is before"),
        (("14:44:17.000, 0", "14.44, 0"), "line 4: '2024/01/16 14.44' is no time"),
        (("200.00 W, 51, ", "200.00 W, "), "line 4 has 6 cells, its header 7"),
        (("timestamp, ", "pstate, "), "with --period"),
    ],
)
def test_a_log_that_can_not_be_understood_is_refused_in_one_line(
    write: Write, change: tuple[str, str], what: str
) -> None:
    assert what in refusal(write(SMI.replace(*change)))


def test_a_log_without_times_takes_the_stated_period(write: Write) -> None:
    text = "\n".join(line.partition(", ")[2] for line in SMI.splitlines()) + "\n"

    run = only(write(text), period_s=2.0)

    assert joules(run) == [pytest.approx(2 * SMI_J[0]), pytest.approx(2 * SMI_J[1])]
    assert summarize(run).started_real_ns is None


def test_a_period_is_not_for_a_log_with_times(write: Write) -> None:
    assert "leave --period out" in refusal(write(SMI), period_s=1.0)


def test_a_log_of_dmon_goes_on_past_midnight(write: Write) -> None:
    run = only(write(DMON))

    assert joules(run) == [pytest.approx(DMON_J)]
    assert run.devices[0].label == "GPU 0 unknown model"
    by = {s.quantity: list(t.value) for s, t in run.traces.items()}
    assert by[Quantity.UTILIZATION] == [50, 100, 100, 100, 100]
    assert by[Quantity.SM_CLOCK] == [582, *[1582] * 5]
    assert by[Quantity.MEMORY_USED] == [10 * 2**20] * 6
    assert summarize(run).started_real_ns == datetime(2021, 1, 2, 23, 59, 58).timestamp() * S


def test_dmon_with_the_time_alone_crosses_midnight_and_knows_no_day(write: Write) -> None:
    lines = [line.replace("#Date ", "#") for line in DMON.splitlines()]
    lines = [line.replace("#YYYYMMDD", "#") for line in lines]
    text = "\n".join(line.replace("20210102", "").replace("20210103", "") for line in lines) + "\n"

    run = only(write(text))

    assert joules(run) == [pytest.approx(DMON_J)]
    assert run.anchors == ()


def test_dmon_without_times_needs_its_period(write: Write) -> None:
    text = "# gpu    pwr  gtemp\n# Idx      W      C\n" + "".join(
        f"    {card}    {watts}     45\n"
        for watts in (100, 200, 300, 300, 200, 100)
        for card in (0, 1)
    )
    path = write(text)

    assert "-o DT" in refusal(path)
    assert joules(only(path, period_s=1.0)) == [pytest.approx(1100), pytest.approx(1100)]


def test_a_dmon_log_without_power_is_refused(write: Write) -> None:
    assert "no column pwr" in refusal(write("#Time gpu sm\n#HH:MM:SS Idx %\n 10:00:00 0 5\n"))


def test_each_window_of_zeus_is_a_run(write: Write) -> None:
    epoch, step = read_foreign(write(ZEUS))

    assert joules(epoch) == [pytest.approx(1500.5), pytest.approx(1200.25)]
    assert epoch.command[-1] == "epoch, the first"
    assert summarize(epoch).started_real_ns == 1_700_000_000_250_000_000
    assert summarize(epoch).duration_s == 10
    # Zeus itself warns that 0 J is a window too short for the counter.
    assert joules(step) == [None, pytest.approx(3.0)]
    assert summarize(step).total.energy_j is None


def test_a_stated_energy_has_no_course_and_says_where_it_is_from(write: Write) -> None:
    epoch, _ = read_foreign(write(ZEUS, "windows.csv"))
    summary = summarize(epoch)

    assert [d.peak_w for d in summary.devices] == [None, None]
    assert {d.source for d in summary.devices} == {"stated energy"}
    assert any("windows.csv, line 2 (Zeus)" in c.text for c in summary.cautions)


def test_the_edges_of_a_short_stated_window_are_uncertain(write: Write) -> None:
    path = write(
        "start_time,window_name,elapsed_time,gpu0_energy\n1.0,long,1000.0,100000.0\n2.0,short,0.2,20.0\n"
    )
    long, short = (summarize(run).total for run in read_foreign(path))

    # Ticks of 0.1 s: 0.05 s at 100 W at either edge, in quadrature.
    assert short.sampling_low_j == pytest.approx(0.05 * 100 * 2**0.5)
    assert long.sampling_low_j == pytest.approx(0.05 * 100 * 2**0.5)
    assert (long.low_j, long.high_j) == (
        pytest.approx(95_000, rel=1e-3),
        pytest.approx(105_000, rel=1e-3),
    )


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("gpu1_energy", "cpu0_energy"), "'cpu0_energy' is none of ZeusMonitor's"),
        ((",gpu0_energy,gpu1_energy", ","), "holds no GPU"),
        (("1700000000.25", "yesterday"), "line 2 holds something that is no number"),
        (("10.0,1500.5", "-10.0,1500.5"), "line 2: a window of -10 s"),
        (("step,0.05,0.0,", "0.0,"), "line 3 has 3 cells, its header 5"),
    ],
)
def test_a_log_of_zeus_that_makes_no_sense_is_refused(
    write: Write, change: tuple[str, str], what: str
) -> None:
    assert what in refusal(write(ZEUS.replace(*change)))


def test_codecarbon_tells_of_gpus_and_models_the_rest(write: Write) -> None:
    run, cpu_alone = read_foreign(write(CODECARBON, "emissions.csv"))
    summary = summarize(run)

    assert [d.kind for d in run.devices] == [Kind.GPU, Kind.CPU, Kind.DRAM]
    assert joules(run) == [
        pytest.approx(0.005 * 3.6e6),
        pytest.approx(0.0004 * 3.6e6),
        pytest.approx(0.0002 * 3.6e6),
    ]
    assert summary.total.energy_j == pytest.approx(18_000)
    assert summary.total.provenance is Provenance.MEASURED
    assert summary.duration_s == 36
    assert summary.started_real_ns == datetime(2026, 2, 3, 10, 0, 0).timestamp() * S
    assert run.devices[0].name == "2 x NVIDIA A100-SXM4-80GB"
    assert run.environment["imported"]["country_iso_code"] == "FRA"
    cpu = summary.devices[1]
    assert (cpu.low_j, cpu.high_j) == (pytest.approx(720), pytest.approx(2880))
    modelled = summarize(cpu_alone).total
    assert modelled.provenance is Provenance.MODELLED
    assert modelled.energy_j == pytest.approx(0.00015 * 3.6e6)
    assert any("factor of 2" in c.text for c in summary.cautions)


def test_a_gpu_of_codecarbon_with_no_energy_is_unknown(write: Write) -> None:
    text = CODECARBON.replace("0.0004,0.005,", "0.0004,0.0,")

    run, _ = read_foreign(write(text))

    assert joules(run)[0] is None
    assert summarize(run).total.energy_j is None


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("gpu_energy,", "gpu_joules,"), "no column gpu_energy"),
        (("France,FRA,,,,Linux-6.8", "FRA,,,,Linux-6.8"), "line 2 has 37 cells, its header 38"),
        (("0.0004,0.005,", "clip,0.005,"), "line 2: cpu_energy is 'clip'"),
        ((",36.0,", ",0.0,"), "line 2: a duration of 0.0"),
        (("2026-02-03T10:00:36", "Tuesday"), "line 2: 'Tuesday' is no time"),
    ],
)
def test_a_file_of_codecarbon_that_has_shifted_is_refused(
    write: Write, change: tuple[str, str], what: str
) -> None:
    assert what in refusal(write(CODECARBON.replace(*change, 1)))


def test_old_results_of_ml_energy_tell_clips_and_frames(write: Write) -> None:
    run = only(write(json.dumps(ML_OLD), "bs2+pl400+results.json"))
    summary = summarize(run)

    assert summary.total.energy_j == pytest.approx(12_000)
    assert summary.duration_s == 40
    assert (summary.work.clips, summary.work.frames) == (4, 64)
    assert summary.work.video_seconds is None  # no rate is in the file
    assert summary.per_unit["j_per_frame"].value == pytest.approx(12_000 / 64)
    assert summary.per_unit["wh_per_clip"].value == pytest.approx(12_000 / 4 / 3600)
    assert run.devices[0].name == "NVIDIA A100-SXM4-40GB"
    assert run.anchors == ()


def test_new_results_of_ml_energy_tell_each_gpu(write: Write) -> None:
    run = only(write(json.dumps(ML_NEW), "text-to-video/H100/results.json"))
    summary = summarize(run)

    assert joules(run) == [pytest.approx(30_000), pytest.approx(24_000)]
    assert (summary.work.clips, summary.work.frames) == (2, None)
    assert summary.started_real_ns == datetime(2025, 10, 1, 12, 0, 0).timestamp() * S


def test_only_the_folder_tells_videos_from_images(write: Write) -> None:
    images = only(write(json.dumps(ML_NEW), "text-to-image/results.json"))
    unknown = only(write(json.dumps(ML_NEW), "results.json"))

    assert [(w.unit, w.count) for w in images.work] == [("images", 2)]
    assert [(w.unit, w.count) for w in unknown.work] == [("generations", 2)]


def test_power_over_time_in_new_results_is_a_second_opinion(write: Write) -> None:
    began = 1_759_320_000.0
    points = [[began + i / 10, 500.0 if i % 2 else 501.0] for i in range(601)]
    timeline = {
        "benchmark_start_time": began,
        "benchmark_end_time": began + 60.2,
        "power": {"device_instant": {"0": points}, "memory_average": {"0": points}},
        "temperature": {},
    }
    run = only(write(json.dumps({**ML_NEW, "timeline": timeline})))

    first = summarize(run).devices[0]
    assert (first.source, first.energy_j) == ("stated energy", pytest.approx(30_000))
    assert first.second_source == "instant power"
    assert first.second_j == pytest.approx(500.5 * 60, rel=1e-3)
    assert summarize(run).started_real_ns == began * S
    assert {s.quantity for s in run.traces} == {Quantity.ENERGY_STATED, Quantity.POWER_INSTANT}


def test_results_of_language_models_are_refused_in_one_line(write: Write) -> None:
    path = write(json.dumps({"model": "llama", "total_energy": 5.0}), "results.json")

    assert "known format" in refusal(path)
    assert "diffusion" in refusal(path, form="ml-energy")


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "{}", "{", "no header, 12 W\n", "\n\n"])
@pytest.mark.parametrize("form", ["auto", *FORMATS])
def test_anything_else_is_refused_whatever_it_is_called(write: Write, text: str, form: str) -> None:
    refusal(write(text), form=form)


def test_an_unknown_file_is_told_what_is_known(write: Write, tmp_path: Path) -> None:
    assert all(name in refusal(write("a,b\n1,2\n")) for name in FORMATS)
    binary = tmp_path / "movie.mp4"
    binary.write_bytes(b"\x00\x00\x00\x18ftyp\xff\xfe")
    assert "not a text file" in refusal(binary)
    with pytest.raises(BadImport, match="No such file"):
        read_foreign(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (SMI, "a.csv"),
        (DMON, "a.txt"),
        (ZEUS, "a.csv"),
        (CODECARBON, "a.csv"),
        (json.dumps(ML_OLD), "a.json"),
        (json.dumps(ML_NEW), "a.json"),
    ],
)
def test_an_imported_run_is_the_same_from_its_file(
    write: Write, tmp_path: Path, text: str, name: str
) -> None:
    for i, run in enumerate(read_foreign(write(text, name))):
        path = tmp_path / f"{i}.vidmeter"
        run.save(path)
        again = load(path)

        assert joules(again) == joules(run)
        assert summarize(again).work == summarize(run).work
        assert again.environment == run.environment


@pytest.mark.parametrize(
    ("whole", "cut"),
    [
        (
            "timestamp, power.draw [W]\n2026/11/20 10:00:00.000, 300.50\n"
            "2026/11/20 10:00:01.000, 310.25\n2026/11/20 10:00:02.000, 312.75\n",
            4,
        ),
        ("#Time gpu pwr\n#HH:MM:SS Idx W\n10:00:00 0 300\n10:00:01 0 310\n10:00:02 0 312\n", 2),
    ],
    ids=["nvidia-smi", "dmon"],
)
def test_a_last_number_that_was_cut_in_its_middle_is_not_taken_for_whole(
    write: Write, whole: str, cut: int
) -> None:
    (run,) = read_foreign(write(whole[: -cut - 1]))
    (power,) = (trace.value.tolist() for trace in run.traces.values())
    assert len(power) == 2 and power[-1] >= 310
