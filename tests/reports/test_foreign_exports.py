"""Reports in the forms of other programs, read back as these would."""

import csv
import io
import json
from array import array
from dataclasses import replace
from datetime import datetime

import pytest

from vidmeter.meter.clock import Anchor
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.errors import BadRun
from vidmeter.meter.importing import read_foreign
from vidmeter.meter.run import Run, Trace
from vidmeter.meter.sample import Quantity, Series
from vidmeter.meter.summarize import summarize
from vidmeter.reports import codecarbonfile, modelcard
from vidmeter.reports.carbon import by_cloud_region, by_country, stated

S = 1_000_000_000
STARTED = 1_700_000_000
JOULES = {"GPU-0": 36_000.0, "GPU-1": 18_000.0, "cpu": 3_600.0, "dram": 1_800.0}
KINDS = {"GPU-0": Kind.GPU, "GPU-1": Kind.GPU, "cpu": Kind.CPU, "dram": Kind.DRAM}
MODEL = {"model_low": 0.5, "model_high": 2.0, "rating": "a model", "rating_source": "a test"}


def run(**devices):
    """100 s of cards and processors whose energies are stated, of the given provenance."""
    made = tuple(
        Device(uuid, f"Model {uuid[:3]}", KINDS[uuid], "it", provenance, "test",
               facts=MODEL if provenance is Provenance.MODELLED else {})
        for uuid, provenance in devices.items()
    )  # fmt: skip
    traces = {
        Series(d.uuid, Quantity.ENERGY_STATED): Trace(
            array("q", [S, 101 * S]), array("d", [0.0, JOULES[d.uuid]])
        )
        for d in made
    }
    return Run(
        "r1", ("python", "make it.py"), S, 101 * S, 0, S, made, traces,
        anchors=(Anchor(S, STARTED * S),),
        environment={"system": "Linux 6.8", "python": "3.12.3", "cpu": "EPYC", "logical_cpus": 32,
                     "memory_b": 64 * 10**9},
    )  # fmt: skip


def everything():
    return run(**dict.fromkeys(("GPU-0", "GPU-1", "cpu", "dram"), Provenance.MEASURED))


def rows(*runs, **options):
    text = codecarbonfile.render([(r, summarize(r)) for r in runs], **options)
    return list(csv.DictReader(io.StringIO(text)))


def test_the_columns_are_codecarbons_in_its_order():
    pytest.importorskip("pandas")
    emissions_data = pytest.importorskip("codecarbon.output_methods.emissions_data")

    assert tuple(emissions_data.EmissionsData.__dataclass_fields__) == codecarbonfile.COLUMNS


def test_there_are_38_columns():
    text = codecarbonfile.render([(everything(), summarize(everything()))])
    header, row = csv.reader(io.StringIO(text))

    assert len(header) == len(row) == 38
    assert (header[0], header[13], header[-1]) == ("timestamp", "energy_consumed", "wue")


def test_energies_are_in_kwh_and_add_up():
    (row,) = rows(everything())

    assert float(row["gpu_energy"]) == pytest.approx(54_000 / 3.6e6)
    assert float(row["cpu_energy"]) == pytest.approx(0.001)
    assert float(row["ram_energy"]) == pytest.approx(0.0005)
    assert float(row["energy_consumed"]) == pytest.approx(59_400 / 3.6e6)
    assert float(row["gpu_power"]) == pytest.approx(540)
    assert float(row["duration"]) == 100


def test_what_is_known_of_the_machine_is_told_and_the_rest_is_empty():
    (row,) = rows(everything())

    assert row["project_name"] == "python 'make it.py'"
    assert row["timestamp"] == datetime.fromtimestamp(STARTED + 100).isoformat()
    assert (row["gpu_count"], row["gpu_model"]) == ("2", "2 x Model GPU")
    assert (row["os"], row["python_version"], row["cpu_model"]) == ("Linux 6.8", "3.12.3", "EPYC")
    assert float(row["ram_total_size"]) == 64
    unknown = ("emissions", "country_name", "codecarbon_version", "pue", "wue", "on_cloud",
               "water_consumed", "cpu_utilization_percent", "longitude")  # fmt: skip
    assert {row[name] for name in unknown} == {""}


def test_emissions_are_in_kg_where_an_intensity_is_stated():
    (row,) = rows(everything(), intensity=stated(500.0))

    assert float(row["emissions"]) == pytest.approx(0.0165 * 0.5)
    assert float(row["emissions_rate"]) == pytest.approx(0.0165 * 0.5 / 100)


def test_a_stated_country_or_cloud_region_has_its_columns():
    pytest.importorskip("codecarbon")
    (row,) = rows(everything(), intensity=by_country("fr"))
    assert (row["country_name"], row["country_iso_code"]) == ("France", "FRA")
    assert (row["cloud_provider"], row["on_cloud"]) == ("", "")
    (row,) = rows(everything(), intensity=by_cloud_region("gcp", "europe-west3"))
    assert (row["cloud_provider"], row["cloud_region"]) == ("gcp", "europe-west3")
    assert (row["country_name"], row["on_cloud"]) == ("", "Y")


def test_a_model_card_says_whose_intensity_it_takes_and_of_which_year():
    pytest.importorskip("codecarbon")
    france = by_country("FRA")
    text = modelcard.render(summarize(everything()), intensity=france)
    assert f"(France: {france.source}, {france.year})" in text and "as stated" not in text
    assert "400 g CO2eq/kWh as stated" in modelcard.render(
        summarize(everything()), intensity=stated(400.0)
    )


