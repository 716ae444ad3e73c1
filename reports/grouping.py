"""Which runs are compared with which: runs put into arms by where they lie, or by what they have in
common.

Repeats of a bench know their arm. Of other runs each is a repeat of its own process; those of a
folder, or of one value of a field, make an arm.
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from vidmeter.meter.errors import BadRun
from vidmeter.meter.run import Run
from vidmeter.meter.summary import Summary
from vidmeter.reports.arm import Arm
from vidmeter.reports.arms import arm_of
from vidmeter.reports.likeness import NONE, counted, fields

Pair = tuple[Run, Summary]
FIELDS = ("arm", "command", "device", "weights", "workload", "task", "folder")
"""What runs can be grouped by beside whatever else has to be alike (`likeness.fields`)."""


class Source(NamedTuple):
    """What one argument stands for: a name for it, and its runs."""

    name: str
    pairs: tuple[Pair, ...]


def by_source(sources: Sequence[Source]) -> list[Arm]:
    """An arm for each source; for each arm of a bench, where a source holds several."""
    found: list[Arm] = []
    for source in sources:
        groups = _split(source.pairs, "arm")
        for value, pairs in groups.items():
            alone = len(groups) == 1
            label = source.name if alone else f"{source.name}: {value}"
            if value and (len(sources) == 1 or (alone and _is_bench(pairs))):
                label = value
            found.append(arm_of(label, pairs))
    return _distinct(found)


def by_field(sources: Sequence[Source], field: str) -> list[Arm]:
    """An arm for each value of a field, over all sources, in the order in which values come.

    Raises BadRun if no run has it.
    """
    pairs = [pair for source in sources for pair in source.pairs]
    groups = _split(pairs, field)
    if set(groups) <= {""}:
        more = {name for run, summary in pairs for name in fields(run, summary)}
        known = ", ".join([*FIELDS, *sorted(more - {*FIELDS, "card"})])
        raise BadRun(f"no run has {field}: group by one of {known}")
    return [arm_of(value or f"no {field}", group) for value, group in groups.items()]


def _split(pairs: Sequence[Pair], field: str) -> dict[str, list[Pair]]:
    groups: dict[str, list[Pair]] = {}
    for run, summary in pairs:
        groups.setdefault(_value(run, summary, field), []).append((run, summary))
    return groups


def _value(run: Run, summary: Summary, field: str) -> str:
    """A field of a run in words; empty where it has none."""
    facts = run.workload or {}
    if field == "command":
        return _command(run)
    if field == "folder":
        return run.path.parent.name if run.path else ""
    if field in ("device", "card"):
        return ", ".join(dict.fromkeys(device.name for device in counted(summary)))
    if field == "weights":
        return str((facts.get("facts") or {}).get("weights") or "")
    if field in ("arm", "workload", "task"):
        return str(facts.get(field) or "")
    found = fields(run, summary).get(field, NONE)
    return "" if found == NONE else f"{field}={found}"


def _command(run: Run) -> str:
    return shlex.join(run.command)


def _is_bench(pairs: Sequence[Pair]) -> bool:
    return bool((pairs[0][0].workload or {}).get("arm"))


def _distinct(arms: list[Arm]) -> list[Arm]:
    """Arms with the same label told apart by their place."""
    labels = [arm.label for arm in arms]
    return [
        replace(arm, label=f"{arm.label} ({labels[:n].count(arm.label) + 1})")
        if labels.count(arm.label) > 1
        else arm
        for n, arm in enumerate(arms)
    ]


def runs_in(folder: Path, suffix: str) -> list[Path]:
    """The run files of a folder, whatever is nested in it; of a bench its repeats, arm by arm.

    Raises BadRun if there is none.
    """
    found = [path for path in folder.rglob(f"*{suffix}") if path.parent.name != "blocks"]
    if not found:
        raise BadRun(f"there is no run in {folder}: vidmeter run -o {folder}/NAME{suffix} -- CMD")
    place = _order_of_bench(folder)
    return sorted(found, key=lambda path: (place.get(path.name, len(place)), str(path)))


def _order_of_bench(folder: Path) -> dict[str, int]:
    """The place of each repeat's file in the order in which a bench's arms were asked for."""
    try:
        blocks = json.loads((folder / "bench.json").read_text("utf-8"))["blocks"]
        paths = [
            r["path"] for block in sorted(blocks, key=lambda b: b["arm"]) for r in block["repeats"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {Path(path).name: n for n, path in enumerate(paths)}
