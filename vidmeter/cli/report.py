"""`vidmeter report RUN`: a run as text, HTML, CSV, JSON, or a trace or profile for a viewer."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vidmeter.cli.footprint_options import add_footprint_options, terms_of
from vidmeter.cli.options import UsageError, files_of, find_run, put, say

if TYPE_CHECKING:
    from vidmeter.meter.run import Run
    from vidmeter.meter.summary import Summary
    from vidmeter.reports.footprint import Terms
    from vidmeter.reports.torchtrace import TorchTrace

FORMATS = (
    "text",
    "html",
    "csv",
    "json",
    "trace",
    "speedscope",
    "parquet",
    "markdown",
    "latex",
    "codecarbon",
    "model-card",
)
GRAMS = ("codecarbon", "model-card")
"""Forms of others, which take a carbon intensity and nothing else of a footprint."""
FOOTPRINT = ("text", "html", "json")
FOREIGN = {"training_type": ("model-card",), "location": ("model-card",)}
"""Options that only some forms have a place for."""
SUFFIXES = {
    ".html": "html", ".htm": "html", ".csv": "csv", ".json": "json", ".txt": "text",
    ".parquet": "parquet", ".md": "markdown", ".tex": "latex",
}  # fmt: skip
LONG_SUFFIXES = {".trace.json": "trace", ".speedscope.json": "speedscope"}


def prepare(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run_names", metavar="RUN", nargs="*", default=["last"], help="as for show")
    parser.add_argument(
        "-o",
        "--output",
        action="append",
        type=Path,
        metavar="FILE",
        help="the suffix decides: .html, .csv, .json, .parquet, .txt, .trace.json (Perfetto),"
        " .speedscope.json; may be given several times; - is stdout, where the text goes without"
        " it",
    )
    parser.add_argument("--format", choices=FORMATS, help="where the suffix doesn't say")
    parser.add_argument(
        "--merge",
        type=Path,
        metavar="FILE",
        help="a trace of the torch profiler (.json, .json.gz) that is put into the .trace.json",
    )
    parser.add_argument("-f", "--force", action="store_true", help="overwrite FILE")
    parser.add_argument(
        "--append",
        type=Path,
        metavar="FILE",
        help="add the rows of the runs to this CSV, which other processes may be adding to",
    )
    group = parser.add_argument_group("for --format model-card (docs/import.md)")
    group.add_argument(
        "--training-type",
        choices=("pre-training", "fine-tuning"),
        help="what the run was, for the model card",
    )
    group.add_argument("--location", metavar="PLACE", help="where it ran, for the model card")
    add_footprint_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Render the runs and write what was asked for."""
    from vidmeter.meter.reader import load
    from vidmeter.meter.summarize import summarize
    from vidmeter.reports import torchtrace
    from vidmeter.reports.files import check_writable

    outputs = files_of(arguments.output or ([] if arguments.append else [Path("-")]))
    forms = [_form(output, arguments.format) for output in outputs]
    terms = terms_of(arguments)
    _check_places(arguments, forms, terms)
    for file in filter(None, outputs):
        check_writable(file, force=arguments.force)
    merge = None
    if arguments.merge is not None:
        if "trace" not in forms:
            raise UsageError("report: --merge is for a trace: add -o NAME.trace.json")
        merge = torchtrace.load(arguments.merge)
    runs = [load(find_run(name)) for name in arguments.run_names]
    pairs = [(run, summarize(run)) for run in runs]
    if arguments.append is not None:
        from vidmeter.reports.appending import append

        count = append(pairs, arguments.append)
        say(f"added {count} row{'s' if count != 1 else ''} to {arguments.append}")
    for output, form in zip(outputs, forms, strict=True):
        if form == "parquet":
            _parquet(output, pairs, force=arguments.force)
            continue
        text = (
            _foreign(form, pairs, arguments, terms=terms)
            if form in GRAMS
            else render(form, pairs, merge=merge, terms=terms)
        )
        put(text, output, form=form, force=arguments.force)
    sys.stdout.flush()
    return 0


