"""Carries a benchmark out: blocks under the meter, a run for each repeat, a state to go on from.

A bench's folder holds `bench.json` (the plan, and what is done), `blocks/` (a run file for each
process, from its start to its end, and what it made) and `repeats/` (a run file for each repeat,
cut out of its block). The state is written after each block; what an interrupted block finished is
kept, and cut out when the bench goes on.
"""

import json
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidmeter.meter.command import Job, Metered
from vidmeter.meter.errors import BadRun, WorkloadUnavailable
from vidmeter.meter.execute import check as check_command
from vidmeter.meter.order import Order
from vidmeter.meter.reader import load
from vidmeter.meter.run import Run
from vidmeter.meter.runfile import SUFFIX
from vidmeter.meter.summarize import summarize
from vidmeter.meter.summary import Summary
from vidmeter.workloads.base import load_workload, require
from vidmeter.workloads.keeping import annotate, cut_out
from vidmeter.workloads.protocol import (
    Arm,
    Block,
    Next,
    Plan,
    Repeat,
    Stop,
    from_json,
    left_s,
    next_block,
    repeats_of,
    to_json,
)

if TYPE_CHECKING:
    from vidmeter.meter.launch import Outcome

STATE = "bench.json"
SCHEMA = 2
INTERRUPTED = "interrupted"
HEAVY_B = 4e9
"""What needs more memory than this is asked about before anything is started."""
COUNT_S = 300.0
"""How long counting the operations of an arm may take; the longest take a minute."""
_SIGNALS = {-signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP, 128 + signal.SIGINT}
"""How a process ends that was asked to, though not through us."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What the bench needs of its caller: to meter a job, the sampler's orders, to say a line."""

    meter: Callable[[Job], Metered]
    order: Callable[[Path], Order]
    say: Callable[[str], None]


