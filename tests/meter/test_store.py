"""Run files: what goes in comes out, whatever happens to the writer."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from array import array
from contextlib import closing
from pathlib import Path

import pytest

from vidmeter.meter.clock import Anchor
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.errors import BadRun
from vidmeter.meter.reader import Tail, load, read_facts
from vidmeter.meter.run import Event, Phase, Run, Trace, Work
from vidmeter.meter.runfile import remove
from vidmeter.meter.sample import Quantity, Sample, Series
from vidmeter.meter.store import RunWriter, save

ROOT = Path(__file__).parents[2]
GPU = Device(
    "GPU-1", "Card", Kind.GPU, "board", Provenance.MEASURED, "nvml", 0, {"power_limit_w": 700.0}
)
FACTS = {"id": "x", "command": [], "start_ns": 0, "end_ns": None, "period_ns": 50}
POWER = Series("GPU-1", Quantity.POWER_INSTANT, 25_000_000)
ENERGY = Series("GPU-1", Quantity.ENERGY, None, 65_532.6)


def example(path: Path | None = None) -> Run:
    return Run(
        id="abc",
        command=("python", "gen.py", "a cat"),
        start_ns=1_000,
        end_ns=9_000,
        exit_code=3,
        period_ns=50,
        devices=(GPU,),
        traces={
            POWER: Trace(array("q", [1_000, 2_000, 3_000]), array("d", [1.5, 2.5, 0.1 + 0.2])),
            ENERGY: Trace(array("q", [1_000, 2**62]), array("d", [1e12 + 0.001, 5e-324])),
        },
        phases=(
            Phase("1-1", "load", 1_000, 2_000, None, None, 1),
            Phase("1-2", "denoise", 2_000, None, "1-1", "ValueError", 1),
        ),
        work=(Work("video", 1.0, "file", 1.0625, 17, 192, 128, 16.0, "/x/o.mp4", "1-2", 2_500),),
        events=(Event("late", 1_500, 1_900, "a tick came late", None, 4),),
        anchors=(Anchor(1_000, 2_000_000_000),),
        environment={"host": "here", "memory_b": None},
        workload={"facts": {"weights": "random"}},
        path=path,
    )


def test_a_run_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.vidmeter"

    save(example(), path)

    assert load(path) == example(path)


def test_a_finished_run_is_one_plain_file(tmp_path: Path) -> None:
    save(example(), tmp_path / "a.vidmeter")

    assert [p.name for p in tmp_path.iterdir()] == ["a.vidmeter"]


def test_an_existing_file_is_overwritten_only_with_force(tmp_path: Path) -> None:
    path = tmp_path / "a.vidmeter"
    save(example(), path)

    with pytest.raises(BadRun, match="--force"):
        RunWriter.create(path, FACTS)

    RunWriter.create(path, FACTS, force=True).finish()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM block").fetchone() == (0,)


def test_a_folder_that_can_not_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(BadRun, match="--output") as caught:
        RunWriter.create(tmp_path / "file" / "a.vidmeter", FACTS)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a vidmeter run"),
        (b"hello" * 100, "not a vidmeter run"),
        (b"SQLite format 3\0" + bytes(200), "another program"),
    ],
)
def test_a_file_of_another_tool_is_refused_in_one_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "x.vidmeter"
    path.write_bytes(content)

    with pytest.raises(BadRun, match=message) as caught:
        load(path)

    assert "\n" not in str(caught.value)


def test_a_newer_file_says_to_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "x.vidmeter"
    save(example(), path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=99")

    with pytest.raises(BadRun, match="newer vidmeter"):
        load(path)


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9])
def test_a_truncated_file_is_refused_in_one_line(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "x.vidmeter"
    save(example(), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])

    with pytest.raises(BadRun, match="damaged"):
        load(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRun, match="doesn't exist"):
        load(tmp_path / "none.vidmeter")


def test_a_growing_run_can_be_read_and_followed(tmp_path: Path) -> None:
    path = tmp_path / "a.vidmeter"
    writer = RunWriter.create(path, FACTS)
    writer.add_device(GPU)
    writer.add_samples([Sample(POWER, 1, 10.0), Sample(POWER, 2, 11.0)])
    writer.commit()
    tail = Tail(path)

    first = tail.new()
    writer.add_samples([Sample(POWER, 3, 12.0)])
    nothing = tail.new()
    writer.commit()
    second = tail.new()

    assert [(s, list(t.value)) for s, t in first] == [(POWER, [10.0, 11.0])]
    assert nothing == []
    assert [(s, list(t.value)) for s, t in second] == [(POWER, [12.0])]
    assert list(load(path).traces[POWER].value) == [10.0, 11.0, 12.0]
    tail.close()
    writer.finish()


def test_a_killed_writer_leaves_all_that_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "a.vidmeter"
    code = f"""
