import json
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidmeter.reports import estimatewords
from vidmeter.reports.closed import SIZES, estimate
from vidmeter.reports.published import published
from vidmeter.reports.systems import Fact, NoEstimate, System, facts, find, systems

MODELLED = [s for s in systems() if s.model]
UNTOLD = [s for s in systems() if not s.model]


def coefficients():
    """EcoLogits' own table, as it ships: read here without its code."""
    text = resources.files("ecologits").joinpath("data/video_models.json").read_text()
    table = json.loads(text)
    return table, {m["model_name"]: m for m in table["models"]}


def by_hand(model, seconds, height):
    """Joules by EcoLogits' method (latency regression × node's power × PUE), written anew."""
    table, models = coefficients()
    m = models[model]
    width = {480: 854, 720: 1280, 1080: 1920}[height]
    r, pixels, frames = m["regression_parameters"], width * height, int(seconds * 24 + 1)
    volume = pixels * frames / 1000
    latency_s = (
        r["n"] * frames * pixels**2 + r["m"] * volume + r["m1"] * frames + r["m2"] * pixels**2
        + r["n1"] * frames**2 + r["n2"] * volume**2 + r["g"]
    )  # fmt: skip
    power = table["hardware_configurations"][m["hardware"]]["server_power"]
    pue = table["provider_configurations"][m["provider"]]["datacenter_pue"]
    low, high = (pue["min"], pue["max"]) if isinstance(pue, dict) else (pue, pue)
    return latency_s * power["p2_5"] * low, latency_s * power["p97_5"] * high


@pytest.mark.parametrize("system", MODELLED, ids=lambda s: s.name)
def test_a_range_by_ecologits_is_what_its_coefficients_give(system):
    found = estimate(system, seconds=6, resolution="720p")
    low_j, high_j = by_hand(system.model, 6, 720)

    assert found.low_j == pytest.approx(low_j, rel=1e-9)
    assert found.high_j == pytest.approx(high_j, rel=1e-9)
    assert found.low_j < found.high_j
    assert any("whole node" in text for text in found.assumes)
    assert any("PUE" in text for text in found.assumes)


@pytest.mark.parametrize("system", UNTOLD, ids=lambda s: s.name)
def test_where_nothing_is_disclosed_measured_open_models_are_the_envelope(system):
    found = estimate(system, seconds=5, resolution="720p")
    rows = [
        float(row["j_per_video_second"])
        for row in published()
        if row["task"] == "text-to-video" and row["scope"] == "GPU only" and row["gpus"] == "1"
        and row["j_per_video_second"] and row["height"] in ("720", "768")
    ]  # fmt: skip

    assert (found.low_j, found.high_j) == pytest.approx((min(rows) * 5, max(rows) * 5))
    assert "no figure of its own" in found.basis
    assert system.known and system.unknown
    assert len(found.sources) == 2


@given(st.sampled_from(systems()), st.floats(0.1, 60), st.sampled_from(sorted(SIZES)))
def test_nothing_is_ever_a_bare_number(system, seconds, resolution):
    try:
        found = estimate(system, seconds=seconds, resolution=resolution)
    except NoEstimate as error:
        assert "\n" not in str(error) and len(str(error)) < 200
        return
    assert 0 < found.low_j < found.high_j
    assert found.assumes and found.sources and found.scope
    text = estimatewords.text([found])
    assert text.startswith("ESTIMATE, not measured")
    assert " to " in text.splitlines()[2] and " to " in text.splitlines()[3]


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Sora 2 Pro", "sora-2-pro"), ("sora2pro", "sora-2-pro"), ("Veo 3", "veo-3"),
        ("veo3.1", "veo-3.1"), ("kling", "kling-3"), ("Seedance", "seedance-1"),
        ("Gen-4.5", "gen-4.5"), ("sora", "sora"), ("Sora (2024)", "sora"), ("veo 2", "veo-2"),
        ("Grok", "grok"), ("GPT-3", "gpt-3-training"), ("data centers", "data-centres"),
    ],
)  # fmt: skip
def test_names_are_understood_as_people_write_them(said, meant):
    assert find(said).name == meant


def test_no_name_means_two_things():
    every = [n for one in (*systems(), *facts()) for n in {one.name, *one.aliases}]
    plain = ["".join(c for c in n.lower() if c not in " _-()") for n in every]
    owners = {}
    for one in (*systems(), *facts()):
        for n in {one.name, *one.aliases}:
            owners.setdefault("".join(c for c in n.lower() if c not in " _-()"), set()).add(
                one.name
            )
    assert set(plain) == set(owners)
    assert all(len(names) == 1 for names in owners.values())


def test_an_unknown_name_brings_the_nearest_ones():
    with pytest.raises(NoEstimate, match="did you mean kling-3"):
        find("klin-3")
    with pytest.raises(NoEstimate, match="--list"):
        find("zzz")


@pytest.mark.parametrize(
    ("name", "seconds", "resolution", "said"),
    [
        ("sora-2-pro", 20, "720p", "4 to 12 s"),
        ("sora-2-pro", 8, "480p", "it has 720p and 1080p"),
        ("grok", 60, "720p", "made clips of"),
        ("grok", 5, "1080p", "ask for 480p or 720p"),
    ],
)
def test_outside_of_the_method_it_says_where_it_holds(name, seconds, resolution, said):
    with pytest.raises(NoEstimate, match=said):
        estimate(find(name), seconds=seconds, resolution=resolution)


def test_facts_follow_from_what_they_say_of_themselves():
    training, centres = facts()
    energy, emissions = training.quantities
    # 3.14e23 operations at 24.6 TFLOP/s and 330 W, then with the PUE.
    bare_mwh = 3.14e23 / 24.6e12 * 330 / 3.6e9
    assert energy.low == pytest.approx(bare_mwh, rel=1e-3)
    assert energy.high == pytest.approx(bare_mwh * 1.1, rel=1e-3)
    assert emissions.low == pytest.approx(energy.low * 0.429, rel=1e-3)
    assert emissions.high == pytest.approx(energy.high * 0.429, rel=1e-3)
    share = centres.quantities[-1]
    supply_twh = 620e18 / 3.6e15
    assert share.low == pytest.approx(240 / supply_twh * 100, abs=0.005)
    assert share.high == pytest.approx(415 / supply_twh * 100, abs=0.005)


def test_every_row_has_a_source_and_says_whether_it_was_read():
    for one in systems():
        assert isinstance(one, System) and one.source and one.unknown and one.date
        assert one.confidence in ("read", "secondary")
    for fact in facts():
        assert isinstance(fact, Fact)
        for q in fact.quantities:
            assert q.source and q.about and q.date and q.confidence in ("read", "secondary")


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (1361560, 2314886, "1.4 to 2.3 M"),
        (98732, 120500, "99 to 120 k"),
        (948000, 1660000, "0.95 to 1.7 M"),
        (3, 12, "3.0 to 12 "),
        (9.96, 99.6, "10 to 100 "),
    ],
)
def test_a_range_has_two_digits_and_one_unit(low, high, text):
    assert estimatewords.span(low, high) == text