class Bench:
    """A benchmark in a folder."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        """A new one; `resumed` opens one that was begun."""
        self.folder = folder
        self.plan = plan
        self.blocks: list[Block] = []
        self.spent_s = 0.0

    @classmethod
    def resumed(cls, folder: Path) -> "Bench":
        """The bench that was begun in a folder, with everything that was finished.

        Raises BadRun if there is none, or its state can't be read.
        """
        path = folder / STATE
        try:
            plan, blocks, spent_s = from_json(json.loads(path.read_text("utf-8")))
        except FileNotFoundError:
            raise BadRun(f"there is no bench in {folder}: it has no {STATE}") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadRun(f"{path} can't be read: {error}") from error
        bench = cls(folder, plan)
        bench.spent_s = spent_s
        for block in blocks:
            if block.trouble != INTERRUPTED:
                bench.blocks.append(block)
            elif block.repeats:  # else it is begun anew
                bench.blocks.append(replace(block, trouble=None))
        bench._rescue()
        return bench

    def carry_out(self, tools: Tools) -> Metered | None:
        """Measure until it is enough; None, or the block in which it was asked to end."""
        self.write()
        while isinstance(chosen := next_block(self.plan, self.blocks, self.spent_s), Next):
            began = time.monotonic()
            if self.blocks:
                time.sleep(self.plan.rules.cool_down_s + random.uniform(0, 0.1))
            if self.plan.arms[chosen.arm].workload is not None:
                tools.say(self._heading(chosen))
            metered = self._measure(chosen, tools)
            self.spent_s += time.monotonic() - began
            self._note(chosen, metered, time.monotonic() - began, tools)
            if self.blocks[-1].trouble == INTERRUPTED or metered.outcome.asked_to_end:
                return metered
        tools.say(
            f"done: {chosen.reason}" if isinstance(chosen, Stop) and chosen.reason else "done"
        )
        return None

    def count_operations(self, say: Callable[[str], None]) -> None:
        """Count what each arm's repeats took, in another process, and keep it with their runs."""
        made = {
            number: repeats
            for number, arm in enumerate(self.plan.arms)
            if arm.workload is not None and (repeats := repeats_of(number, self.blocks))
        }
        for number, operations in _operations({n: self.plan.arms[n] for n in made}, say):
            for repeat in made[number]:
                path = self.folder / repeat.path
                run = load(path)
                annotate(path, {**(run.workload or {}), "operations": operations})

    def runs(self) -> Iterator[tuple[Run, Summary]]:
        """Every finished repeat: its run and its numbers."""
        for number in range(len(self.plan.arms)):
            for repeat in repeats_of(number, self.blocks):
                run = load(self.folder / repeat.path)
                yield run, summarize(run)

    def write(self) -> None:
        """Write the state, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / STATE
        partial = path.with_suffix(".partial")
        table = to_json(self.plan, self.blocks, self.spent_s)
        partial.write_text(json.dumps(table, indent=1) + "\n", "utf-8")
        partial.replace(path)

    def _measure(self, chosen: Next, tools: Tools) -> Metered:
        arm, rules = self.plan.arms[chosen.arm], self.plan.rules
        if arm.workload is None:
            warmups = rules.warmups if arm.warmups is None else arm.warmups
            for n in range(1, warmups + 1) if chosen.number == 1 else ():
                path = self._path("blocks", arm, f"warmup{n}")
                warmed = tools.meter(Job(arm.command, tools.order(path), outputs=()))
                if warmed.outcome.returncode or warmed.outcome.asked_to_end:
                    return warmed
            path = self._path("repeats", arm, f"{chosen.repeats[0]:03}")
            return tools.meter(Job(arm.command, tools.order(path)))
        path = self._block_path(chosen)
        # The harness itself says what it produced. Idle without it is looked at once for each arm.
        idle_s = rules.idle_s if chosen.number == 1 else 0.0
        return tools.meter(
            Job(
                self._harness(chosen, path),
                tools.order(path),
                outputs=(),
                idle_s=idle_s,
                held=(signal.SIGINT,),
            )
        )

    def _harness(self, chosen: Next, path: Path) -> tuple[str, ...]:
        arm, rules = self.plan.arms[chosen.arm], self.plan.rules
        settings = [part for k, v in arm.settings.items() for part in ("--set", f"{k}={v}")]
        warmups = rules.warmups if arm.warmups is None else arm.warmups
        return (
            *(sys.executable, "-m", "vidmeter.workloads.harness", str(arm.workload)),
            *("--out", str(path.with_suffix("")), "--device", arm.device, "--progress"),
            *("--repeats", str(len(chosen.repeats)), "--first", str(chosen.repeats[0])),
            *("--warmup", str(warmups), "--steady", f"{rules.steady_s:g}"),
            *("--idle", f"{rules.idle_s:g}"),
            *settings,
        )

    def _note(self, chosen: Next, metered: Metered, seconds: float, tools: Tools) -> None:
        """Keep what a block brought, write the state, and say how it stands."""
        for message in metered.messages:
            tools.say(message)
        trouble = _trouble(metered.outcome)
        repeats = self._kept(chosen, trouble)
        block = Block(chosen.arm, chosen.round, chosen.number, repeats, seconds, trouble)
        self.blocks.append(block)
        self.write()
        self._say_progress(chosen, tools)

    def _kept(self, chosen: Next, trouble: str | None = None) -> tuple[Repeat, ...]:
        """The finished repeats of a block, each in a run file of its own."""
        arm, number = self.plan.arms[chosen.arm], chosen.repeats[0]
        if arm.workload is not None:
            return tuple(self._cut_out(chosen))
        path = self._path("repeats", arm, f"{number:03}")
        if trouble is not None:  # it was no repeat, and may not be compared with any
            if path.exists():
                aside = self._path("blocks", arm, f"{number:03}")
                aside.parent.mkdir(exist_ok=True)
                path.replace(aside)
            return ()
        annotate(path, {**self._known(chosen), "task": "command", "repeat": number})
        return (self._repeat(number, path, load(path)),)

    def _cut_out(self, chosen: Next) -> Iterator[Repeat]:
        """The finished repeats of a block, each written to a run file of its own."""
        arm = self.plan.arms[chosen.arm]
        for number, run in cut_out(self._block_path(chosen), self._known(chosen), self.folder):
            target = self._path("repeats", arm, f"{number:03}")
            run.save(target, force=True)
            yield self._repeat(number, target, run)

    def _known(self, chosen: Next) -> dict[str, Any]:
        """What the bench knows of the repeats of a block."""
        return {
            "schema": SCHEMA,
            "arm": self.plan.arms[chosen.arm].label,
            "block": chosen.number,
            "round": chosen.round,
        }

    def _repeat(self, number: int, path: Path, run: Run) -> Repeat:
        energy_j = summarize(run).total.energy_j
        return Repeat(number, str(path.relative_to(self.folder)), energy_j, _seconds(run))

    def _rescue(self) -> None:
        """Keep the finished repeats of what was being measured when this process was killed."""
        for number, arm in enumerate(self.plan.arms):
            mine = [b for b in self.blocks if b.arm == number]
            first = max([r.number for r in repeats_of(number, self.blocks)], default=0) + 1
            now = max([b.round for b in self.blocks], default=1)
            round_ = now + any(b.round == now for b in mine)
            lost = Next(number, round_, len(mine) + 1, (first,))
            path = self._path("repeats", arm, f"{first:03}")
            try:
                if arm.workload is not None:
                    path = self._block_path(lost)
                    repeats = tuple(self._cut_out(lost)) if path.exists() else ()
                else:
                    # Nobody else knows how it ended: without its exit code it isn't finished.
                    ended = path.exists() and load(path).exit_code == 0
                    repeats = self._kept(lost) if ended else ()
                seconds = _seconds(load(path)) if repeats else 0.0
            except BadRun:
                continue  # what can't be read any more is measured anew
            if repeats:
                self.blocks.append(Block(number, round_, lost.number, repeats, seconds))
                self.write()

    def _path(self, kind: str, arm: Arm, end: str) -> Path:
        return self.folder / kind / f"{self.slug(arm)}-{end}{SUFFIX}"

    def _block_path(self, chosen: Next) -> Path:
        return self._path("blocks", self.plan.arms[chosen.arm], f"block{chosen.number}")

    def slug(self, arm: Arm) -> str:
        """What an arm's files are named after."""
        plain = re.sub(r"[^A-Za-z0-9.=_-]+", "-", arm.label).strip("-.")[:60] or "arm"
        labels = [
            re.sub(r"[^A-Za-z0-9.=_-]+", "-", a.label).strip("-.")[:60] for a in self.plan.arms
        ]
        return plain if labels.count(plain) == 1 else f"{plain}-{self.plan.arms.index(arm) + 1}"

    def _heading(self, chosen: Next) -> str:
        arm = self.plan.arms[chosen.arm]
        numbers = chosen.repeats
        which = (
            f"repeat {numbers[0]}"
            if len(numbers) == 1
            else f"repeats {numbers[0]} to {numbers[-1]}"
        )
        return f"{arm.label}: block {chosen.number}, {which}"

    def _say_progress(self, chosen: Next, tools: Tools) -> None:
        """How far it is: joules so far, and about how long it still takes."""
        energies = [r.energy_j for b in self.blocks for r in b.repeats if r.energy_j is not None]
        last = [r.energy_j for r in self.blocks[-1].repeats if r.energy_j is not None]
        parts = []
        if last:
            parts.append(f"{sum(last) / len(last):.4g} J a repeat")
        if energies:
            parts.append(f"{sum(energies):.4g} J so far")
        left = left_s(self.plan, self.blocks, self.spent_s)
        if left:
            parts.append(f"about {_duration(left)} to go")
        if parts:
            tools.say(f"{self.plan.arms[chosen.arm].label}: {', '.join(parts)}")