def test_a_model_is_not_mixed_into_a_measurement():
    (row,) = rows(run(**{"GPU-0": Provenance.MEASURED}, cpu=Provenance.MODELLED))

    assert row["cpu_energy"] == ""
    assert row["energy_consumed"] == row["gpu_energy"]


def test_a_card_whose_energy_is_unknown_leaves_the_sum_empty():
    made = everything()
    lost = {s: t for s, t in made.traces.items() if s.device != "GPU-1"}

    (row,) = rows(replace(made, traces=lost))

    assert row["gpu_energy"] == row["energy_consumed"] == ""
    assert float(row["cpu_energy"]) == pytest.approx(0.001)


def test_a_row_that_is_imported_again_has_the_same_joules(tmp_path):
    path = tmp_path / "emissions.csv"
    path.write_text(codecarbonfile.render([(everything(), summarize(everything()))]))

    (back,) = read_foreign(path)

    told = {d.device.kind: d.energy_j for d in summarize(back).devices}
    assert told == {
        Kind.GPU: pytest.approx(54_000),
        Kind.CPU: pytest.approx(3_600),
        Kind.DRAM: pytest.approx(1_800),
    }
    assert summarize(back).started_real_ns == STARTED * S


def test_pandas_reads_the_unknown_as_unknown(tmp_path):
    pandas = pytest.importorskip("pandas")
    text = codecarbonfile.render([(everything(), summarize(everything()))] * 2)

    table = pandas.read_csv(io.StringIO(text))

    assert len(table) == 2
    assert table.gpu_energy.sum() == pytest.approx(2 * 0.015)
    assert table.emissions.isna().all()


def test_a_simulation_goes_into_no_form_that_can_not_say_so():
    simulated = run(**{"GPU-0": Provenance.SIMULATED})

    with pytest.raises(BadRun, match="simulated"):
        rows(simulated)
    with pytest.raises(BadRun, match="simulated"):
        modelcard.render(summarize(simulated), intensity=stated(400.0))


def fields(text):
    """The block's fields, by hand: two spaces, a key, a value that is JSON, perhaps a comment."""
    lines = text.splitlines()
    assert (lines[0], lines[1], lines[-1]) == ("---", "co2_eq_emissions:", "---")
    found = {}
    for line in lines[2:-1]:
        assert line.startswith("  ")
        if not line.lstrip().startswith("#"):
            key, _, value = line.strip().partition(": ")
            found[key] = json.loads(value.partition("  #")[0])
    return found


def test_the_model_card_is_in_grams():
    text = modelcard.render(
        summarize(everything()),
        intensity=stated(400.0),
        training_type="fine-tuning",
        location='"Q", CA',
    )

    found = fields(text)
    assert list(found) == [
        "emissions", "source", "training_type", "geographical_location", "hardware_used",
    ]  # fmt: skip
    assert found["emissions"] == pytest.approx(0.0165 * 400)
    assert found["training_type"] == "fine-tuning"
    assert found["geographical_location"] == '"Q", CA'
    assert found["hardware_used"] == "2 x Model GPU, Model cpu, Model dra"
    assert "400 g CO2eq/kWh" in found["source"]
    assert "measured (GPU boards, CPU packages, DRAM)" in found["source"]


def test_yaml_reads_the_model_card():
    yaml = pytest.importorskip("yaml")
    text = modelcard.render(
        summarize(everything()), intensity=stated(400.0), location="Quebec: Canada # 1"
    )

    document = next(yaml.safe_load_all(text))

    assert document["co2_eq_emissions"] == fields(text)


def test_what_was_not_stated_is_left_out_of_the_model_card_and_named():
    text = modelcard.render(summarize(everything()), intensity=stated(400.0))

    assert list(fields(text)) == ["emissions", "source", "hardware_used"]
    assert "# training_type: pre-training or fine-tuning" in text
    assert "# geographical_location: " in text


def test_a_model_card_without_an_energy_is_refused():
    with pytest.raises(BadRun, match="no energy"):
        modelcard.render(summarize(replace(everything(), traces={})), intensity=stated(400.0))


def test_codecarbon_itself_appends_to_the_file_without_a_new_header(tmp_path):
    pytest.importorskip("pandas")
    file = pytest.importorskip("codecarbon.output_methods.file")
    data = pytest.importorskip("codecarbon.output_methods.emissions_data")
    path = tmp_path / "emissions.csv"
    path.write_text(codecarbonfile.render([(everything(), summarize(everything()))]))
    fields = data.EmissionsData.__dataclass_fields__
    numbers = {name: 1.0 if field.type is float else "x" for name, field in fields.items()}

    file.FileOutput(path.name, str(tmp_path)).out(data.EmissionsData(**numbers), None)

    table = list(csv.DictReader(io.StringIO(path.read_text())))
    assert [row["run_id"] for row in table] == ["r1", "x"]
    assert [float(row["gpu_energy"]) for row in table] == [pytest.approx(0.015), 1.0]
    assert [p.name for p in tmp_path.iterdir()] == ["emissions.csv"]


def test_hugging_face_reads_the_model_card():
    hub = pytest.importorskip("huggingface_hub")
    text = modelcard.render(
        summarize(everything()), intensity=stated(400.0), location="Quebec, Canada"
    )

    card = hub.ModelCard(text)

    assert card.data.to_dict()["co2_eq_emissions"] == fields(text)
