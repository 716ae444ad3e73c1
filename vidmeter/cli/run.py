"""`vidmeter run -- CMD`: meter any command."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from vidmeter.cli.options import (
    UsageError,
    add_sensor_options,
    colors,
    order_of,
    positive,
    runs_folder,
    say,
)
from vidmeter.meter.clock import monotonic_ns
from vidmeter.meter.command import Job, Metered, check_room, default_path, meter
from vidmeter.meter.recorder import Recorder
from vidmeter.meter.run import Work

if TYPE_CHECKING:
    from vidmeter.meter.reader import Tail
    from vidmeter.meter.run import Run
    from vidmeter.meter.summary import Summary


def prepare(parser: argparse.ArgumentParser) -> None:
    """Declare the options. Everything from the command's name on belongs to the command."""
    parser.usage = "vidmeter run [OPTIONS] [--] COMMAND [ARGUMENTS]"
    parser.epilog = (
        "The command's input, output and exit code are its own; the summary goes to stderr."
    )
    group = parser.add_argument_group("where it goes")
    group.add_argument("-o", "--output", type=Path, metavar="FILE", help="the run file to write")
    group.add_argument("-f", "--force", action="store_true", help="overwrite FILE")
    group.add_argument("-q", "--quiet", action="store_true", help="no summary, no live line")
    group.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the summary as JSON too, over what is there",
    )
    group.add_argument(
        "--append",
        type=Path,
        metavar="FILE",
        help="add the numbers to this CSV, which other processes may be adding to (docs/csv.md)",
    )
    add_sensor_options(parser)
    parser.add_argument(
        "--idle",
        type=positive,
        default=0.0,
        metavar="S",
        help="measure the idle draw for S seconds before and after the command, and state the"
        " energy beyond it as well",
    )
    group = parser.add_argument_group("where the joules go")
    group.add_argument(
        "--no-instrument",
        action="store_true",
        help="don't mark phases in Python programs that use diffusers or transformers",
    )
    group.add_argument(
        "--profile",
        choices=("modules",),
        help="mark the modules within each step as well: attention, feed-forward, norms,"
        " convolutions; this slows the program down",
    )
    group = parser.add_argument_group("what is produced (found by itself if it is video files)")
    group.add_argument(
        "--outputs", action="append", metavar="GLOB", help="the video files that the command writes"
    )
    group.add_argument(
        "--video-seconds", type=positive, metavar="S", help="seconds of video that it produces"
    )
    group.add_argument(
        "--work",
        action="append",
        default=[],
        type=_work,
        metavar="N:UNIT",
        help="what else it produces, as 512:tokens or 4:images",
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> NoReturn:
    """Meter the command, print its numbers and end as it ended."""
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        raise UsageError("run: which command? vidmeter run -- python your_script.py")
    path = arguments.output or default_path(command, runs_folder())
    check_room(path)
    for beside in (arguments.json, arguments.append):
        if beside:
            check_room(beside)
    work = list(arguments.work)
    if arguments.video_seconds:
        work.append(Work("video", 1, "user", video_seconds=arguments.video_seconds))
    order = order_of(arguments, path)
    outputs = tuple(arguments.outputs) if arguments.outputs else None
    if arguments.idle and not arguments.quiet:
        say(f"idle is measured for {arguments.idle:g} s before the command and after it")
    if arguments.profile and arguments.no_instrument:
        raise UsageError("run: --profile needs the hook that --no-instrument turns off")
    job = Job(
        tuple(command),
        order,
        outputs=outputs,
        work=tuple(work),
        idle_s=arguments.idle,
        instrument=None if arguments.no_instrument else arguments.profile or "phases",
    )
    metered = meter_with_live_line(job, quiet=arguments.quiet)
    for message in metered.messages:
        say(message)
    if arguments.json or arguments.append or not arguments.quiet:
        _tell(metered, arguments)
    from vidmeter.meter.launch import end_like

    end_like(metered.outcome)


def meter_with_live_line(job: Job, *, quiet: bool, announce: bool = True) -> Metered:
    """Meter a job; where stderr is a terminal, a line at its foot shows watts and joules.

    With `announce`, what can't be measured is said before the command starts.
    """
    if quiet:
        return meter(job)
    on_start = _announce if announce else None
    watch = Watch(Path(job.order.path))
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return meter(
            job,
            while_starting=_load_summary,
            while_ending=_load_report,
            on_start=on_start,
            on_tick=watch.tick,
            on_end=watch.close,
        )
    from vidmeter.reports.live import Live

    live = Live(Path(job.order.path), sys.stderr.fileno(), monotonic_ns())

    def tick() -> None:
        live.tick()
        watch.tick()

    def end() -> None:
        live.close()
        watch.close()

    return meter(
        job,
        while_starting=_load_summary,
        while_ending=_load_report,
        on_start=on_start,
        on_tick=tick,
        on_end=end,
    )


class Watch:
    """Says what can't wait for the summary while the command still runs: each thing once."""

    KINDS = frozenset(
        {"aliasing", "in_step", "unconfirmed", "device_lost", "device_back", "unwritten"}
    )

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tail: Tail | None = None
        self._said: set[tuple[str, str | None]] = set()

    def tick(self) -> None:
        """Look for new events."""
        if self._tail is None:
            from vidmeter.meter.reader import Tail

            self._tail = Tail(self._path)
        for event in self._tail.new_events():
            if event.kind in self.KINDS and (event.kind, event.device) not in self._said:
                self._said.add((event.kind, event.device))
                say(f"caution: {event.detail}")

    def close(self) -> None:
        """Let go of the file."""
        if self._tail is not None:
            self._tail.close()


def _load_summary() -> None:
    """Import what the summary needs while there is nothing to do but wait for the sampler.

    numpy's linear algebra starts a thread for each core when it is imported, unless it is told not
    to. `launch` wants a process of one thread: a signal that reached another would end us.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import vidmeter.meter.summarize  # noqa: F401


def _load_report() -> None:
    """The same, of what is wanted at the end."""
    import vidmeter.meter.outputs
    import vidmeter.reports.beside
    import vidmeter.reports.statement  # noqa: F401


def _announce(recorder: Recorder) -> None:
    """Say in a line what can't be measured and why, and what is instead, before the command."""
    instead = ", ".join(f"{name} ({provenance})" for name, provenance in recorder.devices)
    for sensor, reason in recorder.absent:
        if sensor == "nvml":
            say(f"no GPU is measured: {reason}; instead: {instead or 'nothing'}")


def _tell(metered: Metered, arguments: argparse.Namespace) -> None:
    """Print the summary and write the JSON. Whatever goes wrong here, the run file is whole."""
    from vidmeter.meter.errors import VidmeterError
    from vidmeter.meter.reader import load
    from vidmeter.meter.summarize import summarize

    try:
        recorded = load(metered.path)
        summary = summarize(recorded)
        keep(recorded, summary)
        if arguments.json:
            from vidmeter.reports import jsonfile, write

            write(jsonfile.render(summary), arguments.json, force=True)
        if arguments.append:
            from vidmeter.reports.appending import append

            append([(recorded, summary)], arguments.append)
        if not arguments.quiet:
            from vidmeter.reports import beside, terminal

            text = beside.text(recorded, summary, color=colors())
            sys.stderr.write("\n" + terminal.for_stream(text, sys.stderr.encoding))
            sys.stderr.flush()
    except (VidmeterError, OSError) as error:
        say(str(error))
    except Exception:  # noqa: BLE001 - shown, not kept quiet
        # A fault of ours, shown whole; but the caller is to see how the command ended.
        sys.excepthook(*sys.exc_info())
        say(f"the numbers could not be worked out; the readings are in {metered.path}")


def keep(recorded: "Run", summary: "Summary") -> None:
    """Keep what is about to be printed with the run, and what it taught about its cards."""
    from vidmeter.meter.learning import learn
    from vidmeter.meter.store import RunWriter
    from vidmeter.reports.statement import statement

    if recorded.path is not None:
        writer = RunWriter.reopen(recorded.path)
        writer.put(stated=statement(recorded, summary))
        if not writer.finish():
            say(f"the figures could not be kept in {recorded.path}")
    try:
        learn(recorded)
    except OSError as error:
        say(f"what was learnt about the card could not be kept: {error}")


def _work(text: str) -> Work:
    number, colon, unit = text.partition(":")
    try:
        count = float(number)
    except ValueError:
        count = 0.0
    if not colon or not unit.isidentifier() or not 0 < count < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not like 512:tokens")
    return Work(unit, count, "user")