def _operations(
    arms: Mapping[int, Arm], say: Callable[[str], None]
) -> Iterator[tuple[int, Mapping[str, float]]]:
    """The operations of a repeat of each arm, by its number, as soon as they are counted."""
    words = [
        word
        for arm in arms.values()
        for word in (str(arm.workload), *(f"{k}={v}" for k, v in arm.settings.items()))
    ]
    command = [sys.executable, "-m", "vidmeter.workloads.operations", *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as counting:
        assert counting.stdout is not None
        patience_s = COUNT_S * len(arms)
        patience = threading.Timer(patience_s, counting.kill)
        began = time.monotonic()
        patience.start()
        try:
            for number, arm in arms.items():
                line = counting.stdout.readline()
                in_time = time.monotonic() - began < patience_s
                why = "counting them failed" if in_time else "counting took too long"
                told: Any = json.loads(line) if line else {"why": why}
                if told is not None and "why" in told:
                    say(f"{arm.label}: operations are not counted: {told['why']}")
                elif told is not None:
                    yield number, told
        finally:
            patience.cancel()
            counting.kill()  # whoever is interrupted leaves nothing behind


def _trouble(outcome: "Outcome") -> str | None:
    """Why a process didn't end well, in words; None if it did."""
    code = outcome.returncode
    if not code:
        return None
    if outcome.asked_to_end or code in _SIGNALS:
        return INTERRUPTED
    if code > 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    why = ", as Linux does where memory runs out" if -code == signal.SIGKILL else ""
    return f"was killed by {name}{why}"


def _seconds(run: Run) -> float:
    """How long a run took, s; of one whose recorder was killed it isn't known, and 0."""
    return ((run.end_ns or run.start_ns) - run.start_ns) / 1e9


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def check_arms(plan: Plan) -> None:
    """Raise for any mistake, and for what can't run here, before the start.

    WorkloadUnavailable for a workload, CannotStart for a command.
    """
    labels = [arm.label for arm in plan.arms]
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise WorkloadUnavailable(f"{twice} is asked for twice: give one of them other settings")
    heavy = False
    for arm in plan.arms:
        if arm.workload is None:
            check_command(arm.command[0])
            continue
        workload = load_workload(arm.workload, arm.settings)
        require(workload.name, workload.packages)
        heavy = heavy or workload.memory_b > HEAVY_B
    if heavy:
        _preflight(plan)


def _preflight(plan: Plan) -> None:
    """Whether everything fits on its device: known only to the frameworks, in another process."""
    refused: list[str] = []
    for device in dict.fromkeys(arm.device for arm in plan.arms):
        words = [
            word
            for arm in plan.arms
            if arm.workload is not None and arm.device == device
            for word in (arm.workload, *(f"{k}={v}" for k, v in arm.settings.items()))
        ]
        command = [sys.executable, "-m", "vidmeter.workloads.preflight", device, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            refused += done.stderr.strip().splitlines()
    if len(plan.arms) == 1 and len(refused) == 1:
        raise WorkloadUnavailable(refused[0].removeprefix("vidmeter: "))
    if refused:
        print("\n".join(refused), file=sys.stderr)
        raise WorkloadUnavailable(
            "nothing was started: leave out what can't run here, or change its settings"
        )
