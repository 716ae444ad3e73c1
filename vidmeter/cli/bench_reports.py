"""What a bench ends with: a table on the terminal, and its files."""

import sys
from collections.abc import Sequence

from vidmeter.meter.run import Run
from vidmeter.meter.summary import Summary
from vidmeter.workloads.bench import Bench


def report(bench: Bench, pairs: Sequence[tuple[Run, Summary]], *, color: bool) -> None:
    """Print the table; write `results.*`, and a page of the repeat that is nearest each median."""
    from vidmeter.reports import (
        benchcsv,
        benchjson,
        benchpage,
        benchtext,
        htmlpage,
        terminal,
        write,
    )
    from vidmeter.reports.arms import arms_of, compared

    arms = arms_of(pairs)
    comparison = compared(arms[0], arms[1]) if bench.plan.versus and len(arms) == 2 else None
    slugs = {arm.label: bench.slug(arm) for arm in bench.plan.arms}
    files = []
    for arm in arms:
        typical = arm.median_repeat()
        path = bench.folder / f"{slugs[arm.label]}.html"
        files.append(write(htmlpage.render(typical.run, typical.summary), path, force=True))
    links = {arm.label: f"{slugs[arm.label]}.html" for arm in arms}
    for name, text in (
        ("results.csv", benchcsv.render(arms)),
        ("results.json", benchjson.render(arms, comparison)),
        ("results.html", benchpage.render(arms, comparison, links=links)),
    ):
        files.append(write(text, bench.folder / name, force=True))
    text = benchtext.render(arms, comparison, color=color)
    print("\n" + terminal.for_stream(text, sys.stdout.encoding))
    for file in files:
        print(f"wrote {file}")
