"""`vidmeter import FILE…`: logs and results of other programs as runs."""

import argparse
from collections import Counter
from pathlib import Path

from vidmeter.cli.options import UsageError, positive, runs_folder, say
from vidmeter.meter.errors import BadRun
from vidmeter.meter.importing import FORMATS, read_foreign
from vidmeter.meter.run import Run
from vidmeter.meter.runfile import SUFFIX, remove


def prepare(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="see docs/import.md")
    parser.add_argument(
        "--format", choices=("auto", *FORMATS), default="auto", help="default: by the file's header"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="OUT",
        help=f"a folder, or for one run a file NAME{SUFFIX}; without it they go where `vidmeter"
        " run` keeps its own",
    )
    parser.add_argument(
        "--period",
        type=positive,
        metavar="S",
        help="seconds between the rows of a log that has no times",
    )
    parser.add_argument("-f", "--force", action="store_true", help="overwrite what is there")


def run(arguments: argparse.Namespace) -> int:
    """Read all files, then write all runs; nothing is written where one can't be read."""
    found: list[tuple[Path, Run]] = []
    for file in arguments.files:
        runs = read_foreign(file, form=arguments.format, period_s=arguments.period)
        found += zip(_names(file, len(runs)), runs, strict=True)
    places = _places(arguments.output, [name for name, _ in found])
    taken = [place for place in places if place.exists()]
    if taken and not arguments.force:
        raise BadRun(f"{taken[0]} exists: choose another --output, or add --force to overwrite it")
    written: list[Path] = []
    try:
        for place, (_, one) in zip(places, found, strict=True):
            one.save(place, force=arguments.force)
            written.append(place)
    except BadRun:
        for place in written:
            remove(place)
        raise
    left_out = {file: _left_out(one) for file, one in found if _left_out(one)}
    for text in dict.fromkeys(left_out.values()):
        say(f"columns that are left out: {text}")
    for place in written if len(written) <= 5 else written[:4]:
        say(f"wrote {place}")
    if len(written) > 5:
        say(f"wrote {len(written) - 4} more, up to {written[-1]}")
    return 0


def _left_out(one: Run) -> str:
    text: str = one.environment["imported"].get("columns_left_out", "")
    return text


def _names(file: Path, count: int) -> list[Path]:
    """What the runs of a file are called: by its name, and by number where it holds several."""
    stem = file.stem or "imported"
    if count == 1:
        return [Path(stem + SUFFIX)]
    wide = len(str(count))
    return [Path(f"{stem}-{n:0{wide}d}{SUFFIX}") for n in range(1, count + 1)]


def _places(output: Path | None, names: list[Path]) -> list[Path]:
    """Where each run goes; `UsageError` where two would go to one place."""
    if output is not None and output.suffix == SUFFIX and not output.is_dir():
        if len(names) > 1:
            raise UsageError(f"import: these are {len(names)} runs: name a folder with --output")
        return [output]
    folder = output or runs_folder()
    places = [folder / name for name in names]
    twice = [place.name for place, count in Counter(places).items() if count > 1]
    if twice:
        raise UsageError(f"import: two files would become {twice[0]}: import them one by one")
    return places