from pathlib import Path
from vidmeter.meter.store import RunWriter
from vidmeter.meter.sample import Sample, Series, Quantity
w = RunWriter.create(Path({str(path)!r}), {FACTS!r})
s = Series("GPU-1", Quantity.ENERGY)
n = 0
while True:
    n += 1
    w.add_samples([Sample(s, n, float(n))])
    w.commit()
    if n == 200: print("go", flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.05)
        writer.send_signal(signal.SIGKILL)

    trace = load(path).traces[Series("GPU-1", Quantity.ENERGY)]

    assert len(trace.t_ns) >= 200
    assert list(trace.t_ns) == list(range(1, len(trace.t_ns) + 1))


def test_a_full_disk_loses_nothing_that_it_can_still_take_later(tmp_path: Path) -> None:
    path = tmp_path / "a.vidmeter"
    writer = RunWriter.create(path, FACTS)
    writer.commit()
    pages = writer._db.execute("PRAGMA page_count").fetchone()[0]
    writer._db.execute(f"PRAGMA max_page_count={pages}")  # SQLite's own way to a full disk
    many = [Sample(POWER, n, float(n)) for n in range(20_000)]

    writer.add_samples(many[:10_000])
    refused = writer.commit()
    writer._db.execute("PRAGMA max_page_count=1000000")
    writer.add_samples(many[10_000:])
    taken = writer.commit()

    assert (refused, taken) == (False, True)
    assert writer.finish()
    assert len(load(path).traces[POWER].t_ns) == 20_000


def test_samples_that_could_never_be_written_are_counted(tmp_path: Path) -> None:
    writer = RunWriter.create(tmp_path / "a.vidmeter", FACTS)
    writer.commit()
    pages = writer._db.execute("PRAGMA page_count").fetchone()[0]
    writer._db.execute(f"PRAGMA max_page_count={pages}")
    writer.add_samples(Sample(POWER, n, 1.0) for n in range(10_000))

    assert not writer.finish()
    assert writer.lost_samples == 10_000


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write everywhere")
def test_a_run_in_a_read_only_folder_can_be_read(tmp_path: Path) -> None:
    save(example(), tmp_path / "a.vidmeter")
    tmp_path.chmod(0o555)
    try:
        assert load(tmp_path / "a.vidmeter").id == "abc"
    finally:
        tmp_path.chmod(0o755)


def test_an_event_that_goes_on_never_replaces_another(tmp_path: Path) -> None:
    path = tmp_path / "a.vidmeter"
    writer = RunWriter.create(path, FACTS)
    writer.add_event(Event("absent", 1, 1, "no GPU"))
    key = writer.add_event(Event("late", 2, 2, "late"))
    writer.add_event(Event("note", 3, 3, "a note"))
    writer.put_event(key, Event("late", 2, 9, "late", None, 8))
    writer.finish()
    again = RunWriter.reopen(path)
    again.add_event(Event("output", 10, 10, "a doubt"))
    again.finish()

    found = [(e.kind, e.count) for e in load(path).events]
    assert found == [("absent", 1), ("late", 8), ("note", 1), ("output", 1)]


def test_facts_are_read_without_the_samples(tmp_path: Path) -> None:
    save(example(), tmp_path / "a.vidmeter")

    assert read_facts(tmp_path / "a.vidmeter")["exit_code"] == 3


def test_remove_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.vidmeter"
    save(example(), path)
    (tmp_path / "a.vidmeter.marks").mkdir()
    (tmp_path / "a.vidmeter.marks" / "1.jsonl").write_text("")

    remove(path)

    assert list(tmp_path.iterdir()) == []
