"""`vidmeter bench`: reference workloads or any commands, by a protocol that states its error."""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from vidmeter.cli.options import UsageError, add_sensor_options, colors, order_of, positive, say
from vidmeter.cli.run import meter_with_live_line
from vidmeter.meter.command import Metered, check_room
from vidmeter.meter.errors import VidmeterError
from vidmeter.workloads.base import asked_for
from vidmeter.workloads.bench import INTERRUPTED, STATE, Bench, Tools, check_arms
from vidmeter.workloads.protocol import COMMANDS, QUICK, Arm, Plan, Rules
from vidmeter.workloads.suite import load_suite, suite_names

TAKES_COMMANDS = True
"""What follows `--` are commands, with `---` between them."""

EPILOG = """\
examples
  vidmeter bench                                  is everything in place? a minute on any machine
  vidmeter bench wan2.1-t2v-1.3b steps=30         a workload, with a setting changed
  vidmeter bench wan2.1-t2v-1.3b --vs compile=blocks    what does a setting change?
  vidmeter bench -- python a.py --- python b.py   which of two commands takes less energy?
"""


def prepare(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.usage = (
        "vidmeter bench [OPTIONS] [SUITE|WORKLOAD [NAME=VALUE …] …]\n"
        "       vidmeter bench [OPTIONS] WORKLOAD [NAME=VALUE …] --vs [WORKLOAD] [NAME=VALUE …]\n"
        "       vidmeter bench [OPTIONS] -- COMMAND [--- COMMAND …]"
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument(
        "names",
        metavar="SUITE|WORKLOAD",
        nargs="*",
        help="what to run (default quick): a suite, a workload, a .toml file or module:attribute;"
        " NAME=VALUE changes a setting of the workload before it",
    )
    parser.add_argument(
        "--vs",
        nargs="+",
        metavar="B",
        help="compare with this workload, or with the same one with these settings",
    )
    parser.add_argument("--list", action="store_true", help="what there is to run")
    group = parser.add_argument_group("how")
    group.add_argument("--quick", action="store_true", help="one repeat, without warm-up or idle")
    group.add_argument("--repeats", type=int, metavar="N", help="so many of each, no more, no less")
    group.add_argument(
        "--per-block", type=int, metavar="N", help="so many in each fresh process (default 2)"
    )
    group.add_argument("--warmups", type=int, metavar="N", help="at least so many before those")
    group.add_argument(
        "--budget", type=_duration, metavar="TIME", help="end after this long, as 10m or 2h"
    )
    group.add_argument(
        "--target",
        type=_percent,
        metavar="PCT",
        help="go on until the 95 %% interval is ±PCT %% (default 2)",
    )
    group.add_argument(
        "--idle", type=float, metavar="S", help="look at the idle draw for so long (default 30)"
    )
    group.add_argument(
        "--steady",
        type=float,
        metavar="S",
        help="warm up until the card is steady, for so long at most (default 600; 0 doesn't look)",
    )
    group.add_argument(
        "--cool-down", type=float, metavar="S", help="pause between processes (default 10)"
    )
    group.add_argument("--seed", type=int, help="of the order of the blocks (default 0)")
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of every workload; may be given several times",
    )
    group.add_argument(
        "--weights", metavar="random|hub|PATH", help="which weights (default random, no download)"
    )
    group.add_argument("--device", help="auto (default), cpu, cuda or cuda:N")
    group = parser.add_argument_group("where to")
    group.add_argument("-o", "--output", type=Path, metavar="DIR", help="where to write")
    group.add_argument("-f", "--force", action="store_true", help="overwrite what is in DIR")
    group.add_argument(
        "--resume", type=Path, metavar="DIR", help="go on with a bench that was interrupted"
    )
    group.add_argument("-q", "--quiet", action="store_true", help="no live line, no progress")
    add_sensor_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Carry the bench out and write its reports."""
    if arguments.list:
        from vidmeter.cli.bench_list import show

        return show(arguments.names)
    bench = _resumed(arguments) if arguments.resume else _new(arguments)
    arguments.force = True  # the sampler's orders: what was in the folder was judged above
    tools = Tools(
        meter=lambda job: meter_with_live_line(
            job, quiet=arguments.quiet, announce=not bench.blocks
        ),
        order=lambda path: order_of(arguments, path),
        say=_silent if arguments.quiet else say,
    )
    stopped: Metered | None = None
    doing = "between two blocks"
    try:
        stopped = bench.carry_out(tools)
        doing = "while operations were counted"
        if stopped is None:
            bench.count_operations(tools.say)
    except KeyboardInterrupt:
        say(f"interrupted {doing}; go on with: vidmeter bench --resume {bench.folder}")
        _end(bench)
        return 130
    except VidmeterError:
        _end(bench)  # what was finished before, and then what is wrong
        raise
    _end(bench)
    if stopped is not None:
        from vidmeter.meter.launch import end_like

        say(f"go on with: vidmeter bench --resume {bench.folder}")
        if stopped.outcome.returncode < 0:
            end_like(stopped.outcome)
        return 130
    troubled = [b for b in bench.blocks if b.trouble and b.trouble != INTERRUPTED]
    for block in troubled:
        say(f"{bench.plan.arms[block.arm].label} {block.trouble}")
    return 2 if troubled else 0


def _resumed(arguments: argparse.Namespace) -> Bench:
    """The bench that was begun, with what is stated of its numbers anew; what it measures stays."""
    others = ("names", "vs", "quick", "seed", "set", "weights", "device", "output")
    stated = [name for name in others if getattr(arguments, name)]
    if stated or arguments.commands:
        what = ", ".join("names" if n == "names" else f"--{n}" for n in stated) or "commands"
        raise UsageError(f"bench: --resume goes on with what was begun: leave out {what}")
    bench = Bench.resumed(arguments.resume)
    rules = replace(bench.plan.rules, **_stated_rules(arguments))
    bench.plan = replace(bench.plan, rules=rules)
    return bench


def _new(arguments: argparse.Namespace) -> Bench:
    """A bench of what was asked for, in its folder."""
    sys.path.append(str(Path.cwd()))  # where module:attribute is looked for, as python -m does
    plan = _plan(arguments)
    check_arms(plan)
    name = Path(plan.arms[0].workload or plan.arms[0].command[0]).stem
    if len(arguments.names) == 1 and not arguments.vs:
        name = Path(arguments.names[0]).stem
    folder = arguments.output or Path(f"vidmeter-bench-{name}-{time.strftime('%Y%m%d-%H%M%S')}")
    if (folder / STATE).exists() and not arguments.force:
        raise UsageError(
            f"bench: {folder} holds a bench: go on with --resume {folder}, choose another --output,"
            " or add --force to overwrite it"
        )
    check_room(folder / "run", least_b=1 << 24)
    return Bench(folder, plan)


def _plan(arguments: argparse.Namespace) -> Plan:
    commands = _commands(arguments.commands)
    if commands and (arguments.names or arguments.vs):
        raise UsageError("bench: workloads or commands after --, not both")
    versus = bool(arguments.vs) or len(commands) == 2
    quick = arguments.quick
    if commands:
        labels = [" ".join(command) for command in commands]
        arms = [
            Arm(label, command=command) for label, command in zip(labels, commands, strict=True)
        ]
    else:
        arms, from_suite = _arms(arguments)
        quick = quick or from_suite
    rules = _rules(arguments, COMMANDS if commands else QUICK if quick else Rules(), quick=quick)
    if arguments.repeats is not None:
        arms = [replace(arm, repeats=None) for arm in arms]
    if arguments.warmups is not None:
        arms = [replace(arm, warmups=None) for arm in arms]
    return Plan(tuple(arms), rules, versus=versus)


def _arms(arguments: argparse.Namespace) -> tuple[list[Arm], bool]:
    """The arms that the names stand for, and whether one of them is a suite meant to be quick."""
    shared = dict(_setting(text) for text in arguments.set)
    if arguments.weights:
        shared["weights"] = arguments.weights
    arms: list[Arm] = []
    quick = False
    for name, settings in asked_for(arguments.names or ["quick"]):
        if name in suite_names() or name.endswith(".toml"):
            suite = load_suite(name)
            quick = quick or suite.quick
            for entry in suite.entries:
                stated = {**entry.settings, **shared, **settings}
                arm = _arm(entry.workload, stated, arguments.device or "auto")
                arms.append(
                    replace(
                        arm,
                        repeats=entry.repeats,
                        warmups=entry.warmups,
                        least_s=entry.least_seconds,
                    )
                )
        else:
            if ":" not in name and (
                near := get_close_matches(name, suite_names(), n=1, cutoff=0.75)
            ):
                raise UsageError(f"bench: there is no suite {name!r}: did you mean {near[0]}?")
            arms.append(_arm(name, {**shared, **settings}, arguments.device or "auto"))
    if arguments.vs:
        if len(arms) != 1:
            raise UsageError("bench: --vs compares one workload with one other")
        first = arms[0]
        words = arguments.vs if "=" not in arguments.vs[0] else [first.workload, *arguments.vs]
        others = list(asked_for(words))
        if len(others) != 1:
            raise UsageError("bench: --vs compares one workload with one other")
        name, settings = others[0]
        base = dict(first.settings) if name == first.workload else shared
        arms.append(_arm(name, {**base, **settings}, arguments.device or "auto"))
    return arms, quick


def _arm(name: str, settings: dict[str, Any], device: str) -> Arm:
    label = " ".join([name, *(f"{key}={value}" for key, value in settings.items())])
    return Arm(label, name, settings, device=device)


def _rules(arguments: argparse.Namespace, base: Rules, *, quick: bool) -> Rules:
    if base is COMMANDS and arguments.per_block not in (None, 1):
        raise UsageError("bench: every execution of a command is a process: no --per-block")
    if quick and base is COMMANDS:
        base = replace(base, repeats=1, warmups=0)
    return replace(base, **_stated_rules(arguments))


def _stated_rules(arguments: argparse.Namespace) -> dict[str, Any]:
    """The numbers of the protocol that the command line states."""
    changes: dict[str, Any] = {}
    if arguments.budget is not None:
        changes["budget_s"] = arguments.budget
    if arguments.seed is not None:
        changes["seed"] = arguments.seed
    for option, least, field in (
        ("repeats", 1, "repeats"),
        ("per_block", 1, "per_block"),
        ("warmups", 0, "warmups"),
        ("idle", 0, "idle_s"),
        ("steady", 0, "steady_s"),
        ("cool_down", 0, "cool_down_s"),
        ("target", 0, "target"),
    ):
        value = getattr(arguments, option)
        if value is not None:
            if value < least:
                raise UsageError(f"bench: --{option.replace('_', '-')} can't be {value}")
            changes[field] = value
    return changes


def _commands(words: Sequence[str]) -> list[tuple[str, ...]]:
    """The commands after `--`, which `---` keeps apart."""
    commands: list[list[str]] = [[]] if words else []
    for word in words:
        if word == "---":
            commands.append([])
        else:
            commands[-1].append(word)
    if any(not command for command in commands):
        raise UsageError("bench: an empty command: vidmeter bench -- COMMAND --- COMMAND")
    return [tuple(command) for command in commands]


def _end(bench: Bench) -> None:
    """Print the table and write the reports of everything that was finished."""
    from vidmeter.cli.bench_reports import report

    pairs = list(bench.runs())
    if not pairs:
        say(f"no repeat was finished; what was recorded is in {bench.folder}")
        return
    report(bench, pairs, color=colors())
    sys.stdout.flush()


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"bench: {text} is not NAME=VALUE")
    return name, value


def _duration(text: str) -> float:
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    try:
        return positive(number) * units[unit]
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 90s, 10m or 2h") from None


def _percent(text: str) -> float:
    return positive(text) / 100


def _silent(_: str) -> None:
    """Say nothing: --quiet."""
