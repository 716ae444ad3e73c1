"""What is published of a card doesn't say which one it is."""

from array import array

from benchmarks.gpu.traces import card_id, publishable
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.run import Event, Run, Trace
from vidmeter.meter.sample import Quantity, Series

UUID = "GPU-1f00d1e5-0000-4000-8000-00000000beef"


def test_a_published_run_names_the_card_nowhere() -> None:
    facts = {
        "pci_bus_id": "00000000:01:00.0",
        "quality": {"uuid": UUID, "series": [{"quantity": "energy_j"}]},
        "calibration": {"uuid": UUID, "gain": 0.95},
        "power_limit_w": 700.0,
    }
    card = Device(UUID, "NVIDIA", Kind.GPU, "the card", Provenance.MEASURED, "nvml", 0, facts)
    run = Run(
        id="r",
        command=("python", "/home/me/gen.py", UUID),
        start_ns=0,
        end_ns=10,
        exit_code=0,
        period_ns=1,
        devices=(card,),
        traces={Series(UUID, Quantity.ENERGY): Trace(array("q", [1]), array("d", [2.0]))},
        events=(Event("gap", 1, 2, f"{UUID} was silent", UUID),),
        environment={"host": "mine", "visible": UUID},
    )

    found = repr(publishable(run, {"/home/me": "HOME"}))

    for name in (UUID, "00000000:01:00.0", "/home/me", "mine"):
        assert name not in found
    assert found.count(card_id(UUID)) == 8
    assert "'power_limit_w': 700.0" in found