def render(
    form: str,
    pairs: "list[tuple[Run, Summary]]",
    *,
    merge: "TorchTrace | None" = None,
    terms: "Terms | None" = None,
) -> str:
    """Runs in one of `FORMATS`; only text and tables show several.

    `merge` goes into a trace, the footprint by `terms` into text, HTML and JSON.
    """
    from vidmeter.reports import csvfile, footprint, htmlpage, jsonfile, speedscope, trace

    if form == "csv":
        return csvfile.render(pairs)
    if form in ("markdown", "latex"):
        from vidmeter.reports import runtables

        rendered = runtables.markdown if form == "markdown" else runtables.latex
        return rendered([summary for _, summary in pairs])
    if form == "text":
        return "\n".join(_text(run, summary, terms) for run, summary in pairs)
    if len(pairs) > 1:
        raise UsageError(
            f"report: {form} shows one run; for several use csv, parquet, markdown, latex or text"
        )
    run, summary = pairs[0]
    found = footprint.of(summary, terms=terms) if terms else None
    if form == "html":
        return htmlpage.render(run, summary, found)
    if form == "trace":
        return trace.render(run, summary, merge=merge)
    return speedscope.render(summary) if form == "speedscope" else jsonfile.render(summary, found)


def _parquet(output: Path | None, pairs: "list[tuple[Run, Summary]]", *, force: bool) -> None:
    """The table of the CSV with the types that it has."""
    from vidmeter.meter.rows import frame
    from vidmeter.reports.exports import need_pyarrow
    from vidmeter.reports.files import opened

    if output is None:
        raise UsageError("report: Parquet needs a file to go to: name it with --output")
    need_pyarrow()
    with opened(output, force=force) as file:
        frame([run for run, _ in pairs]).to_parquet(file, index=False)
    say(f"wrote {output}")


def _foreign(
    form: str,
    pairs: "list[tuple[Run, Summary]]",
    arguments: argparse.Namespace,
    *,
    terms: "Terms | None",
) -> str:
    """Runs in a form of another program."""
    from vidmeter.reports import codecarbonfile, modelcard

    intensity = terms.intensity if terms else None
    if form == "codecarbon":
        return codecarbonfile.render(pairs, intensity=intensity)
    if len(pairs) > 1:
        raise UsageError("report: a model card shows one run")
    assert intensity is not None  # checked before anything was written
    return modelcard.render(
        pairs[0][1],
        intensity=intensity,
        training_type=arguments.training_type,
        location=arguments.location,
    )


def _check_places(arguments: argparse.Namespace, forms: list[str], terms: "Terms | None") -> None:
    """Raise `UsageError` where an option has no place in any form, or one is lacking."""
    for name, where in FOREIGN.items():
        if getattr(arguments, name) is not None and not set(where) & set(forms):
            option = name.replace("_", "-")
            raise UsageError(f"report: --{option} is for --format {' or '.join(where)}")
    if terms is not None and not set(FOOTPRINT) & set(forms):
        alone = terms.intensity and terms == terms._replace(
            price=None, pue=None, host_overhead_w=None, embodied_g_per_hour=None
        )
        if not (set(GRAMS) & set(forms) and alone and not arguments.equivalents):
            raise UsageError(
                "report: a footprint goes into text, html and json, and only a carbon intensity"
                " into --format codecarbon or model-card"
            )
    if "model-card" in forms and (terms is None or terms.intensity is None):
        raise UsageError(
            "report: a model card needs grams: state the grid's g CO2eq per kWh with --intensity,"
            " or the --country"
        )


def form_of(output: Path) -> str | None:
    """What a report's name says that it is; None where it says nothing."""
    long = "".join(output.suffixes[-2:]).lower()
    return LONG_SUFFIXES.get(long) or SUFFIXES.get(output.suffix.lower())


def _text(run: "Run", summary: "Summary", terms: "Terms | None") -> str:
    from vidmeter.reports import beside, footprint, footprintwords

    text = beside.text(run, summary)
    return text + (footprintwords.text(footprint.of(summary, terms=terms)) if terms else "")


def _form(output: Path | None, stated: str | None) -> str:
    if stated:
        return stated
    if output is None:
        return "text"
    form = form_of(output)
    if form is None:
        raise UsageError(f"report: what is {output}? Use --format {', '.join(FORMATS)}")
    return form
