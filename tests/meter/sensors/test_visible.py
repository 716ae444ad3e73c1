import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidmeter.meter.errors import NoDevice
from vidmeter.meter.sensors.visible import Choice, GpuFacts, choose

A, B, C = "GPU-aaaa0000-1", "GPU-aabb0000-2", "GPU-cccc0000-3"
FIRST_PART, SECOND_PART = "MIG-1111-a", "MIG-2222-b"


def gpu(uuid: str, index: int, **changes: object) -> GpuFacts:
    facts: dict[str, object] = {
        "uuid": uuid,
        "index": index,
        "name": "H200",
        "pci_bus_id": f"00000000:{index + 10:02X}:00.0",
        "cores": 16896,
        "max_sm_clock_mhz": 1980,
    }
    return GpuFacts(**{**facts, **changes})  # type: ignore[arg-type]


ALIKE = [gpu(A, 0), gpu(B, 1), gpu(C, 2)]
UNLIKE = [
    gpu(A, 0, name="T400", cores=384, max_sm_clock_mhz=1425),
    gpu(B, 1, name="RTX 4090", cores=16384, max_sm_clock_mhz=3105),
    gpu(C, 2, name="RTX 3090", cores=10496, max_sm_clock_mhz=2100),
]
SPLIT = [gpu(A, 0), gpu(B, 1, mig=True, mig_uuids=(FIRST_PART, SECOND_PART))]


def visible(value: str, gpus: list[GpuFacts] = ALIKE, **environ: str) -> Choice:
    return choose(gpus, wanted=None, environ={"CUDA_VISIBLE_DEVICES": value, **environ})


def test_every_gpu_is_metered_when_nothing_is_said() -> None:
    assert choose(ALIKE, wanted=None, environ={}) == Choice((A, B, C))


@pytest.mark.parametrize(
    ("value", "uuids"),
    [
        ("0", (A,)),
        ("2,0", (C, A)),
        (" 1 , 2 ", (B, C)),
        ("1st,2", (B, C)),
        ("0,-1,1", (A,)),
        ("0,7,1", (A,)),
        ("0,,1", (A,)),
        ("0,GPU-cc", (A,)),
        (C, (C,)),
        ("GPU-c,GPU-aab", (C, B)),
        ("GPU-cc,0", (C,)),
        ("GPU-cc,GPU-ff,GPU-aaaa", (C,)),
        ("GPU-cc,GPU-aa,GPU-aaaa", (C,)),
    ],
)
def test_the_list_counts_up_to_its_first_invalid_entry(value: str, uuids: tuple[str, ...]) -> None:
    assert visible(value).uuids == uuids


@pytest.mark.parametrize("value", ["", " ", "-1", "-1,0", "7", "none", "GPU-ff", "GPU-aa", "NoDev"])
def test_a_list_that_starts_invalid_hides_every_gpu_and_the_user_is_told(value: str) -> None:
    choice = visible(value)
    assert choice.uuids == ()
    assert choice.notes[-1].startswith("CUDA_VISIBLE_DEVICES hides every GPU")


@pytest.mark.parametrize("value", ["0,0", "2,1,2", "GPU-c,GPU-cc"])
def test_a_repeated_gpu_hides_every_gpu(value: str) -> None:
    assert visible(value).uuids == ()


def test_an_ignored_entry_is_named() -> None:
    notes = visible("0,9").notes
    assert len(notes) == 1
    assert "'9'" in notes[0]


def test_minus_one_is_meant_and_needs_no_word_about_what_is_ignored() -> None:
    assert visible("0,-1").notes == ()


def test_indices_of_unlike_cards_go_from_the_fastest_to_the_slowest() -> None:
    assert visible("0", UNLIKE).uuids == (B,)
    assert visible("2,1", UNLIKE).uuids == (A, C)


def test_an_estimated_order_is_said_with_the_way_to_be_sure() -> None:
    notes = visible("0", UNLIKE).notes
    assert len(notes) == 1
    assert "CUDA_DEVICE_ORDER=PCI_BUS_ID" in notes[0]


def test_an_order_that_decides_nothing_is_not_mentioned() -> None:
    assert visible("0,1,2", UNLIKE).notes == ()
    assert visible(B, UNLIKE).notes == ()
    assert visible("0", ALIKE).notes == ()


def test_bus_order_is_followed_when_cuda_is_told_so() -> None:
    shuffled = [UNLIKE[1], UNLIKE[2], UNLIKE[0]]
    choice = visible("0", shuffled, CUDA_DEVICE_ORDER="PCI_BUS_ID")
    assert choice == Choice((A,))


def test_cards_of_unreadable_speed_keep_the_order_of_the_bus() -> None:
    old = [gpu(A, 0, cores=None), gpu(B, 1, cores=None)]
    assert visible("1", old).uuids == (B,)


@pytest.mark.parametrize("value", [FIRST_PART, "MIG-2222", f"MIG-{B}/3/0"])
def test_a_mig_instance_meters_its_card_and_says_so(value: str) -> None:
    choice = visible(value, SPLIT)
    assert choice.uuids == (B,)
    assert "whole card" in choice.notes[0]


def test_two_instances_of_one_card_meter_it_once() -> None:
    assert visible(f"{FIRST_PART},{SECOND_PART}", SPLIT).uuids == (B,)
    assert visible(f"{FIRST_PART},{FIRST_PART}", SPLIT).uuids == ()


def test_an_instance_of_another_machine_matches_nothing() -> None:
    assert visible("MIG-9999", SPLIT).uuids == ()
    assert visible("MIG-GPU-9999/1/0", SPLIT).uuids == ()


@pytest.mark.parametrize(
    ("wanted", "uuids"),
    [
        ("all", (A, B, C)),
        ("none", ()),
        ("1", (B,)),
        ("2, GPU-aaaa,2", (C, A)),
    ],
)
def test_the_option_overrides_the_variable(wanted: str, uuids: tuple[str, ...]) -> None:
    environ = {"CUDA_VISIBLE_DEVICES": "0"}
    assert choose(ALIKE, wanted=wanted, environ=environ) == Choice(uuids)


def test_the_option_counts_as_nvml_does_whatever_the_speed() -> None:
    assert choose(UNLIKE, wanted="0", environ={}).uuids == (A,)


def test_the_option_takes_mig_instances() -> None:
    assert choose(SPLIT, wanted=FIRST_PART, environ={}).uuids == (B,)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("3", "no GPU matches '3'"),
        ("-1", "no GPU matches '-1'"),
        ("", "no GPU matches ''"),
        ("0,all", "no GPU matches 'all'"),
        ("GPU-aa", "more than one GPU matches 'GPU-aa'"),
    ],
)
def test_a_bad_option_is_refused_with_what_there_is(wanted: str, said: str) -> None:
    with pytest.raises(NoDevice) as refusal:
        choose(ALIKE, wanted=wanted, environ={})
    assert said in str(refusal.value)
    assert f"2 = H200 ({C})" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_without_any_gpu_nothing_is_hidden() -> None:
    assert visible("0", []).uuids == ()
    assert not any("hides" in note for note in visible("", []).notes)


@given(st.text(alphabet="0123-+,GPU-MIaxb/ ", max_size=24), st.sampled_from([ALIKE, UNLIKE, SPLIT]))
def test_no_value_of_the_variable_breaks_the_choice(value: str, gpus: list[GpuFacts]) -> None:
    choice = visible(value, gpus)
    assert len(set(choice.uuids)) == len(choice.uuids)
    assert set(choice.uuids) <= {facts.uuid for facts in gpus}
