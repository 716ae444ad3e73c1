"""Options that several verbs share, and what they mean."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from vidmeter.meter.errors import BadRun, VidmeterError
from vidmeter.meter.order import Order
from vidmeter.meter.runfile import SUFFIX


def add_sensor_options(parser: argparse.ArgumentParser) -> None:
    """What to measure and how often."""
    group = parser.add_argument_group("what is measured")
    group.add_argument(
        "--gpus",
        metavar="WHICH",
        help="all, none, indices as nvidia-smi shows them (0,2) or UUIDs (GPU-5f3e…);"
        " without it as CUDA_VISIBLE_DEVICES says",
    )
    group.add_argument(
        "--sensor",
        action="append",
        default=[],
        metavar="NAME",
        help="nvml, rapl, modelled, fake, fake:FILE or replay:RUN instead of the automatic choice;"
        " may be given several times",
    )
    group.add_argument(
        "--cpu-watts",
        type=positive,
        metavar="W",
        help="the processor's watts at full load, for the model of its energy",
    )
    group.add_argument(
        "--period",
        type=_period,
        metavar="S",
        help="seconds between readings (default 0.05, which is 20 Hz, or less where a card's"
        " readings are renewed faster than ten times a second)",
    )
    group.add_argument(
        "--calibration",
        type=Path,
        metavar="FILE",
        help="the calibration of a card, as `vidmeter calibrate` wrote it, instead of the kept one",
    )


def order_of(arguments: argparse.Namespace, path: Path) -> Order:
    """What the sampler is to do, by the options, and where it is to write."""
    return Order(
        path=str(path.absolute()),
        period_s=arguments.period,
        force=arguments.force,
        sensors=tuple(arguments.sensor),
        gpus=arguments.gpus,
        cpu_watts=arguments.cpu_watts,
        calibration=str(arguments.calibration.absolute()) if arguments.calibration else None,
    )


def runs_folder() -> Path:
    """Where runs are kept: `vidmeter/runs` in the user's data folder (XDG_DATA_HOME)."""
    import platformdirs

    return Path(platformdirs.user_data_dir("vidmeter")) / "runs"


def find_run(text: str) -> Path:
    """The run that the user means: a file, the name of one in the data folder, or `last`.

    The beginning of a name is enough where it fits only one.
    """
    path = Path(text)
    if path.exists() or (path.suffix == SUFFIX and path.parent != Path()):
        return path
    runs = all_runs()
    if text == "last":
        if not runs:
            raise BadRun(f"there is no run yet in {runs_folder()}: vidmeter run -- CMD makes one")
        return runs[-1]
    fitting = [r for r in runs if r.name.startswith(text) or r.stem == text]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise BadRun(f"{text} fits {len(fitting)} runs: type more of the name (`vidmeter list`)")
    raise BadRun(f"no run is called {text}: `vidmeter list` shows the runs there are")


def all_runs(folder: Path | None = None) -> list[Path]:
    """The run files of a folder, the oldest first."""
    files = (folder or runs_folder()).glob(f"*{SUFFIX}")
    return sorted(files, key=lambda f: (f.stat().st_mtime_ns, f.name))


def colors() -> bool:
    """Whether stderr wants ANSI colours, by the conventions of NO_COLOR and FORCE_COLOR."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def files_of(stated: Sequence[Path]) -> list[Path | None]:
    """The files of `--output`, None for standard output, which is called `-`."""
    return [None if str(path) == "-" else path for path in stated]


def put(text: str, output: Path | None, *, form: str, force: bool) -> None:
    """Write a report to its file, or to stdout where none is named."""
    from vidmeter.reports import terminal, write

    if output is None:
        plain = terminal.for_stream(text, sys.stdout.encoding) if form == "text" else text
        sys.stdout.write(plain)
    else:
        write(text, output, force=force)
        say(f"wrote {output}")


def say(text: str) -> None:
    """A line for the user on stderr; stdout belongs to the command and to data."""
    print(f"vidmeter: {text}", file=sys.stderr, flush=True)


class UsageError(VidmeterError):
    """The call makes no sense; the message says how it would."""


def positive(text: str) -> float:
    """An option's number above 0."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def _period(text: str) -> float:
    value = positive(text)
    if not 0.005 <= value <= 10:
        raise argparse.ArgumentTypeError("must lie between 0.005 and 10 seconds")
    return value
