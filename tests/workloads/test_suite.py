from pathlib import Path

import pytest

from vidmeter.meter.errors import WorkloadUnavailable
from vidmeter.workloads.base import load_workload
from vidmeter.workloads.suite import Entry, load_suite, suite_names


def test_quick_is_one_tiny_video_without_warmup() -> None:
    quick = load_suite("quick")
    assert quick.name == "quick"
    assert quick.description
    assert quick.quick
    assert quick.entries == (Entry("wan2.1-t2v-1.3b-tiny"),)


@pytest.mark.parametrize("name", suite_names())
def test_every_workload_of_a_shipped_suite_exists_and_takes_its_settings(name: str) -> None:
    for entry in load_suite(name).entries:
        load_workload(entry.workload, entry.settings)


def test_a_suite_of_ones_own_is_read_from_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'description = "two lengths"\n'
        '[[workload]]\nname = "a"\nsettings = {frames = 17}\nrepeats = 3\nwarmups = 1\n'
        "least_seconds = 600\n"
        '[[workload]]\nname = "b"\n'
    )
    mine = load_suite(path)
    assert (mine.name, mine.description) == ("mine", "two lengths")
    assert mine.entries == (
        Entry("a", {"frames": 17}, repeats=3, warmups=1, least_seconds=600),
        Entry("b"),
    )
    assert not mine.quick


def test_the_mlperf_task_is_wan_2_2_at_720p_for_ten_minutes() -> None:
    (entry,) = load_suite("mlperf-t2v").entries
    settings = load_workload(entry.workload, entry.settings).settings
    assert entry.workload == "wan2.2-t2v-a14b"
    assert [settings[k] for k in ("height", "width", "frames")] == [720, 1280, 81]
    assert entry.least_seconds == 600


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[workload]", "is no TOML"),
        ('description = "nothing"', "names no workload"),
        ('[[workload]]\nname = "a"\nrepeat = 3', "'repeat' is none of"),
        ('[[workload]]\nname = "a"\nrepeats = "3"', "repeats can't be '3'"),
        ('[[workload]]\nname = "a"\nrepeats = true', "repeats can't be True"),
        ('[[workload]]\nname = "a"\nrepeats = 0', "a: repeats is at least 1, not 0"),
        ('[[workload]]\nname = "a"\nleast_seconds = true', "least_seconds can't be True"),
        ("[[workload]]\nrepeats = 3", "needs a name"),
        ("workload = [3]", "needs a name"),
    ],
)
def test_a_file_that_is_no_suite_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(WorkloadUnavailable, match=message):
        load_suite(str(path))


def test_a_suite_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkloadUnavailable, match=r"'quik': take .*quick"):
        load_suite("quik")
    with pytest.raises(WorkloadUnavailable, match="No such file"):
        load_suite(tmp_path / "absent.toml")
