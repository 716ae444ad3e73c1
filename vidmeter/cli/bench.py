"""`vidmeter bench`: reference workloads under the meter, with a report of each."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vidmeter.cli.options import UsageError, add_sensor_options, colors, order_of, say
from vidmeter.cli.run import keep, meter_with_live_line
from vidmeter.meter.command import Job, check_room
from vidmeter.meter.errors import BadRun
from vidmeter.meter.reader import load
from vidmeter.meter.runfile import SUFFIX
from vidmeter.meter.store import RunWriter
from vidmeter.meter.summarize import summarize
from vidmeter.workloads.base import REGISTRY, load_workload, require
from vidmeter.workloads.suite import Entry, load_suite, suite_names


def prepare(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "names",
        metavar="SUITE|WORKLOAD",
        nargs="*",
        default=["quick"],
        help="what to run (default quick); a suite, a workload, a .toml file or module:attribute",
    )
    parser.add_argument("--list", action="store_true", help="what there is to run")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="where to write")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite what is in DIR")
    parser.add_argument("-q", "--quiet", action="store_true", help="no live line")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the workload, as steps=10; may be given several times",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--repeats", type=int, metavar="N", help="videos to make of each workload")
    parser.add_argument("--warmups", type=int, metavar="N", help="videos to make before those")
    add_sensor_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run each workload and write its reports."""
    if arguments.list:
        return _list()
    entries = [entry for name in arguments.names for entry in _entries(name, arguments)]
    for entry in entries:  # all mistakes before the first minute of work
        workload = load_workload(entry.workload, entry.settings)
        require(workload.name, workload.packages)
    folder = arguments.output or Path(
        f"vidmeter-bench-{Path(arguments.names[0]).stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    )
    check_room(folder / "run", least_b=1 << 24)
    written: list[Path] = []
    for number, entry in enumerate(entries, 1):
        name = load_workload(entry.workload, entry.settings).name
        say(f"{number} of {len(entries)}: {name}")
        written.append(_bench(entry, name, folder, arguments))
    _report(written, folder, force=arguments.force)
    return 0


def _bench(entry: Entry, name: str, folder: Path, arguments: argparse.Namespace) -> Path:
    """Run one workload under the meter; the run file. Ends as it ended if it failed."""
    path = _free(folder / f"{name}{SUFFIX}", force=arguments.force)
    command = _command(entry, path.with_suffix(""), arguments.device)
    order = order_of(arguments, path)
    # The harness itself says what it produced: nothing has to be found.
    metered = meter_with_live_line(Job(command, order, outputs=()), quiet=arguments.quiet)
    for message in metered.messages:
        say(message)
    if metered.outcome.returncode != 0:
        from vidmeter.meter.launch import end_like

        say(f"{name} did not finish; what was measured is in {path}")
        end_like(metered.outcome)
    _add_workload(path, path.with_suffix("") / "workload.json")
    return path


def _command(entry: Entry, out: Path, device: str) -> tuple[str, ...]:
    settings = [part for k, v in entry.settings.items() for part in ("--set", f"{k}={v}")]
    return (
        *(sys.executable, "-m", "vidmeter.workloads.harness", entry.workload),
        *("--out", str(out), "--device", device),
        *("--repeats", str(entry.repeats), "--warmup", str(entry.warmups)),
        *settings,
    )


def _add_workload(path: Path, record: Path) -> None:
    """Keep with the run what the workload really used."""
    writer = RunWriter.reopen(path)
    writer.put(workload=json.loads(record.read_text("utf-8")))
    if not writer.finish():
        raise BadRun(f"the facts of the workload could not be written to {path}")


def _report(paths: Sequence[Path], folder: Path, *, force: bool) -> None:
    """Print the summaries; write the CSV of all and a page for each."""
    from vidmeter.reports import csvfile, htmlpage, terminal, write

    pairs: list[tuple[Any, Any]] = []
    files: list[Path] = []
    for path in paths:
        run = load(path)
        pairs.append((run, summarize(run)))
        keep(*pairs[-1])
        files.append(write(htmlpage.render(*pairs[-1]), path.with_suffix(".html"), force=force))
    files.append(write(csvfile.render(pairs), folder / "results.csv", force=force))
    for run, summary in pairs:
        text = terminal.render(summary, path=run.path, color=colors())
        print("\n" + terminal.for_stream(text, sys.stdout.encoding))
    for file in files:
        print(f"wrote {file}")
    sys.stdout.flush()


def _entries(name: str, arguments: argparse.Namespace) -> list[Entry]:
    """What a name stands for, with the options of the command line in force."""
    stated = dict(_setting(text) for text in arguments.set)
    entries: Sequence[Entry]
    if name in suite_names() or name.endswith(".toml"):
        entries = load_suite(name).entries
    else:
        entries = [Entry(name)]
    changes: dict[str, Any] = {}
    for option in ("repeats", "warmups"):
        value = getattr(arguments, option)
        if value is not None:
            if value < (option == "repeats"):
                raise UsageError(f"bench: --{option} can't be {value}")
            changes[option] = value
    return [replace(e, settings={**e.settings, **stated}, **changes) for e in entries]


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"bench: --set {text} is not NAME=VALUE")
    return name, value


def _free(path: Path, *, force: bool) -> Path:
    """A run file that isn't there yet: the same workload may come twice in a suite."""
    if force or not path.exists():
        return path
    numbered = (path.with_stem(f"{path.stem}-{n}") for n in range(2, 1000))
    return next(p for p in numbered if not p.exists())


def _list() -> int:
    print("suites")
    for name in suite_names():
        print(f"  {name:<20} {load_suite(name).description}")
    print("workloads")
    for name in REGISTRY:
        workload = load_workload(name)
        print(f"  {name:<20} {workload.description}")
        print(f"  {'':<20} {workload.memory_b / 1e9:.3g} GB, {' or '.join(workload.devices)}")
        for key, parameter in workload.parameters.items():
            print(f"    {key}={parameter.default}  {parameter.meaning}")
    return 0
