"""What a bench ends with: the table in the terminal, and the reports in its folder."""

import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from vidmeter.meter.run import Run
from vidmeter.meter.summary import Summary
from vidmeter.reports import benchcsv, benchjson, benchpage, benchtext, htmlpage, write
from vidmeter.reports.arm import Arm
from vidmeter.reports.arms import arms
from vidmeter.reports.comparison import Compared, compare
from vidmeter.reports.terminal import for_stream
from vidmeter.workloads.bench import Bench


def report(bench: Bench, pairs: Sequence[tuple[Run, Summary]], *, color: bool) -> None:
    """Print the results of all finished repeats, write the reports and say where they are.

    Raises BadRun if a report can't be written; the results are printed before that.
    """
    found = arms(pairs)
    comparisons = _comparisons(bench, found)
    _print(benchtext.render(found, comparisons, color=color))
    written = [
        write(benchjson.render(found, comparisons), bench.folder / "results.json", force=True),
        write(benchcsv.render(found), bench.folder / "results.csv", force=True),
    ]
    pages = _pages(bench, found)
    links = {label: quote(path.name) for label, path in pages.items()}
    text = benchpage.render(found, comparisons, links=links)
    written.insert(0, write(text, bench.folder / "results.html", force=True))
    for arm in found:
        text = htmlpage.render(arm.middle.run, arm.middle.summary)
        written.append(write(text, pages[arm.label], force=True))
    _print("\n".join(["reports", *(f"  {path}" for path in written)]) + "\n")


def _comparisons(bench: Bench, found: Sequence[Arm]) -> list[Compared]:
    """The second arm against the first, where that was asked for and both were measured."""
    return compare(found) if bench.plan.versus and len(found) == 2 else []


def _pages(bench: Bench, found: Sequence[Arm]) -> dict[str, Path]:
    """Where the page of each arm's middle repeat goes, by the arm's label."""
    planned = {arm.label: bench.folder / f"{bench.slug(arm)}.html" for arm in bench.plan.arms}
    return {arm.label: planned[arm.label] for arm in found}


def _print(text: str) -> None:
    print("\n" + for_stream(text, sys.stdout.encoding), end="", flush=True)
