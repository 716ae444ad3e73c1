from dataclasses import replace

import pytest

from tests.reports.benches import T0, S, commands
from vidmeter.meter.errors import BadRun
from vidmeter.meter.reader import load
from vidmeter.meter.run import Phase
from vidmeter.meter.summarize import summarize
from vidmeter.reports import benchjson
from vidmeter.reports.comparison import compare
from vidmeter.reports.gather import gather
from vidmeter.reports.grouping import Source, by_source


@pytest.fixture
def files(tmp_path):
    """Two groups of six runs with phases, two of which overlap in the second group."""
    found = {}
    for name, watts in (("a", 100.0), ("b", 103.0)):
        for n, (run, _) in enumerate(commands(name, [watts + i / 7 for i in range(6)])):
            begin = T0 + (1 if name == "b" else 2) * S
            phases = (
                Phase("p", "load", T0, T0 + 2 * S, None, None, 1, 1),
                Phase("q", "work", begin, T0 + 7 * S, None, None, 1, 2),
            )
            path = tmp_path / name / f"{n}.vidmeter"
            path.parent.mkdir(exist_ok=True)
            replace(run, id=f"{name}{n}", phases=phases, workload=None).save(path)
            found.setdefault(name, []).append(path)
    return found


def compared(groups):
    arms = by_source([Source(name, tuple(pairs)) for name, pairs in groups.items()])
    return benchjson.render(arms, compare(arms))


def test_brief_summaries_by_several_processes_compare_as_whole_ones_do(files):
    whole = {
        name: [(run, summarize(run)) for run in map(load, paths)] for name, paths in files.items()
    }
    alone = {name: gather(paths) for name, paths in files.items()}
    paths = [path for each in files.values() for path in each]
    together = gather(paths, processes=2)

    assert [run.path for run, _ in together] == paths
    assert "overlapping" in {c.kind for _, s in together for c in s.cautions}
    expected = compared(whole)
    assert '"work"' in expected and '"outside phases"' in expected
    assert compared(alone) == expected
    assert compared({"a": together[:6], "b": together[6:]}) == expected


def test_what_each_phase_took_by_itself_is_the_same_in_brief(files):
    for path in files["b"]:
        run = load(path)
        whole, brief = summarize(run), summarize(run, brief=True)
        assert brief.phases == ()
        assert brief.own_j == {p.path: p.self_j for p in whole.phases} == whole.own_j
        parts = sum(brief.own_j.values()) + brief.unattributed_j
        assert parts == pytest.approx(brief.total.energy_j, rel=1e-9)


def test_a_run_keeps_its_facts_and_no_samples(files):
    ((run, _),) = gather(files["a"][:1])
    assert run.traces == {} and run.phases == ()
    assert run.id == "a0" and run.path == files["a"][0] and run.command


def test_a_file_that_cannot_be_read_is_the_error_that_it_is_alone(files):
    files["a"][3].write_bytes(b"SQLite format 3\0 and no more")
    with pytest.raises(BadRun) as alone:
        load(files["a"][3])
    for processes in (1, 2):
        with pytest.raises(BadRun) as error:
            gather(files["a"], processes=processes)
        assert str(error.value) == str(alone.value)
