"""`vidmeter compare A B …`: runs held against each other, as text, HTML, CSV, JSON or a table."""

import argparse
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from vidmeter.cli.options import UsageError, colors, files_of, find_run, put

if TYPE_CHECKING:
    from vidmeter.reports.arm import Arm
    from vidmeter.reports.comparison import Compared
    from vidmeter.reports.grouping import Source

FORMATS = ("text", "html", "csv", "json", "markdown", "latex")
SUFFIXES = {
    ".html": "html", ".htm": "html", ".csv": "csv", ".json": "json", ".txt": "text",
    ".md": "markdown", ".tex": "latex",
}  # fmt: skip
EPILOG = """\
examples
  vidmeter compare before.vidmeter after.vidmeter   two runs
  vidmeter compare old/ new/ -o compare.html        the runs of two folders
  vidmeter compare vidmeter-bench-t2v-small-…/      the arms of a benchmark
  vidmeter compare results/ --by steps              one group for each value of a setting
"""


def prepare(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument(
        "names",
        metavar="RUN|FOLDER",
        nargs="+",
        help="runs as for show, or folders of run files; the first is what the others are held"
        " against",
    )
    parser.add_argument(
        "--by",
        metavar="FIELD",
        help="group all runs by this instead: arm, command, device, weights, workload, task,"
        " folder, or a setting such as steps",
    )
    parser.add_argument(
        "-o",
        "--output",
        action="append",
        type=Path,
        metavar="FILE",
        help="the suffix decides: .html, .csv, .json, .md, .tex, .txt; may be given several times;"
        " - is stdout, where the text goes without it",
    )
    parser.add_argument("--format", choices=FORMATS, help="where the suffix doesn't say")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite FILE")


def run(arguments: argparse.Namespace) -> int:
    """Compare the runs and write what was asked for."""
    outputs = files_of(arguments.output or [Path("-")])
    forms = [_form(output, arguments.format) for output in outputs]
    from vidmeter.reports.comparison import compare
    from vidmeter.reports.files import check_writable
    from vidmeter.reports.gather import nothing_collected

    for file in filter(None, outputs):
        check_writable(file, force=arguments.force)
    with nothing_collected():
        arms = _arms(arguments)
        comparisons = compare(arms)
        for output, form in zip(outputs, forms, strict=True):
            text = render(form, arms, comparisons, color=output is None and _on_terminal())
            put(text, output, form=form, force=arguments.force)
        sys.stdout.flush()
    return 0


def _arms(arguments: argparse.Namespace) -> "list[Arm]":
    """What is held against each other, two or more."""
    from vidmeter.reports.grouping import by_field, by_source

    sources = _sources(arguments.names)
    arms = by_field(sources, arguments.by) if arguments.by else by_source(sources)
    if len(arms) < 2:
        raise UsageError(
            f"compare: there is only {arms[0].label}: name something to hold it against, or group"
            " its runs with --by FIELD"
        )
    return arms


def render(
    form: str, arms: "Sequence[Arm]", comparisons: "Sequence[Compared]", *, color: bool = False
) -> str:
    """Arms and their comparisons in one of `FORMATS`."""
    from vidmeter.reports import benchcsv, benchjson, benchpage, benchtext, tables

    if form == "html":
        return benchpage.render(arms, comparisons)
    if form == "csv":
        return benchcsv.render(arms)
    if form == "json":
        return benchjson.render(arms, comparisons)
    if form == "markdown":
        return tables.markdown(arms, comparisons)
    if form == "latex":
        return tables.latex(arms, comparisons)
    return benchtext.render(arms, comparisons, color=color)


def _sources(names: Sequence[str]) -> "list[Source]":
    """The runs that each name means, all of them read together."""
    from vidmeter.meter.runfile import SUFFIX
    from vidmeter.reports.gather import gather
    from vidmeter.reports.grouping import Source, runs_in

    found: list[tuple[str, list[Path]]] = []
    for name in names:
        folder = Path(name)
        paths = runs_in(folder, SUFFIX) if folder.is_dir() else [find_run(name)]
        found.append((folder.resolve().name if folder.is_dir() else paths[0].stem, paths))
    pairs = iter(gather([path for _, paths in found for path in paths]))
    return [Source(label, tuple(islice(pairs, len(paths)))) for label, paths in found]


def _form(output: Path | None, stated: str | None) -> str:
    if stated:
        return stated
    if output is None:
        return "text"
    form = SUFFIXES.get(output.suffix.lower())
    if form is None:
        raise UsageError(f"compare: what is {output}? Use --format {', '.join(FORMATS)}")
    return form


def _on_terminal() -> bool:
    return colors() and sys.stdout.isatty()
