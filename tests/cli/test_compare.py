"""`vidmeter compare` as a user has it: run files on disk, reports that come out."""

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.conftest import Place
from tests.reports.benches import S, commands, repeat, videos
from vidmeter.meter.clock import Anchor

A = [100, 101, 102, 103, 104, 105]
B = [110, 111.3, 112.1, 113.2, 114.5, 115.4]


def save(folder: Path, watts: list[float], *, start_s: int, every_s: int) -> None:
    """Runs of a command, each at its own time."""
    folder.mkdir()
    for n, power in enumerate(watts):
        run, _ = repeat(power)
        anchors = (Anchor(run.start_ns, (start_s + n * every_s) * S),)
        run = replace(run, id=f"{folder.name}-{n}", workload=None, anchors=anchors)
        run.save(folder / f"{n}.vidmeter")


@pytest.fixture
def folders(place: Place) -> Place:
    """Two folders of six runs that took turns: the second draws a tenth more."""
    save(place.folder / "old", A, start_s=1000, every_s=20)
    save(place.folder / "new", B, start_s=1010, every_s=20)
    return place


def test_the_runs_of_two_folders_are_held_against_each_other(folders: Place) -> None:
    done = folders.vidmeter("compare", "old", "new")
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert re.fullmatch(r"B takes [\d.]+ % more than A \([\d.]+ to [\d.]+ %\), 6 rounds", first)
    assert "  A: old" in rest and "  B: new" in rest


def test_a_glance_at_two_single_runs_gives_a_ratio_and_claims_nothing(folders: Place) -> None:
    done = folders.vidmeter("compare", "old/0.vidmeter", "new/5.vidmeter")
    assert "1 and 1 runs, not interleaved, are too few to claim a difference" in done.stdout
    assert "B takes +15.4 % against A" in done.stdout


def test_every_form_is_written_whole_and_says_the_same(folders: Place) -> None:
    names = ["c.html", "c.csv", "c.json", "c.md", "c.tex", "c.txt"]
    outputs = [part for name in names for part in ("-o", name)]
    done = folders.vidmeter("compare", "old", "new", *outputs)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    text = {name: (folders.folder / name).read_text() for name in names}
    (told,) = json.loads(text["c.json"])["comparisons"]
    percent = f"{(told['ratio'] - 1) * 100:.1f}"
    assert told["verdict"] == "higher"
    assert f"takes {percent} % more" in text["c.txt"]
    assert f"takes {percent} % more" in text["c.html"].replace("\u202f", " ").replace("\xa0", " ")
    assert f"+{percent} %" in text["c.md"]
    assert rf"+{percent} \%" in text["c.tex"]
    assert r"\begin{tabular}" in text["c.tex"]
    rows = list(csv.DictReader(io.StringIO(text["c.csv"])))
    assert [row["arm"] for row in rows] == ["old"] * 6 + ["new"] * 6


def test_runs_are_grouped_by_a_setting(place: Place) -> None:
    folder = place.folder / "many"
    folder.mkdir()
    for steps, watts in ((20, 100.0), (30, 120.0), (40, 150.0)):
        pairs = videos([[watts], [watts + 1]], settings={"steps": steps}, arm=f"s{steps}")
        for n, (run, _) in enumerate(pairs):
            replace(run, id=f"{steps}-{n}").save(folder / f"{steps}-{n}.vidmeter")
    done = place.vidmeter("compare", "many", "--by", "steps", "--format", "json")
    told = json.loads(done.stdout)
    assert [arm["label"] for arm in told["arms"]] == ["steps=20", "steps=30", "steps=40"]
    assert [c["unlike"] for c in told["comparisons"]] == [
        ["steps: 20 and 30"],
        ["steps: 20 and 40"],
    ]


def test_the_arms_of_a_bench_come_as_they_were_asked_for(place: Place) -> None:
    folder = place.folder / "bench"
    (folder / "repeats").mkdir(parents=True)
    blocks = []
    for arm, (label, watts) in enumerate((("z", A), ("a", B))):
        for n, (run, _) in enumerate(commands(label, watts), 1):
            run.save(folder / "repeats" / f"{label}-{n}.vidmeter")
            blocks.append({"arm": arm, "repeats": [{"path": f"repeats/{label}-{n}.vidmeter"}]})
    (folder / "bench.json").write_text(json.dumps({"blocks": blocks[::-1]}))
    done = place.vidmeter("compare", "bench")
    assert "  A: z\n  B: a\n" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "no run is called nothing"),
        (["old"], "there is only old: name something to hold it against"),
        (["old", "new", "--by", "steps"], "no run has steps: group by one of arm, command"),
        (["old", "empty"], "there is no run in empty"),
        (["old", "new", "-o", "c.xyz"], "what is c.xyz? Use --format text, html"),
        (["old", "broken.vidmeter"], "broken.vidmeter"),
        (["old", "new", "-o", "old"], "old"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    folders: Place, arguments: list[str], message: str
) -> None:
    (folders.folder / "empty").mkdir()
    (folders.folder / "broken.vidmeter").write_bytes(b"SQLite format 3\0" + bytes(3000))
    before = sorted(folders.folder.rglob("*"))
    done = folders.vidmeter("compare", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("vidmeter: ") and message in line
    assert sorted(folders.folder.rglob("*")) == before
